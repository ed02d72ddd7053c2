"""The book as one PDF, printed by a browser: ``make pdf``.

Chromium prints each page of the rendered book, with the style that the pages have for paper; pypdf
joins them, with the table of contents as bookmarks. LaTeX would need another copy of every table.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polarity._files import replacing

from . import environment
from .build import locked
from .sources import BookError

__all__ = ["CHROMIUM", "browser", "main", "write_pdf"]

CHROMIUM = "POLARITY_CHROMIUM"
"""Environment variable that names the browser."""
NAMES = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)  # fmt: skip
TIMEOUT = 120  # seconds a page
# Formulas are set by a script: the browser waits for it, in its own time.
SWITCHES = (
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-pdf-header-footer",
    "--virtual-time-budget=20000",
    "--run-all-compositor-stages-before-draw",
)


@dataclass(frozen=True)
class Chapter:
    """A page of the book in the order of its contents: its title, file, and depth."""

    title: str
    path: Path | None  # None: the caption of a part
    depth: int


def browser() -> str:
    """Return the path of a Chromium.

    Raises
    ------
    BookError
        If there is none; the message says how to get one.
    """
    named = os.environ.get(CHROMIUM)
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        missing = f"${CHROMIUM} names {named!r}, which is no program" if named else "no Chromium"
        raise BookError(
            f"{missing}: install Chromium or Chrome (Debian, Ubuntu: apt install chromium), or "
            f"name one in ${CHROMIUM}"
        )
    return found


def chapters(root: Path, html: Path) -> Iterator[Chapter]:
    """Yield the parts and pages of a rendered book, as ``_toc.yml`` orders them.

    Raises
    ------
    BookError
        If a page has not been rendered.
    """
    from sphinx_external_toc.parsing import parse_toc_yaml

    site = parse_toc_yaml(root / "_toc.yml")

    def page(docname: str, depth: int) -> Chapter:
        path = html / f"{docname}.html"
        if not path.is_file():
            raise BookError(f"{path} is missing: run `make book` first")
        text = path.read_text(encoding="utf-8")
        title = text.partition("<title>")[2].partition("</title>")[0]
        return Chapter(_plain(title.partition(" &#8212; ")[0]), path, depth)

    def below(docname: str, depth: int) -> Iterator[Chapter]:
        for tree in site[docname].subtrees:
            inner = depth
            if tree.caption:
                yield Chapter(str(tree.caption), None, depth)
                inner += 1
            for child in tree.files():
                yield page(str(child), inner)
                yield from below(str(child), inner + 1)

    yield page(site.root.docname, 0)
    yield from below(site.root.docname, 0)


def _plain(text: str) -> str:
    import html

    return " ".join(html.unescape(text).split())


def write_pdf(root: Path, html: Path, target: Path, *, progress: bool = False) -> Path:
    """Print a rendered book into one PDF.

    Parameters
    ----------
    root
        The clone, for the order of the pages.
    html
        The rendered book: the folder that holds ``index.html``.
    target
        The file to write; it is replaced only by a finished one.
    progress
        Show a progress bar.

    Returns
    -------
    Path
        ``target``.

    Raises
    ------
    BookError
        If there is no browser, a page is missing, or the browser fails on one.
    """
    from pypdf import PdfReader, PdfWriter
    from tqdm import tqdm

    program = browser()
    wanted = list(chapters(root, html))
    writer = PdfWriter()
    parents: list[Any] = []  # the bookmark at each depth
    waiting: list[Chapter] = []  # captions: they point at the first page of their part
    with tempfile.TemporaryDirectory() as work:
        for chapter in tqdm(wanted, unit="page", desc="Printing", disable=not progress):
            waiting.append(chapter)
            if chapter.path is None:
                continue
            printed = _print(program, chapter.path, Path(work))
            start = len(writer.pages)
            for sheet in PdfReader(printed).pages:
                writer.add_page(sheet)
            for entry in waiting:
                del parents[entry.depth :]
                parent = parents[-1] if parents else None
                parents.append(
                    writer.add_outline_item(title=entry.title, page_number=start, parent=parent)
                )
            waiting.clear()
    writer.add_metadata({"/Title": wanted[0].title})
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as file:
        writer.write(file)
    return target


def _print(program: str, page: Path, work: Path) -> Path:
    target = work / f"{page.stem}.pdf"
    command = [program, *SWITCHES, f"--user-data-dir={work / 'profile'}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--no-sandbox")  # it refuses to work for root
    command += [f"--print-to-pdf={target}", page.resolve().as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise BookError(f"{page}: {program} did not print it within {TIMEOUT} s") from None
    if done.returncode or not target.is_file():
        raise BookError(f"{page}: {program} did not print it:\n{done.stderr[-2000:]}")
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m polarity.publishing.pdf",
        description="Print the book that `make book` has rendered into one PDF.",
    )
    parser.add_argument("--out", type=Path, help="default: _build/polarity.pdf")
    options = parser.parse_args(arguments)
    root = environment.repository_root()
    if root is None:
        parser.error("the package is not in a clone")
    target = options.out or root / "_build" / "polarity.pdf"
    build = root / "_build"
    try:
        build.mkdir(exist_ok=True)
        with locked(build / ".lock"):  # no build may take the pages away meanwhile
            write_pdf(root, build / "html", target, progress=sys.stderr.isatty())
    except (BookError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; no PDF was written.", file=sys.stderr)
        return 130
    print(f"The book: {target} ({target.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
