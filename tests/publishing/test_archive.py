"""The archive of a small book: what is in it, and that it builds again."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from small_book import Project

from polarity.publishing import environment
from polarity.publishing.archive import main, write_archive
from polarity.publishing.provenance import Commit, commit
from polarity.publishing.rendering import STAGED
from polarity.publishing.sources import BookError

pytestmark = pytest.mark.book

COUNT = "from pathlib import Path\nwith Path('runs.txt').open('a') as f: print(page.name, file=f)"
STAMP = "2026-02-03T04:05:06+00:00"


def git(root: Path, *arguments: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {"GIT_COMMITTER_DATE": STAMP, "GIT_AUTHOR_DATE": STAMP}
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(root), *who, *arguments],
        capture_output=True,
        check=True,
        env=environment,
        text=True,
    )
    return done.stdout.strip()


def repository(project: Project) -> Project:
    """Make a repository of two pages with code and one without."""
    root = project.root
    project.toc("index", "xor5d", "prose")
    project.page("index", COUNT, "> {glue:text}`xor5d.ipynb::answer:.1f`", after=["xor5d"])
    project.page(
        "xor5d",
        COUNT,
        "page.glue('answer', 42.0)\nprint(Path('book/results/r').read_text())",
        "from matplotlib.figure import Figure\nfigure = Figure()\nfigure.subplots().plot([1, 2])\n"
        "page.figure('line', figure, 'A line.')",
        inputs=["book/results/*"],
    )
    (root / "book" / "prose.md").write_text("# Prose\n\nWords.\n")
    (root / "book" / "results").mkdir()
    (root / "book" / "results" / "r").write_text("[1]")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "pyproject.toml").write_text('[project]\nname = "polarity"\nversion = "1.2.3"\n')
    (root / ".gitignore").write_text("/_build/\n/.cache/\n/runs.txt\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "A book")
    return project


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = repository(Project(tmp_path_factory.mktemp("archive") / "a {folder} of one's own"))
    done = project.build()
    assert done.returncode == 0, done.stdout + done.stderr
    (project.root / "runs.txt").unlink()
    return project


@pytest.fixture
def changed(built: Project, tmp_path: Path) -> Project:
    """Return a copy that a test may change, with the times of all files."""
    copy = Project.__new__(Project)
    copy.root = tmp_path / "copy"
    archives = shutil.ignore_patterns("*.tar.gz")
    shutil.copytree(built.root, copy.root, copy_function=shutil.copy2, ignore=archives)
    return copy


@pytest.fixture(scope="module")
def archive(built: Project) -> Path:
    return write_archive(built.root)


@pytest.fixture
def unpacked(archive: Path, tmp_path: Path) -> Project:
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "else where", filter="data")
    (root,) = (tmp_path / "else where").iterdir()
    project = Project.__new__(Project)
    project.root = root
    return project


def names(archive: Path) -> set[str]:
    with tarfile.open(archive) as tar:
        return {name.partition("/")[2] for name in tar.getnames()}


def test_what_is_in_it(built: Project, archive: Path) -> None:
    head = git(built.root, "rev-parse", "HEAD")
    stem = f"polarity-1.2.3-{head[:12]}"
    assert archive == built.root / "_build" / f"{stem}.tar.gz"
    found = names(archive)
    assert set(git(built.root, "ls-files").splitlines()) <= found
    pages = {f"_build/executed/live/{built.executed(name)[0].name}" for name in ("index", "xor5d")}
    assert pages == {name for name in found if name.startswith("_build/executed")}
    assert {f"_build/html/book/{name}.html" for name in ("index", "xor5d", "prose")} <= found
    assert {"ARCHIVE.md", "SHA256SUMS", ".polarity-commit", "constraints.txt"} <= found
    assert {"book/results/r", "_build/html/index.html", "_build/html/_static/polarity.css"} <= found
    assert not [name for name in found if name.startswith((".git/", "_build/source", ".cache"))]


def test_nothing_in_it_is_of_this_machine(built: Project, archive: Path) -> None:
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
        assert [m.name for m in members[:-1]] == sorted(m.name for m in members[:-1])
        assert members[-1].name.endswith("/SHA256SUMS")
        stamp = int(git(built.root, "log", "-1", "--format=%ct"))
        owners = {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members}
        assert owners == {(0, 0, "", "", stamp)}
        assert {m.name.partition("/")[2] for m in members if m.mode == 0o755} == {"run.sh"}
        assert {m.mode for m in members} == {0o644, 0o755}
        for member in members:
            file = tar.extractfile(member)
            assert file is not None
            assert str(built.root).encode() not in file.read(), member.name


def test_two_archives_are_equal(built: Project, archive: Path, tmp_path: Path) -> None:
    os.utime(built.root / "constraints.txt", (1, 1))
    again = write_archive(built.root, tmp_path / "again.tar.gz")
    assert again.read_bytes() == archive.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.tar.gz"]


def test_the_checksums_are_right(unpacked: Project) -> None:
    tool = shutil.which("sha256sum")
    check = [tool, "-c"] if tool else ["shasum", "-a", "256", "-c"]
    done = subprocess.run([*check, "SHA256SUMS"], capture_output=True, text=True, cwd=unpacked.root)
    assert done.returncode == 0, done.stdout
    files = {p for p in unpacked.root.rglob("*") if p.is_file()}
    assert done.stdout.count(": OK\n") == len(files) - 1
    (unpacked.root / "run.sh").write_text("#!/bin/bash\n")
    done = subprocess.run([*check, "SHA256SUMS"], capture_output=True, text=True, cwd=unpacked.root)
    assert done.returncode == 1 and "run.sh: FAILED" in done.stdout


def test_it_builds_again_without_git(built: Project, unpacked: Project, tmp_path: Path) -> None:
    before = (unpacked.root / "_build" / "html" / "book" / "index.html").read_text()
    shutil.rmtree(unpacked.root / "_build" / "html")
    (tmp_path / "no programs").mkdir()
    environment = unpacked.environment() | {"PATH": str(tmp_path / "no programs")}
    done = subprocess.run(
        unpacked.command(), capture_output=True, text=True, cwd=unpacked.root, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("kept: nothing changed") == 2
    assert not (unpacked.root / "runs.txt").exists()
    assert "42.0" in before
    after = (unpacked.root / "_build" / "html" / "book" / "index.html").read_text()
    assert "42.0" in after and len(after) == len(before)


def test_the_commit_is_known_without_git(built: Project, unpacked: Project) -> None:
    head = git(built.root, "rev-parse", "HEAD")
    assert commit(unpacked.root) == Commit(head, dirty=False)
    # Results may be made anew.
    (unpacked.root / "_build" / "html" / "index.html").write_text("")
    assert commit(unpacked.root) == Commit(head, dirty=False)
    source = unpacked.root / "book" / "xor5d.md"
    text = source.read_text()
    source.write_text(text + "\nMore.\n")
    assert commit(unpacked.root) == Commit(head, dirty=True)
    source.unlink()
    assert commit(unpacked.root) == Commit(head, dirty=True)
    source.write_text(text)
    assert commit(unpacked.root) == Commit(head, dirty=False)
    # What running it makes is no change, an added module is.
    cache = source.parent / "__pycache__"
    cache.mkdir()
    (cache / "module.pyc").write_text("")
    assert commit(unpacked.root) == Commit(head, dirty=False)
    module = source.parent / "deeper" / "module.py"
    module.parent.mkdir()
    module.write_text("")
    assert commit(unpacked.root) == Commit(head, dirty=True)
    module.unlink()
    assert commit(unpacked.root) == Commit(head, dirty=False)
    # A repository made of it has commits of its own.
    git(unpacked.root, "init", "-q")
    assert commit(unpacked.root) is None
    shutil.rmtree(unpacked.root / ".git")
    (unpacked.root / ".polarity-commit").write_text("")
    assert commit(unpacked.root) is None


def test_a_clone_that_differs_from_its_commit(
    changed: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    root = changed.root
    (root / "notes.txt").write_text("not committed")
    (root / "run.sh").unlink()
    assert main(["--root", str(root)]) == 1
    said = capsys.readouterr().err
    assert "notes.txt" in said and "run.sh" in said and "--allow-dirty" in said
    assert list((root / "_build").glob("*.tar.gz")) == []

    assert main(["--root", str(root), "--allow-dirty"]) == 0
    (made,) = (root / "_build").glob("*.tar.gz")
    assert f"{made} (" in capsys.readouterr().out
    assert made.name.endswith("-dirty.tar.gz")
    assert "notes.txt" in names(made) and "run.sh" not in names(made)
    with tarfile.open(made) as tar:
        tar.extractall(root / "unpacked", filter="data")
    (folder,) = (root / "unpacked").iterdir()
    known = commit(folder)
    assert known is not None and known.dirty
    assert "with changes that no commit holds" in (folder / "ARCHIVE.md").read_text()


def test_a_page_that_was_executed_with_changes(
    changed: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its card says so, whatever has been committed since."""
    (executed,) = changed.executed("xor5d")
    text = executed.read_text()
    executed.write_text(re.sub(r'"dirty": (true|false)', '"dirty": true', text))
    done = changed.build()
    assert done.returncode == 0 and "xor5d        kept" in done.stdout, done.stdout + done.stderr
    assert '"dirty": true' in executed.read_text()
    write_archive(changed.root, tmp_path / "a.tar.gz")  # the card speaks of another clone
    monkeypatch.setattr(environment, "repository_root", lambda: changed.root)
    refused(changed, "page xor5d was executed when files differed.*`make book ARGS=--force`")
    write_archive(changed.root, tmp_path / "b.tar.gz", allow_dirty=True)


def refused(project: Project, message: str) -> None:
    with pytest.raises(BookError, match=message):
        write_archive(project.root)
    assert [p.name for p in (project.root / "_build").glob("*.partial")] == []


def test_results_that_are_missing_or_outdated(changed: Project) -> None:
    root = changed.root
    page = root / "_build" / "html" / "book" / "xor5d.html"
    page.rename(root / "_build" / "aside")
    refused(changed, "has not been rendered .*xor5d.*`make book`")
    (root / "_build" / "aside").rename(page)

    staged = root / "_build" / "source" / STAGED
    text = staged.read_text()
    digest = json.loads(text)["book/xor5d"]
    staged.write_text(text.replace(digest, 64 * "0"))
    os.utime(staged, (1, 1))
    refused(changed, "the book is older than its page xor5d: run `make book`")
    staged.write_text(text)  # staged after what is there was rendered
    refused(changed, "the book is older than its page")
    os.utime(staged, (1, 1))
    write_archive(root)
    staged.unlink()
    refused(changed, "the book is older than its page")
    staged.write_text(text)
    os.utime(staged, (1, 1))

    source = root / "book" / "xor5d.md"
    source.write_text(source.read_text() + "\nMore.\n")
    git(root, "commit", "-qam", "More")
    refused(changed, "page xor5d has not been executed as it is: run `make book` first")


def test_a_folder_that_is_no_clone(project: Project, unpacked: Project) -> None:
    refused(unpacked, "is no git clone with a commit")
    repository(project)
    refused(project, "page xor5d has not been executed")
    (project.root / "link").symlink_to("run.sh")
    git(project.root, "add", "-A")
    git(project.root, "commit", "-qm", "A link")
    refused(project, "link is no plain file")


def test_a_build_at_work_is_not_disturbed(built: Project) -> None:
    import fcntl

    with (built.root / "_build" / ".lock").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BookError, match="another build is at work"):
            write_archive(built.root)


def test_the_command_explains_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "polarity.publishing.archive", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--allow-dirty" in done.stdout and "--out" in done.stdout
