"""Structural controls: what conditions share, and what a trial does not depend on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from literal import draw
from scipy import stats

from polarity.datasets import xor5d
from polarity.ensemble import CONDITIONS, batched, compiled, initial_weights, templates
from polarity.ensemble.cell import Cell
from polarity.ensemble.start import batch_order, reset_keys


def test_weights_have_the_paper_s_distribution() -> None:
    weights = initial_weights(64, 60, 200, 0)
    cut = stats.truncnorm(-2, 2, scale=0.25)
    limits = {"w1": cut, "w2": cut}
    for name, unit in (("b1", np.sqrt(3 / 64)), ("b2", np.sqrt(3))):
        # Glorot with fan_in = fan_out = number of units of the layer.
        limits[name] = stats.uniform(-unit, 2 * unit)
    for name, distribution in limits.items():
        values = getattr(weights, name).ravel()
        low, high = distribution.support()
        assert low <= values.min() and values.max() <= high
        assert stats.kstest(values, distribution.cdf).pvalue > 1e-3, name
    assert [part.shape for part in weights] == [(200, 5, 64), (200, 64), (200, 64), (200,)]
    assert {part.dtype for part in weights} == {np.dtype(np.float32)}
    assert weights.width == 64


def test_layers_draw_independently() -> None:
    """Not so in the released code under Keras 2.15: output weights equal first input weights."""
    weights = initial_weights(64, 60, 200, 0)
    inputs = weights.w1.transpose(1, 0, 2).reshape(5, -1)
    correlations = np.corrcoef(np.vstack([inputs, weights.w2.ravel(), weights.b1.ravel()]))
    assert np.abs(correlations - np.eye(7)).max() < 4 / np.sqrt(inputs.shape[1])


@given(few=st.integers(1, 6), more=st.integers(1, 6), width=st.integers(1, 70))
@settings(max_examples=30, deadline=None)
def test_a_trial_does_not_depend_on_how_many_there_are(few: int, more: int, width: int) -> None:
    small, large = initial_weights(width, 20, few, 7), initial_weights(width, 20, few + more, 7)
    for part, whole in zip(small, large, strict=True):
        np.testing.assert_array_equal(part, whole[:few])
    np.testing.assert_array_equal(
        batch_order(20, 3, few, 7), batch_order(20, 3, few + more, 7)[:few]
    )
    np.testing.assert_array_equal(batch_order(20, 3, few, 7), batch_order(20, 5, few, 7)[:, :3])
    np.testing.assert_array_equal(
        reset_keys(width, 20, few, 7), reset_keys(width, 20, few + more, 7)[:few]
    )


def test_seeds_sizes_and_widths_have_streams_of_their_own() -> None:
    keys = [
        tuple(reset_keys(width, n, 3, seed)) for width in (2, 3) for n in (8, 20) for seed in (0, 1)
    ]
    assert len({key for triple in keys for key in triple}) == 24
    first = [initial_weights(3, n, 1, seed).w1[0, 0, 0] for n in (8, 20) for seed in (0, 1)]
    assert len(set(first)) == 4
    assert (batch_order(20, 1, 1, 0) != batch_order(20, 1, 1, 1)).any()


def test_batches_are_permutations_all_different() -> None:
    order = batch_order(20, 30, 4, 0)
    assert order.shape == (4, 30, 20) and order.dtype == np.int32
    np.testing.assert_array_equal(
        np.sort(order, axis=-1), np.broadcast_to(np.arange(20), order.shape)
    )
    assert len(np.unique(order.reshape(-1, 20), axis=0)) == 120
    # Every sample is as likely at every place.
    many = batch_order(8, 1000, 2, 0).reshape(-1, 8)
    table = np.array([np.bincount(many[:, place], minlength=8) for place in range(8)])
    assert stats.chisquare(table.ravel(), ddof=15).pvalue > 1e-3


@given(width=st.integers(1, 70), seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_templates(width: int, seed: int) -> None:
    weights = initial_weights(width, 20, 2, seed)
    sufficient, random, fluid = (templates(weights, condition) for condition in CONDITIONS)
    np.testing.assert_array_equal(random.t1, np.sign(weights.w1))
    np.testing.assert_array_equal(random.t2, np.sign(weights.w2))
    np.testing.assert_array_equal(sufficient.t1, random.t1)
    np.testing.assert_array_equal(
        sufficient.t2, np.sign(weights.w1[:, 0].astype(float) * weights.w1[:, 1])
    )
    assert not fluid.t1.any() and not fluid.t2.any()
    for signs in (sufficient, random, fluid):
        assert signs.t1.dtype == signs.t2.dtype == np.int8
        assert signs.t1.shape == weights.w1.shape and signs.t2.shape == weights.w2.shape


def test_conditions_share_everything_but_the_template() -> None:
    data = (*xor5d(20), *xor5d(40, split="validation"))
    weights = initial_weights(7, 20, 4, 0)
    signs = [templates(weights, condition) for condition in CONDITIONS]
    cell = Cell.stack(data, weights, signs, epochs=5, seed=0)
    assert cell.networks == 12
    np.testing.assert_array_equal(cell.trial, [0, 1, 2, 3] * 3)
    for part, drawn in zip(cell.weights, weights, strict=True):
        np.testing.assert_array_equal(part.reshape(3, *drawn.shape), np.stack([drawn] * 3))
    for part, given_signs in zip(cell.templates, zip(*signs, strict=True), strict=True):
        np.testing.assert_array_equal(part.reshape(3, *given_signs[0].shape), np.stack(given_signs))
    assert cell.order.shape == (4, 5, 20) and cell.keys.shape == (4,)


@given(
    key=st.integers(0, 2**64 - 1), step=st.integers(0, 2**31 - 1), index=st.integers(0, 2**31 - 1)
)
@settings(max_examples=300, deadline=None)
def test_back_ends_draw_as_the_twin(key: int, step: int, index: int) -> None:
    expected = draw(key, step, index)
    assert 0 < expected <= 1
    assert compiled._uniform(np.uint64(key), step, index) == expected
    keys = torch.from_numpy(np.array([key], np.uint64).view(np.int64))
    assert batched.uniform(keys, step, torch.tensor([index])).item() == expected


def test_draws_are_uniform_and_independent() -> None:
    keys = torch.from_numpy(reset_keys(10, 20, 20, 0).view(np.int64))
    index = torch.arange(70)
    draws = np.stack([batched.uniform(keys, step, index).numpy() for step in range(100)])
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 1e-3
    bound = 4.5 / np.sqrt(draws.size)
    centred = (draws - 0.5) * np.sqrt(12)
    for axis in range(3):  # step, trial, entry
        ahead = np.roll(centred, 1, axis)
        assert abs((centred * ahead).mean()) < bound


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"width": 0}, ValueError, "width must be at least 1, got 0"),
        ({"width": 2.0}, TypeError, "width must be a whole number"),
        ({"width": True}, TypeError, "width must be a whole number"),
        ({"trials": 0}, ValueError, "trials must be at least 1"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"seed": None}, TypeError, "seed must be a whole number, got None"),
    ],
    ids=str,
)
def test_bad_input(settings: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        initial_weights(**{"width": 4, "n": 8, "trials": 2, "seed": 0} | settings)


@pytest.mark.parametrize("condition", ["frozen", "", None, 3])
def test_unknown_condition(condition: object) -> None:
    with pytest.raises(
        ValueError, match="condition must be one of frozen_sufficient, frozen_random"
    ):
        templates(initial_weights(4, 8, 2, 0), condition)
