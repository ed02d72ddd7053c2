"""Rules that decide a claim: each looks at an estimate and its interval, never at anything else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from .estimate import Estimate

Outcome = Literal["reproduced", "partly", "undecided", "not reproduced"]
OUTCOMES: tuple[Outcome, ...] = ("reproduced", "partly", "undecided", "not reproduced")
"""What a rule can say of a claim.

In turn: the whole interval fulfils it; the value alone does; the value does not, but a part of the
interval; not even that.
"""


class Rule(Protocol):
    """Decides one claim and says in words how."""

    def decide(self, estimate: Estimate) -> Outcome:
        """The outcome for an estimate whose value is a number; bounds may be infinite."""
        ...

    def describe(self, spec: str) -> str:
        """The rule in words; ``spec`` formats its numbers."""
        ...

    def place(self, spec: str) -> str:
        """Where an interval must lie, in a few words."""
        ...

    @property
    def region(self) -> tuple[float, float]:
        """Where an interval must lie: the lower and the upper end, which may be infinite."""
        ...


def _short_of_it(value_does: bool, interval_reaches: bool) -> Outcome:
    """The outcome where not the whole interval fulfils a rule."""
    return "partly" if value_does else "undecided" if interval_reaches else "not reproduced"


def _plain(value: float, spec: str) -> str:
    return format(Estimate(value, math.nan, math.nan, n=0, method="bound"), spec).replace(
        " (no interval)", ""
    )


@dataclass(frozen=True)
class Below:
    """Reproduced if the whole interval lies below ``bound``; partly if only the value does."""

    bound: float

    def decide(self, estimate: Estimate) -> Outcome:
        """See the class."""
        if estimate.high < self.bound:
            return "reproduced"
        return _short_of_it(estimate.value < self.bound, estimate.low < self.bound)

    @property
    def region(self) -> tuple[float, float]:
        """See the class."""
        return (-math.inf, self.bound)

    def place(self, spec: str) -> str:
        """See the protocol."""
        return f"below {_plain(self.bound, spec)}"

    def describe(self, spec: str) -> str:
        """The rule in words."""
        return (
            f"reproduced if the whole interval lies {self.place(spec)}, "
            "partly if only the value does, undecided if only a part of the interval does"
        )


@dataclass(frozen=True)
class Above:
    """Reproduced if the whole interval lies above ``bound``; partly if only the value does."""

    bound: float

    def decide(self, estimate: Estimate) -> Outcome:
        """See the class."""
        if estimate.low > self.bound:
            return "reproduced"
        return _short_of_it(estimate.value > self.bound, estimate.high > self.bound)

    @property
    def region(self) -> tuple[float, float]:
        """See the class."""
        return (self.bound, math.inf)

    def place(self, spec: str) -> str:
        """See the protocol."""
        return f"above {_plain(self.bound, spec)}"

    def describe(self, spec: str) -> str:
        """The rule in words."""
        return (
            f"reproduced if the whole interval lies {self.place(spec)}, "
            "partly if only the value does, undecided if only a part of the interval does"
        )


@dataclass(frozen=True)
class Within:
    """For "no difference": reproduced if the whole interval lies within +-``margin`` of 0."""

    margin: float

    def decide(self, estimate: Estimate) -> Outcome:
        """See the class."""
        if -self.margin < estimate.low and estimate.high < self.margin:
            return "reproduced"
        reaches = estimate.low < self.margin and -self.margin < estimate.high
        return _short_of_it(abs(estimate.value) < self.margin, reaches)

    @property
    def region(self) -> tuple[float, float]:
        """See the class."""
        return (-self.margin, self.margin)

    def place(self, spec: str) -> str:
        """See the protocol."""
        return f"within ±{_plain(self.margin, spec)}"

    def describe(self, spec: str) -> str:
        """The rule in words."""
        return (
            f"reproduced if the whole interval lies {self.place(spec)}, "
            "partly if only the value does, undecided if only a part of the interval does"
        )


@dataclass(frozen=True)
class RatioLike:
    """For a published ratio below 1: it must lie in our interval, and our interval below 1.

    Partly if the value lies below 1, near the published one or not: the direction, not the size.
    """

    published: float

    def decide(self, estimate: Estimate) -> Outcome:
        """See the class."""
        contains = estimate.low <= self.published <= estimate.high
        if contains and estimate.high < 1:
            return "reproduced"
        return _short_of_it(estimate.value < 1, estimate.low < 1)

    @property
    def region(self) -> tuple[float, float]:
        """See the class."""
        return (-math.inf, 1.0)

    def place(self, spec: str) -> str:
        """See the protocol."""
        return f"around {_plain(self.published, spec)} and below {_plain(1.0, spec)}"

    def describe(self, spec: str) -> str:
        """The rule in words."""
        return (
            f"reproduced if the interval holds {_plain(self.published, spec)} and lies wholly "
            f"below {_plain(1.0, spec)}, partly if it does not and yet the value, whatever it is, "
            f"lies below {_plain(1.0, spec)}, undecided if only a part of the interval does"
        )


@dataclass(frozen=True)
class Equals:
    """For a count: reproduced if the value and the whole interval are ``number``.

    Partly if only the value is.
    """

    number: float

    def decide(self, estimate: Estimate) -> Outcome:
        """See the class."""
        if estimate.low == estimate.value == estimate.high == self.number:
            return "reproduced"
        reaches = estimate.low <= self.number <= estimate.high
        return _short_of_it(estimate.value == self.number, reaches)

    @property
    def region(self) -> tuple[float, float]:
        """See the class."""
        return (self.number, self.number)

    def place(self, spec: str) -> str:
        """See the protocol."""
        return f"at {_plain(self.number, spec)}"

    def describe(self, spec: str) -> str:
        """The rule in words."""
        return (
            f"reproduced if value and interval are {_plain(self.number, spec)}, partly if only "
            "the value is, undecided if only the interval holds that"
        )
