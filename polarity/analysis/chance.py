"""Networks that never leave chance: the anomaly in the paper's CIFAR-10 numbers.

A network whose units have died predicts one class for every image. Its error is that of chance,
90 % with ten classes, whatever n is. A median over trials hides such networks while they are fewer
than half, and jumps when they are half.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import xarray as xr

from polarity._checks import open_unit_interval

from .image_metrics import error, last_accuracy, ran, trial_median
from .statistics import success_proportion

__all__ = ["MARGIN", "STATES", "apart", "chance_table", "half_at_chance", "states"]

MARGIN = 0.02
"""Accuracy above chance below which a network counts as at chance.

Guessing among ten classes on 2,000 images has a standard deviation of 0.007, on 10,000 of 0.003.
"""
STATES = ("learned", "fell back", "never left")
"""What may become of a network: beyond chance in the end, once beyond it, never beyond it."""


def states(curves: xr.Dataset, classes: int = 10, margin: float = MARGIN) -> xr.DataArray:
    """Whether each network ever left chance.

    Parameters
    ----------
    curves
        ``val_accuracy``, dims (condition, n_train, trial, epoch).
    classes
        Of the task; chance is one over it.
    margin
        A network is at chance at an epoch if its validation accuracy there is below chance plus
        this.

    Returns
    -------
    xarray.DataArray
        Strings, dims (condition, n_train, trial): ``"never left"`` if the network is at chance at
        every evaluated epoch; ``"fell back"`` if at some, and the last is among them, but not at
        all; ``"learned"`` otherwise; empty where no network was trained.

    Raises
    ------
    ValueError
        If chance plus the margin is not below 1, or the margin is not above 0.
    """
    open_unit_interval("margin", margin)
    limit = open_unit_interval("1 / classes + margin", 1.0 / classes + margin)
    never = curves.val_accuracy.max("epoch") < limit
    ended = last_accuracy(curves) < limit
    names: xr.DataArray = xr.apply_ufunc(
        lambda ran, never, ended: np.select(
            [~ran, never, ended], ["", STATES[2], STATES[1]], STATES[0]
        ),
        ran(curves), never, ended,
    )  # fmt: skip
    return names.rename("state")


def apart(curves: xr.Dataset, margin: float = MARGIN) -> xr.Dataset:
    """The curves without the networks that never left chance: they count as not trained."""
    return curves.where(states(curves, margin=margin) != STATES[2])


def chance_table(curves: xr.Dataset, margin: float = MARGIN) -> pd.DataFrame:
    """How often networks never leave chance.

    Returns
    -------
    pandas.DataFrame
        One row for each condition and n with a network. Columns condition, n_train, trials,
        never_left, fell_back (counts), share (an :class:`~polarity.analysis.estimate.Estimate` with
        Wilson's interval), median and median_apart (error at convergence, with and without the
        networks that never left; NaN where none is left).
    """
    found = states(curves, margin=margin)
    values = {"median": error(curves), "median_apart": error(apart(curves, margin))}
    rows = []
    for condition in curves.condition.values:
        for n in curves.n_train.values:
            at = {"condition": condition, "n_train": n}
            cell = found.sel(at).values
            trials = int((cell != "").sum())
            if not trials:
                continue
            never = int((cell == STATES[2]).sum())
            rows.append(
                {
                    "condition": str(condition),
                    "n_train": int(n),
                    "trials": trials,
                    "never_left": never,
                    "fell_back": int((cell == STATES[1]).sum()),
                    "share": success_proportion(never, trials),
                    **{name: float(trial_median(value.sel(at))) for name, value in values.items()},
                }
            )
    return pd.DataFrame(
        rows,
        columns=["condition", "n_train", "trials", "never_left", "fell_back", "share", *values],
    )


def half_at_chance(published: pd.DataFrame, chance: float = 90.0) -> pd.DataFrame:
    """Where a published error rises with n: what if half of the trials were at chance?

    The median of an even number of trials is the mean of the two in the middle. If exactly half are
    at chance, one of these two is, and the other is twice the median minus chance. A value like
    that of a healthy network then lies near the straight line, in logarithms of n and error,
    between the neighbouring sizes at which the error falls.

    Parameters
    ----------
    published
        Columns condition, n_train, median (error in per cent): rows of
        :func:`polarity.analysis.published.image_medians` for one data set.
    chance
        Error of a network at chance, in per cent.

    Returns
    -------
    pandas.DataFrame
        One row for each condition and n whose error is higher than at the next smaller n. Columns
        condition, n_train, median, other (of the two in the middle), neighbours (the value on the
        line; NaN where there is no larger n).
    """
    rows = []
    for condition, group in published.groupby("condition", sort=False):
        group = group.sort_values("n_train")
        sizes, medians = group["n_train"].to_numpy(), group["median"].to_numpy(dtype=float)
        rises = np.diff(medians, prepend=np.inf) > 0
        for i in np.flatnonzero(rises):
            left, right = sizes[:i][~rises[:i]], sizes[i + 1 :][~rises[i + 1 :]]
            line = math.nan
            if left.size and right.size:
                healthy = np.isin(sizes, (left[-1], right[0]))
                line = math.exp(
                    np.interp(math.log(sizes[i]), np.log(sizes[healthy]), np.log(medians[healthy]))
                )
            rows.append(
                {
                    "condition": str(condition),
                    "n_train": int(sizes[i]),
                    "median": float(medians[i]),
                    "other": 2 * float(medians[i]) - chance,
                    "neighbours": line,
                }
            )
    return pd.DataFrame(rows, columns=["condition", "n_train", "median", "other", "neighbours"])
