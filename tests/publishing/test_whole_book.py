"""The book itself: every page at the smoke tier, rendered with warnings as errors."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from polarity.publishing.environment import repository_root
from polarity.publishing.page import kept, stored
from polarity.publishing.sources import pages_of

ROOT = repository_root()

pytestmark = pytest.mark.book


@pytest.mark.timeout(1800)
def test_every_page_runs_and_the_book_renders(smoke_book: Path) -> None:
    assert ROOT is not None
    pages = pages_of(ROOT)
    assert (smoke_book / "index.html").is_file()
    for page in pages:
        assert (smoke_book / f"{page.docname}.html").is_file()
        if page.has_code:
            notebook = kept(ROOT / "_build" / "executed" / "smoke", page.name)[0]
            _, (card,) = stored(nbformat.read(notebook, as_version=4))
            assert card["page"] == page.name
            assert card["tier"] == "smoke"
            # What a reader can change is shown being changed.
            assert bool(card["variations"]) == bool(card["parameters"].keys() - {"tier"}), page.name


def test_pages_that_compute_can_be_shrunk() -> None:
    """A page that measures claims declares its tier, or `make smoke` would take minutes."""
    assert ROOT is not None
    for page in pages_of(ROOT):
        if page.has_code:
            assert page.parameters("smoke") == {"tier": "smoke"}, page.name
