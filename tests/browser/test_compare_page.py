"""The page that `polarity compare` writes, in a browser."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from polarity.publishing.comparison import compare, to_html

sys.path.append(str(Path(__file__).parents[1] / "publishing"))
from made_up_runs import cell, glued, measured, output, picture, prose, svg, write

WIDTHS = (1300, 360)
SCHEMES = ("light", "dark")
LONG = "a_name_that_is_longer_than_the_screen_of_a_telephone_is_wide_" * 3
TABLE = "<table class='ledger'><tr><th>n</th></tr><tr><td>{}</td></tr></table>"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a page with everything that it may have, and with a hostile figure."""
    folder = tmp_path_factory.mktemp("compare")
    script = '<script>document.title = "alert"</script>'
    loads = '<image href="https://example.org/x.png" width="9" height="9"/>'

    def cells(value: float, drawing: str) -> list[object]:
        return [
            prose("## A heading"),
            cell("a", picture(svg(script + drawing, width=2000)), alt="A wide figure."),
            prose("**Fig 1.** A caption."),
            cell("b", picture(svg(loads + drawing)), alt="A small figure."),
            cell("c", measured("xor5d.less_data", value, value - 0.1, value + 0.01)),
            cell("d", measured("xor5d.less_time", 0.5, 0.4, 0.6), glued(LONG, value)),
            cell("e", output({"text/html": TABLE.format(LONG + str(value))})),
        ]

    before = write(folder / "before.ipynb", cells(-0.2, ""))  # type: ignore[arg-type]
    after = write(
        folder / f"{LONG[:80]}.ipynb",
        [*cells(0.3, "<g/>"), cell("n", picture(svg()))],  # type: ignore[list-item]
        parameters={"trials": 10, LONG: LONG, "tier": "live"},
        versions={"torch": "2.14.0"},
        tier="smoke",
    )
    path = folder / "page.html"
    path.write_text(to_html(compare(after, before)), encoding="utf-8")
    return path


@pytest.fixture(params=[(width, scheme) for width in WIDTHS for scheme in SCHEMES], ids=str)
def page(browser: Browser, file: Path, request: pytest.FixtureRequest) -> Page:
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda found: asked.append(found.url))
    page.goto(file.as_uri(), wait_until="load")
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
    assert len([url for url in asked if url.startswith("file:")]) == 1
    request.addfinalizer(context.close)
    return page


def test_the_page_is_accessible(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found] == []


def test_nothing_is_wider_than_the_screen(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]


def test_figures_are_seen_and_run_nothing(page: Page) -> None:
    assert page.title() == "xor5d: two runs compared"
    sizes = page.evaluate("[...document.images].map(i => [i.complete, i.naturalWidth > 0])")
    assert len(sizes) == 5 and all(complete and size for complete, size in sizes), sizes
    assert page.locator("script").count() == 0
