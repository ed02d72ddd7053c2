"""The builder, through its command line, on a small book."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from small_book import Project

from polarity.publishing.build import main
from polarity.publishing.execution import PageError, execute
from polarity.publishing.sources import pages_of

pytestmark = pytest.mark.book

COUNT = "from pathlib import Path\nwith Path('runs.txt').open('a') as f: print(page.name, file=f)"


def small_book(project: Project) -> Project:
    """Three pages: claims draws on xor5d, and on what it glued and measured."""
    project.toc("index", "claims", "xor5d")
    project.page("index", COUNT, "> Prose about $x$, {glue:text}`xor5d.ipynb::answer:.1f`.")
    project.page(
        "xor5d",
        COUNT,
        "import numpy as np\nfrom tqdm import tqdm\npage.glue('answer', np.float64(41.96))",
        "for _ in tqdm(range(3)): pass",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()",
    )
    project.page(
        "claims",
        COUNT,
        "from polarity.publishing import executed_notebooks\n"
        "print(len(executed_notebooks(['xor5d'], tier)))",
        after=["xor5d"],
    )
    return project


def runs(project: Project) -> list[str]:
    """Return the pages executed since the last call."""
    path = project.root / "runs.txt"
    text = path.read_text() if path.exists() else ""
    path.unlink(missing_ok=True)
    return sorted(text.split())


def tell(done: subprocess.CompletedProcess[str], page: str) -> str:
    """Return what the builder said of a page in the end."""
    lines = re.findall(rf"^ +{page} +(\S.*)$", done.stdout, re.MULTILINE)
    assert lines, done.stdout + done.stderr
    return str(lines[-1])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    project = small_book(Project(tmp_path_factory.mktemp("book") / "a {folder} of one's own"))
    done = project.build()
    assert done.returncode == 0, done.stdout + done.stderr
    return project, done.stdout + done.stderr


def test_a_first_build_executes_and_renders_every_page(built: tuple[Project, str]) -> None:
    project, said = built
    assert runs(project) == ["claims", "index", "xor5d"]
    assert said.count("first time") == 6  # when it starts, and when it is done
    assert "it/s" not in said  # bars are for terminals
    html = project.root / "_build" / "html"
    assert f"The book: {(html / 'index.html').as_uri()}" in said
    assert "42.0" in (html / "book" / "index.html").read_text()
    assert "provenance-card" in (html / "book" / "xor5d.html").read_text()
    assert (html / "_static" / "polarity.css").is_file()


def test_the_book_needs_no_network(built: tuple[Project, str]) -> None:
    project, _ = built
    html = project.root / "_build" / "html"
    for path in html.glob("book/*.html"):
        page = path.read_text()
        scripts = re.findall(r"<script[^>]*src=\"([^\"]+)\"", page)
        styles = re.findall(r"<link[^>]*rel=\"stylesheet\"[^>]*href=\"([^\"]+)\"", page)
        assert any("mathjax" in script for script in scripts) == (path.stem == "index")
        for address in scripts + styles:
            assert "//" not in address
            assert (path.parent / address.split("?")[0]).resolve().is_file(), address


def test_results_hold_no_progress_bars_and_no_machine_paths(built: tuple[Project, str]) -> None:
    project, _ = built
    (path,) = project.executed("xor5d")
    notebook = nbformat.read(path, as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert notebook.metadata.papermill.input_path == "jt://book/xor5d.md"
    assert str(project.root) not in path.read_text()
    assert not list(path.parent.glob(".*"))


def test_nothing_is_written_outside_the_clone(project: Project, tmp_path: Path) -> None:
    project.toc("index")
    project.page("index", "import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()")
    home = tmp_path / "home"
    home.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        project.command(), capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(home.iterdir()) == []


def test_only_what_changed_is_executed_again(built: tuple[Project, str]) -> None:
    project, _ = built
    runs(project)
    again = project.build("--no-render")
    assert again.returncode == 0
    assert runs(project) == []
    for page in ("index", "xor5d", "claims"):
        assert re.match(r"kept: nothing changed since \d{4}-\d\d-\d\d \d\d:\d\d", tell(again, page))

    path = project.root / "book" / "xor5d.md"
    path.write_text(path.read_text().replace("41.96", "7.5"))
    changed = project.build()
    assert changed.returncode == 0
    assert runs(project) == ["claims", "xor5d"]
    assert tell(changed, "xor5d").endswith("book/xor5d.md changed")
    assert tell(changed, "claims").endswith("the results of xor5d changed")
    assert tell(changed, "index").startswith("kept")
    # A number glued into a page that was kept is the new one.
    assert "7.5" in (project.root / "_build" / "html" / "book" / "index.html").read_text()

    path.write_text(path.read_text().replace("7.5", "41.96"))
    assert project.build("--no-render").returncode == 0
    assert runs(project) == []  # the earlier results are still there

    assert project.build("--force", "--only", "index", "--no-render").returncode == 0
    assert runs(project) == ["index"]


def test_the_smoke_tier_has_a_book_of_its_own(built: tuple[Project, str]) -> None:
    project, _ = built
    before = (project.root / "_build" / "html" / "index.html").stat().st_mtime_ns
    runs(project)
    done = project.build("--tier", "smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    assert runs(project) == ["claims", "index", "xor5d"]
    page = (project.root / "_build" / "smoke" / "html" / "book" / "xor5d.html").read_text()
    assert "Smoke run" in page
    assert (project.root / "_build" / "html" / "index.html").stat().st_mtime_ns == before
    assert "Smoke run" not in (project.root / "_build/html/book/xor5d.html").read_text()


def test_one_page_and_those_it_draws_on(project: Project) -> None:
    small_book(project)
    done = project.build("--only", "claims")
    assert done.returncode == 0, done.stdout + done.stderr
    assert runs(project) == ["claims", "xor5d"]
    assert "not rendered: index must be executed first" in done.stdout
    unknown = project.build("--only", "claim")
    assert unknown.returncode == 1
    assert "--only claim: there is no such page; pages are index, xor5d, claims" in unknown.stderr


def test_a_page_that_is_older_than_its_code_says_so(project: Project) -> None:
    project.toc("index", "xor5d", "claims")
    data = project.root / "book" / "data" / "__init__.py"  # no Markdown, though it looks like it
    data.parent.mkdir()
    data.write_text("1")
    project.page("index", "> Old words.", inputs=["book/data/*"])
    project.page("xor5d", "page.glue('answer', 1.5)")
    project.page("claims", "> {glue:text}`xor5d.ipynb::answer:.1f`", after=["xor5d"])
    assert project.build().returncode == 0

    def shown(name: str) -> str:
        html = (project.root / "_build" / "html" / "book" / f"{name}.html").read_text()
        return " ".join(re.sub(r"<[^>]+>", "", html[html.index("<h1") :]).split())

    data.write_text("2")
    path = project.root / "book" / "xor5d.md"
    path.write_text(path.read_text().replace("1.5", "2.5"))
    done = project.build("--only", "xor5d")
    assert done.returncode == 0, done.stdout + done.stderr
    note = r"This page was computed on \d{4}-\d\d-\d\d \d\d:\d\d UTC, before "
    told = rf"{note}book/data/__init__\.py changed\. A build without --only computes it again\. "
    # The title, for print and as a heading, comes first.
    assert re.match(rf"Index Index# Warning {told}.*Old words", shown("index"))
    # One that draws on a page which was executed is outdated too.
    assert re.search(rf"{note}the results of xor5d changed\.", shown("claims"))
    assert "computed on" not in shown("xor5d")
    assert tell(done, "index").startswith("outdated: 20")
    assert tell(done, "claims").endswith("UTC, before the results of xor5d changed")
    # The results themselves are not touched.
    assert not [p for p in project.executed("index") if "computed on" in p.read_text()]

    data.write_text("1")
    again = project.build("--only", "xor5d")  # what there is fits again
    assert "index" not in re.findall(r"^ +(\w+) +outdated", again.stdout, re.MULTILINE)
    assert "computed on" not in shown("index") and "computed on" in shown("claims")


FAILURES = {
    "exception": (
        "def ratio(n):\n    return 1 / n\nratio(0)",
        "ZeroDivisionError: division by zero",
    ),
    "warning": ("import warnings\nwarnings.warn('beware')", "a published page has no warnings"),
    "dead": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "the kernel died"),
}


def test_pages_that_are_not_fit_to_publish(project: Project) -> None:
    project.toc("index", "later", *FAILURES)
    project.page("index", COUNT)
    project.page("later", COUNT, after=["exception"])
    for name, (cell, _) in FAILURES.items():
        project.page(name, cell)
    done = project.build()
    assert done.returncode == 1
    for name, (_, message) in FAILURES.items():
        assert f"\n{name}: " in done.stderr
        assert message in done.stderr
        assert tell(done, name) == "FAILED"
        assert project.executed(name) == []
    assert "later: not executed, because it draws on exception" in done.stderr
    assert done.stderr.rstrip().endswith("kept: index")
    assert not (project.root / "_build" / "html").exists()
    # The cell and the traceback are told, without the colours of a terminal.
    assert "exception: cell [3] of exception.md failed\n\n    def ratio(n):" in done.stderr
    assert re.search(r"-> \d+ +return 1 / n", done.stderr)
    assert "\x1b[" not in done.stderr
    executed = project.root / "_build" / "executed" / "live"
    assert str(executed / "exception.failed.ipynb") in done.stderr
    assert (executed / "exception.failed.ipynb").is_file()

    # The others are kept, and once the pages are mended only they and their dependents run.
    runs(project)
    project.toc("index", "later", "exception")
    project.page("exception", COUNT)
    mended = project.build("--no-render")
    assert mended.returncode == 0, mended.stderr
    assert tell(mended, "index").startswith("kept")
    assert runs(project) == ["exception", "later"]
    assert not list(executed.glob("exception.failed*"))


def test_what_changes_while_a_page_is_executed(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code of two minds makes no result; data may come, since a page fetches them itself."""
    monkeypatch.setenv("POLARITY_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    project.toc("index", "xor5d")
    project.page("index", COUNT, "Path('constraints.txt').open('a').write('numpy')")
    fetch = f"Path({str(tmp_path)!r}, 'cifar10_jpeg.npz').touch()"
    project.page("xor5d", COUNT, fetch, data=["cifar10"])
    done = project.build("--no-render")
    assert done.returncode == 1 and tell(done, "index") == "FAILED"
    assert "index: constraints.txt changed while the page was executed: build it" in done.stderr
    assert project.executed("index") == [] and len(project.executed("xor5d")) == 1
    project.page("index", COUNT)
    runs(project)
    again = project.build("--no-render")
    assert again.returncode == 0, again.stderr
    assert tell(again, "xor5d").startswith("kept") and runs(project) == ["index"]


def test_a_kernel_that_does_not_start_fails_its_page_alone(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.toc("index")
    project.page("index")
    (page,) = pages_of(project.root)

    def dies(*_: object, **__: object) -> None:
        raise RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr("papermill.execute_notebook", dies)
    folder = project.root / "executed"
    with pytest.raises(PageError, match=r"^index: RuntimeError: Kernel died before"):
        execute(page, folder, tier="live", root=project.root, settle=lambda: ("x", {}))
    assert list(folder.iterdir()) == []


def test_a_warning_of_the_renderer_fails_and_leaves_the_last_book(project: Project) -> None:
    project.toc("index")
    project.page("index")
    assert project.build().returncode == 0
    project.page("index", "> {glue:text}`no_such_number:.2f` and {ref}`nowhere`")
    done = project.build()
    assert done.returncode == 1
    assert "no_such_number" in done.stderr
    assert "nowhere" in done.stderr
    page = project.root / "_build" / "html" / "book" / "index.html"
    assert page.is_file() and "no_such_number" not in page.read_text()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_build_goes_on_where_it_was(project: Project, number: int) -> None:
    project.toc("index", "broken", "xor5d")
    project.page("index", COUNT)
    project.page("broken", COUNT, "if Path('hold').exists(): raise ValueError('held')")
    project.page(
        "xor5d",
        COUNT,
        "import time\nPath('busy').write_text(str(__import__('os').getpid()))\n"
        "while Path('hold').exists(): time.sleep(0.05)",
    )
    busy, hold = project.root / "busy", project.root / "hold"
    hold.touch()
    process = subprocess.Popen(
        project.command("--no-render"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=project.root,
        env=project.environment(),
    )
    wait_for(lambda: busy.exists() and busy.read_text() != "", process)

    second = project.build("--no-render")  # meanwhile, nobody else may build here
    assert second.returncode == 1
    assert f"another build is at work in {project.root / '_build'} (process " in second.stderr
    assert str(process.pid) in second.stderr

    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (-number if number == signal.SIGKILL else 130)
    if number != signal.SIGKILL:
        assert "Finished pages are kept" in said
        assert "broken: cell [4] of broken.md failed" in said and "ValueError: held" in said
        assert "Keyboard" not in said
    kernel = int(busy.read_text())
    deadline = time.monotonic() + 30
    while running(kernel):  # no kernel is left behind
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert project.executed("xor5d") == []
    assert len(project.executed("index")) == 1
    runs(project)
    hold.unlink()
    resumed = project.build("--no-render")
    assert resumed.returncode == 0, resumed.stderr
    assert runs(project) == ["broken", "xor5d"]
    assert tell(resumed, "index").startswith("kept")
    assert not list((project.root / "_build" / "executed" / "live").glob(".*"))


def running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")  # a zombie has ended
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def test_bars_are_drawn_in_a_terminal(project: Project) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("uses a pseudo-terminal as Linux has it")
    import pty
    import termios

    project.toc("index")
    project.page(
        "index",
        "import time\nfrom tqdm import tqdm\n"
        "for _ in tqdm(range(5), desc='training'): time.sleep(0.2)",
    )
    outside, inside = pty.openpty()
    termios.tcsetwinsize(inside, (24, 100))
    process = subprocess.Popen(
        project.command("--no-render"),
        stdout=subprocess.DEVNULL,
        stderr=inside,
        cwd=project.root,
        env=project.environment(),
    )
    os.close(inside)
    shown = b""
    while True:
        try:
            part = os.read(outside, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(outside)
    assert process.wait() == 0
    text = shown.decode()
    assert "Pages" in text and "training" in text


def test_help_and_bad_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    assert "--tier" in capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        main(["--tier", "paper"])
    assert left.value.code == 2
