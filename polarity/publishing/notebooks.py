"""Text notebooks for papermill, and the check of the parameters that it injects.

``papermill jt://book/xor5d.md out.ipynb -p trials 10`` reads the MyST Markdown notebook through
:class:`JupytextIO`, which the entry point ``papermill.io`` registers for the scheme ``jt://``.

Papermill only warns about a parameter that the notebook does not have, and takes a value of any
type. Here both are errors. The check needs no help from papermill: it injects its values as a cell
of assignments that begins with ``# Parameters``, directly after the cell tagged ``parameters``, so
both cells can be found in the kernel's history (:func:`injected_cells`) and compared
(:func:`check_parameters`). :class:`polarity.publishing.Page` does that when a page starts.
"""

from __future__ import annotations

import ast
import difflib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = [
    "JupytextIO",
    "NotebookError",
    "ParameterError",
    "assignments",
    "check_parameters",
    "declared_parameters",
    "injected_cells",
    "read_notebook",
]

SCHEME = "jt://"
INJECTED = "# Parameters"  # the first line of papermill's cell
# Papermill itself injects these two on request (--inject-paths).
BUILT_IN = frozenset({"PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH"})
KERNELSPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}

# Papermill expects .ipynb and says so on every run of a text notebook.
warnings.filterwarnings("ignore", message=rf"The specified file \({SCHEME}.*\) does not end in")


class NotebookError(ValueError):
    """A text notebook that papermill could not run as its author meant it."""


class ParameterError(ValueError):
    """One or more injected parameters are unknown or of the wrong type."""


def read_notebook(path: str | Path) -> NotebookNode:
    """Read a MyST Markdown notebook and make it ready for papermill.

    Parameters
    ----------
    path
        A ``.md`` file; relative to the working directory.

    Returns
    -------
    NotebookNode
        With the full kernel specification: papermill needs its name, Sphinx its display name, and
        nbconvert its language.

    Raises
    ------
    FileNotFoundError
        If there is no such file; the message lists the notebooks beside it.
    NotebookError
        If it is not a ``.md`` file, if its parameters cell is not a cell of plain literals, or if
        there are several of them.
    """
    import jupytext

    path = Path(path)
    if path.suffix != ".md":
        raise NotebookError(f"{path}: {SCHEME} reads MyST Markdown notebooks, which end in .md")
    if not path.is_file():
        beside = sorted(other.name for other in path.parent.glob("*.md"))
        there = f"; {path.parent} has {', '.join(beside)}" if beside else ""
        raise FileNotFoundError(f"no notebook {path}{there}")
    notebook: NotebookNode = jupytext.reads(path.read_text(encoding="utf-8"), fmt="md:myst")
    kernelspec = notebook.metadata.setdefault("kernelspec", {})
    for key, value in KERNELSPEC.items():
        kernelspec.setdefault(key, value)
    try:
        declared_parameters(notebook)
    except NotebookError as error:
        raise NotebookError(f"{path}: {error}") from None
    return notebook


def declared_parameters(notebook: NotebookNode) -> dict[str, object]:
    """Return the names and defaults in the cell tagged ``parameters``; {} where there is none.

    Raises
    ------
    NotebookError
        If several cells have the tag, if the cell holds anything but literals, or if it begins
        with papermill's own mark.
    """
    cells = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", [])
    ]
    if not cells:
        return {}
    if len(cells) > 1:
        raise NotebookError(f"one cell may be tagged parameters, got {len(cells)}")
    source: str = cells[0].source
    if source.lstrip().startswith(INJECTED):
        raise NotebookError(
            f"the parameters cell must not begin with {INJECTED!r}: papermill marks its own so"
        )
    return assignments(source)


def assignments(source: str) -> dict[str, object]:
    """Read a cell of plain assignments, ``name = literal``, without running it.

    Raises
    ------
    NotebookError
        If a line is anything else; the message names the line.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise NotebookError(f"the parameters cell is not Python: {error}") from None
    values: dict[str, object] = {}
    for statement in tree.body:
        match statement:
            case ast.Expr(value=ast.Constant(value=str())):  # a docstring
                continue
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                _not_literal(source, statement)
        try:
            values[name] = _literal(value)
        except ValueError:
            _not_literal(source, statement)
    return values


def _not_literal(source: str, statement: ast.stmt) -> NoReturn:
    line = ast.get_source_segment(source, statement)
    raise NotebookError(
        f"line {statement.lineno} of the parameters cell must be `name = literal`, got: {line}"
    )


class _Floats(ast.NodeTransformer):
    """Turn ``float("nan")`` and its like, which papermill writes, into constants."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        match node:
            case ast.Call(
                func=ast.Name(id="float"), args=[ast.Constant(value=str(text))], keywords=[]
            ):
                return ast.copy_location(ast.Constant(float(text)), node)
            case _:
                return node


def _literal(node: ast.expr) -> object:
    return ast.literal_eval(_Floats().visit(node))


def check_parameters(
    declared: Mapping[str, object], injected: Mapping[str, object], *, page: str = "notebook"
) -> None:
    """Refuse parameters that a notebook does not declare, and values of another type.

    A bool is not an int and an int is not a bool; an int will do for a float; a list will do for
    a tuple, and its entries must be of the types of the default's entries. A default of None
    accepts anything.

    Parameters
    ----------
    declared
        Name and default of every parameter of the notebook.
    injected
        Name and value of every parameter that was passed.
    page
        The notebook's name, for the message.

    Raises
    ------
    ParameterError
        Listing every offender with its value and what is allowed.

    Examples
    --------
    >>> check_parameters({"trials": 50}, {"trails": 10}, page="xor5d")
    Traceback (most recent call last):
    polarity.publishing.notebooks.ParameterError: xor5d cannot run with these parameters:
      trails = 10: there is no such parameter; did you mean trials?
    xor5d takes trials = 50 (int).
    """
    problems = []
    for name, value in injected.items():
        if name in BUILT_IN:
            continue
        if name not in declared:
            close = difflib.get_close_matches(name, declared, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            problems.append(f"{name} = {value!r}: there is no such parameter{hint}")
        elif not _fits(value, declared[name]):
            default = declared[name]
            problems.append(
                f"{name} = {value!r}: must be {_kind(default)}, like its default {default!r}, "
                f"got {_kind(value)}"
            )
    if not problems:
        return
    takes = ", ".join(
        f"{name} = {value!r} ({type(value).__name__})" for name, value in declared.items()
    )
    raise ParameterError(
        f"{page} cannot run with these parameters:\n"
        + "".join(f"  {problem}\n" for problem in problems)
        + (f"{page} takes {takes}." if takes else f"{page} has no cell tagged parameters.")
    )


def _fits(value: object, default: object) -> bool:
    match default:
        case None:
            return True
        case bool():
            return isinstance(value, bool)
        case int():
            return isinstance(value, int) and not isinstance(value, bool)
        case float():
            return isinstance(value, int | float) and not isinstance(value, bool)
        case list() | tuple():
            return isinstance(value, list | tuple) and all(
                not default or any(_fits(entry, example) for example in default) for entry in value
            )
        case _:
            return isinstance(value, type(default))


def _kind(value: object) -> str:
    """Say what a value is, with its entries': ``int``, ``list of int``."""
    match value:
        case list() | tuple() if value:
            entries = sorted({type(entry).__name__ for entry in value})
            return f"{type(value).__name__} of {' or '.join(entries)}"
        case _:
            return type(value).__name__


def injected_cells(
    history: Sequence[str],
) -> tuple[dict[str, object], dict[str, object]]:
    """Find the parameters cell and papermill's cell among the cells that a kernel has run.

    Parameters
    ----------
    history
        Source of every cell run so far, oldest first (IPython's ``In``).

    Returns
    -------
    declared : dict
        Names and defaults of the cell tagged ``parameters``: the nearest cell of assignments before
        papermill's. Empty where there is none: papermill then injects at the top.
    injected : dict
        Names and values of papermill's cell; empty where nothing was injected.
    """
    is_injected = [source.startswith(INJECTED) for source in history]
    if not any(is_injected):
        return {}, {}
    last = len(history) - 1 - is_injected[::-1].index(True)
    injected = _read_assignments(history[last]) or {}
    for source, mark in zip(history[:last][::-1], is_injected[:last][::-1], strict=True):
        # Someone who works in the notebook may have run papermill's cell more than once.
        if not mark and (declared := _read_assignments(source)):
            return declared, injected
    return {}, injected


def _read_assignments(source: str) -> dict[str, object] | None:
    try:
        return assignments(source)
    except NotebookError:
        return None


class JupytextIO:
    """Papermill's reader for ``jt://``: text notebooks are read, never written.

    Papermill uses the class itself, hence the class methods.
    """

    @classmethod
    def read(cls, path: str) -> str:
        """Return the notebook at ``jt://PATH`` as the JSON of an ``.ipynb`` file."""
        import nbformat

        return str(nbformat.writes(read_notebook(path.removeprefix(SCHEME))))

    @classmethod
    def write(cls, buf: str, path: str) -> NoReturn:
        """Refuse: the result of a run belongs in a file of its own."""
        out = Path(path.removeprefix(SCHEME)).with_suffix(".ipynb").name
        raise PermissionError(
            f"{path}: {SCHEME} is read-only, so that a run never overwrites the text of a "
            f"notebook; write to {out} instead"
        )

    @classmethod
    def listdir(cls, path: str) -> list[str]:
        """Return the text notebooks in the folder ``jt://PATH``."""
        folder: Iterable[Path] = Path(path.removeprefix(SCHEME)).glob("*.md")
        return sorted(f"{SCHEME}{entry}" for entry in folder)

    @classmethod
    def pretty_path(cls, path: str) -> str:
        """Return the path as papermill should show it."""
        return path


def overridden(declared: Mapping[str, Any], injected: Mapping[str, Any]) -> dict[str, Any]:
    """Return the injected parameters that are not papermill's own paths."""
    return {name: value for name, value in injected.items() if name in declared}
