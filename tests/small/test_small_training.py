"""Trials on digits: what is dealt, what is inherited, what is held."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from polarity import PolarityTemplate
from polarity.small.networks import NETWORKS, DigitViT
from polarity.small.training import (
    CONDITIONS,
    KINDS,
    DigitsProtocol,
    Recipe,
    Seeds,
    deal,
    fit,
    inherited,
    kinds,
    polarity_of,
    start,
    train_digits,
    train_donors,
    train_trial,
)

PROTOCOL = DigitsProtocol(n_train=20, epochs=3, donor_epochs=2)
LABELS = torch.arange(10).repeat(12)
# Each image tells its class and itself: a bright row and column, and a number in the corner.
IMAGES = torch.zeros(120, 8, 8)
for _i, _label in enumerate(LABELS):
    IMAGES[_i, _label % 8] = 1
    IMAGES[_i, :, _label // 2] += 0.5
    IMAGES[_i, 7, 7] = _i / 120


def identities(images: torch.Tensor) -> set[int]:
    return {round(120 * float(x)) for x in images[:, 7, 7]}


def test_a_deal_gives_no_image_and_no_digit_twice() -> None:
    dealt = deal(IMAGES, LABELS, 20, seed=3)
    parts = [identities(task.images) for task in dealt]
    assert [len(part) for part in parts] == [len(task.labels) for task in dealt] == [20, 10, 30, 30]
    assert not any(a & b for i, a in enumerate(parts) for b in parts[:i])
    assert all(set(task.labels.tolist()) <= set(range(5)) for task in dealt)


def test_labels_name_the_dealt_digits_alike_in_every_part() -> None:
    dealt = deal(IMAGES, LABELS, 20, seed=3)
    own, other = (
        {
            (int(label), int(LABELS[round(120 * float(image[7, 7]))]))
            for task in tasks
            for image, label in zip(task.images, task.labels, strict=True)
        }
        for tasks in ((dealt.train, dealt.validation, dealt.same), (dealt.other,))
    )
    for pairs in (own, other):
        assert {label for label, _ in pairs} == set(range(5))
        assert len(pairs) == len({digit for _, digit in pairs}) == 5
    assert not {digit for _, digit in own} & {digit for _, digit in other}


def test_a_deal_needs_images_to_validate_on() -> None:
    with pytest.raises(ValueError, match="n_train must be below 30, got 30"):
        deal(IMAGES, LABELS, 30, seed=0)


def test_kinds_of_parameters() -> None:
    found = kinds(DigitViT(5))
    assert found["position"] == "position"
    assert found["encoder.layers.0.norm1.weight"] == found["norm.weight"] == "gains"
    assert found["encoder.layers.0.self_attn.in_proj_bias"] == found["norm.bias"] == "biases"
    assert found["encoder.layers.0.self_attn.in_proj_weight"] == found["head.weight"] == "weights"
    for name in NETWORKS:
        assert set(kinds(start(name, 0)).values()) <= set(KINDS)


def test_a_parameter_of_zero_draws_its_sign_and_others_keep_theirs() -> None:
    model = start("resnet", 0)
    template = polarity_of(model, ["gains"], torch.Generator().manual_seed(0))
    assert (template["norm.weight"] == 1).all()
    drawn = template["stages.7.norm2.weight"]
    assert {-1, 1} == set(drawn.tolist())
    assert not template["conv.weight"].any()
    again = polarity_of(model, ["gains"], torch.Generator().manual_seed(1))
    assert not torch.equal(drawn, again["stages.7.norm2.weight"])


def test_a_donor_of_other_digits_passes_on_all_but_its_last_layer() -> None:
    model, donor = start("gru", 0), start("gru", 1)
    signs = inherited(Recipe("other", True), model, {"other": donor}, 0)
    own, its = PolarityTemplate.from_model(model), PolarityTemplate.from_model(donor)
    assert torch.equal(signs["head.weight"], own["head.weight"])
    assert torch.equal(signs["rnn.weight_hh_l0"], its["rnn.weight_hh_l0"])
    everything = inherited(Recipe("same", True), model, {"same": donor}, 0)
    assert torch.equal(everything["head.weight"], its["head.weight"])


def test_a_network_must_have_what_a_condition_freezes() -> None:
    with pytest.raises(ValueError, match="the network has no gains"):
        inherited(Recipe(None, True, ("gains",)), start("gru", 0), {}, 0)
    with pytest.raises(ValueError, match="the network has no gains"):
        inherited(CONDITIONS["frozen_random_gains"], start("gru", 0), {}, 0)
    rest = inherited(CONDITIONS["frozen_rest"], start("gru", 0), {}, 0)
    assert {kinds(start("gru", 0))[name] for name in rest if rest[name].any()} == {"biases"}


@pytest.mark.parametrize("condition", ["frozen_random", "frozen_random_gains", "frozen_rest"])
def test_what_a_recipe_freezes_keeps_its_sign_and_the_rest_is_free(condition: str) -> None:
    recipe, seeds = CONDITIONS[condition], Seeds.of(0, 0)
    fresh = start("resnet", seeds.start)
    template = inherited(recipe, fresh, {}, seeds.signs)
    everything = inherited(CONDITIONS["frozen_everything"], fresh, {}, seeds.signs)
    model = template.match_(copy.deepcopy(fresh))
    lively = replace(PROTOCOL, lr=0.1)
    fit(model, deal(IMAGES, LABELS, 20, 0).train, lively, seeds, template)
    assert template.violations(model) == {}
    held = {name for name, kind in kinds(model).items() if kind in recipe.kinds}
    flipped = set(everything.violations(model))
    assert not flipped & held
    assert {kinds(model)[name] for name in flipped} == {"weights", "gains", "biases"} - set(
        recipe.kinds
    )


def test_random_signs_are_drawn_from_a_stream_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[int] = []

    def noting(*given: Any) -> PolarityTemplate:
        drawn.append(given[-1])
        return inherited(*given)

    monkeypatch.setattr("polarity.small.training.inherited", noting)
    train_trial("gru", 3, ["frozen_random", "fluid_random"], PROTOCOL, IMAGES, LABELS)
    seeds = Seeds.of(PROTOCOL.seed, 3)
    assert drawn == [seeds.signs] * 2 and list(seeds).count(seeds.signs) == 1


def test_donors_learn_and_begin_alike() -> None:
    dealt, seeds = deal(IMAGES, LABELS, 20, 0), Seeds.of(0, 0)
    untrained = train_donors("gru", dealt, replace(PROTOCOL, lr=1e-12), seeds)
    same, other = (untrained[name].state_dict() for name in ("same", "other"))
    for name in same:
        torch.testing.assert_close(same[name], other[name], rtol=0, atol=1e-9)
    donors = train_donors(
        "gru", dealt, replace(PROTOCOL, donor_epochs=40, donor_batch_size=10), seeds
    )
    for name, task in (("same", dealt.same), ("other", dealt.other)):
        right = donors[name](task.images).argmax(1) == task.labels
        assert right.float().mean() > 0.9, name


def test_recipients_of_a_trial_start_from_the_same_magnitudes_and_see_the_same_batches() -> None:
    still = replace(PROTOCOL, lr=1e-12, epochs=1)
    curves = train_trial(
        "gru", 0, ["fluid_random", "frozen_random", "fluid_donor_polarity"], still, IMAGES, LABELS
    ).curves
    assert curves["fluid_random"] == curves["frozen_random"] != curves["fluid_donor_polarity"]
    moving = replace(PROTOCOL, epochs=2)
    twice = train_trial("gru", 0, ["fluid_random", "fluid_random"], moving, IMAGES, LABELS)
    alone = train_trial("gru", 0, ["frozen_random", "fluid_random"], moving, IMAGES, LABELS)
    assert twice.curves["fluid_random"] == alone.curves["fluid_random"]


def test_the_images_of_an_incomplete_batch_wait_for_another_epoch() -> None:
    """Batch norm cannot train on one image, nor well on a few."""
    model, seeds = start("resnet", 0), Seeds.of(0, 0)
    seen: list[int] = []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    train = deal(IMAGES, LABELS, 21, 0).train
    fit(model, train, replace(PROTOCOL, epochs=2, batch_size=10), seeds)
    assert seen == [10, 10, 10, 10]
    seen.clear()
    fit(model, train, replace(PROTOCOL, epochs=1, batch_size=50), seeds)
    assert seen == [21]


def test_a_trial_reports_what_happened() -> None:
    conditions = ["frozen_random", "fluid_random"]
    result = train_trial("vit", 1, conditions, replace(PROTOCOL, lr=0.05), IMAGES, LABELS)
    assert set(result.curves) == set(result.lost) == set(result.scores) == set(conditions)
    assert set(result.gains) == {"same_donor", "other_donor", *conditions}
    assert result.lost["frozen_random"] == 0 < result.lost["fluid_random"] < 1
    assert 0 < result.scores["frozen_random"] < 1
    still = train_trial("vit", 1, conditions, replace(PROTOCOL, lr=1e-12), IMAGES, LABELS)
    assert set(still.scores.values()) == {0}
    with pytest.raises(ValueError, match=r"condition must be one of .* got 'frozen'"):
        train_trial("vit", 1, ["frozen"], PROTOCOL, IMAGES, LABELS)
    with pytest.raises(ValueError, match=r"network must be one of .* got 'mlp'"):
        train_trial("mlp", 1, conditions, PROTOCOL, IMAGES, LABELS)


def test_curves_of_several_networks_do_not_depend_on_the_number_of_processes() -> None:
    conditions = {"gru": ["fluid_random", "frozen_random"], "resnet": ["fluid_random"]}
    tiny = replace(PROTOCOL, epochs=1, donor_epochs=1)
    trials = {"gru": 2, "resnet": 1}
    one, two = (
        train_digits(conditions, trials, tiny, IMAGES, LABELS, jobs=jobs) for jobs in (1, 2)
    )
    assert set(one) == {"gru", "resnet"}
    for network, curves in one.items():
        assert curves.identical(two[network])
    assert dict(one["gru"].val_loss.sizes) == {"condition": 2, "trial": 2, "epoch": 1}
    assert "gains" not in one["gru"]
    assert "scores" not in one["gru"]
    gains = one["resnet"].gains
    assert list(gains.holder.values) == ["same_donor", "other_donor", "fluid_random"]
    assert set(np.unique(gains.gain_start)) == {0, 1}
    longer = train_digits(conditions, {"gru": 1, "resnet": 1}, tiny, IMAGES, LABELS, jobs=1)
    assert longer["gru"].val_loss.equals(one["gru"].val_loss.isel(trial=[0]))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", 0, "epochs must be at least 1, got 0"),
        ("n_train", 1, "n_train must be at least 2, got 1"),
        ("batch_size", 1, "batch_size must be at least 2, got 1"),
        ("lr", 0.0, "lr must be finite and greater than 0"),
        ("epsilon", -1.0, "epsilon must be finite and greater than 0"),
        ("reset", "mirror", "mirror"),
        ("seed", -1, "seed must be at least 0, got -1"),
    ],
)
def test_protocols_say_what_is_wrong(name: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PROTOCOL, **{name: value})


def test_smoke_is_short_and_donors_have_a_protocol_of_their_own() -> None:
    assert PROTOCOL.smoke().epochs < PROTOCOL.epochs
    donors = replace(PROTOCOL, donor_epochs=9, donor_batch_size=7).of_donor()
    assert (donors.epochs, donors.batch_size) == (9, 7)


@pytest.mark.parametrize(
    ("trials", "message"),
    [
        ({"resnet": 1}, "trials must say how many of each network in conditions; got none of gru"),
        ({"gru": 0}, "trials of gru must be at least 1, got 0"),
    ],
)
def test_numbers_of_trials_that_make_no_sense(trials: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_digits({"gru": ["fluid_random"]}, trials, PROTOCOL, IMAGES, LABELS, jobs=1)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES.numpy(), LABELS, r"images must be a torch\.Tensor, got ndarray"),
        (IMAGES[:, None], LABELS, r"images must be float32 of shape \(n, 8, 8\), got .*1, 8, 8\)"),
        (IMAGES.double(), LABELS, r"images must be float32 .* got torch\.float64"),
        (IMAGES, LABELS.float(), r"labels must be whole numbers of shape \(120,\)"),
        (IMAGES, LABELS[1:], r"labels must be .* one for each image; got .* of \(119,\)"),
        (IMAGES, LABELS % 3, r"labels must be those of ten digits, .* got \[0, 1, 2\]"),
        (IMAGES, LABELS + 10, r"labels must be those of ten digits, .* got \[10, 11"),
    ],
)
def test_digits_that_are_none(images: Any, labels: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        train_digits({"gru": ["fluid_random"]}, {"gru": 1}, PROTOCOL, images, labels, jobs=1)


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ([], "conditions of gru must be distinct values, at least one"),
        (["fluid_random"] * 2, "conditions of gru must be distinct values"),
        ("fluid_random", "conditions of gru must be a sequence, got 'fluid_random'"),
        (["fluid"], "condition must be one of .* got 'fluid'"),
    ],
)
def test_conditions_that_are_none(conditions: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        train_digits({"gru": conditions}, {"gru": 1}, PROTOCOL, IMAGES, LABELS, jobs=1)
