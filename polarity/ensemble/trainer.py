"""Thousands of small networks as one program: XOR-5D's trainer (sections 2.1 and 5 of the paper).

Two back ends stand under the functions of this module: :mod:`~polarity.ensemble.compiled` on a
processor, :mod:`~polarity.ensemble.batched` on an accelerator.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import joblib
import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike
from tqdm import tqdm

from .._checks import distinct, one_of, whole_number
from ..datasets import xor5d
from ..datasets.xor5d import N_INPUTS
from ..protocols import CONDITIONS, XOR5DProtocol, derived_seed
from . import batched, compiled
from .cell import Cell, Training, check_data
from .start import Float, Templates, Weights, initial_weights, templates

_SLICE = 10  # networks in one task of a cell that is trained by itself

BACKENDS = ("auto", "compiled", "batched")


class Trained(NamedTuple):
    """What a training leaves behind.

    Attributes
    ----------
    curves
        val_loss and val_accuracy, float32, dims (trial, epoch).
    weights
        The networks after the last epoch.
    """

    curves: xr.Dataset  # val_loss, val_accuracy (trial, epoch)
    weights: Weights  # after the last epoch


class _Task(NamedTuple):
    """Networks ``members`` of a cell, to be trained by ``backend`` on ``device``."""

    name: tuple[int, ...]
    cell: Cell
    training: Training
    members: slice
    backend: str
    device: str

    def __call__(self) -> tuple[_Task, np.ndarray, np.ndarray, Weights]:
        if self.backend == "compiled":
            result = compiled.train(self.cell, self.training, self.members)
        else:
            result = batched.train(self.cell, self.training, torch.device(self.device))
        return self, *result


def _resolve(backend: str, device: str) -> tuple[str, str]:
    """Choose back end and device: the accelerator where there is one, else the processor."""
    one_of("backend", backend, BACKENDS)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() and backend != "compiled" else "cpu"
    kind, _, index = str(device).partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdecimal()):
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N, got {device!r}")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count() or "no"
        raise ValueError(
            f"device {device!r} was asked for, but torch sees {found} CUDA device(s) here"
        )
    if backend == "auto":
        backend = "compiled" if kind == "cpu" else "batched"
    if backend == "compiled" and kind != "cpu":
        raise ValueError(f"backend 'compiled' runs on the processor, not on device {device!r}")
    return backend, device


def _run(
    tasks: Iterable[_Task], networks: int, backend: str, n_jobs: int, progress: bool
) -> Iterator[tuple[_Task, np.ndarray, np.ndarray, Weights]]:
    """Run the tasks, on all cores where they are compiled, and yield results as they come."""
    if backend != "compiled":
        n_jobs = 1  # one device, one program at a time
    parallel = joblib.Parallel(
        n_jobs=n_jobs,
        prefer="threads",
        return_as="generator_unordered",
        pre_dispatch="2*n_jobs",
        batch_size=1,  # each task holds its cell: as few in memory as keep the threads busy
    )
    with tqdm(total=networks, unit=" networks", disable=not progress, leave=False) as bar:
        for result in parallel(joblib.delayed(task)() for task in tasks):
            bar.update(len(result[1]))
            yield result


def _tasks_of(
    cell: Cell, training: Training, backend: str, device: str, name: tuple[int, ...] = ()
) -> Iterator[_Task]:
    step = _SLICE if backend == "compiled" else cell.networks
    for first in range(0, cell.networks, step):
        yield _Task(name, cell, training, slice(first, first + step), backend, device)


def _train_cell(
    cell: Cell, training: Training, backend: str, device: str, n_jobs: int, progress: bool
) -> tuple[np.ndarray, np.ndarray, Weights]:
    backend, device = _resolve(backend, device)
    loss = np.empty((cell.networks, training.epochs), np.float32)
    accuracy = np.empty_like(loss)
    weights = Weights(*(np.empty_like(part) for part in cell.weights))
    tasks = _tasks_of(cell, training, backend, device)
    for task, task_loss, task_accuracy, final in _run(
        tasks, cell.networks, backend, n_jobs, progress
    ):
        loss[task.members], accuracy[task.members] = task_loss, task_accuracy
        for whole, part in zip(weights, final, strict=True):
            whole[task.members] = part
    return loss, accuracy, weights


def _dataset(
    loss: np.ndarray, accuracy: np.ndarray, dims: Sequence[str], coords: dict[str, object]
) -> xr.Dataset:
    coords = {**coords, "epoch": np.arange(loss.shape[-1])}
    curves = xr.Dataset(
        {"val_loss": (dims, loss), "val_accuracy": (dims, accuracy)},
        coords={dim: coords.get(dim, np.arange(loss.shape[i])) for i, dim in enumerate(dims)},
    )
    curves["epoch"].attrs["long_name"] = "passes over the training data, counted from 0"
    curves["val_loss"].attrs = {"long_name": "validation loss", "units": "nat"}
    curves["val_accuracy"].attrs = {"long_name": "validation accuracy", "units": "1"}
    return curves


def train_networks(
    x: ArrayLike,
    y: ArrayLike,
    x_val: ArrayLike,
    y_val: ArrayLike,
    weights: Weights,
    templates: Templates | None = None,
    *,
    epochs: int = 100,
    seed: int = 0,
    reset: str = "posRand",
    epsilon: float = 1e-3,
    match: str = "flip",
    lr: float = 0.03,
    batch_size: int = 32,
    batches: str = "own",
    device: str = "auto",
    backend: str = "auto",
    n_jobs: int = -1,
    progress: bool = False,
) -> Trained:
    """Train one network from each of the given starts, keeping the given signs.

    Parameters
    ----------
    x
        Training samples, (n, 5).
    y
        Their labels 0 or 1, (n,).
    x_val
        Validation samples, (m, 5).
    y_val
        Their labels, (m,).
    weights
        Start of each network (first axis: trial).
    templates
        Signs to keep, of the same shapes; 0 is free; None leaves every weight free (fluid).
    epochs
        Passes over the training samples, which are reshuffled for each.
    seed
        Of batch order and posRand draws; trial ``i`` uses stream ``i``.
    reset
        Algorithm 1: what becomes of a weight of the wrong sign, a name of
        :data:`polarity.RESET_RULES`.
    epsilon
        Scale of ``"posRand"`` and ``"posCon"``.
    match
        How networks are matched to their templates before training, ``"flip"`` or ``"reset"``;
        see :class:`~polarity.protocols.XOR5DProtocol`.
    lr
        Learning rate of Adam, on the binary cross-entropy.
    batch_size
        Samples a step.
    batches
        ``"own"``: every trial has a batch order of its own; ``"shared"``: all have that of trial 0,
        as in the released code.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``; auto: CUDA where there is any.
    backend
        ``"compiled"`` on the processor, ``"batched"`` anywhere; auto: what is fastest there.
    n_jobs
        Threads of the compiled back end; -1 for all cores.
    progress
        Show a progress bar.

    Returns
    -------
    Trained
        ``curves``: val_loss and val_accuracy (trial, epoch), after each epoch, counted from 0;
        ``weights`` after the last.

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is out of range.
    """
    data = (*check_data(x, y, "training"), *check_data(x_val, y_val, "validation"))
    training = Training(epochs, batch_size, lr, reset, epsilon, match)
    weights = _check_weights(weights)
    templates = _check_templates(templates, weights)
    seed = whole_number("seed", seed, at_least=0)
    one_of("batches", batches, ("own", "shared"))
    cell = Cell.stack(data, weights, [templates], epochs, seed, batches)
    loss, accuracy, final = _train_cell(cell, training, backend, device, n_jobs, progress)
    return Trained(_dataset(loss, accuracy, ("trial", "epoch"), {}), final)


def _check_kind(name: str, value: object, kind: type) -> None:
    """Raise TypeError unless the value is of a kind."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {kind.__name__}, got {type(value).__name__}")


def _check_weights(weights: Weights) -> Weights:
    """Return the weights as float32 arrays, if their shapes agree and all are finite."""
    _check_kind("weights", weights, Weights)
    with np.errstate(over="ignore"):  # infinity is refused below
        weights = Weights(*(np.asarray(part, dtype=np.float32) for part in weights))
    trials, _, width = (*weights.w1.shape, 0, 0, 0)[:3]
    expected = [(trials, N_INPUTS, width), (trials, width), (trials, width), (trials,)]
    if not trials * width or [part.shape for part in weights] != expected:
        raise ValueError(
            f"weights must have shapes (trials, {N_INPUTS}, width), (trials, width), "
            f"(trials, width), (trials,), none empty; got {[part.shape for part in weights]}"
        )
    if not all(np.isfinite(part).all() for part in weights):
        raise ValueError("weights must be finite in float32")
    return weights


def _check_templates(templates: Templates | None, weights: Weights) -> Templates:
    """Return the templates as int8 arrays, if they fit the weights; None is all free."""
    expected = [weights.w1.shape, weights.w2.shape]
    if templates is None:
        return Templates(*(np.zeros(shape, np.int8) for shape in expected))
    _check_kind("templates", templates, Templates)
    parts = [np.asarray(part) for part in templates]
    if [part.shape for part in parts] != expected:
        raise ValueError(
            f"templates must have shapes {expected}, got {[part.shape for part in parts]}"
        )
    if not all(np.isin(part, (-1, 0, 1)).all() for part in parts):
        raise ValueError("template entries must be -1, 0 or 1")
    return Templates(*(part.astype(np.int8) for part in parts))


def train_xor5d(
    x: ArrayLike,
    y: ArrayLike,
    x_val: ArrayLike,
    y_val: ArrayLike,
    *,
    width: int = 64,
    trials: int = 50,
    epochs: int = 100,
    seed: int = 0,
    conditions: Sequence[str] = CONDITIONS,
    reset: str = "posRand",
    epsilon: float = 1e-3,
    match: str = "flip",
    lr: float = 0.03,
    batch_size: int = 32,
    device: str = "auto",
    backend: str = "auto",
    n_jobs: int = -1,
    progress: bool = False,
) -> xr.Dataset:
    """Train the paper's conditions side by side: same magnitudes, batches and data in all of them.

    Parameters
    ----------
    x
        Training samples, (n, 5).
    y
        Their labels 0 or 1, (n,).
    x_val
        Validation samples, (m, 5).
    y_val
        Their labels, (m,).
    width
        Hidden units.
    trials
        Networks per condition. Trial ``i`` does not depend on how many there are.
    epochs
        Passes over the training samples, which are reshuffled for each.
    seed
        Of weights, batches and resets.
    conditions
        Any of ``frozen_sufficient``, ``frozen_random``, ``fluid_random``.
    reset
        What becomes of a weight of the wrong sign, a name of :data:`polarity.RESET_RULES`.
    epsilon
        Scale of ``"posRand"`` and ``"posCon"``.
    match
        How networks are matched to their templates before training, ``"flip"`` or ``"reset"``.
    lr
        Learning rate of Adam, on the binary cross-entropy.
    batch_size
        Samples a step.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``; auto: CUDA where there is any.
    backend
        ``"compiled"`` on the processor, ``"batched"`` anywhere; auto: what is fastest there.
    n_jobs
        Threads of the compiled back end; -1 for all cores.
    progress
        Show a progress bar.

    Returns
    -------
    xarray.Dataset
        ``val_loss`` (nat) and ``val_accuracy`` (fraction), float32, dims (condition, trial, epoch);
        epoch 0 is the state after the first pass.

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is out of range.

    Examples
    --------
    >>> from polarity.datasets import xor5d
    >>> data = *xor5d(40), *xor5d(200, split="validation")
    >>> curves = train_xor5d(*data, width=8, trials=2, epochs=3)
    >>> dict(curves.sizes)
    {'condition': 3, 'trial': 2, 'epoch': 3}
    """
    names = (conditions,) if isinstance(conditions, str) else conditions
    conditions = distinct("conditions", names)
    data = (*check_data(x, y, "training"), *check_data(x_val, y_val, "validation"))
    training = Training(epochs, batch_size, lr, reset, epsilon, match)
    cell = _cell(data, width, trials, conditions, epochs, seed)
    loss, accuracy, _ = _train_cell(cell, training, backend, device, n_jobs, progress)
    shape = (len(conditions), trials, epochs)
    return _dataset(
        loss.reshape(shape),
        accuracy.reshape(shape),
        ("condition", "trial", "epoch"),
        {"condition": list(conditions)},
    )


def _cell(
    data: tuple[Float, Float, Float, Float],
    width: int,
    trials: int,
    conditions: Sequence[str],
    epochs: int,
    seed: int,
) -> Cell:
    weights = initial_weights(width, len(data[0]), trials, seed)
    return Cell.stack(data, weights, [templates(weights, c) for c in conditions], epochs, seed)


def train_grid(
    protocol: XOR5DProtocol | None = None,
    *,
    device: str = "auto",
    backend: str = "auto",
    n_jobs: int = -1,
    progress: bool = True,
) -> xr.Dataset:
    """Train the whole grid of a protocol: widths x sizes x conditions x trials (Figs 1 and 4).

    The default is the paper's. Every network is the one that :func:`train_xor5d` trains for the
    same width, size, seed and trial.

    Parameters
    ----------
    protocol
        Which grid; by default the paper's, 52,800 networks.
    device
        As in :func:`train_xor5d`.
    backend
        As in :func:`train_xor5d`.
    n_jobs
        Threads of the compiled back end; -1 for all cores.
    progress
        Show a progress bar.

    Returns
    -------
    xarray.Dataset
        val_loss and val_accuracy, float32, dims (width, n_train, condition, trial, epoch).

    Raises
    ------
    ValueError
        If the device or back end cannot be used here.
    """
    protocol = XOR5DProtocol() if protocol is None else protocol
    return _train_grids([protocol], device, backend, n_jobs, progress).isel(draw=0, drop=True)


def train_draws(
    protocol: XOR5DProtocol | None = None,
    draws: int = 20,
    *,
    device: str = "auto",
    backend: str = "auto",
    n_jobs: int = -1,
    progress: bool = True,
) -> xr.Dataset:
    """Train the grid of a protocol on several independent draws of everything that is random.

    Each draw is the protocol with a seed of its own: other training and validation data, initial
    weights, batches and resets. The first has the protocol's; those of the others are derived from
    it, so that protocols of different seeds share no draw. Their spread says how far a result
    depends on the draw; the paper used a single one.

    Parameters
    ----------
    protocol
        Which grid; by default the paper's.
    draws
        How many.
    device
        As in :func:`train_xor5d`.
    backend
        As in :func:`train_xor5d`.
    n_jobs
        Threads of the compiled back end; -1 for all cores.
    progress
        Show a progress bar.

    Returns
    -------
    xarray.Dataset
        As :func:`train_grid`, with a leading dimension ``draw`` whose coordinate is the seed.

    Raises
    ------
    TypeError, ValueError
        If ``draws`` is not a whole number of at least 1, or the device cannot be used here.
    """
    protocol = XOR5DProtocol() if protocol is None else protocol
    draws = whole_number("draws", draws, at_least=1)
    seeds = [protocol.seed, *(derived_seed(protocol.seed, draw) for draw in range(1, draws))]
    protocols = [replace(protocol, seed=seed) for seed in seeds]
    return _train_grids(protocols, device, backend, n_jobs, progress)


def _train_grids(
    protocols: Sequence[XOR5DProtocol], device: str, backend: str, n_jobs: int, progress: bool
) -> xr.Dataset:
    """Train protocols that differ in their seeds only, all cells in one pool."""
    backend, device = _resolve(backend, device)
    p = protocols[0]
    training = Training(p.epochs, p.batch_size, p.lr, p.reset, p.epsilon, p.match)
    # The most expensive cells first, so that no thread is left with one at the end.
    names = sorted(
        product(range(len(protocols)), range(len(p.widths)), range(len(p.sizes))),
        key=lambda name: (-p.sizes[name[2]], -p.widths[name[1]]),
    )

    def tasks() -> Iterator[_Task]:
        for name in names:
            seed, width, n = protocols[name[0]].seed, p.widths[name[1]], p.sizes[name[2]]
            data = (*xor5d(n, seed), *xor5d(p.n_val, seed, split="validation"))
            cell = _cell(data, width, p.trials, p.conditions, p.epochs, seed)
            yield _Task(name, cell, training, slice(None), backend, device)

    inner = (len(p.conditions), p.trials, p.epochs)
    shape = (len(protocols), len(p.widths), len(p.sizes), *inner)
    loss, accuracy = np.empty(shape, np.float32), np.empty(shape, np.float32)
    networks = len(protocols) * p.networks
    for task, task_loss, task_accuracy, _ in _run(tasks(), networks, backend, n_jobs, progress):
        loss[task.name] = task_loss.reshape(inner)
        accuracy[task.name] = task_accuracy.reshape(inner)
    return _dataset(
        loss,
        accuracy,
        ("draw", "width", "n_train", "condition", "trial", "epoch"),
        {
            "draw": [q.seed for q in protocols],
            "width": list(p.widths),
            "n_train": list(p.sizes),
            "condition": list(p.conditions),
        },
    )
