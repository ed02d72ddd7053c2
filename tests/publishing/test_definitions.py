"""A term carries its definition wherever it is linked."""

from __future__ import annotations

import re
from pathlib import Path

from polarity.publishing.definitions import carry_definitions
from polarity.publishing.environment import repository_root

GLOSSARY = (
    '<dl><dt id="term-tier">tier<a class="headerlink" href="#term-tier">#</a></dt>'
    '<dd><p>The "size" of an\n<em>experiment</em> &amp; more.</p></dd></dl>'
)
LINK = '<a class="reference internal" href="glossary.html#term-{}"><span>x</span></a>'


def test_links_get_the_words_of_the_glossary(tmp_path: Path) -> None:
    (tmp_path / "glossary.html").write_text(GLOSSARY)
    page = tmp_path / "page.html"
    page.write_text(f"<p>{LINK.format('tier')} {LINK.format('gone')} <a href='#x'>y</a></p>")
    assert carry_definitions(tmp_path) == 1
    text = page.read_text()
    assert 'data-definition="The &quot;size&quot; of an experiment &amp; more."' in text
    assert text.count("data-definition") == 1
    assert (tmp_path / "glossary.html").read_text() == GLOSSARY  # its own anchors are no terms


def test_without_a_glossary_nothing_is_done(tmp_path: Path) -> None:
    assert carry_definitions(tmp_path) == 0


def test_the_terms_that_pages_use_are_defined() -> None:
    book = (repository_root() or Path()) / "book"
    text = (book / "glossary.md").read_text()
    defined = set(re.findall(r"^(\S[^\n]*)\n  \S", text, re.MULTILINE))
    assert len(defined) > 20
    used = set()
    for page in book.glob("*.md"):
        for found in re.findall(r"\{term\}`([^`]+)`", page.read_text()):
            used.add(re.sub(r".*<(.*)>", r"\1", found))
    assert used <= defined
    assert len(used) > 10
