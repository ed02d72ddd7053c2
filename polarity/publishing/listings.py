"""Source files as pages of the book, so that a verdict leads to the code and the test behind it.

Each is one HTML file with its lines numbered; every function and class has its name as an anchor.
They are made when the book is staged, from the files as they are then.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

__all__ = ["FOLDER", "listing", "write_listings"]

FOLDER = "source"
"""The folder of listings below the book's static files."""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><a href="{home}">Polarity is all you need</a><h1>{title}</h1></header>
<main>{code}</main>
</body>
</html>
"""

_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0; font: 0.85rem/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
header { padding: 0.8rem 1.2rem; font-family: system-ui, sans-serif; border-bottom: 1px solid; }
h1 { margin: 0.2rem 0 0; font-size: 1.1rem; overflow-wrap: anywhere; }
a { color: inherit; }
pre { margin: 0; padding: 0.6rem 1.2rem; white-space: pre-wrap; overflow-wrap: anywhere; }
pre .linenos { opacity: 0.75; user-select: none; padding-right: 1rem; }
span:has(> a[id]:target) { background: light-dark(#fff3c4, #4a3f10); }
"""


def listing(path: Path, title: str, home: str) -> str:
    """Return a Python file as an HTML page.

    Parameters
    ----------
    path
        The file.
    title
        The page's: the file's path in the repository.
    home
        Where the book begins, seen from the page.
    """
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    text = path.read_text(encoding="utf-8")
    look = {"linespans": "L", "linenos": "inline", "wrapcode": True, "nowrap": False}
    light = HtmlFormatter(style="a11y-high-contrast-light", **look)
    dark = HtmlFormatter(style="a11y-high-contrast-dark", **look)
    code = highlight(text, PythonLexer(), light)
    for name, line in _definitions(text):
        # Before the line's own text; the first definition of a name is the one that is meant.
        code = code.replace(
            f'<span id="L-{line}">', f'<span id="L-{line}"><a id="{escape(name)}"></a>', 1
        )
    style = (
        _STYLE
        + light.get_style_defs(".highlight")
        + "@media (prefers-color-scheme: dark) {"
        + dark.get_style_defs(".highlight")
        + "}"
    )
    return _PAGE.format(title=escape(title), style=style, home=home, code=code)


def _definitions(text: str) -> list[tuple[str, int]]:
    """Return the functions and classes of a file's top level, with their lines."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    found: dict[str, int] = {}
    for node in ast.parse(text).body:
        if isinstance(node, kinds):
            found.setdefault(node.name, node.lineno)
    return list(found.items())


def write_listings(root: Path, static: Path, files: Iterable[str]) -> None:
    """Write listings below the static files of a staged book.

    Parameters
    ----------
    root
        The clone.
    static
        The staged book's static files, which the HTML has beside the folder of its pages.
    files
        Python files, from the top of the clone. Those that a clone lacks are left out.
    """
    for name in sorted(set(files)):
        if not (root / name).is_file():
            continue
        target = static / FOLDER / re.sub(r"\.py$", ".html", name)
        target.parent.mkdir(parents=True, exist_ok=True)
        home = "../" * (len(Path(FOLDER, name).parts)) + "book/index.html"
        target.write_text(listing(root / name, name, home), encoding="utf-8")
