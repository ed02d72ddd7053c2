"""What Sphinx and the theme leave undone on a rendered page, done on its text.

The theme is made for sites with a server. From a disk, and by the measure of a validator or of a
reader without a mouse, some things are missing; each function here puts one of them right and says
what was wrong. ``tests/browser`` looks at the result.
"""

from __future__ import annotations

import html
import logging
import re
from pathlib import Path
from urllib.parse import unquote

__all__ = ["finish"]

# Scripts and style sheets that no page needs. The icons' script (1.5 MB, on every page) draws what
# the theme's own icon font draws as well; the search index serves the page of results alone, as the
# field in the sidebar only leads there; thebe would be fetched from the net, twice.
UNUSED = (
    r'<script [^>]*src="[^"]*_static/scripts/fontawesome\.js[^"]*"[^>]*></script>',
    r'<script [^>]*src="[^"]*_static/sphinx-thebe\.js[^"]*"[^>]*></script>',
    r"<script>const THEBE_JS_URL = .*?</script>",
    r'<link [^>]*href="[^"]*_static/sphinx-thebe\.css[^"]*"[^>]*/>',
)
SEARCH = (
    r'<script src="[^"]*_static/searchtools\.js[^"]*"></script>',
    r'<script src="[^"]*_static/language_data\.js[^"]*"></script>',
    r'<script src="[^"]*searchindex\.js[^"]*"></script>',
)
DESIGN = (  # cards and tabs
    r'<link [^>]*href="[^"]*_static/sphinx-design\.min\.css[^"]*"[^>]*/>',
    r'<script [^>]*src="[^"]*_static/design-tabs\.js[^"]*"[^>]*></script>',
)
UNUSED_FILES = (
    "scripts/fontawesome.js",
    "sphinx-thebe.js",
    "sphinx-thebe.css",
    "webpack-macros.html",  # templates for whoever builds the themes
    "sbt-webpack-macros.html",
)

# The theme's own script runs after the first paint: until then a reader in the dark sees white.
MODE = """<script>
    {
      const root = document.documentElement.dataset;
      const dark = matchMedia("(prefers-color-scheme: dark)").matches;
      root.mode = localStorage.getItem("mode") || "auto";
      root.theme = root.mode === "auto" ? (dark ? "dark" : "light") : root.mode;
    }
  </script>"""

# Under each result, Sphinx shows lines that it fetches from the page; a browser refuses that to a
# page from the disk, with an error for each result.
NO_SUMMARY = """<script>
    if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  </script>
"""

REDIRECT = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="0; url={target}">
<title>{title}</title>
</head>
<body><main><h1>{title}</h1><p><a href="{target}">Start page</a></p></main></body>
</html>
"""

ICON = re.compile(r'((?:\.fa-[a-z0-9-]+:+before,?)+)\{content:"[^"]*"\}')
DEFINITION = re.compile(
    r'<dt id="(?P<id>term-[^"]*)">.*?</dt>\s*<dd>(?P<text>.*?)</dd>', flags=re.DOTALL
)


def finish(book: Path, *, title: str) -> None:
    """Put right every page of a rendered book, in place.

    Parameters
    ----------
    book
        The folder that holds the book's ``index.html``.
    title
        Of the book, for the page that leads to the start page.
    """
    pages = {
        path: path.read_text(encoding="utf-8")
        for path in sorted(book.rglob("*.html"))
        if "_static" not in path.relative_to(book).parts
    }
    anchors = {path.resolve(): _ids(text) for path, text in pages.items()}
    definitions = _definitions(pages)
    for path, text in pages.items():
        if target := re.match(r'\s*<meta http-equiv="Refresh" content="0; url=([^"]+)"', text):
            # Jupyter Book's has no head, no language, and nothing for those who do not redirect.
            better = REDIRECT.format(target=target[1], title=html.escape(title))
        else:
            better = _scripts(text, search=path.name == "search.html")
            better = _head(better, up="../" * (len(path.relative_to(book).parts) - 1))
            better = _structure(better)
            better = _names(better)
            better = _back_to_reference(better, path, book, anchors)
            better = _hover(better, definitions)
        if better != text:
            path.write_text(better, encoding="utf-8")
    _icons(book)
    _sheets(book)
    for name in UNUSED_FILES:
        (book / "_static" / name).unlink(missing_ok=True)
    for path in (book / "_static").rglob("*.map"):  # for the theme's own developers: 3.5 MB
        path.unlink()


def _icons(book: Path) -> None:
    """Keep of the theme's 1,900 icons, 240 kB on every page, those that the book has."""
    from fontTools import subset

    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells all that it leaves out
    readers = [*book.rglob("*.html"), *book.rglob("*.js")]
    used = {
        name
        for path in readers
        for name in re.findall(r"\bfa-[a-z0-9-]+", path.read_text(encoding="utf-8"))
    }

    def kept(rule: re.Match[str]) -> str:
        return rule[0] if used & set(re.findall(r"fa-[a-z0-9-]+", rule[1])) else ""

    drawn: set[int] = set()
    for sheet in book.rglob("*.css"):
        rules = ICON.sub(kept, sheet.read_text(encoding="utf-8"))
        sheet.write_text(rules, encoding="utf-8")
        # A style sheet names a character by its number, or holds it.
        drawn |= {int(code, 16) for code in re.findall(r"\\([0-9a-f]{2,4})(?![0-9a-f])", rules)}
        drawn |= {ord(character) for character in rules if character > "\x7f"}
    for path in book.rglob("fa-solid-900.woff2"):
        options = subset.Options(flavor="woff2")
        font = subset.load_font(path, options)
        chosen = subset.Subsetter(options)
        chosen.populate(unicodes=drawn)
        chosen.subset(font)
        subset.save_font(font, path, options)


def _sheets(book: Path) -> None:
    """Leave comments and blanks out of the style sheets."""
    import rcssmin

    for sheet in book.rglob("*.css"):
        rules: str = rcssmin.cssmin(sheet.read_text(encoding="utf-8"))
        if sheet.name.startswith("mystnb."):  # what folds a cell is no paragraph: see _structure
            rules = rules.replace("summary>p.", "summary>.")
        sheet.write_text(rules, encoding="utf-8")


def _ids(text: str) -> set[str]:
    return set(re.findall(r'\sid="([^"]+)"', text))


def _scripts(text: str, *, search: bool) -> str:
    """Leave out scripts that do nothing here, and let the rest work from a disk."""
    unused: tuple[str, ...] = UNUSED if search else (*UNUSED, *SEARCH)
    if not re.search(r'class="[^"]*\bsd-', text):
        unused += DESIGN
    for pattern in unused:
        text = re.sub(rf"[ \t]*{pattern}\n?", "", text)
    text = re.sub(
        r'<script data-cfasync="false">.*?</script>', lambda _: MODE, text, count=1, flags=re.DOTALL
    )
    if search:
        text = re.sub(
            r'(?=[ \t]*<script src="[^"]*searchtools\.js)', lambda _: NO_SUMMARY, text, count=1
        )
    return text


def _head(text: str, *, up: str) -> str:
    """Have one viewport, and addresses in the preview of a shared link that lead somewhere."""
    viewports = re.findall(r"<meta name=\"viewport\"[^>]*>", text)
    for viewport in viewports[1:]:
        start, _, rest = text.rpartition(viewport)
        text = start + rest
    # Without the site's address, the extension writes paths as seen from the site's root.
    text = re.sub(r'<meta property="og:url" content="(?!https?:)[^"]*" />\n?', "", text)
    return re.sub(
        r'(<meta property="og:image" content=")(?!https?:)([^"]*")',
        lambda found: found[1] + up + found[2],
        text,
    )


def _structure(text: str) -> str:
    """Mend what is no valid HTML."""
    # Sphinx puts a list, as the description of a parameter, inside a paragraph.
    text = re.sub(r" – (<[uo]l[ >])", r" –</p>\1", text)
    text = re.sub(r"(</[uo]l>)\s*</p></li>", r"\1</li>", text)
    text = re.sub(r"</p>(\s*</p>)+", "</p>", text)
    # Entries of a bibliography are items of a list; the older role is none that a list may hold.
    text = text.replace('role="doc-biblioentry"', 'role="listitem"')
    # What folds a cell, and the code of a listing, hold phrases: no paragraph, no block.
    text = re.sub(
        r'<p (class="(?:collapsed|expanded) admonition-title")>(.*?)</p>',
        r"<span \1>\2</span>",
        text,
    )
    if 'class="viewcode-block"' in text:
        text = re.sub(
            r"<pre>.*?</pre>",
            lambda found: re.sub(r"<(/?)div\b", r"<\1span", found[0]),
            text,
            flags=re.DOTALL,
        )
    # Style sheets of tables and pictures belong into the head.
    head, end, body = text.partition("</head>")
    sheets = re.findall(r"<style[^>]*>.*?</style>", body, flags=re.DOTALL)
    body = re.sub(r"<style[^>]*>.*?</style>\n?", "", body, flags=re.DOTALL)
    filled = [sheet for sheet in sheets if re.search(r">\s*\S+.*<", sheet, flags=re.DOTALL)]
    text = head + "".join(f"{sheet}\n" for sheet in filled) + end + body
    # sphinx-proof gives every theorem and every proof of a page the same identifier.
    for name in ("proof-content", "proof"):
        first, same, rest = text.partition(f' id="{name}"')
        text = first + same + rest.replace(same, "") if same else text
    return text


def _names(text: str) -> str:
    """Give a name to what a screen reader would announce as nothing."""
    # The arrow that unfolds the pages below a page, in the sidebar.
    text = re.sub(
        r'(<a class="(?:current )?reference internal" href="[^"]*">([^<]*)</a><details[^>]*>)'
        r"<summary>",
        r'\1<summary aria-label="Pages below: \2">',
        text,
    )
    return text


def _back_to_reference(text: str, path: Path, book: Path, anchors: dict[Path, set[str]]) -> str:
    """Repair the links from a listing of a module to where the book documents its names.

    Sphinx derives them from the first name of the module that it meets: if that is documented where
    it is exported (``polarity.core.read``), so are all, it thinks.
    """
    relative = path.relative_to(book).with_suffix("").parts
    if relative[0] != "_modules":
        return text
    module = relative[1:]

    def repaired(found: re.Match[str]) -> str:
        page, _, anchor = found[1].partition("#")
        known = anchors.get((path.parent / unquote(page)).resolve(), set())
        parts = tuple(anchor.split("."))
        candidates = [
            ".".join(module[:depth] + parts[cut:])
            for cut in range(1, len(parts))
            for depth in range(len(module), 0, -1)
        ]
        right = next((name for name in (anchor, *candidates) if name in known), anchor)
        return f'<a class="viewcode-back" href="{page}#{right}"'

    return re.sub(r'<a class="viewcode-back" href="([^"]*)"', repaired, text)


def _definitions(pages: dict[Path, str]) -> dict[str, str]:
    """Return what the glossary says about each of its terms, by the term's anchor."""
    found = {}
    for text in pages.values():
        for glossary in re.findall(r'<dl class="[^"]*\bglossary\b.*?</dl>', text, flags=re.DOTALL):
            for entry in DEFINITION.finditer(glossary):
                plain = re.sub(r"<[^>]+>", "", entry["text"])
                found[entry["id"]] = " ".join(html.unescape(plain).split())
    return found


def _hover(text: str, definitions: dict[str, str]) -> str:
    """Put a term's definition at hand wherever the term is linked; the style sheet shows it."""

    def defined(found: re.Match[str]) -> str:
        meaning = definitions.get(found["id"])
        if meaning is None:
            return found[0]
        return f'{found["start"]} data-definition="{html.escape(meaning)}">'

    return re.sub(
        r'(?P<start><a class="reference internal" href="[^"#]*#(?P<id>term-[^"]*)")>', defined, text
    )
