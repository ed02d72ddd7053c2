"""Buttons for Binder and Colab: none without a repository, and right ones with it."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
import yaml
from small_book import Project

from polarity.publishing import launching
from polarity.publishing.environment import repository_root
from polarity.publishing.launching import repository_url, with_launch_buttons, write_notebooks
from polarity.publishing.sources import BookError

URL = "https://github.com/owner/name"


def test_the_book_sets_its_repository_in_one_place() -> None:
    text = ((repository_root() or Path()) / "_config.yml").read_text()
    assert len(re.findall(r"repository(?:_url)?:", text)) == 1
    config = yaml.safe_load(text)
    assert with_launch_buttons(config) == config or repository_url(config)


@pytest.mark.parametrize("config", [{}, {"repository": None}, {"repository": {"url": ""}}])
def test_without_an_address_nothing_is_added(config: dict[str, object]) -> None:
    assert with_launch_buttons(config) == config


@pytest.mark.parametrize(
    "url", ["name", "http://github.com/a/b", "https://example.org/a/b", "https://github.com/a"]
)
def test_what_is_no_repository_is_refused(url: str) -> None:
    with pytest.raises(BookError, match=r"must be like https://github.com/OWNER/NAME.*got"):
        repository_url({"repository": {"url": url}})


@pytest.mark.book
def test_buttons_open_the_notebooks_that_are_written(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.toc("index", "prose")
    project.page("index", "1 + 1")
    (project.root / "book" / "prose.md").write_text("# Prose\n\nNothing to run.\n")
    without = project.build()
    assert without.returncode == 0, without.stdout + without.stderr
    html = project.root / "_build" / "html" / "book"
    for page in html.glob("*.html"):
        assert not re.search("mybinder|colab", page.read_text())
    with pytest.raises(BookError, match="set repository: url first"):
        write_notebooks(project.root, project.root / "out")

    config = project.root / "_config.yml"
    config.write_text(re.sub(r'(repository:\n  url: )""', rf'\1"{URL}"', config.read_text()))
    done = project.build()
    assert done.returncode == 0, done.stdout + done.stderr
    text = (html / "index.html").read_text()
    colab = f"https://colab.research.google.com/github/owner/name/blob/{launching.BRANCH}/"
    (opened,) = set(re.findall(rf"{re.escape(colab)}([^\"]+)", text))
    assert f"https://mybinder.org/v2/gh/owner/name/{launching.BRANCH}?urlpath=lab/tree/" in text
    assert f'href="{URL}"' in text
    assert "colab" not in (html / "prose.html").read_text()  # no notebook, no button

    monkeypatch.setattr(launching.environment, "repository_root", lambda: project.root)
    out = project.root / "out"
    assert launching.main([str(out)]) == 0
    assert capsys.readouterr().out == f"1 notebooks in {out}\n"
    notebook = nbformat.read(out / opened, as_version=4)  # what the button opens is there
    assert f"--branch {launching.BRANCH} {URL} " in notebook.cells[0].source
    (executed,) = project.executed("index")  # for pages that draw on it
    assert (out / executed.relative_to(project.root)).read_bytes() == executed.read_bytes()
    workflow = (repository_root() or Path()) / ".github" / "workflows" / "book.yml"
    assert "git add --force book/*.ipynb _build/executed\n" in workflow.read_text()
    assert any(cell.get("outputs") for cell in notebook.cells)
