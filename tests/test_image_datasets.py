"""Image data sets: found where they are, refused where they are damaged."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import struct
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from two_colours import BLUE, RED, jpeg

from polarity.datasets import (
    DataNotFound,
    ImageSet,
    archive,
    cifar10,
    fashion_mnist,
    tiny_imagenet,
)
from polarity.datasets.fashion_mnist import FILES, from_arrays, read_idx
from polarity.datasets.folder import folders

cifar = sys.modules["polarity.datasets.cifar10"]  # the package's name of it is the function
fashion = sys.modules["polarity.datasets.fashion_mnist"]


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLARITY_OFFLINE", "1")


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
    if read is not tiny_imagenet:
        assert "Download: not tried, because $POLARITY_OFFLINE is set" in str(error.value)
    with pytest.raises(ValueError, match="split must be one of train"):
        read("validation", folder=tmp_path)  # type: ignore[operator]


def test_the_order_of_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("POLARITY_DATA", raising=False)
    assert folders() == [tmp_path / "cache" / "polarity" / "data"]
    monkeypatch.setenv("POLARITY_DATA", str(tmp_path / "named"))
    assert folders() == [tmp_path / "named", tmp_path / "cache" / "polarity" / "data"]
    assert folders(tmp_path) == [tmp_path]
    monkeypatch.setenv("HOME", str(tmp_path))  # where the shell has left a tilde
    assert folders("~/sets") == [tmp_path / "sets"]
    monkeypatch.setenv("POLARITY_DATA", "~/named")
    assert folders()[0] == tmp_path / "named"


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


def test_each_channel_has_its_own_mean_and_deviation() -> None:
    images = replace(grey(channels=3), mean=(10.0, 20.0, 30.0), std=(1.0, 2.0, 3.0))
    mean, std = torch.tensor([[10.0, 20.0, 30.0], [1.0, 2.0, 3.0]])[:, :, None, None]
    torch.testing.assert_close(images.inputs(slice(2), 28), (images.images[:2] - mean) / std)


def test_the_first_n() -> None:
    images = grey()
    assert torch.equal(images.first(2).labels, torch.tensor([0, 1]))
    for n, message in [(6, "n must be at most 5"), (0, "at least 1")]:
        with pytest.raises(ValueError, match=message):
            images.first(n)
    assert images.first(5).digest() == images.digest() != images.first(4).digest()


# --- CIFAR-10's original files, and where data are looked for -----------------------------------


def batch(
    n: int = 2,
    *,
    data: object = None,
    labels: object = None,
    drop: bytes = b"",
    start: int = 0,
) -> bytes:
    """One of CIFAR-10's original files, of ``n`` images."""
    pixels = np.arange(start, start + n * 3072).astype(np.uint8).reshape(n, 3072)
    held = {
        b"data": pixels if data is None else data,
        b"labels": [(start + i) % 10 for i in range(n)] if labels is None else labels,
    }
    held.pop(drop, None)
    return pickle.dumps(held, 2)


def batches(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, known: bool = True, **changed: bytes
) -> None:
    """Put six such files into a folder; ``known``: with checksums that fit."""
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(cifar, "BATCH", 2)
    sums = {}
    for split, names in cifar.FILES.items():
        sums[split] = {}
        for number, name in enumerate(names):
            content = changed.get(name, batch(start=number))
            (folder / name).write_bytes(content)
            sums[split][name] = hashlib.md5(content).hexdigest()
    if known:
        monkeypatch.setattr(cifar, "FILES", sums)


@pytest.mark.parametrize("inside", [".", "cifar-10-batches-py"])
def test_cifar10s_original_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    batches(tmp_path / inside, monkeypatch)
    train, test = (cifar10(split, folder=tmp_path) for split in ("train", "test"))
    assert (len(train), len(test)) == (10, 2)
    assert train.labels.tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]  # the files in their order
    # A file's bytes: image by image all red, then all green, then all blue, row by row.
    assert int(train.images[3, 1, 2, 5]) == (1 + 3072 + 1024 + 2 * 32 + 5) % 256
    assert train.source == str(tmp_path / inside) and "JPEG" not in train.source
    assert (train.classes[0], train.classes[9]) == ("airplane", "truck")
    assert (train.mean, train.std) == ((125.3, 123.0, 113.9), (63.0, 62.1, 66.7))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (batch(drop=b"labels"), "must hold 'data' and 'labels'"),
        (pickle.dumps([1], 2), "must hold 'data' and 'labels'"),
        (batch(3), r"data must be uint8 \(2, 3072\), got uint8 \(3, 3072\)"),
        (batch(data=np.zeros((2, 3072), np.int64)), "got int64"),
        (batch(data=[1]), "got no array"),
        (batch(labels=[1]), "there must be 2 labels, one an image, got 1"),
        (batch(labels=[1, 2, 3]), "there must be 2 labels, one an image, got 3"),
        (batch(labels=[1, 10]), "labels must lie in 0 to 9, got 1 to 10"),
        (batch(labels=[-1, 3]), "labels must lie in 0 to 9, got -1 to 3"),
        (batch(labels=[1, None]), "labels must be a list of whole numbers"),
        (batch(labels=np.array([1, 2])), "labels must be a list of whole numbers"),
        (batch()[:-7], "is damaged, or no pickle of numbers"),
        (b"cos\nsystem\n(U\x04exittR.", "was refused: it names os.system"),
    ],
)
def test_other_contents_of_cifar10_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    batches(tmp_path, monkeypatch, data_batch_3=content)
    assert len(cifar10("test", folder=tmp_path)) == 2
    with pytest.raises(ValueError, match=message) as error:
        cifar10("train", folder=tmp_path)
    assert f"{tmp_path / 'data_batch_3'}" in str(error.value)


def test_changed_files_of_cifar10_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch '{tmp_path / 'harmed'}'",)

    batches(tmp_path, monkeypatch, known=False, test_batch=pickle.dumps(Harm()))
    for split in ("train", "test"):
        with pytest.raises(ValueError, match="is truncated or not the original: MD5"):
            cifar10(split, folder=tmp_path)
    content = (tmp_path / "test_batch").read_bytes()
    digest = hashlib.md5(content).hexdigest()
    monkeypatch.setitem(cifar.FILES, "test", {"test_batch": digest})
    with pytest.raises(ValueError, match=r"test_batch was refused: it names \w+\.system"):
        cifar10("test", folder=tmp_path)
    assert not (tmp_path / "harmed").exists()


def test_a_changed_archive_of_cifar10_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"half of it")
    with pytest.raises(ValueError, match=r"tar.gz is truncated or not the original: SHA-256"):
        cifar10(folder=tmp_path)


def test_a_file_too_large_is_not_read_from_an_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "packed.tar.gz"
    with tarfile.open(path, "w:gz") as packed:
        for size in (10, 11):
            entry = tarfile.TarInfo(f"of_{size}")
            entry.size = size
            packed.addfile(entry, io.BytesIO(bytes(size)))
    monkeypatch.setattr(archive, "LARGEST", 10)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert archive.members(path, digest, ["of_10"]) == {"of_10": bytes(10)}
    with pytest.raises(ValueError, match=r"packed\.tar\.gz does not hold of_11"):
        archive.members(path, digest, ["of_10", "of_11"])


def test_originals_are_preferred_to_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the copies lie in a folder that is looked at first."""
    monkeypatch.setenv("POLARITY_DATA", str(tmp_path / "named"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "cifar10_jpeg.npz").write_bytes(b"copies")
    with pytest.raises(ValueError, match=r"cifar10_jpeg.npz is damaged or truncated"):
        cifar10("test")
    batches(tmp_path / "cache" / "polarity" / "data", monkeypatch)
    assert cifar10("test").source == str(tmp_path / "cache" / "polarity" / "data")
    batches(tmp_path / "cache" / "polarity" / "data" / "cifar-10-batches-py", monkeypatch)
    assert cifar10("test").source == str(tmp_path / "cache" / "polarity" / "data")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, ""),
        ({"test_labels": np.zeros(3, int)}, "must hold 2 images, got 3 labels and 3 offsets"),
        ({"test_offsets": np.array([0, 5, 1 << 20])}, "ends at byte 1048576 of"),
        ({k: np.zeros(0, int) for k in ("test_labels", "test_offsets")}, "got 0 labels and 0 off"),
        ({"test_labels": np.array([1, 10])}, "labels must lie in 0 to 9, got 1 to 10"),
        ({"test_jpeg": np.zeros(5000, np.uint8)}, "image 0 is no readable JPEG"),
        ({"class_names": np.array([{}], object)}, "is damaged or truncated, or another file"),
    ],
)
def test_jpeg_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, np.ndarray], message: str
) -> None:
    monkeypatch.setattr(cifar, "COUNTS", {"train": 2, "test": 2})
    files = [jpeg(32, RED, BLUE), jpeg(32, (200,) * 3)]
    arrays = {
        "test_jpeg": np.frombuffer(b"".join(files), np.uint8),
        "test_offsets": np.array([0, len(files[0]), len(files[0] + files[1])]),
        "test_labels": np.array([3, 9]),
        "class_names": np.array(list("abcdefghij")),
        **change,
    }
    np.savez(tmp_path / "cifar10_jpeg.npz", **arrays)
    if message:
        with pytest.raises(ValueError, match=message) as error:
            cifar10("test", folder=tmp_path)
        assert "cifar10" in str(error.value)
        return
    images = cifar10("test", folder=tmp_path)
    assert images.labels.tolist() == [3, 9] and images.classes == tuple("abcdefghij")
    means = images.images.double().mean((1, 2, 3))
    assert means.tolist() == pytest.approx([85, 200], abs=2)
    red, blue = images.images[0, 0, :, :12], images.images[0, 2, :, 20:]
    assert int(red.min()) > 200 and int(blue.min()) > 200
    assert images.source.endswith("cifar10_jpeg.npz, JPEG copy")
    assert not images.original


def test_a_system_copy_is_the_last_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: np.ndarray
) -> None:
    monkeypatch.setenv("POLARITY_DATA", str(tmp_path / "named"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    places = [
        tmp_path / "system",
        tmp_path / "cache" / "polarity" / "data" / "FashionMNIST" / "raw",
        tmp_path / "cache" / "polarity" / "data",
        tmp_path / "named" / "FashionMNIST" / "raw",
        tmp_path / "named",
    ]
    monkeypatch.setattr(fashion, "SYSTEM", places[0])
    arrays = (pixels, np.arange(5, dtype=np.uint8))
    sums = [hashlib.sha256(idx(array)).hexdigest() for array in arrays]
    monkeypatch.setitem(fashion.FILES, "test", dict(zip(FILES["test"], sums, strict=True)))
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        for name, array in zip(FILES["test"], arrays, strict=True):
            (place / name).write_bytes(gzip.compress(idx(array)))
        assert fashion_mnist("test").source == str(place)
    with pytest.raises(DataNotFound):  # who names a folder does not want another's data
        fashion_mnist("test", folder=tmp_path)


def test_data_not_found_comes_back_from_another_process() -> None:
    error = DataNotFound("cifar10", [Path("here")], "by hand", "it failed")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is DataNotFound and str(again) == str(error)
    assert "it failed" in str(error) and "Download" not in str(DataNotFound("a", [], "b"))


@pytest.mark.parametrize("content", [b"no archive", b"PK\3\4 cut short", b""])
def test_a_damaged_part_of_tiny_imagenet_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tiny_imagenet_val.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"tiny_imagenet_val\.npz is damaged or truncated"):
        tiny_imagenet("val", folder=tmp_path)


def test_a_part_of_tiny_imagenet_without_images_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tiny_imagenet_val.npz"
    empty = np.zeros(0, np.int64)
    np.savez(path, jpeg=np.zeros(0, np.uint8), offsets=empty, labels=empty, names=np.array(["a"]))
    with pytest.raises(ValueError, match=r"0 labels need 1 offsets, got 0"):
        tiny_imagenet("val", folder=tmp_path)
