"""A real browser for the tests that look at pages: the system's Chromium, driven by Playwright.

Playwright downloads no browser here. Without a Chromium (Debian and Ubuntu: ``apt install
chromium``) these tests are skipped, unless ``CI`` is set: there they fail, so that nothing goes
unchecked.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = "POLARITY_CHROMIUM"  # environment variable: the browser to use
NAMES = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)  # fmt: skip
# Chromium talks to its maker's hosts unless told not to. Without a GPU, it renders in software.
SWITCHES = [
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return a headless Chromium. Each test opens a context of its own in it."""
    path = os.environ.get(CHROMIUM) or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        message = f"no Chromium: install one (apt install chromium), or name it in ${CHROMIUM}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as crashes:
        root = hasattr(os, "geteuid") and os.geteuid() == 0
        launched = playwright.chromium.launch(
            executable_path=path,
            chromium_sandbox=not root,  # its sandbox refuses to work for root
            args=[*SWITCHES, f"--crash-dumps-dir={Path(crashes)}"],
        )
        yield launched
        launched.close()
