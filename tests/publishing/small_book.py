"""A small book in a temporary folder, and ways to run the real commands on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from polarity.publishing.environment import contained_environment, repository_root

REPOSITORY = repository_root()
assert REPOSITORY is not None

FRONT = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  name: python3
  display_name: Python 3
{extra}---

# {title}
"""


def page_text(
    name: str,
    *body: str,
    parameters: str = "",
    after: Sequence[str] = (),
    inputs: Sequence[str] = (),
    data: Sequence[str] = (),
    card: bool = True,
) -> str:
    """Return the text of a page; ``body`` holds code cells, or prose where it starts with ``>``."""
    ours = [f"  after: [{', '.join(after)}]"] if after else []
    ours += [f"  inputs: {list(inputs)}"] if inputs else []
    ours += [f"  data: {list(data)}"] if data else []
    extra = "\n".join(["polarity:", *ours, ""]) if ours else ""
    cells = [
        f"```{{code-cell}} ipython3\n:tags: [parameters]\n\ntier = 'live'\n{parameters}\n```",
        code(f"from polarity.publishing import Page\npage = Page({name!r}, tier=tier)"),
    ]
    cells += [part[1:].strip() if part.startswith(">") else code(part) for part in body]
    if card:
        cells.append(code("page.provenance()"))
    return FRONT.format(extra=extra, title=name.title()) + "\n" + "\n\n".join(cells) + "\n"


def code(source: str) -> str:
    return f"```{{code-cell}} ipython3\n{source}\n```"


class Project:
    """A clone in miniature: configuration, lock and pages."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "book").mkdir(parents=True)
        shutil.copy(REPOSITORY / "_config.yml", root)
        shutil.copytree(REPOSITORY / "book" / "_static", root / "book" / "_static")
        shutil.copy(REPOSITORY / "book" / "references.bib", root / "book")
        (root / "constraints.txt").write_text("torch==2.13.0\n")

    def toc(self, *names: str) -> None:
        lines = ["format: jb-book", f"root: book/{names[0]}"]
        if len(names) > 1:
            lines += ["chapters:", *(f"  - file: book/{name}" for name in names[1:])]
        (self.root / "_toc.yml").write_text("\n".join(lines) + "\n")

    def page(self, name: str, *body: str, **options: object) -> Path:
        path = self.root / "book" / f"{name}.md"
        path.write_text(page_text(name, *body, **options))  # type: ignore[arg-type]
        return path

    def environment(self) -> dict[str, str]:
        (self.root / ".cache").mkdir(exist_ok=True)
        kept = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
        return kept | contained_environment(self.root)

    def command(self, *arguments: str) -> list[str]:
        build = [sys.executable, "-m", "polarity.publishing.build", "--root", str(self.root)]
        return [*build, *arguments]

    def build(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            cwd=self.root,
            env=self.environment(),
        )

    def papermill(
        self, name: str, *arguments: str, cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        cwd = cwd or self.root
        # Relative, as a person types it; papermill would format braces in an absolute path.
        page = f"jt://{os.path.relpath(self.root / 'book' / name, cwd)}.md"
        out = os.path.relpath(self.root / f"{name}.ipynb", cwd)
        return subprocess.run(
            [sys.executable, "-m", "papermill", page, out, *arguments],
            capture_output=True,
            text=True,
            cwd=cwd,
            env=self.environment() | variables,
        )

    def executed(self, name: str, tier: str = "live") -> list[Path]:
        return sorted((self.root / "_build" / "executed" / tier).glob(f"{name}-*.ipynb"))
