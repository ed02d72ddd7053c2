"""Conditions set against each other: what the pages measure for the claims ledger.

All functions take curves with the dimensions condition, trial and epoch and any others; what they
return keeps the others (draw, width), so that one call serves a single data set and twenty.
"Never" counts as later than every epoch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from .estimate import Estimate
from .metrics import epochs_to_threshold, error_at_convergence, horizon, success_rate

BASELINE = "fluid_random"
MAP_METRICS = ("error", "epochs", "success")


def _pick(values: xr.DataArray, sizes: Sequence[int] | None) -> xr.DataArray:
    return values if sizes is None else values.sel(n_train=list(sizes))


def error_difference(
    curves: xr.Dataset, condition: str, sizes: Sequence[int] | None = None
) -> xr.DataArray:
    """Median error at convergence of ``condition`` minus that of fluid, mean over the sizes.

    Returns
    -------
    xarray.DataArray
        Fractions (-0.02: two points less), without condition, trial, epoch and n_train; NaN where
        the error of some network is.
    """
    error = _pick(error_at_convergence(curves).median("trial", skipna=False), sizes)
    gain: xr.DataArray = error.sel(condition=condition) - error.sel(condition=BASELINE)
    return gain.mean("n_train", skipna=False)


def restricted_mean_ratio(
    curves: xr.Dataset, condition: str, threshold: float, sizes: Sequence[int] | None = None
) -> xr.DataArray:
    """Restricted mean epochs to ``threshold``: ``condition`` over fluid, mean over the sizes.

    A trial that never gets there counts with the number of epochs trained: all trials are censored
    at the same epoch, and so the mean of the truncated times is the restricted mean.
    """
    mean = epochs_to_threshold(curves, threshold).fillna(horizon(curves)).mean("trial")
    mean = _pick(mean, sizes)
    return (mean.sel(condition=condition) / mean.sel(condition=BASELINE)).mean("n_train")


def median_epochs_ratio(
    curves: xr.Dataset, condition: str, n_train: int, threshold: float
) -> xr.DataArray:
    """The paper's ratio: medians of the epochs to ``threshold`` over the trials that got there.

    NaN where no trial of one of the two did.
    """
    epochs = epochs_to_threshold(curves.sel(n_train=n_train), threshold)
    median = epochs.median("trial", skipna=True)
    baseline = median.sel(condition=BASELINE)
    return median.sel(condition=condition) / baseline.where(baseline > 0)


def success_difference(
    curves: xr.Dataset, condition: str, n_train: int, threshold: float
) -> xr.DataArray:
    """Share of trials beyond ``threshold`` at ``n_train``: ``condition`` minus fluid."""
    rate = success_rate(curves.sel(n_train=n_train), threshold)
    return rate.sel(condition=condition) - rate.sel(condition=BASELINE)


def _scores(curves: xr.Dataset, threshold: float) -> xr.DataArray:
    """One number a trial for each metric of Fig 4D; smaller is better."""
    error = error_at_convergence(curves).astype(float)
    epochs = epochs_to_threshold(curves, threshold)
    failed = (~(epochs_to_threshold(curves, threshold, strict=True) >= 0)).astype(float)
    return xr.concat([error, epochs, failed], pd.Index(MAP_METRICS, name="metric"))


def _summary(scores: np.ndarray) -> np.ndarray:
    """Medians of error and of epochs among the successful, share of failures; last axis: trial."""
    out = np.empty(scores.shape[:-1])
    out[0] = np.median(scores[0], axis=-1)
    never = np.isnan(scores[1]).all(axis=-1)
    epochs = np.where(never[..., None], np.inf, scores[1])
    out[1] = np.nanmedian(epochs, axis=-1)
    out[2] = scores[2].mean(axis=-1)
    return out


def comparison_map(curves: xr.Dataset, threshold: float) -> xr.DataArray:
    """Fig 4D: in which cells a frozen condition beats the fluid one, for each of three metrics.

    Metrics: median error at convergence, median epochs to ``threshold`` over the trials that got
    there (as the paper counts; infinite where none did), share of trials beyond ``threshold``.

    Returns
    -------
    xarray.DataArray
        int8, dims (metric, width, n_train, condition) for the two frozen conditions: +1 better
        than fluid, 0 level, -1 worse.
    """
    scores = _scores(curves, threshold).transpose(
        "metric", "width", "n_train", "condition", "trial"
    )
    values = xr.DataArray(
        _summary(scores.values),
        dims=scores.dims[:-1],
        coords={dim: scores[dim] for dim in scores.dims[:-1]},
    )
    frozen = [c for c in values.condition.values if c != BASELINE]
    ours, base = values.sel(condition=frozen), values.sel(condition=BASELINE)
    return ((ours < base).astype(np.int8) - (ours > base).astype(np.int8)).rename("beats_fluid")


def share_of_map(
    curves: xr.Dataset, condition: str, threshold: float, n_resamples: int = 200, seed: int = 0
) -> Estimate:
    """Share of Fig 4D's cells and metrics in which ``condition`` is better, of those that differ.

    Where the two are level in a metric, as in the share of networks that succeed where all of both
    do, or none, that speaks for neither. The share of better ones is NaN where all are level.

    The interval: percentiles over resamples of the trials, the same trials in every condition,
    moved so that their mean is the estimate. To be better is a strict comparison of two noisy
    numbers; a resample adds noise to both once more, which draws the share towards a half.
    """

    def share(part: xr.Dataset) -> float:
        beats = comparison_map(part, threshold).sel(condition=condition).values
        differ = beats[beats != 0]
        return float((differ > 0).mean()) if differ.size else np.nan

    rng = np.random.default_rng(seed)
    trials = curves.sizes["trial"]
    resampled = [
        share(curves.isel(trial=rng.integers(0, trials, trials))) for _ in range(n_resamples)
    ]
    value = share(curves)
    known = np.array([each for each in resampled if not np.isnan(each)])
    centred = np.clip(known - known.mean() + value, 0, 1) if known.size else known
    low, high = np.quantile(centred, [0.025, 0.975]) if known.size else (np.nan, np.nan)
    cells = len(MAP_METRICS) * curves.sizes["width"] * curves.sizes["n_train"]
    return Estimate(
        value,
        low,
        high,
        cells,
        method="share won of the cells in which the two differ, bootstrap of trials, centred",
    )
