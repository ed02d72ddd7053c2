"""The figures of the page on other architectures; every function returns a figure.

Panels stand above each other, so that they can be read on a telephone. Curves are those of
:func:`polarity.small.training.train_digits`, gains those of :func:`~.transfer.mean_gain`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import ArrayLike, NDArray

from .drawn import trial_dots, trial_lines
from .estimate import Estimate
from .style import OKABE_ITO, SIGN_MAP, Style, sign_patches
from .transfer import mean_interval
from .transfer_figures import STYLES as TRANSFER_STYLES

__all__ = [
    "NETWORK_STYLES",
    "STYLES",
    "Effect",
    "effects_figure",
    "gains_figure",
    "learning_figure",
    "scores_figure",
]

_WIDTH = 5.2  # inches

STYLES: Mapping[str, Style] = {
    "frozen_donor_polarity": TRANSFER_STYLES["frozen_donor_polarity"],
    "fluid_donor_polarity": TRANSFER_STYLES["fluid_donor_polarity"],
    "frozen_other_polarity": Style(
        "frozen, signs from other digits", OKABE_ITO["green"], "v", (0, (8, 2))
    ),
    "frozen_random": TRANSFER_STYLES["frozen_random"],
    "fluid_random": TRANSFER_STYLES["fluid_random"],
}
"""Conditions look as they do on the page on transfer."""
NETWORK_STYLES: Mapping[str, Style] = {
    "resnet": Style("ResNet-18", OKABE_ITO["blue"], "s", "-"),
    "vit": Style("ViT", OKABE_ITO["vermilion"], "o", "-"),
    "gru": Style("GRU", OKABE_ITO["green"], "^", "-"),
}
"""What the three networks look like."""


class Effect(NamedTuple):
    """One comparison in one network."""

    comparison: str
    network: str
    gain: Estimate
    """Its mean over the trials."""
    trials: ArrayLike = ()
    """Gain of each trial, shape (trials,)."""


def _figure(panels: int, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(
        figsize=(_WIDTH, height), layout=ConstrainedLayoutEngine(h_pad=0.06, hspace=0.05)
    )
    return figure, list(figure.subplots(panels, 1, squeeze=False)[:, 0])


def learning_figure(curves: Mapping[str, xr.Dataset]) -> Figure:
    """Validation error, epoch by epoch: one panel a network; means with 95 % intervals.

    Parameters
    ----------
    curves
        Network -> ``val_accuracy``, dims (condition, trial, epoch); conditions of :data:`STYLES`
        are drawn.
    """
    figure, axes = _figure(len(curves), 0.5 + 2.5 * len(curves))
    for letter, ax, (network, of_network) in zip("ABC", axes, curves.items(), strict=False):
        shown = [name for name in STYLES if name in of_network.condition.values]
        error = 100 * (1 - of_network.val_accuracy.sel(condition=shown).astype(float))
        bounds = mean_interval(error)
        epochs = bounds.epoch.values
        every = max(1, len(epochs) // 8)
        for i, condition in enumerate(shown):
            style = STYLES[condition]
            of_condition = bounds.sel(condition=condition)
            low, mean, high = (of_condition.sel(bound=b).values for b in ("low", "mean", "high"))
            ax.fill_between(epochs, low, high, color=style.color, alpha=0.13, linewidth=0)
            single = error.sel(condition=condition).transpose("trial", "epoch")
            trial_lines(ax, epochs, single.values, style.color)
            # Markers at different epochs, where lines lie on each other.
            ax.plot(epochs, mean, **style.line(), markevery=(i * every // len(shown), every))
        label = NETWORK_STYLES[network].label
        ax.set_title(f"{letter}   {label}, {of_network.sizes['trial']} trials", fontsize=10)
        ax.set_ylabel("validation error (%)")
        ax.set_ylim(0, None)
    axes[-1].set_xlabel("epoch")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def effects_figure(panels: Mapping[str, Sequence[Effect]]) -> Figure:
    """Comparisons with their intervals, one row each, one marker a network.

    Parameters
    ----------
    panels
        What is drawn to the right (``"error saved (points)"``) -> effects; rows stand in the order
        in which their comparisons first appear.
    """
    first = next(iter(panels.values()))
    rows = list(dict.fromkeys(effect.comparison for effect in first))
    networks = [n for n in NETWORK_STYLES if n in {effect.network for effect in first}]
    height = (0.3 + 0.17 * len(networks)) * len(rows)
    figure, axes = _figure(len(panels), 0.6 + (height + 0.6) * len(panels))
    for letter, ax, (quantity, effects) in zip("ABC", axes, panels.items(), strict=False):
        for effect in effects:
            i = networks.index(effect.network)
            y = rows.index(effect.comparison) + 0.2 * (i - (len(networks) - 1) / 2)
            style, gain = NETWORK_STYLES[effect.network], effect.gain
            seen = ax.get_legend_handles_labels()[1]
            label = f"{style.label}, {gain.n} trials"
            trial_dots(ax, effect.trials, y, style.color)
            ax.plot(
                gain.value, y, color=style.color, marker=style.marker, linestyle="none",
                label=None if label in seen else label,
            )  # fmt: skip
            ax.plot([gain.low, gain.high], [y, y], color=style.color, linewidth=1.4)
        ax.axvline(0, color="black", linewidth=0.9)
        ax.set_yticks(range(len(rows)), rows, fontsize=9)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        ax.set_xlabel(quantity)
        if len(panels) > 1:
            ax.set_title(letter, fontsize=10)
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=2)
    return figure


def gains_figure(curves: xr.Dataset, holders: Mapping[str, Style]) -> Figure:
    """Where the gains of the norms end: those that began at 1 (A) and those that began at 0 (B).

    Parameters
    ----------
    curves
        ``gains`` (holder, trial, gain), with the coordinate ``gain_start``.
    holders
        Which networks to draw, and how.
    """
    figure, axes = _figure(2, 4.9)
    for letter, ax, began in zip("AB", axes, (1, 0), strict=True):
        values = curves.gains[..., curves.gain_start.values == began]
        drawn = values.sel(holder=list(holders)).values
        edges = np.linspace(min(0.0, drawn.min()), max(0.0, drawn.max()), 41)
        for name, style in holders.items():
            sample = values.sel(holder=name).values.ravel()
            count, _ = np.histogram(sample, edges)
            ax.stairs(
                100 * count / sample.size, edges, color=style.color, linestyle=style.linestyle,
                linewidth=1.6, label=style.label,
            )  # fmt: skip
        ax.axvline(0, color="black", linewidth=0.9)
        trials = f"{curves.sizes['trial']} trials"
        ax.set_title(f"{letter}   gains that began at {began}, {trials}", fontsize=10)
        ax.set_ylabel("share of gains (%)")
    axes[-1].set_xlabel("gain after training")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=1)
    return figure


def scores_figure(
    before: Sequence[NDArray[np.floating]], after: Sequence[NDArray[np.floating]]
) -> Figure:
    """Signs of one head's queries and keys, and of the scores that it makes of them.

    Parameters
    ----------
    before, after
        Query weights (units, width), key weights (units, width) and score matrix (width, width),
        before and after some units have been flipped.
    """
    figure = Figure(figsize=(_WIDTH, 4.3), layout="constrained")
    axes = figure.subplots(2, 3, width_ratios=(1, 1, 1))
    for row, pictures, name in zip(axes, (before, after), ("as it is", "mirrored"), strict=True):
        for ax, picture, title in zip(row, pictures, ("queries", "keys", "scores"), strict=True):
            ax.imshow(np.sign(picture), cmap=SIGN_MAP, vmin=-1, vmax=1, aspect="auto")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            if pictures is before:
                ax.set_title(title, loc="center", fontsize=10)
        row[0].set_ylabel(name)
    figure.legend(handles=sign_patches(), loc="outside lower center", ncols=2)
    return figure
