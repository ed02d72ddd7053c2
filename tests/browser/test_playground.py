"""The playground in a browser: it plays, obeys its controls and its reader's preferences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from polarity.publishing.environment import repository_root

ROOT = repository_root() or Path()
# Around the page's own HTML: what the theme gives, as far as the playground needs it.
SHELL = """<!DOCTYPE html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Playground</title>
<link rel="stylesheet" href="../_static/polarity.css">
<style>:root {{ --pst-color-background: {ground}; --pst-color-text-base: {ink}; }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; padding: 0 1rem; background: {ground}; color: {ink}; }}</style></head>
<body><main><h1>Playground</h1>{html}</main></body></html>"""
THEMES = {"light": ("#ffffff", "#222832"), "dark": ("#121417", "#ced6dd")}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = (ROOT / "book" / "playground.md").read_text()
    found = re.search(r"```\{raw\} html\n(.*?)\n```", text, re.DOTALL)
    assert found
    suggestions = "".join(re.findall(r"<button [^>]*data-try.*?</button>", text))
    folder = tmp_path_factory.mktemp("site")
    (folder / "_static").symlink_to(ROOT / "book" / "_static")
    (folder / "book").mkdir()
    for theme, (ground, ink) in THEMES.items():
        page = SHELL.format(theme=theme, ground=ground, ink=ink, html=found[1] + suggestions)
        (folder / "book" / f"{theme}.html").write_text(page)
    return folder


@pytest.fixture
def open_page(browser: Browser, site: Path) -> Iterator[Any]:
    contexts = []

    def opened(
        theme: str = "light", width: int = 1000, hash: str = "", **options: Any
    ) -> tuple[Page, list[str]]:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        faults: list[str] = []
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request",
            lambda sent: None if sent.url.startswith("file:") else faults.append(sent.url),
        )
        page.on("requestfailed", lambda sent: faults.append(f"failed: {sent.url}"))
        page.goto((site / "book" / f"{theme}.html").as_uri() + hash)
        page.wait_for_selector("#playground:not([hidden])")
        return page, faults

    yield opened
    for context in contexts:
        context.close()


def part(page: Page, name: str) -> str:
    return page.inner_text(f'[data-part="{name}"]')


def default(page: Page, name: str) -> str:
    value: str = page.evaluate(f"document.getElementById('pg-{name}').defaultValue")
    return value


def until(page: Page, condition: str) -> None:
    page.wait_for_function(condition, timeout=20_000)


EPOCH = "Number(document.querySelector('[data-part=epoch]').textContent)"


def test_it_trains_three_networks_to_the_end(open_page: Any) -> None:
    page, faults = open_page(hash="#seed=3&units=24&samples=100")
    assert part(page, "epoch") == "0"  # nothing moves before the reader wants it
    page.locator("[data-part=speed]").fill("60")
    page.click("[data-part=play]")
    assert part(page, "play") == "Pause"
    until(page, f"{EPOCH} === 100")
    until(page, "document.querySelector('[data-part=play]').textContent === 'Run again'")
    cards = page.locator("[data-condition]").all()
    assert len(cards) == 3
    for card in cards:
        frozen = (card.get_attribute("data-condition") or "").startswith("frozen")
        flips, resets = (
            int(card.locator(f"[data-part={name}]").inner_text().replace(",", ""))
            for name in ("flips", "resets")
        )
        assert (flips == 0) == frozen and (resets > 0) == frozen
        error = float(card.locator("[data-part=error]").inner_text().removesuffix("\u00a0%"))
        assert error < 25  # from 50
    assert "After 100 epochs. Frozen, sufficient: " in part(page, "status")
    assert float(page.evaluate("document.getElementById('playground').dataset.frame")) >= 0
    assert faults == []


def test_nothing_fails_where_nothing_is_laid_out(open_page: Any) -> None:
    """On paper the playground is left out: its canvases have no size, and come back with one."""
    page, faults = open_page()
    page.click("[data-part=play]")
    until(page, f"{EPOCH} > 1")
    page.emulate_media(media="print")
    page.wait_for_timeout(300)
    assert page.locator(".pg-print").is_visible()
    page.emulate_media(media="screen")
    page.click("[data-part=play]")
    assert page.evaluate("document.querySelector('[data-part=net]').width") > 0
    assert faults == []


def test_it_pauses_where_nobody_sees_it(open_page: Any) -> None:
    page, _ = open_page()
    page.click("[data-part=play]")
    page.evaluate(
        "() => {Object.defineProperty(document, 'hidden', {get: () => true});"
        " document.dispatchEvent(new Event('visibilitychange'))}"
    )
    assert part(page, "play") == "Play"


def test_pictures_are_told_in_words_that_keep_up(open_page: Any) -> None:
    page, _ = open_page()
    pictures = page.locator("#playground canvas[role=img]").all()
    before = [picture.get_attribute("aria-label") for picture in pictures]
    page.click("[data-part=step]")
    after = [picture.get_attribute("aria-label") for picture in pictures]
    assert len(pictures) == 7
    for old, new in zip(before, after, strict=True):
        assert new and new != old
    error = page.locator("[data-condition=frozen_random] [data-part=error]").inner_text()
    assert any(f"After 1 epoch: {error} validation error" in (label or "") for label in after)


def test_a_suggestion_sets_itself_up(open_page: Any) -> None:
    page, faults = open_page()
    buttons = page.locator("button[data-try]").all()
    assert len(buttons) == 3
    buttons[1].click()
    assert page.input_value("[data-part=units]") == "4"
    assert page.input_value("[data-part=samples]") == "200"
    assert page.evaluate("document.activeElement.dataset.part") == "play"
    assert "units=4&samples=200&lr=0.03&rule=posRand" in page.url
    # An address that is typed, or a bookmark of the page that is open.
    page.evaluate("location.hash = 'units=9&lr=0.01'")
    until(page, "document.getElementById('pg-units').value === '9'")
    assert page.inner_text('output[for="pg-lr"]') == "0.01"
    assert faults == []


def test_no_other_page_loads_its_scripts() -> None:
    """Jupyter Book puts every script below a ``_static`` beside _config.yml on every page."""
    assert not (ROOT / "_static").exists()
    assert "playground" not in (ROOT / "_config.yml").read_text()


def test_the_same_settings_give_the_same_run(open_page: Any) -> None:
    def errors() -> list[str]:
        page, _ = open_page(hash="#units=7&samples=40&rule=flip&seed=11")
        for _ in range(3):
            page.click("[data-part=step]")
        assert part(page, "epoch") == "3"
        return [e.inner_text() for e in page.locator("[data-part=error]").all()]

    assert errors() == errors()


def test_controls_restart_the_experiment_and_keep_the_address(open_page: Any) -> None:
    page, faults = open_page()
    page.click("[data-part=step]")
    assert part(page, "epoch") == "1"
    page.locator("[data-part=units]").fill("5")
    assert part(page, "epoch") == "0"
    assert page.inner_text('output[for="pg-units"]') == "5"
    page.select_option("[data-part=rule]", "zero")
    assert "units=5" in page.url and "rule=zero" in page.url
    before = page.input_value("[data-part=seed]")
    page.click("[data-part=new]")
    assert page.input_value("[data-part=seed]") != before
    assert faults == []


@pytest.mark.parametrize(("typed", "run"), [("", 0), ("10000000", 999999), ("-5", 0), ("2.7", 2)])
def test_the_address_hands_on_the_seed_that_was_run(typed: str, run: int, open_page: Any) -> None:
    def errors(page: Page) -> list[str]:
        page.click("[data-part=step]")
        return [e.inner_text() for e in page.locator("[data-part=error]").all()]

    page, faults = open_page()
    page.locator("[data-part=seed]").fill(typed)
    page.locator("[data-part=seed]").blur()
    assert page.input_value("[data-part=seed]") == str(run) and f"seed={run}" in page.url
    other, _ = open_page(hash=page.url[page.url.index("#") :])
    assert errors(page) == errors(other) and faults == []


def test_an_address_that_makes_no_sense_does_no_harm(open_page: Any) -> None:
    page, faults = open_page(hash="#units=9999&rule=none&samples=x&seed=&other=1")
    assert page.input_value("[data-part=units]") == "64"
    assert page.input_value("[data-part=rule]") == "posRand"
    assert page.input_value("[data-part=samples]") == default(page, "samples")
    page.click("[data-part=step]")
    assert faults == []


def test_it_is_played_by_keyboard(open_page: Any) -> None:
    page, _ = open_page()
    page.focus("[data-part=units]")
    page.keyboard.press("ArrowRight")
    assert int(page.input_value("[data-part=units]")) == int(default(page, "units")) + 1
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.dataset.part"))
    assert reached[:8] == ["samples", "lr", "rule", "speed", "seed", "play", "step", "new"]
    page.focus("[data-part=play]")
    page.keyboard.press("Space")
    until(page, f"{EPOCH} > 1")
    page.keyboard.press("Enter")
    assert part(page, "play") == "Play"
    assert "error" in part(page, "status")  # a pause says where things stand


def test_reduced_motion_is_respected(open_page: Any) -> None:
    page, _ = open_page(reduced_motion="reduce")
    page.locator("[data-part=speed]").fill("60")
    assert page.inner_text('output[for="pg-speed"]') == "2 epochs/s"  # as fast as it goes
    page.click("[data-part=play]")
    until(page, f"{EPOCH} >= 1")
    page.wait_for_timeout(1000)
    assert int(part(page, "epoch")) <= 5  # two epochs a second, not sixty
    # Nothing flashes: while networks train, what happens to single weights is not marked at all.
    marked = (
        "() => [...document.querySelectorAll('[data-part=marks]')].some(c =>"
        " c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean))"
    )
    assert not page.evaluate(marked)
    page.click("[data-part=play]")
    assert page.evaluate(marked)  # at rest, the last epoch's


@pytest.mark.parametrize("width", [360, 1000])
@pytest.mark.parametrize("theme", THEMES)
def test_it_is_accessible_and_fits(open_page: Any, theme: str, width: int) -> None:
    page, faults = open_page(theme, width)
    page.click("[data-part=step]")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert faults == []
    # Without preload: the rules would fetch the style sheets, which a page on disk may not.
    found = Axe().run(page, options={"preload": False}).response["violations"]
    serious = [v["id"] for v in found if v["impact"] in ("serious", "critical")]
    assert serious == []
