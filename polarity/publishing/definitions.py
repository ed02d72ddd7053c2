"""Definitions of the glossary, carried to every place of the book where a term is linked."""

from __future__ import annotations

import html
import re
from pathlib import Path

__all__ = ["carry_definitions", "definitions_of"]

_ENTRY = re.compile(r'<dt id="(term-[^"]+)">.*?</dt>\s*<dd>(.*?)</dd>', re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


def definitions_of(glossary: str) -> dict[str, str]:
    """Return the plain text of every definition on a rendered glossary, by its anchor.

    Examples
    --------
    >>> definitions_of('<dt id="term-tier">tier<a>#</a></dt><dd><p>The <em>size</em>.</p></dd>')
    {'term-tier': 'The size.'}
    """
    return {
        anchor: " ".join(html.unescape(_TAG.sub("", text)).split())
        for anchor, text in _ENTRY.findall(glossary)
    }


def carry_definitions(folder: Path) -> int:
    """Write each term's definition beside the links to it, for style sheet and screen reader.

    Parameters
    ----------
    folder
        The rendered pages, one of which is ``glossary.html``; without it nothing is done.

    Returns
    -------
    int
        Number of links.
    """
    glossary = folder / "glossary.html"
    if not glossary.is_file():
        return 0
    known = definitions_of(glossary.read_text(encoding="utf-8"))
    links = 0

    def carry(found: re.Match[str]) -> str:
        nonlocal links
        words = known.get(found["anchor"])
        if words is None:
            return found[0]
        links += 1
        return f'{found["begin"]} data-definition="{html.escape(words)}"{found["end"]}'

    link = re.compile(
        r'(?P<begin><a class="reference internal" href="(?:glossary\.html)?#(?P<anchor>term-[^"]+)")'
        r"(?P<end>>)"
    )
    for page in sorted(folder.glob("*.html")):
        before = page.read_text(encoding="utf-8")
        after = link.sub(carry, before)
        if after != before:
            page.write_text(after, encoding="utf-8")
    return links
