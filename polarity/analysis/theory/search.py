"""Lemma 2.1, the capacity-speed trade-off: how long an exhaustive search takes, and for whom.

The lemma's world: weights take finitely many values, and learning tries one setting of the weights
after another, in random order, until one represents the function.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, product
from math import comb

import numpy as np
from numpy.typing import NDArray

from ..._checks import whole_number
from .patterns import PATTERNS


def expected_search_time(settings: int, solutions: int) -> Fraction:
    """Expected number of trials of a search without replacement, in uniformly random order.

    ``(N + 1) / (K + 1)`` for N settings of which K are solutions.

    Raises
    ------
    ValueError
        If there is no solution to find, or there are more solutions than settings.
    """
    settings = whole_number("settings", settings, at_least=1)
    solutions = whole_number("solutions", solutions, at_least=1)
    if solutions > settings:
        raise ValueError(f"solutions must be at most settings = {settings}, got {solutions}")
    return Fraction(settings + 1, solutions + 1)


def mean_over_all_orders(settings: int, solutions: int) -> Fraction:
    """The same by going through every order: a check on the formula, for small numbers only.

    An order matters only through the places of its solutions, each choice of places being equally
    likely; the search ends at the first.
    """
    first_places = (min(places) + 1 for places in combinations(range(settings), solutions))
    return Fraction(sum(first_places), comb(settings, solutions))


def search_times(
    solves: NDArray[np.bool_], searches: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Search through the settings ``searches`` times, each in a fresh random order.

    Parameters
    ----------
    solves
        Whether each setting solves the task: shape (settings,).

    Returns
    -------
    ndarray
        Trials up to and including the first solution: shape (searches,).
    """
    if not solves.any():
        raise ValueError("solves must hold at least one solution, or the search never ends")
    times = np.empty(searches, dtype=np.int64)
    for i in range(searches):
        # A random priority for each setting is a random order, and need not be sorted.
        priority = rng.random(len(solves))
        times[i] = np.count_nonzero(priority <= priority[solves].min())
    return times


@dataclass(frozen=True)
class TinyNetwork:
    """A network small enough to try every setting of its weights.

    Two inputs, ``units`` ReLU units, one output, right when the sign is that of ``x1 * x2`` on all
    of a square grid of points; every weight and bias comes from a finite set.

    Attributes
    ----------
    units
        Number of hidden units.
    magnitudes
        Values that the magnitude of an input weight takes. Output weights have magnitude 1.
    biases
        Values that a hidden bias takes.
    output_biases
        Values that the output bias takes.
    levels
        Coordinates of the grid on which the network must be right.
    """

    units: int = 3
    magnitudes: tuple[float, ...] = (0.0, 1.0)
    biases: tuple[float, ...] = (0.0, 1.0)
    output_biases: tuple[float, ...] = (-1.0, 0.0, 1.0)
    levels: tuple[float, ...] = (-1.0, -0.5, 0.5, 1.0)

    def unit_settings(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Every setting of one unit: a pattern (place in PATTERNS), then two magnitudes and a bias.

        A weight is a sign and a magnitude, so every polarity leaves equally many settings.
        """
        rest = list(product(self.magnitudes, self.magnitudes, self.biases))
        return np.repeat(np.arange(len(PATTERNS)), len(rest)), np.array(rest * len(PATTERNS))

    def search_space(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Go through every setting of the whole network.

        Returns
        -------
        patterns
            For each setting of the hidden units, the pattern of each unit as its place in
            PATTERNS: shape (settings, units).
        solves
            Whether it solves the task, for each output bias: shape (settings, output_biases).
        """
        pattern, rest = self.unit_settings()
        signs = np.array(PATTERNS)[pattern]
        points = np.array(list(product(self.levels, self.levels)))
        wanted = np.sign(points[:, 0] * points[:, 1])
        inner = (signs[:, :2] * rest[:, :2]) @ points.T + rest[:, 2:]
        outputs = signs[:, 2:] * np.maximum(inner, 0.0)  # (unit settings, points)

        total = np.zeros((1, len(points)))
        chosen = np.zeros((1, 0), dtype=np.int64)
        for _ in range(self.units):
            total = (total[:, None] + outputs[None]).reshape(-1, len(points))
            chosen = np.concatenate(
                [np.repeat(chosen, len(pattern), axis=0), np.tile(pattern, len(chosen))[:, None]],
                axis=1,
            )
        solves = np.stack(
            [((total + bias) * wanted > 1e-9).all(axis=1) for bias in self.output_biases], axis=1
        )
        return chosen, solves
