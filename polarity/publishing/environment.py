"""Where the repository is, and an environment in which all but downloads stay inside it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["contained_environment", "enter", "repository_root", "users_folders"]


def repository_root() -> Path | None:
    """Return the clone that holds this package, or None for a package installed without one.

    It is found from the place of the package, never from the working directory: papermill may run
    a notebook anywhere.
    """
    import polarity

    root = Path(polarity.__file__).resolve().parents[1]
    return root if (root / "pyproject.toml").is_file() else None


def contained_environment(root: Path) -> dict[str, str]:
    """Return the variables that keep every cache, setting and log below ``root/.cache``.

    The Makefile exports the same ones; they are repeated here so that ``python -m
    polarity.publishing.build`` behaves alike without it.

    Parameters
    ----------
    root
        The clone.

    Returns
    -------
    dict
        Variables to set. ``JUPYTER_PATH`` puts the kernel of the running Python first, whatever
        kernels the user has installed elsewhere under the same name.
    """
    cache = root / ".cache"
    places = {
        "IPYTHONDIR": "ipython",
        "JUPYTER_CONFIG_DIR": "jupyter/config",
        "JUPYTER_DATA_DIR": "jupyter/data",
        "JUPYTER_RUNTIME_DIR": "jupyter/runtime",
        "MPLCONFIGDIR": "matplotlib",
        "NUMBA_CACHE_DIR": "numba",
        "TRITON_CACHE_DIR": "triton",
        "XDG_CACHE_HOME": "xdg/cache",
        "XDG_CONFIG_HOME": "xdg/config",
        "XDG_DATA_HOME": "xdg/data",
    }
    variables = {name: str(cache / place) for name, place in places.items()}
    variables["JUPYTER_PATH"] = str(Path(sys.prefix) / "share" / "jupyter")
    variables["JUPYTER_PREFER_ENV_PATH"] = "1"
    return variables


def users_folders() -> dict[str, str]:
    """Return the variables that name where downloads are kept, for every clone of the user.

    They are downloads of this package (``POLARITY_DATA``) and of torch (``TORCH_HOME``). Unless the
    user has named other places, these are where they lie without :func:`contained_environment`,
    which moves the cache that they would be in.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    usual = {"POLARITY_DATA": cache / "polarity" / "data", "TORCH_HOME": cache / "torch"}
    return {name: os.environ.get(name, str(place)) for name, place in usual.items()}


def enter(root: Path) -> None:
    """Apply :func:`contained_environment` to this process and the kernels it will start."""
    os.environ.update(users_folders())  # as they are before caches are moved
    # IPython warns where not even the parent of its folder exists.
    (root / ".cache").mkdir(parents=True, exist_ok=True)
    os.environ.update(contained_environment(root))
    # A backend chosen for scripts would silence the inline figures of a notebook.
    os.environ.pop("MPLBACKEND", None)
    # Keep the debugger's advice on frozen modules out of the terminal.
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
