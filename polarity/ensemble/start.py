"""What a network starts from: weights, polarity, batches and its own random numbers.

Everything here is derived from (seed, n, width, trial) and never from the condition, so that within
a trial all conditions share magnitudes, data, batch order and the draws of posRand. Nothing depends
on how many trials run beside it: trial 3 of 10 is trial 3 of 50.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .._checks import one_of, whole_number
from ..datasets.xor5d import N_INPUTS
from ..protocols import CONDITIONS

Float = NDArray[np.float32]
Sign = NDArray[np.int8]

_WEIGHT_SD = 0.25
_CUT = 2.0  # of the truncated normal, in standard deviations
_STREAMS = {"weights": 0, "batches": 1, "resets": 2}


class Weights(NamedTuple):
    """Parameters of a stack of networks; the first axis is the network (or trial).

    Attributes
    ----------
    w1
        Weights of the hidden layer, float32 (networks, 5, width).
    b1
        Its biases, (networks, width).
    w2
        Weights of the output, (networks, width).
    b2
        Its bias, (networks,).
    """

    w1: Float  # (networks, 5, width)
    b1: Float  # (networks, width)
    w2: Float  # (networks, width)
    b2: Float  # (networks,)

    @property
    def width(self) -> int:
        """Number of hidden units."""
        return int(self.w1.shape[-1])


class Templates(NamedTuple):
    """Signs to keep, for the two weight matrices: -1, +1, or 0 where a weight is free.

    Attributes
    ----------
    t1
        Of the hidden layer, int8 (networks, 5, width).
    t2
        Of the output, (networks, width).
    """

    t1: Sign  # (networks, 5, width)
    t2: Sign  # (networks, width)


def _generator(purpose: str, seed: int, *key: int) -> np.random.Generator:
    sequence = np.random.SeedSequence(seed, spawn_key=(_STREAMS[purpose], *key))
    return np.random.default_rng(sequence)


def initial_weights(width: int, n: int, trials: int, seed: int = 0) -> Weights:
    """Draw the initial weights that all conditions of a trial share.

    Weights: normal with standard deviation 0.25, cut at two standard deviations. Biases: uniform
    Glorot with ``fan_in = fan_out =`` number of units of the layer, as in the released code.

    Parameters
    ----------
    width
        Hidden units.
    n
        Training samples: networks for other sizes start elsewhere.
    trials
        Number of networks. Trial ``i`` does not depend on it.
    seed
        Which draw.

    Returns
    -------
    Weights
        Arrays of shape (trials, 5, width), (trials, width), (trials, width), (trials,).

    Raises
    ------
    TypeError, ValueError
        If ``width``, ``n``, ``trials`` or ``seed`` is not a whole number in range.

    Examples
    --------
    >>> [part.shape for part in initial_weights(width=64, n=100, trials=3)]
    [(3, 5, 64), (3, 64), (3, 64), (3,)]
    """
    width = whole_number("width", width, at_least=1)
    n = whole_number("n", n, at_least=1)
    trials = whole_number("trials", trials, at_least=1)
    seed = whole_number("seed", seed, at_least=0)
    n_weights = (N_INPUTS + 1) * width
    uniform = _generator("weights", seed, n, width).random((trials, n_weights + width + 1))
    # Inverse distribution function of the truncated normal: one uniform number a weight, so that
    # the stream, read row by row, gives each trial its own weights.
    tail = torch.special.ndtr(torch.tensor(-_CUT, dtype=torch.float64)).item()
    quantile = torch.from_numpy(tail + (1 - 2 * tail) * uniform[:, :n_weights])
    weights = (_WEIGHT_SD * torch.special.ndtri(quantile)).numpy().astype(np.float32)
    centred = (2 * uniform[:, n_weights:] - 1).astype(np.float32)
    split = N_INPUTS * width
    return Weights(
        w1=weights[:, :split].reshape(trials, N_INPUTS, width),
        b1=centred[:, :width] * np.float32(np.sqrt(3 / width)),
        w2=weights[:, split:],
        b2=centred[:, width] * np.float32(np.sqrt(3)),
    )


def templates(weights: Weights, condition: str) -> Templates:
    """Return the polarity that ``condition`` prescribes for networks that start at ``weights``.

    ``frozen_random``: the weights' own signs. ``frozen_sufficient``: the same, but the sign of an
    output weight is the product of the signs of its unit's two informative input weights
    (section 2.1). ``fluid_random``: zeros, nothing is constrained.

    Parameters
    ----------
    weights
        Where the networks start.
    condition
        One of :data:`polarity.ensemble.CONDITIONS`.

    Raises
    ------
    ValueError
        If the condition is unknown.

    Examples
    --------
    >>> weights = initial_weights(width=64, n=100, trials=3)
    >>> t1, t2 = templates(weights, "frozen_sufficient")
    >>> bool((t2 == t1[:, 0] * t1[:, 1]).all())
    True
    """
    one_of("condition", condition, CONDITIONS)
    t1 = np.sign(weights.w1).astype(np.int8)
    t2 = np.sign(weights.w2).astype(np.int8)
    if condition == "frozen_sufficient":
        t2 = t1[:, 0] * t1[:, 1]
    elif condition == "fluid_random":
        t1, t2 = np.zeros_like(t1), np.zeros_like(t2)
    return Templates(t1, t2)


def batch_order(n: int, epochs: int, trials: int, seed: int = 0) -> NDArray[np.int32]:
    """Order in which each trial sees its samples: int32 (trials, epochs, n), permutations."""
    order = np.empty((trials, epochs, n), dtype=np.int32)
    order[:] = np.arange(n, dtype=np.int32)
    for trial in range(trials):
        _generator("batches", seed, n, trial).permuted(order[trial], axis=1, out=order[trial])
    return order


def reset_keys(width: int, n: int, trials: int, seed: int = 0) -> NDArray[np.uint64]:
    """Key of each trial's stream of posRand draws: uint64 (trials,)."""
    return _generator("resets", seed, n, width).integers(0, 2**64, size=trials, dtype=np.uint64)
