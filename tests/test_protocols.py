"""Protocols: the paper's numbers, checked fields, smoke()."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polarity import RESET_RULES
from polarity.protocols import CONDITIONS, RESETS, ImagesProtocol, XOR5DProtocol


def test_the_defaults_are_the_paper_s() -> None:
    paper = XOR5DProtocol()
    assert (
        len(paper.widths) == 32 and paper.widths[:2] == (2, 3) and paper.widths[-3:] == (32, 48, 64)
    )
    assert paper.sizes == (8, 20, 32, 40, 52, 60, 72, 80, 92, 100, 500)
    assert (paper.trials, paper.epochs, paper.batch_size, paper.lr) == (50, 100, 32, 0.03)
    assert (paper.reset, paper.epsilon, paper.match) == ("posRand", 1e-3, "flip")
    assert (paper.n_val, paper.threshold, paper.success_threshold) == (1000, 0.90, 0.95)
    assert paper.networks == 52_800
    assert CONDITIONS == ("frozen_sufficient", "frozen_random", "fluid_random")


def test_the_images_defaults_are_the_papers() -> None:
    fashion, cifar = ImagesProtocol(), ImagesProtocol("cifar10")
    assert fashion.sizes == (100, 250, 500, 750, 1000, 2000, 3000, 4000, 5000, 6000)
    assert cifar.sizes == (100, 250, 500, 750, 1000, 2500, 5000, 10000, 25000, 50000)
    assert (fashion.threshold, cifar.threshold) == (0.80, 0.50)
    for paper in (fashion, cifar):
        assert (paper.trials, paper.epochs, paper.batch_size, paper.lr) == (20, 100, 1000, 1e-3)
        assert (paper.reset, paper.epsilon, paper.precision) == ("posRand", 1e-3, "float32")
        assert (paper.architecture, paper.n_val, paper.evaluate_every) == ("alexnet", 10_000, 1)
        assert paper.tier == "paper" and paper.evaluated() == list(range(100))
    assert fashion.conditions == (
        "frozen_in_polarity",
        "fluid_in_polarity",
        "frozen_rand_polarity",
        "fluid_rand_polarity",
        "frozen_in_weight",
        "fluid_in_weight",
    )


def test_a_smaller_tier_is_named_so() -> None:
    reduced = ImagesProtocol.reduced()
    assert (reduced.tier, reduced.architecture, reduced.n_val) == ("reduced", "alexnet_64", 2000)
    assert reduced.evaluated() == list(range(1, 100, 2))
    assert (reduced.epochs, reduced.batch_size, reduced.lr) == (100, 1000, 1e-3)
    smoke = ImagesProtocol().smoke()
    assert (smoke.tier, smoke.trials, smoke.epochs, smoke.sizes) == ("smoke", 2, 2, (100,))
    own = [p.cell(100, 0, "fluid_rand_polarity") for p in (ImagesProtocol(), reduced, smoke)]
    assert len({str(cell) for cell in own}) == 3


def test_rules_are_those_of_the_core() -> None:
    assert tuple(RESET_RULES) == RESETS


def test_fields_are_fixed_and_described() -> None:
    protocol = XOR5DProtocol(widths=[4, 8], trials=3)
    assert protocol.widths == (4, 8)
    assert hash(protocol) == hash(XOR5DProtocol(widths=(4, 8), trials=3))
    with pytest.raises(dataclasses.FrozenInstanceError):
        protocol.trials = 4
    assert XOR5DProtocol(**protocol.describe()) == protocol


def test_a_number_has_one_key_whichever_kind_of_it_is_given() -> None:
    given = ImagesProtocol(
        "cifar10", sizes=np.array([100, 250]), epochs=np.int64(5), lr=1, epsilon=np.float64(0.5)
    )
    plain = ImagesProtocol("cifar10", sizes=(100, 250), epochs=5, lr=1.0, epsilon=0.5)
    keys = [
        json.dumps(protocol.cell(n, trial, "fluid_rand_polarity"))
        for protocol, n, trial in ((given, np.int64(100), np.int32(2)), (plain, 100, 2))
    ]
    assert given == plain and keys[0] == keys[1]
    small = XOR5DProtocol(widths=np.arange(2, 4), n_val=np.int64(8), lr=1)
    assert json.dumps(small.describe()) == json.dumps(
        XOR5DProtocol(widths=(2, 3), n_val=8, lr=1.0).describe()
    )
    with pytest.raises(ValueError, match="trial must be at least 0, got -1"):
        plain.cell(100, -1, "fluid_rand_polarity")


@pytest.mark.parametrize(
    ("field", "value", "error", "message"),
    [
        ("widths", (), ValueError, "widths must be distinct values, at least one"),
        ("widths", (4, 4), ValueError, "widths must be distinct values"),
        ("widths", 4, TypeError, "widths must be a sequence, got 4"),
        ("widths", "24", TypeError, "widths must be a sequence, got '24'"),
        ("widths", (4, 0), ValueError, "width must be at least 1, got 0"),
        ("widths", (4.0,), TypeError, "width must be a whole number, got 4.0"),
        ("sizes", (8, 3), ValueError, "n must be at least 4, got 3"),
        ("sizes", (8, 50), ValueError, "n must be a multiple of 4 in a protocol's sizes, got 50"),
        ("sizes", (8, True), TypeError, "n must be a whole number, got True"),
        ("sizes", None, TypeError, "sizes must be a sequence, got None"),
        ("conditions", ("frozen",), ValueError, "condition must be one of frozen_sufficient"),
        ("conditions", "fluid_random", TypeError, "conditions must be a sequence"),
        ("trials", 0, ValueError, "trials must be at least 1"),
        ("trials", 50.0, TypeError, "trials must be a whole number"),
        ("epochs", -1, ValueError, "epochs must be at least 1"),
        ("batch_size", 0, ValueError, "batch_size must be at least 1"),
        ("n_val", 10, ValueError, "n_val must be a multiple of 4, got 10"),
        ("n_val", 0, ValueError, "n_val must be at least 4"),
        ("seed", -1, ValueError, "seed must be at least 0"),
        ("seed", "0", TypeError, "seed must be a whole number, got '0'"),
        ("lr", 0, ValueError, "lr must be finite and greater than 0"),
        ("lr", float("nan"), ValueError, "lr must be finite and greater than 0"),
        ("lr", "0.03", TypeError, "lr must be a number"),
        ("epsilon", -1e-3, ValueError, "epsilon must be finite and greater than 0"),
        ("epsilon", True, TypeError, "epsilon must be a number, got True"),
        ("reset", "posrand", ValueError, "reset must be one of posCon, posRand, zero, flip"),
        ("match", "none", ValueError, "match must be one of flip, reset"),
        ("threshold", 0, ValueError, "threshold must lie strictly between 0 and 1, got 0"),
        ("threshold", 1.0, ValueError, "threshold must lie strictly between 0 and 1, got 1.0"),
        ("threshold", 90.0, ValueError, "a fraction, not a percentage.*got 90.0"),
        ("threshold", float("nan"), ValueError, "threshold must lie strictly between 0 and 1"),
        ("threshold", None, TypeError, "threshold must be a number, got None"),
        ("success_threshold", 95, ValueError, "success_threshold must lie strictly"),
    ],
)
def test_bad_fields(field: str, value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        XOR5DProtocol(**{field: value})


@pytest.mark.parametrize(
    ("field", "value", "error", "message"),
    [
        ("architecture", "resnet", ValueError, "architecture must be one of alexnet, .*'resnet'"),
        ("architecture", None, ValueError, "architecture must be one of alexnet, .* got None"),
        ("donor", 64, TypeError, "donor must be a name, got 64"),
        ("precision", "float16", ValueError, "precision must be one of float32, bf16"),
        ("n_val", 0, ValueError, "n_val must be at least 1, got 0"),
    ],
)
def test_bad_fields_of_images(field: str, value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ImagesProtocol(**{field: value})


def test_the_last_epoch_is_always_evaluated() -> None:
    assert ImagesProtocol(epochs=10, evaluate_every=3).evaluated() == [2, 5, 8, 9]
    assert ImagesProtocol(epochs=2, evaluate_every=5).evaluated() == [1]


def test_unknown_field() -> None:
    with pytest.raises(TypeError, match="width"):
        XOR5DProtocol(width=4)


@given(
    widths=st.lists(st.integers(1, 100), min_size=1, max_size=6, unique=True),
    sizes=st.lists(st.integers(1, 99).map(lambda k: 4 * k), min_size=1, max_size=6, unique=True),
    trials=st.integers(1, 60),
    epochs=st.integers(1, 200),
    n_val=st.integers(1, 300).map(lambda k: 4 * k),
    reset=st.sampled_from(RESETS),
    seed=st.integers(0, 100),
)
@settings(max_examples=60, deadline=None)
def test_smoke_is_the_same_experiment_smaller(**changes: object) -> None:
    full = XOR5DProtocol(**changes)
    small = full.smoke()
    assert set(small.widths) <= set(full.widths) and set(small.sizes) <= set(full.sizes)
    assert small.networks <= 2 * 2 * 3 * 4
    assert small.epochs <= 12 and small.trials <= full.trials and small.epochs <= full.epochs
    kept = ("conditions", "reset", "epsilon", "match", "lr", "batch_size", "threshold", "seed")
    assert all(getattr(small, name) == getattr(full, name) for name in kept)
    assert small.smoke().networks <= small.networks
