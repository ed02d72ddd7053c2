"""From executed notebooks to HTML: stage the sources, run Jupyter Book, check what came out."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import yaml

from polarity._files import sha256_of
from polarity.analysis.evidence import EVIDENCE

from . import finish, listings, pictures
from .launching import with_launch_buttons
from .sources import BookError, PageSource

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["STAGED", "render", "stage"]

STAGED = ".staged.json"
"""File in the staged book: page -> SHA-256 of what it was staged from."""
TITLE = re.compile(r"\s*(?:\([\w-]+\)=\s*\n)?# [^\n]*\n?")  # with a label before it
# Of MathJax, what `mathjax3_config` in _config.yml loads and what that draws on.
MATHJAX = (
    Path("startup.js"),
    Path("core.js"),
    Path("input/tex.js"),
    Path("output/chtml.js"),
    Path("output/chtml/fonts/tex.js"),
    Path("a11y/assistive-mml.js"),
)
FONTS = Path("output/chtml/fonts/woff-v2")


def stage(
    root: Path,
    source: Path,
    pages: Sequence[PageSource],
    executed: Mapping[str, Path],
    outdated: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Fill ``source`` with what Jupyter Book needs, and nothing else.

    Parameters
    ----------
    root
        The clone.
    source
        The folder to fill; emptied first.
    pages
        All pages. Those without code are copied as they are.
    executed
        Name -> executed notebook, of the pages with code.
    outdated
        Name -> when it was executed and what has changed since, of those whose results are older
        than what makes them. They say so below their title.
    """
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    shutil.copy(root / "_toc.yml", source / "_toc.yml")
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    (source / "_config.yml").write_text(
        yaml.safe_dump(with_launch_buttons(config), allow_unicode=True, sort_keys=False),
        encoding="utf-8",
    )
    texts = {page.path for page in pages}
    # Style sheets, bibliography, pictures: whatever lies beside the pages.
    for folder in {page.path.parent for page in pages}:
        for path in sorted(folder.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if path.is_file() and path not in texts and path.suffix != ".ipynb" and not hidden:
                destination = source / path.relative_to(root)
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, destination)
    static = source / "book" / "_static"
    _stage_mathjax(static / "mathjax")
    listings.write_listings(
        root, static, [file for evidence in EVIDENCE.values() for file in evidence.files]
    )
    origins = {}
    for page in pages:
        destination = source / page.docname
        destination.parent.mkdir(parents=True, exist_ok=True)
        origin = executed[page.name] if page.has_code else page.path
        origins[page.docname] = sha256_of(origin)
        if page.has_code:
            staged = destination.with_suffix(".ipynb")
            _stage_notebook(origin, staged, source, outdated.get(page.name))
        else:
            shutil.copy(origin, destination.with_suffix(".md"))
    (source / STAGED).write_text(json.dumps(origins, indent=1), encoding="utf-8")


def _stage_notebook(executed: Path, target: Path, source: Path, since: str | None) -> None:
    """Copy an executed page, with its figures as readers get them."""
    import nbformat

    notebook = nbformat.read(executed, as_version=4)
    prefix = "../" * (len(target.relative_to(source).parts) - 1) + "_static"
    pictures.present(notebook, source / "book" / "_static", prefix)
    if since:
        _note(notebook, since)
    nbformat.write(notebook, target)


def _note(notebook: NotebookNode, since: str) -> None:
    """Write below the title of a staged notebook that its results are outdated."""
    import nbformat

    words = re.sub(r"([\\`*_{}\[\]<>$&#~^|])", r"\\\1", since)  # names of files are no Markdown
    again = "A build without `--only` computes it again."
    note = f":::{{warning}}\nThis page was computed on {words}. {again}\n:::\n"
    first = notebook.cells[0] if notebook.cells else None
    title = first and first.cell_type == "markdown" and TITLE.match(first.source)
    if first and title:
        first.source = f"{title[0]}\n{note}\n{first.source[title.end() :]}"
    else:
        notebook.cells.insert(0, nbformat.v4.new_markdown_cell(note))


def _stage_mathjax(target: Path) -> None:
    """Copy MathJax with its fonts from the package that ships it: the book works offline."""
    try:
        mathjax = files("mathjax") / "static" / "mathjax"
    except ModuleNotFoundError:
        raise BookError("MathJax is missing: pip install django-static-mathjax") from None
    (target / FONTS).mkdir(parents=True)
    (target / "LICENSE").write_bytes((mathjax / "LICENSE").read_bytes())
    scripts = [mathjax / "es5" / script for script in MATHJAX]
    for path, name in [
        *zip(scripts, MATHJAX, strict=True),
        *((font, FONTS / font.name) for font in (mathjax / "es5" / str(FONTS)).iterdir()),
    ]:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(path.read_bytes())


def render(source: Path, target: Path, docnames: Sequence[str]) -> Path:
    """Run Jupyter Book with warnings as errors, and put the result in place of the last one.

    Parameters
    ----------
    source
        The staged sources.
    target
        Folder for the HTML. It is replaced in one step, and only by a book that passed.
    docnames
        Pages that the book must have.

    Returns
    -------
    Path
        The ``index.html`` of the book.

    Raises
    ------
    BookError
        If Jupyter Book warns or fails, or if a page is missing from its output.
    """
    work = target.parent / f".{target.name}-work"
    log = target.parent / "jupyter-book.log"
    shutil.rmtree(work, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
    # --all: an incremental build keeps stale numbers that were glued from another page.
    command += [str(source), "--path-output", str(work), "-W", "-n", "--keep-going", "--all"]
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | {"NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"},
        )
    if done.returncode != 0:
        raise BookError(
            f"Jupyter Book stopped with status {done.returncode}:\n\n{_complaints(log)}\n\n"
            f"The whole log: {log}"
        )
    html = work / "_build" / "html"
    wanted = ["index", *docnames]
    missing = [name for name in wanted if not (html / f"{name}.html").is_file()]
    if missing:
        raise BookError(f"Jupyter Book left out {', '.join(missing)}; the whole log: {log}")
    finish.finish(html, title=_title(source))
    old = target.parent / f".{target.name}-old"
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        os.replace(target, old)
    os.replace(html, target)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(work, ignore_errors=True)
    return target / "index.html"


def _title(source: Path) -> str:
    import yaml

    settings = yaml.safe_load((source / "_config.yml").read_text(encoding="utf-8"))
    return str(settings.get("title", ""))


def _complaints(log: Path) -> str:
    lines = log.read_text(encoding="utf-8").splitlines()
    marks = ("WARNING:", "ERROR:", "CRITICAL:", "Error:", "Exception")
    found = [line for line in lines if any(mark in line for mark in marks)]
    return "\n".join(found or lines[-40:])
