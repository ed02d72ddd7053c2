"""CIFAR-10: 32 x 32 colour images of ten kinds of things (section 3 of the paper)."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from .._checks import one_of
from .._torchvision import torchvision
from . import pickles
from .archive import members
from .download import download as download_to
from .download import from_torchvision
from .folder import Found, Origin, folders
from .images import ImageSet

__all__ = ["ORIGIN", "cifar10"]

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
COUNTS = {"train": 50_000, "test": 10_000}
MEAN, STD = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)  # the protocol's
ARCHIVE = "cifar-10-python.tar.gz"
ARCHIVE_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
INSIDE = "cifar-10-batches-py"
# MD5, as torchvision gives it: it tells damage. What a forger might write, the reader refuses.
FILES = {
    "train": {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    "test": {"test_batch": "40351d587109b95175f43aff81a1287e"},
}
BATCH = 10_000  # images in a file
COPY = "cifar10_jpeg.npz"
JPEG_COPY = "JPEG copy"


def cifar10(
    split: str = "train", *, folder: str | Path | None = None, download: bool = True
) -> ImageSet:
    """Read CIFAR-10 from its original files, or from JPEG copies of its images.

    Parameters
    ----------
    split
        ``"train"`` (50,000 images) or ``"test"`` (10,000).
    folder
        The only folder to look in, and to download to; by default $POLARITY_DATA and the user's
        cache. It may hold ``cifar-10-batches-py`` (or what is in it), ``cifar-10-python.tar.gz``,
        or ``cifar10_jpeg.npz``. Originals in any folder are preferred to copies in any other.
    download
        Whether to download the originals (170 MB), by torchvision, if there is neither. A copy that
        is there is used; ``polarity data fetch cifar10`` gets the originals all the same.
        $POLARITY_OFFLINE forbids downloads too.

    Returns
    -------
    ImageSet
        uint8 images ``(n, 3, 32, 32)``. Where ``original`` is false they are lossy copies, and in
        another order: what is computed from them must say so.

    Raises
    ------
    DataNotFound
        If no folder holds any of these, and the originals could not be downloaded.
    ValueError
        If a file is damaged or not the original, or holds other counts or shapes.
    """
    one_of("split", split, COUNTS)
    found = _origin(split).require(folder, download=download)
    if found.lossy:
        return _read_copy(found.place, split)
    first = found.paths[0]
    packed = first.name == ARCHIVE
    batches = _archived(first, split) if packed else _unpacked(found, split)
    images, labels = zip(*(_read_batch(*batch) for batch in batches), strict=True)
    source = str(first if packed else first.parent)
    return _image_set(np.concatenate(images), np.concatenate(labels), split, source)


def _places(folder: Path | None) -> list[Path]:
    originals = [p for f in folders(folder) for p in (f, f / INSIDE, f / ARCHIVE)]
    return [*originals, *(f / COPY for f in folders(folder))]


def _get(folder: Path | None) -> None:
    """Download the original archive through torchvision, to where it puts it itself."""

    def fetch(to: Path) -> None:
        torchvision()
        from torchvision.datasets import CIFAR10

        from_torchvision(CIFAR10.url, to, CIFAR10.tgz_md5)

    download_to(folders(folder), fetch)


def _originals(folder: Path | None, *splits: str) -> Found | None:
    names = [name for split in splits for name in FILES[split]]
    for place in folders(folder):
        for inside in (place, place / INSIDE):
            paths = tuple(inside / name for name in names)
            if all(path.is_file() for path in paths):
                return Found("original", paths)
        if (place / ARCHIVE).is_file():
            return Found("original", (place / ARCHIVE,))
    return None


def _origin(*splits: str) -> Origin:
    def look(folder: Path | None) -> Found | None:
        if (found := _originals(folder, *splits)) is not None:
            return found
        copies = (place / COPY for place in folders(folder))
        return next((Found(JPEG_COPY, (c,), lossy=True) for c in copies if c.is_file()), None)

    return Origin(
        "cifar10",
        "CIFAR-10, 60,000 colour images of 32 px",
        _places,
        look,
        f"put https://www.cs.toronto.edu/~kriz/{ARCHIVE} in one of these folders",
        _get,
    )


ORIGIN = _origin("train", "test")
"""Where both splits come from."""


def _unpacked(found: Found, split: str) -> Iterator[tuple[bytes, str]]:
    """Yield each original file's content, and its name for messages."""
    for path, md5 in zip(found.paths, FILES[split].values(), strict=True):
        content = path.read_bytes()
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if digest != md5:
            raise ValueError(
                f"{path} is truncated or not the original: MD5 {digest}, expected {md5}"
            )
        yield content, str(path)


def _archived(path: Path, split: str) -> Iterator[tuple[bytes, str]]:
    """Yield the same from the archive, whose checksum covers them."""
    names = {f"{INSIDE}/{name}": name for name in FILES[split]}
    for inside, content in members(path, ARCHIVE_SHA256, names).items():
        yield content, f"{path}: {names[inside]}"


def _read_batch(content: bytes, what: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the images ``(10000, 3, 32, 32)`` and labels of one original file, a pickle."""
    held = pickles.load(content, what)
    if not isinstance(held, dict) or not {b"data", b"labels"} <= held.keys():
        raise ValueError(f"{what} must hold 'data' and 'labels'")
    stored, labels = held[b"data"], held[b"labels"]
    array = stored.array if isinstance(stored, pickles.Stored) else None
    if array is None or array.dtype != np.uint8 or array.shape != (BATCH, 3 * 32 * 32):
        got = "no array" if array is None else f"{array.dtype} {array.shape}"
        raise ValueError(f"{what}: data must be uint8 ({BATCH}, 3072), got {got}")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise ValueError(f"{what}: labels must be a list of whole numbers")
    if len(labels) != BATCH:
        raise ValueError(f"{what}: there must be {BATCH} labels, one an image, got {len(labels)}")
    if not all(0 <= label < len(CLASSES) for label in labels):
        raise ValueError(f"{what}: labels must lie in 0 to 9, got {min(labels)} to {max(labels)}")
    return array.reshape(BATCH, 3, 32, 32).astype(np.uint8), np.array(labels, np.int64)


def _read_copy(path: Path, split: str) -> ImageSet:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            jpeg, offsets, labels = (data[f"{split}_{k}"] for k in ("jpeg", "offsets", "labels"))
            classes = tuple(str(name) for name in data["class_names"])
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, ValueError) as error:
        raise ValueError(f"{path} is damaged or truncated, or another file: {error}") from None
    n = COUNTS[split]
    if len(labels) != n or len(offsets) != n + 1:
        raise ValueError(
            f"{path}: {split} must hold {n} images, got {len(labels)} labels and {len(offsets)} "
            "offsets"
        )
    if offsets[-1] > len(jpeg):
        raise ValueError(f"{path}: {split} ends at byte {offsets[-1]} of {len(jpeg)}")
    images = np.empty((n, 3, 32, 32), np.uint8)
    for i in range(n):
        images[i] = _pixels(jpeg[offsets[i] : offsets[i + 1]].tobytes(), f"{path}: image {i}")
    whole = _image_set(images, labels, split, f"{path}, {JPEG_COPY}", classes)
    return replace(whole, original=False)


def _image_set(
    images: NDArray[np.generic],
    labels: NDArray[np.generic],
    split: str,
    source: str,
    classes: tuple[str, ...] = CLASSES,
) -> ImageSet:
    return ImageSet(
        name="cifar10",
        split=split,
        images=torch.tensor(images),
        labels=torch.tensor(labels.astype(np.int64)),
        classes=classes,
        mean=MEAN,
        std=STD,
        source=source,
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
