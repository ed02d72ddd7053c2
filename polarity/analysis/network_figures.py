"""Figures of what happens inside the networks trained on images.

Flipped signs (Fig C.5), magnitudes at the start (Fig C.6), networks that never leave chance, dead
units, and where the effect of transferred polarity ends. Every function returns a matplotlib figure
that names its setting and the number of networks behind it.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from polarity.protocols import IMAGE_CONDITIONS

from .drawn import trial_dots, trial_lines
from .metrics import quartiles
from .style import OKABE_ITO, condition_style

__all__ = [
    "chance_figure",
    "dead_figure",
    "effects_figure",
    "flips_figure",
    "magnitudes_figure",
    "rates_figure",
]

_MARKERS = "os^vDP*Xp<>"
_PHONE = 5.2  # inches, which a phone shows whole, with letters that can be read
_ROW = (0.45, 1.0)  # where the cells of a row of dead units lie; its label is above


def flips_figure(
    curves: xr.Dataset,
    n_train: int,
    setting: str,
    condition: str = "fluid_rand_polarity",
    epochs: int = 50,
) -> Figure:
    """Share of weights whose sign differs between consecutive epochs, layer by layer (Fig C.5).

    Parameters
    ----------
    curves
        ``flipped``, dims (condition, n_train, trial, step, layer): step e compares epochs e - 1 and
        e.
    n_train, condition
        Which networks; medians over them, with bands from the 25th to the 75th percentile.
    setting
        Tier and donor, for the title.
    epochs
        The last epoch shown; the paper shows 1 to 50.
    """
    part = curves.flipped.sel(condition=condition, n_train=n_train)
    part = part.sel(step=part.step <= epochs)
    trials = int(part.notnull().any(["step", "layer"]).sum())
    band = 100 * quartiles(part, skipna=True)
    figure = Figure(figsize=(9.2, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    layers = [str(layer) for layer in part.layer.values]
    colors = mpl.colormaps["viridis"](np.linspace(0.0, 0.88, len(layers)))
    every = max(1, part.sizes["step"] // 8)
    for i, (layer, color) in enumerate(zip(layers, colors, strict=True)):
        low, mid, high = (band.sel(layer=layer, quartile=q).values for q in (25, 50, 75))
        single = 100 * part.sel(layer=layer).transpose("trial", "step").values
        for ax in (left, right):
            if trials > 1:
                trial_lines(ax, part.step.values, single, mpl.colors.to_hex(color))
                ax.fill_between(part.step.values, low, high, color=color, alpha=0.15, linewidth=0)
            ax.plot(
                part.step.values, mid, color=color, marker=_MARKERS[i % len(_MARKERS)],
                markersize=4, markevery=(i % every, every), linewidth=1.4, label=layer,
            )  # fmt: skip
    left.set_ylim(bottom=0)
    if (band > 0).any():
        right.set_yscale("log")
    left.set(xlabel="epoch", ylabel="signs flipped since the epoch before (%)", title="A")
    right.set(xlabel="epoch", ylabel="the same, logarithmic", title="B")
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside right center", title="layer", fontsize=9
    )
    name = condition_style(condition).label
    figure.suptitle(f"{setting}\n{name}, n = {n_train}, {_networks(trials)}", fontsize=9)
    return figure


def magnitudes_figure(
    magnitudes: Mapping[str, Mapping[str, npt.ArrayLike]], setting: str
) -> Figure:
    """Distribution of weight magnitudes at initialisation, per condition and layer (Fig C.6).

    Thin lines hold 98 % of the weights, thick ones the middle half; markers are medians.

    Parameters
    ----------
    magnitudes
        Condition -> layer -> absolute values of weights, shape (weights,).
    setting
        Tier and donor, for the title.
    """
    layers = list(next(iter(magnitudes.values())))
    columns = min(3, len(layers))
    rows = math.ceil(len(layers) / columns)
    figure = Figure(
        figsize=(9.2, (0.55 + 0.21 * len(magnitudes)) * rows + 0.6), layout="constrained"
    )
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    shares = (0.01, 0.25, 0.5, 0.75, 0.99)
    for ax, layer in zip(axes.flat, layers, strict=False):
        for y, (condition, own) in enumerate(magnitudes.items()):
            style = condition_style(condition)
            q = np.quantile(np.asarray(own[layer], dtype=float).ravel(), shares)
            ax.plot(q[[0, 4]], [y, y], color=style.color, linewidth=1)
            ax.plot(q[[1, 3]], [y, y], color=style.color, linewidth=4, solid_capstyle="butt")
            ax.plot(q[2], y, color=style.color, marker=style.marker, markeredgecolor="white",
                    markeredgewidth=0.6)  # fmt: skip
        ax.set_xscale("log")
        ax.set_title(layer, fontsize=10)
        ax.grid(axis="y", visible=False)
        ax.set_yticks(range(len(magnitudes)), [condition_style(c).label for c in magnitudes],
                      fontsize=8)  # fmt: skip
        ax.tick_params(axis="x", labelsize=8)
    axes[0, 0].set_ylim(len(magnitudes) - 0.4, -0.6)
    for ax in axes.flat[len(layers) :]:
        ax.axis("off")
    figure.supxlabel("magnitude of the weight", fontsize=10)
    figure.suptitle(f"{setting}\nbefore training, one network a condition", fontsize=9)
    return figure


def chance_figure(table: pd.DataFrame, setting: str) -> Figure:
    """How often networks never leave chance (A), and the median error without them (B).

    Parameters
    ----------
    table
        :func:`polarity.analysis.chance.chance_table`.
    setting
        Tier and donor, for the legend.
    """
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes = sorted(set(table.n_train))
    at = {n: i for i, n in enumerate(sizes)}
    present = [c for c in IMAGE_CONDITIONS if (table.condition == c).any()]
    for i, condition in enumerate(present):
        style, rows = condition_style(condition), table[table.condition == condition]
        rows = rows.sort_values("n_train")
        x = np.array([at[n] for n in rows.n_train]) + 0.09 * (i - (len(present) - 1) / 2)
        share = np.array([[e.value, e.low, e.high] for e in rows["share"]]).T * 100
        left.errorbar(
            x, share[0], yerr=(share[0] - share[1], share[2] - share[0]), elinewidth=0.8,
            alpha=0.9, **(style.line() | {"linestyle": "none"}),
        )  # fmt: skip
        right.plot(x, 100 * rows.median_apart, **style.line())
        changed = rows.never_left.to_numpy() > 0
        right.plot(
            x[changed], 100 * rows["median"][changed], linestyle="none", marker=style.marker,
            markerfacecolor="white", markeredgecolor=style.color, zorder=4,
        )  # fmt: skip
        for where, a, b in zip(x, 100 * rows["median"], 100 * rows.median_apart, strict=True):
            if math.isfinite(b) and a != b:
                right.plot([where, where], [a, b], color=style.color, linewidth=0.8)
    for ax in (left, right):
        ax.set_xticks(list(at.values()), [str(n) for n in at], rotation=45)
        ax.set_xlim(-0.5, max(len(at), 1) - 0.5)
        ax.set_xlabel("training images n")
    left.set(ylabel="networks that never leave chance (%)", ylim=(-3, 103), title="A")
    right.set(ylabel="median error at convergence (%)", ylim=(0, 100), title="B")
    handles = [Line2D([], [], **condition_style(c).line()) for c in present]
    handles.append(
        Line2D([], [], linestyle="none", marker="o", markerfacecolor="white",
               markeredgecolor="black", label="with those at chance")
    )  # fmt: skip
    low, high = (int(table.trials.min()), int(table.trials.max())) if len(table) else (0, 0)
    number = _networks(high) if low == high else f"{low} to {high} networks"
    figure.legend(
        handles=handles, loc="outside upper center", ncols=4, fontsize=8.5, alignment="center",
        title=f"{setting}; {number} a point", title_fontsize=9,
    )  # fmt: skip
    return figure


def dead_figure(shares: xr.DataArray, title: str) -> Figure:
    """Share of ReLU units that are 0 on every image looked at, before and after training.

    Parameters
    ----------
    shares
        Medians over networks as fractions, dims (row, moment, hidden), as
        :func:`~.image_metrics.dead_shares` returns them for the conditions of an experiment. The
        rows' names are their labels.
    title
        What was trained.
    """
    rows, moment, hidden = shares.dims
    labels, layers = ([str(name) for name in shares[dim].values] for dim in (rows, hidden))
    figure = Figure(figsize=(_PHONE, 1.25 + 0.5 * max(len(labels), 1)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    titles = {"start": "A  before training", "end": "B  after training"}
    across = np.arange(len(layers) + 1)
    for ax, (when, heading) in zip(axes, titles.items(), strict=True):
        for i, own in enumerate(100 * shares.sel({moment: when}).values):
            ax.pcolormesh(
                across, [i + _ROW[0], i + _ROW[1]], own[None], cmap="Greys", vmin=0, vmax=100,
                edgecolors="white", linewidth=0.6,
            )  # fmt: skip
            for j, share in enumerate(own):
                if math.isfinite(share):
                    ax.text(j + 0.5, i + sum(_ROW) / 2, f"{share:.0f}", ha="center", va="center",
                            fontsize=8, color="white" if share > 60 else "black")  # fmt: skip
        ax.set_title(heading)
        ax.set_xticks(across[:-1] + 0.5, layers, rotation=45, ha="right", rotation_mode="anchor")
        ax.grid(False)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0, labelleft=False)
        ax.set_facecolor("none")  # the labels of A reach into B
    axes[0].set_ylim(max(len(labels), 1), 0)
    axes[0].set_yticks(np.arange(len(labels)) + sum(_ROW) / 2, labels)
    for i, label in enumerate(labels):
        _over(axes[0], label, i + _ROW[0])
    figure.suptitle(textwrap.fill(f"Dead units (%); {title}", 70), fontsize=9)
    return figure


def effects_figure(effects: pd.DataFrame, label: str = "error (points)") -> Figure:
    """Where the effect ends: one row a setting, the effect with its interval.

    Parameters
    ----------
    effects
        Columns setting (str), n_train (int) and effect, an
        :class:`~polarity.analysis.estimate.Estimate` of :func:`~.image_metrics.over_pairs` as a
        fraction; negative means that frozen IN-polarity has the lower error.
    label
        What is drawn.
    """
    settings = list(dict.fromkeys(effects.setting))
    sizes = sorted(set(effects.n_train))
    figure = Figure(
        figsize=(_PHONE, 0.9 + 0.24 * max(1, len(effects)) + 0.37 * len(settings)),
        layout="constrained",
    )
    ax = figure.subplots()
    palette = ("blue", "vermilion", "green", "purple", "sky", "orange", "black")
    y, ticks = 0.0, []
    for setting in settings:
        rows = effects[effects.setting == setting].sort_values("n_train")
        _over(ax, setting, y - 0.45)
        ticks.append(y + (len(rows) - 1) / 2)
        for n, effect in zip(rows.n_train, rows.effect, strict=True):
            i = sizes.index(n)
            color, marker = OKABE_ITO[palette[i % len(palette)]], _MARKERS[i % len(_MARKERS)]
            if math.isfinite(effect.value):
                ax.plot(
                    100 * effect.value, y, color=color, marker=marker, linestyle="none",
                    label=f"n = {n}",
                )  # fmt: skip
            if math.isfinite(effect.low) and math.isfinite(effect.high):
                ax.plot([100 * effect.low, 100 * effect.high], [y, y], color=color, linewidth=1.2)
            ax.annotate(
                f"n = {n}, {_pairs(effect.n)}", (1.01, y), xycoords=("axes fraction", "data"),
                va="center", fontsize=8, color="#444444",
            )  # fmt: skip
            y += 1
        y += 1.2
    ax.axvline(0, color="black", linewidth=0.9, zorder=0.9)
    ax.set_yticks(ticks, settings)
    ax.tick_params(axis="y", length=0, labelleft=False)
    ax.set_ylim(max(y - 1.5, 0), -1.5)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"frozen IN-polarity minus fluid RAND-polarity,\n{label}; left of 0: it helps")
    return figure


def rates_figure(rates: pd.DataFrame, title: str, chance: float = 0.1) -> Figure:
    """Accuracy reached at each learning rate: networks as dots, a line through their medians.

    Parameters
    ----------
    rates
        :func:`polarity.analysis.image_results.rates`.
    title
        What was trained, and for how long.
    chance
        Accuracy of guessing, drawn as a line.
    """
    figure = Figure(figsize=(_PHONE, 3.9), layout="constrained")
    ax = figure.subplots()
    present = [c for c in IMAGE_CONDITIONS if (rates.condition == c).any()]
    for condition in present:
        style, rows = condition_style(condition), rates[rates.condition == condition]
        single = 100 * rows.pivot(index="lr", columns="trial", values="accuracy")
        trial_dots(ax, single.index.to_numpy()[:, None], single, style.color, size=14, hidden=False)
        ax.plot(single.index, single.median(axis=1), **style.line())
    ax.axhline(100 * chance, color="black", linewidth=0.9, linestyle=":", zorder=0.9)
    ax.annotate(
        "chance", (0.3, 100 * chance), xycoords=("axes fraction", "data"), va="bottom", fontsize=8,
    )  # fmt: skip
    ax.set_xscale("log")
    ticks = sorted(set(rates.lr))
    ax.set_xticks(ticks, [f"{lr:g}" for lr in ticks])
    ax.minorticks_off()
    ax.set(xlabel="learning rate of Adam", ylabel="validation accuracy (%)", ylim=(0, None))
    if present:
        figure.legend(
            *ax.get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8.5,
            title=textwrap.fill(title, 62), title_fontsize=9, alignment="center",
        )  # fmt: skip
    else:
        figure.suptitle(title, fontsize=9)
    return figure


def _over(ax: Axes, label: str, y: float) -> None:
    """Write the label of a row over it: beside it, it takes half the width of a phone."""
    ax.annotate(
        label, (0.012, y), xycoords=("axes fraction", "data"), va="bottom", fontsize=8,
        in_layout=False, zorder=3,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.3},
    )  # fmt: skip


def _networks(count: int) -> str:
    return f"{count} {'network' if count == 1 else 'networks'}"


def _pairs(count: int) -> str:
    return f"{count} {'pair' if count == 1 else 'pairs'}"
