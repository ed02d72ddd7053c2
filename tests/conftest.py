"""What every test shares."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from polarity.publishing.environment import repository_root

# One thread: tests measure results, not speed, and sums must not depend on the machine's cores.
torch.set_num_threads(1)

# No test waits for a network, nor do the pages that tests build.
os.environ["POLARITY_OFFLINE"] = "1"


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give the tests of a file to one process; those that look at the book, first, to another.

    They share one build and one visit to its pages, which take longest.
    """
    items.sort(key=lambda item: "smoke_book" not in item.fixturenames)
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            name = "book" if "smoke_book" in item.fixturenames else str(item.path)
            item.add_marker(pytest.mark.xdist_group(name))


@pytest.fixture(scope="session")
def smoke_book() -> Path:
    """Build the book at the smoke tier, as `make smoke` does, and return the folder of its HTML.

    One build serves every test that looks at the book. Another run finds its pages kept.
    """
    root = repository_root()
    assert root is not None
    environment = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    done = subprocess.run(
        [sys.executable, "-m", "polarity.publishing.build", "--tier", "smoke"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=root,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return root / "_build" / "smoke" / "html"
