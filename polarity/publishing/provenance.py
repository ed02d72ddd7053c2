"""What stands behind the numbers of a page: commit, versions, machine, parameters, seconds.

Papermill records parameters, times and its own version. A reader who wants to repeat a page, or to
explain a difference, needs the rest.
"""

from __future__ import annotations

import html
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from polarity._files import sha256_of
from polarity._machine import processor

from .environment import repository_root

__all__ = ["Commit", "Provenance", "commit", "device", "repeat_command", "system", "versions"]

COMMIT_FILE = ".polarity-commit"  # in an archive, which has no .git
CHECKSUMS = "SHA256SUMS"  # of all that is in an archive
MAIN = ("python", "polarity", "torch", "numpy")  # the versions shown without unfolding the list


@dataclass(frozen=True)
class Commit:
    """A commit, and whether the files on disk differed from it."""

    id: str
    dirty: bool

    def __str__(self) -> str:
        return self.id[:12] + (" with uncommitted changes" if self.dirty else "")


def commit(root: Path | None = None) -> Commit | None:
    """Return the commit of the clone at ``root``.

    Parameters
    ----------
    root
        The clone; by default the one that holds this package. The working directory is never
        consulted.

    Returns
    -------
    Commit or None
        None without git, outside a clone, or before the first commit. Untracked files that git
        does not ignore count as changes: they might be imported. Of an unpacked archive (``make
        archive``), the commit that it was made of.
    """
    root = repository_root() if root is None else root
    if root is None:
        return None
    top = _git(root, "rev-parse", "--show-toplevel")
    # A copy of the sources inside some other repository has no commit of its own.
    if top is None or Path(top).resolve() != root.resolve():
        return _archived(root)
    head = _git(root, "rev-parse", "HEAD")
    status = _git(root, "status", "--porcelain")
    if head is None or status is None:
        return None
    return Commit(head, dirty=bool(status))


def _archived(root: Path) -> Commit | None:
    """Return the commit that an archive names, and whether files have changed since."""
    try:
        commit, *changed = (root / COMMIT_FILE).read_text(encoding="utf-8").split()
        lines = (root / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    # Results may be made anew without being other results.
    sums = {
        name: digest
        for digest, _, name in (line.partition("  ") for line in lines)
        if not name.startswith("_build/")
    }

    def is_whole(name: str) -> bool:
        try:
            return sha256_of(root / name) == sums[name]
        except OSError:
            return False

    whole = all(map(is_whole, sums)) and _sources(root, sums) <= sums.keys()
    return Commit(commit, dirty=bool(changed) or not whole)


def _sources(root: Path, sums: Mapping[str, str]) -> set[str]:
    """Name the files in the folders of an archive, without those that running it makes."""
    folders = {name.split("/")[0] for name in sums if "/" in name}
    made = {"__pycache__", ".ipynb_checkpoints", ".DS_Store"}
    return {
        name.as_posix()
        for folder in folders
        for path in (root / folder).rglob("*")
        if path.is_file()
        and not made & set((name := path.relative_to(root)).parts)
        and name.suffix != ".ipynb"
    }


def _git(root: Path, *arguments: str) -> str | None:
    # GIT_DIR and its like, as set inside a git hook, would point at another repository.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            check=False,
            env=environment,
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def versions() -> dict[str, str]:
    """Return the versions of Python, this package, and every library it depends on directly."""
    from packaging.requirements import Requirement

    found = {"python": platform.python_version(), "polarity": _version("polarity")}
    for line in sorted(metadata.requires("polarity") or [], key=str.lower):
        name = Requirement(line).name
        if name not in found:
            found[name] = _version(name)
    return {name: version for name, version in found.items() if version}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def device(parameters: Mapping[str, object] | None = None) -> str:
    """Describe the machine: processor, cores this process may use, and accelerator if any.

    Parameters
    ----------
    parameters
        Parameters of the run; a ``device`` of ``"cpu"`` leaves the accelerator out.
    """
    usable = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    cores = f"{processor()}, {usable} core{'s' if usable != 1 else ''}"
    torch = sys.modules.get("torch")  # a page that has not imported it has not used a GPU
    wanted = str((parameters or {}).get("device", "auto"))
    if torch is None or wanted == "cpu" or not torch.cuda.is_available():
        return cores
    return f"{torch.cuda.get_device_name()}, {cores}"


def system() -> str:
    """Name the operating system and the architecture: ``Linux x86_64``."""
    return f"{platform.system()} {platform.machine()}"


def repeat_command(page: str, parameters: Mapping[str, object], output: str | None = None) -> str:
    """Return the command that repeats a page with the parameters that differ from its defaults.

    Parameters
    ----------
    page
        Name of the notebook without its ending.
    parameters
        Names and values.
    output
        File to write; by default ``page`` with the ending ``.ipynb``.

    Examples
    --------
    >>> repeat_command("xor5d", {"trials": 10, "sizes": [8, 20], "reset": "posRand"})
    "papermill jt://book/xor5d.md xor5d.ipynb -p trials 10 -y 'sizes: [8, 20]' -p reset posRand"
    """
    words = ["papermill", f"jt://book/{page}.md", output or f"{page}.ipynb"]
    for name, value in parameters.items():
        words += _option(name, value)
    return shlex.join(words)


def _option(name: str, value: object) -> list[str]:
    match value:
        case bool() | int() | float() | None:
            return ["-p", name, str(value)]
        case str() if _stays_text(value):
            return ["-p", name, value]
        case str():
            return ["-r", name, value]  # papermill would turn "10" into a number
        case _:
            import yaml

            text = yaml.safe_dump(_plain(value), default_flow_style=True, width=10**6).strip()
            return ["-y", f"{name}: {text}"]


def _plain(value: object) -> object:
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def _stays_text(value: str) -> bool:
    if value in {"True", "False", "None"}:
        return False
    try:
        float(value)
    except ValueError:
        return True
    return False


@dataclass(frozen=True)
class Provenance:
    """The facts on the card that ends every page.

    Attributes
    ----------
    page, tier
        Which page, at which cost (``"live"`` or ``"smoke"``).
    commit, dirty
        Full hash of the commit and whether files differed from it; None without git.
    started
        When, in UTC, ISO 8601.
    seconds
        From the page's start to this card.
    parameters, changed
        All parameters as run, and those of them that were passed in.
    versions
        Of Python and the libraries.
    device, system
        The machine.
    command
        What to type in a clone, at that commit, to get this page again.
    stored
        Which stored results the page reads, and what makes the like; empty where it reads none.
    variations
        Other questions that the page can be asked, each with the parameters that ask it.
    """

    page: str
    tier: str
    commit: str | None
    dirty: bool
    started: str
    seconds: float
    parameters: dict[str, Any]
    changed: dict[str, Any]
    versions: dict[str, str]
    device: str
    system: str
    command: str
    stored: str = ""
    variations: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(
            f"{name}: {value}" for name, value in {**self._rows(), "Repeat": self.command}.items()
        )

    def _rows(self) -> dict[str, str]:
        known = Commit(self.commit, self.dirty) if self.commit else "no commit known"
        main = ", ".join(f"{n} {self.versions[n]}" for n in MAIN if n in self.versions)
        seeds = {name: value for name, value in self.parameters.items() if "seed" in name}
        rest = {name: value for name, value in self.parameters.items() if name not in seeds}
        return {
            "Commit": str(known),
            "Tier": self.tier,
            "Run": f"{self.started[:16].replace('T', ' ')} UTC, {_duration(self.seconds)}",
            "Device": f"{self.device} ({self.system})",
            **({"Stored runs": self.stored} if self.stored else {}),
            "Seeds": _list(seeds, self.changed) or "none among the parameters",
            "Parameters": _list(rest, self.changed) or "none",
            "Versions": main,
        }

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<div><dt>{name}</dt><dd>{html.escape(value)}</dd></div>"
            for name, value in self._rows().items()
        )
        everything = "".join(
            f"<li>{html.escape(name)} {html.escape(version)}</li>"
            for name, version in self.versions.items()
        )
        checkout = f"git checkout {self.commit[:12]}\n" if self.commit else ""
        warning = (
            '<p class="provenance-dirty">This page was computed with changes that no commit holds; '
            "the commands repeat it only up to those changes.</p>"
            if self.dirty
            else ""
        )
        return (
            '<section class="provenance-card" aria-label="Provenance of this page">'
            '<p class="provenance-title">Provenance</p>'
            f"<dl>{rows}</dl>"
            '<p class="provenance-label">To repeat this page</p>'
            f'<pre class="provenance-command"><code>{html.escape(checkout + self.command)}'
            f"</code></pre>{warning}{self._questions()}"
            f"<details><summary>All {len(self.versions)} versions</summary>"
            f'<ul class="provenance-versions">{everything}</ul></details></section>'
        )

    def _questions(self) -> str:
        """Return the part of the card that asks the page something else."""
        if not self.variations:
            return ""
        mine = "my-run.ipynb"
        steps = {
            question: repeat_command(self.page, parameters, mine)
            for question, parameters in self.variations.items()
        }
        steps["Any of them beside the page of this book"] = f"polarity compare {mine}"
        return '<p class="provenance-label">To ask something else</p>' + "".join(
            f'<p class="provenance-question">{html.escape(question)}</p>'
            f'<pre class="provenance-command"><code>{html.escape(command)}</code></pre>'
            for question, command in steps.items()
        )


def _list(parameters: Mapping[str, object], changed: Mapping[str, object]) -> str:
    return ", ".join(
        f"{name} = {value!r}" + (" (changed)" if name in changed else "")
        for name, value in parameters.items()
    )


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
