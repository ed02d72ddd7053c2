"""The figures of the page on Freeze-SGD, one function each; every function returns a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from .drawn import trial_lines
from .estimate import typeset
from .metrics import quartiles
from .style import OKABE_ITO, RULES, SIGN_MAP, Style, condition_style, sign_patches

__all__ = [
    "CONDITIONS",
    "Trace",
    "learning_figure",
    "momentum_figure",
    "pictures_figure",
    "rules_figure",
    "signs_figure",
]

Float = npt.NDArray[np.floating]

CONDITIONS: Mapping[str, Style] = {
    "frozen_donor": Style("frozen, donor's polarity", OKABE_ITO["blue"], "o", "-"),
    "fluid_donor": Style("fluid, donor's polarity", OKABE_ITO["green"], "D", "-."),
    "frozen_random": condition_style("frozen_random"),
    "fluid_random": condition_style("fluid_random"),
}
"""Two polarities, each frozen and fluid: the four conditions of the digits experiment."""

_OPTIMIZERS = (
    (OKABE_ITO["blue"], "o", "-"),
    (OKABE_ITO["vermilion"], "s", (0, (5, 2))),
    (OKABE_ITO["green"], "^", (0, (1, 1.2))),
)
_LINEAR_BELOW = 1e-4  # where the axis of signed weights turns from logarithmic to linear


class Trace(NamedTuple):
    """One weight over the steps of an optimizer."""

    proposed: Sequence[float]
    """The weight that each step would have left without the reset."""
    kept: Sequence[float]
    """The weight after the reset; the first value is the start, so it is one longer."""


def _signed_axis(ax: Axes) -> None:
    """A logarithmic axis for both signs, linear between the innermost ticks."""
    ax.set_yscale("symlog", linthresh=_LINEAR_BELOW, linscale=0.6)
    ticks = [s * m for m in (1e-3, 1e-2, 1e-1, 1) for s in (-1, 1)]
    ax.yaxis.set_major_locator(FixedLocator([0, *ticks]))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda w, _: typeset(f"{w:g}")))
    ax.set_ylim(-2, 2)


def _forbidden(ax: Axes) -> None:
    """Shade and hatch the side of zero that the template forbids."""
    ax.axhspan(-2, 0, facecolor="#f0f0f0", edgecolor="#d9d9d9", hatch="///", linewidth=0, zorder=0)
    ax.axhline(0, color="black", linewidth=0.9)
    ax.grid(visible=False)


def _turn(ax: Axes, turn: int) -> None:
    ax.axvline(turn, color=OKABE_ITO["black"], linewidth=0.9, linestyle=":")


def _edges() -> Float:
    """Logarithmic bins on both sides of zero; zero itself counts to the innermost right one."""
    right = np.geomspace(_LINEAR_BELOW, 10**0.25, 18)
    return np.concatenate([-right[::-1], [0.0], right])


def rules_figure(
    traces: Mapping[str, Trace],
    fluid: Trace,
    weights: Mapping[str, Float],
    free: Float,
    turn: int,
) -> Figure:
    """What each reset rule does to one weight, and to many.

    Parameters
    ----------
    traces, fluid
        One weight under each rule, and without any.
    weights, free
        Weights times their template after training, shape (count,): under each rule, and without.
    turn
        Number of steps after which the pull turns round.
    """
    figure = Figure(figsize=(9.2, 6.3))
    axes = figure.subplots(2, len(traces), sharey=True, sharex="row")
    steps = np.arange(len(fluid.kept))
    edges = _edges()
    for top, bottom, (rule, trace) in zip(axes[0], axes[1], traces.items(), strict=True):
        for ax in (top, bottom):
            _signed_axis(ax)
            _forbidden(ax)
        top.plot(steps, fluid.kept, color=OKABE_ITO["grey"], linestyle="--", linewidth=1.4,
                 label="fluid: no rule")  # fmt: skip
        top.plot(steps[1:], trace.proposed, color="black", linestyle="none", marker="x",
                 markersize=4, markeredgewidth=0.9, label="frozen, before the reset")  # fmt: skip
        color = RULES[rule].color
        top.plot(steps, trace.kept, color=color, marker="o", markersize=3.2, linewidth=1.2,
                 label="frozen, after the reset")  # fmt: skip
        _turn(top, turn)
        top.set_title(rule)
        top.set_xlabel("step")
        count, _ = np.histogram(weights[rule], edges)
        loose, _ = np.histogram(free, edges)
        bottom.stairs(100 * count / len(weights[rule]), edges, orientation="horizontal", fill=True,
                      color=color, alpha=0.75, label="frozen")  # fmt: skip
        bottom.stairs(100 * loose / len(free), edges, orientation="horizontal",
                      color="black", linewidth=1, linestyle="--", label="fluid")  # fmt: skip
        bottom.set_xlabel("share of weights (%)")
    axes[0, 0].set_ylabel("one weight, template +1")
    axes[1, 0].set_ylabel(f"{len(free):,} weights × template")
    axes[1, -1].legend(loc="lower right", fontsize=8.5)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    handles[-1] = Line2D([], [], color="#444444", marker="o", markersize=3.2)  # of any colour
    figure.legend(handles, labels, loc="outside upper center", ncols=3, markerscale=1.4)
    return figure


def momentum_figure(traces: Mapping[str, Trace], turn: int) -> Figure:
    """One frozen weight under several optimizers: where it is, and where each step pushes it.

    Parameters
    ----------
    traces
        Label of the optimizer -> its weight.
    turn
        Number of steps after which the pull turns round.
    """
    figure = Figure(figsize=(9.2, 3.5))
    left, right = figure.subplots(1, 2, sharex=True)
    for (label, trace), (color, marker, dash) in zip(traces.items(), _OPTIMIZERS, strict=True):
        kept = np.asarray(trace.kept)
        steps = np.arange(len(kept))
        look = {"color": color, "marker": marker, "linestyle": dash, "markersize": 3.8,
                "markevery": 2, "label": label}  # fmt: skip
        left.plot(steps, kept, **look)
        right.plot(steps[1:], np.asarray(trace.proposed) - kept[:-1], **look)
    for ax in (left, right):
        _turn(ax, turn)
        ax.axhline(0, color="black", linewidth=0.9)
        ax.set_xlabel("step")
    left.set_ylabel("weight after the reset")
    right.set_ylabel("push of the step, before the reset")
    left.set_title("A  where the weight is")
    right.set_title("B  where it is pushed")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def pictures_figure(
    images: Float, labels: npt.ArrayLike, polarities: Mapping[str, Float], units: int = 8
) -> Figure:
    """Images, and below them polarities of hidden units as pictures.

    Parameters
    ----------
    images
        Shape (count, side, side); the first ``units`` are shown.
    labels
        Shape (count,).
    polarities
        Name -> -1/0/+1, shape (hidden, side * side); the first ``units`` hidden units are shown.
    units
        Number of columns.
    """
    figure = Figure(figsize=(9.2, 1.25 * (1 + len(polarities)) + 0.35))
    axes = figure.subplots(1 + len(polarities), units, squeeze=False)
    for ax, image, label in zip(axes[0], images, np.asarray(labels), strict=False):
        ax.imshow(image, cmap="gray_r")
        ax.set_title(f"“{label}”", fontsize=9, fontweight="normal", loc="center")
    axes[0, 0].set_ylabel("images")
    shape = images.shape[1:]
    for row, (name, polarity) in zip(axes[1:], polarities.items(), strict=True):
        for ax, unit in zip(row, polarity, strict=False):
            ax.imshow(unit.reshape(shape), cmap=SIGN_MAP, vmin=-1, vmax=1)
        row[0].set_ylabel(name)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    figure.legend(handles=sign_patches(), loc="outside lower center", ncols=2)
    return figure


def _bands(ax: Axes, curves: xr.DataArray, scale: float = 100) -> None:
    """Median over the trials with the band from the 25th to the 75th percentile, by condition."""
    epochs = curves.epoch.values
    every = max(1, len(epochs) // 10)
    for start, condition in enumerate(curves.condition.values):
        style = CONDITIONS[str(condition)]
        band = scale * quartiles(curves.sel(condition=condition))
        low, mid, high = (band.sel(quartile=q).values for q in (25, 50, 75))
        ax.fill_between(epochs, low, high, color=style.color, alpha=0.15, linewidth=0)
        single = scale * curves.sel(condition=condition).transpose("trial", "epoch")
        trial_lines(ax, epochs, single.values, style.color)
        # Markers at different epochs, where lines lie on each other.
        look: dict[str, Any] = {**style.line(), "markevery": (start * every // 4, every)}
        ax.plot(epochs, mid, **look)
    ax.set_xlabel("epoch")


def learning_figure(curves: xr.Dataset, threshold: float, n_train: int) -> Figure:
    """Validation error and loss, epoch by epoch: medians with quartile bands.

    Parameters
    ----------
    curves
        ``val_loss`` and ``val_accuracy``, dims (condition, trial, epoch).
    threshold
        Validation accuracy that counts as learned, drawn as a line.
    n_train
        Training images, for the title.
    """
    figure = Figure(figsize=(9.2, 3.9))
    left, right = figure.subplots(1, 2, sharex=True)
    _bands(left, 1 - curves.val_accuracy)
    _bands(right, curves.val_loss, scale=1)
    left.axhline(100 * (1 - threshold), color="black", linewidth=0.9, linestyle=":")
    left.set(ylabel="validation error (%)", ylim=(0, None))
    right.set(ylabel="validation loss (nats)", ylim=(0, None))
    left.set_title(f"A  n = {n_train}, {curves.sizes['trial']} trials")
    right.set_title(f"B  the same {curves.sizes['trial']} trials")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def signs_figure(curves: xr.Dataset) -> Figure:
    """Who keeps the polarity, and what it costs: violations, and resets by the step.

    Parameters
    ----------
    curves
        ``lost``, the share of weights that lack the sign of their template after each epoch, and
        ``resets``, the share reset at each step (mean over the epoch's steps; NaN where nothing
        is frozen); dims (condition, trial, epoch).
    """
    figure = Figure(figsize=(9.2, 3.9))
    left, right = figure.subplots(1, 2, sharex=True)
    _bands(left, curves.lost)
    frozen = [c for c in curves.condition.values if str(c).startswith("frozen")]
    _bands(right, curves.resets.sel(condition=frozen))
    left.set(ylabel="weights without their template's sign (%)")
    right.set(ylabel="weights reset at a step (%)", ylim=(0, None))
    for ax in (left, right):
        ax.yaxis.set_major_formatter(PercentFormatter(100, symbol=""))
    left.set_title(f"A  violations, {curves.sizes['trial']} trials")
    right.set_title(f"B  resets, {curves.sizes['trial']} trials")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure
