"""Train what a results store does not hold yet: ``python -m polarity.sweep images --help``.

Cells are trained in the order that makes a figure soonest: all conditions of a trial before the
next trial, small training sets first, so that a sweep that is cut short leaves whole comparisons.
Every run is saved as soon as it is over. The same command goes on where the last one stopped, on
this machine or another, and leaves out whatever any shard in the folder holds.

Runs go through :class:`joblib.Parallel`: inside ``joblib.parallel_config(backend="dask")`` they are
trained by a cluster, without another line.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any, NamedTuple

from ._checks import whole_number
from ._machine import matrix_rate
from .networks import ARCHITECTURES, forward_operations
from .protocols import IMAGE_CONDITIONS, IMAGE_SIZES, PRECISIONS, RESETS, ImagesProtocol
from .results import Run, Store

__all__ = ["Cell", "Outcome", "duration", "missing", "sweep"]

Train = Callable[..., Run]
CHANGES = ("sizes", "conditions", "trials", "epochs", "batch_size", "lr", "architecture", "donor",
           "precision", "reset", "n_val", "evaluate_every", "seed")  # fmt: skip
COST = ("architecture", "precision", "epochs", "batch_size", "n_val", "evaluate_every")
UNITS = {"s": 1, "m": 60, "h": 3600}
SHARE = 0.5  # of the device's matrix rate that a run is guessed to reach, until one is measured


class Cell(NamedTuple):
    """One run to train.

    Attributes
    ----------
    n
        Number of training images.
    trial
        Which of the networks.
    condition
        One of :data:`~polarity.protocols.IMAGE_CONDITIONS`.
    """

    n: int
    trial: int
    condition: str


@dataclass(frozen=True)
class Outcome:
    """What a sweep did: runs that it trained, and cells that it left for want of time.

    Attributes
    ----------
    done
        Runs trained.
    left
        Cells not trained.
    seconds
        Time taken.
    """

    done: int
    left: int
    seconds: float


def duration(text: str) -> float:
    """Return the seconds of ``"90s"``, ``"9m"`` or ``"1.5h"``.

    Parameters
    ----------
    text
        A number, and ``s``, ``m`` or ``h``.

    Raises
    ------
    ValueError
        If it is none of these, or not more than 0.

    Examples
    --------
    >>> duration("9m")
    540.0
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    seconds = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not seconds:
        raise ValueError(f"budget must be a time as 90s, 9m or 1.5h, more than 0; got {text!r}")
    return seconds


def cells(protocol: ImagesProtocol) -> Iterator[Cell]:
    """Yield a protocol's cells, in the order of a sweep."""
    for trial in range(protocol.trials):
        for n in sorted(protocol.sizes):
            for condition in protocol.conditions:
                yield Cell(n, trial, condition)


def missing(
    protocol: ImagesProtocol, store: Store, identity: Callable[..., dict[str, Any]]
) -> list[Cell]:
    """Return the cells that the store does not hold, in the order of a sweep.

    Parameters
    ----------
    protocol
        Which experiment.
    store
        What is there.
    identity
        :func:`polarity.images.identity`, or the like.
    """
    held = store.keys()
    return [cell for cell in cells(protocol) if Run.key_of(identity(protocol, *cell)) not in held]


def passes(protocol: ImagesProtocol, n: int) -> int:
    """Return how many forward passes of one image a run takes; a training step counts as three."""
    return 3 * n * protocol.epochs + protocol.n_val * len(protocol.evaluated())


class Costs:
    """What a run will take, from what runs took.

    Parameters
    ----------
    protocol
        The runs' settings.
    rate
        Operations a second of a matrix product, the device's best: for the first guess.
    """

    def __init__(self, protocol: ImagesProtocol, rate: float) -> None:
        self._protocol = protocol
        self._least = forward_operations(protocol.architecture) / rate
        self._seen: list[float] = []

    @property
    def measured(self) -> bool:
        """Whether any run has been measured."""
        return bool(self._seen)

    def learn(self, n: int, seconds: float) -> None:
        """Take note of a run of ``n`` training images and what it took."""
        self._seen.append(seconds / passes(self._protocol, n))

    def possible(self, n: int, seconds: float) -> bool:
        """Whether the device could do a run's operations in this time."""
        return seconds >= passes(self._protocol, n) * self._least

    def seconds(self, cell: Cell) -> float:
        """Estimate a run's seconds."""
        each = median(self._seen) if self._seen else self._least / SHARE
        return passes(self._protocol, cell.n) * each


def sweep(
    protocol: ImagesProtocol,
    store: Store,
    *,
    train: Train,
    identity: Callable[..., dict[str, Any]],
    budget: float = float("inf"),
    jobs: int = 1,
    device: str = "auto",
    folder: Path | None = None,
    progress: bool = True,
    costs: Costs | None = None,
) -> Outcome:
    """Train missing cells until none is left or the budget would be exceeded.

    Parameters
    ----------
    protocol
        Which experiment.
    store
        Where runs are saved, each as soon as it is over.
    train
        :func:`polarity.images.train`, or the like.
    identity
        :func:`polarity.images.identity`, or the like.
    budget
        Seconds. No run is begun that is not expected to end within them.
    jobs
        Runs at a time, on this machine or on the cluster that joblib has been given.
    device
        Passed on to ``train``.
    folder
        Data folder, passed on to ``train``.
    progress
        Show a progress bar, and the epochs of the run where runs are trained one at a time.
    costs
        Estimates of a run's seconds; by default they begin with a guess.

    Returns
    -------
    Outcome
        Runs trained, and cells left.

    Raises
    ------
    TypeError, ValueError
        If ``jobs`` is no whole number >= 1; and what ``train`` raises.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    whole_number("jobs", jobs, at_least=1)
    began = time.monotonic()
    todo = missing(protocol, store, identity)
    costs = costs or Costs(protocol, _rate(device, protocol.precision))
    epochs = progress and jobs == 1  # several bars would write over each other
    bar = tqdm(total=len(todo), desc="Runs", unit="run", disable=not progress)

    def affordable() -> Iterator[Any]:
        for cell in todo:
            if time.monotonic() - began + costs.seconds(cell) > budget:
                return
            yield delayed(train)(protocol, *cell, device=device, folder=folder, progress=epochs)

    done = 0
    with bar:
        # A task is made when a worker is free for it: only then is its cost set against the budget.
        runs = Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch=jobs)
        for run in runs(affordable()):
            store.add(run)
            done += 1
            n = int(run.identity["n_train"])
            costs.learn(n, float(run.info.get("seconds", 0.0)))
            rest = sum(costs.seconds(cell) for cell in todo[done:]) / jobs
            bar.set_postfix_str(f"{clock(rest)} for the rest", refresh=False)
            bar.update()
    return Outcome(done, len(todo) - done, time.monotonic() - began)


def clock(seconds: float) -> str:
    """Return a time for people: ``"45 s"``, ``"12 min"``, ``"3.4 h"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _rate(device: str, precision: str) -> float:
    from .images.training import chosen_device

    return matrix_rate(chosen_device(device).type, precision)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _protocol(options: argparse.Namespace) -> ImagesProtocol:
    changes: Mapping[str, Any] = {
        name: value for name in CHANGES if (value := getattr(options, name)) is not None
    }
    if options.donor:
        from .donors import donor

        its = donor(options.donor, folder=options.data).architecture
        changes = {"architecture": its, **changes}
        if changes["architecture"] != its:
            raise ValueError(f"architecture must be {its}, the donor's; got {options.architecture}")
    if options.tier == "reduced":
        return ImagesProtocol.reduced(options.dataset, **changes)
    paper = ImagesProtocol(options.dataset, **changes)
    return paper.smoke() if options.tier == "smoke" else paper


def _pack(store: Store) -> int:
    try:
        packed = store.pack()
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(store.keys())} runs in {packed or store.folder}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status.

    Returns
    -------
    int
        0; 1 if an input is wrong; 130 if interrupted.
    """
    parser = argparse.ArgumentParser(
        prog="python -m polarity.sweep", description="Train what a results store does not hold yet."
    )
    commands = parser.add_subparsers(required=True, metavar="EXPERIMENT")
    images = commands.add_parser("images", help="AlexNet on images, sections 3 and 4 of the paper")
    add = images.add_argument
    add("--dataset", choices=tuple(IMAGE_SIZES), default="fashion_mnist")
    add("--tier", choices=("paper", "reduced", "smoke"), default="paper")
    add("--trials", type=int, help="networks per size and condition")
    add("--sizes", type=int, nargs="+", metavar="N", help="numbers of training images")
    add("--conditions", nargs="+", choices=IMAGE_CONDITIONS, metavar="CONDITION")
    add("--epochs", type=int)
    add("--batch-size", type=int, help="images a step; the paper's 1000 is one step an epoch")
    add("--lr", type=float, help="Adam's learning rate")
    add("--donor", help="whose polarity: a name of `polarity.donors.DONORS`, or a template file")
    add("--architecture", choices=tuple(ARCHITECTURES), help="default: the donor's")
    add("--precision", choices=PRECISIONS)
    add("--reset", choices=RESETS)
    add("--n-val", type=int, help="test images of an evaluation")
    add("--evaluate-every", type=int, metavar="EPOCHS", help="epochs between evaluations")
    add("--seed", type=int, help="of starts, batches, dropout and posRand; default: 0")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--jobs", type=int, default=1, help="runs at a time")
    add("--budget", type=duration, default=float("inf"), help="stop within: 90s, 9m, 1.5h")
    add("--data", type=Path, help="data folder (default: $POLARITY_DATA, then the user's cache)")
    add("--out", type=Path, default=Path("book/results"), help="the store's folder")
    add("--dry-run", action="store_true", help="say what is missing and what it will cost")
    pack = commands.add_parser("pack", help="merge a store's shards into one, before committing it")
    pack.add_argument("--out", type=Path, default=Path("book/results"), help="the store's folder")
    pack.set_defaults(pack=True)
    options = parser.parse_args(arguments)
    if "pack" in options:
        return _pack(Store(options.out))

    from .images import device_name, identity, train

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        protocol = _protocol(options)
        store = Store(options.out)
        rate = _rate(options.device, protocol.precision)
        costs = Costs(protocol, rate)

        def who(protocol: ImagesProtocol, n: int, trial: int, condition: str) -> dict[str, Any]:
            return identity(protocol, n, trial, condition, folder=options.data)

        here = device_name(options.device)
        for run in store.runs(**{name: getattr(protocol, name) for name in COST}):
            if run.info.get("device") != here or "seconds" not in run.info:
                continue
            n, seconds = int(run.identity["n_train"]), float(run.info["seconds"])
            # Processors that share a maker's name may differ in their instructions.
            if costs.possible(n, seconds):
                costs.learn(n, seconds)
        todo = missing(protocol, store, who)
        total = sum(1 for _ in cells(protocol))
        cost = sum(costs.seconds(cell) for cell in todo) / options.jobs
        guess = f"a guess, no such run has been measured on {here}"
        basis = "measured" if costs.measured else guess
        print(f"{len(todo)} of {total} runs are missing in {store.folder}: {clock(cost)} ({basis})")
        if todo and protocol.precision == "bf16":
            slower = _rate(options.device, "float32") / rate
            if slower > 1:
                print(f"precision bf16 is {slower:.3g} times slower than float32 on {here}")
        if options.dry_run:
            for n in sorted(protocol.sizes):
                count = sum(cell.n == n for cell in todo)
                each = clock(costs.seconds(Cell(n, 0, "")))
                print(f"  n = {n}: {count} runs of {each}")
            return 0
        outcome = sweep(
            protocol,
            store,
            train=train,
            identity=who,
            budget=options.budget,
            jobs=options.jobs,
            device=options.device,
            folder=options.data,
            costs=costs,
        )
    except (ValueError, TypeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Finished runs are saved: run it again to go on.", file=sys.stderr)
        return 130
    print(f"{outcome.done} runs in {clock(outcome.seconds)}, {outcome.left} left")
    return 0


if __name__ == "__main__":
    sys.exit(main())
