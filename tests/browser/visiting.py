"""Open every page of the book in a browser once, and note all that the tests judge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

DESKTOP, PHONE = {"width": 1300, "height": 900}, {"width": 390, "height": 844}
SEVERE = {"serious", "critical"}

# Contrast takes axe longest by far, and is asked of every word of every listing. Words that share
# colour, size, weight and all grounds behind them share the answer: one of each is enough.
ONE_OF_EACH = """() => {
  const seen = new Set(), found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || element.closest("mjx-container, script, style")) continue;
    const style = getComputedStyle(element);
    const key = [element.tagName, style.color, style.fontSize, style.fontWeight];
    for (let node = element; node; node = node.parentElement) {
      const ground = getComputedStyle(node);
      key.push(ground.opacity, ground.filter);
      if (ground.backgroundImage !== "none" || !/, 0\\)$/.test(ground.backgroundColor)) {
        key.push(ground.backgroundColor, ground.backgroundImage);
        break;
      }
    }
    const same = key.join();
    if (!seen.has(same)) { seen.add(same); found.push(element); }
  }
  return found;
}"""
# axe would ask for the style sheets once more, by requests that a page from a disk may not make.
OPTIONS = "preload: false, resultTypes: ['violations']"
# The inside of a formula is MathJax's own; screen readers get MathML.
PAGE = "{include: document, exclude: ['mjx-container *']}"
STRUCTURE = f"axe.run({PAGE}, {{{OPTIONS}, rules: {{'color-contrast': {{enabled: false}}}}}})"
CONTRAST = f"axe.run({{include: ({ONE_OF_EACH})()}}, {{{OPTIONS}, runOnly: ['color-contrast']}})"

# Nothing is left to load once the formulas and their letters stand.
SETTLED = "() => window.MathJax?.startup?.promise?.then(() => document.fonts.ready)"
FORMULAS = "() => [...document.querySelectorAll('mjx-merror')].map(e => e.textContent)"
# The page's own script looks at what scrolls once the layout stands.
LAID_OUT = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
# The entry may come after the page is loaded. A page that paints nothing has none.
FIRST_PAINT = """() => new Promise(done => {
  new PerformanceObserver(list => {
    const [first] = list.getEntriesByName('first-contentful-paint');
    if (first) done(first.startTime);
  }).observe({type: 'paint', buffered: true});
  setTimeout(done, 10000, null);
})"""
PICTURES = "() => [...document.images].map(i => i.src).filter(u => u.startsWith('file:'))"
TOO_WIDE = """() => document.documentElement.scrollWidth <= innerWidth ? [] :
  [...document.querySelectorAll('main *')]
    .filter(element => element.getBoundingClientRect().right > innerWidth + 1)
    .slice(0, 3).map(element => element.outerHTML.slice(0, 120))"""
NAMELESS = """() => [...document.querySelectorAll('main svg, main canvas')]
  .filter(drawing => !drawing.closest('[aria-hidden="true"], mjx-container, button, a, summary'))
  .filter(drawing => !drawing.getAttribute('aria-label')?.trim()
    && !drawing.getAttribute('aria-labelledby')
    && !drawing.querySelector(':scope > title')?.textContent.trim())
  .map(drawing => drawing.outerHTML.slice(0, 120))"""


@dataclass
class Visit:
    """What one page did."""

    name: str
    complaints: list[str] = field(default_factory=list)
    """What the console said, and requests that failed or left the disk."""
    weight: int = 0
    """Bytes of the page and of every file it loads, the pictures further down included."""
    first_paint: float | None = None
    """Milliseconds until something is seen. Measured, never judged: a loaded machine is slow."""
    barriers: dict[str, list[str]] = field(default_factory=dict)
    """Severe findings of axe, by theme and screen."""
    too_wide: list[str] = field(default_factory=list)
    """What makes the page scroll sideways on a phone."""
    nameless: list[str] = field(default_factory=list)
    """Drawings that a screen reader does not announce."""


def pages_in(book: Path) -> list[Path]:
    """Return the HTML files that readers see: the theme's own parts are not."""
    static = book / "_static"
    listings = static / "source"
    return [
        path
        for path in sorted(book.rglob("*.html"))
        if static not in path.parents or listings in path.parents
    ]


def visit(browser: Browser, book: Path) -> list[Visit]:
    """Open every page; listings of source code, all of one make, in fewer variants."""
    context = browser.new_context(viewport=DESKTOP, color_scheme="light", offline=True)
    try:
        return [_visit(context.new_page(), path, book) for path in pages_in(book)]
    finally:
        context.close()


def _visit(page: Page, path: Path, book: Path) -> Visit:
    found = Visit(str(path.relative_to(book)))
    files: set[Path] = set()
    watch(page, found.complaints, files)
    page.goto(path.as_uri())
    if 'http-equiv="refresh"' in path.read_text(encoding="utf-8"):
        # The root's index.html leads on to the start page; nothing can be asked in between.
        page.wait_for_url(lambda address: address != path.as_uri())
    page.wait_for_load_state("load")
    page.evaluate(SETTLED)
    # The page asks for all its pictures, also for those further down.
    files |= {Path(unquote(urlsplit(address).path)) for address in page.evaluate(PICTURES)}
    found.weight = sum(file.stat().st_size for file in files if file.is_file())
    found.first_paint = page.evaluate(FIRST_PAINT)
    found.complaints += [f"formula: {text}" for text in page.evaluate(FORMULAS)]
    found.nameless = page.evaluate(NAMELESS)

    page.evaluate(AXE_SCRIPT)
    # Colours are judged where they come to rest, not on their way from light to dark.
    page.add_style_tag(content="*, ::before, ::after { transition: none !important }")
    listing = {"_modules", "source"} & set(path.relative_to(book).parts)
    for screen, size in (("desktop", DESKTOP), ("phone", PHONE)):
        page.set_viewport_size(size)
        page.evaluate(LAID_OUT)
        if screen == "phone":
            found.too_wide = page.evaluate(TOO_WIDE)
        if listing and screen == "phone":
            continue
        found.barriers[f"any theme, {screen}"] = severe(page.evaluate(STRUCTURE))
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            page.wait_for_function(
                "theme => [undefined, theme].includes(document.documentElement.dataset.theme)",
                arg=theme,
            )
            found.barriers[f"{theme}, {screen}"] = severe(page.evaluate(CONTRAST))
    page.close()
    return found


def watch(page: Page, complaints: list[str], files: set[Path] | None = None) -> None:
    """Note errors and warnings of a page, and what it asks for."""

    def console(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            complaints.append(f"console {message.type}: {message.text}")

    def request(asked: Request) -> None:
        address = urlsplit(asked.url)
        if address.scheme == "file":
            if files is not None:
                files.add(Path(unquote(address.path)))
        elif address.scheme not in {"data", "blob"}:
            complaints.append(f"not on the disk: {asked.url}")

    page.on("console", console)
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("request", request)
    page.on("requestfailed", lambda asked: complaints.append(f"failed: {asked.url}"))


def severe(results: dict[str, Any]) -> list[str]:
    """Return the severe violations, one line for each element."""
    return [
        f"{violation['id']}: {node['target'][-1]}: {_reason(node['failureSummary'])}"
        for violation in results["violations"]
        if violation["impact"] in SEVERE
        for node in violation["nodes"]
    ]


def _reason(summary: str) -> str:
    lines: Iterable[str] = (line.strip() for line in summary.splitlines()[1:])
    return next(iter(lines), "")
