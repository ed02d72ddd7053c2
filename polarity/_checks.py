"""Checks that several modules share: messages name the parameter, the value, what is allowed."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from numbers import Real
from typing import Any


def keep(record: object, check: Callable[[str, Any], object], *names: str) -> None:
    """Replace fields of a frozen dataclass by what a check makes of them.

    One number then has one key, whichever kind of it was given.
    """
    for name in names:
        object.__setattr__(record, name, check(name, getattr(record, name)))


def distinct(name: str, values: Any) -> tuple[Any, ...]:
    """Return ``values`` as a tuple.

    Raises
    ------
    TypeError
        If they are no sequence (a string is none), or lists, say, are among them.
    ValueError
        If there are none, or one of them is there twice.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a sequence, got {values!r}")
    found = tuple(values)
    try:
        once = len(set(found))
    except TypeError:
        raise TypeError(f"{name} must be a sequence of plain values, got {values!r}") from None
    if not found or once != len(found):
        raise ValueError(f"{name} must be distinct values, at least one; got {found!r}")
    return found


def whole_number(name: str, value: object, *, at_least: int, at_most: int | None = None) -> int:
    """Return ``value`` as an int.

    Raises
    ------
    TypeError
        If it is not a whole number (a bool or a float is not one).
    ValueError
        If it is smaller than ``at_least``, or larger than ``at_most``.
    """
    if isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # that is what is being tested
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if number < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {number}")
    if at_most is not None and number > at_most:
        raise ValueError(f"{name} must be at most {at_most}, got {number}")
    return number


def one_of(name: str, value: object, allowed: Iterable[str]) -> str:
    """Return ``value`` if it is among ``allowed``.

    Raises
    ------
    ValueError
        If it is not.
    """
    allowed = tuple(allowed)
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
    return value


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    return float(value)


def positive(name: str, value: float) -> float:
    """Return ``value`` as a float.

    Raises
    ------
    TypeError
        If it is not a number (a bool or a string is not one).
    ValueError
        If it is not a finite number greater than zero.
    """
    number = _number(name, value)
    if not 0 < number < float("inf"):
        raise ValueError(f"{name} must be finite and greater than 0, got {value!r}")
    return number


def below(name: str, value: float, limit: float) -> float:
    """Return ``value`` as a float.

    Raises
    ------
    TypeError
        If it is not a number (a bool or a string is not one).
    ValueError
        If it is not at least 0 and less than ``limit``.
    """
    number = _number(name, value)
    if not 0 <= number < limit:
        raise ValueError(f"{name} must be at least 0 and less than {limit:g}, got {value!r}")
    return number


def open_unit_interval(name: str, value: float) -> float:
    """Return ``value`` as a float.

    Raises
    ------
    TypeError
        If it is not a number (a bool or a string is not one).
    ValueError
        If it does not lie strictly between 0 and 1.
    """
    number = _number(name, value)
    if not 0 < number < 1:
        hint = " (a fraction, not a percentage)" if number > 1 else ""
        raise ValueError(f"{name} must lie strictly between 0 and 1{hint}, got {value!r}")
    return number
