"""The donors of this project, by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from types import MappingProxyType

from torch import Tensor

from ..core import PolarityTemplate
from ..datasets.folder import DataNotFound, Found, Origin, folders
from . import imagenet_caffe, imagenet_lpips, imagenet_torchvision
from .donor import Donor, weights_digest

__all__ = ["DONORS", "Source", "donor"]

SUFFIX = ".safetensors"
_OWN = (
    "train a donor of your own with `python -m polarity.donors.training`, which says where its "
    "files go, and name its template in place of this donor"
)


@dataclass(frozen=True)
class Source:
    """Where a donor comes from.

    Attributes
    ----------
    origin
        How its signs are found: a template in the package, or the file of its weights.
    read
        ``read(found, weights, folder) -> Donor``: reads it, with its weights if they are wanted.
    weights
        How its weights are found, where they are in another file than its signs; otherwise None.
    """

    origin: Origin
    read: Callable[[Found, bool, Path | None], Donor]
    weights: Origin | None = None

    @property
    def title(self) -> str:
        """What it is, for a figure's legend."""
        return self.origin.title


def donor(
    name: str | os.PathLike[str],
    *,
    weights: bool = False,
    folder: str | Path | None = None,
    download: bool = True,
) -> Donor:
    """Return a donor.

    Parameters
    ----------
    name
        One of :data:`DONORS`, or the path of a template file (``.safetensors``) whose metadata name
        the donor and its architecture, as ``python -m polarity.donors.training`` writes it. With
        ``:conv``, ``:fc`` or ``:shuffled`` after it: that variant (:meth:`Donor.variant`).
    weights
        Whether its weights are needed, not only its signs.
    folder
        Data folder to look in (default: $POLARITY_DATA, then the user's cache).
    download
        Whether to download a donor that is nowhere, where that is offered. $POLARITY_OFFLINE
        forbids it too.

    Raises
    ------
    TypeError
        If the name is neither text nor a path.
    ValueError
        If there is no such donor, or its file is damaged.
    DataNotFound
        If it has to be fetched or trained first; the message says how.

    Examples
    --------
    >>> found = donor("tiny_imagenet_64")
    >>> found.architecture, found.layers[:2]
    ('alexnet_64', ('conv1', 'conv2'))
    >>> donor("tiny_imagenet_64:conv").layers
    ('conv1', 'conv2', 'conv3', 'conv4', 'conv5')
    """
    if not isinstance(name, str | os.PathLike):
        raise TypeError(f"name must be a donor's name or a template's path, got {name!r}")
    name = os.fspath(name)
    if name.endswith(SUFFIX):  # a path may hold colons
        whole, part = name, ""
    elif f"{SUFFIX}:" in name:
        whole, _, part = name.rpartition(":")
    else:
        whole, _, part = name.partition(":")
        if whole not in DONORS:
            raise ValueError(
                f"donor must be one of {', '.join(DONORS)}, or the path of a template file that "
                f"ends in {SUFFIX}; got {whole!r}"
            )
    place = None if folder is None else Path(folder)
    return _cached(whole, part, weights, place, download, _state(whole))


def _state(name: str) -> tuple[int, int] | None:
    """What tells a file of the user's from the one that it has been written over with."""
    try:
        found = Path(name).stat() if name.endswith(SUFFIX) else None
    except OSError:
        return None  # reading it will say why
    return found and (found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=4)
def _cached(
    name: str,
    variant: str,
    weights: bool,
    folder: Path | None,
    download: bool,
    state: tuple[int, int] | None,
) -> Donor:
    if variant:
        return _cached(name, "", weights, folder, download, state).variant(variant)
    if name.endswith(SUFFIX):
        return _from_file(Path(name), weights, folder)
    source = DONORS[name]
    return source.read(source.origin.require(folder, download=download), weights, folder)


def _from_file(path: Path, weights: bool, folder: Path | None) -> Donor:
    if not path.is_file():
        raise DataNotFound("the donor's template", [path], "name a template file that is there")
    template = PolarityTemplate.load(path)
    card = template.metadata
    missing = [key for key in ("donor", "architecture", "weights_sha256") if key not in card]
    if missing:
        raise ValueError(f"{path}: the template's metadata must hold {', '.join(missing)}")
    name = card["donor"]
    found = _weights(name, card["weights_sha256"], folder) if weights else None
    return Donor(name, card["architecture"], template, found, dict(card))  # pickle takes no proxy


def _weights(name: str, sha256: str, folder: Path | None) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = _weights_of(name).require(folder).place
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or truncated, or another file: {error}") from None
    if (found := weights_digest(tensors)) != sha256:
        raise ValueError(
            f"{path} holds the weights of another donor than the template of {name}: "
            f"SHA-256 {found}, expected {sha256}. {_OWN}"
        )
    return tensors


def _weights_of(name: str) -> Origin:
    """Return where the weights of a donor are found whose template is elsewhere."""

    def places(folder: Path | None) -> list[Path]:
        return [place / "donors" / f"{name}{SUFFIX}" for place in folders(folder)]

    def look(folder: Path | None) -> Found | None:
        return next((Found("weights", (p,)) for p in places(folder) if p.is_file()), None)

    return Origin(
        f"the weights file of donor {name}",
        f"weights of {name}, for IN-weight conditions",
        places,
        look,
        f"{_OWN}. Without it, leave out frozen_in_weight and fluid_in_weight (--conditions): the "
        "other conditions need its signs alone",
    )


def _trained_here(name: str, title: str) -> Source:
    """Return a donor that this project trained: its template is in the package."""
    resource = files("polarity.donors") / "templates" / f"{name}{SUFFIX}"
    path = Path(str(resource))

    def look(folder: Path | None) -> Found | None:
        return Found("template", (path,)) if resource.is_file() else None

    def read(found: Found, weights: bool, folder: Path | None) -> Donor:
        with as_file(resource) as file:
            return _from_file(file, weights, folder)

    origin = Origin(
        f"the template of donor {name}",
        title,
        lambda folder: [path],
        look,
        f"it belongs to the package: install that again, or {_OWN}",
    )
    return Source(origin, read, _weights_of(name))


def _from_elsewhere(origin: Origin, read: Callable[[Found], Donor]) -> Source:
    """Return a donor whose signs are taken from its weights when it is read."""

    def with_or_without(found: Found, weights: bool, folder: Path | None) -> Donor:
        whole = read(found)
        return whole if weights else replace(whole, weights=None)

    return Source(origin, with_or_without)


DONORS: Mapping[str, Source] = MappingProxyType(
    {
        "tiny_imagenet_64": _trained_here("tiny_imagenet_64", "AlexNet at 64 px, Tiny ImageNet"),
        "tiny_imagenet_227": _trained_here("tiny_imagenet_227", "AlexNet at 227 px, Tiny ImageNet"),
        **{
            module.NAME: _from_elsewhere(module.ORIGIN, module.read)
            for module in (imagenet_torchvision, imagenet_lpips, imagenet_caffe)
        },
    }
)
"""Whose polarity can be transferred, by name, and where the donor comes from.

Those trained here, on Tiny ImageNet, are in the package; those trained on ImageNet elsewhere are
fetched by ``polarity data fetch NAME`` or by hand.
"""
