"""Fashion-MNIST: 28 x 28 grey images of ten kinds of clothing (section 3 of the paper)."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from .._checks import one_of
from .._torchvision import torchvision
from .download import download as download_to
from .download import from_torchvision
from .folder import Found, Origin, folders
from .images import ImageSet

__all__ = ["ORIGIN", "fashion_mnist"]

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
LARGEST = 1 << 26  # bytes; the training images unpack to 47 million
COUNTS = {"train": 60_000, "test": 10_000}
RAW = Path("FashionMNIST") / "raw"  # torchvision's place in a folder
SYSTEM = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist
MEAN, STD = (72.94,), (90.02,)  # the protocol's
# SHA-256 of what the original files unpack to: some distributions have packed them anew.
FILES = {
    "train": {
        "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f8388776"
        "8d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec29"
        "4ff4f6a2e1246121d8633921760443d9",
    },
    "test": {
        "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe0"
        "87ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494"
        "c5af83dab82d92729df917d7dec38c34",
    },
}


def fashion_mnist(
    split: str = "train", *, folder: str | Path | None = None, download: bool = True
) -> ImageSet:
    """Read Fashion-MNIST from its original files (``*-ubyte.gz``).

    Parameters
    ----------
    split
        ``"train"`` (60,000 images) or ``"test"`` (10,000).
    folder
        The only folder to look in, and to download to. By default: $POLARITY_DATA, the user's
        cache, and where Debian puts its package ``dataset-fashion-mnist``. In each also
        ``FashionMNIST/raw``, where torchvision puts its download.
    download
        Whether to download what is nowhere (31 MB), by torchvision. $POLARITY_OFFLINE forbids it
        too.

    Returns
    -------
    ImageSet
        uint8 images ``(n, 1, 28, 28)``, in the order of the files.

    Raises
    ------
    DataNotFound
        If no folder holds the files, and they could not be downloaded.
    ValueError
        If a file is not the original: truncated, changed, of another kind or count.
    """
    one_of("split", split, COUNTS)
    paths = _origin(split).require(folder, download=download).paths
    images, labels = (
        read_idx(path, sha256) for path, sha256 in zip(paths, FILES[split].values(), strict=True)
    )
    return from_arrays(images, labels, split, str(paths[0].parent))


def _places(folder: Path | None) -> list[Path]:
    places = [p for f in folders(folder) for p in (f, f / RAW)]
    return [*places, SYSTEM] if folder is None else places


def _get(folder: Path | None) -> None:
    """Download all four files through torchvision, to where it puts them itself."""

    def fetch(to: Path) -> None:
        torchvision()
        from torchvision.datasets import FashionMNIST

        for name, md5 in FashionMNIST.resources:
            from_torchvision(FashionMNIST.mirrors[0] + name, to, md5)

    download_to([place / RAW for place in folders(folder)], fetch)


def _origin(*splits: str) -> Origin:
    names = [name for split in splits for name in FILES[split]]

    def look(folder: Path | None) -> Found | None:
        for place in _places(folder):
            paths = tuple(place / name for name in names)
            if all(path.is_file() for path in paths):
                return Found("original", paths)
        return None

    return Origin(
        "fashion_mnist",
        "Fashion-MNIST, 70,000 grey images of 28 px",
        _places,
        look,
        "`apt install dataset-fashion-mnist` (Debian, Ubuntu); or put the four files "
        "*-ubyte.gz of "
        "https://github.com/zalandoresearch/fashion-mnist in one of these folders",
        _get,
    )


ORIGIN = _origin("train", "test")
"""Where both splits come from."""


def from_arrays(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], split: str, source: str
) -> ImageSet:
    """Return the set of arrays ``(n, 28, 28)`` and ``(n,)``; their fit is checked.

    Raises
    ------
    ValueError
        If shapes or counts differ, or a label is none of the ten.
    """
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise ValueError(
            f"{source}: images (n, 28, 28) and labels (n,) must be as many, got {images.shape} and "
            f"{labels.shape}"
        )
    return ImageSet(
        name="fashion_mnist",
        split=split,
        images=torch.tensor(images[:, None]),
        labels=torch.tensor(labels.astype(np.int64)),
        classes=CLASSES,
        mean=MEAN,
        std=STD,
        source=source,
    )


def read_idx(path: Path, sha256: str | None = None) -> NDArray[np.uint8]:
    """Read a gzipped idx file of bytes.

    Parameters
    ----------
    path
        The file.
    sha256
        Checksum that its unpacked content must have, in hexadecimal digits.

    Raises
    ------
    ValueError
        If the checksum differs, the file is truncated, or it does not hold unsigned bytes of the
        shape that its header gives.
    """
    try:
        with gzip.open(path) as file:
            content = file.read(LARGEST + 1)  # no more, whatever it would unpack to
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged or truncated: {error}") from None
    if len(content) > LARGEST:
        raise ValueError(f"{path} unpacks to more than {LARGEST} bytes, no file of this data set")
    # Two zeros, the type (8: unsigned bytes), the number of dimensions.
    if len(content) < 4 or content[:3] != b"\0\0\x08" or not 1 <= content[3] <= 3:
        raise ValueError(f"{path} is no idx file of bytes: it begins with {content[:4].hex()}")
    dimensions = content[3]
    header = 4 + 4 * dimensions
    shape = [int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(dimensions)]
    if len(content) - header != int(np.prod(shape, dtype=object)):
        raise ValueError(
            f"{path} must hold {' x '.join(map(str, shape))} bytes after its header, got "
            f"{len(content) - header}"
        )
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise ValueError(
            f"{path} does not hold the original images: SHA-256 {found}, expected {sha256}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
