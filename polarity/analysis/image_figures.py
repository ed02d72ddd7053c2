"""The figures of the image experiments that compare conditions: Figs 2, 3 and C.2 to C.4.

Every function returns a matplotlib figure that names its setting (tier and donor) and the number
of networks behind each point. It draws whatever is there: one trial or twenty, with cells missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from polarity._checks import one_of
from polarity.protocols import IMAGE_CONDITIONS

from .drawn import layer, trial_dots, trial_lines
from .image_metrics import (
    COMPARED,
    POLARITY_CONDITIONS,
    REFERENCE,
    THRESHOLDS,
    differences,
    epochs_needed,
    error,
    median_reached,
    ran,
    resolution,
    restricted_means,
    trial_counts,
    trial_median,
)
from .metrics import horizon, quartiles
from .style import OKABE_ITO, condition_style

__all__ = ["fig2", "fig3", "learning_figure", "thresholds_figure"]

FEW = 5
"""Up to so many networks at a point each is drawn; beyond, the band of their quartiles."""
_PAPER = "the paper's medians (20 trials, its own donor, 227 px)"
_EMPTY = "no network got there"


def fig2(
    curves: xr.Dataset,
    threshold: float,
    setting: str,
    published: pd.DataFrame | None = None,
    conditions: Sequence[str] = POLARITY_CONDITIONS,
) -> Figure:
    """Learning with less data and time by transferred polarity (Fig 2).

    A: error at convergence. B: epochs to the threshold, over the networks that got there, as the
    paper counts. C: its restricted mean, in which a network that never gets there counts with all
    epochs trained. Lines are medians (C: means); with more than :data:`FEW` networks bands run from
    the 25th to the 75th percentile (C: a 95 % interval), with fewer each network is a dot.

    Parameters
    ----------
    curves
        Dims (condition, n_train, trial, epoch); NaN where a network was not trained.
    threshold
        Validation accuracy of panels B and C.
    setting
        Tier and donor, for the legend.
    published
        The paper's medians for this data set (:func:`polarity.analysis.published.image_medians`),
        drawn as hollow markers; sizes that were not run are left out.
    conditions
        Which to draw, in this order.
    """
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    present = _present(curves, conditions, published)
    at = _positions(curves)
    limit = horizon(curves)
    times = epochs_needed(curves, threshold)
    _medians(left, curves, 100 * error(curves), present, at)
    _medians(middle, curves, times.where(np.isfinite(times)), present, at)
    for condition in present:
        style, shift = condition_style(condition), _shift(condition, present)
        means = restricted_means(times.sel(condition=condition), limit)
        x = np.array([at[n] for n in means.index]) + shift
        many = means.trials.max() > FEW
        if many:
            right.fill_between(x, means.low, means.high, color=style.color, alpha=0.15, linewidth=0)
        own = times.sel(condition=condition).clip(max=limit)
        _dots(right, own, at, style.color, shift, hidden=many)
        right.plot(x, means.value, **style.line())
    if published is not None:
        _published(left, _errors(published), present, at)
        _published(middle, _epochs(published, threshold), present, at)
    labels = (
        "error at convergence (%)",
        f"epochs to {100 * threshold:g} %,\namong those that got there{_every(curves)}",
        f"restricted mean epochs to {100 * threshold:g} %,\nall networks",
    )
    for ax, label, letter in zip((left, middle, right), labels, "ABC", strict=True):
        _size_axis(ax, curves, at)
        ax.set_ylabel(label)
        ax.set_ylim(bottom=0)
        ax.set_title(letter)
    right.set_ylim(top=1.04 * limit)
    _note_if_empty(middle, limit)
    _legend(figure, present, curves, setting, published is not None, ncols=3)
    return figure


def fig3(
    curves: xr.Dataset,
    threshold: float,
    setting: str,
    published: pd.DataFrame | None = None,
) -> Figure:
    """What frozen IN-polarity gains on four other conditions (Fig 3).

    Each line is a condition minus frozen IN-polarity, so that above 0 frozen IN-polarity is better:
    medians of the error (A), medians of the epochs to the threshold among the networks that got
    there (B), restricted mean epochs over all (C). Stars: two-sided Mann-Whitney U tests on all
    networks, p < 0.05 after Holm's correction over the comparisons at that n. With up to
    :data:`FEW` trials the differences within pairs are dots in A and C.

    Parameters
    ----------
    curves, threshold, setting, published
        As for :func:`fig2`.
    """
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    axes = figure.subplots(1, 3)
    present = _present(curves, COMPARED, published)
    at = _positions(curves)
    limit = horizon(curves)
    errors, times = 100 * error(curves), epochs_needed(curves, threshold)
    tables = (
        differences(errors),
        differences(times, "median_reached"),
        differences(times, "restricted_mean", limit),
    )
    few = trial_counts(curves).max().item() <= FEW
    paired = (errors, None, times.clip(max=limit))
    for ax, table, values in zip(axes, tables, paired, strict=True):
        ax.axhline(0, color=condition_style(REFERENCE).color, linewidth=1.4, zorder=1)
        for condition in present:
            style, shift = condition_style(condition), _shift(condition, present)
            rows = table[table.condition == condition]
            x = np.array([at[n] for n in rows.n_train]) + shift
            if values is not None and REFERENCE in values.condition.values:
                pairs = values.sel(condition=condition) - values.sel(condition=REFERENCE)
                _dots(ax, pairs, at, style.color, shift, hidden=not few)
            ax.plot(x, rows.difference, **style.line())
            for where, value, star in zip(x, rows.difference, rows.star, strict=True):
                if star and math.isfinite(value):
                    ax.annotate("*", (where, value), xytext=(0, 2), textcoords="offset points",
                                ha="center", fontsize=11, color=style.color)  # fmt: skip
    if published is not None:
        _published(axes[0], _minus_reference(_errors(published)), present, at)
        _published(axes[1], _minus_reference(_epochs(published, threshold)), present, at)
    level = f"{100 * threshold:g} %"
    labels = (
        "error at convergence (points)",
        f"median epochs to {level},\namong those that got there",
        f"restricted mean epochs to {level},\nall networks",
    )
    for ax, label, letter in zip(axes, labels, "ABC", strict=True):
        _size_axis(ax, curves, at)
        ax.set_ylabel(label)
        ax.set_title(letter)
        _note_if_empty(ax, limit, lines=len(present))
    note = "above the blue line: worse than frozen IN-polarity"
    if curves.sizes["trial"] < FEW:
        note += f"; with fewer than {FEW} trials hardly any star is possible"
    _legend(figure, present, curves, setting, published is not None, ncols=3, note=note)
    return figure


def thresholds_figure(
    curves: xr.Dataset,
    measure: str,
    setting: str,
    published: pd.DataFrame | None = None,
) -> Figure:
    """Every threshold of Figs C.2 to C.4, one panel each.

    Parameters
    ----------
    curves, setting, published
        As for :func:`fig2`.
    measure
        ``"epochs"``: median epochs of all six conditions among the networks that got there.
        ``"share"``: share of the networks that did. ``"difference"``: medians minus that of frozen
        IN-polarity, with stars as in :func:`fig3`.

    Raises
    ------
    ValueError
        If the measure is unknown.
    """
    one_of("measure", measure, ("epochs", "share", "difference"))
    figure = Figure(figsize=(9.6, 5.8), layout="constrained")
    axes = figure.subplots(2, 4, sharex=True, sharey=measure != "difference")
    wanted = COMPARED if measure == "difference" else IMAGE_CONDITIONS
    present = _present(curves, wanted, published if measure != "share" else None)
    at = _positions(curves)
    limit = horizon(curves)
    counts = trial_counts(curves)
    for ax, threshold in zip(axes.flat, THRESHOLDS, strict=True):
        times = epochs_needed(curves, threshold)
        if measure == "difference":
            ax.axhline(0, color=condition_style(REFERENCE).color, linewidth=1.2, zorder=1)
            table = differences(times, "median_reached").set_index("condition")
        for condition in present:
            style = condition_style(condition)
            x = np.array(list(at.values())) + _shift(condition, present)
            own = times.sel(condition=condition)
            look = style.line() | {"markersize": 4, "linewidth": 1.3}
            if measure == "epochs":
                dots = own.where(np.isfinite(own))
                _dots(ax, dots, at, style.color, _shift(condition, present), hidden=True)
                ax.plot(x, median_reached(own).values, **look)
            elif measure == "share":
                reached = own.where(np.isfinite(own)).count("trial")
                trained = counts.sel(condition=condition)
                ax.plot(x, (100 * reached / trained.where(trained > 0)).values, **look)
            else:
                rows = table[table.index == condition].set_index("n_train").reindex(list(at))
                ax.plot(x, rows.difference, **look)
                for where, value, star in zip(x, rows.difference, rows.star, strict=True):
                    if star is True and math.isfinite(value):
                        ax.annotate("*", (where, value), xytext=(0, 1), textcoords="offset points",
                                    ha="center", fontsize=11, color=style.color)  # fmt: skip
        if published is not None and measure != "share":
            rows = _epochs(published, threshold)
            rows = _minus_reference(rows) if measure == "difference" else rows
            _published(ax, rows, present, at, size=3)
        ax.set_title(f"{100 * threshold:g} %", fontsize=10)
        _size_axis(ax, curves, at, label=False)
        if measure == "share":
            ax.set_ylim(-3, 103)
        else:
            _note_if_empty(ax, limit, lines=len(present) if measure == "difference" else 0)
    if measure == "epochs":
        drawn = [np.asarray(line.get_ydata(), float) for ax in axes.flat for line in ax.lines]
        highest = np.nanmax(np.concatenate([*drawn, [0.0]]))
        axes[0, 0].set_ylim(0, 1.1 * highest or limit)
    figure.supxlabel("training images n" + _uneven(curves), fontsize=10)
    label = {
        "epochs": "median epochs, among those that got there",
        "share": "networks that got there (%)",
        "difference": "median epochs minus frozen IN-polarity's",
    }[measure]
    figure.supylabel(label + (_every(curves) if measure == "epochs" else ""), fontsize=10)
    overlay = published is not None and measure != "share"
    _legend(figure, present, curves, setting, overlay, ncols=3)
    return figure


def learning_figure(
    curves: xr.Dataset, setting: str, conditions: Sequence[str] = IMAGE_CONDITIONS
) -> Figure:
    """Validation error while learning, one panel a size: every network, and medians.

    Parameters
    ----------
    curves
        Dims (condition, n_train, trial, epoch).
    setting, conditions
        As for :func:`fig2`.
    """
    present = _present(curves, conditions)
    sizes = [int(n) for n in curves.n_train.values if ran(curves).sel(n_train=n).any()]
    columns = 2 if len(sizes) == 4 else min(max(len(sizes), 1), 3)
    rows = math.ceil(max(len(sizes), 1) / columns)
    figure = Figure(figsize=(9.6, 3.1 * rows + 1.1), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    epochs = curves.epoch.values
    every = max(1, len(epochs) // 10)
    for ax, n in zip(axes.flat, sizes, strict=False):
        for i, condition in enumerate(present):
            style = condition_style(condition)
            wrong = 100 * (1 - curves.val_accuracy.sel(n_train=n, condition=condition))
            single = wrong.transpose("trial", "epoch").values
            if np.isnan(single).all():
                continue
            trial_lines(ax, epochs, single, style.color, alpha=0.25, hidden=False)
            look = style.line() | {"markevery": (i * every // len(present), every)}
            ax.plot(epochs, trial_median(wrong).values, **look)
        ax.set_title(f"n = {n}{_counts_note(curves, n)}", fontsize=10)
        ax.set_ylim(0, 100)
    for ax in axes.flat[len(sizes) :]:
        ax.axis("off")
    for column in range(columns):
        lowest = axes.flat[range(column, max(len(sizes), columns), columns)[-1]]
        lowest.set_xlabel("epoch")
        lowest.tick_params(labelbottom=True)
        lowest.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    for ax in axes[:, 0]:
        ax.set_ylabel("validation error (%)")
    _legend(figure, present, curves, setting, False, ncols=3, count=False)
    return figure


def _present(
    curves: xr.Dataset, conditions: Sequence[str], published: pd.DataFrame | None = None
) -> list[str]:
    """Those of the conditions for which there is any network, or else a published median."""
    known = [c for c in conditions if c in curves.condition.values]
    if published is not None:
        return known
    trained = ran(curves).any(["n_train", "trial"])
    return [c for c in known if trained.sel(condition=c)]


def _positions(curves: xr.Dataset) -> dict[int, int]:
    """Sizes at equal distances, as in the paper."""
    return {int(n): i for i, n in enumerate(curves.n_train.values)}


def _shift(condition: str, present: Sequence[str]) -> float:
    """Sideways, so that conditions do not lie on each other."""
    return 0.09 * (list(present).index(condition) - (len(present) - 1) / 2)


def _medians(
    ax: Axes, curves: xr.Dataset, values: xr.DataArray, present: Sequence[str], at: dict[int, int]
) -> None:
    """Median lines, with quartile bands or every network as a dot."""
    many = trial_counts(curves).max().item() > FEW
    for condition in present:
        style, shift = condition_style(condition), _shift(condition, present)
        own = values.sel(condition=condition)
        x = np.array(list(at.values())) + shift
        low, mid, high = (quartiles(own, skipna=True).sel(quartile=q).values for q in (25, 50, 75))
        if many:
            ax.fill_between(x, low, high, color=style.color, alpha=0.15, linewidth=0)
        _dots(ax, own, at, style.color, shift, hidden=many)
        ax.plot(x, mid, **style.line())


def _dots(
    ax: Axes, values: xr.DataArray, at: dict[int, int], color: str, shift: float, hidden: bool
) -> None:
    """One dot a network, hidden until asked for or not; ``values`` is (n_train, trial)."""
    array = values.transpose("n_train", "trial").values
    x = np.array(list(at.values()), dtype=float)[:, None] + shift
    trial_dots(ax, x, array, color, size=9, hidden=hidden)


def _errors(published: pd.DataFrame) -> pd.DataFrame:
    return published[published.metric == "val_error_at_convergence_pct"]


def _epochs(published: pd.DataFrame, threshold: float) -> pd.DataFrame:
    rows = published[published.metric == "epochs_to_accuracy"]
    return rows[np.isclose(rows.threshold, threshold)]


def _minus_reference(rows: pd.DataFrame) -> pd.DataFrame:
    """The published medians minus those of the reference at the same n."""
    base = rows[rows.condition == REFERENCE].set_index("n_train")["median"]
    return rows.assign(median=rows["median"].to_numpy() - base.reindex(rows.n_train).to_numpy())


def _published(
    ax: Axes, rows: pd.DataFrame, present: Sequence[str], at: dict[int, int], size: float = 4.5
) -> None:
    """The paper's medians as hollow markers on thin lines."""
    for condition in present:
        style, shift = condition_style(condition), _shift(condition, present)
        own = rows[(rows.condition == condition) & rows.n_train.isin(list(at))]
        medians = ax.plot(
            [at[n] + shift for n in own.n_train], own["median"], linestyle=":", linewidth=0.7,
            color=style.color, marker=style.marker, markersize=size, markerfacecolor="none",
            markeredgewidth=0.8, alpha=0.8, zorder=3,
        )  # fmt: skip
        layer("paper", medians)


def _uneven(curves: xr.Dataset) -> str:
    """What the sizes say beside themselves where the number of networks per point differs."""
    return " (× networks)" if len({_count_range(curves, n) for n in _positions(curves)}) > 1 else ""


def _size_axis(ax: Axes, curves: xr.Dataset, at: dict[int, int], label: bool = True) -> None:
    """Sizes on the x axis; where networks per point differ, their number beside the size."""
    numbers = {n: _count_range(curves, n) for n in at}
    uneven = _uneven(curves)
    ax.set_xticks(
        list(at.values()), [f"{n} (×{numbers[n]})" if uneven else str(n) for n in at],
        rotation=45, ha="right", rotation_mode="anchor",
    )  # fmt: skip
    ax.set_xlim(-0.5, len(at) - 0.5)
    if label:
        ax.set_xlabel("training images n" + uneven)


def _count_range(curves: xr.Dataset, n: int) -> str:
    """Networks per condition at n: ``"5"``, or ``"3–5"``."""
    counts = trial_counts(curves).sel(n_train=n)
    counts = counts.values[trial_counts(curves).any("n_train").values]
    if not counts.size:
        return "0"
    low, high = int(counts.min()), int(counts.max())
    return str(high) if low == high else f"{low}–{high}"


def _counts_note(curves: xr.Dataset, n: int) -> str:
    count = _count_range(curves, n)
    return f", {count} {'network' if count == '1' else 'networks'} each"


def _every(curves: xr.Dataset) -> str:
    step = resolution(curves)
    return "" if step == 1 else f"\n(evaluated every {step} epochs)"


def _note_if_empty(ax: Axes, limit: float, lines: int = 0) -> None:
    """Say so where no line has a point. The reference's own line, a straight one, has two."""
    with_points = [line for line in ax.lines if line.get_marker() != "None"]
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in with_points]
    numbers = np.concatenate([np.empty(0), *drawn])
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size:
        ax.text(0.5, 0.6, "nothing to compare" if lines else _EMPTY, transform=ax.transAxes,
                ha="center", va="center", color="#555555", fontsize=9)  # fmt: skip
        ax.set_ylim(*((-1, 1) if lines else (0, limit)))
        ax.set_yticks([0] if lines else [0, limit])
    elif lines and not numbers.any():
        ax.set_ylim(-1, 1)  # all level: no axis of rounding errors


def _legend(
    figure: Figure,
    present: Sequence[str],
    curves: xr.Dataset,
    setting: str,
    published: bool,
    ncols: int,
    note: str = "",
    count: bool = True,
) -> None:
    handles = [Line2D([], [], **condition_style(condition).line()) for condition in present]
    if published:
        handles.append(
            Line2D([], [], linestyle=":", linewidth=0.7, color=OKABE_ITO["black"], marker="o",
                   markersize=4.5, markerfacecolor="none", markeredgewidth=0.8, label=_PAPER)
        )  # fmt: skip
    title = setting
    numbers = {_count_range(curves, int(n)) for n in curves.n_train.values}
    if count and len(numbers) == 1:
        number = numbers.pop()
        title += f"; {number} {'network' if number == '1' else 'networks'} a point"
    if count and int(ran(curves).sum()) == 0:
        title = f"{setting}; no network trained yet"
    if note:
        title += f"\n{note}"
    figure.legend(
        handles=handles, loc="outside upper center", ncols=ncols, title=title, fontsize=8.5,
        alignment="center", title_fontsize=9,
    )  # fmt: skip
