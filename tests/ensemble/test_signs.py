"""What training may and may not do to signs, and how networks are matched before it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polarity.datasets import xor5d
from polarity.ensemble import Weights, initial_weights, templates, train_networks
from polarity.protocols import MATCHES, RESETS

BACKENDS = ("compiled", "batched")
FROZEN = ("frozen_sufficient", "frozen_random")
NOTHING = 1e-30  # a learning rate that moves no weight: what remains is the initial match
DATA = (*xor5d(20, 2), *xor5d(40, 2, split="validation"))
every_back_end = pytest.mark.parametrize("backend", BACKENDS)
every_rule = pytest.mark.parametrize("rule", RESETS)


def violations(weights: Weights, signs: tuple[np.ndarray, np.ndarray]) -> int:
    return sum(
        int((np.sign(w) * t < 0).sum())
        for w, t in zip((weights.w1, weights.w2), signs, strict=True)
    )


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 64),
    condition=st.sampled_from(FROZEN),
    rule=st.sampled_from(RESETS),
    match=st.sampled_from(MATCHES),
    backend=st.sampled_from(BACKENDS),
    lr=st.sampled_from((1e-3, 0.03, 1.0, 1e3)),
    batch_size=st.integers(1, 32),
    epochs=st.integers(1, 6),
    seed=st.integers(0, 2**32),
)
def test_frozen_weights_never_leave_their_polarity(
    width: int,
    condition: str,
    rule: str,
    match: str,
    backend: str,
    lr: float,
    batch_size: int,
    epochs: int,
    seed: int,
) -> None:
    start = initial_weights(width, 20, 2, seed)
    signs = templates(start, condition)
    trained = train_networks(
        *DATA, start, signs,
        epochs=epochs, seed=seed, reset=rule, match=match, lr=lr, batch_size=batch_size,
        backend=backend, device="cpu", n_jobs=1,
    )  # fmt: skip
    assert violations(trained.weights, signs) == 0


@every_back_end
def test_fluid_weights_leave_theirs(backend: str) -> None:
    """The counterpart: without a template the same networks do change signs."""
    start = initial_weights(10, 20, 5, 2)
    trained = train_networks(*DATA, start, epochs=10, backend=backend, device="cpu")
    assert violations(trained.weights, templates(start, "frozen_random")) > 20


@every_back_end
@every_rule
def test_matching_by_flip_keeps_every_magnitude(rule: str, backend: str) -> None:
    start = initial_weights(10, 20, 5, 2)
    signs = templates(start, "frozen_sufficient")
    matched = train_networks(
        *DATA, start, signs, epochs=1, lr=NOTHING, reset=rule, backend=backend, device="cpu"
    ).weights
    np.testing.assert_array_equal(matched.w1, start.w1)
    np.testing.assert_array_equal(matched.w2, signs.t2 * np.abs(start.w2))
    np.testing.assert_array_equal(matched.b1, start.b1)
    np.testing.assert_array_equal(matched.b2, start.b2)
    assert (matched.w2 != start.w2).any()


@every_back_end
@every_rule
def test_matching_by_reset_uses_the_rule(rule: str, backend: str) -> None:
    """As in the released XOR code: half of the sufficient output weights start near 0."""
    epsilon = np.float32(1e-3)
    start = initial_weights(64, 20, 5, 2)
    signs = templates(start, "frozen_sufficient")
    matched = train_networks(
        *DATA, start, signs,
        epochs=1, lr=NOTHING, reset=rule, match="reset", backend=backend, device="cpu",
    ).weights.w2  # fmt: skip
    wrong = signs.t2 * start.w2 < 0
    assert 0.4 < wrong.mean() < 0.6
    np.testing.assert_array_equal(matched[~wrong], start.w2[~wrong])
    size = np.abs(matched[wrong])
    if rule == "posCon":
        np.testing.assert_array_equal(size, epsilon)
    elif rule == "posRand":
        assert (size > 0).all() and (size <= epsilon).all()
        assert len(np.unique(size)) > 0.99 * size.size
        assert abs(size.mean() / epsilon - 0.5) < 4 / np.sqrt(12 * size.size)
    elif rule == "zero":
        assert (size <= 2 * NOTHING).all()
    else:
        np.testing.assert_array_equal(size, np.abs(start.w2[wrong]))


@every_back_end
def test_draws_differ_between_entries_and_trials_not_between_conditions(backend: str) -> None:
    """Two trials with the same weights draw differently; a weight draws the same, whoever else."""
    one = initial_weights(16, 20, 1, 2)
    twice = Weights(*(np.concatenate([part, part]) for part in one))
    # All signs wrong, so that the match resets every weight.
    wrong = tuple((-np.sign(part)).astype(np.int8) for part in (twice.w1, twice.w2))
    settings = dict(epochs=1, lr=NOTHING, match="reset", backend=backend, device="cpu", seed=5)
    matched = train_networks(*DATA, twice, type(templates(one, FROZEN[0]))(*wrong), **settings)
    sizes = np.concatenate(
        [np.abs(matched.weights.w1).reshape(2, -1), np.abs(matched.weights.w2)], axis=1
    )
    assert (sizes <= np.float32(1e-3)).all()
    assert len(np.unique(sizes)) == sizes.size
    # Another condition, in which the first layer and half of the second have the right signs.
    right = wrong[0] * 0, np.where(np.arange(16) % 2, wrong[1], 0).astype(np.int8)
    fewer = train_networks(*DATA, twice, type(templates(one, FROZEN[0]))(*right), **settings)
    np.testing.assert_array_equal(fewer.weights.w2[:, 1::2], matched.weights.w2[:, 1::2])
    np.testing.assert_array_equal(fewer.weights.w2[:, ::2], twice.w2[:, ::2])
