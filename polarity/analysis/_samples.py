"""Checks of samples that the statistics share: what goes in, and what NaN may mean."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from polarity._checks import one_of

Sample = npt.NDArray[np.float64]
NanPolicy = Literal["raise", "omit"]


def as_sample(name: str, values: npt.ArrayLike) -> Sample:
    """``values`` as a float64 array of shape (n,), n >= 1; NaN and infinities pass.

    Raises
    ------
    TypeError
        If ``values`` does not hold real numbers (bool and complex are refused).
    ValueError
        If ``values`` is not one-dimensional or is empty.
    """
    array: npt.NDArray[Any] = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(
            f"{name} must be one-dimensional, one value a trial; got shape {array.shape}"
        )
    if array.size == 0:
        raise ValueError(f"{name} must not be empty")
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    return array.astype(np.float64)


def without_nan(name: str, values: npt.ArrayLike, nan: str) -> Sample:
    """``as_sample`` with NaN refused (``nan="raise"``) or left out (``"omit"``).

    Raises
    ------
    ValueError
        If NaN is refused and present, if nothing else is left, or if ``nan`` is another word.
    """
    one_of("nan", nan, ("raise", "omit"))
    sample = as_sample(name, values)
    missing = np.isnan(sample)
    if nan == "raise" and missing.any():
        raise ValueError(
            f'{name} holds {missing.sum()} NaN among {sample.size} values; pass nan="omit" to '
            "leave them out, or use a statistic that counts them as never reached"
        )
    if missing.all():
        raise ValueError(f"{name} must hold at least one number, got {sample.size} NaN")
    return sample[~missing]


def as_epochs(name: str, values: npt.ArrayLike, horizon: float = np.inf) -> Sample:
    """``as_sample`` of epochs to an event: 0 <= epoch <= ``horizon``, NaN = never.

    Raises
    ------
    ValueError
        If an epoch is negative, infinite or beyond ``horizon``.
    """
    epochs = as_sample(name, values)
    wrong = (epochs < 0) | (epochs > horizon) | np.isinf(epochs)
    if wrong.any():
        limit = "" if np.isinf(horizon) else f" and at most the horizon {horizon:g}"
        raise ValueError(
            f"{name} must be finite, at least 0{limit}, or NaN for never; got {epochs[wrong][0]:g}"
        )
    return epochs
