"""XOR-5D: two coordinates decide, three are noise (section 2.1 of the paper, Fig 1A)."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from .._checks import one_of, whole_number

N_INPUTS = 5
GAP = 0.05  # the strip [0, GAP) of each informative coordinate holds no sample

_SPLITS = ("train", "validation")
# Signs of the two informative coordinates, quadrant by quadrant; the label is 1 where they agree.
_QUADRANTS = np.array([(-1, -1), (1, 1), (-1, 1), (1, -1)])


def xor5d(
    n: int, seed: int = 0, *, split: str = "train"
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

    Returns
    -------
    x : float32 array (n, 5)
    y : float32 array (n,), 0 or 1

    Raises
    ------
    TypeError, ValueError
        If ``n`` or ``seed`` is not a whole number in range, or ``split`` is unknown.
    """
    n = whole_number("n", n, at_least=4)
    seed = whole_number("seed", seed, at_least=0)
    one_of("split", split, _SPLITS)
    if n % 4:
        warnings.warn(
            f"n = {n} is not a multiple of 4: XOR-5D puts a quarter of the samples in each "
            f"quadrant, so {n - n % 4} are drawn",
            stacklevel=2,
        )
        n -= n % 4

    # One stream for each kind of number: reading either in row order makes the sets nested.
    place, noise = (
        np.random.default_rng(s)
        for s in np.random.SeedSequence(seed, spawn_key=(_SPLITS.index(split),)).spawn(2)
    )
    signs = np.tile(_QUADRANTS, (n // 4, 1))
    x = np.empty((n, N_INPUTS), dtype=np.float32)
    x[:, :2] = place.random((n, 2)) + np.where(signs > 0, GAP, -1.0)
    x[:, 2:] = noise.normal(1.0, 1.0, size=(n, N_INPUTS - 2))
    # Rounding to float32 may carry a number just below 0 onto it; the interval is open there.
    negative = signs < 0
    informative = x[:, :2]
    informative[negative] = np.minimum(informative[negative], -np.finfo(np.float32).tiny)
    y = (signs[:, 0] == signs[:, 1]).astype(np.float32)
    return x, y
