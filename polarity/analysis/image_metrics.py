"""What the image experiments measure (Figs 2, 3 and C.2 to C.4): one number a network.

All functions read curves with the dims (condition, n_train, trial, epoch), as
:meth:`polarity.results.Store.dataset` gives them. Two kinds of absence are told apart: NaN is a
network that was not trained, infinity an epoch that a trained network never reached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from polarity._checks import one_of
from polarity.protocols import IMAGE_CONDITIONS

from .estimate import Estimate
from .metrics import epochs_to_threshold, error_at_convergence, horizon, quartiles
from .statistics import compare_to_reference, median
from .style import condition_style
from .survival import restricted_mean
from .tables import percent

__all__ = [
    "CLAIMED",
    "COMPARED",
    "POLARITY_CONDITIONS",
    "REFERENCE",
    "THRESHOLDS",
    "by_size",
    "dead_shares",
    "differences",
    "epochs_needed",
    "error",
    "estimate_of",
    "last_accuracy",
    "median_reached",
    "over_pairs",
    "paired_error",
    "paired_time",
    "ran",
    "reach_note",
    "resolution",
    "restricted",
    "restricted_means",
    "summary_table",
    "trial_counts",
    "trial_median",
    "within_reach",
]

_Array = npt.NDArray[Any]

THRESHOLDS = (0.45, 0.50, 0.55, 0.60, 0.75, 0.80, 0.82, 0.85)
"""Validation accuracies of Figs C.2 to C.4; those of Figs 2 and 3 are among them."""
POLARITY_CONDITIONS = IMAGE_CONDITIONS[:4]
"""Conditions of Fig 2: magnitudes drawn anew, signs the donor's or random."""
REFERENCE = "frozen_in_polarity"
"""What Fig 3 compares with."""
COMPARED = ("fluid_rand_polarity", "fluid_in_polarity", "frozen_in_weight", "fluid_in_weight")
"""What Fig 3 compares: the family of Holm's correction at each n."""


def ran(curves: xr.Dataset) -> xr.DataArray:
    """Whether a network was trained: bool, without the dimension ``epoch``."""
    trained: xr.DataArray = curves.val_accuracy.notnull().any("epoch")
    return trained


def last_accuracy(curves: xr.Dataset) -> xr.DataArray:
    """Validation accuracy at the last evaluated epoch; NaN where no network was trained."""

    def last(accuracy: _Array) -> _Array:
        index = accuracy.shape[-1] - 1 - np.argmax(~np.isnan(accuracy)[..., ::-1], axis=-1)
        found: _Array = np.take_along_axis(accuracy, index[..., None], axis=-1)[..., 0]
        return found

    result: xr.DataArray = xr.apply_ufunc(last, curves.val_accuracy, input_core_dims=[["epoch"]])
    return result


def trial_counts(curves: xr.Dataset) -> xr.DataArray:
    """Number of networks trained: int, dims (condition, n_train)."""
    return ran(curves).sum("trial")


def resolution(curves: xr.Dataset) -> int:
    """Epochs between evaluations: by so many at most an epoch to a threshold is reported late."""
    epochs = curves.epoch.values
    return int(np.diff(epochs).max()) if len(epochs) > 1 else 1


def error(curves: xr.Dataset) -> xr.DataArray:
    """Validation error at convergence of every network trained, as a fraction.

    Returns
    -------
    xarray.DataArray
        As :func:`~polarity.analysis.metrics.error_at_convergence`, but for a network whose loss was
        never a number: it has no epoch of convergence, and counts with its last error, so that a
        condition is not the better for networks that fail altogether. NaN where none was trained.
    """
    converged = error_at_convergence(curves)
    return converged.where(converged.notnull(), 1.0 - last_accuracy(curves).astype(np.float64))


def epochs_needed(curves: xr.Dataset, threshold: float) -> xr.DataArray:
    """Epochs to ``threshold``, from 0: infinite for a network that never gets there, NaN for none.

    Raises
    ------
    ValueError
        If the threshold lies outside (0, 1).
    """
    epochs = epochs_to_threshold(curves, threshold)
    return epochs.where(epochs.notnull() | ~ran(curves), np.inf)


def trial_median(values: xr.DataArray) -> xr.DataArray:
    """Median over the trials that are not NaN, which may be infinite; NaN where there are none."""
    return quartiles(values, skipna=True).sel(quartile=50, drop=True)


def dead_shares(curves: xr.Dataset, n_train: int) -> xr.DataArray:
    """Median share of dead units over networks, before and after training.

    Returns
    -------
    xarray.DataArray
        Fractions, dims (condition, moment, hidden), of the conditions that were trained at
        ``n_train``; coordinate ``networks``, how many there are of each.
    """
    counts = trial_counts(curves).sel(n_train=n_train, drop=True)
    shares = trial_median(curves.dead.sel(n_train=n_train, drop=True))
    return (
        shares.assign_coords(networks=counts)
        .sel(condition=counts > 0)
        .transpose("condition", "moment", "hidden")
    )


def median_reached(epochs: xr.DataArray) -> xr.DataArray:
    """Median over the trials that got there, as the paper counts; NaN where none did."""
    return trial_median(epochs.where(np.isfinite(epochs)))


def restricted(epochs: xr.DataArray, limit: float) -> xr.DataArray:
    """Mean over the trials of the epochs spent below the threshold, out of the first ``limit``."""
    spent = epochs.clip(max=limit)
    return spent.sum("trial") / spent.count("trial").where(lambda count: count > 0)


def restricted_means(epochs: xr.DataArray, limit: float) -> pd.DataFrame:
    """:func:`~polarity.analysis.survival.restricted_mean` of every cell with a network.

    Parameters
    ----------
    epochs
        :func:`epochs_needed`; dims (n_train, trial).
    limit
        Number of epochs trained.

    Returns
    -------
    pandas.DataFrame
        Index n_train; columns value, low, high, trials.
    """
    rows = {}
    for n in epochs.n_train.values:
        sample = epochs.sel(n_train=n).values
        sample = sample[~np.isnan(sample)]
        if sample.size:
            mean = restricted_mean(np.where(np.isinf(sample), np.nan, sample), limit)
            rows[int(n)] = (mean.value, mean.low, mean.high, mean.n)
    columns = ["value", "low", "high", "trials"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def summary_table(curves: xr.Dataset, published: pd.DataFrame) -> pd.DataFrame:
    """Median error at convergence of every condition at the sizes that were run, and the paper's.

    Parameters
    ----------
    curves
        Dims (condition, n_train, trial, epoch).
    published
        Rows of :func:`polarity.analysis.published.image_medians` for the data set.

    Returns
    -------
    pandas.DataFrame
        In per cent. Index: conditions, by the names of the figures. Columns: (n, "here") and
        (n, "paper"); NaN where there is none.
    """
    rows = published[published.metric == "val_error_at_convergence_pct"]
    theirs = rows.set_index(["condition", "n_train"])["median"]
    ours = 100 * trial_median(error(curves))
    sizes = [int(n) for n in curves.n_train.values if ran(curves).sel(n_train=n).any()]
    conditions = [str(c) for c in curves.condition.values]
    columns = {
        (f"n = {n}", who): [
            float(ours.sel(condition=c, n_train=n)) if who == "here" else theirs.get((c, n), np.nan)
            for c in conditions
        ]
        for n in sizes
        for who in ("here", "paper")
    }
    labels = [condition_style(c).label for c in conditions]
    return pd.DataFrame(columns, index=pd.Index(labels, name="median error (%)"))


def within_reach(curves: xr.Dataset, published: float) -> float:
    """The paper's threshold if half of the networks reach it, else the highest that half reach.

    For figures of smaller experiments, in which the paper's threshold would leave panels empty. If
    not even the lowest of :data:`THRESHOLDS` is reached by half, it is that one; if there is no
    network, it is the paper's.
    """
    if not ran(curves).any():
        return published
    lower = [t for t in THRESHOLDS if t < published]
    reached = [t for t in (*lower, published) if _half(curves, t)]
    return max(reached, default=THRESHOLDS[0])


def _half(curves: xr.Dataset, threshold: float) -> bool:
    arrived = np.isfinite(epochs_needed(curves, threshold))
    return 2 * int(arrived.sum()) >= int(ran(curves).sum())


def reach_note(curves: xr.Dataset, published: float) -> str:
    """Say which threshold :func:`within_reach` chose, and why."""
    shown = within_reach(curves, published)
    if shown == published:
        return f"The paper's threshold is {percent(published)}, as here"
    start = f"The paper's threshold is {percent(published)}; "
    if _half(curves, shown):
        return (
            f"{start}less than half of our networks reach it, so panels B and C show the highest "
            f"of the paper's thresholds that half of them do, {percent(shown)}"
        )
    if np.isfinite(epochs_needed(curves, shown)).any():
        return (
            f"{start}less than half of our networks reach even the lowest of its thresholds, "
            f"{percent(shown)}, which panels B and C show"
        )
    return (
        f"{start}no network of ours reaches even the lowest of its thresholds, {percent(shown)}, "
        "so panels B and C have nothing to compare"
    )


def paired_error(curves: xr.Dataset, condition: str, baseline: str) -> xr.DataArray:
    """Error at convergence of ``condition`` minus ``baseline``, pair by pair.

    The two networks of a pair share n, trial, images, batches and dropout. Dims (n_train, trial);
    NaN where one of them was not trained.
    """
    values = error(curves)
    ours, theirs = (values.sel(condition=c, drop=True) for c in (condition, baseline))
    # Curves are stored in single precision: 40 of 2,000 images must be 0.02, which rules compare.
    return (ours - theirs).round(6)


def paired_time(
    curves: xr.Dataset,
    condition: str,
    baseline: str,
    thresholds: Sequence[float] = THRESHOLDS,
) -> xr.DataArray:
    """Passes over the data that ``condition`` needs, over those that ``baseline`` does, by pairs.

    Summed over the thresholds that at least one of the two reaches. A network that never gets to
    such a threshold counts with all the passes it was trained for: the restricted mean again, over
    thresholds.

    Returns
    -------
    xarray.DataArray
        Dims (n_train, trial); NaN where one of the two was not trained, and where neither reaches
        a threshold: then there is nothing to compare.
    """
    limit = horizon(curves)
    sums = {}
    epochs = xr.concat([epochs_needed(curves, t) for t in thresholds], dim="threshold")
    ours, theirs = (epochs.sel(condition=c, drop=True) for c in (condition, baseline))
    either: xr.DataArray = (ours < np.inf) | (theirs < np.inf)
    for name, values in (("ours", ours), ("theirs", theirs)):
        passes = (values + 1.0).clip(max=limit)  # epoch 0 is one pass
        sums[name] = passes.where(either, 0.0).sum("threshold")
    ratio = sums["ours"] / sums["theirs"].where(sums["theirs"] > 0)
    trained = ran(curves)
    both = trained.sel(condition=condition, drop=True) & trained.sel(condition=baseline, drop=True)
    return ratio.where(both)


def over_pairs(pairs: xr.DataArray, setting: str = "") -> Estimate:
    """Median over all pairs of networks, all sizes together, with its order-statistic interval.

    The interval assumes no distribution. It has a bound on both sides from six pairs on, so that
    fewer can never decide a claim. It is about other networks on the same images, not about other
    images: like the paper's trials, ours all see the first n.

    Parameters
    ----------
    pairs
        :func:`paired_error` or :func:`paired_time`.
    setting
        On what they were trained, for the ledger.

    Returns
    -------
    Estimate
        `n` is the number of pairs that can be compared; undefined if there are none.
    """
    values = pairs.values[~np.isnan(pairs.values)]
    if not values.size:
        method = "no pair of networks to compare"
        return Estimate(np.nan, np.nan, np.nan, 0, method=method, setting=setting)
    found = median(values)
    return Estimate(
        found.value,
        found.low,
        found.high,
        found.n,
        found.confidence,
        f"median of {found.n} pairs of networks, order-statistic interval",
        setting,
    )


def estimate_of(curves: xr.Dataset, claim: str, setting: str = "") -> Estimate:
    """Measure one of the claims on transfer that the ledger declares for both data sets.

    Parameters
    ----------
    curves
        Dims (condition, n_train, trial, epoch).
    claim
        The claim's name after the dot; a key of :data:`CLAIMED`.
    setting
        On what the networks were trained, for the ledger.

    Raises
    ------
    ValueError
        If there is no such claim.
    """
    measure, condition, baseline = CLAIMED[one_of("claim", claim, CLAIMED)]
    return over_pairs(measure(curves, condition, baseline), setting)


def by_size(curves: xr.Dataset, claims: Sequence[str]) -> pd.DataFrame:
    """Return what :func:`estimate_of` pools, size by size and in words.

    Parameters
    ----------
    curves
        Of one experiment.
    claims
        Names of :data:`CLAIMED`.

    Returns
    -------
    pandas.DataFrame
        One row a claim: what is compared, then a column for each n of which there are pairs: the
        median, its interval where there is one, and the number of pairs.

    Raises
    ------
    ValueError
        If there is no such claim.
    """
    rows = []
    for claim in claims:
        measure, *compared = CLAIMED[one_of("claim", claim, CLAIMED)]
        first, second = (condition_style(condition).label for condition in compared)
        spec, words = _WORDS[measure]
        pairs = measure(curves, *compared)
        row = {"compared": words.format(first, second)}
        for n in curves.n_train.values[pairs.notnull().any("trial").values]:
            estimate = over_pairs(pairs.sel(n_train=n))
            count = f"{estimate.n} {'pair' if estimate.n == 1 else 'pairs'}"
            row[f"n = {n}"] = f"{estimate.brief(spec)}; {count}"
        rows.append(row)
    table = pd.DataFrame(rows, columns=None if rows else ["compared"])
    sizes = [f"n = {n}" for n in curves.n_train.values]
    return table[["compared", *(size for size in sizes if size in table)]].fillna("–")


_WORDS: Mapping[Callable[[xr.Dataset, str, str], xr.DataArray], tuple[str, str]] = {
    paired_error: (".1pt", "error, {} minus {}"),
    paired_time: (".2f", "passes, {} over {}"),
}

CLAIMED: Mapping[str, tuple[Callable[[xr.Dataset, str, str], xr.DataArray], str, str]] = {
    "less_data": (paired_error, REFERENCE, "fluid_rand_polarity"),
    "less_time": (paired_time, REFERENCE, "fluid_rand_polarity"),
    "freezing": (paired_error, REFERENCE, "fluid_in_polarity"),
    "random_polarity": (paired_error, "frozen_rand_polarity", "fluid_rand_polarity"),
    "fine_tuning_data": (paired_error, REFERENCE, "fluid_in_weight"),
    "fine_tuning_time": (paired_time, REFERENCE, "fluid_in_weight"),
    "weights_time": (paired_time, REFERENCE, "frozen_in_weight"),
    "compressed": (paired_error, REFERENCE, "frozen_in_weight"),
}
"""What the claims of sections 3, 4 and 6 compare: measure, condition, baseline."""


def differences(
    values: xr.DataArray,
    summary: str = "median",
    limit: float | None = None,
    compared: Sequence[str] = COMPARED,
    reference: str = REFERENCE,
) -> pd.DataFrame:
    """Fig 3: each condition minus the reference, with stars.

    Parameters
    ----------
    values
        One number a network, dims (condition, n_train, trial): :func:`error` or
        :func:`epochs_needed`.
    summary
        What is subtracted: ``"median"``; ``"median_reached"``, the paper's for epochs; or
        ``"restricted_mean"``, which counts every network.
    limit
        Epochs trained, for ``"restricted_mean"``.
    compared, reference
        The conditions.

    Returns
    -------
    pandas.DataFrame
        Columns n_train, condition, difference, trials, trials_reference, p_holm, star. The test is
        the two-sided Mann-Whitney U test on all networks, "never" later than every epoch, with
        Holm's correction over the conditions that could be compared at that n. It is the same for
        all three summaries.

    Raises
    ------
    ValueError
        If the summary is unknown, or the limit is missing or superfluous.
    """
    one_of("summary", summary, ("median", "median_reached", "restricted_mean"))
    if (limit is None) == (summary == "restricted_mean"):
        raise ValueError(f"limit belongs to summary 'restricted_mean', got {limit!r}, {summary!r}")
    if summary == "median":
        middle = trial_median(values)
    elif summary == "median_reached":
        middle = median_reached(values)
    else:
        assert limit is not None
        middle = restricted(values, limit)
    present = [c for c in compared if c in values.condition.values]
    rows = []
    for n in values.n_train.values if reference in values.condition.values else ():
        at = values.sel(n_train=n)
        samples = {c: at.sel(condition=c).values for c in present}
        samples = {c: sample for c, sample in samples.items() if not np.isnan(sample).all()}
        base = at.sel(condition=reference).values
        if not samples or np.isnan(base).all():
            continue
        tests = compare_to_reference(base, samples)
        for condition in samples:
            here = middle.sel(n_train=n)
            rows.append(
                {
                    "n_train": int(n),
                    "condition": condition,
                    "difference": float(
                        here.sel(condition=condition) - here.sel(condition=reference)
                    ),
                    "trials": int(tests.n[condition]),
                    "trials_reference": int(tests.n_reference[condition]),
                    "p_holm": float(tests.p_holm[condition]),
                    "star": bool(tests.star[condition]),
                }
            )
    columns = ["n_train", "condition", "difference", "trials", "trials_reference"]
    return pd.DataFrame(rows, columns=[*columns, "p_holm", "star"])
