"""Tiny ImageNet: 200 classes of ImageNet in images of 64 pixels; donors are trained on it."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from .._checks import one_of
from .folder import Found, Origin, folders
from .images import ImageSet

__all__ = ["ORIGIN", "tiny_imagenet"]

SIZE = 64
UNPACKED = "tiny-imagenet-200"
COUNTS = {"train": 100_000, "val": 10_000}
PARTS = {
    "train": tuple(f"tiny_imagenet_train_{i}of4.npz" for i in range(1, 5)),
    "val": ("tiny_imagenet_val.npz",),
}
# ImageNet's own, in units of 0 to 255, as torchvision's weights expect them.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


def tiny_imagenet(split: str = "train", *, folder: str | Path | None = None) -> ImageSet:
    """Read Tiny ImageNet.

    Parameters
    ----------
    split
        ``"train"`` (100,000 images) or ``"val"`` (10,000).
    folder
        Where to look, and nowhere else (default: $POLARITY_DATA, then the user's cache): for the
        unpacked ``tiny-imagenet-200``, or for the five files ``tiny_imagenet_*.npz`` that hold the
        same JPEG files laid end to end.

    Returns
    -------
    ImageSet
        uint8 images ``(n, 3, 64, 64)``. The order is that of the files; training shuffles.

    Raises
    ------
    DataNotFound
        If no folder holds it. It is not downloaded by itself.
    ValueError
        If a file is damaged or holds other counts or shapes.
    """
    one_of("split", split, COUNTS)
    found = _origin(split).require(folder)
    if found.kind == "folder":
        return _read_folder(found.place, split)
    return _read_parts(list(found.paths), split)


def _origin(*splits: str) -> Origin:
    names = [name for split in splits for name in PARTS[split]]

    def look(folder: Path | None) -> Found | None:
        for place in folders(folder):
            parts = tuple(place / name for name in names)
            if all(part.is_file() for part in parts):
                return Found("JPEG files end to end", parts)
            if (place / UNPACKED / "wnids.txt").is_file():
                return Found("folder", (place / UNPACKED,))
        return None

    return Origin(
        "tiny_imagenet",
        "Tiny ImageNet, 110,000 colour images of 64 px; to train donors on",
        folders,
        look,
        f"unpack http://cs231n.stanford.edu/{UNPACKED}.zip (237 MB) in one of these folders",
    )


ORIGIN = _origin(*PARTS)
"""Where both splits come from."""


def _read_parts(parts: list[Path], split: str) -> ImageSet:
    def files() -> Iterator[tuple[bytes, int]]:
        for jpeg, offsets, labels in arrays:
            for i, label in enumerate(labels.tolist()):
                yield jpeg[offsets[i] : offsets[i + 1]].tobytes(), label

    arrays = []
    names: tuple[str, ...] = ()
    for part in parts:
        try:
            # numpy does not close what it opened and could not read.
            with part.open("rb") as file, np.load(file, allow_pickle=False) as data:
                jpeg, offsets, labels = data["jpeg"], data["offsets"], data["labels"]
                names = tuple(str(name) for name in data["names"])
        except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, ValueError) as error:
            raise ValueError(f"{part} is damaged or truncated, or another file: {error}") from None
        if len(offsets) != len(labels) + 1:
            raise ValueError(
                f"{part}: {len(labels)} labels need {len(labels) + 1} offsets, got {len(offsets)}"
            )
        if offsets[-1] > len(jpeg):
            raise ValueError(f"{part} ends at byte {offsets[-1]} of {len(jpeg)}")
        arrays.append((jpeg, offsets, labels))
    return _decode(list(files()), names, split, f"{parts[0].parent}/{parts[0].name} and its parts")


def _read_folder(place: Path, split: str) -> ImageSet:
    wnids = (place / "wnids.txt").read_text().split()
    words = dict(line.split("\t", 1) for line in (place / "words.txt").read_text().splitlines())
    label = {wnid: i for i, wnid in enumerate(wnids)}
    if split == "train":
        paths = [
            (path, label[wnid])
            for wnid in wnids
            for path in sorted((place / "train" / wnid / "images").glob("*.JPEG"))
        ]
    else:
        rows = (place / "val" / "val_annotations.txt").read_text().splitlines()
        pairs = (row.split("\t")[:2] for row in rows)
        paths = [(place / "val" / "images" / name, label[wnid]) for name, wnid in pairs]
    files = [(path.read_bytes(), number) for path, number in paths]
    return _decode(files, tuple(words.get(w, w) for w in wnids), split, str(place))


def _decode(
    files: list[tuple[bytes, int]], names: tuple[str, ...], split: str, source: str
) -> ImageSet:
    from joblib import Parallel, delayed
    from tqdm import tqdm

    if len(files) != COUNTS[split]:
        raise ValueError(f"{source}: must hold {COUNTS[split]} images, got {len(files)}")
    images = np.empty((len(files), 3, SIZE, SIZE), dtype=np.uint8)

    def fill(start: int, stop: int) -> int:
        for i in range(start, stop):
            images[i] = _pixels(files[i][0], f"{source}: image {i}")
        return stop - start

    step = 1000
    tasks = (
        delayed(fill)(start, min(start + step, len(files))) for start in range(0, len(files), step)
    )
    # Pillow's decoder releases the interpreter's lock.
    with tqdm(total=len(files), desc=f"Tiny ImageNet, {split}", unit="image", leave=False) as bar:
        for done in Parallel(n_jobs=-1, prefer="threads", return_as="generator")(tasks):
            bar.update(done)
    return ImageSet(
        name="tiny_imagenet",
        split=split,
        images=torch.from_numpy(images),
        labels=torch.tensor([label for _, label in files]),
        classes=names,
        mean=MEAN,
        std=STD,
        source=source,
    )


def _pixels(data: bytes, what: str) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            if image.size != (SIZE, SIZE):
                raise ValueError(f"{what} must be {SIZE} x {SIZE} pixels, got {image.size}")
            return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{what} is no readable JPEG: {error}") from None
