"""What a recipient gains from its donor, and how much of a donor's polarity is right.

Curves have the dims ``donor, n_train, condition, trial, epoch`` of
:func:`polarity.ensemble.transfer.train_recipients`. The conditions of a trial share all that is
random, so they are compared within trials; as each trial has data of its own, intervals over the
trials hold for other data too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.stats import gmean, t

from .._checks import one_of, open_unit_interval, whole_number
from .estimate import Estimate
from .metrics import epochs_to_threshold, error_at_convergence, horizon

METRICS = ("error", "epochs")
NOTHING = "frozen_random"
"""The condition that takes nothing from a donor."""
EVERYTHING = "frozen_donor_weight"
"""The condition that takes all of it."""
BOUNDS = ("low", "mean", "high")


def scores(curves: xr.Dataset, metric: str, threshold: float = 0.90) -> xr.DataArray:
    """One number a network, smaller is better.

    Parameters
    ----------
    curves
        Any leading dims, and ``epoch``.
    metric
        ``"error"``: validation error at convergence, in per cent. ``"epochs"``: epochs until the
        validation accuracy reaches ``threshold``; a network that never does counts with the number
        of epochs trained, so that means are restricted means.

    Returns
    -------
    xarray.DataArray
        float64, without ``epoch``.

    Raises
    ------
    ValueError
        If the metric is unknown, or the threshold lies outside (0, 1).
    """
    if one_of("metric", metric, METRICS) == "error":
        return 100 * error_at_convergence(curves)
    return epochs_to_threshold(curves, threshold).fillna(horizon(curves))


def gains(values: xr.DataArray, baseline: str = NOTHING) -> xr.DataArray:
    """By how much each condition betters ``baseline``, trial by trial; positive is better."""
    return values.sel(condition=baseline, drop=True) - values


def trial_gains(
    values: xr.DataArray, condition: str, baseline: str = NOTHING
) -> NDArray[np.float64]:
    """By how much ``condition`` betters ``baseline`` in each trial, a mean over all else.

    Parameters
    ----------
    values
        :func:`scores` of one donor.
    condition, baseline
        Conditions.

    Returns
    -------
    float64 array (trials,)

    Raises
    ------
    ValueError
        If the scores are those of several donors.
    """
    return _per_trial(gains(values, baseline).sel(condition=condition))


def mean_gain(values: xr.DataArray, condition: str, baseline: str = NOTHING) -> Estimate:
    """Mean over the trials of what ``condition`` gains on ``baseline``.

    Parameters
    ----------
    values
        :func:`scores` of one donor; over sizes, if there are several, the mean is taken first.
    condition, baseline
        Conditions.

    Returns
    -------
    Estimate
        With the paired t interval. Of few trials it holds what it says, and a percentile bootstrap
        does not: simulated with eight normal differences, the one covers 95 %, the other 88 %.

    Raises
    ------
    ValueError
        If the scores are those of several donors, or there are fewer than two trials.
    """
    each = trial_gains(values, condition, baseline)
    low, mean, high = mean_interval(xr.DataArray(each, dims="trial")).values
    method = f"mean difference of {each.size} trials, paired t interval"
    return Estimate(mean, low, high, each.size, method=method)


def kept_share(
    values: xr.DataArray,
    condition: str,
    nothing: str = NOTHING,
    everything: str = EVERYTHING,
    *,
    confidence: float = 0.95,
    n_resamples: int = 9999,
    seed: int = 0,
) -> Estimate:
    """How much of what all of the donor is worth remains with a piece of it.

    The mean gain of ``condition`` on ``nothing``, as a share of the mean gain of ``everything``.
    0: the piece is worth nothing; 1: as much as all; negative: it harms.

    Parameters
    ----------
    values
        :func:`scores` of one donor; over sizes, if there are several, the mean is taken first.
    condition, nothing, everything
        Conditions.
    confidence, n_resamples, seed
        Of the percentile bootstrap of the trials, which are paired.

    Returns
    -------
    Estimate
        NaN where the donor as a whole gains nothing, as there is nothing to have a share of; no
        interval where it gains nothing in some resample.

    Raises
    ------
    ValueError
        If the scores are those of several donors.
    """
    confidence = open_unit_interval("confidence", confidence)
    gain = gains(values, nothing)
    part, whole = (_per_trial(gain.sel(condition=name)) for name in (condition, everything))
    n = part.size
    method = f"share of the whole donor's mean gain, {n} trials, bootstrap percentile"
    low = high = np.nan
    if not whole.mean() > 0:
        return Estimate(np.nan, low, high, n, confidence, method)
    weights = _resamples(n, n_resamples, seed)
    if (weights @ whole > 0).all():
        shares = (weights @ part) / (weights @ whole)
        low, high = np.quantile(shares, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(part.mean() / whole.mean(), low, high, n, confidence, method)


def verdict(gain: Estimate) -> str:
    """What a gain's interval says: ``"better"``, ``"worse"`` or ``"no difference seen"``.

    Where there is no interval, as some network was lost (NaN): ``"undefined"``.

    Examples
    --------
    >>> verdict(Estimate(2.0, 1.5, 2.5, n=50, method="mean"))
    'better'
    """
    if np.isnan([gain.low, gain.high]).any():
        return "undefined"
    if gain.low > 0:
        return "better"
    return "worse" if gain.high < 0 else "no difference seen"


def mean_interval(values: xr.DataArray, *, confidence: float = 0.95) -> xr.DataArray:
    """Mean over the trials with its t interval, in every cell at once.

    Parameters
    ----------
    values
        Any dims, among them ``trial``, of length 2 or more.
    confidence
        Level of the interval, strictly between 0 and 1.

    Returns
    -------
    xarray.DataArray
        Without ``trial``, with a last dim ``bound``: low, mean, high; all NaN where a trial is.

    Raises
    ------
    ValueError
        If there are fewer than two trials.
    """
    confidence = open_unit_interval("confidence", confidence)
    trials = whole_number("number of trials", values.sizes["trial"], at_least=2)
    mean = values.mean("trial", skipna=False)
    spread = values.std("trial", ddof=1, skipna=False)
    half = t.ppf((1 + confidence) / 2, trials - 1) * spread / trials**0.5
    bounds = xr.Variable("bound", list(BOUNDS))
    found: xr.DataArray = xr.concat([mean - half, mean, mean + half], bounds)
    return found.transpose(..., "bound")


def _resamples(trials: int, n_resamples: int, seed: int) -> NDArray[np.float64]:
    """Resamples of the trials, one a row, as weights: a mean over them is a product."""
    n_resamples = whole_number("n_resamples", n_resamples, at_least=1)
    drawn = np.random.default_rng(seed).integers(0, trials, (n_resamples, trials))
    weights = np.zeros((n_resamples, trials))
    np.add.at(weights, (np.arange(n_resamples)[:, None], drawn), 1 / trials)
    return weights


def _per_trial(values: xr.DataArray) -> NDArray[np.float64]:
    over = [dim for dim in values.dims if dim != "trial"]
    if "donor" in over:
        raise ValueError("values must be those of one donor: choose it with .sel(donor=...)")
    result: NDArray[np.float64] = values.mean(over, skipna=False).values
    return result


def right_share(
    w1: ArrayLike, w2: ArrayLike, *, informative: Sequence[int] = (0, 1), weighted: bool = False
) -> NDArray[np.float64]:
    """Share of a network's units that are right: the paper's sufficient polarity (section 2.1).

    A unit is right if the sign of its output weight is the product of the signs of its informative
    input weights. A random polarity has half of its units right, a sufficient one all.

    Parameters
    ----------
    w1, w2
        Weights of a stack of networks, (networks, inputs, width) and (networks, width).
    informative
        The inputs that decide the task.
    weighted
        Count each unit by its importance: the size of its output weight times the geometric mean
        of its informative input weights.

    Returns
    -------
    float64 array (networks,)

    Raises
    ------
    ValueError
        If the shapes do not belong together, or all importances are 0.
    """
    first, second = np.asarray(w1, dtype=np.float64), np.asarray(w2, dtype=np.float64)
    if first.ndim != 3 or second.shape != (first.shape[0], first.shape[2]):
        raise ValueError(
            "w1 and w2 must have shapes (networks, inputs, width) and (networks, width), got "
            f"{first.shape} and {second.shape}"
        )
    inputs = first[:, list(informative)]
    right = np.sign(inputs).prod(axis=1) == np.sign(second)
    if not weighted:
        return np.asarray(right.mean(axis=1))
    importance = np.abs(second) * gmean(np.abs(inputs), axis=1)
    if not (importance.sum(axis=1) > 0).all():
        raise ValueError("weights must give some unit of every network an importance above 0")
    return np.asarray((right * importance).sum(axis=1) / importance.sum(axis=1))
