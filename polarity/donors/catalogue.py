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
        One of :data:`DONORS`.
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
    one_of("donor", name, DONORS)
    return _cached(name, weights, None if folder is None else Path(folder))


@lru_cache(maxsize=4)
def _cached(name: str, weights: bool, folder: Path | None) -> Donor:
    return DONORS[name].load(folder, weights)


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
            template = PolarityTemplate.load(path)
        card = template.metadata
        found = _weights(name, card["weights_sha256"], folder) if weights else None
        return Donor(name, card["architecture"], template, found, card)

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
