"""One page through papermill: what is refused, and what is left behind."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_book import Project
from tqdm import tqdm

from polarity.publishing.execution import (
    PageError,
    accept,
    check_kernel,
    strip_progress,
)


@settings(deadline=None)
@given(
    total=st.none() | st.integers(1, 10**7),
    steps=st.integers(0, 5),
    description=st.sampled_from(["", "training", "n = 60: width 64", "50%"]),
    unit=st.sampled_from(["it", "network", " runs"]),
    elapsed=st.sampled_from([0.0, 0.5, 100.0, 4000.0]),
    scale=st.booleans(),
)
def test_whatever_tqdm_draws_is_progress(
    total: int | None, steps: int, description: str, unit: str, elapsed: float, scale: bool
) -> None:
    """Oracle: tqdm's own formatter."""
    line = tqdm.format_meter(
        steps, total, elapsed, prefix=description, unit=unit, unit_scale=scale, ncols=None
    )
    assert strip_progress(f"\r{line}") == ""
    assert strip_progress(f"\x1b[A\r{line}\r\n") == ""


def test_real_bars_one_inside_the_other_are_progress() -> None:
    stream = io.StringIO()
    for _ in tqdm(range(3), desc="outer", file=stream, position=0):
        for _ in tqdm(range(3), desc="inner", file=stream, position=1, leave=False):
            pass
    assert "outer" in stream.getvalue()
    assert strip_progress(stream.getvalue()) == ""


@pytest.mark.parametrize(
    "text",
    [
        "UserWarning: 50% of the trials failed",
        "Traceback (most recent call last):",
        "100 | 200 [ok]",
        "loading [00:01]",
        "RuntimeWarning: overflow [12:30]",
    ],
)
def test_anything_else_is_not(text: str) -> None:
    bar = "\r 50%|#####     | 1/2 [00:00<00:00,  9.1it/s]"
    assert strip_progress(f"{bar}{bar}\n{text}\n{bar}\n") == text


def test_the_kernel_is_this_python(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in project.environment().items():
        monkeypatch.setenv(name, value)
    check_kernel()


def decoy_kernel(folder: Path) -> Path:
    """A kernel python3 of the user's, somewhere else, that does not even start."""
    spec = folder / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        '{"argv": ["/bin/false", "{connection_file}"], "display_name": "x", "language": "python"}'
    )
    return folder


def test_another_kernel_of_that_name_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in project.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("JUPYTER_PATH", str(decoy_kernel(tmp_path / "elsewhere")))
    with pytest.raises(PageError, match="the kernel python3 is /bin/false, not "):
        check_kernel()


def executed(*outputs: nbformat.NotebookNode) -> nbformat.NotebookNode:
    cells = [nbformat.v4.new_code_cell("compute()", outputs=[output]) for output in outputs]
    return nbformat.v4.new_notebook(cells=cells)


def card(name: str) -> nbformat.NotebookNode:
    metadata = {"polarity": {"provenance": {"page": name}}}
    return nbformat.v4.new_output("display_data", {"text/plain": ""}, metadata=metadata)


def stream(name: str, text: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_output("stream", name=name, text=text)


BAR = "\r 50%|#####     | 1/2 [00:00<00:00,  9.1it/s]"


def test_bars_are_removed_and_results_are_not() -> None:
    notebook = executed(stream("stderr", BAR), stream("stdout", "42"), card("xor5d"))
    accept("xor5d", notebook)
    assert [len(cell.outputs) for cell in notebook.cells] == [0, 1, 1]


ERROR = nbformat.v4.new_output("error", ename="SystemExit", evalue="0", traceback=[])


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([ERROR, card("xor5d")], "code cell 1 stores an error output, SystemExit: 0"),
        (
            [card("xor5d"), stream("stderr", BAR + "\nUserWarning: beware")],
            r"code cell 2 wrote to its error stream.*\n\n    compute\(\)\n\nUserWarning: beware$",
        ),
        ([], r"a page has one provenance card, got 0: end it with page\.provenance\(\)"),
        ([card("xor5d"), card("xor5d")], "a page has one provenance card, got 2"),
        ([card("capacity")], r"the page calls itself 'capacity'; write Page\('xor5d'\)"),
    ],
)
def test_what_is_not_fit_to_publish(outputs: list[nbformat.NotebookNode], message: str) -> None:
    with pytest.raises(PageError, match=f"(?s)^xor5d: .*{message}"):
        accept("xor5d", executed(*outputs))


@pytest.mark.book
def test_papermill_runs_a_page_with_other_parameters(project: Project, tmp_path: Path) -> None:
    """As a reader would, from another folder, with kernels and settings of their own."""
    project.page(
        "xor5d",
        "import sys, os\nprint(sys.executable, os.getcwd())",
        "page.glue('total', trials * 2)",
        parameters="trials = 50\nsizes = [8, 20]\nseed = 0",
    )
    home = tmp_path / "home"
    decoy_kernel(home / ".local" / "share" / "jupyter")
    home.chmod(0o555)
    elsewhere = project.root / "elsewhere"
    elsewhere.mkdir()
    arguments = ["-p", "trials", "10", "-y", "sizes: [60, 72]"]
    done = project.papermill("xor5d", *arguments, cwd=elsewhere, HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert "UserWarning" not in done.stderr
    notebook = nbformat.read(project.root / "xor5d.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = next(output.text for output in outputs if output.output_type == "stream")
    assert printed.split()[0] == sys.executable
    glued = [o for o in outputs if o.get("metadata", {}).get("scrapbook", {}).get("name")]
    total, verdicts = (str(*o.data.values()) for o in glued)
    assert total == "20" and "not measured" in verdicts  # with which a page of claims opens
    card = outputs[-1].metadata.polarity.provenance
    assert card.parameters == {"tier": "live", "trials": 10, "sizes": [60, 72], "seed": 0}
    assert card.changed == {"trials": 10, "sizes": [60, 72]}
    assert card.command == (
        "papermill jt://book/xor5d.md xor5d.ipynb -y 'sizes: [60, 72]' -p trials 10"
    )


@pytest.mark.book
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "trails", "10"], "trails = 10: there is no such parameter; did you mean trials?"),
        (["-p", "trials", "ten"], "trials = 'ten': must be int, like its default 50, got str"),
        (["-p", "tier", "paper"], "tier must be one of live, smoke; got 'paper'"),
    ],
)
def test_papermill_fails_on_a_bad_parameter(
    project: Project, arguments: list[str], message: str
) -> None:
    project.page("xor5d", "print('the page ran')", parameters="trials = 50")
    done = project.papermill("xor5d", *arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert "the page ran" not in (project.root / "xor5d.ipynb").read_text().replace(
        "print('the page ran')", ""
    )


@pytest.mark.book
def test_papermill_cannot_overwrite_a_text_notebook(project: Project) -> None:
    path = project.page("xor5d")
    before = path.read_text()
    done = subprocess.run(
        [sys.executable, "-m", "papermill", f"jt://{path.name}", f"jt://{path.name}"],
        capture_output=True,
        text=True,
        cwd=path.parent,
        env=project.environment(),
    )
    assert done.returncode != 0
    assert "jt:// is read-only" in done.stderr
    assert path.read_text() == before
