"""The hand-written functions at the edges: the exponential, the loss, NaN and infinity."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from polarity.datasets import xor5d
from polarity.ensemble import Weights, compiled, initial_weights, templates, train_networks

BACKENDS = ("compiled", "batched")
NOTHING = 1e-30  # a learning rate that moves no weight
every_back_end = pytest.mark.parametrize("backend", BACKENDS)


def test_exponential() -> None:
    """Relative error as documented on [-87, 0]; below, where exp(x) < 2e-38, it is exp(-87)."""

    @njit(**compiled._OPTIONS)
    def exponential(x, out):  # type: ignore[no-untyped-def]
        for i in range(len(x)):
            out[i] = compiled._exp(x[i])

    # Denser near 0, and every multiple of ln 2 / 2, where the reduction changes its mind.
    x = -np.concatenate([np.logspace(-8, np.log10(87), 200_000), np.linspace(0, 87, 200_001)])
    x = np.append(x, -np.arange(252) * np.log(2) / 2).clip(-87).astype(np.float32)
    out = np.empty_like(x)
    exponential(x, out)
    exact = np.exp(x.astype(np.float64))
    assert np.abs(out / exact - 1).max() < 4e-7
    units = np.abs(out - exact) / np.spacing(exact.astype(np.float32))
    assert units.max() <= 5
    assert units[x > -20].max() <= 2

    edges = np.array([-0.0, -87.5, -1e30, -np.inf, np.nan], np.float32)
    out = np.empty_like(edges)
    exponential(edges, out)
    assert out[0] == 1
    np.testing.assert_allclose(out[1:4], np.exp(-87.0), rtol=1e-6)


def expected_loss(weights: Weights, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean binary cross-entropy and accuracy in float64, by log(exp(0) + exp(t))."""
    w1, b1, w2, b2 = (part.astype(np.float64) for part in weights)
    hidden = np.maximum(np.einsum("si,tih->tsh", x, w1) + b1[:, None], 0)
    z = np.einsum("tsh,th->ts", hidden, w2) + b2[:, None]
    return np.logaddexp(0, z * (1 - 2 * y)).mean(1), ((z > 0) == (y > 0.5)).mean(1)


def evaluate(
    weights: Weights, x: np.ndarray, y: np.ndarray, backend: str
) -> tuple[np.ndarray, np.ndarray]:
    """Validation loss and accuracy of these very weights."""
    curves = train_networks(
        x[:1], y[:1], x, y, weights, epochs=1, lr=NOTHING, backend=backend, device="cpu"
    ).curves
    return curves.val_loss.values[:, 0], curves.val_accuracy.values[:, 0]


@every_back_end
@pytest.mark.parametrize("n_val", [1, 3, 511, 512, 513, 1000])
@pytest.mark.parametrize("width", [1, 5, 10])
def test_loss_and_accuracy(n_val: int, width: int, backend: str) -> None:
    x, y = (part[:n_val] for part in xor5d(1000, 3, split="validation"))
    weights = initial_weights(width, 8, 4, 3)
    loss, accuracy = evaluate(weights, x, y, backend)
    expected = expected_loss(weights, x, y)
    np.testing.assert_allclose(loss, expected[0], rtol=2e-6)
    np.testing.assert_allclose(accuracy, expected[1], rtol=0, atol=1e-7)


@pytest.mark.parametrize("row", range(7))
def test_one_weight_that_is_nan_makes_the_loss_nan(row: int) -> None:
    """A rectifier that compares the wrong way makes 0 of it, and the loss looks fine."""

    @njit(**compiled._OPTIONS)
    def loss(w, x, y, z):  # type: ignore[no-untyped-def]
        return compiled._evaluate(w, np.float32(0), 8, x, y, z)[0]

    x, y = xor5d(20, 3)
    w = np.ones((7, 8), np.float32)
    given = w, np.ascontiguousarray(x.T), y, np.empty(20, np.float32)
    assert np.isfinite(loss(*given))
    w[row, 5] = np.nan
    assert np.isnan(loss(*given))


@every_back_end
@pytest.mark.parametrize("scale", [1e-6, 10, 1e3, 1e6, 1e9, 1e15])
def test_loss_of_tiny_and_huge_logits(scale: float, backend: str) -> None:
    """Logits up to 1e30: the loss is finite and right, though exp overflows from 89 on."""
    x, y = xor5d(1000, 3, split="validation")
    weights = Weights(*(part * np.float32(scale) for part in initial_weights(10, 8, 4, 3)))
    loss, accuracy = evaluate(weights, x, y, backend)
    expected = expected_loss(weights, x, y)
    np.testing.assert_allclose(loss, expected[0], rtol=1e-5)
    np.testing.assert_allclose(accuracy, expected[1], rtol=0, atol=2e-3)


@every_back_end
def test_perfect_separation_has_a_tiny_loss(backend: str) -> None:
    """One unit, one class: all logits far on the right side; log(1 + exp(-z)) must not cancel."""
    x = np.full((1000, 5), 1, np.float32)
    y = np.ones(1000, np.float32)
    weights = Weights(
        np.full((1, 5, 1), 2, np.float32), np.zeros((1, 1), np.float32),
        np.ones((1, 1), np.float32), np.zeros(1, np.float32),
    )  # fmt: skip
    loss, accuracy = evaluate(weights, x, y, backend)
    assert accuracy == 1
    np.testing.assert_allclose(loss, np.log1p(np.exp(-10)), rtol=3e-3)


def test_output_of_exactly_one_half_counts_as_class_0() -> None:
    """Accuracy counts outputs > 1/2, so a network of zeros is right where the label is 0."""
    x, y = xor5d(8, 0)
    zeros = Weights(*(np.zeros_like(part) for part in initial_weights(2, 8, 1, 0)))
    pair = [0, 2]  # one of each class: at 0 the gradient is exactly 0
    assert sorted(y[pair]) == [0, 1]
    for backend in BACKENDS:
        trained = train_networks(
            *(x[pair], y[pair], x[:3], y[:3]), zeros, epochs=1, backend=backend, device="cpu"
        )
        assert not any(part.any() for part in trained.weights)
        assert trained.curves.val_accuracy.item() == np.float32((y[:3] == 0).mean())


@every_back_end
@pytest.mark.parametrize("condition", ["frozen_random", "fluid_random"])
@pytest.mark.parametrize("lr", [1e3, 1e10, 1e30, 1e37])
def test_blow_up(lr: float, condition: str, backend: str) -> None:
    """A learning rate far too large neither crashes nor hides that the network is lost."""
    data = (*xor5d(20), *xor5d(40, split="validation"))
    weights = initial_weights(8, 20, 3)
    trained = train_networks(
        *data, weights, templates(weights, condition),
        epochs=6, lr=lr, batch_size=5, backend=backend, device="cpu",
    )  # fmt: skip
    loss, accuracy = trained.curves.val_loss.values, trained.curves.val_accuracy.values
    assert ((accuracy >= 0) & (accuracy <= 1)).all()
    if lr < 1e20:
        assert np.isfinite(loss).all() and (loss.max(1) > 1).all()
    else:
        assert np.isnan(loss).all()
