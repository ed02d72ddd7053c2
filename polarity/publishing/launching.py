"""Buttons that open a page in Binder or Colab, and the notebooks that they open.

One setting makes them: ``repository: url`` in ``_config.yml``. Without it the book has no such
button, since a button that leads nowhere is worse than none. Binder and Colab read notebooks from
a branch of the repository, :data:`BRANCH`: the sources, the executed pages beside their texts, and
once more where pages that draw on others look for them. ``python -m polarity.publishing.launching
FOLDER`` fills a checkout of it; CI pushes it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import environment
from .page import kept
from .sources import BookError, pages_of

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["BRANCH", "repository_url", "with_launch_buttons", "write_notebooks"]

BRANCH = "notebooks"
"""The branch from which Binder and Colab open pages."""

INSTALL = """\
# On Colab, this fetches what the page needs: the package, stored runs and the results of other
# pages, all of the commit that made this notebook. Elsewhere it does nothing.
import importlib.util
import sys

if "google.colab" in sys.modules and importlib.util.find_spec("polarity") is None:
    !git clone --quiet --depth 1 --branch {branch} {url} /content/polarity
    %pip install --quiet "/content/polarity[book]"
    sys.path.insert(0, "/content/polarity")  # what lies beside the package is found from there
"""


def repository_url(config: dict[str, Any]) -> str:
    """Return the repository's address in a configuration of the book, "" where none is set.

    Raises
    ------
    BookError
        If it is no address of a repository on GitHub: Binder and Colab open those.
    """
    url = str((config.get("repository") or {}).get("url") or "").rstrip("/").removesuffix(".git")
    if not url:
        return ""
    parts = urlsplit(url)
    names = [name for name in parts.path.split("/") if name]
    if parts.scheme != "https" or parts.netloc != "github.com" or len(names) != 2:
        raise BookError(
            "_config.yml: repository: url must be like https://github.com/OWNER/NAME, or empty; "
            f"got {url!r}"
        )
    return url


def with_launch_buttons(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration with all buttons that its repository's address allows.

    Examples
    --------
    >>> with_launch_buttons({"repository": {"url": ""}})
    {'repository': {'url': ''}}
    """
    url = repository_url(config)
    if not url:
        return config
    done = dict(config)
    done["repository"] = {"url": url, "branch": BRANCH}
    done["launch_buttons"] = {
        "binderhub_url": "https://mybinder.org",
        "colab_url": "https://colab.research.google.com",
        "notebook_interface": "jupyterlab",
    }
    sphinx = dict(done.get("sphinx") or {})
    settings = dict(sphinx.get("config") or {})
    theme = dict(settings.get("html_theme_options") or {})
    theme.pop("repository_url", None)
    theme |= {"use_repository_button": True, "use_issues_button": True}
    settings["html_theme_options"] = theme
    done["sphinx"] = sphinx | {"config": settings}
    return done


def installing(notebook: NotebookNode, url: str) -> NotebookNode:
    """Return an executed notebook that can start on Colab, where nothing is installed."""
    import nbformat

    cell = nbformat.v4.new_code_cell(
        INSTALL.format(url=url, branch=BRANCH), metadata={"tags": ["remove-cell"]}
    )
    notebook.cells.insert(0, cell)
    return notebook


def write_notebooks(root: Path, folder: Path) -> list[Path]:
    """Write the executed pages of the live tier beside their texts, and where the builder has them.

    Parameters
    ----------
    root
        The clone in which `make book` has run.
    folder
        A checkout of the branch :data:`BRANCH`.

    Returns
    -------
    list of Path
        The notebooks written.

    Raises
    ------
    BookError
        If no repository is set, or a page has not been executed.
    """
    import nbformat
    import yaml

    url = repository_url(yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8")))
    if not url:
        raise BookError("_config.yml: set repository: url first; without it there are no buttons")
    written = []
    for page in pages_of(root):
        if not page.has_code:
            continue
        executed = kept(root / "_build" / "executed" / "live", page.name)
        if not executed:
            raise BookError(f"page {page.name} has not been executed: run `make book` first")
        target = folder / f"{page.docname}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(installing(nbformat.read(executed[0], as_version=4), url), target)
        beside = folder / executed[0].relative_to(root)
        beside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(executed[0], beside)
        written.append(target)
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m polarity.publishing.launching",
        description=f"Write the executed pages into a checkout of the branch {BRANCH!r}, from "
        "which Binder and Colab open them.",
    )
    parser.add_argument("folder", type=Path, help="the checkout")
    folder = parser.parse_args(arguments).folder
    root = environment.repository_root()
    if root is None:
        parser.error("the package is not in a clone")
    try:
        written = write_notebooks(root, folder)
    except BookError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(written)} notebooks in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
