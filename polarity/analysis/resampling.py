"""Bootstrap intervals for a difference or a ratio of two samples, by scipy.stats.bootstrap.

The statistic sees every trial, NaN included, so that it may be one for censored epochs (a
Kaplan-Meier median, a restricted mean, the paper's median among the successful).
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from scipy import stats

from polarity._checks import one_of, open_unit_interval, positive, whole_number
from polarity.analysis._samples import Sample, as_sample
from polarity.analysis.estimate import Estimate

__all__ = ["bootstrap_difference", "bootstrap_ratio", "central_range"]

Method = Literal["percentile", "BCa"]
Statistic = str | Callable[..., Any]

_Array = npt.NDArray[np.float64]


class _AlongAxis(Protocol):
    def __call__(self, values: _Array, axis: int = -1) -> _Array: ...


def bootstrap_difference(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    statistic: Statistic = "median",
    *,
    paired: bool = False,
    horizon: float | None = None,
    confidence: float = 0.95,
    n_resamples: int = 9999,
    method: Method = "percentile",
    rng: int | np.random.Generator = 0,
) -> Estimate:
    """``statistic(a) - statistic(b)`` with a bootstrap interval.

    Parameters
    ----------
    a : array-like, shape (trials,)
        One value a trial, two trials or more.
    b : array-like, shape (trials,)
        The same of what it is compared with.
    statistic : str or callable
        - ``"mean"``, ``"median"``: of values without NaN.
        - ``"median_among_successful"``: of the values that are not NaN (the paper's number).
        - ``"kaplan_meier_median"``: with NaN = never, later than every epoch.
        - ``"restricted_mean"``: with NaN = not before ``horizon``, counted as ``horizon``. As all
          trials are censored there, these two are what ``polarity.analysis.survival`` computes.
        - a callable ``f(values, axis)`` that reduces an axis, or ``f(values)`` that takes one
          sample and returns a number (slower). It is handed NaN as it stands in the sample.
    paired : bool
        True: trial i of ``a`` and of ``b`` share data, batches and magnitudes and are resampled
        together. Conditions trained by one call are paired. False: independent samples.
    horizon : float, optional
        Number of epochs trained; for ``"restricted_mean"``, and for no other.
    confidence : float
        Level of the interval, strictly between 0 and 1.
    n_resamples : int
        Number of bootstrap resamples.
    method : {"percentile", "BCa"}
        The percentile interval is the default: it holds for differences and ratios alike,
        never leaves the range of the statistic, and does without the jackknife, which is
        inconsistent for medians. BCa is more accurate for means. Where BCa does not exist (all
        values alike, an undefined resample), the percentile interval stands in, and
        the estimate's method says so.
    rng : int or numpy.random.Generator
        Seed or generator of the resampling.

    Returns
    -------
    Estimate
        ``n`` is the number of pairs, or of trials in both samples together. A resample in which the
        statistic is undefined (a median of no successes, infinity minus infinity) counts as lying
        beyond both ends, which can only widen the interval; the method gives their number.

    Raises
    ------
    TypeError
        If a sample does not hold real numbers, or ``n_resamples`` is no whole number.
    ValueError
        If a sample is not one-dimensional or has fewer than two trials, if paired samples differ
        in length, if NaN meets ``"mean"`` or ``"median"``, if ``horizon`` is missing, superfluous
        or below a value, or if ``statistic``, ``method``, ``confidence`` or ``n_resamples`` is not
        allowed.

    Examples
    --------
    >>> frozen, fluid = [10, 12, 9, 14, 11], [20, 25, 18, 30, 22]
    >>> gain = bootstrap_difference(frozen, fluid, "mean", paired=True)
    >>> print(f"{gain:.1f}")
    −11.8 (−14.0 to −9.8)
    """
    return _bootstrap(
        "difference", a, b, statistic, paired, horizon, confidence, n_resamples, method, rng
    )


def bootstrap_ratio(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    statistic: Statistic = "median",
    *,
    paired: bool = False,
    horizon: float | None = None,
    confidence: float = 0.95,
    n_resamples: int = 9999,
    method: Method = "percentile",
    rng: int | np.random.Generator = 0,
) -> Estimate:
    """``statistic(a) / statistic(b)`` with a bootstrap interval.

    Parameters and returns as for :func:`bootstrap_difference`. Section 2.1 of the paper states such
    ratios: frozen sufficient needs 58 % and 48 % of the fluid network's epochs.

    Raises
    ------
    TypeError, ValueError
        As :func:`bootstrap_difference`; also if a sample holds a negative value, since a ratio of
        quantities of either sign says nothing.

    Notes
    -----
    ``x / 0`` is infinite for ``x > 0`` and undefined for ``x = 0``, as is ``infinity / infinity``.

    Examples
    --------
    >>> frozen, fluid = [10, 12, 9, 14, 11], [20, 25, 18, 30, 22]
    >>> ratio = bootstrap_ratio(frozen, fluid, "median", paired=True)
    >>> print(f"{ratio:.2f}")
    0.50 (0.47 to 0.50)
    """
    for name, values in (("a", a), ("b", b)):
        sample = as_sample(name, values)
        if (sample < 0).any():
            raise ValueError(
                f"{name} must not be negative in a ratio, got {sample[sample < 0][0]:g}"
            )
    return _bootstrap(
        "ratio", a, b, statistic, paired, horizon, confidence, n_resamples, method, rng
    )


def central_range(values: _Array, share: float) -> tuple[float, float]:
    """Two of the values with at least the given share between them, as much beyond on each side.

    Quantiles rounded outwards to observed values rather than interpolated, so that infinite ones
    need no arithmetic.

    Examples
    --------
    >>> central_range(np.array([1.0, 2.0, 3.0, 4.0, np.inf]), 0.6)
    (1.0, inf)
    """
    tail = round((1.0 - share) / 2, 12)  # 1 - 0.9 is a little less than 0.1
    return (
        float(np.quantile(values, tail, method="lower")),
        float(np.quantile(values, 1.0 - tail, method="higher")),
    )


def _bootstrap(
    kind: Literal["difference", "ratio"],
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    statistic: Statistic,
    paired: bool,
    horizon: float | None,
    confidence: float,
    n_resamples: int,
    method: str,
    rng: int | np.random.Generator,
) -> Estimate:
    confidence = open_unit_interval("confidence", confidence)
    n_resamples = whole_number("n_resamples", n_resamples, at_least=1)
    one_of("method", method, ("percentile", "BCa"))
    first, second = as_sample("a", a), as_sample("b", b)
    if min(first.size, second.size) < 2:
        raise ValueError(
            f"a and b must hold two trials or more, got {first.size} and {second.size}"
        )
    if paired and first.size != second.size:
        raise ValueError(
            f"paired samples must have the same length, got {first.size} and {second.size}"
        )
    name, along_axis = _resolve(statistic, horizon, {"a": first, "b": second})
    combine = np.subtract if kind == "difference" else np.divide

    def contrast(x: _Array, y: _Array, axis: int = -1) -> _Array:
        # Infinity minus infinity and 0 / 0 are undefined, and are counted below.
        with np.errstate(invalid="ignore", divide="ignore"):
            result: _Array = combine(along_axis(x, axis=axis), along_axis(y, axis=axis))
        return result

    value = float(contrast(first, second))
    with _quiet():
        result = stats.bootstrap(
            (first, second),
            contrast,
            paired=paired,
            vectorized=True,
            n_resamples=n_resamples,
            confidence_level=confidence,
            method="percentile",
            rng=np.random.default_rng(rng),
        )
    draws = np.asarray(result.bootstrap_distribution)
    undefined = int(np.isnan(draws).sum())
    used, low, high = "percentile", *_percentile(draws, confidence, kind)
    if method == "BCa":
        bca = _bca(first, second, contrast, paired, confidence, result)
        if bca is None:
            used = "percentile (no BCa interval exists)"
        else:
            used, low, high = "BCa", *bca
    if np.isnan(value):
        low = high = np.nan
    trials = f"{first.size} pairs" if paired else f"{first.size} and {second.size} trials"
    note = f", {undefined} of them undefined and counted beyond both ends" if undefined else ""
    return Estimate(
        value,
        low,
        high,
        first.size if paired else first.size + second.size,
        confidence,
        f"{kind} of {name}, {trials}, bootstrap {used}, {n_resamples} resamples{note}",
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what SciPy says of infinite and undefined resamples: they are dealt with here."""
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        yield


def _percentile(draws: _Array, confidence: float, kind: str) -> tuple[float, float]:
    lowest = 0.0 if kind == "ratio" else -np.inf
    low, _ = central_range(np.where(np.isnan(draws), lowest, draws), confidence)
    _, high = central_range(np.where(np.isnan(draws), np.inf, draws), confidence)
    return low, high


def _bca(
    first: Sample,
    second: Sample,
    contrast: Callable[..., _Array],
    paired: bool,
    confidence: float,
    drawn: Any,
) -> tuple[float, float] | None:
    """BCa interval from the resamples already drawn, or None where it does not exist."""
    with _quiet():
        interval = stats.bootstrap(
            (first, second),
            contrast,
            paired=paired,
            vectorized=True,
            n_resamples=0,
            confidence_level=confidence,
            method="BCa",
            bootstrap_result=drawn,
        ).confidence_interval
    low, high = float(interval.low), float(interval.high)
    return None if np.isnan(low) or np.isnan(high) else (low, high)


def _resolve(
    statistic: Statistic, horizon: float | None, samples: dict[str, Sample]
) -> tuple[str, _AlongAxis]:
    """The statistic's name in words and its form that reduces an axis."""
    if horizon is not None and statistic != "restricted_mean":
        raise ValueError(f'horizon belongs to statistic "restricted_mean", got {statistic!r}')
    if callable(statistic):
        name = getattr(statistic, "__name__", type(statistic).__name__)
        if "axis" in inspect.signature(statistic).parameters:
            return name, statistic
        return name, functools.partial(_one_by_one, statistic)
    one_of("statistic", statistic, (*_PLAIN, *_CENSORED, "restricted_mean"))
    if statistic in _PLAIN:
        for label, sample in samples.items():
            if np.isnan(sample).any():
                raise ValueError(
                    f"{label} holds NaN, which statistic {statistic!r} does not allow; for epochs "
                    f"with NaN = never use {', '.join(_CENSORED)} or restricted_mean"
                )
        return _PLAIN[statistic]
    if statistic in _CENSORED:
        return _CENSORED[statistic]
    if horizon is None:
        raise ValueError('statistic "restricted_mean" needs the horizon, the number of epochs')
    horizon = positive("horizon", horizon)
    for label, sample in samples.items():
        if (sample > horizon).any():
            raise ValueError(
                f"{label} must be at most the horizon {horizon:g}, or NaN for never; "
                f"got {sample[sample > horizon][0]:g}"
            )
    return f"restricted means to {horizon:g} epochs", functools.partial(_restricted_mean, horizon)


def _one_by_one(statistic: Callable[..., Any], values: _Array, axis: int = -1) -> _Array:
    return np.apply_along_axis(statistic, axis, values)


def _mean(values: _Array, axis: int = -1) -> _Array:
    return np.asarray(np.mean(values, axis=axis))


def _median(values: _Array, axis: int = -1) -> _Array:
    return np.asarray(np.median(values, axis=axis))


def _median_among_successful(values: _Array, axis: int = -1) -> _Array:
    with warnings.catch_warnings():
        # A resample without any success: NaN, and counted as undefined.
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        return np.asarray(np.nanmedian(values, axis=axis))


def _kaplan_meier_median(values: _Array, axis: int = -1) -> _Array:
    return _median(np.where(np.isnan(values), np.inf, values), axis)


def _restricted_mean(horizon: float, values: _Array, axis: int = -1) -> _Array:
    return _mean(np.where(np.isnan(values), horizon, values), axis)


# Each with its name in words, for the method of an estimate.
_PLAIN: dict[str, tuple[str, _AlongAxis]] = {
    "mean": ("means", _mean),
    "median": ("medians", _median),
}
_CENSORED: dict[str, tuple[str, _AlongAxis]] = {
    "median_among_successful": ("medians among the successful", _median_among_successful),
    "kaplan_meier_median": ("Kaplan-Meier medians", _kaplan_meier_median),
}
