"""Several conditions of one trial, trained in step: to watch them learn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from .._checks import positive
from .._machine import chosen_device, matrix_rate
from ..protocols import PRECISIONS, ImagesProtocol
from .conditions import donor_of
from .data import dataset
from .training import Training

__all__ = ["faster_precision", "train_side_by_side"]


def train_side_by_side(
    protocol: ImagesProtocol,
    *,
    budget: float = 3600.0,
    device: str = "auto",
    folder: str | Path | None = None,
    watch: Callable[[xr.Dataset], None] | None = None,
) -> xr.Dataset:
    """Train all conditions epoch by epoch, trial after trial, for as long as the budget holds.

    Another trial is begun only if it is expected to end within the budget, so that conditions are
    always compared at the same trials and epochs. The first is begun in any case; if it does not
    fit, it is ended early, for all conditions after the same epoch.

    Parameters
    ----------
    protocol
        Which experiment; one size.
    budget
        Seconds, more than 0.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    folder
        Data folder (default: $POLARITY_DATA, then the user's cache).
    watch
        Called after every evaluated epoch with the curves so far.

    Returns
    -------
    xarray.Dataset
        ``val_loss`` and ``val_accuracy``, dims (condition, n_train, trial, epoch), as
        :meth:`polarity.results.Store.dataset` gives them; only trials that were begun, and of a
        first one that was ended early only the epochs until then.

    Raises
    ------
    ValueError
        If the protocol has more than one size, or the budget is not a finite number above 0.
    DataNotFound
        If the images or the donor are not to be had.
    """
    positive("budget", budget)
    if len(protocol.sizes) != 1:
        raise ValueError(f"sizes must be one size, got {protocol.sizes}")
    (n,) = protocol.sizes
    began = time.monotonic()
    data, test = (dataset(protocol.dataset, split, folder) for split in ("train", "test"))
    curves = _empty(protocol, n)
    done, evaluated = 0, len(curves.epoch)
    for trial in range(protocol.trials):
        if trial and (time.monotonic() - began) * (trial + 1) / trial > budget:
            break
        trainings = [
            Training(
                protocol, n, trial, condition, data, test,
                donor=donor_of(protocol, condition, folder=folder), device=device,
            )
            for condition in protocol.conditions
        ]  # fmt: skip
        done, so_far = trial + 1, 0
        for epochs in zip(*trainings, strict=True):
            if epochs[0].val_loss is not None:
                so_far += 1
                for condition, epoch in zip(protocol.conditions, epochs, strict=True):
                    at = {"condition": condition, "trial": trial, "epoch": epoch.number}
                    curves.val_loss.loc[at] = epoch.val_loss
                    curves.val_accuracy.loc[at] = epoch.val_accuracy
                if watch is not None:
                    watch(curves.isel(trial=slice(done)))
            if not trial and so_far and time.monotonic() - began > budget:
                # Were the others there, networks would count as trained for all of them.
                evaluated = so_far
                break
    return curves.isel(trial=slice(done), epoch=slice(evaluated))


def faster_precision(device: str = "auto") -> str:
    """Return ``"bf16"`` where the device multiplies bfloat16 clearly faster, else ``"float32"``.

    Measured, not looked up: processors without matrix units emulate bfloat16, many times slower.

    Parameters
    ----------
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Examples
    --------
    >>> faster_precision("cpu") in ("float32", "bf16")
    True
    """
    kind = chosen_device(device).type
    rates = {precision: matrix_rate(kind, precision) for precision in PRECISIONS}
    return "bf16" if rates["bf16"] > 1.6 * rates["float32"] else "float32"


def _empty(protocol: ImagesProtocol, n: int) -> xr.Dataset:
    coords: dict[str, Sequence[object]] = {
        "condition": list(protocol.conditions),
        "n_train": [n],
        "trial": list(range(protocol.trials)),
        "epoch": protocol.evaluated(),
    }
    shape = [len(values) for values in coords.values()]
    nothing = np.full(shape, np.nan, np.float32)
    names = ("val_loss", "val_accuracy")
    return xr.Dataset({name: (tuple(coords), nothing.copy()) for name in names}, coords)
