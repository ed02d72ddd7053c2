"""What the tests of publishing share."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_book import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return an empty clone. Its folder has spaces and braces, as a user's may: papermill formats
    paths."""
    return Project(tmp_path / "a {folder} of one's own")
