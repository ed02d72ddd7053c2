"""How well a condition on the signs foretells which networks learn."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..._checks import open_unit_interval, whole_number
from ..estimate import Estimate

Float = NDArray[np.float64]


def success_gap(
    learned: ArrayLike,
    capable: ArrayLike,
    against: ArrayLike | None = None,
    *,
    confidence: float = 0.95,
    n_resamples: int = 4000,
    seed: int = 0,
) -> Estimate:
    """Success rate of the networks that meet a condition, less that of those that do not.

    The comparison is made within each width and averaged over the widths with Mantel and
    Haenszel's weights, so that a condition earns nothing by telling wide networks from narrow ones.

    Parameters
    ----------
    learned
        Whether each network learned: shape (widths, trials).
    capable
        Whether it meets the condition: the same shape.
    against
        Another condition. If given, the estimate is by how much its gap falls short of that of
        ``capable``, with both read off the same networks.
    confidence, n_resamples, seed
        Of the percentile bootstrap, which draws networks within each width.

    Returns
    -------
    Estimate
        NaN if no width has networks of both kinds.

    Raises
    ------
    ValueError
        If the shapes differ or are not (widths, trials), or if ``confidence`` or ``n_resamples`` is
        out of range.
    """
    confidence = open_unit_interval("confidence", confidence)
    n_resamples = whole_number("n_resamples", n_resamples, at_least=1)
    judged = [np.asarray(capable, dtype=bool)]
    if against is not None:
        judged.append(np.asarray(against, dtype=bool))
    outcome = np.asarray(learned, dtype=bool)
    for name, array in zip(("capable", "against"), judged, strict=False):
        if array.shape != outcome.shape or outcome.ndim != 2:
            raise ValueError(
                f"learned and {name} must have the same shape (widths, trials), got "
                f"{outcome.shape} and {array.shape}"
            )
    n_widths, trials = outcome.shape
    # Networks enter only through how many there are of each kind: (widths, learned, capable, ...).
    kind = np.ravel_multi_index((outcome, *judged), (2,) * (1 + len(judged)))
    counts = np.stack([np.bincount(row, minlength=2 ** (1 + len(judged))) for row in kind])
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(trials, counts / trials, size=(n_resamples, n_widths))

    def contrast(counts: NDArray[np.int64]) -> Float:
        table = counts.reshape(*counts.shape[:-1], *(2,) * (1 + len(judged)))
        if against is None:
            return _mantel_haenszel(table)
        return _mantel_haenszel(table.sum(axis=-1)) - _mantel_haenszel(table.sum(axis=-2))

    value = float(contrast(counts))
    sample = contrast(draws)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    defined = sample[~np.isnan(sample)]
    low, high = (np.nan, np.nan) if np.isnan(value) else np.quantile(defined, tails)
    what = "gap in success rate" if against is None else "difference of two gaps in success rate"
    return Estimate(
        value,
        float(low),
        float(high),
        n=outcome.size,
        confidence=confidence,
        method=f"{what} within width (Mantel-Haenszel), percentile bootstrap over networks",
    )


def _mantel_haenszel(table: NDArray[np.int64]) -> Float:
    """Risk difference over strata; ``table`` has shape (..., strata, learned, capable)."""
    of_kind = table.sum(axis=-2).astype(float)  # (..., strata, capable)
    total = of_kind.sum(axis=-1)
    weight = of_kind[..., 0] * of_kind[..., 1] / total
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = table[..., 1, :] / of_kind
        gaps = np.where(weight > 0, rates[..., 1] - rates[..., 0], 0.0)
        result: Float = (weight * gaps).sum(axis=-1) / weight.sum(axis=-1)
    return result
