"""Measure the trainer beside the alternatives, in one run: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .contestants import contestants
from .files import template_files
from .grid import measure_grid
from .images import image_steps
from .measure import load, machine
from .race import STEPS, Result, race
from .task import Task

SIZES = (60, 500)
PARTS = ("race", "grid", "images", "files")
RESULTS = Path("benchmarks") / "results"  # below the current directory


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Train the same XOR-5D networks (5-64-1, 50 trials, 3 conditions, 100 epochs) "
        "by this package's trainer, its batched form, PyTorch one by one, and JAX; then the whole "
        "grid once, in a fresh process with nothing compiled; then a training step of AlexNet with "
        "its reset; then AlexNet's template as a file. Prints medians and quartiles.",
        epilog="Other work on the machine disturbs the seconds more than the ratios, because the "
        "contestants take turns.",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=PARTS,
        default=PARTS,
        metavar="PART",
        help=f"measure these alone, of {', '.join(PARTS)} (default: all)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="repetitions (default: 5)")
    parser.add_argument(
        "--sample", type=int, default=1, help="trials per condition of the one-by-one loop"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a minute: 20 epochs, two rounds, a small grid"
    )
    parser.add_argument(
        "--save",
        metavar="NAME",
        help="write the numbers to benchmarks/results/NAME.json as well",
    )
    chosen = parser.parse_args(argv)
    for name in ("rounds", "sample"):
        if getattr(chosen, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(chosen, name)}")
    if chosen.save is not None and Path(chosen.save).name != chosen.save:
        parser.error(f"--save takes a name, not a path; got {chosen.save!r}")
    return chosen


def table(task: Task, results: Sequence[Result]) -> str:
    """The results of one task as aligned text."""
    ours = results[0]
    rows = [("", "seconds (quartiles)", "times ours (quartiles)", "preparation", "differs by")]
    for result in results:
        first = result is ours
        rows.append(
            (
                result.contestant.name,
                str(result.seconds),
                "1" if first else str(result.ratio),
                f"{result.preparation:.1f} s",
                "" if first else f"{result.difference:.0e}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    title = (
        f"n = {task.n}: {3 * task.trials} networks 5-{task.width}-1, {task.epochs} epochs, "
        f"{ours.seconds.n} rounds"
    )
    return "\n".join([title, "=" * len(lines[0]), lines[0], "-" * len(lines[0]), *lines[1:]])


def record(task: Task, results: Sequence[Result]) -> dict[str, Any]:
    """The results of one task as plain data."""
    return {
        "n": task.n,
        "width": task.width,
        "networks": 3 * task.trials,
        "epochs": task.epochs,
        "contestants": [
            {
                "name": result.contestant.name,
                "remark": result.contestant.remark,
                "seconds": result.seconds.to_dict(),
                "ratio": result.ratio.to_dict(),
                "preparation_seconds": result.preparation,
                "loss_difference": result.difference,
            }
            for result in results
        ],
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and, if asked, write."""
    chosen = arguments(argv)
    bar = tqdm(bar_format="{desc}", leave=False, file=sys.stderr, disable=None)
    report = bar.set_description_str
    field = contestants(chosen.sample)
    found: dict[str, Any] = {"machine": machine(), "load_before": load(), "tasks": []}
    here = found["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in here["versions"].items())
    print(f"{here['processor']}, {here['cores']} cores, {here['system']}")
    print(f"Python {here['python']}, {versions}\n")
    for n in SIZES if "race" in chosen.only else ():
        task = Task(n)
        if chosen.quick:
            task = task.smaller(epochs=20)
        results = race(
            field, task, min(chosen.rounds, 2) if chosen.quick else chosen.rounds, report
        )
        bar.clear()
        print(table(task, results), end="\n\n")
        found["tasks"].append(record(task, results))
    if "grid" in chosen.only:
        report("the whole grid, in a fresh process")
        found["grid"] = grid = measure_grid(chosen.quick)
        bar.clear()
        print(
            f"Grid of {grid['networks']:,} networks in a fresh process, once: "
            f"{grid['seconds']:.1f} s with compilation "
            f"({grid['seconds_of_process']:.1f} s with Python's start and imports), "
            f"at most {grid['peak_bytes'] / 2**20:,.0f} MiB of memory\n"
        )
    for part, what, measure in (
        ("images", "a training step of AlexNet", image_steps),
        ("files", "template files", template_files),
    ):
        if part in chosen.only:
            report(what)
            measured = measure(chosen.rounds, chosen.quick)
            found[part] = [one.to_dict() for one in measured]
            bar.clear()
            for one in measured:
                print("\n".join(one.lines), end="\n\n")
    bar.close()
    found["load_after"] = load()
    if "race" in chosen.only:
        for contestant in field:
            print(f"{contestant.name}: {contestant.remark}.")
        print("preparation: compilation or first call, once, not counted in the seconds.")
        print(
            "differs by: largest difference in validation loss from ours over whole epochs, of "
            f"{STEPS} steps together at most (posCon, 2 trials of each condition)."
        )
    if found["load_before"] is not None:
        print(
            f"Load of the machine: {found['load_before']:.1f} before the run, "
            f"{found['load_after']:.1f} after it."
        )
    if chosen.save:
        RESULTS.mkdir(parents=True, exist_ok=True)
        path = RESULTS / f"{chosen.save}.json"
        path.write_text(json.dumps(found, indent=1) + "\n")
        print(f"Written to {path}")


if __name__ == "__main__":
    main()
