"""A race: agreement first, then rounds in which every contestant runs once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .contestants import Contestant
from .measure import Spread, seconds
from .task import Curves, Task

STEPS = 20  # compared at most, in whole epochs: later, rounding may grow
TOLERANCE = 5e-5  # in the loss; one step of Adam changes it a hundred times as much


@dataclass(frozen=True)
class Result:
    """What one contestant took for one task.

    Attributes
    ----------
    preparation
        Seconds to prepare (compilation), once.
    seconds, ratio
        Of the whole task, and as multiples of the first contestant's in the same round.
    difference
        Largest difference in validation loss from the first contestant, over whole epochs of up to
        ``STEPS`` steps together.
    """

    contestant: Contestant
    preparation: float
    seconds: Spread
    ratio: Spread
    difference: float


def agreement(contestants: Sequence[Contestant], task: Task) -> list[float]:
    """Largest difference of each contestant's losses from the first's, over the first steps.

    Checked with ``posCon``, because the loop draws ``posRand`` from a generator of its own.

    Raises
    ------
    RuntimeError
        If a contestant trains something else.
    """
    per_epoch = -(-task.n // task.training.batch_size)
    short = task.smaller(trials=2, epochs=max(1, STEPS // per_epoch), reset="posCon")
    curves: list[Curves] = [contestant.prepare(short)() for contestant in contestants]
    differences = [float(np.abs(loss - curves[0][0]).max()) for loss, _ in curves]
    for contestant, difference in zip(contestants, differences, strict=True):
        if not difference < TOLERANCE:
            raise RuntimeError(
                f"{contestant.name} trains other networks than {contestants[0].name} at "
                f"n = {task.n}: losses differ by {difference:.2g}, allowed is {TOLERANCE:g}"
            )
    return differences


def race(
    contestants: Sequence[Contestant], task: Task, rounds: int, report: Callable[[str], object]
) -> list[Result]:
    """Let all contestants train ``task``, ``rounds`` times, in turn."""
    report(f"n = {task.n}: do all train the same networks?")
    differences = agreement(contestants, task)
    runs, preparations, scales = [], [], []
    for contestant in contestants:
        report(f"n = {task.n}: preparing {contestant.name}")
        share = task.smaller(trials=min(contestant.sample or task.trials, task.trials))
        start = time.perf_counter()
        runs.append(contestant.prepare(share))
        preparations.append(time.perf_counter() - start)
        scales.append(task.trials / share.trials / contestant.processes)
    times = np.empty((rounds, len(runs)))
    for i in range(rounds):
        report(f"n = {task.n}: round {i + 1} of {rounds}")
        for j, (run_one, scale) in enumerate(zip(runs, scales, strict=True)):
            times[i, j] = scale * seconds(run_one)
    return [
        Result(
            contestant,
            preparations[j],
            Spread.of(times[:, j]),
            Spread.of(times[:, j] / times[:, 0]),
            differences[j],
        )
        for j, contestant in enumerate(contestants)
    ]
