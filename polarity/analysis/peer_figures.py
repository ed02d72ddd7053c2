"""The figures of the page on other ways to hold signs; every function returns a figure.

Panels stand above each other, so that they can be read on a telephone. An approach looks the same
in every panel; it has a marker and a line style of its own, so that no figure needs colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import ArrayLike

from .drawn import trial_dots
from .estimate import Estimate
from .style import OKABE_ITO, RULES, Style, condition_style

__all__ = ["POLARITIES", "STYLES", "Score", "scores_figure", "siege_figure"]

_WIDTH = 5.2  # inches

STYLES: Mapping[str, Style] = {
    "fluid": Style("fluid", OKABE_ITO["grey"], "^", (0, (1, 1.2))),
    **{rule: replace(look, label=f"Freeze-SGD, {rule}") for rule, look in RULES.items()},
    "inferred": Style("signs inferred", OKABE_ITO["vermilion"], "s", (0, (5, 2))),
    "absolute": Style("s|v|", OKABE_ITO["green"], "P", (0, (2, 1))),
    "clamp": Style("clamping", OKABE_ITO["orange"], "X", (0, (4, 1))),
    "eg": Style("exponentiated gradient", OKABE_ITO["purple"], "p", (0, (7, 1, 2, 1))),
    "exp": Style("s exp(u)", OKABE_ITO["purple"], "h", (0, (7, 1, 2, 1))),
    "madam": Style("Madam", OKABE_ITO["black"], "*", (0, (3, 1.5))),
}
"""What each approach looks like."""
POLARITIES: Mapping[str, Style] = {
    "random": replace(condition_style("frozen_random"), label="random signs"),
    "sufficient": replace(condition_style("frozen_sufficient"), label="sufficient signs"),
}
"""The polarities held, which look as on the page on XOR-5D."""
_LOWEST = 1e-20  # of the axis of magnitudes: what is less, zero among it, is drawn there


class Score(NamedTuple):
    """How well networks trained by one approach do."""

    approach: str
    polarity: str
    error: Estimate
    """Its mean over the trials."""
    trials: ArrayLike = ()
    """That of each trial, shape (trials,)."""


def scores_figure(panels: Mapping[str, Sequence[Score]], trials: int) -> Figure:
    """Validation error of every approach, one panel an optimiser, one row an approach.

    Parameters
    ----------
    panels
        What is driven by it (``"plain gradient descent"``) -> scores, in per cent; rows stand in
        the order in which their approaches first appear.
    trials
        Number of networks behind each mark.
    """
    rows = [list(dict.fromkeys(s.approach for s in scores)) for scores in panels.values()]
    counts = [len(names) for names in rows]
    figure = Figure(
        figsize=(_WIDTH, 0.9 + 0.9 * len(rows) + 0.36 * sum(counts)),
        layout=ConstrainedLayoutEngine(h_pad=0.06, hspace=0.05),
    )
    axes = figure.subplots(len(rows), 1, squeeze=False, sharex=True, height_ratios=counts)[:, 0]
    for letter, ax, names, (driver, scores) in zip("ABC", axes, rows, panels.items(), strict=False):
        for score in scores:
            style, error = POLARITIES[score.polarity], score.error
            y = names.index(score.approach) + 0.24 * (list(POLARITIES).index(score.polarity) - 0.5)
            trial_dots(ax, score.trials, y, style.color)
            seen = ax.get_legend_handles_labels()[1]
            ax.plot(
                error.value, y, color=style.color, marker=style.marker, linestyle="none",
                label=None if style.label in seen else style.label,
            )  # fmt: skip
            ax.plot([error.low, error.high], [y, y], color=style.color, linewidth=1.4)
        ax.set_yticks(range(len(names)), [STYLES[name].label for name in names], fontsize=9)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_title(f"{letter}   {driver}, {trials} trials", fontsize=10)
    axes[-1].set_xlim(0, None)
    axes[-1].set_xlabel("validation error (%)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def siege_figure(panels: Mapping[str, Mapping[str, ArrayLike]], turn: int) -> Figure:
    """One weight that is pushed towards the wrong side and then pulled back.

    Parameters
    ----------
    panels
        What is driven by it -> approach -> the weight times its sign, before the first step and
        after each.
    turn
        Number of steps after which the push becomes a pull.
    """
    figure = Figure(
        figsize=(_WIDTH, 0.9 + 2.9 * len(panels)),
        layout=ConstrainedLayoutEngine(h_pad=0.06, hspace=0.05),
    )
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for letter, ax, (driver, traces) in zip("ABC", axes, panels.items(), strict=False):
        for i, (approach, trace) in enumerate(traces.items()):
            _trace(ax, STYLES[approach], np.asarray(trace, dtype=float), i)
        ax.axvline(turn, color="black", linewidth=0.9, linestyle=":")
        ax.set_yscale("log")
        ax.set_ylim(_LOWEST / 30, 30)
        ax.set_yticks(
            [_LOWEST, 1e-15, 1e-10, 1e-5, 1],
            [r"$\leq 10^{-20}$", "$10^{-15}$", "$10^{-10}$", "$10^{-5}$", "1"],
        )
        ax.minorticks_off()
        ax.set_title(f"{letter}   {driver}, one weight", fontsize=10)
        ax.set_ylabel("weight × its sign")
        ax.legend(loc="upper left", bbox_to_anchor=(0, -0.22), ncols=2, fontsize=8.5)
    axes[-1].set_xlabel("step")
    return figure


def _trace(ax: Axes, style: Style, trace: np.ndarray, place: int) -> None:
    every = max(1, len(trace) // 9)
    # Markers at different steps, where lines lie on each other.
    ax.plot(np.maximum(trace, _LOWEST), **style.line(), markevery=(place * every // 6, every))
