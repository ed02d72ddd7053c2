"""The images of the protocols, read once a process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from .._checks import one_of
from ..datasets.images import ImageSet
from ..protocols import IMAGE_SIZES

__all__ = ["dataset"]


def dataset(name: str, split: str, folder: str | Path | None = None) -> ImageSet:
    """Return a split of a protocol's data set (see :mod:`polarity.datasets`)."""
    one_of("dataset", name, IMAGE_SIZES)
    return _read(name, split, None if folder is None else Path(folder))


@lru_cache(maxsize=4)
def _read(name: str, split: str, folder: Path | None) -> ImageSet:
    from .. import datasets

    reader = {"fashion_mnist": datasets.fashion_mnist, "cifar10": datasets.cifar10}[name]
    return reader(split, folder=folder)
