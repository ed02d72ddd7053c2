"""The figures of the XOR-5D experiments (Figs 1, 4 and C.1), one function each.

Every function returns a matplotlib figure, states the number of trials on it, and computes nothing
that is not in :mod:`~polarity.analysis.metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .comparisons import MAP_METRICS
from .drawn import layer, trial_dots, trial_lines
from .metrics import (
    epochs_to_threshold,
    error_at_convergence,
    horizon,
    quartiles,
    success_rate,
)
from .style import (
    LABELS,
    OKABE_ITO,
    RULES,
    SIGNS,
    Style,
    condition_style,
    criterion_style,
    use_style,
)

__all__ = [
    "OKABE_ITO",
    "Style",
    "condition_style",
    "draws_figure",
    "efficiency_figure",
    "fig1a",
    "fig4a",
    "fig4d",
    "figc1",
    "one_picture",
    "use_style",
]

_METRIC_COLUMNS = {
    "error": "val_error_at_convergence_pct",
    "epochs": "epochs_to_accuracy_0.90",
    "success": "success_rate_0.90_pct",
}
_PUBLISHED_THRESHOLD = 0.90
_METRIC_LABELS = {
    "error": "error at convergence (%)",
    "epochs": "epochs to {:g} % accuracy",
    "success": "trials beyond {:g} % (%)",
}


def _positions(curves: xr.Dataset) -> dict[int, int]:
    """Sizes at equal distances, as in the paper."""
    return {int(n): i for i, n in enumerate(curves.n_train.values)}


def _trials(curves: xr.Dataset) -> str:
    return f"{curves.sizes['trial']} trials"


def _band(ax: Axes, x: np.ndarray, values: xr.DataArray, style: Style, scale: float = 1.0) -> None:
    """Median line with the band from the 25th to the 75th percentile."""
    low, mid, high = (scale * values.sel(quartile=q).values for q in (25, 50, 75))
    ax.fill_between(x, low, high, color=style.color, alpha=0.15, linewidth=0)
    ax.plot(x, mid, **style.line())


def _every_trial(ax: Axes, x: np.ndarray, values: xr.DataArray, style: Style, shift: float) -> None:
    """Each trial a dot, beside its median."""
    array = values.transpose("n_train", "trial").values
    trial_dots(ax, (x + shift)[:, None], array, style.color, size=5)


def _published(ax: Axes, published: pd.DataFrame, metric: str, at: Mapping[int, int]) -> None:
    """The paper's medians as hollow diamonds."""
    rows = published[published.metric == _METRIC_COLUMNS[metric]]
    for condition, group in rows.groupby("condition"):
        style = condition_style(str(condition))
        group = group[group.n_train.isin(list(at))]
        diamonds = ax.plot(
            [at[n] for n in group.n_train], group.median_or_pct, linestyle="none", marker="D",
            markersize=4.5, markerfacecolor="white", markeredgecolor=style.color, zorder=5,
        )  # fmt: skip
        layer("paper", diamonds)


def _efficiency_panel(
    ax: Axes,
    curves: xr.Dataset,
    metric: str,
    threshold: float,
    published: pd.DataFrame | None,
) -> None:
    at = _positions(curves)
    x = np.array(list(at.values()))
    conditions = curves.condition.values
    for i, condition in enumerate(conditions):
        part, style = curves.sel(condition=condition), condition_style(str(condition))
        shift = 0.16 * (i - (len(conditions) - 1) / 2)
        if metric == "error":
            errors = error_at_convergence(part)
            _band(ax, x, quartiles(errors), style, 100)
            _every_trial(ax, x, 100 * errors, style, shift)
        elif metric == "epochs":
            epochs = epochs_to_threshold(part, threshold)
            _band(ax, x, quartiles(epochs, skipna=True), style)
            _every_trial(ax, x, epochs, style, shift)
        else:
            ax.plot(x, 100 * success_rate(part, threshold).values, **style.line())
    # The paper's epochs and successes are those of its own threshold.
    if published is not None and (metric == "error" or threshold == _PUBLISHED_THRESHOLD):
        _published(ax, published, metric, at)
    ax.set_xticks(x, [str(n) for n in at])
    ax.tick_params(axis="x", labelrotation=45)
    ax.set_xlabel("training samples n")
    ax.set_ylabel(_METRIC_LABELS[metric].format(100 * threshold))
    ax.set_ylim(bottom=0)


def efficiency_figure(
    curves: xr.Dataset,
    threshold: float = 0.90,
    metrics: tuple[str, ...] = ("epochs", "error"),
    published: pd.DataFrame | None = None,
    panels: str = "BCD",
) -> Figure:
    """Learning with less data and time, for networks of one width (Figs 1B, 1C, 4B, 4C).

    Lines are medians over the trials, bands run from the 25th to the 75th percentile; epochs are
    over the trials that got there, as in the paper.

    Parameters
    ----------
    curves
        Dims (n_train, condition, trial, epoch).
    threshold
        Validation accuracy that counts as learned.
    metrics
        Panels, any of ``"epochs"``, ``"error"``, ``"success"``.
    published
        The paper's medians for this width (rows of
        :func:`polarity.analysis.published.xor5d_medians`), drawn as hollow diamonds.
    panels
        One letter a panel.
    """
    size = (max(9.2, 3.4 * len(metrics)), 3.9) if len(metrics) > 1 else (4.8, 3.9)
    figure, axes = plt.subplots(1, len(metrics), figsize=size, squeeze=False)
    for i, (ax, metric) in enumerate(zip(axes.flat, metrics, strict=True)):
        _efficiency_panel(ax, curves, metric, threshold, published)
        ax.set_title(panels[i])
    handles, labels = axes.flat[0].get_legend_handles_labels()
    if published is not None and len(published):
        handles.append(
            Line2D([], [], linestyle="none", marker="D", markersize=4.5, markerfacecolor="white",
                   markeredgecolor=OKABE_ITO["black"])
        )  # fmt: skip
        labels.append("the paper's medians")
    figure.legend(
        handles, labels, loc="outside upper center", ncols=2, title=f"{_trials(curves)} a point",
        alignment="center", title_fontsize=9, fontsize=9,
    )  # fmt: skip
    return figure


def one_picture(curves: xr.Dataset, threshold: float = 0.90) -> Figure:
    """Validation accuracy while learning: every trial, and the median of each condition.

    Parameters
    ----------
    curves
        Dims (condition, trial, epoch).
    threshold
        Marked by a line.
    """
    figure, ax = plt.subplots(figsize=(8.2, 4.2))
    epochs = curves.epoch.values
    for condition in curves.condition.values[::-1]:
        style, part = condition_style(str(condition)), curves.val_accuracy.sel(condition=condition)
        single = 100 * part.transpose("trial", "epoch").values
        trial_lines(ax, epochs, single, style.color, alpha=0.1, hidden=False)
    for condition in curves.condition.values:
        style, part = condition_style(str(condition)), curves.val_accuracy.sel(condition=condition)
        look = style.line() | {"linewidth": 2.6, "markevery": max(1, len(epochs) // 12)}
        ax.plot(epochs, 100 * part.median("trial").values, **look)
    ax.axhline(100 * threshold, color="black", linewidth=0.8, linestyle=":")
    ax.text(0, 100 * threshold, f" {100 * threshold:g} %", ha="left", va="bottom", fontsize=9)
    ax.set(xlabel="epoch", ylabel="validation accuracy (%)", xlim=(0, epochs[-1]), ylim=(45, 100))
    ax.legend(loc="lower right", title=f"{_trials(curves)} a condition", title_fontsize=9)
    return figure


def fig1a(x: np.ndarray, y: np.ndarray) -> Figure:
    """The task and the sufficient polarity (Fig 1A).

    Parameters
    ----------
    x, y
        Samples (n, 5) and labels (n,) of :func:`polarity.datasets.xor5d`.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(8.6, 3.9), gridspec_kw={"width_ratios": [1, 1.25]}
    )
    for label, style in LABELS.items():
        left.scatter(
            *x[y == label, :2].T, s=16, c=style.color, marker=style.marker, linewidths=1.2,
            label=f"{style.label}: {'same sign' if label else 'opposite signs'}",
        )  # fmt: skip
    left.axhline(0, color="black", linewidth=0.8)
    left.axvline(0, color="black", linewidth=0.8)
    left.set(
        xlabel="informative coordinate $x_1$", ylabel="informative coordinate $x_2$", aspect="equal"
    )
    left.set_title("the task")
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2, fontsize=8)

    right.axis("off")
    right.set(xlim=(-0.25, 2.3), ylim=(-0.35, 4.4))
    right.set_title("sufficient polarity of four kinds of unit")
    inputs = {"$x_1$": 3.6, "$x_2$": 2.7, "$x_3$": 1.6, "$x_4$": 0.8, "$x_5$": 0.0}
    units = [(1, 1, 3.6), (-1, -1, 2.4), (1, -1, 1.2), (-1, 1, 0.0)]
    circle = {"boxstyle": "circle", "facecolor": "white", "edgecolor": "black"}

    def edge(a: tuple[float, float], b: tuple[float, float], sign: int) -> None:
        right.annotate(
            "", xy=b, xytext=a,
            arrowprops={"arrowstyle": "-|>", "color": SIGNS[sign].color, "linewidth": 1.6,
                        "linestyle": SIGNS[sign].linestyle, "shrinkA": 11, "shrinkB": 11},
        )  # fmt: skip

    for s1, s2, height in units:
        edge((0, 3.6), (1, height), s1)
        edge((0, 2.7), (1, height), s2)
        edge((1, height), (2, 1.8), s1 * s2)
        right.text(1.0, height, "ReLU", ha="center", va="center", fontsize=7.5,
                   bbox=circle)  # fmt: skip
    for name, height in inputs.items():
        noise = height < 2
        right.text(0, height, name, ha="center", va="center", color="#767676" if noise else "black",
                   bbox={"boxstyle": "circle", "facecolor": "white",
                         "edgecolor": "#b0b0b0" if noise else "black"})  # fmt: skip
    right.text(0.24, 0.8, "noise:\nany sign", fontsize=8, color="#767676", va="center")
    right.text(2, 1.8, "label", ha="center", va="center", fontsize=8,
               bbox={"boxstyle": "circle", "facecolor": "white", "edgecolor": "black"})  # fmt: skip
    right.legend(
        handles=[
            Line2D([], [], **style.line() | {"marker": "", "label": f"{style.label} weight"})
            for style in SIGNS.values()
        ],
        loc="upper right", fontsize=8,
    )  # fmt: skip
    return figure


def figc1(curves: xr.Dataset, threshold: float = 0.90) -> Figure:
    """The four reset rules: frozen sufficient against fluid (Fig C.1).

    Parameters
    ----------
    curves
        Dims (reset, n_train, condition, trial, epoch).
    threshold
        Validation accuracy of panel A.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.9))
    at = _positions(curves)
    x = np.array(list(at.values()))
    for reset in curves.reset.values:
        part = curves.sel(reset=reset, condition="frozen_sufficient")
        style = replace(RULES[str(reset)], label=f"frozen sufficient, {reset}")
        _rule(axes, x, part, threshold, style, 0.14 * (len(axes[0].lines) - 2))
    fluid = curves.isel(reset=0).sel(condition="fluid_random")
    _rule(axes, x, fluid, threshold, condition_style("fluid_random"), 0.28)
    for ax, metric, title in zip(axes, ("epochs", "error"), "AB", strict=True):
        ax.set_xticks(x, [str(n) for n in at])
        ax.tick_params(axis="x", labelrotation=45)
        label = _METRIC_LABELS[metric].format(100 * threshold)
        ax.set(xlabel="training samples n", ylabel=label, title=title)
        ax.set_ylim(bottom=0)
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=9,
        title=f"{_trials(curves)} a point", alignment="center", title_fontsize=9,
    )  # fmt: skip
    return figure


def _rule(
    axes: Sequence[Axes],
    x: np.ndarray,
    part: xr.Dataset,
    threshold: float,
    style: Style,
    shift: float,
) -> None:
    """One line of Fig C.1 in both panels."""
    epochs, errors = epochs_to_threshold(part, threshold), error_at_convergence(part)
    _band(axes[0], x, quartiles(epochs, skipna=True), style)
    _every_trial(axes[0], x, epochs, style, shift)
    _band(axes[1], x, quartiles(errors), style, 100)
    _every_trial(axes[1], x, 100 * errors, style, shift)


def draws_figure(curves: xr.Dataset, threshold: float = 0.90) -> Figure:
    """Every draw of the data a thin line, their median a thick one: error and restricted mean.

    Parameters
    ----------
    curves
        Dims (draw, n_train, condition, trial, epoch).
    threshold
        Validation accuracy that counts as learned.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.9))
    at = _positions(curves)
    x = np.array(list(at.values()))
    error = 100 * error_at_convergence(curves).median("trial")
    epochs = epochs_to_threshold(curves, threshold).fillna(horizon(curves)).mean("trial")
    for ax, values, label in (
        (axes[0], epochs, f"restricted mean epochs to {100 * threshold:g} %"),
        (axes[1], error, _METRIC_LABELS["error"]),
    ):
        for condition in curves.condition.values:
            style, part = condition_style(str(condition)), values.sel(condition=condition)
            single = part.transpose("draw", "n_train").values
            trial_lines(ax, x, single, style.color, alpha=0.3, hidden=False)
            ax.plot(x, part.median("draw").values, **style.line())
        ax.set_xticks(x, [str(n) for n in at])
        ax.tick_params(axis="x", labelrotation=45)
        ax.set(xlabel="training samples n", ylabel=label)
        ax.set_ylim(bottom=0)
    axes[0].set_title("A")
    axes[1].set_title("B")
    handles, labels = axes[0].get_legend_handles_labels()
    # Of a colour that no condition has, or the data would give its name to their lines.
    handles.append(Line2D([], [], color=OKABE_ITO["black"], alpha=0.5, lw=0.6))
    labels.append("one draw of the data")
    figure.legend(
        handles, labels, loc="outside upper center", ncols=2, fontsize=9, alignment="center",
        title=f"{curves.sizes['draw']} draws, {_trials(curves)} a point each", title_fontsize=9,
    )  # fmt: skip
    return figure


def fig4a(
    curves: xr.Dataset,
    threshold: float,
    theory: Mapping[str, Mapping[int, float]],
) -> Figure:
    """Share of networks that learn at the largest n, by width, beside theory (Fig 4A).

    Parameters
    ----------
    curves
        Dims (width, condition, trial, epoch).
    threshold
        Success is accuracy above it at any epoch.
    theory
        Condition for capability (see :func:`~.style.criterion_style`) -> width -> probability.
    """
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(7.2, 6.2), sharex=True)
    rate = 100 * success_rate(curves, threshold)
    for condition in curves.condition.values:
        part = rate.sel(condition=condition)
        top.plot(part.width.values, part.values, **condition_style(str(condition)).line())
    top.set(ylabel=f"networks beyond {100 * threshold:g} % (%)", ylim=(-3, 103))
    top.set_title(f"A   simulation, {_trials(curves)} a point")
    top.legend(loc="lower right", fontsize=9)
    for name, values in theory.items():
        widths = sorted(values)
        look = criterion_style(name).line() | {"markersize": 3.5}
        bottom.plot(widths, [100 * values[w] for w in widths], **look)
    part = rate.sel(condition="frozen_random")
    style = condition_style("frozen_random")
    bottom.plot(part.width.values, part.values, color=style.color, marker=style.marker,
                linestyle="none", label="simulation, frozen random")  # fmt: skip
    bottom.axhline(99, color="#767676", linewidth=0.8, linestyle=":")
    bottom.text(2, 99, "99 %", fontsize=8, va="bottom", color="#555555")
    bottom.set(xlabel="hidden units", ylabel="capable networks (%)", ylim=(-3, 106))
    bottom.set_title("theory for a random polarity")
    bottom.legend(loc="lower right", fontsize=9)
    return figure


_MAP_TITLES = {
    "error": "error at convergence",
    "epochs": "epochs to {:g} %",
    "success": "share beyond {:g} %",
}


def fig4d(beats: xr.DataArray, trials: int, threshold: float = 0.90) -> Figure:
    """Which frozen conditions beat fluid, by width and n, for three metrics (Fig 4D).

    Parameters
    ----------
    beats
        Output of :func:`polarity.analysis.comparisons.comparison_map`.
    trials
        Number of trials behind each cell.
    threshold
        Validation accuracy of the second and the third metric.
    """
    names = ("neither", "frozen random only", "frozen sufficient only", "both")
    colors = ("#f2f2f2", OKABE_ITO["vermilion"], OKABE_ITO["sky"], OKABE_ITO["blue"])
    marks = ("", "r", "s", "•")
    better = beats > 0
    code = better.sel(condition="frozen_random") + 2 * better.sel(condition="frozen_sufficient")
    widths = [str(w) for w in beats.width.values]
    figure, axes = plt.subplots(1, len(MAP_METRICS), figsize=(9.2, 7.4), sharey=True)
    for ax, metric in zip(axes, MAP_METRICS, strict=True):
        values = code.sel(metric=metric).transpose("width", "n_train").values
        text = np.array(marks, dtype=object)[values]
        sns.heatmap(
            values, ax=ax, cmap=ListedColormap(colors), vmin=0, vmax=3, cbar=False,
            annot=text, fmt="",
            annot_kws={"fontsize": 7, "color": "black"}, linewidths=0.6, linecolor="white",
            xticklabels=[str(n) for n in beats.n_train.values], yticklabels=widths,
        )  # fmt: skip
        for label, shade in zip(ax.texts, values.ravel(), strict=True):
            label.set_color("white" if shade == 3 else "black")
        ax.set(title=_MAP_TITLES[metric].format(100 * threshold), xlabel="training samples n")
        ax.tick_params(axis="y", labelrotation=0, labelsize=8)
        ax.grid(False)
    axes[0].set_ylabel("hidden units")
    handles = [
        Patch(facecolor=color, edgecolor="#bbbbbb", label=f"{name} ({mark})" if mark else name)
        for name, color, mark in zip(names, colors, marks, strict=True)
    ]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=4, fontsize=9, alignment="center",
        title=f"strictly better than fluid; medians of {trials} trials a cell", title_fontsize=9,
    )  # fmt: skip
    return figure
