"""torchvision's AlexNet, trained on ImageNet: signs for every layer but the last."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor

from .._torchvision import torchvision
from ..datasets.download import check_sha256, download, from_url
from ..datasets.folder import Found, Origin, folders
from .donor import ACCURACY, Donor, donor_from_weights

__all__ = ["NAME", "ORIGIN", "read"]

NAME = "imagenet_torchvision"
"""What the donor is called in :data:`polarity.donors.DONORS`."""
FILE = "alexnet-owt-7be5be79.pth"
SHA256 = "7be5be79"  # its first digits: torch.hub's files carry them in their names
LAYERS = {
    "features.0": "conv1",
    "features.3": "conv2",
    "features.6": "conv3",
    "features.8": "conv4",
    "features.10": "conv5",
    "classifier.1": "fc6",
    "classifier.4": "fc7",
    "classifier.6": "fc8",
}
"""torchvision's names of the layers, and ours."""


def read(found: Found) -> Donor:
    """Return the donor of torchvision's file. It does not need torchvision.

    Raises
    ------
    ValueError
        If it is not the file that its name says, or holds other layers or shapes.
    """
    path = found.place
    sha256 = check_sha256(path, SHA256)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise ValueError(f"{path} holds no weights, or more than weights: {error}") from None
    return donor_from_weights(NAME, "alexnet_torchvision", _renamed(state, path), _card(sha256))


def _renamed(state: object, path: Path) -> dict[str, Tensor]:
    names = {f"{t}.{part}": f"{o}.{part}" for t, o in LAYERS.items() for part in ("weight", "bias")}
    if not isinstance(state, dict) or state.keys() != names.keys():
        held = ", ".join(map(str, state)) if isinstance(state, dict) else type(state).__name__
        raise ValueError(f"{path} must hold {', '.join(names)}; got {held}")
    for name, value in state.items():
        if not isinstance(value, Tensor) or not value.isfinite().all():
            raise ValueError(f"{path}: {name} must be a tensor of finite numbers")
    return {names[name]: value for name, value in state.items()}


def _card(sha256: str) -> dict[str, str]:
    return {
        "donor": NAME,
        "architecture": "alexnet_torchvision",
        "trained on": "ImageNet, 1000 classes",
        ACCURACY: "0.5652",
        "accuracy from": "torchvision's documentation; not measured here",
        "source": f"torchvision, AlexNet_Weights.IMAGENET1K_V1, {FILE}",
        "file_sha256": sha256,
        "licence": "torchvision's code is BSD-3-Clause; of these weights it says nothing more",
    }


def _checkpoints() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def _folders(folder: Path | None) -> list[Path]:
    return [*folders(folder), *([_checkpoints()] if folder is None else [])]


def _places(folder: Path | None) -> list[Path]:
    return [place / FILE for place in _folders(folder)]


def _look(folder: Path | None) -> Found | None:
    return next((Found("weights", (p,)) for p in _places(folder) if p.is_file()), None)


def _get(folder: Path | None) -> None:
    """Download it to where torchvision itself would, or to the data folder."""

    def fetch(to: Path) -> None:
        torchvision()
        from torchvision.models import AlexNet_Weights

        from_url(AlexNet_Weights.IMAGENET1K_V1.url, to, SHA256)

    places = _folders(folder)
    download([*places[-1:], *places[:-1]], fetch)


ORIGIN = Origin(
    NAME,
    "AlexNet, ImageNet",
    _places,
    _look,
    f"put https://download.pytorch.org/models/{FILE} (244 MB) in one of these folders",
    _get,
)
"""Where it comes from."""
