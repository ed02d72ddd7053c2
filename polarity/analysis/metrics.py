"""From learning curves to one number a trial: the paper's metrics.

Every function reads an ``xarray.Dataset`` of curves with the variables ``val_loss`` and
``val_accuracy`` and a dimension ``epoch``. It returns a ``xarray.DataArray`` without that
dimension. All other dimensions are kept, in their order: (condition, trial) for one training
set, (width, n_train, condition, trial) for the full grid.

Epochs
    Counted from 0, as the authors' released code does: epoch 0 is the state after the first pass
    over the training set. The labels of the dataset's ``epoch`` coordinate are what is returned.
Accuracies
    Fractions between 0 and 1, never percentages. They are ratios of counts that were stored in
    single precision, so they are compared with a threshold in single precision: 900 right of
    1000 reaches a threshold of 0.90 and does not exceed it.
NaN
    A NaN loss is never the lowest loss. A trial whose losses are all NaN has not converged
    anywhere: its epoch and its error are NaN. A NaN accuracy never reaches a threshold.

Source: Wang et al. 2023, section 2.1 and the captions of Figures 1 and 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from polarity._checks import open_unit_interval

__all__ = [
    "convergence_epoch",
    "epochs_to_threshold",
    "error_at_convergence",
    "horizon",
    "quartiles",
    "success",
    "success_rate",
]

_Array = npt.NDArray[Any]

QUARTILES = (25, 50, 75)
"""The quantiles of the paper's curves, in per cent: the median and its band."""


def convergence_epoch(curves: xr.Dataset) -> xr.DataArray:
    """Epoch of the lowest validation loss, the first of ties.

    Parameters
    ----------
    curves : xarray.Dataset
        ``val_loss`` with a dimension ``epoch``.

    Returns
    -------
    xarray.DataArray
        float64, in epochs counted from 0, without the dimension ``epoch``. NaN for a trial whose
        losses are all NaN.

    Raises
    ------
    TypeError
        If ``curves`` is no dataset.
    ValueError
        If the variable or the dimension is missing, if there are no epochs, or if they are not in
        ascending order.

    Examples
    --------
    >>> dims, loss = ("trial", "epoch"), [[0.9, 0.4, 0.6], [0.7, 0.5, 0.5]]
    >>> curves = xr.Dataset({"val_loss": (dims, loss)})
    >>> convergence_epoch(curves).values
    array([1., 1.])
    """
    loss, epochs = _curve(curves, "val_loss")

    def reduce(loss: _Array) -> _Array:
        index, converged = _lowest(loss)
        return np.where(converged, epochs[index], np.nan)

    result: xr.DataArray = xr.apply_ufunc(reduce, loss, input_core_dims=[["epoch"]])
    return _describe(
        result, "convergence_epoch", "epoch of lowest validation loss", "epoch, counted from 0"
    )


def error_at_convergence(curves: xr.Dataset) -> xr.DataArray:
    """Validation error at the epoch of the lowest validation loss: statistical efficiency.

    Parameters
    ----------
    curves : xarray.Dataset
        ``val_loss`` and ``val_accuracy`` with a dimension ``epoch``.

    Returns
    -------
    xarray.DataArray
        float64, ``1 - val_accuracy``, a fraction between 0 and 1. NaN for a trial whose losses are
        all NaN, and where the accuracy at that epoch is NaN.

    Raises
    ------
    TypeError
        If ``curves`` is no dataset.
    ValueError
        As :func:`convergence_epoch`, or if an accuracy is outside [0, 1].

    Examples
    --------
    >>> dims = ("trial", "epoch")
    >>> curves = xr.Dataset({"val_loss": (dims, [[0.9, 0.4, 0.6]])})
    >>> curves["val_accuracy"] = dims, [[0.5, 0.75, 0.8]]
    >>> error_at_convergence(curves).values
    array([0.25])
    """
    loss, _ = _curve(curves, "val_loss")
    accuracy, _ = _accuracy(curves)

    def reduce(loss: _Array, accuracy: _Array) -> _Array:
        index, converged = _lowest(loss)
        there = np.take_along_axis(accuracy, index[..., None], axis=-1)[..., 0]
        return np.where(converged, 1.0 - there.astype(np.float64), np.nan)

    result: xr.DataArray = xr.apply_ufunc(
        reduce, loss, accuracy, input_core_dims=[["epoch"], ["epoch"]]
    )
    return _describe(
        result, "error_at_convergence", "validation error at lowest validation loss", "fraction"
    )


def epochs_to_threshold(
    curves: xr.Dataset, threshold: float, *, strict: bool = False
) -> xr.DataArray:
    """First epoch whose validation accuracy reaches a threshold: computational efficiency.

    Parameters
    ----------
    curves : xarray.Dataset
        ``val_accuracy`` with a dimension ``epoch``.
    threshold : float
        Strictly between 0 and 1. The paper: 0.90 for XOR-5D.
    strict : bool
        False, as in the paper: the first epoch with accuracy >= threshold. True: the first with
        accuracy > threshold.

    Returns
    -------
    xarray.DataArray
        float64, in epochs counted from 0. NaN for a trial that never gets there.

    Raises
    ------
    TypeError
        If ``curves`` is no dataset.
    ValueError
        If ``threshold`` is outside (0, 1), if the variable or the dimension is missing, or if an
        accuracy is outside [0, 1].

    Examples
    --------
    >>> dims, accuracy = ("trial", "epoch"), [[0.5, 0.9, 0.95], [0.5, 0.6, 0.7]]
    >>> curves = xr.Dataset({"val_accuracy": (dims, accuracy)})
    >>> epochs_to_threshold(curves, 0.90).values
    array([ 1., nan])
    """
    level = np.float32(open_unit_interval("threshold", threshold))
    accuracy, epochs = _accuracy(curves)

    def reduce(accuracy: _Array) -> _Array:
        reached = _beyond(accuracy, level, strict)
        index = np.argmax(reached, axis=-1)
        ever = np.take_along_axis(reached, index[..., None], axis=-1)[..., 0]
        return np.where(ever, epochs[index], np.nan)

    result: xr.DataArray = xr.apply_ufunc(reduce, accuracy, input_core_dims=[["epoch"]])
    sign = ">" if strict else ">="
    return _describe(
        result,
        "epochs_to_threshold",
        f"first epoch with validation accuracy {sign} {float(threshold):g}",
        "epoch, counted from 0; NaN = never",
    )


def horizon(curves: xr.Dataset) -> float:
    """Number of epochs trained: one more than the last that was evaluated.

    Where only every second epoch is evaluated this is not the number of evaluations. A trial that
    has not reached a threshold by then is censored there.

    Parameters
    ----------
    curves : xarray.Dataset
        ``val_accuracy`` with a dimension ``epoch``.

    Returns
    -------
    float
        In epochs.

    Raises
    ------
    TypeError, ValueError
        As :func:`convergence_epoch`.

    Examples
    --------
    >>> every_second = {"epoch": [1, 3]}
    >>> horizon(xr.Dataset({"val_accuracy": ("epoch", [0.5, 0.9])}, every_second))
    4.0
    """
    _, epochs = _curve(curves, "val_accuracy")
    return float(epochs[-1]) + 1.0


def success(curves: xr.Dataset, threshold: float, *, strict: bool = True) -> xr.DataArray:
    """Whether a trial goes beyond a threshold at any epoch.

    The paper's success rates are strict (Figure 4A: accuracy > 0.95 at n = 500; Figures 4B to 4D:
    > 0.90), while its epochs to a threshold are not (>=). So a trial whose best accuracy is the
    threshold itself has an epoch to threshold, yet is no success. With equal ``strict`` the two
    agree: a trial is a success exactly where :func:`epochs_to_threshold` is a number.

    Parameters
    ----------
    curves : xarray.Dataset
        ``val_accuracy`` with a dimension ``epoch``.
    threshold : float
        Strictly between 0 and 1.
    strict : bool
        True, as in the paper: accuracy > threshold. False: accuracy >= threshold.

    Returns
    -------
    xarray.DataArray
        bool, without the dimension ``epoch``. A trial whose accuracies are all NaN is no success.

    Raises
    ------
    TypeError, ValueError
        As :func:`epochs_to_threshold`.

    Examples
    --------
    >>> dims, accuracy = ("trial", "epoch"), [[0.5, 0.9, 0.95], [0.5, 0.6, 0.9]]
    >>> curves = xr.Dataset({"val_accuracy": (dims, accuracy)})
    >>> success(curves, 0.90).values
    array([ True, False])
    """
    level = np.float32(open_unit_interval("threshold", threshold))
    accuracy, _ = _accuracy(curves)

    def reduce(accuracy: _Array) -> _Array:
        return np.asarray(_beyond(accuracy, level, strict).any(axis=-1))

    result: xr.DataArray = xr.apply_ufunc(reduce, accuracy, input_core_dims=[["epoch"]])
    sign = ">" if strict else ">="
    return _describe(
        result, "success", f"validation accuracy {sign} {float(threshold):g} at any epoch", "bool"
    )


def success_rate(curves: xr.Dataset, threshold: float, *, strict: bool = True) -> xr.DataArray:
    """Share of trials that go beyond a threshold at any epoch.

    The denominator is the number of all trials, those with NaN curves included.

    Parameters
    ----------
    curves : xarray.Dataset
        ``val_accuracy`` with dimensions ``epoch`` and ``trial``.
    threshold : float
        Strictly between 0 and 1.
    strict : bool
        As for :func:`success`.

    Returns
    -------
    xarray.DataArray
        float64 between 0 and 1, without the dimensions ``epoch`` and ``trial``.

    Raises
    ------
    TypeError, ValueError
        As :func:`success`, or if there is no dimension ``trial`` or no trial.

    Examples
    --------
    >>> dims, accuracy = ("trial", "epoch"), [[0.5, 0.9, 0.95], [0.5, 0.6, 0.9]]
    >>> curves = xr.Dataset({"val_accuracy": (dims, accuracy)})
    >>> success_rate(curves, 0.90).item()
    0.5
    """
    successes = success(curves, threshold, strict=strict)
    _need_dim(successes, "trial", "curves")
    result = successes.mean("trial")
    return _describe(
        result, "success_rate", f"share of trials with {successes.attrs['long_name']}", "fraction"
    )


def quartiles(values: xr.DataArray, *, dim: str = "trial", skipna: bool = False) -> xr.DataArray:
    """Median and 25th to 75th percentile over the trials, as in the paper's curves.

    Between two neighbouring order statistics the quantile is interpolated linearly. Infinite
    values are allowed, so ``quartiles(epochs.fillna(numpy.inf))`` gives the quartiles when "never"
    counts as later than every epoch; a quantile that would be interpolated towards infinity is
    infinite.

    Parameters
    ----------
    values : xarray.DataArray
        One number a trial.
    dim : str
        The dimension to reduce.
    skipna : bool
        False: a NaN among the trials makes their quartiles NaN. True: NaN trials are left out.
        For epochs to a threshold this is what the paper reports, and it is conditional on success
        (see :func:`~polarity.analysis.statistics.median_among_successful`).

    Returns
    -------
    xarray.DataArray
        float64, with ``dim`` replaced by a last dimension ``quartile`` with labels 25, 50, 75 (per
        cent). The coordinate ``trials_used`` holds the number of trials that are not NaN; where
        it is 0 the quartiles are NaN.

    Raises
    ------
    TypeError
        If ``values`` is no DataArray.
    ValueError
        If ``values`` has no dimension ``dim``, or no entry along it.

    Examples
    --------
    >>> epochs = xr.DataArray([10, 20, 30, np.nan], dims="trial")
    >>> quartiles(epochs, skipna=True).values
    array([15., 20., 25.])
    >>> quartiles(epochs.fillna(np.inf)).values
    array([17.5, 25. ,  inf])
    """
    if not isinstance(values, xr.DataArray):
        raise TypeError(f"values must be an xarray.DataArray, got {type(values).__name__}")
    _need_dim(values, dim, "values")
    numbers = values.astype(np.float64)

    def reduce(numbers: _Array) -> _Array:
        quantile = np.nanquantile if skipna else np.quantile
        q = np.divide(QUARTILES, 100.0)
        result = np.full((*numbers.shape[:-1], len(q)), np.nan)
        # A slice without any number keeps its NaN; asking NumPy for it would only warn.
        rows = ~np.isnan(numbers).all(axis=-1)
        if not rows.any():
            return result
        sample = numbers[rows]
        with np.errstate(invalid="ignore"):  # infinity minus infinity, put right below
            between = quantile(sample, q, axis=-1)
        if np.isinf(sample).any():
            below = quantile(sample, q, axis=-1, method="lower")
            above = quantile(sample, q, axis=-1, method="higher")
            between = np.where(np.isinf(above), above, between)
            between = np.where(below == above, below, between)
        result[rows] = np.moveaxis(between, 0, -1)
        return result

    result: xr.DataArray = xr.apply_ufunc(
        reduce, numbers, input_core_dims=[[dim]], output_core_dims=[["quartile"]]
    )
    result = result.assign_coords(
        quartile=("quartile", list(QUARTILES), {"units": "per cent"}),
        trials_used=numbers.notnull().sum(dim),
    )
    result.name = values.name
    result.attrs = dict(values.attrs)
    return result


def _lowest(loss: _Array) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Index of the lowest entry along the last axis, and whether any entry is a number.

    ``fmin`` ignores NaN, so that an infinite loss stays higher than a finite one and yet lower than
    none at all; filling NaN with infinity would confuse the two.
    """
    lowest = np.fmin.reduce(loss, axis=-1)
    return np.argmax(loss == lowest[..., None], axis=-1), ~np.isnan(lowest)


def _beyond(accuracy: _Array, level: np.float32, strict: bool) -> npt.NDArray[np.bool_]:
    single = accuracy.astype(np.float32, copy=False)
    return np.greater(single, level) if strict else np.greater_equal(single, level)


def _curve(curves: xr.Dataset, name: str) -> tuple[xr.DataArray, _Array]:
    """The named variable and the labels of its epochs."""
    if not isinstance(curves, xr.Dataset):
        raise TypeError(f"curves must be an xarray.Dataset, got {type(curves).__name__}")
    if name not in curves.data_vars:
        raise ValueError(f"curves must hold the variable {name!r}, got {list(curves.data_vars)}")
    curve = curves[name]
    _need_dim(curve, "epoch", name)
    epochs = np.asarray(curve["epoch"].values)
    if not np.all(np.diff(epochs) > 0):
        raise ValueError("the coordinate epoch of curves must be in ascending order")
    return curve, epochs


def _accuracy(curves: xr.Dataset) -> tuple[xr.DataArray, _Array]:
    """``_curve`` of ``val_accuracy``, checked to hold fractions."""
    accuracy, epochs = _curve(curves, "val_accuracy")
    low = float(np.fmin.reduce(accuracy.values, axis=None))
    high = float(np.fmax.reduce(accuracy.values, axis=None))
    if low < 0.0 or high > 1.0:
        raise ValueError(
            f"val_accuracy must hold fractions between 0 and 1, got values from {low:g} to {high:g}"
        )
    return accuracy, epochs


def _need_dim(array: xr.DataArray, dim: str, name: str) -> None:
    if dim not in array.dims:
        raise ValueError(f"{name} must have a dimension {dim!r}, got {array.dims}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got sizes {dict(array.sizes)}")


def _describe(array: xr.DataArray, name: str, long_name: str, units: str) -> xr.DataArray:
    array.name = name
    array.attrs = {"long_name": long_name, "units": units}
    return array
