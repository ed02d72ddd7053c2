"""How likely randomly signed units are to be enough (Theorem D.3, Figure 4A), counted exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import count
from math import comb

from ..._checks import open_unit_interval, whole_number
from .patterns import PATTERNS, Pattern, all_sets, set_is_exactly_capable

#: Sign patterns of a unit with five inputs and one output, and how many of them are right.
N_PATTERNS = 64
N_RIGHT = 32


def right_pattern_sequences(n_units: int, distinct: int) -> int:
    """Q(p): sequences of ``n_units`` patterns that hold exactly ``distinct`` different right ones.

    Choose the right patterns that occur; then count, by inclusion and exclusion, the sequences over
    them and the 32 wrong ones in which each chosen one does occur.

    Source: Theorem D.3 and the computation behind Figure 4A.
    """
    n_units = whole_number("n_units", n_units, at_least=0)
    distinct = whole_number("distinct", distinct, at_least=0)
    n_wrong = N_PATTERNS - N_RIGHT
    onto: int = sum(
        (-1) ** missing * comb(distinct, missing) * (n_wrong + distinct - missing) ** n_units
        for missing in range(distinct + 1)
    )
    return comb(N_RIGHT, distinct) * onto


def theorem_probability(n_units: int, *, at_least: int = 3) -> Fraction:
    """Probability that ``n_units`` random units hold three distinct right patterns.

    ``1 - sum(Q(p) for p < 3) / 64 ** n``: the paper's chance that a randomly signed network is
    capable (Theorem D.3; the curve of Figure 4A).
    """
    at_least = whole_number("at_least", at_least, at_least=0)
    too_few = sum(right_pattern_sequences(n_units, p) for p in range(at_least))
    return 1 - Fraction(too_few, N_PATTERNS**n_units)


def capable_probability(
    n_units: int,
    condition: Callable[[Iterable[Pattern]], bool] = set_is_exactly_capable,
    among: Iterable[Pattern] = PATTERNS,
) -> Fraction:
    """Probability that ``n_units`` units of random patterns meet ``condition``.

    Parameters
    ----------
    n_units
        Number of hidden units; each has one of the patterns ``among``, all equally likely,
        independently of the others.
    condition
        A condition on the set of patterns that occur.
    among
        The patterns that can occur: by default all eight (random polarity); the four right ones
        give sufficient polarity.

    Returns
    -------
    Fraction
        The sum, over all sets that meet the condition, of the probability that exactly that set
        occurs, each by inclusion and exclusion over its subsets.

    Raises
    ------
    ValueError
        If ``among`` holds no pattern, or something else.
    """
    n_units = whole_number("n_units", n_units, at_least=0)
    among = frozenset(among)
    if not among or not among <= frozenset(PATTERNS):
        raise ValueError(f"among must be patterns, at least one of {PATTERNS}; got {set(among)}")
    sequences = sum(
        (-1) ** (len(patterns) - size) * comb(len(patterns), size) * size**n_units
        for patterns in all_sets()
        if patterns <= among and condition(patterns)
        for size in range(len(patterns) + 1)
    )
    return Fraction(sequences, len(among) ** n_units)


def units_needed(probability: Callable[[int], Fraction], level: float) -> int:
    """Smallest number of units at which ``probability`` exceeds ``level``."""
    level = open_unit_interval("level", level)
    return next(n for n in count(1) if probability(n) > level)
