"""Transfer on XOR-5D: donors learn from many samples, recipients from few.

A trial is a world of its own. It draws its data, its fresh weights, its batches and its resets, and
all its recipients share them, whatever they inherit and from whom. It also draws the donor's data
and the donor's fresh weights, from other streams; the donors of its different tasks share those.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import product
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import xarray as xr

from .._checks import one_of, open_unit_interval, whole_number
from ..datasets import xor5d
from .cell import Cell, Training
from .inheritance import DONOR_FREE, TRANSFER_CONDITIONS, recipient, split_condition
from .start import Float, Templates, Weights, batch_order, initial_weights, reset_keys
from .trainer import _dataset, _resolve, _run, _Task

Place = tuple[int, ...]  # of a cell in the result
_ROLES = {"recipient": 0, "donor": 1, "labels": 2}


class DonorTask(NamedTuple):
    """What a donor learns."""

    informative: tuple[int, ...]
    """The coordinates of which the label is the parity."""
    shuffled: bool = False
    """Whether the labels are dealt out anew, so that there is nothing to learn."""


TASKS: Mapping[str, DonorTask] = MappingProxyType(
    {
        "same_pair": DonorTask((0, 1)),
        "other_pair": DonorTask((2, 3)),
        "three_way_parity": DonorTask((0, 1, 2)),
        "shuffled_labels": DonorTask((0, 1), shuffled=True),
    }
)


@dataclass(frozen=True)
class TransferProtocol:
    """Transfer on XOR-5D; donors and recipients are trained as in the paper's section 2.1.

    Attributes
    ----------
    width
        Hidden units, of donors and recipients.
    donor_samples
        Samples a donor is trained on; rounded down to what its task allows (a multiple of 8 for
        three-way parity).
    sizes
        Samples the recipients are trained on.
    conditions
        ``frozen_`` or ``fluid_`` and a key of :data:`STARTS`.
    trials
        Worlds; in each, one donor a task, and one recipient for each task, size and condition.
    training
        Epochs, batches, rate and reset rule, for donors and recipients.
    n_val
        Samples of a validation set.
    threshold
        Validation accuracy that counts as learned.
    seed
        Of everything that is random.
    """

    width: int = 64
    donor_samples: int = 500
    sizes: tuple[int, ...] = (8, 20, 32, 40, 52, 60, 72, 80, 92, 100)
    conditions: tuple[str, ...] = TRANSFER_CONDITIONS
    trials: int = 50
    training: Training = field(default_factory=Training)
    n_val: int = 1000
    threshold: float = 0.90
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every field; tuples may be given as lists.

        Raises
        ------
        TypeError, ValueError
            Naming the field, its value and what is allowed.
        """
        for name in ("sizes", "conditions"):
            values = getattr(self, name)
            if isinstance(values, str) or not hasattr(values, "__iter__"):
                raise TypeError(f"{name} must be a sequence, got {values!r}")
            values = tuple(values)
            object.__setattr__(self, name, values)
            if not values or len(set(values)) != len(values):
                raise ValueError(f"{name} must be distinct values, at least one; got {values!r}")
        for condition in self.conditions:
            split_condition(condition)
        for n in self.sizes:
            if whole_number("n", n, at_least=4) % 4:
                raise ValueError(f"n must be a multiple of 4 in a protocol's sizes, got {n}")
        for name, least in (("width", 1), ("trials", 1), ("donor_samples", 8), ("n_val", 8)):
            whole_number(name, getattr(self, name), at_least=least)
        if self.n_val % 8:  # three-way parity has eight orthants
            raise ValueError(f"n_val must be a multiple of 8, got {self.n_val}")
        if not isinstance(self.training, Training):
            raise TypeError(f"training must be a Training, got {self.training!r}")
        open_unit_interval("threshold", self.threshold)
        whole_number("seed", self.seed, at_least=0)

    def smoke(self) -> TransferProtocol:
        """The same experiment in a second or two: few sizes, trials and epochs."""
        ordered = sorted(self.sizes)
        return replace(
            self,
            sizes=tuple(sorted({ordered[len(ordered) // 2], ordered[-1]})),
            trials=min(self.trials, 4),
            training=replace(self.training, epochs=min(self.training.epochs, 12)),
            n_val=min(self.n_val, 200),
        )

    def describe(self) -> dict[str, object]:
        """The fields by name, for a provenance record."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


class Donors(NamedTuple):
    """The donors of one task; the first axis of all weights is the trial."""

    start: Weights
    weights: Weights
    """After the last epoch: what is inherited."""
    curves: xr.Dataset
    """val_loss and val_accuracy (trial, epoch) on the donor's own task."""


def world_seed(seed: int, role: str, trial: int) -> int:
    """Seed of one role (``"recipient"``, ``"donor"``, ``"labels"``) in one trial.

    Raises
    ------
    ValueError
        If there is no such role.
    """
    one_of("role", role, _ROLES)
    sequence = np.random.SeedSequence(seed, spawn_key=(_ROLES[role], trial))
    return int(sequence.generate_state(1, np.uint64)[0])


def donor_data(
    task: str, protocol: TransferProtocol, trial: int
) -> tuple[Float, Float, Float, Float]:
    """Training and validation data of one donor: x, y, x_val, y_val.

    Shuffled labels are those of training; the validation set keeps the true ones.

    Raises
    ------
    ValueError
        If there is no such task.
    """
    informative, shuffled = TASKS[one_of("task", task, TASKS)]
    seed = world_seed(protocol.seed, "donor", trial)
    n = protocol.donor_samples - protocol.donor_samples % 2 ** len(informative)
    x, y = xor5d(n, seed, informative=informative)
    if shuffled:
        y = np.random.default_rng(world_seed(protocol.seed, "labels", trial)).permutation(y)
    return x, y, *xor5d(protocol.n_val, seed, split="validation", informative=informative)


def recipient_data(
    n: int, protocol: TransferProtocol, trial: int
) -> tuple[Float, Float, Float, Float]:
    """Training and validation data of one trial's recipients: x, y, x_val, y_val."""
    seed = world_seed(protocol.seed, "recipient", trial)
    return *xor5d(n, seed), *xor5d(protocol.n_val, seed, split="validation")


def train_donors(
    protocol: TransferProtocol | None = None,
    tasks: Sequence[str] = tuple(TASKS),
    *,
    device: str = "cpu",
    backend: str = "auto",
    n_jobs: int = -1,
    progress: bool = True,
) -> dict[str, Donors]:
    """Train one fluid donor for each task and trial.

    The donors of a trial start from the same weights, whatever their task.

    Parameters
    ----------
    protocol
        The default is :class:`TransferProtocol`'s.
    tasks
        Keys of :data:`TASKS`.
    device, backend, n_jobs, progress
        As in :func:`~polarity.ensemble.trainer.train_networks`. Every trial has data of its own,
        which leaves little to batch: a processor is the better place.

    Returns
    -------
    dict
        Task -> donors, in the order of ``tasks``.

    Raises
    ------
    ValueError
        If a task is unknown or named twice, or the device cannot be used here.
    """
    protocol = TransferProtocol() if protocol is None else protocol
    tasks = [one_of("task", task, TASKS) for task in tasks]
    if not tasks or len(set(tasks)) < len(tasks):
        raise ValueError(f"tasks must be distinct, at least one; got {tasks}")
    trials = range(protocol.trials)
    seeds = [world_seed(protocol.seed, "donor", trial) for trial in trials]
    fresh = [
        initial_weights(protocol.width, protocol.donor_samples, 1, seed=seed) for seed in seeds
    ]

    def cells() -> Iterator[tuple[Place, Cell]]:
        for place in product(range(len(tasks)), trials):
            task, trial = tasks[place[0]], place[1]
            fluid = recipient("fluid_random", fresh[trial], fresh[trial])
            data = donor_data(task, protocol, trial)
            yield place, _cell(protocol, data, [fluid], seeds[trial])

    shape = (len(tasks), protocol.trials)
    loss = np.empty((*shape, protocol.training.epochs), np.float32)
    accuracy = np.empty_like(loss)
    weights = Weights(*(np.empty((*shape, *part.shape[1:]), np.float32) for part in fresh[0]))
    for place, one_loss, one_accuracy, final in _train(
        cells(), protocol, math.prod(shape), device, backend, n_jobs, progress
    ):
        loss[place], accuracy[place] = one_loss[0], one_accuracy[0]
        for whole, part in zip(weights, final, strict=True):
            whole[place] = part[0]
    return {
        task: Donors(
            Weights(*map(np.concatenate, zip(*fresh, strict=True))),
            Weights(*(part[i] for part in weights)),
            _dataset(loss[i], accuracy[i], ("trial", "epoch"), {}),
        )
        for i, task in enumerate(tasks)
    }


def train_recipients(
    donors: Mapping[str, Donors],
    protocol: TransferProtocol | None = None,
    *,
    device: str = "cpu",
    backend: str = "auto",
    n_jobs: int = -1,
    progress: bool = True,
) -> xr.Dataset:
    """Train the recipients of the donors: every condition, size and trial of a protocol.

    Parameters
    ----------
    donors
        What :func:`train_donors` returned, for the protocol's width and at least its trials;
        the recipients of trial ``i`` inherit from donor ``i``.
    protocol, device, backend, n_jobs, progress
        As in :func:`train_donors`.

    Returns
    -------
    xarray.Dataset
        val_loss and val_accuracy on the recipients' task, float32, dims
        (donor, n_train, condition, trial, epoch). Conditions that take nothing from a donor are
        trained once and stand under every donor.

    Raises
    ------
    ValueError
        If there are no donors, their width or number does not fit the protocol, their weights are
        not finite, or the device cannot be used here.
    """
    protocol = TransferProtocol() if protocol is None else protocol
    _check_donors(donors, protocol)
    tasks = list(donors)
    # The networks of a cell: each condition's, for every donor or once.
    networks = [
        (condition, task)
        for condition in protocol.conditions
        for task in (tasks[:1] if _donor_free(condition) else tasks)
    ]

    def cells() -> Iterator[tuple[Place, Cell]]:
        # The largest first, so that no thread is left with one at the end.
        by_size = sorted(range(len(protocol.sizes)), key=lambda i: -protocol.sizes[i])
        for place in product(by_size, range(protocol.trials)):
            n, trial = protocol.sizes[place[0]], place[1]
            seed = world_seed(protocol.seed, "recipient", trial)
            fresh = initial_weights(protocol.width, n, 1, seed)
            given = {
                task: Weights(*(part[trial : trial + 1] for part in donors[task].weights))
                for task in tasks
            }
            starts = [recipient(condition, fresh, given[task]) for condition, task in networks]
            yield place, _cell(protocol, recipient_data(n, protocol, trial), starts, seed)

    places = (len(protocol.sizes), protocol.trials)
    shape = (len(tasks), places[0], len(protocol.conditions), places[1], protocol.training.epochs)
    loss, accuracy = np.empty(shape, np.float32), np.empty(shape, np.float32)
    for (size, trial), some_loss, some_accuracy, _ in _train(
        cells(), protocol, math.prod(places) * len(networks), device, backend, n_jobs, progress
    ):
        for row, (condition, task) in enumerate(networks):
            whose = slice(None) if _donor_free(condition) else tasks.index(task)
            place = (whose, size, protocol.conditions.index(condition), trial)
            loss[place], accuracy[place] = some_loss[row], some_accuracy[row]
    return _dataset(
        loss,
        accuracy,
        ("donor", "n_train", "condition", "trial", "epoch"),
        {"donor": tasks, "n_train": list(protocol.sizes), "condition": list(protocol.conditions)},
    )


def _donor_free(condition: str) -> bool:
    return split_condition(condition)[1] in DONOR_FREE


def _check_donors(donors: Mapping[str, Donors], protocol: TransferProtocol) -> None:
    if not donors:
        raise ValueError("donors must hold at least one task, got none")
    for task, each in donors.items():
        trials, _, width = each.weights.w1.shape
        if trials < protocol.trials or width != protocol.width:
            raise ValueError(
                f"donors of {task} must be at least {protocol.trials}, of width {protocol.width}; "
                f"got {trials} of width {width}"
            )
        if not all(np.isfinite(part).all() for part in each.weights):
            raise ValueError(f"donors of {task} must have finite weights")


def _cell(
    protocol: TransferProtocol,
    data: tuple[Float, Float, Float, Float],
    starts: Sequence[tuple[Weights, Templates]],
    seed: int,
) -> Cell:
    """Networks of one world: they share data, batches and the draws of posRand."""
    weights, signs = zip(*starts, strict=True)
    n = len(data[0])
    return Cell(
        *data,
        weights=Weights(*map(np.concatenate, zip(*weights, strict=True))),
        templates=Templates(*map(np.concatenate, zip(*signs, strict=True))),
        trial=np.zeros(len(starts), dtype=np.intp),
        order=batch_order(n, protocol.training.epochs, 1, seed),
        keys=reset_keys(protocol.width, n, 1, seed),
    )


def _train(
    cells: Iterator[tuple[Place, Cell]],
    protocol: TransferProtocol,
    networks: int,
    device: str,
    backend: str,
    n_jobs: int,
    progress: bool,
) -> Iterator[tuple[Place, Float, Float, Weights]]:
    """Train cells on all cores; yield the place of each with its losses, accuracies and weights."""
    backend, device = _resolve(backend, device)
    tasks = (
        _Task(place, cell, protocol.training, slice(None), backend, device) for place, cell in cells
    )
    for task, loss, accuracy, weights in _run(tasks, networks, backend, n_jobs, progress):
        yield task.name, loss, accuracy, weights
