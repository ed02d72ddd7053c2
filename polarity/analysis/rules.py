"""Rules that decide a claim: each looks at an estimate and its interval, never at anything else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from .estimate import Estimate

Outcome = Literal["reproduced", "partly", "not reproduced"]
OUTCOMES: tuple[Outcome, ...] = ("reproduced", "partly", "not reproduced")
"""What a rule can say of a claim."""


class Rule(Protocol):
    """Decides one claim and says in words how."""

    def decide(self, estimate: Estimate) -> Outcome:
        """The outcome for an estimate whose value is a number; bounds may be infinite."""
        ...

    def describe(self, spec: str) -> str:
        """The rule in words; ``spec`` formats its numbers."""
        ...


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
        return "partly" if estimate.value < self.bound else "not reproduced"

    def describe(self, spec: str) -> str:
        """The rule in words."""
        return (
            f"reproduced if the whole interval lies below {_plain(self.bound, spec)}, "
            "partly if only the value does"
        )


@dataclass(frozen=True)
class Above:
    """Reproduced if the whole interval lies above ``bound``; partly if only the value does."""

    bound: float

    def decide(self, estimate: Estimate) -> Outcome:
        """See the class."""
        if estimate.low > self.bound:
            return "reproduced"
        return "partly" if estimate.value > self.bound else "not reproduced"

    def describe(self, spec: str) -> str:
        """The rule in words."""
        return (
            f"reproduced if the whole interval lies above {_plain(self.bound, spec)}, "
            "partly if only the value does"
        )


@dataclass(frozen=True)
class Within:
    """For "no difference": reproduced if the whole interval lies within +-``margin`` of 0."""

    margin: float

    def decide(self, estimate: Estimate) -> Outcome:
        """See the class."""
        if -self.margin < estimate.low and estimate.high < self.margin:
            return "reproduced"
        return "partly" if abs(estimate.value) < self.margin else "not reproduced"

    def describe(self, spec: str) -> str:
        """The rule in words."""
        return (
            f"reproduced if the whole interval lies within ±{_plain(self.margin, spec)}, "
            "partly if only the value does"
        )


@dataclass(frozen=True)
class RatioLike:
    """For a published ratio below 1: it must lie in our interval, and our interval below 1.

    Partly if only one of these holds, or if the value alone lies below 1.
    """

    published: float

    def decide(self, estimate: Estimate) -> Outcome:
        """See the class."""
        contains = estimate.low <= self.published <= estimate.high
        if contains and estimate.high < 1:
            return "reproduced"
        return "partly" if contains or estimate.value < 1 else "not reproduced"

    def describe(self, spec: str) -> str:
        """The rule in words."""
        return (
            f"reproduced if the interval holds {_plain(self.published, spec)} and lies wholly "
            f"below {_plain(1.0, spec)}, partly if it does one of these or the value lies below"
        )


@dataclass(frozen=True)
class Equals:
    """For a count: reproduced if the value and the whole interval are ``number``.

    Partly if the interval holds it.
    """

    number: float

    def decide(self, estimate: Estimate) -> Outcome:
        """See the class."""
        if estimate.low == estimate.value == estimate.high == self.number:
            return "reproduced"
        return "partly" if estimate.low <= self.number <= estimate.high else "not reproduced"

    def describe(self, spec: str) -> str:
        """The rule in words."""
        return f"reproduced if it is {_plain(self.number, spec)}, partly if the interval holds that"
