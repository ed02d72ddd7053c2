"""The glossary defines what the pages link to."""

from __future__ import annotations

import re
from pathlib import Path

from polarity.publishing.environment import repository_root


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
