"""The signs of a hidden unit, and the conditions that a set of units can meet.

For the cross-shaped boundary of XOR only three signs of a unit matter: those of its weights from
the two informative inputs, and that of its output weight. That makes eight patterns, hence 256 sets
of patterns. Each condition is declared once, on such a set; the predicates on whole stacks of
networks look the set up in a table of 256 answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Bool = NDArray[np.bool_]
PatternSet = frozenset["Pattern"]


class Pattern(NamedTuple):
    """Signs, -1 or +1, of the weights of one hidden unit.

    Attributes
    ----------
    first, second
        Signs of the weights from the two informative inputs.
    output
        Sign of the output weight.
    """

    first: int
    second: int
    output: int

    @property
    def right(self) -> bool:
        """Whether the output sign is the product of the informative ones (section 2.1)."""
        return self.output == self.first * self.second

    @property
    def slope(self) -> tuple[int, int]:
        """Signs of the unit's slope along the two inputs, wherever the unit is active."""
        return self.output * self.first, self.output * self.second

    @property
    def name(self) -> str:
        """One letter, for the quadrant that the unit occupies; with a prime if the unit is wrong.

        A and B occupy the quadrants where XOR asks for a positive output, C and D the others.
        """
        letter = _LETTERS[self.first, self.second]
        return letter if self.right else letter + "′"

    def __str__(self) -> str:
        signs = ", ".join("+" if sign > 0 else "−" for sign in self)
        return f"{self.name} = ({signs})"


_LETTERS = {(1, 1): "A", (-1, -1): "B", (1, -1): "C", (-1, 1): "D"}

PATTERNS: tuple[Pattern, ...] = tuple(
    Pattern(first, second, kind * first * second)
    for kind, (first, second) in product((1, -1), _LETTERS)
)
"""All eight patterns: the right ones A, B, C, D, then the wrong ones A′, B′, C′, D′."""


def all_sets() -> tuple[PatternSet, ...]:
    """All 256 sets of patterns; the set at place ``m`` holds the patterns of the bits of ``m``."""
    return tuple(
        frozenset(pattern for bit, pattern in enumerate(PATTERNS) if mask >> bit & 1)
        for mask in range(2 ** len(PATTERNS))
    )


# --- conditions on a set of patterns -------------------------------------------------------------


def set_is_monotone(patterns: Iterable[Pattern]) -> bool:
    """Whether every network of such units rises, or falls, in one informative input throughout.

    It is so when all units slope the same way along that input. Such a network is right on at most
    75 % of XOR-5D, whatever its magnitudes.
    """
    slopes = [pattern.slope for pattern in patterns]
    return any(len({slope[axis] for slope in slopes}) < 2 for axis in (0, 1))


def set_is_exactly_capable(patterns: Iterable[Pattern]) -> bool:
    """Whether units of these patterns can draw the boundary ``x1 * x2 = 0`` exactly.

    They can if and only if (i) some right unit has a positive output weight, (ii) some right unit
    has a negative one, and (iii) the set is not monotone: both slopes occur along each input.
    The book proves it; :mod:`polarity.analysis.theory.cross` checks it.
    """
    patterns = frozenset(patterns)
    right_outputs = {pattern.output for pattern in patterns if pattern.right}
    return len(right_outputs) == 2 and not set_is_monotone(patterns)


def set_is_margin_capable(patterns: Iterable[Pattern]) -> bool:
    """Whether such units, in any number, can be right everywhere but in a strip of any given width.

    They can if and only if (i) at least one unit is right, (ii) both output signs occur, and (iii)
    the set is not monotone.
    """
    patterns = frozenset(patterns)
    return (
        any(pattern.right for pattern in patterns)
        and len({pattern.output for pattern in patterns}) == 2
        and not set_is_monotone(patterns)
    )


# --- the same conditions on stacks of networks ---------------------------------------------------


def _signs(t1: ArrayLike, t2: ArrayLike) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    first, second = np.asarray(t1), np.asarray(t2)
    if first.ndim < 2 or first.shape[-2] < 2:
        raise ValueError(
            "t1 must have shape (..., inputs, width) with at least the two informative inputs, "
            f"got {first.shape}"
        )
    if second.shape != first.shape[:-2] + first.shape[-1:]:
        raise ValueError(
            f"t2 must have shape {first.shape[:-2] + first.shape[-1:]} to go with t1 of shape "
            f"{first.shape}, got {second.shape}"
        )
    for name, array in (("t1", first), ("t2", second)):
        if not np.isin(array, (-1, 1)).all():
            raise ValueError(
                f"{name} must hold signs -1 and +1 only (0 leaves a weight free, and a free weight "
                "has no pattern)"
            )
    return first.astype(np.int8), second.astype(np.int8)


def pattern_sets(t1: ArrayLike, t2: ArrayLike) -> NDArray[np.intp]:
    """Which set of patterns each network holds, as a place in :func:`all_sets`: shape (...)."""
    t1, t2 = _signs(t1, t2)
    masks = np.zeros(t2.shape[:-1], dtype=np.intp)
    for bit, pattern in enumerate(PATTERNS):
        here = (
            (t1[..., 0, :] == pattern.first)
            & (t1[..., 1, :] == pattern.second)
            & (t2 == pattern.output)
        )
        masks |= here.any(axis=-1).astype(np.intp) << bit
    return masks


def right_patterns(t1: ArrayLike, t2: ArrayLike) -> Bool:
    """Which units are right: boolean, shape (..., width).

    Parameters
    ----------
    t1, t2
        Signs of the two weight matrices, -1 or +1: shapes (..., inputs, width) and (..., width).
        The first two inputs are the informative ones.
    """
    t1, t2 = _signs(t1, t2)
    return np.asarray(t1[..., 0, :] * t1[..., 1, :] == t2)


def distinct_right_patterns(t1: ArrayLike, t2: ArrayLike) -> NDArray[np.intp]:
    """Number of distinct right patterns in each network, all inputs counted: shape (...).

    This is the paper's count: with five inputs there are 64 patterns, 32 of them right.
    """
    t1, t2 = _signs(t1, t2)
    powers = 2 ** np.arange(t1.shape[-2])
    codes = np.einsum("i,...iw->...w", powers, t1 > 0)
    ordered = np.sort(np.where(right_patterns(t1, t2), codes, -1), axis=-1)
    new = np.diff(ordered, axis=-1, prepend=-1) > 0
    return np.asarray(new.sum(axis=-1))


def theorem_capable(t1: ArrayLike, t2: ArrayLike) -> Bool:
    """Whether each network meets the condition of Theorem D.3: three distinct right patterns."""
    return np.asarray(distinct_right_patterns(t1, t2) >= 3)


@cache
def _answers(condition: Callable[[Iterable[Pattern]], bool]) -> Bool:
    return np.array([condition(patterns) for patterns in all_sets()])


def exactly_capable(t1: ArrayLike, t2: ArrayLike) -> Bool:
    """:func:`set_is_exactly_capable` for each network: shape (...)."""
    return np.asarray(_answers(set_is_exactly_capable)[pattern_sets(t1, t2)])


def margin_capable(t1: ArrayLike, t2: ArrayLike) -> Bool:
    """:func:`set_is_margin_capable` for each network: shape (...)."""
    return np.asarray(_answers(set_is_margin_capable)[pattern_sets(t1, t2)])


def monotone(t1: ArrayLike, t2: ArrayLike) -> Bool:
    """:func:`set_is_monotone` for each network: shape (...)."""
    return np.asarray(_answers(set_is_monotone)[pattern_sets(t1, t2)])
