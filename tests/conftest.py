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


# Files whose tests look at the book. They share one build and one visit to its pages, which take
# longest: they begin, and one process runs them all.
BOOK = ("browser/test_markup.py", "browser/test_pages.py", "publishing/test_whole_book.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    for item in items:
        if "smoke_book" in getattr(item, "fixturenames", ()):
            assert item.path.as_posix().endswith(BOOK), f"{item.path} must be listed in BOOK"
    items.sort(key=lambda item: not item.path.as_posix().endswith(BOOK))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give all tests of a file to one process, and the files of the book to one."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return "book" if file.endswith(BOOK) else file

    return ByFile(config, log)


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
