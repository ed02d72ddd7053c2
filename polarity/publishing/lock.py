"""The direct dependencies, their pins in the lock, and the conda environment made from both.

``pyproject.toml`` has ranges, for those who use the package as a library; ``constraints.txt`` pins
every package, for the book and the tests; ``environment.yml`` serves conda and Binder with the same
pins. The last is written by this module, as the second half of ``make lock``.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .environment import repository_root

__all__ = ["direct_dependencies", "environment_yml", "pins"]

ENVIRONMENT_PYTHON = "3.12"
LEFT_OUT = frozenset({"bench", "lint", "test"})  # extras that a reader's environment does without

HEADER = """\
# For conda (`conda env create -f environment.yml`) and Binder. Made by `make lock`: the pins are
# those of constraints.txt, which holds all the other packages as well.
name: polarity
channels: [conda-forge]
dependencies:
  - python={python}
  - pip
  - pip:
      # Linux builds of torch without CUDA, small enough for Binder; remove it to use a GPU.
      - --extra-index-url https://download.pytorch.org/whl/cpu
      - -c constraints.txt
      - -e .
"""


def direct_dependencies(
    root: Path, *, without: Iterable[str] = ()
) -> Iterator[tuple[str, Requirement]]:
    """Yield the extra ("" for the core) and requirement of every direct dependency.

    Parameters
    ----------
    root
        The clone.
    without
        Extras to leave out.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    for extra, lines in groups.items():
        for requirement in map(Requirement, lines):
            if extra not in set(without) and requirement.name != project["name"]:
                yield extra, requirement


def pins(root: Path, python: str) -> dict[str, str]:
    """Return the pinned version of every package in the lock.

    Parameters
    ----------
    root
        The clone.
    python
        Version of Python, such as ``"3.12"``: a few packages have different pins.

    Returns
    -------
    dict
        Normalised name -> version, on Linux.

    Raises
    ------
    ValueError
        If a line is not an exact pin.
    """
    target = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_machine": "x86_64",
        "sys_platform": "linux",
    }
    found: dict[str, str] = {}
    for line in (root / "constraints.txt").read_text(encoding="utf-8").splitlines():
        text = line.split("#")[0].strip()
        if not text:
            continue
        requirement = Requirement(text)
        specifiers = list(requirement.specifier)
        if len(specifiers) != 1 or specifiers[0].operator != "==":
            raise ValueError(f"constraints.txt must hold exact pins, got {line!r}")
        if requirement.marker is None or requirement.marker.evaluate(target):
            found[canonicalize_name(requirement.name)] = specifiers[0].version
    return found


def environment_yml(root: Path) -> str:
    """Return the text of ``environment.yml``: every direct dependency with its pin."""
    locked = pins(root, ENVIRONMENT_PYTHON)
    names = {
        canonicalize_name(requirement.name)
        for _, requirement in direct_dependencies(root, without=LEFT_OUT)
    }
    lines = [f"      - {name}=={locked[name]}\n" for name in sorted(names)]
    return HEADER.format(python=ENVIRONMENT_PYTHON) + "".join(lines)


def main() -> None:
    """Write ``environment.yml``."""
    argparse.ArgumentParser(
        prog="python -m polarity.publishing.lock",
        description="Write environment.yml anew, with the pins of constraints.txt.",
    ).parse_args()
    root = repository_root()
    if root is None:
        raise SystemExit("the package is not in a clone")
    (root / "environment.yml").write_text(environment_yml(root), encoding="utf-8")
    print("environment.yml follows constraints.txt")


if __name__ == "__main__":
    main()
