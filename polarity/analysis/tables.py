"""Tables and numbers in words, as every page of the book shows them."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from .estimate import Estimate, typeset

__all__ = ["as_table", "in_cell", "percent", "side"]

RARE = 1e-5
"""Shares below this, and not 0, are told by their bound."""


def as_table(data: Any, *, index: bool = False) -> Styler:
    """Return a table in the book's style.

    Parameters
    ----------
    data
        What pandas makes a frame of: a frame, columns by name, or rows, each from names to values.
    index
        Whether the names of the rows are shown.

    Examples
    --------
    >>> as_table([{"n": 60, "error (%)": 12.5}]).format({"error (%)": "{:.0f}"}).to_string()
    'n error (%)\\n60 12\\n'
    """
    style = pd.DataFrame(data).style
    if not index:
        style = style.hide(axis="index")
    return style.set_table_attributes('class="ledger"')


def percent(share: float, digits: int = 0) -> str:
    """Return a fraction as per cent, with the space that British typography asks for.

    Nothing but 0 is told as 0: a share that so many digits would hide has three of them.

    Examples
    --------
    >>> [percent(x).replace(chr(0xA0), " ") for x in (0, 3e-6, 0.004, 0.5, 1)]
    ['0 %', '< 0.001 %', '0.400 %', '50 %', '100 %']
    """
    if math.isnan(share):
        return "undefined"
    if 0 < abs(share) < RARE:
        return typeset(("> -" if share < 0 else "< ") + "0.001%")
    text = f"{share:.{digits}%}"
    if share and not text.strip("-0.%"):
        text = f"{share:.3%}"
    return typeset(text)


def in_cell(estimate: Estimate, spec: str = ".1f") -> str:
    """Return an estimate for a narrow cell: no line ends within its brackets.

    Examples
    --------
    >>> from polarity.analysis.estimate import Estimate
    >>> in_cell(Estimate(2.0, 1.0, 3.0, n=9, method="mean")).replace(chr(0xA0), "_")
    '2.0 (1.0_to_3.0)'
    """
    value, _, interval = format(estimate, spec).partition(" ")
    return f"{value} {interval.replace(' ', chr(0xA0))}"


def side(estimate: Estimate, below: str, above: str, neither: str, *, of: float = 0.0) -> str:
    """Return a word for the side of a number on which a whole interval lies; ``neither`` for none.

    Examples
    --------
    >>> from polarity.analysis.estimate import Estimate
    >>> gain = Estimate(2.0, 1.0, 3.0, n=9, method="mean")
    >>> side(gain, "lower", "higher", "not clearly different")
    'higher'
    >>> side(gain, "less", "more", "as much", of=2)
    'as much'
    """
    return below if estimate.high < of else above if estimate.low > of else neither
