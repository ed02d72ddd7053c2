"""From one number a trial to an estimate with an interval, or a test: the whole list.

Here are the median, the success proportion, the spread over draws, and the comparison with a
reference. Imported from their own modules and usable from here: epochs that some trials never
reach (``polarity.analysis.survival``), bootstrap intervals of a difference or ratio
(``polarity.analysis.resampling``), and the record that all return (``polarity.analysis.estimate``).

NaN is never dropped in silence. Where it means "missing" the caller says ``nan="omit"``; where it
means "never reached" the functions of ``survival`` count it as that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from polarity._checks import one_of, open_unit_interval, whole_number
from polarity.analysis._samples import NanPolicy, as_sample, without_nan
from polarity.analysis.estimate import Estimate
from polarity.analysis.resampling import bootstrap_difference, bootstrap_ratio, central_range
from polarity.analysis.survival import (
    LogRank,
    kaplan_meier_curve,
    kaplan_meier_median,
    logrank,
    median_among_successful,
    median_interval,
    restricted_mean,
)

__all__ = [
    "Estimate",
    "LogRank",
    "bootstrap_difference",
    "bootstrap_ratio",
    "compare_to_reference",
    "holm",
    "kaplan_meier_curve",
    "kaplan_meier_median",
    "logrank",
    "median",
    "median_among_successful",
    "restricted_mean",
    "spread",
    "success_proportion",
]


def median(
    values: npt.ArrayLike, *, confidence: float = 0.95, nan: NanPolicy = "raise"
) -> Estimate:
    """Median with its order-statistic interval.

    Parameters
    ----------
    values : array-like, shape (trials,)
        One value a trial; infinities take part by their rank.
    confidence : float
        Level of the interval, strictly between 0 and 1.
    nan : {"raise", "omit"}
        Refuse NaN, or leave such trials out. For epochs with NaN = never use
        :func:`kaplan_meier_median`.

    Returns
    -------
    Estimate
        The interval is distribution-free and exact in the sense that its coverage is at least
        ``confidence`` at any sample size, with ties too; with too few values (below 6 at 95 %) it
        is unbounded. See ``median_interval`` for why not a bootstrap.

    Raises
    ------
    TypeError, ValueError
        If ``values`` is empty, not one-dimensional, not real, or all NaN, or if NaN is refused and
        present, or if ``confidence`` is outside (0, 1).

    Examples
    --------
    >>> print(median([3, 1, 4, 1, 5, 9, 2, 6]))
    3.5 (1 to 9)
    """
    confidence = open_unit_interval("confidence", confidence)
    sample = without_nan("values", values, nan)
    low, high = median_interval(sample, confidence)
    return Estimate(
        float(np.median(sample)),
        low,
        high,
        sample.size,
        confidence,
        f"median of {sample.size} values, order-statistic interval",
    )


def success_proportion(k: int, n: int, *, confidence: float = 0.95) -> Estimate:
    """Share of successful trials with Wilson's interval.

    Wilson's interval has width at 0 of ``n`` and at ``n`` of ``n``, where the usual one has none.

    Parameters
    ----------
    k : int
        Number of successes, ``0 <= k <= n``.
    n : int
        Number of trials, at least 1.
    confidence : float
        Level of the interval, strictly between 0 and 1.

    Returns
    -------
    Estimate
        A fraction between 0 and 1.

    Raises
    ------
    TypeError
        If ``k`` or ``n`` is no whole number.
    ValueError
        If ``k < 0``, ``k > n`` or ``n < 1``, or if ``confidence`` is outside (0, 1).

    Examples
    --------
    >>> print(f"{success_proportion(50, 50):.3f}")
    1.000 (0.929 to 1.000)
    """
    confidence = open_unit_interval("confidence", confidence)
    n = whole_number("n", n, at_least=1)
    k = whole_number("k", k, at_least=0)
    if k > n:
        raise ValueError(f"k must be at most n, got k = {k} and n = {n}")
    low, high = proportion_confint(k, n, alpha=1.0 - confidence, method="wilson")
    return Estimate(
        k / n,
        0.0 if k == 0 else float(low),  # its closed form misses 0 and 1 by rounding
        1.0 if k == n else float(high),
        n,
        confidence,
        f"{k} of {n} trials, Wilson interval",
    )


def spread(values: npt.ArrayLike, *, coverage: float = 0.95, nan: NanPolicy = "raise") -> Estimate:
    """Median and central range over draws: how much a result depends on the draw of the data.

    The interval describes the draws themselves; it is no confidence interval and does not shrink
    with more of them.

    Parameters
    ----------
    values : array-like, shape (draws,)
        One result a draw; may be infinite.
    coverage : float
        Share of the draws between ``low`` and ``high``, strictly between 0 and 1.
    nan : {"raise", "omit"}
        Refuse NaN, or leave such draws out.

    Returns
    -------
    Estimate
        ``low`` and ``high`` are results of draws: the central range is rounded outwards, so that
        with fewer than 40 draws 95 % reaches from the lowest to the highest; NaN for a single draw,
        which spreads nowhere. ``confidence`` holds ``coverage``.

    Raises
    ------
    TypeError, ValueError
        As :func:`median`, with ``coverage`` for ``confidence``.

    Examples
    --------
    >>> print(f"{spread([0.4, 0.5, 0.7, 0.6, 0.9]):.1f}")
    0.6 (0.4 to 0.9)
    """
    coverage = open_unit_interval("coverage", coverage)
    sample = without_nan("values", values, nan)
    return Estimate(
        float(np.median(sample)),
        *(central_range(sample, coverage) if sample.size > 1 else (math.nan, math.nan)),
        sample.size,
        coverage,
        f"median and central {100 * coverage:g} % of {sample.size} values, one a draw "
        "(no confidence interval)",
    )


def compare_to_reference(
    reference: npt.ArrayLike,
    others: Mapping[str, npt.ArrayLike],
    *,
    alternative: Literal["two-sided", "less", "greater"] = "two-sided",
    nan: Literal["omit", "never"] = "omit",
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Mann-Whitney U test of each sample against one reference, with Holm's correction.

    The paper's Figure 3: four conditions against frozen IN-polarity at one training-set size, a
    star where p < 0.05 after the correction over these four.

    Parameters
    ----------
    reference : array-like, shape (trials,)
        The sample that all others are compared with.
    others : mapping of str to array-like, shape (trials,)
        The family of comparisons.
    alternative : {"two-sided", "less", "greater"}
        ``"greater"``: the other sample tends to larger values than the reference.
    nan : {"omit", "never"}
        ``"omit"``: NaN is missing, and left out. ``"never"``: NaN is an epoch that was never
        reached, later than every number and equal to another "never"; so no trial is lost.
    alpha : float
        Level of the star, strictly between 0 and 1.

    Returns
    -------
    pandas.DataFrame
        One row for each of ``others``, in their order, as index ``condition``. Columns:

        - ``n_reference``, ``n``: trials used. ``nan_reference``, ``nan``: trials that are NaN
          (left out, or counted as never).
        - ``U``: pairs in which the other sample exceeds the reference, ties counting a half.
        - ``effect``: U as a share of all pairs (common-language effect size), 0.5 = no difference.
        - ``p``: exact if one sample has at most 8 values and there are no ties, else by the
          normal approximation with corrections for ties and continuity (SciPy's "auto").
        - ``p_holm``: p after Holm's correction over the comparisons that could be made.
        - ``star``: bool, ``p_holm < alpha``.

        A comparison in which a sample has no number left has NaN in U, effect and both p, no star,
        and does not count in Holm's family.

    Raises
    ------
    TypeError, ValueError
        If a sample is empty, not one-dimensional or not real, if ``others`` is empty, or if
        ``alternative``, ``nan`` or ``alpha`` is not allowed.

    Examples
    --------
    >>> frozen = [10, 12, 9, 14, 11]
    >>> others = {"fluid": [20, 25, 18, 30, 22], "same": frozen}
    >>> table = compare_to_reference(frozen, others)
    >>> table["effect"].to_dict(), table["star"].to_dict()
    ({'fluid': 1.0, 'same': 0.5}, {'fluid': True, 'same': False})
    """
    one_of("alternative", alternative, ("two-sided", "less", "greater"))
    one_of("nan", nan, ("omit", "never"))
    alpha = open_unit_interval("alpha", alpha)
    if not others:
        raise ValueError("others must hold at least one sample, got none")
    base, base_nan = _numbers("reference", reference, nan)
    rows = []
    for name, values in others.items():
        sample, sample_nan = _numbers(f"others[{name!r}]", values, nan)
        u = p = np.nan
        if base.size and sample.size:
            u, p = stats.mannwhitneyu(sample, base, alternative=alternative)
        rows.append(
            {
                "n_reference": base.size,
                "n": sample.size,
                "nan_reference": base_nan,
                "nan": sample_nan,
                "U": float(u),
                "effect": float(u) / (sample.size * base.size) if np.isfinite(u) else np.nan,
                "p": float(p),
            }
        )
    table = pd.DataFrame(rows, index=pd.Index(list(others), name="condition"))
    table["p_holm"] = holm(table["p"])
    table["star"] = table["p_holm"] < alpha
    return table


def holm(p: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """p-values after Holm's step-down correction over one family of tests.

    Parameters
    ----------
    p : array-like, shape (tests,)
        NaN marks a test that could not be made; it does not count in the size of the family.

    Returns
    -------
    ndarray, shape (tests,)
        At least ``p``, at most 1, in the order of ``p``; NaN where ``p`` is.

    Raises
    ------
    TypeError, ValueError
        If ``p`` is empty, not one-dimensional, not real or outside [0, 1].

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03, float("nan")])
    array([0.03, 0.06, 0.06,  nan])
    """
    values = as_sample("p", p)
    if ((values < 0) | (values > 1)).any():
        raise ValueError(f"p must lie between 0 and 1, got {values}")
    made = ~np.isnan(values)
    corrected = np.full(values.size, np.nan)
    if made.any():
        # As statsmodels' multipletests, which collects garbage at every call: 0.1 s for four tests.
        order = np.argsort(values[made])
        steps = np.arange(order.size, 0, -1) * values[made][order]
        stepped = np.empty(order.size)
        stepped[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
        corrected[made] = stepped
    return corrected


def _numbers(name: str, values: npt.ArrayLike, nan: str) -> tuple[npt.NDArray[np.float64], int]:
    """The sample with its NaN left out or made infinite, and how many there were."""
    sample = as_sample(name, values)
    missing = np.isnan(sample)
    kept = sample[~missing] if nan == "omit" else np.where(missing, np.inf, sample)
    return kept, int(missing.sum())
