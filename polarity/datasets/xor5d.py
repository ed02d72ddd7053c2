"""XOR-5D: two coordinates decide, three are noise (section 2.1 of the paper, Fig 1A)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from .._checks import one_of, whole_number

N_INPUTS = 5
GAP = 0.05  # the strip [0, GAP) of each informative coordinate holds no sample

_SPLITS = ("train", "validation")


def xor5d(
    n: int, seed: int = 0, *, split: str = "train", informative: Sequence[int] = (0, 1)
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw ``n`` samples of XOR-5D.

    Coordinates 0 and 1 are uniform on [-1, 0) or [0.05, 1.05); one quarter of the samples lies in
    each quadrant, and the label is 1 where both have the same sign. Coordinates 2 to 4 are noise,
    normal with mean 1 and standard deviation 1. Samples cycle through the quadrants, and a larger
    set with the same seed starts with the smaller one, as in the paper.

    Parameters
    ----------
    n
        Number of samples, at least 4; rounded down to a multiple of 4, with a warning.
    seed
        Which draw of the data.
    split
        ``"train"`` or ``"validation"``: two independent streams of the same seed.
    informative
        Which coordinates decide. The label is 1 where the product of their signs is positive: of
        ``k`` coordinates it is their parity. There are ``2**k`` equally full orthants, and ``n`` is
        a multiple of their number.

    Returns
    -------
    tuple of ndarray
        Samples ``x``, float32 (n, 5), and their labels ``y``, float32 (n,), 0 or 1.

    Raises
    ------
    TypeError, ValueError
        If ``n`` or ``seed`` is not a whole number in range, ``split`` is unknown, or
        ``informative`` does not name distinct coordinates.

    Examples
    --------
    >>> x, y = xor5d(n=100, seed=0)
    >>> x.shape, y.mean().item()
    ((100, 5), 0.5)
    >>> bool((y == (x[:, 0] * x[:, 1] > 0)).all())
    True
    >>> np.array_equal(x[:60], xor5d(n=60, seed=0)[0])
    True
    """
    columns = _columns(informative)
    orthants = _orthants(len(columns))
    n = whole_number("n", n, at_least=len(orthants))
    seed = whole_number("seed", seed, at_least=0)
    one_of("split", split, _SPLITS)
    over = n % len(orthants)
    if over:
        part = "a quarter" if len(orthants) == 4 else f"1/{len(orthants)}"
        warnings.warn(
            f"n = {n} is not a multiple of {len(orthants)}: XOR-5D puts {part} of the samples in "
            f"each {'quadrant' if len(orthants) == 4 else 'orthant'}, so {n - over} are drawn",
            stacklevel=2,
        )
        n -= over

    # One stream for each kind of number: reading either in row order makes the sets nested.
    place, noise = (
        np.random.default_rng(s)
        for s in np.random.SeedSequence(seed, spawn_key=(_SPLITS.index(split),)).spawn(2)
    )
    signs = np.tile(orthants, (n // len(orthants), 1))
    others = [column for column in range(N_INPUTS) if column not in columns]
    # A negative one is at most -2**-53, the generator's step, which float32 does not round to 0.
    deciding = place.random(signs.shape) + np.where(signs > 0, GAP, -1.0)
    x = np.empty((n, N_INPUTS), dtype=np.float32)
    x[:, columns] = deciding
    x[:, others] = noise.normal(1.0, 1.0, size=(n, len(others)))
    y = (signs.prod(axis=1) > 0).astype(np.float32)
    return x, y


def _columns(informative: Sequence[int]) -> list[int]:
    """The informative coordinates in ascending order: the label does not know another."""
    if isinstance(informative, str) or not hasattr(informative, "__iter__"):
        raise TypeError(f"informative must be a sequence of coordinates, got {informative!r}")
    columns = [whole_number("informative coordinate", c, at_least=0) for c in informative]
    if not columns or len(set(columns)) < len(columns) or max(columns) >= N_INPUTS:
        raise ValueError(
            f"informative must name distinct coordinates from 0 to {N_INPUTS - 1}, at least one; "
            f"got {informative!r}"
        )
    return sorted(columns)


def _orthants(coordinates: int) -> NDArray[np.int64]:
    """Signs of the informative coordinates, orthant by orthant, those with label 1 first."""
    signs = np.array(list(product((-1, 1), repeat=coordinates)))
    return signs[np.argsort(-signs.prod(axis=1), kind="stable")]
