"""The book's own style sheet and script on small pages: figures, tables, the search, and paper."""

from __future__ import annotations

import re
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import nbformat
import pytest
from matplotlib.figure import Figure
from playwright.sync_api import Browser
from playwright.sync_api import Page as Tab
from visiting import DESKTOP, LAID_OUT, PHONE

from polarity.analysis.estimate import Estimate
from polarity.analysis.ledger_picture import ledger_picture
from polarity.publishing import Page
from polarity.publishing import page as page_module
from polarity.publishing.environment import repository_root
from polarity.publishing.pictures import present

HEAD = """<!doctype html><html lang="en" data-theme="light"><title>Small</title>
<link rel="stylesheet" href="theme.css"><link rel="stylesheet" href="_static/polarity.css">
<script src="_static/page.js"></script>
<body style="margin: 0">
<article class="bd-content bd-article" style="display: block; padding: 16px; max-width: 720px">"""
FRAMES = """() => [...document.querySelectorAll('.figure-picture')].map(frame => {
  const picture = frame.querySelector('img');
  return {
    scrolls: frame.scrollWidth > frame.clientWidth, stop: frame.tabIndex === 0,
    size: picture.clientWidth / picture.getAttribute('width'),
    over: picture.clientWidth - frame.clientWidth,
  };
})"""
SIDEWAYS = "() => document.documentElement.scrollWidth > innerWidth"
LOADED = "() => [...document.images].map(picture => picture.complete && picture.naturalWidth > 0)"


@pytest.fixture
def tab(browser: Browser) -> Any:
    context = browser.new_context(viewport=DESKTOP, offline=True)
    yield context.new_page()
    context.close()


def open_page(tab: Tab, folder: Path, body: str) -> None:
    """Open a page that holds this, with the theme's style sheet and the book's own files."""
    root = repository_root()
    assert root is not None
    (folder / "_static").mkdir(exist_ok=True)
    for name in ("page.js", "polarity.css"):
        shutil.copy(root / "book" / "_static" / name, folder / "_static")
    theme = files("pydata_sphinx_theme") / "theme/pydata_sphinx_theme/static/styles"
    shutil.copy(str(theme / "pydata-sphinx-theme.css"), folder / "theme.css")
    (folder / "small.html").write_text(HEAD + body + "</article>", encoding="utf-8")
    tab.goto((folder / "small.html").as_uri())


def figures(folder: Path, monkeypatch: pytest.MonkeyPatch, *inches: float) -> str:
    """The HTML of figures of these widths, as readers get it."""
    shown: list[Any] = []
    monkeypatch.setattr(page_module, "_display_raw", lambda *output: shown.append(output))
    page = Page("small")
    for number, width in enumerate(inches):
        figure = Figure(figsize=(width, 3))
        figure.subplots().plot([1, 2])
        page.figure(f"fig{number}", figure, "A line.")
    outputs = [
        nbformat.v4.new_output("display_data", data, metadata=metadata) for data, metadata in shown
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=outputs)])
    present(notebook, folder / "_static", "_static")
    return "".join(
        f'<div class="cell_output"><div class="output text_html">{output["data"]["text/html"]}'
        "</div></div>"
        for output in outputs
    )


def test_a_wide_figure_stays_legible_and_scrolls_in_its_frame(
    tab: Tab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_page(tab, tmp_path, figures(tmp_path, monkeypatch, 5.2, 9.2, 13.5))
    # A desktop's column has room for all.
    assert not any(frame["scrolls"] or frame["stop"] for frame in tab.evaluate(FRAMES))
    tab.set_viewport_size(PHONE)
    tab.evaluate(LAID_OUT)
    narrow, *wide = tab.evaluate(FRAMES)
    assert not (narrow["scrolls"] or narrow["stop"])
    assert narrow["size"] > 0.65  # letters of 8 points keep 7 pixels
    for frame in wide:
        assert frame["scrolls"] and frame["stop"]
    assert wide[0]["size"] == pytest.approx(0.75, abs=0.01)
    assert not tab.evaluate(SIDEWAYS)
    tab.emulate_media(media="print")
    assert all(frame["over"] <= 0 for frame in tab.evaluate(FRAMES))


def test_all_pictures_are_there_when_the_page_is(
    tab: Tab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever prints at once gets them all, those further down included."""
    far = '<div style="height: 30000px"></div>'
    body = far + figures(tmp_path, monkeypatch, 5.2, 5.3)
    assert 'loading="lazy"' in body
    open_page(tab, tmp_path, body)
    # A busy machine takes its time; pictures that stay lazy never come, so far below.
    tab.wait_for_function(f"() => ({LOADED})().every(Boolean)", timeout=10_000)


def test_paper_has_no_switches_and_no_heading_alone(tab: Tab, tmp_path: Path) -> None:
    open_page(tab, tmp_path, "".join(f"<h{i}>Part</h{i}>" for i in range(1, 7))
              + '<p class="highlight-link"><a href="#">Hide Search Matches</a></p>')  # fmt: skip
    link = tab.locator(".highlight-link")
    assert link.is_visible()
    tab.emulate_media(media="print")
    assert not link.is_visible()
    for number in range(1, 7):
        style = tab.evaluate(
            f"() => {{ const style = getComputedStyle(document.querySelector('h{number}'));"
            "return [style.breakInside, style.breakAfter]; }"
        )
        assert style == ["avoid", "avoid"]


def test_a_wide_table_scrolls_in_its_frame_and_shows_that_there_is_more(
    tab: Tab, tmp_path: Path
) -> None:
    def cells(kind: str, text: str, count: int) -> str:
        return "<tr>" + f"<{kind}>{text}</{kind}>" * count + "</tr>"

    def table(columns: int) -> str:
        head = cells("th", "networks that got there", columns)
        inside = f"<thead>{head}</thead><tbody>{cells('td', '12.5', columns)}</tbody>"
        return (
            '<div class="cell_output"><div class="output text_html">'
            f'<table class="ledger">{inside}</table></div></div>'
        )

    open_page(tab, tmp_path, table(6) + table(40))
    frames = tab.evaluate(
        """() => [...document.querySelectorAll('.text_html')].map(frame => [
          frame.scrollWidth > frame.clientWidth,
          getComputedStyle(frame).backgroundImage.split('linear-gradient').length - 1,
        ])"""
    )
    # Headings of several words wrap, so that six columns fit.
    assert [scrolls for scrolls, _ in frames] == [False, True]
    assert {layers for _, layers in frames} == {4}  # two covers, two shadows
    assert not tab.evaluate(SIDEWAYS)


def test_choices_that_a_browser_restores_are_shown(tab: Tab, tmp_path: Path) -> None:
    """It checks the boxes again on reload, and says nothing of a change."""
    open_page(
        tab,
        tmp_path,
        '<figure class="book-figure"><img alt="" src="a.svg" data-with-none="a.svg" '
        'data-with-trials="b.svg"><a download="x.svg" href="a.svg">SVG</a>'
        '<span class="figure-layers" hidden><label><input type="checkbox" data-layer="trials">'
        "single trials</label></span></figure>",
    )
    restore = "document.querySelector('input').checked = true; dispatchEvent(new Event('pageshow'))"
    tab.evaluate("dispatchEvent(new Event('pageshow'))")
    assert tab.get_attribute("img", "src") == "a.svg"
    tab.evaluate(restore)
    assert str(tab.get_attribute("img", "src")).endswith("b.svg")


def test_the_ledgers_filters_say_how_many_claims_each_choice_leaves(
    tab: Tab, tmp_path: Path
) -> None:
    held, broken = (
        Estimate(value, value - 0.1, value + 0.1, n=50, method="test") for value in (0.6, 1.5)
    )
    measured = {claim: held for claim in ("xor5d.time_60", "xor5d.less_time")}
    open_page(tab, tmp_path, ledger_picture({**measured, "xor5d.random_error": broken}))
    rows = tab.locator(".ledger-picture li")
    nothing = tab.get_by_text("No claim of this part has this verdict.")
    everything, shown = rows.count(), set()
    for section in ("all", "2", "5", "appendix-c"):
        tab.check(f"[name=ledger-section][value='{section}']", force=True)
        for verdict in tab.locator("[name=ledger-verdict]").all():
            verdict.check(force=True)
            there = rows.locator("visible=true").count()
            shown.add(there)
            assert nothing.is_visible() == (there == 0)
            for name in ("section", "verdict"):
                chosen = tab.locator(f"[data-by={name}] label:has(:checked)").inner_text()
                assert chosen == "all" or re.findall(r"\((\d+)\)", chosen) == [str(there)]
    assert {0, everything} < shown and len(shown) > 4


@pytest.mark.parametrize("width", [390, 700, 1000])
def test_a_definition_stays_on_the_page_and_can_be_closed(
    width: int, tab: Tab, tmp_path: Path
) -> None:
    tab.set_viewport_size({"width": width, "height": 800})
    words = "what it means, in as many words as it takes to fill two or three lines of the box. "
    term = f'<a id="term" href="#" data-definition="{words}">polarity</a>'
    open_page(
        tab, tmp_path, f'<p style="display: flow-root">Words <span style="float: right">{term}'
    )
    opened = "() => getComputedStyle(document.getElementById('term'), '::after').content !== 'none'"
    assert not tab.evaluate(opened)
    tab.hover("#term")
    assert tab.evaluate(opened) and not tab.evaluate(SIDEWAYS)
    tab.keyboard.press("Escape")
    assert not tab.evaluate(opened)
    tab.mouse.move(5, 500)
    tab.hover("#term")
    assert tab.evaluate(opened)
    tab.mouse.move(5, 500)
    tab.keyboard.press("Tab")
    assert tab.evaluate(opened) and not tab.evaluate(SIDEWAYS)
    tab.keyboard.press("Escape")
    assert not tab.evaluate(opened)


def test_a_query_begins_beside_the_magnifying_glass(tab: Tab, tmp_path: Path) -> None:
    open_page(
        tab,
        tmp_path,
        '<form class="bd-search d-flex align-items-center">'
        '<i class="fa-solid fa-magnifying-glass" style="width: 16px"></i>'
        '<input type="search" class="form-control" aria-label="Search" value="posRand">'
        '<span class="search-button__kbd-shortcut"><kbd>Ctrl</kbd>+<kbd>K</kbd></span></form>',
    )
    glass, text, key = tab.evaluate(
        """() => { const box = name => document.querySelector(name).getBoundingClientRect();
          const input = document.querySelector('input');
          const before = parseFloat(getComputedStyle(input).paddingLeft);
          return [box('i').right, box('input').left + before, box('kbd').height]; }"""
    )
    assert glass <= text
    assert key < 35  # one line
