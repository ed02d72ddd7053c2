"""Build the book: execute what changed, keep what did not, render the whole.

``python -m polarity.publishing.build`` is what ``make book`` runs. Executed notebooks are kept in
``_build/executed/TIER/NAME-KEY.ipynb``; see :mod:`polarity.publishing.sources` for the key. The
build may be stopped at any moment, by Ctrl-C or by a power cut: every page that was finished is
kept, and nothing half-written is ever taken for a result.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from . import environment, execution, rendering
from .page import METADATA, TIERS, kept
from .sources import DATA, BookError, PageSource, changes, ingredients, key_of, pages_of

__all__ = ["build_book", "main"]

KEEP = 3  # results of a page that are kept, so that going back to the last commit is free


@dataclass
class Outcome:
    """What became of the pages."""

    executed: dict[str, Path] = field(default_factory=dict)
    outdated: dict[str, str] = field(default_factory=dict)  # since when, and what changed
    failed: dict[str, str] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)


def build_book(
    root: Path,
    *,
    tier: str = "live",
    only: Sequence[str] = (),
    force: bool = False,
    render: bool = True,
    device: str = "cpu",
    interactive: bool = False,
) -> Path | None:
    """Execute the pages that changed and render the book.

    Parameters
    ----------
    root
        The clone.
    tier
        ``"live"``, or ``"smoke"``; each has its own folders, so neither overwrites the other's
        book.
    only
        Names of pages. Others are executed only if these draw on them; of the rest, the last result
        is shown, with a note where something has changed since.
    force
        Execute even what did not change.
    render
        Render the book in the end.
    device
        Part of the key.
    interactive
        Show progress bars.

    Returns
    -------
    Path or None
        The book's ``index.html``. None if it was not rendered: not wanted, or, with ``only``, other
        pages have no result yet.

    Raises
    ------
    BookError
        If a page fails (the others are executed and kept), or the book cannot be rendered.
    """
    pages = pages_of(root)
    wanted = _closure(pages, only)
    build = root / "_build"
    place = build if tier == "live" else build / tier
    place.mkdir(parents=True, exist_ok=True)
    with locked(place / ".lock"):
        outcome = Outcome()
        try:
            _execute_pages(
                pages,
                wanted,
                root,
                outcome,
                tier=tier,
                force=force,
                device=device,
                interactive=interactive,
            )
        except KeyboardInterrupt:  # perhaps because a page failed: say how
            if outcome.failed:
                print(_failures(outcome), file=sys.stderr)
            raise
        if outcome.failed:
            raise BookError(_failures(outcome))
        if not render:
            return None
        if outcome.waiting:
            print(f"The book was not rendered: {', '.join(outcome.waiting)} must be executed first")
            return None
        print("Jupyter Book: rendering, warnings are errors")
        rendering.stage(root, place / "source", pages, outcome.executed, outcome.outdated)
        return rendering.render(place / "source", place / "html", [page.docname for page in pages])


def _execute_pages(
    pages: Sequence[PageSource],
    wanted: set[str],
    root: Path,
    outcome: Outcome,
    *,
    tier: str,
    force: bool,
    device: str,
    interactive: bool,
) -> None:
    from tqdm import tqdm

    folder = root / "_build" / "executed" / tier
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".*.partial.*"):  # of a build that was killed
        leftover.unlink()
    execution.check_kernel()
    bar = tqdm(total=len(wanted), desc="Pages", unit="page", disable=not interactive, position=0)
    with bar:
        for page in pages:
            if not page.has_code:
                continue
            if page.name not in wanted:
                if kept(folder, page.name):
                    _take_as_it_is(page, root, folder, outcome, tier=tier, device=device)
                else:
                    outcome.waiting.append(page.name)
                if page.name in outcome.outdated:
                    bar.write(f"  {page.name:<12} outdated: {outcome.outdated[page.name]}")
                continue
            if unmet := [name for name in page.after if name not in outcome.executed]:
                outcome.failed[page.name] = (
                    f"{page.name}: not executed, because it draws on {', '.join(unmet)}"
                )
                continue
            now = partial(
                ingredients, page, root, tier=tier, device=device, executed=outcome.executed
            )
            found = now()
            target = folder / _name(page, found)
            if target.is_file() and not force:
                bar.write(f"  {page.name:<12} kept: nothing changed since {_when(target)}")
                os.utime(target)  # the one in use is the latest
            else:
                why = "as asked" if force else _reason(folder, page.name, found)
                if not interactive:
                    bar.write(f"  {page.name:<12} executing: {why}")
                    sys.stdout.flush()
                bar.set_postfix_str(page.name)
                started = time.monotonic()
                try:
                    target = execution.execute(
                        page,
                        folder,
                        tier=tier,
                        root=root,
                        settle=partial(_settled, page, found, now, tier),
                        executed=[outcome.executed[name] for name in page.after],
                        interactive=interactive,
                    )
                except execution.PageError as error:
                    outcome.failed[page.name] = str(error)
                    bar.write(f"  {page.name:<12} FAILED")
                    bar.update()
                    continue
                seconds = time.monotonic() - started
                bar.write(f"  {page.name:<12} executed in {_duration(seconds)}: {why}")
            outcome.executed[page.name] = target
            _prune(folder, page.name)
            bar.update()
        bar.set_postfix_str("")


def _take_as_it_is(
    page: PageSource, root: Path, folder: Path, outcome: Outcome, *, tier: str, device: str
) -> None:
    """Take the last result of a page that is not to be executed; note it if it is outdated."""
    previous = kept(folder, page.name)[0]
    outcome.executed[page.name] = previous
    if any(name not in outcome.executed for name in page.after):
        return  # that page waits or failed, so nothing is rendered
    found = ingredients(page, root, tier=tier, device=device, executed=outcome.executed)
    current = folder / _name(page, found)
    if current.is_file():
        outcome.executed[page.name] = current
        os.utime(current)  # the one in use is the latest
    else:
        before = _metadata(previous)["ingredients"]
        outcome.outdated[page.name] = f"{_when(previous)}, before {changes(before, found)}"


def _closure(pages: Sequence[PageSource], only: Sequence[str]) -> set[str]:
    """Return the pages to execute: those asked for and all they draw on."""
    by_name = {page.name: page for page in pages}
    unknown = [name for name in only if name not in by_name]
    if unknown:
        raise BookError(
            f"--only {unknown[0]}: there is no such page; pages are {', '.join(by_name)}"
        )
    todo = list(only or by_name)
    wanted: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in wanted:
            wanted.add(name)
            todo += by_name[name].after
    return {name for name in wanted if by_name[name].has_code}


def _settled(
    page: PageSource, before: dict[str, str], now: Callable[[], dict[str, str]], tier: str
) -> tuple[str, dict[str, Any]]:
    """Return the name of a page's result and the facts kept with it; refuse one of two minds.

    A page may fetch data itself. Anything else that changed while it was executed leaves open what
    its result was made of.
    """
    found = now()
    before |= {name: found[name] for name in found if name.startswith(DATA)}
    if found != before:
        raise execution.PageError(
            f"{page.name}: {changes(before, found)} while the page was executed: build it again"
        )
    executed = datetime.now(UTC).isoformat(timespec="seconds")
    return _name(page, found), {"ingredients": found, "tier": tier, "executed": executed}


def _name(page: PageSource, found: dict[str, str]) -> str:
    return f"{page.name}-{key_of(found)}.ipynb"


def _metadata(path: Path) -> dict[str, Any]:
    import nbformat

    return dict(nbformat.read(path, as_version=4).metadata.get(METADATA, {}))


def _when(path: Path) -> str:
    return str(_metadata(path)["executed"])[:16].replace("T", " ") + " UTC"


def _reason(folder: Path, name: str, found: dict[str, str]) -> str:
    previous = kept(folder, name)
    if not previous:
        return "first time"
    return changes(_metadata(previous[0])["ingredients"], found)


def _prune(folder: Path, name: str) -> None:
    for path in kept(folder, name)[KEEP:]:
        path.unlink()


def _failures(outcome: Outcome) -> str:
    rule = "-" * 79
    parts = [f"{rule}\n{message}" for message in outcome.failed.values()]
    good = f"; kept: {', '.join(outcome.executed)}" if outcome.executed else ""
    parts.append(f"{rule}\nPages that failed: {', '.join(outcome.failed)}{good}")
    return "\n".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one build at a time into a folder; the system frees the lock of a killed process."""
    import fcntl

    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise BookError(
                f"another build is at work in {path.parent} (process {file.read().strip()})"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def device_here() -> str:
    """Return ``"cpu"``, or the accelerator that pages will find."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status.

    Returns
    -------
    int
        0, or 1 if a page or the rendering failed, or 130 if interrupted.
    """
    parser = argparse.ArgumentParser(
        prog="python -m polarity.publishing.build",
        description="Execute the pages that changed, then render the book with warnings as errors.",
    )
    parser.add_argument(
        "--tier",
        choices=TIERS,
        default="live",
        help="live: the book (minutes); smoke: every page in seconds, to show that it works",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="execute this page and those it draws on; may be given several times",
    )
    parser.add_argument("--force", action="store_true", help="execute even what did not change")
    parser.add_argument(
        "--no-render", action="store_true", help="execute pages, do not render the book"
    )
    parser.add_argument("--root", type=Path, help="the clone (default: where the package is)")
    options = parser.parse_args(arguments)
    root = options.root or environment.repository_root()
    if root is None:
        parser.error("the package is not in a clone: pass --root")
    root = root.resolve()
    environment.enter(root)
    signal.signal(signal.SIGTERM, _interrupt)
    started = time.monotonic()
    what = "The book" if options.tier == "live" else f"The book at tier {options.tier}"
    print(f"{what}: pages that did not change are kept")
    try:
        index = build_book(
            root,
            tier=options.tier,
            only=options.only,
            force=options.force,
            render=not options.no_render,
            device=device_here(),
            interactive=sys.stderr.isatty(),
        )
    except (BookError, execution.PageError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Finished pages are kept: run it again to go on.", file=sys.stderr)
        return 130
    if index is not None:
        print(f"{what}: {index.as_uri()}")
    print(f"Done in {_duration(time.monotonic() - started)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
