"""The six starts: within a trial they differ in what their names say, and in nothing else."""

from __future__ import annotations

import pytest
import torch
from made_up import PROTOCOL, donor

from polarity import PolarityTemplate
from polarity.images.conditions import Condition, Start, seeds, start
from polarity.protocols import IMAGE_CONDITIONS

LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]


@pytest.fixture(scope="module")
def starts() -> dict[str, Start]:
    return {c: start(PROTOCOL, 24, 0, c, donor=donor(), classes=4) for c in IMAGE_CONDITIONS}


def weight(begun: Start, layer: str) -> torch.Tensor:
    return begun.model.get_parameter(f"{layer}.weight").detach()


def test_names() -> None:
    assert Condition.named("frozen_in_polarity") == Condition(True, "donor", False)
    assert Condition.named("fluid_rand_polarity") == Condition(False, "random", False)
    assert Condition.named("fluid_in_weight") == Condition(False, "donor", True)
    with pytest.raises(ValueError, match="condition must be one of frozen_in_polarity"):
        Condition.named("frozen")


def test_a_pair_starts_from_the_same_weights(starts: dict[str, Start]) -> None:
    for what in ("in_polarity", "rand_polarity", "in_weight"):
        frozen, fluid = starts[f"frozen_{what}"], starts[f"fluid_{what}"]
        for name, value in frozen.model.state_dict().items():
            assert torch.equal(value, fluid.model.state_dict()[name])
        assert frozen.template == fluid.template


def test_polarity_conditions_have_the_same_magnitudes(starts: dict[str, Start]) -> None:
    inherited, random = starts["fluid_in_polarity"], starts["fluid_rand_polarity"]
    for layer in [*LAYERS, "last"]:
        assert torch.equal(weight(inherited, layer).abs(), weight(random, layer).abs())
    assert torch.equal(weight(inherited, "last"), weight(random, "last"))


def test_signs_are_the_donors_and_magnitudes_where_it_says_so(starts: dict[str, Start]) -> None:
    given = donor()
    assert given.weights is not None
    for layer in LAYERS:
        value = given.weights[f"{layer}.weight"]
        mine = weight(starts["fluid_in_polarity"], layer)  # a draw of exactly 0 has no sign
        assert ((mine * value > 0) | (mine == 0) | (value == 0)).all()
        assert (mine != 0).float().mean() > 0.999
        assert torch.equal(weight(starts["fluid_in_weight"], layer), value)
        agreement = (weight(starts["fluid_rand_polarity"], layer).sign() == value.sign()).float()
        assert 0.45 < agreement.mean() < 0.55
    assert given.layers == tuple(LAYERS)


def test_every_start_is_matched_to_its_template(starts: dict[str, Start]) -> None:
    for begun in starts.values():
        assert begun.template.violations(begun.model) == {}
        own = PolarityTemplate.from_model(begun.model)
        assert torch.equal(begun.template["last.weight"], own["last.weight"])


def test_trials_sizes_and_data_sets_differ() -> None:
    from dataclasses import replace

    base = seeds(PROTOCOL, 24, 0)
    others = [
        seeds(PROTOCOL, 24, 1),
        seeds(PROTOCOL, 28, 0),
        seeds(replace(PROTOCOL, dataset="cifar10"), 24, 0),
        seeds(replace(PROTOCOL, seed=1), 24, 0),
    ]
    assert len({base, *others}) == 5
    assert len({base.start, base.batches, base.dropout, base.reset}) == 4


def test_a_donor_that_does_not_fit() -> None:
    from dataclasses import replace

    with pytest.raises(ValueError, match="condition frozen_in_polarity needs a donor, got None"):
        start(PROTOCOL, 24, 0, "frozen_in_polarity")
    with pytest.raises(ValueError, match="needs the weights of donor made_up"):
        start(PROTOCOL, 24, 0, "fluid_in_weight", donor=donor(weights=False))
    with pytest.raises(ValueError, match="donor made_up is an alexnet_64"):
        start(replace(PROTOCOL, architecture="alexnet"), 24, 0, "frozen_in_polarity", donor=donor())
    given = donor()
    assert given.weights is not None
    wrong = {**given.weights, "fc6.weight": torch.ones(3, 3), "conv9.weight": torch.ones(1)}
    with pytest.raises(ValueError, match=r"'fc6.weight': \(3, 3\) in the donor, \(2048, 2304\)"):
        replace(given, weights=wrong)
    with pytest.raises(ValueError, match=r"'conv9.weight': alexnet_64 has no such layer"):
        replace(given, weights=wrong)
