"""A number with its interval: what every statistic of this package returns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from polarity._checks import open_unit_interval, whole_number

__all__ = ["Estimate"]

POINTS = "pt"
"""End of a format specification that writes a difference of shares in percentage points."""
SUBSTITUTE = "not the paper's experiment"
WORDS = ("method", "setting")  # fields of text


@dataclass(frozen=True)
class Estimate:
    """A value, its interval, and what they were computed from.

    Formatting writes the value and the interval with one format specification, in words that
    survive infinite and undefined bounds:

    >>> share = Estimate(0.58, 0.451, 0.702, n=50, method="share of trials, Wilson interval")
    >>> print(f"{share:.1%}")
    58.0 % (45.1 % to 70.2 %)
    >>> print(f"{Estimate(-0.041, -0.062, 0.038, n=7, method='difference'):.1pt}")
    −4.1 points (−6.2 to 3.8)
    >>> print(Estimate(float("inf"), 12, float("inf"), n=7, method="median"))
    ∞ (12 to ∞)

    Parameters
    ----------
    value : float
        The estimate. NaN where it is undefined (the median of no trials), infinite where it lies
        beyond what was observed (the median of trials most of which never got there).
    low : float
        Lower end of the interval, ``low <= high``. Infinite where the sample puts no bound on that
        side; NaN, with ``high``, where no interval exists.
    high : float
        Upper end.
    n : int
        Number of observations behind it.
    confidence : float
        Level of the interval, strictly between 0 and 1.
    method : str
        What the value is and how the interval was made, in words for a caption.
    setting : str
        On what it was measured, where that is not the paper's own experiment: tier, donor, sizes,
        trials. Empty where there is nothing to say; ends in ``SUBSTITUTE`` where it was another
        experiment than the paper's.

    Raises
    ------
    TypeError
        If a number is a bool, complex or no number at all, or ``setting`` is no text.
    ValueError
        If ``low > high``, if only one of them is NaN, if ``n`` is negative, if ``confidence`` is
        outside (0, 1), or if ``method`` is empty.
    """

    value: float
    low: float
    high: float
    n: int
    confidence: float = 0.95
    method: str = ""
    setting: str = ""

    def __post_init__(self) -> None:
        for name in ("value", "low", "high"):
            object.__setattr__(self, name, _real(name, getattr(self, name)))
        object.__setattr__(self, "n", whole_number("n", self.n, at_least=0))
        object.__setattr__(self, "confidence", open_unit_interval("confidence", self.confidence))
        if not isinstance(self.method, str) or not self.method.strip():
            raise ValueError(f"method must say how the estimate was made, got {self.method!r}")
        if not isinstance(self.setting, str):
            raise TypeError(f"setting must be words, got {self.setting!r}")
        if math.isnan(self.low) != math.isnan(self.high):
            raise ValueError(
                f"low and high must both be NaN or neither, got {self.low} and {self.high}"
            )
        if self.low > self.high:
            raise ValueError(f"low must not exceed high, got {self.low} and {self.high}")

    @property
    def substitute(self) -> bool:
        """Whether it was measured on another experiment than the paper's."""
        return self.setting.endswith(SUBSTITUTE)

    def to_dict(self) -> dict[str, float | int | str]:
        """The fields as plain values for strict JSON, which knows no NaN and no infinity.

        Those become the strings ``"nan"``, ``"inf"`` and ``"-inf"``, so that "undefined" and
        "never" stay apart; :meth:`from_dict` reads them back.
        """
        return {
            field.name: str(item) if isinstance(item, float) and not math.isfinite(item) else item
            for field in fields(self)
            for item in [getattr(self, field.name)]
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Estimate:
        """The estimate that :meth:`to_dict` wrote.

        Raises
        ------
        ValueError
            If a field is missing or unknown, or if a value is not allowed (see the class).
        TypeError
            If a value has the wrong type.
        """
        names = {field.name for field in fields(cls)}
        if set(data) != names:
            raise ValueError(
                f"an estimate has the fields {sorted(names)}; "
                f"missing {sorted(names - set(data))}, unknown {sorted(set(data) - names)}"
            )
        special = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
        plain = {
            key: special.get(item, item) if isinstance(item, str) and key not in WORDS else item
            for key, item in data.items()
        }
        return cls(**plain)  # type: ignore[arg-type]  # checked in __post_init__

    def __format__(self, spec: str) -> str:
        spec, unit, scale = spec or ".4g", "", 1
        if spec.endswith(POINTS):
            spec, unit, scale = spec.removesuffix(POINTS) + "f", " points", 100
        value, low, high = (_words(scale * x, spec) for x in (self.value, self.low, self.high))
        if not math.isnan(self.value):
            value += unit
        if not math.isnan(self.low):
            return f"{value} ({low} to {high})"
        return value if math.isnan(self.value) else f"{value} (no interval)"

    def brief(self, spec: str) -> str:
        """Value and interval as ``format`` writes them; the value alone if that has no bounds.

        An interval without bounds, as the median's of fewer than six values, says nothing.

        Examples
        --------
        >>> Estimate(0.5, float("-inf"), float("inf"), n=2, method="median").brief(".1f")
        '0.5'
        >>> Estimate(0.5, 0.25, float("inf"), n=9, method="Kaplan-Meier").brief(".1f")
        '0.5 (0.2 to ∞)'
        """
        text = format(self, spec)
        return text.partition(" (")[0] if math.isinf(self.low) and math.isinf(self.high) else text

    def __str__(self) -> str:
        return format(self)


def _real(name: str, value: object) -> float:
    # float() would also take strings and True.
    if isinstance(value, (bool, str, bytes)):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    try:
        return float(value)  # type: ignore[arg-type]  # that is what is being tested
    except TypeError:
        raise TypeError(f"{name} must be a real number, got {value!r}") from None


def typeset(number: str) -> str:
    """Return a formatted number as British typography has it.

    With a real minus and a space before the per cent sign, a no-break one, so that no line ends
    before the sign.

    Examples
    --------
    >>> from polarity.analysis.estimate import typeset
    >>> typeset("-12.5%").replace(chr(0xA0), "_")
    '−12.5_%'
    """
    return number.replace("-", "−").replace("%", "\u00a0%")


def _words(number: float, spec: str) -> str:
    if math.isnan(number):
        return "undefined"
    if math.isinf(number):
        return typeset("∞" if number > 0 else "-∞")
    text = format(number, spec)
    # What rounds to nothing has no side.
    return typeset(text if text.strip("-+0.%") else format(0.0, spec))
