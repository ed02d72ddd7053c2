"""The facts on a provenance card."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from papermill.cli import _resolve_type

from polarity.publishing.provenance import (
    Commit,
    Provenance,
    commit,
    device,
    repeat_command,
    versions,
)


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "file").write_text("one")
    git(folder, "add", "file")
    git(folder, "commit", "-q", "-m", "one")
    return folder


def test_a_clean_clone(clone: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # the working directory must not matter
    monkeypatch.setenv("GIT_DIR", str(tmp_path))  # nor what a git hook exports
    monkeypatch.delenv("GIT_DIR")
    head = git(clone, "rev-parse", "HEAD")
    assert commit(clone) == Commit(head, dirty=False)
    assert str(commit(clone)) == head[:12]


def test_variables_of_a_git_hook_do_not_mislead(
    clone: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    head = git(clone, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    assert commit(clone) == Commit(head, dirty=False)


def test_a_change_and_an_untracked_file_are_dirty(clone: Path) -> None:
    (clone / "new").touch()
    found = commit(clone)
    assert found is not None and found.dirty
    (clone / "new").unlink()
    (clone / "file").write_text("two")
    found = commit(clone)
    assert found is not None and found.dirty
    assert str(found).endswith("with uncommitted changes")


def test_no_commit_outside_a_clone(tmp_path: Path, clone: Path) -> None:
    assert commit(tmp_path) is None
    inside = clone / "unpacked"  # sources in someone else's repository are not at its commit
    inside.mkdir()
    assert commit(inside) is None


def test_no_commit_without_git(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert commit(clone) is None


def test_no_commit_before_the_first(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert commit(tmp_path) is None


def test_to_ask_for_the_commit_does_not_write_into_the_clone(clone: Path) -> None:
    os.utime(clone / "file", (1, 1))  # as `git status` would note in the index
    index = (clone / ".git" / "index").read_bytes()
    assert commit(clone) == Commit(git(clone, "rev-parse", "HEAD"), dirty=False)
    assert (clone / ".git" / "index").read_bytes() == index


def test_a_gpu_is_named_where_the_page_could_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "A GPU")
    cores = device({"device": "cpu"})
    assert "A GPU" not in cores
    assert device() == device({"device": "auto"}) == f"A GPU, {cores}"
    monkeypatch.setitem(sys.modules, "torch", None)
    assert device() == cores


def test_versions_include_what_the_results_depend_on() -> None:
    import torch

    found = versions()
    assert found["torch"] == torch.__version__
    assert {"python", "polarity", "numpy", "numba", "scipy", "papermill"} <= set(found)


def parse_as_papermill(command: str) -> dict[str, Any]:
    """Read the options as papermill's command line does."""
    words = shlex.split(command)
    assert words[:3] == ["papermill", "jt://book/xor5d.md", "xor5d.ipynb"]
    found: dict[str, Any] = {}
    rest = iter(words[3:])
    for word in rest:
        if word == "-p":
            name = next(rest)
            found[name] = _resolve_type(next(rest))
        elif word == "-r":
            name = next(rest)
            found[name] = next(rest)
        else:
            assert word == "-y"
            found |= yaml.safe_load(next(rest))
    return found


SCALARS = (
    st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]))
    | st.sampled_from(["10", "1e3", "True", "None", "nan", "posRand", "a b", "$HOME", "-x"])
)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["trials", "rate", "sizes", "reset"]), SCALARS | st.lists(SCALARS)
    )
)
def test_the_command_repeats_the_parameters(parameters: dict[str, Any]) -> None:
    """Oracle: papermill's own reading of the command line gives the parameters back."""
    assert parse_as_papermill(repeat_command("xor5d", parameters)) == parameters


def card(**changes: Any) -> Provenance:
    facts: dict[str, Any] = {
        "page": "xor5d",
        "tier": "live",
        "commit": "0123456789abcdef",
        "dirty": False,
        "started": "2026-01-02T03:04:05+00:00",
        "seconds": 82.6,
        "parameters": {"seed": 3, "trials": 10, "data_seed": 4},
        "changed": {"trials": 10},
        "versions": {"python": "3.11.7", "torch": "2.13.0", "lifelines": "0.30.3"},
        "device": "A processor, 2 cores",
        "system": "Linux x86_64",
        "command": "papermill jt://book/xor5d.md xor5d.ipynb -p trials 10",
    }
    return Provenance(**{**facts, **changes})


def test_the_card_shows_every_fact() -> None:
    html = card()._repr_html_()
    for fact in (
        "0123456789ab",
        "2026-01-02 03:04 UTC, 1 min 23 s",
        "<dd>seed = 3, data_seed = 4</dd>",
        "<dd>trials = 10 (changed)</dd>",
        "A processor, 2 cores (Linux x86_64)",
        "torch 2.13.0",
        "lifelines 0.30.3",
        "git checkout 0123456789ab\npapermill jt://book/xor5d.md xor5d.ipynb -p trials 10",
    ):
        assert fact in html
    assert "no commit holds" not in html


def test_the_card_of_a_dirty_clone_says_so() -> None:
    assert "no commit holds" in card(dirty=True)._repr_html_()


def test_the_card_without_git_says_so() -> None:
    html = card(commit=None)._repr_html_()
    assert "no commit known" in html
    assert "git checkout" not in html


def test_the_card_escapes_what_it_shows() -> None:
    html = card(parameters={"title": "<script>"})._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_the_card_gives_commands_that_ask_something_else() -> None:
    assert "ask something else" not in card()._repr_html_()
    variations = {"Few & <other> sizes": {"sizes": [8, 20]}, "Other data": {"seed": 1}}
    html = card(variations=variations)._repr_html_()
    assert "Few &amp; &lt;other&gt; sizes" in html and "<other>" not in html
    for command in (
        "papermill jt://book/xor5d.md my-run.ipynb -y &#x27;sizes: [8, 20]&#x27;",
        "papermill jt://book/xor5d.md my-run.ipynb -p seed 1",
        "polarity compare my-run.ipynb",
    ):
        assert f"<code>{command}</code>" in html
