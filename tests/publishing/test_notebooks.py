"""Reading text notebooks, and refusing parameters that they do not have."""

from __future__ import annotations

import json
import keyword
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from papermill.translators import PythonTranslator

from polarity.publishing.notebooks import (
    JupytextIO,
    NotebookError,
    ParameterError,
    assignments,
    check_parameters,
    injected_cells,
    read_notebook,
)

PARAMETERS = """\
```{code-cell} ipython3
:tags: [parameters]

%s
```
"""


def write(folder: Path, *cells: str) -> Path:
    path = folder / "page.md"
    front = "---\njupytext:\n  text_representation:\n    format_name: myst\n---\n\n# Page\n\n"
    path.write_text(front + "\n".join(cells))
    return path


def test_a_text_notebook_reads_as_ipynb_with_the_whole_kernelspec(tmp_path: Path) -> None:
    path = write(tmp_path, PARAMETERS % "trials = 50")
    notebook = json.loads(JupytextIO.read(f"jt://{path}"))
    assert notebook["nbformat"] == 4
    assert notebook["metadata"]["kernelspec"] == {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    (cell,) = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert cell["metadata"]["tags"] == ["parameters"]


def test_the_handler_never_writes(tmp_path: Path) -> None:
    path = write(tmp_path, "prose")
    before = path.read_text()
    with pytest.raises(PermissionError, match=r"read-only.*write to page\.ipynb instead"):
        JupytextIO.write("{}", f"jt://{path}")
    assert path.read_text() == before


def test_the_handler_lists_text_notebooks(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "other.txt").touch()
    assert JupytextIO.listdir(f"jt://{tmp_path}") == [f"jt://{path}"]


def test_papermill_finds_the_handler() -> None:
    from importlib.metadata import entry_points

    (point,) = entry_points(group="papermill.io", name="jt://")
    assert point.load() is JupytextIO


def test_a_missing_notebook_is_told_with_those_beside_it(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no notebook .*xor5d\.md; .* has page\.md"):
        read_notebook(tmp_path / "xor5d.md")


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotebookError, match=r"end in \.md"):
        read_notebook(tmp_path / "page.ipynb")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("trials = 5 * 10", r"line 1 .*must be `name = literal`, got: trials = 5 \* 10"),
        ("seed = 0\nimport numpy", r"line 2 .*import numpy"),
        ("seed = ", "not Python"),
        ("# Parameters\nseed = 0", "must not begin with '# Parameters'"),
    ],
)
def test_a_parameters_cell_holds_literals(tmp_path: Path, source: str, message: str) -> None:
    path = write(tmp_path, PARAMETERS % source)
    with pytest.raises(NotebookError, match=message):
        read_notebook(path)


def test_two_parameters_cells_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, PARAMETERS % "a = 1", PARAMETERS % "b = 1")
    with pytest.raises(NotebookError, match="one cell may be tagged parameters, got 2"):
        read_notebook(path)


def test_assignments_know_annotations_comments_and_docstrings() -> None:
    source = '"""What to vary."""\ntrials: int = 50  # networks\nsizes = (8, 20)\nrate = -1e-3'
    assert assignments(source) == {"trials": 50, "sizes": (8, 20), "rate": -0.001}


DECLARED = {
    "trials": 50,
    "rate": 0.03,
    "reset": "posRand",
    "paired": True,
    "sizes": [8, 20],
    "widths": (2, 3),
    "rates": [0.1],
    "device": None,
    "empty": [],
}


@pytest.mark.parametrize(
    "injected",
    [
        {},
        {"trials": 10},
        {"rate": 1},
        {"rate": math.inf},
        {"reset": "flip"},
        {"paired": False},
        {"sizes": [60]},
        {"sizes": []},
        {"sizes": (60, 72)},
        {"widths": [4, 5]},
        {"rates": [1, 0.5]},
        {"device": "cpu"},
        {"device": None},
        {"empty": ["anything"]},
        {"PAPERMILL_OUTPUT_PATH": "out.ipynb"},
    ],
)
def test_allowed_parameters_pass(injected: dict[str, Any]) -> None:
    check_parameters(DECLARED, injected, page="xor5d")


@pytest.mark.parametrize(
    ("injected", "message"),
    [
        ({"trails": 10}, r"trails = 10: there is no such parameter; did you mean trials\?"),
        ({"zzz": 10}, r"zzz = 10: there is no such parameter\n"),
        ({"trials": "ten"}, r"trials = 'ten': must be int, like its default 50, got str"),
        ({"trials": 10.0}, r"trials = 10\.0: must be int"),
        ({"trials": True}, r"trials = True: must be int, like its default 50, got bool"),
        ({"trials": None}, r"trials = None: must be int"),
        ({"rate": True}, r"rate = True: must be float"),
        ({"rate": "fast"}, r"rate = 'fast': must be float"),
        ({"reset": 3}, r"reset = 3: must be str"),
        ({"paired": 1}, r"paired = 1: must be bool, like its default True, got int"),
        ({"sizes": 60}, r"sizes = 60: must be list of int, .* got int"),
        ({"sizes": [60, "72"]}, r"sizes = \[60, '72'\]: must be list of int, .* of int or str"),
        ({"sizes": [True]}, r"sizes = \[True\]: must be list of int"),
        ({"sizes": "60,72"}, r"sizes = '60,72': must be list of int"),
    ],
)
def test_other_parameters_are_named_with_value_and_what_is_allowed(
    injected: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=message) as caught:
        check_parameters(DECLARED, injected, page="xor5d")
    assert "xor5d takes trials = 50 (int), rate = 0.03 (float)" in str(caught.value)


def test_all_offenders_are_listed_together() -> None:
    with pytest.raises(ParameterError) as caught:
        check_parameters(DECLARED, {"trails": 1, "rate": "x", "trials": 3}, page="xor5d")
    message = str(caught.value)
    assert "trails" in message and "rate = 'x'" in message and "trials = 3" not in message


def test_a_page_without_parameters_takes_none() -> None:
    with pytest.raises(ParameterError, match="xor5d has no cell tagged parameters"):
        check_parameters({}, {"trials": 1}, page="xor5d")


INJECTED = "# Parameters\ntrials = 10\n"
PLAIN = "trials = 50\nseed = 0"


@pytest.mark.parametrize(
    ("history", "declared", "injected"),
    [
        ([], {}, {}),
        (["", PLAIN, "page = Page('x')"], {}, {}),
        (["", PLAIN, INJECTED, "Page('x')"], {"trials": 50, "seed": 0}, {"trials": 10}),
        (["", "import a", PLAIN, INJECTED, "Page()"], {"trials": 50, "seed": 0}, {"trials": 10}),
        # without a cell tagged parameters, papermill injects at the top
        (["", INJECTED, "Page('x')"], {}, {"trials": 10}),
        # someone who works in the notebook runs cells again
        (["", PLAIN, INJECTED, INJECTED, "Page()"], {"trials": 50, "seed": 0}, {"trials": 10}),
        (
            ["", PLAIN, INJECTED, "x()", PLAIN, INJECTED, "Page()"],
            assignments(PLAIN),
            {"trials": 10},
        ),
    ],
)
def test_cells_are_found_in_the_history(
    history: list[str], declared: dict[str, Any], injected: dict[str, Any]
) -> None:
    assert injected_cells(history) == (declared, injected)


NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: not keyword.iskeyword(name)
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]))
)


@settings(deadline=None)
@given(st.dictionaries(NAMES, SCALARS | st.lists(SCALARS, max_size=3)))
def test_whatever_papermill_injects_is_read_back(parameters: dict[str, Any]) -> None:
    """Oracle: papermill's own translator writes the cell."""
    assert assignments(PythonTranslator.codify(parameters)) == parameters
