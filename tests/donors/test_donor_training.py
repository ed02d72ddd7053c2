"""Donors are trained, continued exactly, and found where their command puts them."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from polarity.datasets import DataNotFound, ImageSet
from polarity.donors import donor, training
from polarity.donors.donor import ACCURACY
from polarity.donors.training import Recipe, main, train_donor


def images(n: int) -> ImageSet:
    """Colour images of 64 pixels, bright by class."""
    generator = torch.Generator().manual_seed(n)
    labels = torch.arange(n) % 4
    pixels = torch.randint(60, (n, 3, 64, 64), dtype=torch.uint8, generator=generator)
    pixels += (60 * labels[:, None, None, None]).to(torch.uint8)
    scale = (120.0,) * 3, (60.0,) * 3
    return ImageSet("made up", "train", pixels, labels, tuple("abcdef"), *scale, "made up")


@pytest.fixture(autouse=True)
def single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many processors only emulate bfloat16, slowly."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())


def weights(folder: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(folder / "weights_2.pt", weights_only=True)
    return state


def test_a_training_that_was_stopped_is_continued_exactly(tmp_path: Path) -> None:
    recipe = Recipe(epochs=2, batch_size=4)
    whole = train_donor(recipe, images(8), images(4), tmp_path / "whole")
    assert whole is not None and len(whole["epochs"]) == 2
    parts = tmp_path / "parts"
    assert train_donor(recipe, images(8), images(4), parts, stop_after=0) is None
    again = train_donor(recipe, images(8), images(4), parts)
    assert again is not None
    for name in ("train_loss", "val_top1", "val_top5"):
        assert [e[name] for e in again["epochs"]] == [e[name] for e in whole["epochs"]]
    expected = weights(tmp_path / "whole")
    assert all(torch.equal(weight, expected[name]) for name, weight in weights(parts).items())
    assert json.loads((parts / "record.json").read_text())["recipe"]["batch_size"] == 4
    with pytest.raises(ValueError, match="holds the training of another donor"):
        train_donor(Recipe(epochs=2, batch_size=4, seed=1), images(8), images(4), parts)
    turned = images(8)
    turned = replace(turned, labels=turned.labels.flip(0))
    for sets in ((turned, images(4)), (images(8), replace(images(4), labels=turned.labels[:4]))):
        with pytest.raises(ValueError, match=r"holds a training on other images or labels"):
            train_donor(recipe, *sets, parts)
    with pytest.raises(ValueError, match="batch_size must be at most 3, the number of images"):
        train_donor(recipe, images(3), images(4), tmp_path / "few")
    state = torch.load(parts / "state.pt", weights_only=True)
    del state["record"]["data"]["sha256"]  # as versions left it that did not record them
    torch.save(state, parts / "state.pt")
    with pytest.raises(ValueError, match=r"validation images is not recorded, that of these is"):
        train_donor(recipe, images(8), images(4), parts)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"dropout": 1.0}, ValueError, "dropout must be at least 0 and less than 1, got 1.0"),
        ({"dropout": "a"}, TypeError, "dropout must be a number, got 'a'"),
        ({"smoothing": -0.1}, ValueError, "smoothing must be at least 0 and less than 1"),
        ({"weight_decay": -1.0}, ValueError, "weight_decay must be at least 0 and less than inf"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
    ],
)
def test_a_recipe_is_checked(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Recipe(**changes)


def test_a_recipe_holds_plain_numbers() -> None:
    recipe = Recipe(epochs=np.int64(2), lr=1, weight_decay=np.float32(0.5))  # type: ignore[arg-type]
    assert recipe == Recipe(epochs=2, lr=1.0, weight_decay=0.5)
    assert [type(value) for value in (recipe.epochs, recipe.lr)] == [int, float]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def tiny(split: str, *, folder: Path | None = None) -> ImageSet:
        assert folder == tmp_path
        return images(128 if split == "train" else 8)

    monkeypatch.setattr(training, "tiny_imagenet", tiny)
    return tmp_path


def test_the_command_puts_a_donor_where_it_is_found(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--data", str(data), "--name", "mine", "--epochs", "1", "--device", "cpu"]
    assert main(command) == 0
    said = capsys.readouterr().out
    template, held = (data / "donors" / name for name in ("mine/template/mine", "mine"))
    template, held = (path.with_suffix(".safetensors") for path in (template, held))
    assert f"template: {template}\nweights: {held}\n" in said
    assert f"polarity.sweep images --tier reduced --donor {template} --data {data}\n" in said
    assert len(list(data.rglob("*.safetensors"))) == 2  # 250 MB of weights are there once
    mine = donor(str(template), weights=True, folder=data)
    assert mine.name == "mine" and "last" not in mine.layers and mine.weights is not None
    assert 0 <= float(mine.card[ACCURACY]) <= 1
    signs = donor(template, folder=data)
    assert signs.digest == signs.template.digest() != mine.digest
    for name, sign in mine.template.items():
        assert torch.equal(sign, mine.weights[name].sign().to(sign.dtype))
    odd = data / "of run:1 and 2" / "mine.safetensors"
    odd.parent.mkdir()
    shutil.copy(template, odd)
    for name, layers in ((str(odd), mine.layers), (f"{odd}:conv", mine.layers[:5])):
        assert donor(name, folder=data).layers == layers  # a path may hold colons
    assert main([*command, "--out", str(odd.parent)]) == 0
    assert f"--donor '{odd.parent}/" in capsys.readouterr().out  # to be copied into a shell
    before = donor(odd, folder=data).digest
    shutil.copy(Path(training.__file__).parent / "templates/tiny_imagenet_64.safetensors", odd)
    assert donor(odd, folder=data).digest != before
    shutil.rmtree(odd.parent)
    assert main(command) == 0  # nothing is left to train
    assert main([*command, "--out", str(data)]) == 0  # the data folder itself
    assert main([*command, "--lr", "0.1"]) == 1
    assert "holds the training of another donor" in capsys.readouterr().err

    whole = held.read_bytes()
    for content, message in [
        (whole[:1000], "mine.safetensors is damaged or truncated, or another file"),
        (whole[:-4] + b"\0\1\2\3", "holds the weights of another donor than the template of mine"),
    ]:
        held.write_bytes(content)
        # What was read before is kept, by the template's path.
        template = template.rename(template.with_name(f"{len(content)}.safetensors"))
        with pytest.raises(ValueError, match=message):
            donor(str(template), weights=True, folder=data)


def test_without_images_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nowhere(split: str, *, folder: Path | None = None) -> ImageSet:
        raise DataNotFound("tiny_imagenet", [folder], "by hand")

    monkeypatch.setattr(training, "tiny_imagenet", nowhere)
    assert main(["--data", str(tmp_path)]) == 1
    assert "tiny_imagenet was not found" in capsys.readouterr().err
    assert main(["--data", str(tmp_path), "--epochs", "0"]) == 1
    assert "epochs must be at least 1, got 0" in capsys.readouterr().err
    if not torch.cuda.is_available():
        monkeypatch.setattr(training, "tiny_imagenet", lambda *_, **__: pytest.fail("was read"))
        assert main(["--data", str(tmp_path), "--device", "cuda"]) == 1
        assert "there is no 'cuda' device" in capsys.readouterr().err


def test_what_cannot_be_kept_is_not_trained(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "donors").touch()  # no folder can be made there
    monkeypatch.setattr(training, "train_donor", lambda *_, **__: pytest.fail("was trained"))
    assert main(["--data", str(data), "--out", str(data / "elsewhere")]) == 1
    assert str(data / "donors") in capsys.readouterr().err


def test_where_the_minutes_end_the_command_says_how_to_go_on(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(data), "--epochs", "2", "--device", "cpu", "--minutes", "0"]) == 3
    assert "run it again to go on" in capsys.readouterr().out
