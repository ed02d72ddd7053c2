"""CIFAR-10: 32 x 32 colour images of ten kinds of things (section 3 of the paper)."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from .._checks import one_of
from .folder import DataNotFound, folders
from .images import ImageSet

__all__ = ["cifar10"]

COUNTS = {"train": 50_000, "test": 10_000}
COPY = "cifar10_jpeg.npz"
MEAN, STD = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)  # the protocol's


def cifar10(split: str = "train", *, folder: str | Path | None = None) -> ImageSet:
    """Read CIFAR-10 from JPEG copies of its images.

    Parameters
    ----------
    split
        ``"train"`` (50,000 images) or ``"test"`` (10,000).
    folder
        The only folder to look in; by default $POLARITY_DATA and the user's cache.

    Returns
    -------
    ImageSet
        uint8 images ``(n, 3, 32, 32)``. ``source`` says "JPEG copy": the copies are lossy, and what
        is computed from them must say so.

    Raises
    ------
    DataNotFound
        If no folder holds ``cifar10_jpeg.npz``.
    ValueError
        If the file is damaged or holds other counts or shapes.
    """
    one_of("split", split, COUNTS)
    places = folders(folder)
    for place in places:
        if (place / COPY).is_file():
            return _read_copy(place / COPY, split)
    raise DataNotFound("cifar10", [p / COPY for p in places], f"put {COPY} in one of them")


def _read_copy(path: Path, split: str) -> ImageSet:
    with np.load(path, allow_pickle=False) as data:
        jpeg, offsets, labels = (data[f"{split}_{k}"] for k in ("jpeg", "offsets", "labels"))
        classes = tuple(str(name) for name in data["class_names"])
    n = COUNTS[split]
    if len(labels) != n or len(offsets) != n + 1 or offsets[-1] > len(jpeg):
        raise ValueError(
            f"{path}: {split} must hold {n} images, got {len(labels)} labels and {len(offsets)} "
            f"offsets, the last {offsets[-1]} of {len(jpeg)} bytes"
        )
    images = np.empty((n, 3, 32, 32), np.uint8)
    for i in range(n):
        images[i] = _pixels(jpeg[offsets[i] : offsets[i + 1]].tobytes(), f"{path}: image {i}")
    return ImageSet(
        name="cifar10",
        split=split,
        images=torch.from_numpy(images),
        labels=torch.tensor(labels.astype(np.int64)),
        classes=classes,
        mean=MEAN,
        std=STD,
        source=f"{path}, JPEG copy",
    )


def _pixels(content: bytes, what: str) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{what} is no readable JPEG: {error}") from None
    if pixels.shape != (32, 32, 3):
        raise ValueError(
            f"{what} must be 32 x 32 pixels, got {pixels.shape[1]} x {pixels.shape[0]}"
        )
    return pixels.transpose(2, 0, 1)
