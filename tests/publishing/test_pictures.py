"""Figures as readers get them: the HTML, and the files beside it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import html5lib
import nbformat
import numpy as np
import pytest
from matplotlib.figure import Figure

from polarity.analysis import drawn
from polarity.publishing import Page
from polarity.publishing import page as page_module
from polarity.publishing.pictures import _slim, present, stored_figures


def notebook_with(figure: Figure, monkeypatch: pytest.MonkeyPatch, alt: str = "A line.") -> Any:
    seen: list[tuple[dict[str, str], dict[str, Any]]] = []
    monkeypatch.setattr(page_module, "_display_raw", lambda *shown: seen.append(shown))
    Page("small").figure("fig1", figure, alt)
    data, metadata = seen[0]
    output = nbformat.v4.new_output("display_data", data, metadata=metadata)
    other = nbformat.v4.new_output("stream", text="untouched")
    cell = nbformat.v4.new_code_cell("page.figure(...)", outputs=[other, output])
    return nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_markdown_cell("prose")])


@pytest.fixture
def layered() -> Figure:
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 2], [0.5, 0.25], label="frozen")
    drawn.layer("trials", axes.scatter([1, 2], [0.4, 0.3]))
    drawn.layer("paper", axes.plot([1, 2], [0.6, 0.2]))
    return figure


def test_every_choice_of_layers_is_a_picture(
    layered: Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = notebook_with(layered, monkeypatch)
    present(notebook, tmp_path, "../_static")
    folder = tmp_path / "figures" / "small"
    text = notebook.cells[0].outputs[1]["data"]["text/html"]
    shown = {}
    for found in re.finditer(r'data-with-([a-z-]+)="\.\./_static/figures/small/([^"]+)"', text):
        svg = (folder / found[2]).read_text()
        shown[found[1]] = {name for name in drawn.LAYERS if f'id="layer-{name}-' in svg}
    usual = (folder / "fig1.svg").read_text()  # as it first is, in fewer words
    assert shown.pop("paper") == set() and "#ff7f0e" in usual  # its colour
    assert shown == {"none": set(), "trials": {"trials"}, "trials-paper": {"trials", "paper"}}
    assert 'src="../_static/figures/small/fig1.svg"' in text
    plain = (folder / "fig1--plain.svg").read_text()
    assert "#ff7f0e" not in plain and len(usual) < 0.8 * len(plain)


def test_the_checksums_are_those_of_the_files(
    layered: Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = notebook_with(layered, monkeypatch)
    (_, stored), *_ = stored_figures(notebook)
    present(notebook, tmp_path, "_static")
    folder = tmp_path / "figures" / "small"
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums.keys() == {path.name for path in folder.iterdir()} - {"SHA256SUMS"}
    for name, expected in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected
    assert sums["fig1.csv"] == stored["sha256"]
    assert stored["sha256"] in notebook.cells[0].outputs[1]["data"]["text/html"]


def test_the_html_is_sound_and_hostile_words_stay_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = Figure()
    figure.subplots().plot([1, 2])
    alt = 'Errors < 3 & "more" <script>alert(1)</script>.'
    notebook = notebook_with(figure, monkeypatch, alt)
    present(notebook, tmp_path, "_static")
    output = notebook.cells[0].outputs[1]
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    tree = parser.parseFragment(output["data"]["text/html"])
    (picture,) = tree.iter("img")
    assert picture.get("alt") == output["data"]["text/plain"] == alt
    assert not list(tree.iter("script"))
    assert int(picture.get("width")) > int(picture.get("height")) > 100
    assert not list(tree.iter("input"))  # no layers, no switches
    assert [a.text for a in tree.iter("a") if a.get("href") == "#figure-fig1"] == ["Figure 1"]
    assert notebook.cells[0].outputs[0]["text"] == "untouched"


def test_the_column_that_numbers_lines_is_explained_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for lines, explained in ((1, False), (2, True)):
        figure = Figure()
        figure.subplots().plot([0, 1], np.ones((2, lines)), color="red")
        notebook = notebook_with(figure, monkeypatch)
        present(notebook, tmp_path, "_static")
        shown = notebook.cells[0].outputs[1]["data"]["text/html"]
        assert ("Column “line”" in shown) == explained


def test_slim_pictures_keep_the_size_of_their_letters() -> None:
    """Matplotlib scales every glyph by 1/64, which is no coordinate to be shortened."""
    svg = '<path d="M 12.345678 1.5 L 0.123456 7z" transform="scale(0.015625)"/>'
    assert _slim(svg) == '<path d="M 12.34 1.5 L 0.12 7z" transform="scale(0.015625)"/>'
