"""Donors are trained, continued exactly, and found where their command puts them."""

from __future__ import annotations

import json
import shutil
from collections import OrderedDict
from contextlib import nullcontext
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_pre_hook

from polarity.datasets import DataNotFound, ImageSet
from polarity.donors import donor, training
from polarity.donors.donor import ACCURACY, weights_digest
from polarity.donors.training import Recipe, accuracy, export, main, train_donor


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
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(data), "--epochs", "2", "--device", "cpu", "--minutes", "0"]) == 3
    assert "run it again to go on" in capsys.readouterr().out
    seconds: list[float] = []
    monkeypatch.setattr(
        training, "train_donor", lambda *_, stop_after, **__: seconds.append(stop_after)
    )
    assert main(["--data", str(data), "--device", "cpu", "--minutes", "2"]) == 3
    assert seconds == [120]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train a network of one convolution; to a donor, it is an AlexNet without the other layers."""

    def network(architecture: str, classes: int) -> nn.Sequential:
        return nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(3, 96, 11, stride=4, padding=2),
                pool=nn.AdaptiveAvgPool2d(1),
                flatten=nn.Flatten(),
                dropout=nn.Dropout(),
                last=nn.Linear(96, classes),
            )
        )

    monkeypatch.setattr(training, "alexnet", network)


@pytest.mark.usefixtures("small")
def test_every_epoch_trains_on_each_image_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, Any]] = []
    losses: list[float] = []
    states: set[bytes] = set()
    rates: list[float] = []
    inputs, cross_entropy = ImageSet.inputs, functional.cross_entropy

    def watched(self: ImageSet, index: Any, size: int) -> Tensor:
        seen.append((len(self), index))
        return inputs(self, index, size)

    def measured(*arguments: Any, **options: Any) -> Tensor:
        loss = cross_entropy(*arguments, **options)
        losses.append(loss.item())
        states.add(torch.get_rng_state().numpy().tobytes())
        return loss

    monkeypatch.setattr(ImageSet, "inputs", watched)
    monkeypatch.setattr(functional, "cross_entropy", measured)
    recipe = Recipe(epochs=5, batch_size=4)
    with register_optimizer_step_pre_hook(lambda o, *_: rates.append(o.param_groups[0]["lr"])):
        record = train_donor(recipe, images(8), images(4), tmp_path, device="cpu")
    assert [n for n, index in seen if isinstance(index, slice)] == [4] * 5  # the accuracies
    orders = torch.cat([index for n, index in seen if n == 8]).view(5, 8)
    assert (orders.sort(dim=1).values == torch.arange(8)).all()
    assert len(orders.unique(dim=0)) == 5
    assert len(states) == 10  # dropout leaves out other units in every step
    means = np.reshape(losses, (5, 2)).mean(axis=1)
    assert record is not None
    assert [row["train_loss"] for row in record["epochs"]] == pytest.approx(means)
    assert rates[:2] == pytest.approx([recipe.lr / 25, recipe.lr])
    assert (np.diff(rates[1:]) < 0).all() and rates[-1] < recipe.lr / 1000
    kept = {path.name for path in tmp_path.glob("weights_*")}
    assert kept == {f"weights_{epoch}.pt" for epoch in (1, 2, 4, 5)}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "change", [{"smoothing": 0.3}, {"dropout": 0.6}, {"weight_decay": 0.5}, {"seed": 1}], ids=str
)
def test_training_follows_its_recipe(change: dict[str, Any], tmp_path: Path) -> None:
    usual = Recipe(epochs=1, batch_size=4)
    trained = []
    for recipe in (usual, usual, replace(usual, **change)):
        folder = tmp_path / str(len(trained))
        train_donor(recipe, images(8), images(4), folder, device="cpu")
        trained.append(weights_digest(torch.load(folder / "weights_1.pt", weights_only=True)))
    assert trained[0] == trained[1] != trained[2]


@pytest.mark.usefixtures("small")
def test_a_full_disk_leaves_what_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(what: object, file: Any) -> None:
        with open(file, "wb") if isinstance(file, Path) else nullcontext(file) as opened:
            opened.write(b"half")
            raise OSError("no space left on device")

    sets, recipe = (images(8), images(4)), Recipe(epochs=4, batch_size=4)
    for _ in range(2):  # epoch 2 saves weights first, epoch 3 the state alone
        assert train_donor(recipe, *sets, tmp_path, device="cpu", stop_after=0) is None
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with monkeypatch.context() as patch:
            patch.setattr(torch, "save", full)
            with pytest.raises(OSError, match="no space left"):
                train_donor(recipe, *sets, tmp_path, device="cpu")
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert train_donor(recipe, *sets, tmp_path, device="cpu") is not None


@pytest.mark.usefixtures("small")
def test_the_card_of_an_earlier_epoch_is_that_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = iter([(0.1, 0.2), (0.3, 0.4), (0.5, 0.6)])
    monkeypatch.setattr(training, "accuracy", lambda *_: next(reached))
    train_donor(Recipe(epochs=3, batch_size=4), images(8), images(4), tmp_path, device="cpu")
    for epoch, shares in ((1, "0.1 0.2"), (2, "0.3 0.4"), (None, "0.5 0.6")):
        template, _ = export(tmp_path, f"e{epoch}", epoch=epoch)
        card = donor(template, folder=tmp_path).card
        top1, top5 = card[ACCURACY], card["top-5 accuracy, validation"]
        assert f"{float(top1)} {float(top5)}" == shares
        kept = torch.load(tmp_path / f"weights_{epoch or 3}.pt", weights_only=True)
        del kept["last.weight"], kept["last.bias"]
        assert card["weights_sha256"] == weights_digest(kept)
        assert (card["donor"], card["epochs"]) == (f"e{epoch}", str(epoch or 3))


def test_a_digest_of_weights_is_of_their_names_too() -> None:
    weight, bias = torch.ones(2, 2), torch.zeros(2)
    digest = weights_digest({"conv1.weight": weight, "conv1.bias": bias})
    assert digest == weights_digest({"conv1.bias": bias, "conv1.weight": weight})
    assert digest != weights_digest({"conv2.weight": weight, "conv2.bias": bias})


def test_accuracy_counts_the_first_and_the_first_five() -> None:
    ranks = torch.tensor([0, 2, 5, 4, 0, 6, 1])  # how many classes each image's own comes after

    class Known(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            image = x[:, 0, 0, 0].long()  # its label is its number
            return -((torch.arange(7) - image[:, None] + ranks[image, None]) % 7).float()

    numbers = torch.arange(7)
    pixels = numbers.to(torch.uint8)[:, None, None, None]
    few = ImageSet("made up", "val", pixels, numbers, tuple("abcdefg"), (0.0,), (1.0,), "made up")
    assert accuracy(Known(), few, size=1, batch_size=3) == pytest.approx((2 / 7, 5 / 7))


def test_images_are_shifted_and_mirrored_each_in_its_own_way() -> None:
    n, size, pad = 2000, 16, 4
    image = np.arange(3 * size**2, dtype=np.float32).reshape(3, size, size)
    padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad)), mode="reflect")
    crops = {}
    for dy, dx in product(range(2 * pad + 1), repeat=2):
        crop = padded[:, dy : dy + size, dx : dx + size]
        crops[crop.tobytes()] = (dy, dx, False)
        crops[crop[:, :, ::-1].tobytes()] = (dy, dx, True)
    batch = torch.from_numpy(image).expand(n, -1, -1, -1)
    got = training._augmented(batch, size, torch.Generator().manual_seed(0))
    moves = [crops[moved.tobytes()] for moved in got.numpy()]
    assert set(moves) == set(crops.values())
    assert np.mean(moves, axis=0) == pytest.approx([pad, pad, 0.5], rel=0.05)
