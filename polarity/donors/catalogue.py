"""The donors of this project, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from types import MappingProxyType

from .._checks import one_of
from ..core import PolarityTemplate
from ..datasets.folder import DataNotFound, folders
from .donor import Donor, weights_digest

__all__ = ["DONORS", "Source", "donor"]

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Source:
    """Where a donor comes from.

    Attributes
    ----------
    title
        What it is, for a figure's legend.
    load
        ``load(folder, weights) -> Donor``: reads it, with its weights if they are wanted.
    """

    title: str
    load: Callable[[Path | None, bool], Donor]


def donor(name: str, *, weights: bool = False, folder: str | Path | None = None) -> Donor:
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

    Raises
    ------
    ValueError
        If there is no such donor, or its file is damaged.
    DataNotFound
        If it has to be fetched or trained first; the message says how.
    """
    whole, _, part = name.partition(":")
    if not whole.endswith(SUFFIX):
        one_of("donor", whole, DONORS)
    found = _cached(whole, weights, None if folder is None else Path(folder))
    return found.variant(part) if part else found


@lru_cache(maxsize=4)
def _cached(name: str, weights: bool, folder: Path | None) -> Donor:
    if name.endswith(SUFFIX):
        return _from_file(Path(name), weights, folder)
    return DONORS[name].load(folder, weights)


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
    return Donor(name, card["architecture"], template, found, card)


def _trained_here(name: str) -> Callable[[Path | None, bool], Donor]:
    """Return the reader of a donor that this project trained: its template is in the package."""

    def load(folder: Path | None, weights: bool) -> Donor:
        resource = files("polarity.donors") / "templates" / f"{name}.safetensors"
        if not resource.is_file():
            raise DataNotFound(
                f"the template of donor {name}",
                [resource],
                f"train it with `python -m polarity.donors.training`, which makes {name}",
            )
        with as_file(resource) as path:
            return _from_file(path, weights, folder)

    return load


def _weights(name: str, sha256: str, folder: Path | None) -> Mapping[str, object]:
    from safetensors.torch import load_file

    places = [place / "donors" / f"{name}.safetensors" for place in folders(folder)]
    for path in places:
        if path.is_file():
            tensors = load_file(path)
            if (found := weights_digest(tensors)) != sha256:
                raise ValueError(
                    f"{path} holds the weights of another donor than the template of {name}: "
                    f"SHA-256 {found}, expected {sha256}"
                )
            return tensors
    raise DataNotFound(
        f"the weights of donor {name}",
        places,
        "its signs are in the package, its weights are not: train it again with "
        "`python -m polarity.donors.training`, or choose conditions without IN-weight",
    )


DONORS: Mapping[str, Source] = MappingProxyType(
    {
        "tiny_imagenet_64": Source(
            "AlexNet at 64 px, Tiny ImageNet", _trained_here("tiny_imagenet_64")
        ),
        "tiny_imagenet_227": Source(
            "AlexNet at 227 px, Tiny ImageNet", _trained_here("tiny_imagenet_227")
        ),
    }
)
"""Whose polarity can be transferred."""
