"""The book itself: every page at the smoke tier, rendered with warnings as errors."""

from __future__ import annotations

import os
import subprocess
import sys

import nbformat
import pytest

from polarity.publishing.environment import repository_root
from polarity.publishing.page import kept, stored
from polarity.publishing.sources import pages_of

ROOT = repository_root()

pytestmark = pytest.mark.book


@pytest.mark.timeout(1800)
def test_every_page_runs_and_the_book_renders() -> None:
    assert ROOT is not None
    environment = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    done = subprocess.run(
        [sys.executable, "-m", "polarity.publishing.build", "--tier", "smoke"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = pages_of(ROOT)
    html = ROOT / "_build" / "smoke" / "html"
    assert (html / "index.html").is_file()
    for page in pages:
        assert (html / f"{page.docname}.html").is_file()
        if page.has_code:
            notebook = kept(ROOT / "_build" / "executed" / "smoke", page.name)[0]
            _, (card,) = stored(nbformat.read(notebook, as_version=4))
            assert card["page"] == page.name
            assert card["tier"] == "smoke"


def test_pages_that_compute_can_be_shrunk() -> None:
    """A page that measures claims declares its tier, or `make smoke` would take minutes."""
    assert ROOT is not None
    for page in pages_of(ROOT):
        if page.has_code:
            assert page.parameters("smoke") == {"tier": "smoke"}, page.name
