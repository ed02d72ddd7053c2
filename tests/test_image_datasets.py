"""Image data sets: found where they are, refused where they are damaged."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from polarity.datasets import DataNotFound, ImageSet, cifar10, fashion_mnist, tiny_imagenet
from polarity.datasets.fashion_mnist import FILES, from_arrays, read_idx
from polarity.datasets.folder import folders


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    return (
        bytes([0, 0, kind, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + (array.tobytes())
    )


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)


def grey(n: int = 5, size: int = 28, channels: int = 1) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    return ImageSet(
        "made_up",
        "train",
        torch.randint(256, (n, channels, size, size), dtype=torch.uint8, generator=generator),
        torch.arange(n) % 10,
        tuple("abcdefghij"),
        (72.94,) * channels,
        (90.02,) * channels,
        "made up",
    )


def test_an_idx_file_is_read(tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx(pixels)))
    np.testing.assert_array_equal(read_idx(path), pixels)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda good: gzip.compress(good)[:-9], "damaged or truncated"),
        (lambda good: good, "damaged or truncated"),
        (lambda good: gzip.compress(good[:-1]), "must hold 5 x 28 x 28 bytes.*, got 3919"),
        (lambda good: gzip.compress(good + b"\0"), "got 3921"),
        (lambda good: gzip.compress(b"\0\0\x0d" + good[3:]), "it begins with 00000d03"),
        (lambda good: gzip.compress(b"\0\0\x08\xff" + good[4:]), "it begins with 000008ff"),
        (lambda good: gzip.compress(b""), "no idx file"),
        (lambda good: gzip.compress(bytes(1 << 26) + b"bomb"), "unpacks to more than"),
        (lambda good: b"", "no idx file|damaged"),
        (
            lambda good: gzip.compress(good[:4] + struct.pack(">3I", *[2**32 - 1] * 3)),
            "4294967295 x 4294967295",
        ),
    ],
)
def test_a_damaged_idx_file_is_refused(
    tmp_path: Path, pixels: np.ndarray, content: object, message: str
) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(content(idx(pixels)))  # type: ignore[operator]
    with pytest.raises(ValueError, match=message) as error:
        read_idx(path)
    assert str(path) in str(error.value)


def test_changed_files_are_refused(tmp_path: Path, pixels: np.ndarray) -> None:
    for name in FILES["test"]:
        (tmp_path / name).write_bytes(gzip.compress(idx(pixels)))
    with pytest.raises(ValueError, match="does not hold the original images: SHA-256"):
        fashion_mnist("test", folder=tmp_path)


def test_counts_and_labels_are_checked(pixels: np.ndarray) -> None:
    labels = np.arange(5, dtype=np.uint8)
    assert len(from_arrays(pixels, labels, "train", "here")) == 5
    with pytest.raises(ValueError, match=r"must be as many, got \(5, 28, 28\) and \(4,\)"):
        from_arrays(pixels, labels[:4], "train", "here")
    with pytest.raises(ValueError, match="labels must lie in 0 to 9, got 6 to 10"):
        from_arrays(pixels, labels + np.uint8(6), "train", "here")


@pytest.mark.parametrize("read", [fashion_mnist, cifar10, tiny_imagenet])
def test_what_is_missing_is_said(
    read: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataNotFound, match="Looked in") as error:
        read(folder=tmp_path)  # type: ignore[operator]
    assert str(tmp_path) in str(error.value) and "To get it: " in str(error.value)
    with pytest.raises(ValueError, match="split must be one of train"):
        read("validation", folder=tmp_path)  # type: ignore[operator]


def test_the_order_of_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("POLARITY_DATA", raising=False)
    assert folders() == [tmp_path / "cache" / "polarity" / "data"]
    monkeypatch.setenv("POLARITY_DATA", str(tmp_path / "named"))
    assert folders() == [tmp_path / "named", tmp_path / "cache" / "polarity" / "data"]
    assert folders(tmp_path) == [tmp_path]


def test_the_real_images_if_they_are_here() -> None:
    try:
        train, test = fashion_mnist("train"), fashion_mnist("test")
    except DataNotFound as error:
        pytest.skip(str(error).splitlines()[0])
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.labels.bincount().tolist() == [6000] * 10
    values = train.images.double()
    assert float(values.mean()) == pytest.approx(train.mean[0], abs=0.01)
    assert float(values.std()) == pytest.approx(train.std[0], abs=0.01)


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3)])
def test_inputs_are_standardised_resized_and_coloured(size: int, channels: int) -> None:
    images = grey(size=size, channels=channels)
    got = images.inputs(torch.tensor([3, 1]), 64)
    assert got.shape == (2, 3, 64, 64) and got.dtype == torch.float32
    x = (images.images[[3, 1]].double() - 72.94) / 90.02
    expected = functional.interpolate(x, (64, 64), mode="bilinear", align_corners=False)
    torch.testing.assert_close(got.double(), expected.expand(-1, 3, -1, -1), atol=1e-5, rtol=1e-5)
    same = images.inputs(slice(0, 2), size)
    torch.testing.assert_close(
        same[0, 0].double(), (images.images[0, 0].double() - 72.94) / 90.02, atol=1e-5, rtol=1e-5
    )


def test_the_first_n() -> None:
    images = grey()
    assert torch.equal(images.first(2).labels, torch.tensor([0, 1]))
    for n, message in [(6, "n must be at most 5"), (0, "at least 1")]:
        with pytest.raises(ValueError, match=message):
            images.first(n)
    assert images.first(5).digest() == images.digest() != images.first(4).digest()
