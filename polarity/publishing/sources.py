"""The pages of the book, in the order they must be executed, and the key of each result.

A page's result is kept under a key made of everything that could change it: its text, the package,
its parameters, the lock file, the Python version, the device, files that it reads, the executed
notebooks that it draws on, and whether the data sets and donors' weights that it can use are there.
Of the package, only the modules that never touch a notebook, those that drive the build and render
its results, are left out.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polarity._files import sha256_of
from polarity.datasets.catalogue import DATASETS
from polarity.datasets.folder import Origin, offline

from .notebooks import declared_parameters, read_notebook

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["DATA", "BookError", "PageSource", "changes", "ingredients", "key_of", "pages_of"]

DATA = "the data "
"""Begin of the names of ingredients that are data sets, or donors' weights."""
CANNOT_CHANGE_A_RESULT = (
    "archive.py",
    "build.py",
    "comparison.html",
    "comparison.py",
    "finish.py",
    "launching.py",
    "listings.py",
    "lock.py",
    "pdf.py",
    "pictures.py",
    "rendering.py",
)


class BookError(Exception):
    """The book cannot be built as it stands; the message says what to change."""


@dataclass(frozen=True)
class PageSource:
    """A page before it is executed.

    Attributes
    ----------
    docname
        As in ``_toc.yml``: ``"book/xor5d"``.
    path
        Of the text notebook.
    notebook
        Its content.
    after
        Names of pages to execute first.
    inputs
        Files that it reads, besides the package.
    data
        Data sets that it uses if they are there, and donors whose weights it so uses.
    """

    docname: str
    path: Path
    notebook: NotebookNode
    after: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()
    data: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the name without folder and ending: ``"xor5d"``."""
        return self.path.stem

    @property
    def has_code(self) -> bool:
        """Say whether there is anything to execute; a page of prose alone is copied."""
        return any(cell.cell_type == "code" for cell in self.notebook.cells)

    def parameters(self, tier: str) -> dict[str, object]:
        """Return what to inject: ``tier`` where it is not the page's default."""
        declared = declared_parameters(self.notebook)
        return {"tier": tier} if declared.get("tier", tier) != tier else {}


def pages_of(root: Path) -> list[PageSource]:
    """Read every page that ``_toc.yml`` names, in an order that respects ``after``.

    Raises
    ------
    BookError
        If pages are missing (all are listed), two share a name, one has an unusable front matter
        or parameters cell, or they wait for one another.
    """
    docnames = _docnames(root / "_toc.yml")
    missing = [f"{name}.md" for name in docnames if not (root / f"{name}.md").is_file()]
    if missing:
        raise BookError(f"_toc.yml names pages that do not exist: {', '.join(missing)}")
    pages = {}
    for docname in docnames:
        page = _read(root, docname)
        if page.name in pages:
            raise BookError(f"two pages are named {page.name}: {page.docname} and another")
        pages[page.name] = page
    for page in pages.values():
        for name in page.after:
            if name not in pages:
                raise BookError(
                    f"{page.path}: front matter asks for {name!r} first; pages are "
                    f"{', '.join(pages)}"
                )
    try:
        order = TopologicalSorter({name: page.after for name, page in pages.items()}).static_order()
        return [pages[name] for name in order]
    except CycleError as error:
        raise BookError(f"pages wait for one another: {' -> '.join(error.args[1])}") from None


def _docnames(toc: Path) -> list[str]:
    from sphinx_external_toc.parsing import MalformedError, parse_toc_yaml

    try:
        site = parse_toc_yaml(toc)
    except FileNotFoundError:
        raise BookError(f"there is no {toc}") from None
    except MalformedError as error:
        raise BookError(f"{toc}: {error}") from None

    def walk(docname: str) -> list[str]:
        return [docname, *(n for child in site[docname].child_files() for n in walk(str(child)))]

    return walk(site.root.docname)


def _read(root: Path, docname: str) -> PageSource:
    path = root / f"{docname}.md"
    try:
        notebook = read_notebook(path)
    except ValueError as error:
        raise BookError(str(error)) from None
    ours: Any = notebook.metadata.get("polarity", {})
    fields = ("after", "inputs", "data")
    unknown = sorted(set(ours) - set(fields)) if isinstance(ours, Mapping) else ["polarity"]
    if unknown:
        raise BookError(
            f"{path}: `polarity:` in the front matter may hold after, inputs and data, each a "
            f"list; got {', '.join(unknown)}"
        )
    lists = {}
    for field in fields:
        lists[field] = ours.get(field, [])
        if not isinstance(lists[field], list):
            raise BookError(f"{path}: polarity: {field} must be a list, got {lists[field]!r}")
    files: list[Path] = []
    for pattern in lists["inputs"]:
        matching = sorted(found for found in root.glob(pattern) if found.is_file())
        if not matching:
            raise BookError(f"{path}: polarity: inputs: no file matches {pattern!r}")
        files += matching
    if lost := [name for name in lists["data"] if name not in _origins()]:
        raise BookError(
            f"{path}: polarity: data: must be of {', '.join(_origins())}; got {lost[0]!r}"
        )
    return PageSource(
        docname, path, notebook, tuple(lists["after"]), tuple(files), tuple(lists["data"])
    )


def _origins() -> dict[str, Origin]:
    """Data sets, and the weights of donors."""
    from polarity.donors import DONORS

    weights = {name: source.weights or source.origin for name, source in DONORS.items()}
    return {**DATASETS, **weights}


def ingredients(
    page: PageSource,
    root: Path,
    *,
    tier: str,
    device: str,
    executed: Mapping[str, Path],
) -> dict[str, str]:
    """Return everything that could change a page's result, by a name a person understands.

    Parameters
    ----------
    page
        The page.
    root
        The clone.
    tier
        ``"live"`` or ``"smoke"``.
    device
        ``"cpu"``, or the accelerator's name.
    executed
        Executed notebooks of the pages in ``page.after``.

    Returns
    -------
    dict
        name -> digest or value.
    """
    found = {str(page.path.relative_to(root)): _digest(page.path)}
    found |= _package()
    for path in page.inputs:
        found[str(path.relative_to(root))] = _digest(path)
    for name in page.after:
        found[f"the results of {name}"] = _digest(executed[name])
    for name in page.data:
        there = _origins()[name].look(None)
        nowhere = "nowhere, and no downloads" if offline() else "nowhere"
        found[f"{DATA}{name}"] = there.kind if there else nowhere
    found["constraints.txt"] = _digest(root / "constraints.txt")
    found["the parameters"] = json.dumps(page.parameters(tier), sort_keys=True)
    found["the Python version"] = platform.python_version()
    found["the device"] = device
    return found


def _package() -> dict[str, str]:
    import polarity

    folder = Path(polarity.__file__).parent
    return {
        str(path.relative_to(folder.parent)): _digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and "__pycache__" not in path.parts
        and not path.name.startswith(".")
        and path not in {folder / "publishing" / name for name in CANNOT_CHANGE_A_RESULT}
    }


def _digest(path: Path) -> str:
    return sha256_of(path)[:16]


def key_of(found: Mapping[str, str]) -> str:
    """Return the key of a set of ingredients: 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(dict(found), sort_keys=True).encode()).hexdigest()[:16]


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Say which ingredients changed, at most three of them by name.

    Examples
    --------
    >>> changes({"book/a.md": "1", "b": "2"}, {"book/a.md": "9", "b": "2"})
    'book/a.md changed'
    """
    names = [name for name in {**now, **before} if before.get(name) != now.get(name)]
    if len(names) > 3:
        return f"{', '.join(names[:2])} and {len(names) - 2} more changed"
    return f"{' and '.join(names)} changed"
