"""The cross-shaped boundary of XOR: who can draw it, decided three ways.

A network *draws the cross* on the square ``|x1|, |x2| <= R`` if its output is positive wherever
``x1 * x2 > 0`` and negative wherever ``x1 * x2 < 0``. For a set of unit patterns this module offers

- a construction (:func:`construct`), checked exactly (:meth:`Network.draws_cross`);
- a certificate that none exists (:func:`certificate`), checked exactly
  (:meth:`Certificate.refutes`);
- a linear programme that knows neither (:class:`KinkFamily`): over all networks with kinks from a
  finite family of lines, for the cross itself or for any finite set of points.

The first two use integers and fractions only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from .patterns import Pattern

Point = tuple[Fraction, Fraction]
#: The line ``a * x1 + b * x2 + c = 0``.
Line = tuple[int, int, int]

_AXES: tuple[Line, ...] = ((1, 0, 0), (0, 1, 0))
# With the diagonals among the lines no cell of the plane touches both axes (but at the origin), so
# that a function that is affine on each cell has one sign inside a quadrant as soon as it has that
# sign at the corners off the axes and is zero at those on them.
_DIAGONALS: tuple[Line, ...] = ((1, 1, 0), (1, -1, 0))


def quadrant(point: Sequence[Fraction | int]) -> int:
    """Return the sign that the cross asks for at a point: +1, -1, or 0 on an axis."""
    value = point[0] * point[1]
    return (value > 0) - (value < 0)


@dataclass(frozen=True)
class Unit:
    """One ReLU unit: ``output * max(0, first * x1 + second * x2 + bias)``; a weight may be zero."""

    first: Fraction | int
    second: Fraction | int
    bias: Fraction | int
    output: Fraction | int

    def __call__(self, x1: Fraction | int, x2: Fraction | int) -> Fraction | int:
        """Contribution to the network's output."""
        return self.output * max(0, self.first * x1 + self.second * x2 + self.bias)

    def obeys(self, pattern: Pattern) -> bool:
        """Whether no weight is of the sign opposite to the pattern's."""
        weights = (self.first, self.second, self.output)
        return all(sign * weight >= 0 for sign, weight in zip(pattern, weights, strict=True))


@dataclass(frozen=True)
class Network:
    """A network of one hidden layer, with exact weights."""

    units: tuple[Unit, ...]
    bias: Fraction | int = 0

    def __call__(self, x1: Fraction | int, x2: Fraction | int) -> Fraction | int:
        """Output before the sigmoid."""
        return self.bias + sum(unit(x1, x2) for unit in self.units)

    def draws_cross(self, half_width: int = 1) -> bool:
        """Whether the output has the right sign on the whole square, decided exactly.

        The output is affine on each cell into which the kinks, the axes and the diagonals cut the
        square. It draws the cross if and only if, over the corners of the cells, it is zero on the
        axes and has the right sign elsewhere.
        """
        lines: list[tuple[Fraction | int, ...]] = [
            (unit.first, unit.second, unit.bias) for unit in self.units
        ]
        return all(
            _sign(self(*corner)) == quadrant(corner) for corner in corners(lines, half_width)
        )


def _sign(value: Fraction | int) -> int:
    return (value > 0) - (value < 0)


def corners(lines: Iterable[Sequence[Fraction | int]], half_width: int = 1) -> list[Point]:
    """Corners of the cells into which lines, axes and diagonals cut the square, sorted."""
    r = half_width
    frame = ((1, 0, r), (1, 0, -r), (0, 1, r), (0, 1, -r))
    found = set()
    for (a, b, c), (d, e, f) in combinations({*map(tuple, lines), *_AXES, *_DIAGONALS, *frame}, 2):
        determinant = a * e - b * d
        if determinant:
            x1, x2 = Fraction(b * f - c * e) / determinant, Fraction(c * d - a * f) / determinant
            if abs(x1) <= r and abs(x2) <= r:
                found.add((x1, x2))
    return sorted(found)


# --- by proof ------------------------------------------------------------------------------------


def construct(
    patterns: Iterable[Pattern], half_width: int = 1
) -> tuple[Network, tuple[Pattern, ...]]:
    """Build three units of the given patterns that draw the cross on the square.

    All constructions are one function, ``(|x1 + x2| - |x1 - x2|) / 2``, whose value is the smaller
    of ``|x1|`` and ``|x2|`` with the sign that the cross asks for. The two right units of opposite
    outputs bend it along the diagonals; they leave a slope in one input, which the third removes:
    it is active on the whole square, and blind to the other input.

    Returns
    -------
    Network
        Three units and an output bias.
    tuple of Pattern
        The pattern that each of the three obeys.

    Raises
    ------
    ValueError
        If the set is not exactly capable.
    """
    patterns = sorted(set(patterns))
    for up, down in product(patterns, patterns):
        if not (up.right and down.right and up.output == 1 and down.output == -1):
            continue
        # The slopes of the two agree along one input and cancel along the other.
        axis = 0 if up.slope[0] == down.slope[0] else 1
        for level in patterns:
            if level.slope[axis] == -up.slope[axis]:
                weights = [0, 0]
                weights[axis] = level[axis]
                units = (
                    Unit(up.first, up.second, 0, 1),
                    Unit(down.first, down.second, 0, -1),
                    Unit(weights[0], weights[1], half_width, level.output),
                )
                return Network(units, -level.output * half_width), (up, down, level)
    raise ValueError(f"patterns must be exactly capable, got {{{', '.join(map(str, patterns))}}}")


@dataclass(frozen=True)
class Certificate:
    """Why no network of the given units draws the cross: a weighted sum of its values.

    Drawing the cross makes ``sum(weight * f(point))`` positive; yet no unit can contribute a
    positive amount to it, and a constant contributes nothing (Farkas' lemma).
    """

    reason: str
    atoms: tuple[tuple[Fraction | int, Point], ...]

    def demands_positive(self) -> bool:
        """Whether every function that draws the cross makes the sum positive."""
        signs = [_sign(weight) * quadrant(point) for weight, point in self.atoms]
        return min(signs) >= 0 and max(signs) > 0

    def refutes(self, units: Iterable[Unit]) -> bool:
        """Whether no network of these units, whatever its gains and output bias, does."""
        return (
            self.demands_positive()
            and sum(weight for weight, _ in self.atoms) == 0
            and all(
                sum(weight * unit(*point) for weight, point in self.atoms) <= 0 for unit in units
            )
        )


def certificate(patterns: Iterable[Pattern], scale: Fraction | int = 1) -> Certificate:
    """Give the reason why units of these patterns cannot draw the cross.

    Parameters
    ----------
    patterns
        A set that is not exactly capable.
    scale
        For the two certificates of curvature: how far from the origin to look. It must be less
        than half the distance, along the axes, from the origin to the nearest kink that misses it;
        every network has such a scale. The certificates of slope hold at every scale.

    Raises
    ------
    ValueError
        If the set is exactly capable, so that there is no such reason.
    """
    patterns = frozenset(patterns)
    one = Fraction(scale)
    for axis, direction in product((0, 1), (1, -1)):
        if all(pattern.slope[axis] == direction for pattern in patterns):
            # Beside this half of the other axis the cross asks for the opposite direction.
            low, high = [-direction * one] * 2, [-direction * one] * 2
            low[axis], high[axis] = -one, one
            verb = "rises" if direction > 0 else "falls"
            return Certificate(
                f"every unit {verb} in x{axis + 1}",
                ((direction, (low[0], low[1])), (-direction, (high[0], high[1]))),
            )
    right_outputs = {pattern.output for pattern in patterns if pattern.right}
    half = Fraction(1, 2)
    if -1 not in right_outputs:
        return Certificate(
            "nothing bends down between the axes of a positive quadrant",
            ((1, (one, one)), (-half, (2 * one, 0 * one)), (-half, (0 * one, 2 * one))),
        )
    if 1 not in right_outputs:
        return Certificate(
            "nothing bends up between the axes of a negative quadrant",
            ((-1, (one, -one)), (half, (2 * one, 0 * one)), (half, (0 * one, -2 * one))),
        )
    raise ValueError("patterns must not be exactly capable: there is nothing to refute")


# --- by linear programming -----------------------------------------------------------------------


@dataclass(frozen=True)
class KinkFamily:
    """All networks, of any number of units, whose kinks belong to a finite family of lines.

    Attributes
    ----------
    lines
        The lines on which a unit may bend, each with the side on which the unit is active:
        ``a * x1 + b * x2 + c > 0``. A pattern has those whose ``a`` and ``b`` are of its signs,
        or zero.
    points
        Where the sign of the output is tested: zero on the axes, else the sign of the quadrant.
    """

    lines: tuple[Line, ...]
    points: tuple[Point, ...]

    @classmethod
    def on_square(
        cls, directions: Iterable[tuple[int, int]], offsets: Iterable[int], half_width: int = 1
    ) -> KinkFamily:
        """Lines ``a * x1 + b * x2 + c = 0`` of all given directions, up to signs, and offsets c.

        The points are the corners of the cells into which all the lines cut the square: being right
        there is the same as drawing the cross.
        """
        lines = sorted(
            {
                (s * a, t * b, c)
                for (a, b), c, s, t in product(directions, tuple(offsets), (1, -1), (1, -1))
            }
        )
        return cls(tuple(lines), tuple(corners(lines, half_width)))

    @classmethod
    def through(cls, points: Iterable[tuple[int, int]]) -> KinkFamily:
        """Every line that matters for a finite set of points, none on an axis.

        Between two neighbouring lines through pairs of points (or parallel to an axis through one)
        the values of a unit on the points are a sum of its values on those lines, so that for this
        set of points the finite family stands for all networks.
        """
        points = sorted(set(points))
        normals = [((x1, x2), normal) for x1, x2 in points for normal in ((1, 0), (0, 1))]
        normals += [(p, (q[1] - p[1], p[0] - q[0])) for p, q in combinations(points, 2)]
        lines = {
            (s * a, s * b, -s * (a * x1 + b * x2)) for (x1, x2), (a, b) in normals for s in (1, -1)
        }
        return cls(tuple(sorted(lines)), tuple((Fraction(x1), Fraction(x2)) for x1, x2 in points))

    def units(self, patterns: Iterable[Pattern]) -> list[Unit]:
        """Units of the given patterns, one for each line that suits the pattern."""
        return [
            Unit(a, b, c, pattern.output)
            for pattern in patterns
            for a, b, c in self.lines
            if pattern.first * a >= 0 and pattern.second * b >= 0
        ]

    @cached_property
    def _values(self) -> NDArray[np.float64]:
        """Value of ``max(0, line)`` at each point: shape (points, lines)."""
        homogeneous = np.array([[float(x1), float(x2), 1.0] for x1, x2 in self.points])
        values: NDArray[np.float64] = homogeneous @ np.array(self.lines, dtype=float).T
        return np.maximum(values, 0.0, out=values)

    def margin(self, patterns: Iterable[Pattern]) -> float:
        """Largest margin with which networks of these patterns are right at all points.

        The margin at a point is the output, signed, over the smaller of ``|x1|`` and ``|x2|``; the
        gains (output magnitudes) sum to at most 1. Positive if and only if such a network exists.
        """
        lines = np.array(self.lines)
        columns = [
            pattern.output
            * self._values[
                :, (pattern.first * lines[:, 0] >= 0) & (pattern.second * lines[:, 1] >= 0)
            ]
            for pattern in patterns
        ]
        wanted = np.array([quadrant(point) for point in self.points], dtype=float)
        scale = np.array([float(min(abs(x1), abs(x2))) for x1, x2 in self.points])
        ones = np.ones((len(self.points), 1))
        values = np.hstack([*columns, ones])  # the last column is the output bias
        off, on = wanted != 0, wanted == 0
        n_gains = values.shape[1] - 1
        # Variables: gains >= 0, output bias, margin. Maximise the margin.
        right = np.hstack([-wanted[off, None] * values[off], scale[off, None]])
        budget = np.hstack([np.ones(n_gains), 0.0, 0.0])
        result = linprog(
            np.hstack([np.zeros(n_gains + 1), -1.0]),
            A_ub=np.vstack([right, budget]),
            b_ub=np.hstack([np.zeros(int(off.sum())), 1.0]),
            A_eq=np.hstack([values[on], np.zeros((int(on.sum()), 1))]) if on.any() else None,
            b_eq=np.zeros(int(on.sum())) if on.any() else None,
            bounds=[(0, None)] * n_gains + [(None, None), (0, None)],
            method="highs",
        )
        if not result.success:
            raise RuntimeError(f"the linear programme did not solve: {result.message}")
        return float(-result.fun)
