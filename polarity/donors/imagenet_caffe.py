"""Caffe's AlexNet, trained on ImageNet: the paper's donor, from a file ``bvlc_alexnet.npy``.

The file is a dictionary of layer -> [weights, biases] as numpy saves one. Its second, fourth and
fifth convolution have two groups: one half of the outputs sees one half of the inputs. Here they
become the one tower of the paper; what the other half would have weighed is 0, and a weight of 0
has no sign to hand on: the template leaves it unconstrained.

The convolutions are stored HWIO, the fully connected layers ``(in, out)``, and the first of these
counts its inputs position by position (HWC), where torch counts them channel by channel (CHW). The
first convolution's inputs stay in the order of the file; Caffe's networks are fed blue, green, red.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from torch import Tensor

from ..datasets import pickles
from ..datasets.folder import Found, Origin, folders
from ..networks import ARCHITECTURES
from .donor import Donor, donor_from_weights
from .stored import bias, convolution, linear

__all__ = ["NAME", "ORIGIN", "one_tower", "read"]

NAME = "imagenet_caffe"
"""What the donor is called in :data:`polarity.donors.DONORS`."""
ARCHITECTURE = "alexnet"
FILE = "bvlc_alexnet.npy"
GROUPED = ("conv2", "conv4", "conv5")
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


def read(found: Found) -> Donor:
    """Return the donor of the file, in one tower.

    Raises
    ------
    ValueError
        If the file holds anything but arrays of numbers, or other layers or shapes.
    """
    path = found.place
    content = path.read_bytes()
    held = _by_name(pickles.load_npy(content, str(path)), path)
    weights = {}
    for name in LAYERS:
        parts = held[name]
        if not isinstance(parts, list | tuple) or len(parts) != 2:
            raise ValueError(f"{path}: {name} must hold weights and biases")
        what = f"{path}: {name}"
        if name.startswith("conv"):
            weight = convolution(f"{what}, weights", parts[0])
            if name in GROUPED:
                weight = one_tower(weight)
        else:
            weight = linear(f"{what}, weights", parts[0])
            if name == "fc6":
                weight = _channels_first(weight)
        weights[f"{name}.weight"] = weight
        weights[f"{name}.bias"] = bias(f"{what}, biases", parts[1])
    card = {
        "donor": NAME,
        "architecture": ARCHITECTURE,
        "trained on": "ImageNet, 1000 classes, in Caffe",
        "source": f"a file {FILE}; file_sha256 is what was found, not what it is known by",
        "file_sha256": hashlib.sha256(content).hexdigest(),
        "input channels": "in the order of the file; Caffe's networks are fed blue, green, red",
    }
    return donor_from_weights(NAME, ARCHITECTURE, weights, card)


def one_tower(weight: Tensor, groups: int = 2) -> Tensor:
    """Return the weights of a grouped convolution as those of one that is not.

    Parameters
    ----------
    weight
        ``(out, in / groups, height, width)``.
    groups
        How many.

    Returns
    -------
    Tensor
        ``(out, in, height, width)``; 0 where an output does not see an input.
    """
    parts = weight.chunk(groups)
    inputs = weight.shape[1]
    whole = weight.new_zeros(weight.shape[0], groups * inputs, *weight.shape[2:])
    for number, (target, part) in enumerate(zip(whole.chunk(groups), parts, strict=True)):
        target[:, number * inputs : (number + 1) * inputs] = part
    return whole


def _channels_first(weight: Tensor) -> Tensor:
    """Put fc6's inputs into torch's order; another shape is left for the donor's check to name."""
    kind = ARCHITECTURES[ARCHITECTURE]
    channels, grid = kind.channels[-1], kind.grid
    if weight.shape[1] != channels * grid**2:
        return weight
    return weight.view(-1, grid, grid, channels).permute(0, 3, 1, 2).flatten(1).contiguous()


def _by_name(held: object, path: Path) -> dict[str, object]:
    if not isinstance(held, dict):
        raise ValueError(f"{path} must hold a dictionary, got {type(held).__name__}")
    layers = {
        key.decode("latin1") if isinstance(key, bytes) else key: value
        for key, value in held.items()
    }
    if missing := [name for name in LAYERS if name not in layers]:
        raise ValueError(f"{path} must hold {', '.join(LAYERS)}; it lacks {', '.join(missing)}")
    return layers


def _places(folder: Path | None) -> list[Path]:
    return [place / FILE for place in folders(folder)]


def _look(folder: Path | None) -> Found | None:
    return next((Found("weights", (p,)) for p in _places(folder) if p.is_file()), None)


ORIGIN = Origin(
    NAME,
    "Caffe's AlexNet, ImageNet: the paper's donor",
    _places,
    _look,
    f"put {FILE} in one of these folders; it is not downloaded, because no checksum of it is known "
    "here. It has been published at http://www.cs.toronto.edu/~guerzhoy/tf_alexnet/",
)
"""Where it comes from."""
