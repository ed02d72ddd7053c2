"""Both back ends against the literal twin (``literal.py``).

Tolerance. All three compute in float32 and add in different orders. Up to 40 steps the worst
difference seen over 300 networks is 4e-6 in a weight and 1e-6 in the loss; Adam divides by the
gradient's size, so that errors of rounding then grow (3e-4 after 100 steps). We allow 2e-5 at 40
steps: far less than one reset (up to 1e-3) or one Adam step (0.03), so that a single step or draw
gone wrong shows. Accuracies must be equal.
"""

from __future__ import annotations

from functools import lru_cache

import literal
import numpy as np
import pytest
import torch

from polarity.datasets import xor5d
from polarity.ensemble import (
    CONDITIONS,
    Templates,
    Trained,
    Weights,
    initial_weights,
    templates,
    train_networks,
)
from polarity.ensemble.start import batch_order, reset_keys
from polarity.protocols import MATCHES, RESETS

TOLERANCE = 2e-5
STEPS = 40
EPSILON = 1e-3
LR = 0.03
SEED = 3

DEVICES = [("compiled", "cpu"), ("batched", "cpu")]
if torch.cuda.is_available():
    DEVICES.append(("batched", "cuda"))
every_back_end = pytest.mark.parametrize(("backend", "device"), DEVICES)

# Sizes of training set and batch: a single sample a batch, partial last batches, a batch larger
# than the set, one as large, one larger than 32.
SHAPES = [(4, 1), (8, 5), (20, 32), (32, 32), (60, 32), (100, 5), (100, 32)]
SIZES = [(width, *shape) for width in (1, 2, 7, 8, 10, 64) for shape in SHAPES]
SIZES += [(65, 60, 64), (65, 100, 64), (10, 32, 64)]


def epochs_of(n: int, batch_size: int) -> int:
    """As many epochs as ``STEPS`` steps allow."""
    return max(1, STEPS // -(-n // batch_size))


def data_of(n: int) -> tuple[np.ndarray, ...]:
    return (*xor5d(n, SEED), *xor5d(200, SEED, split="validation"))


def case(
    width: int, n: int, condition: str, trials: int
) -> tuple[tuple[np.ndarray, ...], Weights, Templates]:
    """Data, starts and templates; ``partly`` constrains two thirds of the weights to any signs."""
    weights = initial_weights(width, n, trials, SEED)
    if condition == "partly":
        rng = np.random.default_rng(SEED)
        signs = Templates(*(rng.integers(-1, 2, weights[i].shape, np.int8) for i in (0, 2)))
    else:
        signs = templates(weights, condition)
    return data_of(n), weights, signs


@lru_cache
def twins(
    width: int, n: int, batch_size: int, condition: str, rule: str, match: str, trials: int
) -> tuple[literal.Curves, ...]:
    data, weights, signs = case(width, n, condition, trials)
    epochs = epochs_of(n, batch_size)
    order = batch_order(n, epochs, trials, SEED)
    keys = reset_keys(width, n, trials, SEED)
    return tuple(
        literal.train(
            data,
            tuple(part[i] for part in weights),
            tuple(part[i] for part in signs),
            order[i],
            int(keys[i]),
            rule=rule,
            match=match,
            epsilon=EPSILON,
            lr=LR,
            batch_size=batch_size,
        )
        for i in range(trials)
    )


def ours(
    width: int,
    n: int,
    batch_size: int,
    condition: str,
    rule: str,
    match: str,
    trials: int,
    backend: str,
    device: str,
) -> Trained:
    data, weights, signs = case(width, n, condition, trials)
    return train_networks(
        *data,
        weights,
        signs,
        epochs=epochs_of(n, batch_size),
        seed=SEED,
        reset=rule,
        epsilon=EPSILON,
        match=match,
        lr=LR,
        batch_size=batch_size,
        backend=backend,
        device=device,
        n_jobs=1,
    )


def assert_same(trained: Trained, expected: tuple[literal.Curves, ...]) -> None:
    for i, twin in enumerate(expected):
        np.testing.assert_array_equal(
            trained.curves.val_accuracy[i], twin.accuracy.astype(np.float32)
        )
        np.testing.assert_allclose(trained.curves.val_loss[i], twin.loss, rtol=0, atol=TOLERANCE)
        for name in ("w1", "b1", "w2", "b2"):
            np.testing.assert_allclose(
                getattr(trained.weights, name)[i],
                getattr(twin, name),
                rtol=0,
                atol=TOLERANCE,
                err_msg=f"{name} of network {i}",
            )


@every_back_end
@pytest.mark.parametrize("match", MATCHES)
@pytest.mark.parametrize("rule", RESETS)
@pytest.mark.parametrize("condition", [*CONDITIONS, "partly"])
def test_every_rule(condition: str, rule: str, match: str, backend: str, device: str) -> None:
    setting = (8, 20, 5, condition, rule, match, 2)
    expected = twins(*setting)
    resets = sum(twin.resets for twin in expected)
    # Otherwise the test would not see a reset at all.
    assert resets == 0 if condition == "fluid_random" else resets > 50
    assert_same(ours(*setting, backend, device), expected)


@every_back_end
@pytest.mark.parametrize(("width", "n", "batch_size"), SIZES)
def test_every_size(width: int, n: int, batch_size: int, backend: str, device: str) -> None:
    setting = (width, n, batch_size, "frozen_sufficient", "posRand", "flip", 1)
    assert_same(ours(*setting, backend, device), twins(*setting))


@every_back_end
def test_any_data(backend: str, device: str) -> None:
    """Seven samples, one class only, two of them equal, and a validation set of three."""
    rng = np.random.default_rng(SEED)
    x = rng.normal(0, 3, (7, 5)).astype(np.float32)
    x[1] = x[0]
    y = np.ones(7, np.float32)
    x_val = rng.normal(0, 3, (3, 5)).astype(np.float32)
    y_val = np.array([0, 1, 0], np.float32)
    weights = initial_weights(4, 7, 1, SEED)
    signs = templates(weights, "frozen_random")
    trained = train_networks(
        *(x, y, x_val, y_val), weights, signs,
        epochs=5, seed=SEED, batch_size=3, backend=backend, device=device,
    )  # fmt: skip
    twin = literal.train(
        (x, y, x_val, y_val),
        tuple(part[0] for part in weights),
        tuple(part[0] for part in signs),
        batch_order(7, 5, 1, SEED)[0],
        int(reset_keys(4, 7, 1, SEED)[0]),
        rule="posRand", match="flip", epsilon=EPSILON, lr=LR, batch_size=3,
    )  # fmt: skip
    assert_same(trained, (twin,))


@every_back_end
@pytest.mark.parametrize(("lr", "epsilon"), [(0.3, 1e-3), (1e-4, 0.5)])
def test_other_settings(lr: float, epsilon: float, backend: str, device: str) -> None:
    """The learning rate and epsilon are used, not the defaults."""
    data, weights, signs = case(10, 20, "frozen_random", 1)
    trained = train_networks(
        *data, weights, signs,
        epochs=10, seed=SEED, lr=lr, epsilon=epsilon, batch_size=7, backend=backend, device=device,
    )  # fmt: skip
    twin = literal.train(
        data,
        tuple(part[0] for part in weights),
        tuple(part[0] for part in signs),
        batch_order(20, 10, 1, SEED)[0],
        int(reset_keys(10, 20, 1, SEED)[0]),
        rule="posRand", match="flip", epsilon=epsilon, lr=lr, batch_size=7,
    )  # fmt: skip
    assert_same(trained, (twin,))
