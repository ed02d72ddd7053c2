"""The trainer: paired, repeatable, and its report is what happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_up import PROTOCOL, donor, images
from torch import Tensor, nn
from torch.nn import functional

from polarity.datasets import DataNotFound, ImageSet
from polarity.donors import donor as find_donor
from polarity.images import Training, training
from polarity.images.conditions import seeds
from polarity.images.training import _dropout_stream
from polarity.networks import ARCHITECTURES, alexnet, forward_operations
from polarity.protocols import ImagesProtocol
from polarity.results import code_digest


def trained(condition: str, protocol: ImagesProtocol = PROTOCOL, trial: int = 0) -> Training:
    training = Training(
        protocol, 24, trial, condition, images(), images(20, "test"), donor=donor(), device="cpu"
    )
    list(training)
    return training


@pytest.fixture(scope="module")
def frozen() -> Training:
    return trained("frozen_in_polarity")


@pytest.fixture(scope="module")
def fluid() -> Training:
    return trained("fluid_in_polarity")


def test_a_frozen_network_keeps_its_signs_and_a_fluid_one_does_not(
    frozen: Training, fluid: Training
) -> None:
    assert frozen.freeze is not None and sum(frozen.freeze.resets.values()) > 0
    assert frozen.freeze.template.violations(frozen.model) == {}
    assert torch.tensor(frozen.flipped()).eq(0).all()
    assert fluid.freeze is None
    flipped = torch.tensor(fluid.flipped())
    assert flipped.shape == (PROTOCOL.epochs - 1, 9) and (flipped > 0).any(1).all()
    assert (flipped < 0.5).all()


Seen = tuple[list[Tensor], list[tuple[Tensor, Tensor]]]


def seen(condition: str, trial: int = 0) -> Seen:
    """The images of every step, and what dropout was given and let through."""
    training = Training(
        PROTOCOL, 24, trial, condition, images(), images(20, "test"), donor=donor(), device="cpu"
    )
    batches: list[Tensor] = []
    units: list[tuple[Tensor, Tensor]] = []
    inputs = training._inputs

    def watched(given: ImageSet, index: Tensor | slice) -> Tensor:
        if isinstance(index, Tensor):  # of a step, not of an evaluation
            batches.append(index.clone())
        return inputs(given, index)

    def drops(layer: nn.Module, given: tuple[Tensor], kept: Tensor) -> None:
        if layer.training:
            units.append((given[0].detach(), kept.detach()))

    training._inputs = watched  # type: ignore[method-assign]
    training.model.get_submodule("dropout6").register_forward_hook(drops)
    list(training)
    return batches, units


def same_masks(a: Seen, b: Seen) -> list[bool]:
    """Step by step: were the same of the units dropped, where both networks' answered?"""
    same = []
    for (x, kept_x), (y, kept_y) in zip(a[1], b[1], strict=True):
        both = (x != 0) & (y != 0)
        assert both.sum() > 1000
        same.append(torch.equal((kept_x != 0)[both], (kept_y != 0)[both]))
    return same


def test_all_conditions_of_a_trial_see_the_same_batches_and_dropout() -> None:
    reference = seen("frozen_in_polarity")
    assert len(reference[0]) == PROTOCOL.epochs * 2
    assert len({tuple(batch.tolist()) for batch in reference[0]}) == len(reference[0])
    for condition in ("fluid_in_polarity", "frozen_rand_polarity", "fluid_in_weight"):
        other = seen(condition)
        assert all(map(torch.equal, other[0], reference[0]))
        assert all(same_masks(other, reference))
    other = seen("frozen_in_polarity", trial=1)
    assert not any(map(torch.equal, other[0], reference[0]))
    assert not any(same_masks(other, reference))
    batches, units = reference
    later = [(batches[i:], units[i:]) for i in (2, 0)]  # the second epoch beside the first
    assert not any(same_masks(*((b[:2], u[:2]) for b, u in later)))


def test_the_same_run_twice_is_the_same(fluid: Training) -> None:
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    again = trained("fluid_in_polarity")
    assert torch.equal(torch.random.get_rng_state(), before)  # the user's stream is left alone
    assert again.epochs == fluid.epochs and again.flipped() == fluid.flipped()
    other = trained("fluid_in_polarity", trial=1)
    assert other.epochs != fluid.epochs


@pytest.mark.parametrize("condition", ["fluid_in_polarity", "frozen_in_polarity"])
def test_a_shorter_run_is_the_first_epochs_of_a_longer_one(
    condition: str, request: pytest.FixtureRequest
) -> None:
    """Learning rates are compared after some epochs, with runs that went on from there."""
    longer = request.getfixturevalue(condition.partition("_")[0])
    shorter = trained(condition, replace(PROTOCOL, epochs=2))
    assert shorter.epochs == longer.epochs[:2] and shorter.flipped() == longer.flipped()[:1]


def test_dropout_seeds_only_what_it_puts_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other devices may be another thread's."""
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda _: pytest.fail("seeds every GPU"))
    before = torch.get_rng_state()
    with _dropout_stream(5, torch.device("cpu")):
        drawn = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(5)))


def test_the_report_is_what_a_plain_evaluation_finds(fluid: Training) -> None:
    last = fluid.epochs[-1]
    assert [row.val_loss is not None for row in fluid.epochs] == [False, True, False, True]
    test = images(20, "test").first(PROTOCOL.n_val)
    x = (test.images.float() - 72.94) / 90.02
    x = functional.interpolate(x, (64, 64), mode="bilinear").repeat(1, 3, 1, 1)
    fluid.model.eval()
    with torch.no_grad():
        logits = fluid.model(x)
    loss = functional.cross_entropy(logits, test.labels)
    assert last.val_loss == pytest.approx(float(loss), rel=1e-4)
    assert last.val_accuracy == pytest.approx(
        float((logits.argmax(1) == test.labels).float().mean())
    )


def test_a_large_test_set_is_evaluated_in_parts_and_whole(
    fluid: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "EVALUATION_BATCH", 7)
    parts = trained("fluid_in_polarity")
    assert [e.val_accuracy for e in parts.epochs] == [e.val_accuracy for e in fluid.epochs]
    last = fluid.epochs[-1].val_loss
    assert last is not None and parts.epochs[-1].val_loss == pytest.approx(last, rel=1e-5)


def test_the_training_loss_is_that_of_every_image_once() -> None:
    """Also where the last batch is smaller than the others."""
    n = 20
    still = replace(PROTOCOL, epochs=1, lr=1e-30)
    one = Training(still, n, 0, "fluid_rand_polarity", images(), images(20, "test"), device="cpu")
    for layer in one.model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    (epoch,) = one
    own = one.data
    with torch.no_grad():
        loss = functional.cross_entropy(one.model(one._inputs(own, slice(None))), own.labels)
    assert n % still.batch_size and epoch.train_loss == pytest.approx(float(loss), rel=1e-4)


def test_what_identifies_a_run_is_what_it_is_trained_with(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []
    monkeypatch.setattr(training, "FreezeSGD", lambda *args, **rest: given.append((args, rest)))
    other = replace(PROTOCOL, lr=0.02, reset="zero", epsilon=0.5)
    one = Training(
        other, 24, 1, "frozen_in_polarity", images(), images(), donor=donor(), device="cpu"
    )
    (group,) = one.optimizer.param_groups
    assert (group["lr"], group["eps"], group["betas"]) == (0.02, 1e-7, (0.9, 0.999))
    ((model, optimizer, _, *rule), rest) = given[0]  # type: ignore[misc]
    assert model is one.model and optimizer is one.optimizer
    assert rule == ["zero", 0.5] and rest == {"seed": seeds(other, 24, 1).reset}


def test_a_unit_is_dead_if_no_image_wakes_it(fluid: Training) -> None:
    outputs: list[Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _, __, given: outputs.append(given))
        for layer in fluid.model.modules()
        if isinstance(layer, nn.ReLU)
    ]
    found = fluid.dead()
    for hook in hooks:
        hook.remove()
    highest = [output.transpose(0, 1).flatten(1).amax(1) for output in outputs]
    assert found == pytest.approx([float((unit == 0).float().mean()) for unit in highest])
    assert any(0 < share < 1 for share in found)


def test_dead_units(fluid: Training) -> None:
    shares = fluid.dead()
    assert len(shares) == 8 and all(0 <= share < 1 for share in shares)
    model = fluid.model
    kept = model.state_dict()
    with torch.no_grad():
        model.get_parameter("conv3.bias")[:96] = -1e6  # a quarter of the channels
        model.get_parameter("fc7.bias")[:] = -1e6
    silenced = fluid.dead()
    assert silenced[2] >= 0.25 and silenced[6] == 1.0
    model.load_state_dict(kept)


def test_bf16_keeps_float32_weights_and_nearly_the_same_losses(fluid: Training) -> None:
    half = trained("fluid_in_polarity", replace(PROTOCOL, precision="bf16"))
    assert all(p.dtype == torch.float32 for p in half.model.parameters())
    assert half.epochs[0].train_loss != fluid.epochs[0].train_loss
    assert half.epochs[0].train_loss == pytest.approx(fluid.epochs[0].train_loss, rel=0.2)


def test_more_images_than_there_are() -> None:
    with pytest.raises(ValueError, match="n must be at most 40"):
        Training(PROTOCOL, 41, 0, "fluid_rand_polarity", images(), images(), device="cpu")
    with pytest.raises(ValueError, match="device must be one of auto, cpu, cuda"):
        Training(PROTOCOL, 4, 0, "fluid_rand_polarity", images(), images(), device="gpu")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architectures(name: str) -> None:
    model = alexnet(name).to("meta")
    size = ARCHITECTURES[name].image_size
    assert model(torch.empty(2, 3, size, size, device="meta")).shape == (2, 10)
    shapes = {k: tuple(v.shape) for k, v in model.named_parameters() if k.endswith("weight")}
    assert shapes["fc8.weight"][0] == 1000 and shapes["last.weight"] == (10, 1000)
    if name == "alexnet":  # Caffe's, in one tower
        assert shapes["conv2.weight"] == (256, 96, 5, 5)
        assert shapes["fc6.weight"] == (4096, 9216)
    assert forward_operations(name) > 5e8


def test_our_donor() -> None:
    given = find_donor("tiny_imagenet_64")
    assert given.architecture == "alexnet_64" and "last" not in given.layers
    assert float(given.card["top-1 accuracy, validation"]) > 0.3
    assert 14_000_000 < given.template.num_bits < 15_000_000
    assert 0.4 < given.template.fraction_positive < 0.5


def test_variants_of_a_donor() -> None:
    whole = find_donor("tiny_imagenet_64")
    conv, fc = (find_donor(f"tiny_imagenet_64:{how}") for how in ("conv", "fc"))
    assert conv.layers + fc.layers == whole.layers and conv.weights is None
    assert conv.layers == ("conv1", "conv2", "conv3", "conv4", "conv5")
    for name, sign in {**conv.template, **fc.template}.items():
        assert torch.equal(sign, whole.template[name])
    shuffled = find_donor("tiny_imagenet_64:shuffled")
    assert shuffled.name == "tiny_imagenet_64:shuffled" and shuffled.layers == whole.layers
    for name, sign in shuffled.template.items():
        assert sign.float().sum() == whole.template[name].float().sum()
        assert 0.4 < (sign == whole.template[name]).float().mean() < 0.6
    assert shuffled.template.digest() == find_donor("tiny_imagenet_64:shuffled").template.digest()
    with pytest.raises(ValueError, match="variant of a donor must be one of conv, fc, shuffled"):
        find_donor("tiny_imagenet_64:bits")


def test_a_donor_of_ones_own(tmp_path: Path) -> None:
    whole = find_donor("tiny_imagenet_64")
    path = tmp_path / "mine.safetensors"
    card = {"donor": "mine", "architecture": "alexnet_64", "weights_sha256": "0" * 64}
    whole.template.save(path, metadata=card)
    mine = find_donor(str(path))
    assert mine.name == "mine" and mine.template.digest() == whole.template.digest()
    whole.template.save(tmp_path / "bare.safetensors", metadata={"donor": "mine"})
    with pytest.raises(ValueError, match="metadata must hold architecture, weights_sha256"):
        find_donor(str(tmp_path / "bare.safetensors"))
    with pytest.raises(DataNotFound, match=r"gone\.safetensors"):
        find_donor(str(tmp_path / "gone.safetensors"))


def test_a_run_names_the_code_that_trained_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files may be edited, or another commit checked out, while a sweep goes on."""
    loaded = code_digest()
    short = replace(PROTOCOL, epochs=1)
    monkeypatch.setattr(training, "dataset", lambda name, split, folder: images(40, split))
    monkeypatch.setattr(training, "code_digest", lambda: "edited")
    run = training.train(short, 24, 0, "fluid_rand_polarity", device="cpu")
    assert run.info["code"] == loaded


def test_a_run_holds_what_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "dataset", lambda name, split, folder: images(40, split))
    run = training.train(PROTOCOL, 24, 0, "fluid_rand_polarity", device="cpu")
    one = Training(PROTOCOL, 24, 0, "fluid_rand_polarity", images(), images(40), device="cpu")
    started = one.dead()
    rows = [row for row in one if row.val_loss is not None]
    assert run.epoch == [row.number for row in rows] == [1, 3]
    assert run.dead == {"start": started, "end": one.dead()} and started != one.dead()
    assert len(run.train_loss) == PROTOCOL.epochs
