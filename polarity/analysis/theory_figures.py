"""The figures of the theory page, one function each; every function returns a matplotlib figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from .estimate import Estimate
from .style import CRITERIA, LABEL_GROUNDS, LABELS, OKABE_ITO, SIGNED_MAP, condition_style
from .theory.cross import Network, Unit
from .theory.patterns import PATTERNS, Pattern

Float = NDArray[np.float64]

_QUADRANTS = ((0.72, 0.72), (-0.72, 0.72), (-0.72, -0.72), (0.72, -0.72))


def _plane(ax: Axes, label: bool = True) -> None:
    ax.axhline(0, color="black", linewidth=0.8)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(xlim=(-1, 1), ylim=(-1, 1), xticks=(-1, 0, 1), yticks=(-1, 0, 1), aspect="equal")
    ax.grid(visible=False)
    if label:
        ax.set(xlabel="input $x_1$", ylabel="input $x_2$")


def _contribution(ax: Axes, function: Callable[[Any, Any], Any], limit: float) -> Any:
    """Fill the plane with a function's value, and write its sign where it is not zero."""
    axis = np.linspace(-1, 1, 101)
    values = np.array([[float(function(a, b)) for a in axis] for b in axis])
    image = ax.imshow(
        values, origin="lower", extent=(-1, 1, -1, 1), cmap=SIGNED_MAP, vmin=-limit, vmax=limit,
        interpolation="none",  # the picture holds these values and no more: a third of the bytes
    )  # fmt: skip
    for a, b in _QUADRANTS:
        value = float(function(a, b))
        if abs(value) > 1e-9:
            text = "+" if value > 0 else "−"
            ax.text(a, b, text, ha="center", va="center", fontsize=14, fontweight="bold")
    return image


def patterns_figure() -> Figure:
    """What one unit of each of the eight patterns adds to the output, over the four quadrants."""
    figure = Figure(figsize=(8.6, 4.9))
    axes = figure.subplots(2, 4, sharex=True, sharey=True)
    for ax, pattern in zip(axes.flat, PATTERNS, strict=True):
        unit = Unit(pattern.first, pattern.second, 0, pattern.output)
        image = _contribution(ax, unit, limit=2)
        kink = np.array([-1.0, 1.0])
        ax.plot(kink, -kink * pattern.first * pattern.second, color="black", linestyle="--")
        _plane(ax, label=False)
        ax.set_title(str(pattern))
    for ax in axes[1]:
        ax.set_xlabel("input $x_1$")
    for ax, kind in zip(axes[:, 0], ("right units", "wrong units"), strict=True):
        ax.set_ylabel(f"{kind}\ninput $x_2$")
    bar = figure.colorbar(image, ax=axes, shrink=0.7, ticks=(-2, -1, 0, 1, 2))
    bar.set_label("added to the output (weights of size 1)")
    return figure


def construction_figure(network: Network, obeyed: Sequence[Pattern]) -> Figure:
    """Three units, one panel each, and the cross that they draw together."""
    figure = Figure(figsize=(8.6, 2.7))
    axes = figure.subplots(1, 4, sharey=True)
    for ax, unit, pattern in zip(axes, network.units, obeyed, strict=False):
        _contribution(ax, unit, limit=2)
        ax.set_title(f"one unit {pattern.name}")
    image = _contribution(axes[-1], network, limit=2)
    axes[-1].set_title("their sum and a bias")
    for ax in axes:
        _plane(ax)
    for ax in axes[1:]:
        ax.set_ylabel("")
    bar = figure.colorbar(image, ax=axes, shrink=0.8, ticks=(-2, -1, 0, 1, 2))
    bar.set_label("value")
    return figure


def search_figure(
    searches: Mapping[str, tuple[int, int, NDArray[np.int64]]], free: str = "free"
) -> Figure:
    """Lemma 2.1: searches that were run, beside the expected time; and who gains.

    Parameters
    ----------
    searches
        Label -> (settings N, solutions K, length of each search that was run).
    free
        Label of the search without a polarity.
    """
    figure = Figure(figsize=(8.6, 3.7))
    left, right = figure.subplots(1, 2)
    tones = ("grey", "vermilion", "sky", "green", "blue")
    looks = list(zip(tones, "^xsDo", ("-", ":", "--", "-.", (0, (6, 1))), strict=True))
    for (n, k, times), (tone, marker, line) in zip(searches.values(), looks, strict=False):
        left.ecdf(times, color=OKABE_ITO[tone], linestyle=line)
        expected = (n + 1) / (k + 1)
        share = float((times <= expected).mean())
        left.plot(expected, share, marker=marker, color=OKABE_ITO[tone], markersize=8)
    left.set(
        xscale="log",
        xlabel="settings tried until one solves the task",
        ylabel=f"share of {len(times):,} searches",
        title="Searches that were run",
        ylim=(0, 1.02),
    )
    left.yaxis.set_major_formatter(PercentFormatter(1.0))

    all_settings, all_solutions, _ = searches[free]
    shares = np.geomspace(0.002, 1, 200)
    right.plot(shares, shares, color="black")
    right.fill_between(shares, shares, 1e3, color=OKABE_ITO["blue"], alpha=0.12, linewidth=0)
    for (label, (n, k, _)), (tone, marker, line) in zip(searches.items(), looks, strict=False):
        right.plot(
            (n + 1) / (all_settings + 1),
            (k + 1) / (all_solutions + 1),
            marker=marker,
            color=OKABE_ITO[tone],
            linestyle="",
            markersize=8,
        )
        right.plot([], [], marker=marker, color=OKABE_ITO[tone], linestyle=line, label=label)
    right.text(0.003, 0.35, "faster than free", color=OKABE_ITO["blue"])
    right.text(0.1, 0.004, "slower than free")
    right.set(
        xscale="log",
        yscale="log",
        xlim=(1.5e-3, 1.6),
        ylim=(1.5e-3, 1.6),
        xlabel="settings left, $(N'+1)/(N+1)$",
        ylabel="solutions left, $(K'+1)/(K+1)$",
        title="Who gains",
    )
    figure.legend(loc="outside lower center", ncols=3, fontsize=8.5)
    return figure


def programmes_figure(
    margins: Mapping[str, tuple[Float, NDArray[np.bool_]]],
) -> Figure:
    """Largest margin of each of the 256 sets, by what the condition says of the set.

    Parameters
    ----------
    margins
        Title -> (margin of each set, whether the condition calls the set capable).
    """
    figure = Figure(figsize=(8.6, 3.1))
    axes = figure.subplots(1, len(margins), squeeze=False)[0]
    rng = np.random.default_rng(0)
    for ax, (title, (margin, capable)) in zip(axes, margins.items(), strict=True):
        for row, (kind, color, marker) in enumerate(
            ((False, OKABE_ITO["vermilion"], "x"), (True, OKABE_ITO["green"], "o"))
        ):
            of_kind = margin[capable == kind]
            ax.plot(
                of_kind,
                row + rng.uniform(-0.28, 0.28, len(of_kind)),
                marker=marker,
                color=color,
                linestyle="",
                markersize=4,
                markerfacecolor="none",
            )
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set(
            ylim=(-0.6, 1.6),
            yticks=(0, 1),
            yticklabels=(
                f"not capable\n({(~capable).sum()} sets)",
                f"capable\n({capable.sum()} sets)",
            ),
            xlabel="largest margin found by linear programme",
            title=title,
        )
    axes[0].set_ylabel("the condition says")
    return figure


def probability_figure(
    widths: Sequence[int],
    curves: Mapping[str, Sequence[float]],
    simulated: Mapping[int, Estimate],
    *,
    threshold: float,
    trials: int,
    sufficient: Sequence[float],
) -> Figure:
    """Probability that randomly signed units are enough, by each condition, beside training.

    Parameters
    ----------
    widths
        Hidden units, for the curves.
    curves
        Key of :data:`CRITERIA` -> probability at each width.
    simulated
        Width -> success rate of frozen random networks.
    threshold, trials
        Validation accuracy that counts as success, and networks a width: for the legend.
    sufficient
        Probability at each width by the exact condition when all units are right.
    """
    figure = Figure(figsize=(8.6, 3.9))
    ax = figure.subplots()
    for key, values in curves.items():
        ax.plot(widths, values, **CRITERIA[key].line(), markersize=3.5)
    ax.plot(widths, sufficient, **CRITERIA["all_right"].line(), linewidth=1.0)
    style = condition_style("frozen_random")
    points = np.array([estimate.value for estimate in simulated.values()])
    low = points - [estimate.low for estimate in simulated.values()]
    high = np.array([estimate.high for estimate in simulated.values()]) - points
    ax.errorbar(
        list(simulated),
        points,
        yerr=np.clip([low, high], 0, None),
        color=style.color,
        marker=style.marker,
        linestyle="",
        capsize=2.5,
        linewidth=1.2,
        label=f"trained: accuracy > {threshold:g}, {trials} networks a width",
    )
    ax.axhline(0.99, color="black", linewidth=0.8, linestyle=(0, (1, 3)))
    ax.text(widths[0], 0.995, "99 %", va="bottom", fontsize=8)
    ax.set(
        xlabel="hidden units",
        ylabel="probability, success rate",
        ylim=(0, 1.06),
        title="How many randomly signed units are enough?",
    )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.legend(loc="lower right", fontsize=8.5)
    return figure


def predictors_figure(
    widths: Sequence[int],
    rates: Mapping[str, tuple[Mapping[int, Estimate], Mapping[int, Estimate]]],
    *,
    threshold: float,
    trials: int,
) -> Figure:
    """Success rate of frozen random networks that do and do not meet each condition, by width.

    Parameters
    ----------
    widths
        Hidden units.
    rates
        Key of :data:`CRITERIA` -> (rate by width of those that meet it, of those that do not);
        widths without such networks are left out.
    threshold, trials
        Validation accuracy that counts as success, and networks a width.
    """
    figure = Figure(figsize=(8.6, 3.5))
    axes = figure.subplots(1, len(rates), sharey=True, squeeze=False)[0]
    for ax, (key, groups) in zip(axes, rates.items(), strict=True):
        style = CRITERIA[key]
        for group, met, offset in zip(groups, (True, False), (-0.12, 0.12), strict=True):
            values = np.array([estimate.value for estimate in group.values()])
            low = values - [estimate.low for estimate in group.values()]
            high = np.array([estimate.high for estimate in group.values()]) - values
            ax.errorbar(
                np.array(list(group)) + offset,
                values,
                yerr=np.clip([low, high], 0, None),
                color=style.color if met else OKABE_ITO["grey"],
                marker=style.marker if met else "x",
                linestyle="-" if met else "",
                linewidth=1.1,
                capsize=1.5,
                markersize=4.5,
                label="meet it" if met else "do not",
            )
        ax.set(xlabel="hidden units", ylim=(-0.03, 1.03), xlim=(min(widths) - 1, max(widths) + 1))
        ax.set_title(
            style.label.replace(" (", "\n(").replace(" for", "\nfor").replace(" with", "\nwith")
        )
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.yaxis.set_major_formatter(PercentFormatter(1.0))
        ax.legend(loc="lower right", fontsize=8.5)
    axes[0].set_ylabel(f"share with accuracy > {threshold:g}\n({trials} networks a width)")
    return figure


def sharp_figure(
    outputs: Mapping[str, Float],
    best: Mapping[str, Float],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    *,
    extent: tuple[float, float],
) -> Figure:
    """Where two networks draw their boundary, and how accurate their kind becomes.

    Parameters
    ----------
    outputs
        Label -> output of one network over a square grid of the informative inputs; rows are x2.
    best
        Label -> best validation accuracy of each network.
    x, y
        Training data; the first two columns of ``x`` are drawn.
    extent
        Lowest and highest value on both axes of the grid.
    """
    figure = Figure(figsize=(8.6, 3.4))
    axes = figure.subplots(1, len(outputs) + 1, width_ratios=[1] * len(outputs) + [1.15])
    for ax, (label, output) in zip(axes, outputs.items(), strict=False):
        ax.imshow(
            output > 0,
            origin="lower",
            extent=(*extent, *extent),
            cmap=LABEL_GROUNDS,
            norm=BoundaryNorm([-0.5, 0.5, 1.5], 2),
            aspect="equal",
            interpolation="none",  # in a picture of two colours, resampling adds 40 kB of others
        )
        for kind, style in LABELS.items():
            look = style.line() | {"linestyle": "", "markersize": 2.5}
            ax.plot(*x[y == kind, :2].T, **look)
        ax.axhline(0, color="black", linewidth=0.8)
        ax.axvline(0, color="black", linewidth=0.8)
        ax.grid(visible=False)
        ax.set(xlabel="input $x_1$", ylabel="input $x_2$", title=label)
    axes[0].legend(loc="upper center", ncols=2, bbox_to_anchor=(0.5, -0.2), fontsize=8.5)

    last = axes[-1]
    rng = np.random.default_rng(0)
    tones = (condition_style("frozen_random").color, OKABE_ITO["purple"])
    for row, values in enumerate(best.values()):
        last.plot(
            values,
            row + rng.uniform(-0.25, 0.25, len(values)),
            marker="s" if row == 0 else "D",
            color=tones[row % 2],
            linestyle="",
            markersize=4,
            alpha=0.7,
        )
    last.axvline(0.75, color="black", linestyle="--", linewidth=1)
    last.text(0.745, len(best) - 0.5, "bound: 75 %", ha="right", va="center", fontsize=8.5)
    last.set(
        xlim=(0.48, 1.02),
        ylim=(-0.6, len(best) - 0.3),
        yticks=range(len(best)),
        yticklabels=[f"{label}\n({len(values)})" for label, values in best.items()],
        xlabel="best validation accuracy",
        title="All networks",
    )
    last.set_box_aspect(1)
    last.xaxis.set_major_formatter(PercentFormatter(1.0))
    return figure
