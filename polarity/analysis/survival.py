"""Epochs to a threshold when some trials never get there.

The paper takes the median over the trials that reached the threshold. That favours a condition
where few do: epochs 10, 12, 15 and four times never have a conditional median of 12, and beat
20, 30, ..., 80 in which every trial arrives, although the true median of the first is "never".
So beside the paper's number stand estimates that keep every trial: one that has not arrived when
training ends at the horizon is censored there.

In all functions NaN means "never reached", so no trial is left out. Training stops at one horizon
for every trial, hence nothing is censored earlier. Then the Kaplan-Meier curve is a plain share of
the trials, min(epoch, horizon) is known for each, and the intervals below may be the exact ones
for shares, medians and means; they are valid where the usual large-sample ones break down (at a
share of 0 or 1, with few trials, with ties).

Epochs count from 0; the horizon is the number of epochs trained (the paper: 100), one more than
the last epoch that can be observed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from lifelines import KaplanMeierFitter
from lifelines.statistics import logrank_test
from lifelines.utils import qth_survival_times, restricted_mean_survival_time
from scipy import stats
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from polarity._checks import open_unit_interval, positive
from polarity.analysis._samples import Sample, as_epochs
from polarity.analysis.estimate import Estimate

__all__ = [
    "LogRank",
    "kaplan_meier_curve",
    "kaplan_meier_median",
    "logrank",
    "median_among_successful",
    "restricted_mean",
]


def median_among_successful(epochs: npt.ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Median over the trials that got there: the paper's number, conditional on success.

    Parameters
    ----------
    epochs : array-like, shape (trials,)
        Epochs to the threshold, NaN = never.
    confidence : float
        Level of the order-statistic interval (see ``median_interval``), strictly between 0 and 1.

    Returns
    -------
    Estimate
        In epochs; ``n`` is the number of trials that got there. If none did, the value is NaN
        without an interval.

    Raises
    ------
    TypeError, ValueError
        If ``epochs`` is empty, not one-dimensional, not real, negative or infinite, or if
        ``confidence`` is outside (0, 1).

    Notes
    -----
    As the authors' released code computes it. It describes the successful trials only and cannot
    be compared between conditions with different success rates; :func:`kaplan_meier_median` and
    :func:`restricted_mean` can.

    Examples
    --------
    >>> epochs = [10, 12, 15] + 4 * [float("nan")]
    >>> median_among_successful(epochs).value
    12.0
    """
    confidence = open_unit_interval("confidence", confidence)
    trials = as_epochs("epochs", epochs)
    reached = trials[~np.isnan(trials)]
    what = f"median among the {reached.size} of {trials.size} trials that got there"
    if reached.size == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, confidence, f"{what} (undefined)")
    low, high = median_interval(reached, confidence)
    return Estimate(
        float(np.median(reached)),
        max(low, 0.0),
        high,
        reached.size,
        confidence,
        f"{what} (conditional on success), order-statistic interval",
    )


def kaplan_meier_median(
    epochs: npt.ArrayLike, horizon: float, *, confidence: float = 0.95
) -> Estimate:
    """Median epochs to the threshold over all trials, by Kaplan and Meier.

    Parameters
    ----------
    epochs : array-like, shape (trials,)
        Epochs to the threshold, NaN = not before the horizon.
    horizon : float
        Number of epochs trained.
    confidence : float
        Level of the order-statistic interval (see ``median_interval``), strictly between 0 and 1.

    Returns
    -------
    Estimate
        In epochs. The value is infinite where half of the trials or more never get there, and
        ``high`` where the interval reaches past the horizon: then the data show no upper bound.

    Raises
    ------
    TypeError, ValueError
        As :func:`restricted_mean`.

    Notes
    -----
    Where the curve is flat at one half the median is the middle of that piece, which without
    censoring is the ordinary median (lifelines alone takes its left end). The interval is that of
    the ordinary median with "never" later than every epoch, exact because all censoring is at
    the horizon. Inverting Greenwood's pointwise bounds gives much the same with many distinct
    epochs, but no upper bound where the last trial's arrival alone takes the curve below a half.

    Examples
    --------
    >>> epochs = [10, 12, 15] + 4 * [float("nan")]
    >>> print(kaplan_meier_median(epochs, horizon=100))
    ∞ (10 to ∞)
    """
    confidence = open_unit_interval("confidence", confidence)
    trials, fit = _fit(epochs, horizon)
    # The curve's steps are at least 1/n apart, its rounding errors far below this.
    hair = 1e-9
    left, right = (
        float(qth_survival_times(q, fit.survival_function_)) for q in (0.5 + hair, 0.5 - hair)
    )
    low, high = median_interval(np.where(np.isnan(trials), np.inf, trials), confidence)
    return Estimate(
        (left + right) / 2,
        max(low, 0.0),
        high,
        trials.size,
        confidence,
        f"Kaplan-Meier median, censored at {horizon:g} epochs, order-statistic interval",
    )


def restricted_mean(epochs: npt.ArrayLike, horizon: float, *, confidence: float = 0.95) -> Estimate:
    """Mean epochs spent before the threshold, out of the first ``horizon`` (restricted mean).

    The area under the Kaplan-Meier curve from 0 to the horizon. Always finite, so that conditions
    in which most trials never arrive can still be compared.

    Parameters
    ----------
    epochs : array-like, shape (trials,)
        Epochs to the threshold, NaN = not before the horizon.
    horizon : float
        Number of epochs trained.
    confidence : float
        Level of Student's t interval for the mean of min(epoch, horizon), cut to [0, horizon].

    Returns
    -------
    Estimate
        In epochs. One trial alone gives the interval from 0 to the horizon; trials that are all
        alike give an interval of no width, which says only that they showed no spread.

    Raises
    ------
    TypeError, ValueError
        If ``epochs`` is empty, not one-dimensional, not real, negative or beyond ``horizon``, if
        ``horizon`` is not finite and positive, or if ``confidence`` is outside (0, 1).

    Examples
    --------
    >>> epochs = [10, 12, 15] + 4 * [float("nan")]
    >>> print(f"{restricted_mean(epochs, horizon=100):.1f}")
    62.4 (19.1 to 100.0)
    """
    confidence = open_unit_interval("confidence", confidence)
    trials, fit = _fit(epochs, horizon)
    value = float(restricted_mean_survival_time(fit, t=horizon))
    low, high = 0.0, float(horizon)
    if trials.size > 1:
        spent = DescrStatsW(np.where(np.isnan(trials), horizon, trials))
        low, high = spent.tconfint_mean(alpha=1.0 - confidence)
    return Estimate(
        value,
        max(float(low), 0.0),
        min(float(high), float(horizon)),
        trials.size,
        confidence,
        f"restricted mean to {horizon:g} epochs, t interval",
    )


def kaplan_meier_curve(
    epochs: npt.ArrayLike, horizon: float, *, confidence: float = 0.95
) -> pd.DataFrame:
    """Share of trials not yet at the threshold, epoch by epoch.

    Parameters
    ----------
    epochs : array-like, shape (trials,)
        Epochs to the threshold, NaN = not before the horizon.
    horizon : float
        Number of epochs trained.
    confidence : float
        Level of the pointwise Wilson intervals, strictly between 0 and 1.

    Returns
    -------
    pandas.DataFrame
        One row for epoch 0, for each epoch at which a trial arrives and for the horizon, as index
        ``epoch`` (float). Columns: ``survival``, the share that has not arrived up to and
        including this epoch, with ``low`` and ``high``; ``at_risk``, the number of trials on
        their way just before it; ``reached``, the number that arrive at it. To be drawn as a
        step that falls at each epoch (``where="post"``); one minus it is the share that arrived.

    Raises
    ------
    TypeError, ValueError
        As :func:`restricted_mean`.

    Notes
    -----
    With all censoring at the horizon the curve is a share of all trials. So its bounds are
    Wilson's, the same as :func:`success_proportion` gives at the end. The
    usual Greenwood bounds have no width while the curve is at 1, and do not exist at 0.

    Examples
    --------
    >>> epochs = [10, 12, 12, float("nan")]
    >>> curve = kaplan_meier_curve(epochs, horizon=100)
    >>> curve["survival"].round(3).to_dict()
    {0.0: 1.0, 10.0: 0.75, 12.0: 0.25, 100.0: 0.25}
    """
    confidence = open_unit_interval("confidence", confidence)
    trials, fit = _fit(epochs, horizon)
    at = np.union1d(trials[~np.isnan(trials)], [0.0, float(horizon)])
    arrived = (trials[:, None] <= at).sum(axis=0)  # NaN compares false: never arrives
    reached = (trials[:, None] == at).sum(axis=0)
    low, high = proportion_confint(
        trials.size - arrived, trials.size, alpha=1.0 - confidence, method="wilson"
    )
    return pd.DataFrame(
        {
            "survival": fit.survival_function_at_times(at).to_numpy(),
            # The closed form misses 0 and 1 by rounding.
            "low": np.where(arrived == trials.size, 0.0, low),
            "high": np.where(arrived == 0, 1.0, high),
            "at_risk": trials.size - arrived + reached,
            "reached": reached,
        },
        index=pd.Index(at, name="epoch"),
    )


@dataclass(frozen=True)
class LogRank:
    """Outcome of a log-rank test.

    Parameters
    ----------
    statistic : float
        Chi-square with one degree of freedom.
    p : float
        Two-sided.
    n_a : int
        Number of trials of the first condition.
    n_b : int
        Number of trials of the second.
    """

    statistic: float
    p: float
    n_a: int
    n_b: int


def logrank(a: npt.ArrayLike, b: npt.ArrayLike, horizon: float) -> LogRank:
    """Two-sided log-rank test that two conditions take the same number of epochs.

    Parameters
    ----------
    a : array-like, shape (trials,)
        Epochs to the threshold under one condition, NaN = not before the horizon.
    b : array-like, shape (trials,)
        The same under the other.
    horizon : float
        Number of epochs trained.

    Returns
    -------
    LogRank
        If no trial of either condition gets there the statistic is 0 and p is 1.

    Raises
    ------
    TypeError, ValueError
        As :func:`restricted_mean`.

    Examples
    --------
    >>> frozen, fluid = [10, 12, 9, 14, 11], [20, 25, 18, 30, float("nan")]
    >>> test = logrank(frozen, fluid, horizon=100)
    >>> round(test.p, 4)
    0.0018
    """
    horizon = positive("horizon", horizon)
    first, second = as_epochs("a", a, horizon), as_epochs("b", b, horizon)
    never = [np.isnan(first), np.isnan(second)]
    if never[0].all() and never[1].all():
        return LogRank(0.0, 1.0, first.size, second.size)
    result = logrank_test(
        np.where(never[0], horizon, first),
        np.where(never[1], horizon, second),
        ~never[0],
        ~never[1],
    )
    return LogRank(float(result.test_statistic), float(result.p_value), first.size, second.size)


def median_interval(values: Sample, confidence: float) -> tuple[float, float]:
    """Order-statistic interval of a median, without any assumption on the distribution.

    It inverts the sign test (binomial ranks, ``scipy.stats.quantile_test``): the coverage is at
    least ``confidence`` for any sample size and only grows with ties. The bootstrap of a median has
    neither property: its distribution sits on a few order statistics, and the jackknife inside
    BCa is inconsistent for it. Infinite values take part by their rank. A side on which the
    sample is too small to give a bound (both, below 6 values at 95 %) is infinite.
    """
    # `q` is the hypothesis under test; the interval does not depend on it.
    interval = stats.quantile_test(values, q=0.0, p=0.5).confidence_interval(confidence)
    low, high = float(interval.low), float(interval.high)
    return (-np.inf if np.isnan(low) else low), (np.inf if np.isnan(high) else high)


def _fit(epochs: npt.ArrayLike, horizon: float) -> tuple[Sample, KaplanMeierFitter]:
    horizon = positive("horizon", horizon)
    trials = as_epochs("epochs", epochs, horizon)
    never = np.isnan(trials)
    with np.errstate():  # lifelines switches NumPy's warnings off and leaves them off
        return trials, KaplanMeierFitter().fit(np.where(never, horizon, trials), ~never)
