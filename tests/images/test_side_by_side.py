"""Training in step: the same networks as one at a time, within a budget, nobody ahead."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from made_up import PROTOCOL, donor, images

from polarity.images import Training, faster_precision, side_by_side, train_side_by_side
from polarity.protocols import PRECISIONS, ImagesProtocol

CONDITIONS = ("frozen_in_polarity", "fluid_rand_polarity")
SMALL = replace(PROTOCOL, conditions=CONDITIONS, trials=2, epochs=4, evaluate_every=2)


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "dataset", lambda name, split, folder: images(40, split))
    monkeypatch.setattr(
        side_by_side,
        "donor_of",
        lambda protocol, condition, folder: None if "rand" in condition else donor(),
    )


def test_the_curves_are_those_of_networks_trained_alone() -> None:
    seen: list[int] = []
    curves = train_side_by_side(SMALL, watch=lambda c: seen.append(c.sizes["trial"]), device="cpu")
    assert dict(curves.sizes) == {"condition": 2, "n_train": 1, "trial": 2, "epoch": 2}
    assert curves.epoch.values.tolist() == SMALL.evaluated() == [1, 3]
    assert seen == [1, 1, 2, 2]  # after every evaluated epoch, with the trials begun
    for condition in CONDITIONS:
        given = None if "rand" in condition else donor()
        alone = Training(SMALL, 24, 1, condition, images(), images(split="test"), donor=given,
                         device="cpu")  # fmt: skip
        expected = [epoch.val_loss for epoch in alone if epoch.val_loss is not None]
        found = curves.val_loss.sel(condition=condition, n_train=24, trial=1)
        np.testing.assert_array_equal(found, np.float32(expected))


def test_another_trial_is_begun_only_if_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    curves = clock.run(replace(SMALL, trials=9), budget=35.0, per_epoch=5.0)
    # A trial of two evaluated epochs takes 10 seconds: three fit into 35, and nobody is cut off.
    assert curves.sizes["trial"] == 3 and bool(curves.val_loss.notnull().all())


def test_the_first_trial_is_cut_off_for_everybody_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    curves = clock.run(replace(SMALL, epochs=8), budget=7.0, per_epoch=5.0)
    # Epochs that nobody was trained for would count as time that a network took and failed in.
    assert curves.sizes["trial"] == 1 and curves.epoch.values.tolist() == [1, 3]
    assert bool(curves.val_loss.notnull().all())


class Clock:
    """A clock that only evaluated epochs move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def run(self, protocol: ImagesProtocol, *, budget: float, per_epoch: float) -> xr.Dataset:
        def tick(curves: xr.Dataset) -> None:
            self.now += per_epoch

        return train_side_by_side(protocol, budget=budget, watch=tick, device="cpu")


@pytest.mark.parametrize("budget", [0, -1.0, float("inf"), True])
def test_a_budget_is_a_time(budget: float) -> None:
    with pytest.raises((TypeError, ValueError), match="budget must be"):
        train_side_by_side(SMALL, budget=budget)


def test_one_size_at_a_time() -> None:
    with pytest.raises(ValueError, match=r"sizes must be one size, got \(24, 30\)"):
        train_side_by_side(replace(SMALL, sizes=(24, 30)))


def test_the_faster_precision_is_one_that_there_is() -> None:
    assert faster_precision("cpu") in PRECISIONS


@pytest.mark.parametrize(("bf16", "faster"), [(4e8, "float32"), (1e11, "float32"), (3e11, "bf16")])
def test_bf16_must_be_clearly_faster(
    bf16: float, faster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = {"float32": 1e11, "bf16": bf16}
    monkeypatch.setattr(
        "polarity.images.side_by_side.matrix_rate", lambda _, precision: rates[precision]
    )
    assert faster_precision("cpu") == faster
