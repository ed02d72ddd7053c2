"""The figures of the page on transfer, one function each; every function returns a figure.

Panels stand above each other, so that they can be read on a telephone. Every panel says how many
trials stand behind a point. Numbers come from :mod:`~polarity.analysis.transfer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ..ensemble.transfer import TASKS, Donors
from .drawn import trial_dots
from .metrics import horizon
from .style import OKABE_ITO, Style, condition_style
from .transfer import METRICS, gains, mean_gain, mean_interval, right_share, scores, trial_gains

__all__ = [
    "PIECES",
    "STYLES",
    "TASK_STYLES",
    "donors_figure",
    "pieces_figure",
    "tasks_figure",
    "transfer_figure",
]

STYLES: Mapping[str, Style] = {
    name: replace(condition_style(counterpart), label=label)
    for name, counterpart, label in (
        ("frozen_donor_polarity", "frozen_in_polarity", "frozen, donor's signs"),
        ("fluid_donor_polarity", "fluid_in_polarity", "fluid, donor's signs"),
        ("frozen_random", "frozen_random", "frozen, random signs"),
        ("fluid_random", "fluid_random", "fluid, random signs"),
        ("frozen_donor_weight", "frozen_in_weight", "frozen, donor's weights"),
        ("fluid_donor_weight", "fluid_in_weight", "fluid, donor's weights"),
    )
}
"""The conditions of transfer look like their counterparts among the image experiments."""
TASK_STYLES: Mapping[str, Style] = {
    "same_pair": Style("the same pair", OKABE_ITO["blue"], "o", "-"),
    "other_pair": Style("another pair", OKABE_ITO["vermilion"], "s", (0, (5, 2))),
    "three_way_parity": Style("three-way parity", OKABE_ITO["green"], "^", "-."),
    "shuffled_labels": Style("shuffled labels", OKABE_ITO["grey"], "D", (0, (1, 1.2))),
}
"""What the tasks of donors look like."""
PIECES: Mapping[str, str] = {
    "frozen_donor_weight": "all: signs, magnitudes, biases",
    "frozen_donor_polarity_order": "signs + order of magnitudes",
    "frozen_donor_order": "order of magnitudes",
    "frozen_donor_magnitude": "magnitudes, biases",
    "frozen_donor_polarity": "signs",
    "frozen_donor_informative_polarity": "signs, noise inputs random",
    "frozen_donor_hidden_polarity": "signs of the hidden layer",
    "frozen_donor_output_polarity": "signs of the output layer",
    "frozen_sufficient": "(no donor: sufficient signs)",
}
"""Condition -> the piece of a donor that it inherits, in words."""
_GAIN = {"error": "error saved (points)", "epochs": "epochs saved"}
_WIDTH = 5.2  # inches


def _figure(panels: int, height: float, **settings: Any) -> tuple[Figure, list[Axes]]:
    figure = Figure(
        figsize=(_WIDTH, height), layout=ConstrainedLayoutEngine(h_pad=0.06, hspace=0.05)
    )
    axes = figure.subplots(panels, 1, squeeze=False, **settings)[:, 0]
    return figure, list(axes)


def _title(ax: Axes, letter: str, text: str) -> None:
    ax.set_title(f"{letter}   {text}", fontsize=10)


def _plain(ax: Axes, ticks: Sequence[float]) -> None:
    """A logarithmic axis with numbers as one says them."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(FixedLocator(ticks))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _line(
    ax: Axes,
    x: np.ndarray,
    intervals: xr.DataArray,
    style: Style,
    single: xr.DataArray,
    shift: float,
) -> None:
    """Means with the band of their intervals, and on demand the single trials beside them."""
    array = single.transpose("n_train", "trial").values
    trial_dots(ax, (x + shift)[:, None], array, style.color, size=4)
    low, mean, high = (intervals.sel(bound=bound).values for bound in ("low", "mean", "high"))
    ax.fill_between(x, low, high, color=style.color, alpha=0.15, linewidth=0)
    ax.plot(x, mean, **style.line())


def _beside(columns: int) -> np.ndarray:
    """Return where columns of dots stand, side by side around a place on the axis."""
    return (np.arange(columns) - (columns - 1) / 2) * 0.72 / columns


def _sizes(axes: Sequence[Axes], curves: xr.Dataset) -> np.ndarray:
    """Sizes at equal distances, as in the paper."""
    x = np.arange(curves.sizes["n_train"])
    for ax in axes:
        ax.set_xticks(x, [f"{int(n)}" for n in curves.n_train.values])
    axes[-1].set_xlabel("training samples n of the recipients")
    return x


def donors_figure(donors: Mapping[str, Donors], informative: Sequence[int] = (0, 1)) -> Figure:
    """What donors have in store for their recipients: their signs (A) and their magnitudes (B).

    A: share of units that are right for the recipients' task, before and after the donor's
    training; bars run from the 25th to the 75th percentile of the donors. B: mean size of the
    weights of each input.

    Parameters
    ----------
    donors
        Of one or more tasks.
    informative
        The inputs that decide the recipients' task.
    """
    figure, (top, bottom) = _figure(2, 6.4)
    rows = np.arange(len(donors))[::-1]
    looks = (
        ("before training", OKABE_ITO["grey"], "o", 0.22),
        ("after training", OKABE_ITO["sky"], "s", 0.0),
        ("after, weighted by size", OKABE_ITO["blue"], "D", -0.22),
    )
    for label, color, marker, shift in looks:
        shares = [
            100
            * right_share(
                *(each.start if label.startswith("before") else each.weights)[:3:2],
                informative=informative,
                weighted="weighted" in label,
            )
            for each in donors.values()
        ]
        trial_dots(top, np.asarray(shares), (rows + shift)[:, None], color)
        low, middle, high = np.percentile(shares, (25, 50, 75), axis=1)
        top.errorbar(
            middle, rows + shift, xerr=(middle - low, high - middle), color=color, marker=marker,
            linestyle="none", elinewidth=1.6, label=label,
        )  # fmt: skip
    top.axvline(50, color="black", linewidth=0.9, linestyle=":")
    top.set_yticks(rows, [TASK_STYLES[task].label for task in donors])
    top.set_ylim(-0.6, len(donors) - 0.4)
    top.set_xlim(0, 103)
    top.set_xlabel("units that are right for the recipients' task (%)")
    trials = len(next(iter(donors.values())).weights.b2)
    _title(top, "A", f"signs, {trials} donors a point")
    top.legend(loc="upper left", fontsize=8.5, borderaxespad=0.2)

    inputs = next(iter(donors.values())).weights.w1.shape[1]
    for i, (task, each) in enumerate(donors.items()):
        style = TASK_STYLES[task]
        x = np.arange(inputs) + 0.14 * (i - (len(donors) - 1) / 2)
        heights = np.abs(each.weights.w1).mean(axis=(0, 2))
        bottom.vlines(x, 0, heights, color=style.color, linewidth=1.4, linestyle=style.linestyle)
        bottom.plot(x, heights, **style.line() | {"linestyle": "none"})
    size = np.mean([np.abs(each.start.w1).mean() for each in donors.values()])
    bottom.axhline(size, color="black", linewidth=0.9, linestyle=":")
    bottom.text(-0.73, size, "before", ha="left", va="bottom", fontsize=8)
    names = [f"$x_{k + 1}$\n{'decides' if k in informative else 'noise'}" for k in range(inputs)]
    bottom.set_xticks(np.arange(inputs), names)
    bottom.set(ylabel="mean size of its weights", xlim=(-0.75, inputs - 0.5), ylim=(0, None))
    bottom.set_ylim(top=1.42 * bottom.get_ylim()[1])  # room for the legend
    bottom.set_xlabel("input, and what it is for the recipients")
    bottom.grid(axis="x", visible=False)
    _title(bottom, "B", f"magnitudes, {trials} donors a point")
    bottom.legend(
        loc="upper center", ncols=2, fontsize=8.5, title="the donors learned", title_fontsize=8.5
    )
    return figure


def transfer_figure(curves: xr.Dataset, threshold: float = 0.90) -> Figure:
    """The conditions of transfer by number of samples: error (A), restricted mean epochs (B).

    Lines are means over the trials, bands their 95 % intervals.

    Parameters
    ----------
    curves
        Of one donor: dims (n_train, condition, trial, epoch); conditions of :data:`STYLES`.
    threshold
        Validation accuracy that counts as learned.
    """
    figure, axes = _figure(2, 7.4, sharex=True)
    x = _sizes(axes, curves)
    for ax, metric in zip(axes, METRICS, strict=True):
        values = scores(curves, metric, threshold)
        intervals = mean_interval(values)
        conditions = curves.condition.values
        for condition, shift in zip(conditions, _beside(len(conditions)), strict=True):
            own = {"condition": condition}
            style = STYLES[str(condition)]
            _line(ax, x, intervals.sel(own), style, values.sel(own), shift)
    trials = f"{curves.sizes['trial']} trials a point"
    _plain(axes[0], (1, 2, 5, 10, 20, 50))
    axes[0].set_ylabel("error at convergence (%)")
    _title(axes[0], "A", f"data: {trials}")
    axes[1].set_ylabel(f"epochs to {100 * threshold:g} % (restricted mean)")
    axes[1].set_ylim(-0.03 * horizon(curves), 1.04 * horizon(curves))
    _title(axes[1], "B", f"time: {trials}")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=9)
    return figure


def pieces_figure(curves: xr.Dataset, threshold: float = 0.90) -> Figure:
    """What each piece of a donor is worth: gains on frozen random, in error (A) and epochs (B).

    Points are means over trials and sizes, bars their 95 % intervals.

    Parameters
    ----------
    curves
        Of one donor: dims (n_train, condition, trial, epoch), with ``frozen_random`` among the
        conditions; those of :data:`PIECES` are drawn, in its order.
    threshold
        Validation accuracy that counts as learned.
    """
    present = [piece for piece in PIECES if piece in curves.condition.values]
    figure, axes = _figure(2, 0.9 + 0.62 * len(present), sharey=True)
    rows = np.arange(len(present))[::-1]
    for ax, metric, letter in zip(axes, METRICS, "AB", strict=True):
        values = scores(curves, metric, threshold)
        for row, piece in zip(rows, present, strict=True):
            gain = mean_gain(values, piece)
            donor_free = piece == "frozen_sufficient"
            color = OKABE_ITO["black"] if donor_free else OKABE_ITO["blue"]
            trial_dots(ax, trial_gains(values, piece), row, color)
            ax.errorbar(
                gain.value, row, xerr=[[gain.value - gain.low], [gain.high - gain.value]],
                marker="*" if donor_free else "o", markersize=8 if donor_free else 5.5,
                color=color, elinewidth=1.8, capsize=3,
            )  # fmt: skip
        ax.axvline(0, color="black", linewidth=0.9)
        ax.set_yticks(rows, [PIECES[piece] for piece in present])
        ax.set_ylim(-0.6, len(present) - 0.4)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.set_xlabel(f"{_GAIN[metric]}, against random signs")
        what = "data" if metric == "error" else "time"
        cells = f"{curves.sizes['trial']} trials, {curves.sizes['n_train']} sizes"
        _title(ax, letter, f"{what}: {cells} a point")
    return figure


def tasks_figure(
    curves: xr.Dataset,
    conditions: Sequence[str] = (
        "frozen_donor_polarity",
        "frozen_donor_order",
        "frozen_donor_weight",
    ),
) -> Figure:
    """What donors of different tasks are worth, one panel for each thing inherited.

    Lines are mean gains in error on frozen random, bands their 95 % intervals.

    Parameters
    ----------
    curves
        Dims (donor, n_train, condition, trial, epoch), with ``frozen_random``.
    conditions
        One panel each; conditions of :data:`PIECES`.
    """
    figure, axes = _figure(len(conditions), 1.0 + 2.7 * len(conditions), sharex=True)
    x = _sizes(axes, curves)
    gain = gains(scores(curves, "error")).sel(condition=list(conditions))
    intervals = mean_interval(gain)
    tasks = [task for task in TASKS if task in curves.donor.values]
    for ax, condition, letter in zip(axes, conditions, "ABCDEFG", strict=False):
        for task, shift in zip(tasks, _beside(len(tasks)), strict=True):
            own = {"condition": condition, "donor": task}
            _line(ax, x, intervals.sel(own), TASK_STYLES[task], gain.sel(own), shift)
        ax.axhline(0, color="black", linewidth=0.9)
        ax.set_ylabel(_GAIN["error"])
        _title(ax, letter, f"{PIECES[condition]}: {curves.sizes['trial']} trials a point")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=9,
        title="the donors learned", title_fontsize=9,
    )  # fmt: skip
    return figure
