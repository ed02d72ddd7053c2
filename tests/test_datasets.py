"""XOR-5D's data."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from polarity.datasets import xor5d

multiples = st.integers(1, 60).map(lambda quarter: 4 * quarter)
seeds = st.integers(0, 2**64)
splits = st.sampled_from(("train", "validation"))


@given(n=multiples, seed=seeds, split=splits)
@settings(max_examples=100, deadline=None)
def test_every_sample_is_where_it_may_be(n: int, seed: int, split: str) -> None:
    x, y = xor5d(n, seed, split=split)
    assert x.shape == (n, 5) and y.shape == (n,)
    assert x.dtype == y.dtype == np.float32
    place = x[:, :2]
    low, high = (place >= -1) & (place < 0), (place >= np.float32(0.05)) & (place < 1.05 + 1e-6)
    assert (low ^ high).all()
    np.testing.assert_array_equal(y, high[:, 0] == high[:, 1])
    quadrant = 2 * high[:, 0] + high[:, 1]
    np.testing.assert_array_equal(np.bincount(quadrant, minlength=4), n // 4)


@given(n=multiples, more=multiples, seed=seeds, split=splits)
@settings(max_examples=50, deadline=None)
def test_a_larger_set_contains_the_smaller(n: int, more: int, seed: int, split: str) -> None:
    x, y = xor5d(n, seed, split=split)
    x_more, y_more = xor5d(n + more, seed, split=split)
    np.testing.assert_array_equal(x, x_more[:n])
    np.testing.assert_array_equal(y, y_more[:n])


def test_distributions() -> None:
    n = 40_000
    x, y = xor5d(n, 4)
    assert y.mean() == 0.5
    for column in (0, 1):
        values = x[:, column].astype(float)
        assert stats.kstest(values[values < 0] + 1, "uniform").pvalue > 1e-3
        assert stats.kstest(values[values > 0] - 0.05, "uniform").pvalue > 1e-3
    for column in (2, 3, 4):
        values = x[:, column].astype(float)
        assert stats.kstest(values, stats.norm(1, 1).cdf).pvalue > 1e-3
    # Within a quadrant nothing is correlated, and noise does not know the label.
    for first in range(4):
        correlations = np.corrcoef(x[first::4].T) - np.eye(5)
        assert np.abs(correlations).max() < 4.5 / np.sqrt(n / 4)
    assert np.abs([np.corrcoef(x[:, k], y)[0, 1] for k in range(5)]).max() < 4.5 / np.sqrt(n)


def test_seeds_and_splits_are_independent() -> None:
    x, _ = xor5d(400, 0)
    np.testing.assert_array_equal(x, xor5d(400, 0)[0])
    np.testing.assert_array_equal(x, xor5d(400)[0])
    for other in (xor5d(400, 1)[0], xor5d(400, 0, split="validation")[0]):
        assert (x[:, 2:] != other[:, 2:]).all()
        assert abs(np.corrcoef(x[:, 2:].ravel(), other[:, 2:].ravel())[0, 1]) < 0.13


def test_global_random_state_is_left_alone() -> None:
    before = np.random.get_state()[1].copy()
    xor5d(100, 0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize(("n", "drawn"), [(5, 4), (6, 4), (7, 4), (50, 48), (99, 96)])
def test_n_is_rounded_down_and_it_says_so(n: int, drawn: int) -> None:
    with pytest.warns(
        UserWarning, match=f"n = {n} is not a multiple of 4.*so {drawn} are drawn"
    ) as w:
        x, y = xor5d(n, 3)
    assert w[0].filename == __file__
    np.testing.assert_array_equal(x, xor5d(drawn, 3)[0])
    assert len(y) == drawn


@pytest.mark.parametrize("n", [8, np.int64(8), np.uint8(8)])
def test_whole_numbers_of_any_type_pass_silently(n: object) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(xor5d(n)[1]) == 8


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 3}, ValueError, "n must be at least 4, got 3"),
        ({"n": 0}, ValueError, "n must be at least 4, got 0"),
        ({"n": -8}, ValueError, "n must be at least 4, got -8"),
        ({"n": 8.0}, TypeError, "n must be a whole number, got 8.0"),
        ({"n": True}, TypeError, "n must be a whole number, got True"),
        ({"n": "8"}, TypeError, "n must be a whole number, got '8'"),
        ({"n": None}, TypeError, "n must be a whole number, got None"),
        ({"n": np.array([8, 8])}, TypeError, "n must be a whole number"),
        ({"n": float("nan")}, TypeError, "n must be a whole number"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"seed": 0.5}, TypeError, "seed must be a whole number, got 0.5"),
        ({"seed": None}, TypeError, "seed must be a whole number, got None"),
        ({"seed": False}, TypeError, "seed must be a whole number, got False"),
        ({"split": "test"}, ValueError, "split must be one of train, validation; got 'test'"),
    ],
    ids=str,
)
def test_bad_input(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        xor5d(**{"n": 8} | arguments)
