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
from ._machine import chosen_device, matrix_rate
from .networks import ARCHITECTURES, forward_operations
from .protocols import (
    IMAGE_CONDITIONS,
    IMAGE_SIZES,
    IMAGE_TIERS,
    PRECISIONS,
    RESETS,
    ImagesProtocol,
)
from .results import ConflictError, Run, Store

__all__ = ["Cell", "Outcome", "duration", "missing", "sweep"]

Train = Callable[..., Run]
CHANGES = ("sizes", "conditions", "trials", "epochs", "batch_size", "lr", "architecture", "donor",
           "precision", "reset", "epsilon", "n_val", "evaluate_every", "seed")  # fmt: skip
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
    """What a sweep did, and what it left for want of time.

    Attributes
    ----------
    done
        Runs trained and saved.
    left
        Cells not trained.
    seconds
        Time taken.
    elsewhere
        Cells whose runs another sweep saved in the meantime.
    """

    done: int
    left: int
    seconds: float
    elsewhere: int = 0


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
    protocol: ImagesProtocol,
    store: Store,
    identity: Callable[..., dict[str, Any]],
    *,
    folder: Path | None = None,
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
    folder
        Data folder, passed on to ``identity``.
    """
    held = store.keys()
    return [
        cell
        for cell in cells(protocol)
        if Run.key_of(identity(protocol, *cell, folder=folder)) not in held
    ]


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
        self._before: list[float] = []

    @property
    def measured(self) -> bool:
        """Whether any run has been measured."""
        return bool(self._seen or self._before)

    def learn(self, n: int, seconds: float, *, before: bool = False) -> None:
        """Take note of a run of ``n`` training images and what it took.

        Runs from ``before`` this sweep count until it has one of its own: they are from a device of
        the same name, which need not be as fast, or was as busy with other work.
        """
        seen = self._before if before else self._seen
        seen.append(seconds / passes(self._protocol, n))

    def possible(self, n: int, seconds: float) -> bool:
        """Whether the device could do a run's operations in this time."""
        return seconds >= passes(self._protocol, n) * self._least

    def seconds(self, cell: Cell) -> float:
        """Estimate a run's seconds."""
        seen = self._seen or self._before
        each = median(seen) if seen else self._least / SHARE
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

    Several sweeps may save into one folder. What another one has saved is not begun any more; of
    two that train the same cell at the same time, the run saved first is kept (but in the moment
    of saving: then the store names both files, and ``pack --keep`` settles it).

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
        Data folder, passed on to ``identity`` and ``train``.
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
    OSError
        If runs cannot be saved: before the first is trained, where that can be known.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    whole_number("jobs", jobs, at_least=1)
    began = time.monotonic()
    todo = missing(protocol, store, identity, folder=folder)
    if todo:
        store.check_writable()
    costs = costs or Costs(protocol, _rate(device, protocol.precision))
    epochs = progress and jobs == 1  # several bars would write over each other
    bar = tqdm(total=len(todo), desc="Runs", unit="run", disable=not progress)

    waiting = dict.fromkeys(todo)  # in order

    def affordable() -> Iterator[Any]:
        for cell in todo:
            if Run.key_of(identity(protocol, *cell, folder=folder)) in store:
                drop(cell)
                continue
            if time.monotonic() - began + costs.seconds(cell) > budget:
                return
            yield delayed(train)(protocol, *cell, device=device, folder=folder, progress=epochs)

    def drop(cell: Cell) -> None:
        waiting.pop(cell)
        rest = sum(map(costs.seconds, list(waiting))) / jobs  # joblib asks in threads
        bar.set_postfix_str(f"{clock(rest)} for the rest", refresh=False)
        bar.update()

    done = 0
    with bar:
        # A task is made when a worker is free for it: only then is its cost set against the budget.
        runs = Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch=jobs)
        for run in runs(affordable()):
            if run.key not in store:
                store.add(run)
                done += 1
            n, trial, condition = (run.identity[name] for name in ("n_train", "trial", "condition"))
            costs.learn(int(n), float(run.info.get("seconds", 0.0)))
            drop(Cell(int(n), int(trial), str(condition)))
    elsewhere = len(todo) - len(waiting) - done
    return Outcome(done, len(waiting), time.monotonic() - began, elsewhere)


def clock(seconds: float) -> str:
    """Return a time for people: ``"45 s"``, ``"12 min"``, ``"3.4 h"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _rate(device: str, precision: str) -> float:
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


def _alike(store: Store, protocol: ImagesProtocol) -> list[Run]:
    """Runs of the store whose seconds say what runs of the protocol take."""
    try:
        return store.runs(**{name: getattr(protocol, name) for name in COST})
    except ConflictError as error:  # whoever reads these results must settle it; a sweep goes on
        print(f"{error}. Until then, costs are guessed", file=sys.stderr)
        return []


def _pack(store: Store, keep: Sequence[str]) -> int:
    if not store.folder.is_dir():
        print(f"there is no folder {store.folder}", file=sys.stderr)
        return 1
    try:
        packed = store.pack(keep)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(store.keys())} runs in {packed or store.folder}")
    return 0


def _budget(text: str) -> float:
    try:
        return duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``images``; where the tiers differ, ``--tier`` says by what."""
    add, usual = parser.add_argument, ImagesProtocol()
    small, tiny = ImagesProtocol.reduced(), usual.smoke()
    names = ", ".join(IMAGE_CONDITIONS)
    add("--dataset", choices=tuple(IMAGE_SIZES), default=usual.dataset, help="default: %(default)s")
    add(
        "--tier",
        choices=IMAGE_TIERS,
        default=usual.tier,
        help=f"paper (default): {_sums_up(usual)}; reduced: {_sums_up(small)}; smoke: the paper's "
        f"network in short runs, with one size, {tiny.trials} trials, {tiny.epochs} epochs and "
        f"{tiny.n_val} test images at most",
    )
    add("--trials", type=int, help="networks per size and condition; default: the tier's")
    add("--sizes", type=int, nargs="+", metavar="N",
        help="numbers of training images; default: the tier's")  # fmt: skip
    add("--conditions", nargs="+", choices=IMAGE_CONDITIONS, metavar="CONDITION",
        help=f"which of {names}; default: all whose donor is here")  # fmt: skip
    add("--epochs", type=int, help=f"passes over the images; default: {usual.epochs}")
    add("--batch-size", type=int,
        help=f"images a step; default: {usual.batch_size}")  # fmt: skip
    add("--lr", type=float, help=f"Adam's learning rate; default: {usual.lr}")
    add("--donor", help="whose polarity: a name of `polarity.donors.DONORS`, or a template file; "
        "default: the tier's")  # fmt: skip
    add("--architecture", choices=tuple(ARCHITECTURES), help="default: the donor's")
    add("--precision", choices=PRECISIONS, help=f"default: {usual.precision}")
    add("--reset", choices=RESETS, help=f"rule of Freeze-SGD; default: {usual.reset}")
    add("--epsilon", type=float, help=f"scale of that rule; default: {usual.epsilon}")
    add("--n-val", type=int, help="test images of an evaluation; default: the tier's")
    add("--evaluate-every", type=int, metavar="EPOCHS",
        help="epochs between evaluations; default: the tier's")  # fmt: skip
    add("--seed", type=int,
        help=f"of starts, batches, dropout and posRand; default: {usual.seed}")  # fmt: skip
    add("--device", choices=("auto", "cpu", "cuda"), default="auto",
        help="default: cuda where there is one, else cpu")  # fmt: skip
    add("--jobs", type=int, default=1, help="runs at a time; default: %(default)s")
    add("--budget", type=_budget, default=float("inf"),
        help="stop within: 90s, 9m, 1.5h; default: no limit")  # fmt: skip
    add("--data", type=Path, help="data folder; default: $POLARITY_DATA, then the user's cache")
    add("--out", type=Path, default=Path("book/results"),
        help="the store's folder; default: %(default)s")  # fmt: skip
    add("--dry-run", action="store_true", help="say what is missing and what it will cost")


def _sums_up(protocol: ImagesProtocol) -> str:
    """What a tier is, for the help."""
    size = ARCHITECTURES[protocol.architecture].image_size
    every = protocol.evaluate_every
    return (
        f"{size} px, donor {protocol.donor}, {protocol.trials} trials, {protocol.n_val} test "
        f"images after every {'epoch' if every == 1 else f'{every} epochs'}"
    )


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
    _options(images)
    pack = commands.add_parser("pack", help="merge a store's shards into one, before committing it")
    pack.add_argument("--out", type=Path, default=Path("book/results"), help="the store's folder")
    pack.add_argument(
        "--keep", nargs="+", default=(), metavar="SHARD",
        help="shards whose results are kept where others have different ones",
    )  # fmt: skip
    pack.set_defaults(pack=True)
    options = parser.parse_args(arguments)
    if "pack" in options:
        return _pack(Store(options.out), [Path(name).name for name in options.keep])

    from .images import device_name, identity, possible, train

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        whole_number("jobs", options.jobs, at_least=1)
        protocol = _protocol(options)
        if not options.conditions:
            protocol = possible(protocol, folder=options.data)
        store = Store(options.out)
        rate = _rate(options.device, protocol.precision)
        costs = Costs(protocol, rate)

        here = device_name(options.device, options.jobs)
        for run in _alike(store, protocol):
            if run.info.get("device") != here or "seconds" not in run.info:
                continue
            n, seconds = int(run.identity["n_train"]), float(run.info["seconds"])
            # Processors that share a maker's name may differ in their instructions.
            if costs.possible(n, seconds):
                costs.learn(n, seconds, before=True)
        todo = missing(protocol, store, identity, folder=options.data)
        total = sum(1 for _ in cells(protocol))
        cost = sum(costs.seconds(cell) for cell in todo) / options.jobs
        guess = f"a guess, no such run has been measured on {here}"
        basis = "measured" if costs.measured else guess
        found = f"{len(todo)} of {total} runs are missing in {store.folder}"
        print(f"{found}: {clock(cost)} ({basis})" if todo else found)
        if todo and protocol.precision == "bf16":
            slower = _rate(options.device, "float32") / rate
            if slower > 1:
                print(f"precision bf16 is {slower:.3g} times slower than float32 on {here}")
        if options.dry_run:
            for n in sorted(protocol.sizes):
                count = sum(cell.n == n for cell in todo)
                each = clock(costs.seconds(Cell(n, 0, "")))
                print(f"  n = {n}: {count} runs of {each}" if count else f"  n = {n}: none")
            return 0
        outcome = sweep(
            protocol,
            store,
            train=train,
            identity=identity,
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
    others = f", {outcome.elsewhere} saved by another sweep" if outcome.elsewhere else ""
    print(f"{outcome.done} runs in {clock(outcome.seconds)}{others}, {outcome.left} left")
    return 0


if __name__ == "__main__":
    sys.exit(main())
