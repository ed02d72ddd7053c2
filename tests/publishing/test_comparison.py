"""Two runs of a page compared: what is read from notebooks, and what is written from it."""

from __future__ import annotations

import base64
import html.parser
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from made_up_runs import (
    PNG,
    card,
    cell,
    ending,
    glued,
    measured,
    output,
    picture,
    prose,
    svg,
    write,
)
from nbformat.v4 import new_notebook, new_output
from small_book import Project

import polarity.__main__ as command
from polarity.publishing import comparison as module
from polarity.publishing.comparison import (
    Comparison,
    ComparisonError,
    compare,
    published,
    read_run,
    to_html,
)

SCRIPT = "<script>alert('x')</script>"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the package be in an empty clone."""
    monkeypatch.setattr(module, "repository_root", lambda: tmp_path / "clone")
    return tmp_path / "clone"


def pair(tmp_path: Path, before: list[Any], after: list[Any], **changes: Any) -> Comparison:
    """Compare two notebooks of these cells."""
    return compare(
        write(tmp_path / "after.ipynb", after, **changes), write(tmp_path / "before.ipynb", before)
    )


# --- parameters, versions, numbers --------------------------------------------------------------


def test_parameters_versions_and_numbers(tmp_path: Path) -> None:
    found = pair(
        tmp_path,
        [cell("a", glued("gain", 0.42), glued("rule", "posRand"), glued("same", 1))],
        [cell("b", glued("gain", 0.5), glued("rule", "zero's"), glued("same", 1))],
        parameters={"tier": "live", "trials": 10, "new": [1, 2]},
        versions={"python": "3.11.7", "torch": "2.14.0"},
    )
    told = {p.name: (p.before, p.after) for p in found.parameters}
    assert told == {
        "tier": ("'live'", "'live'"),
        "trials": ("50", "10"),
        "seed": ("0", None),
        "new": (None, "[1, 2]"),
    }
    assert [(v.name, v.before, v.after) for v in found.versions] == [("torch", "2.13.0", "2.14.0")]
    numbers = {n.name: (n.before, n.after) for n in found.numbers}
    assert numbers == {"gain": ("0.42", "0.5"), "rule": ("posRand", "zero's")}
    page = to_html(found)
    assert "<b>3</b> parameters differ" in page
    assert "1 equal parameter<" in page
    assert "not there" in page


def test_nothing_differs(tmp_path: Path) -> None:
    page = to_html(pair(tmp_path, [cell("a")], [cell("a")]))
    for words in ("All parameters are equal", "No parameter differs", "This page judges no claims"):
        assert words in page
    for heading in ("claims", "figures", "tables", "numbers"):
        assert f'<h2 id="{heading}">' not in page
    assert "Smoke run" not in page


def test_what_the_header_tells(tmp_path: Path) -> None:
    found = pair(tmp_path, [], [], commit=None, tier="smoke", seconds=74.6, device="a GPU")
    assert (found.before.commit, found.after.commit) == ("a" * 12, "not known")
    assert (found.before.took, found.after.took) == ("12.3 s", "1 min 15 s")
    assert found.before.started == "2026-05-04 03:02 UTC"
    page = to_html(found)
    assert "a GPU (Linux x86_64)" in page
    assert "before.ipynb" in page and str(tmp_path) not in page
    assert "Smoke run." in page
    assert "Stored runs" not in page
    stored = to_html(pair(tmp_path, [], [], stored="from runs.parquet"))
    assert "from runs.parquet" in stored and ">none<" in stored
    dirty = read_run(write(tmp_path / "dirty.ipynb", [], dirty=True))
    assert dirty.commit.endswith("with uncommitted changes")


def test_the_last_of_several_cards_counts(tmp_path: Path) -> None:
    run = read_run(write(tmp_path / "run.ipynb", [ending(seconds=1)], seconds=2))
    assert run.card.seconds == 2


# --- claims -------------------------------------------------------------------------------------


def test_verdicts_that_changed_come_first(tmp_path: Path) -> None:
    found = pair(
        tmp_path,
        [
            cell("b", measured("xor5d.less_time", 0.5, 0.4, 0.7)),
            cell("a", measured("xor5d.less_data", -0.03, -0.05, -0.02)),
            cell("c", measured("xor5d.time_60", 0.58, 0.5, 0.6)),
            cell("d", measured("gone.since", 1, 0, 2)),
        ],
        [
            cell("b", measured("xor5d.less_time", 0.9, 0.8, 1.1)),
            cell("a", measured("xor5d.less_data", -0.04, -0.05, -0.03)),
        ],
    )
    rows = {row.id: row for row in found.claims}
    # In the order of the ledger; what it does not hold comes last.
    assert list(rows) == ["xor5d.less_data", "xor5d.less_time", "xor5d.time_60", "gone.since"]
    assert [row.id for row in found.claims if row.changed] == [
        "xor5d.less_time",
        "xor5d.time_60",
        "gone.since",
    ]
    row = rows["xor5d.less_time"]
    assert row.before and row.after
    assert (row.before.outcome, row.after.outcome) == ("reproduced", "partly")
    assert (row.before.value, row.after.value) == ("0.50 (0.40 to 0.70)", "0.90 (0.80 to 1.10)")
    assert rows["xor5d.time_60"].after is None
    page = to_html(found)
    assert "Of 4 claims, <b>3</b> have another verdict" in page
    assert page.index('id="claim-xor5d.less_time"') < page.index('id="claim-xor5d.less_data"')
    text = re.sub(r"<[^>]+>", "", page[page.index('id="claim-xor5d.less_time"') :])
    assert re.search(r"✓ reproduced\s*→\s*≈ partly", text)  # a mark and a word, not a colour alone
    assert re.search(r"✓ reproduced\s*→\s*○ not measured", text)
    assert "58 %" in text


# --- figures ------------------------------------------------------------------------------------


def keys(found: Comparison) -> list[tuple[str, str]]:
    """Return the descriptions of the figures, in pairs."""
    return [
        (p.before.alt if p.before else "", p.after.alt if p.after else "") for p in found.pictures
    ]


def test_figures_are_paired_by_the_cell_that_drew_them(tmp_path: Path) -> None:
    one, two = picture(svg("1")), picture(svg("2"))
    found = pair(
        tmp_path,
        [
            cell("a", one, alt="A"),
            cell("b", one, two, alt="B"),
            cell("c", one, alt="C"),
            cell("c", one, alt="C again"),
        ],
        [
            cell("# Parameters"),
            cell("a", two, alt="A'"),
            cell("m", two, alt="M'"),
            cell("n", two, alt="N'"),
            cell("b", two, alt="B'"),
            cell("c", two, alt="C'"),
            cell("c", two, alt="C' again"),
        ],
    )
    assert keys(found) == [
        ("A", "A'"),
        ("", "M'"),
        ("", "N'"),
        ("B", "B'"),
        ("B", ""),
        ("C", "C'"),
        ("C again", "C' again"),
    ]
    page = to_html(found)
    assert page.count("This run does not have it.") == 3
    assert page.count("<img ") == 11


def test_figures_are_paired_by_name_where_both_have_one(tmp_path: Path) -> None:
    found = pair(
        tmp_path,
        [cell("a", picture(svg("1"), name="one", alt="A")), cell("b", picture(svg(), name="x"))],
        [cell("a, edited", picture(svg("2"), name="one", alt="A'")), cell("b", picture(svg("3")))],
    )
    assert keys(found) == [("A", "A'"), ("", "")]
    assert [p.before is not None and p.after is not None for p in found.pictures] == [True, True]


def test_equal_figures_are_shown_once(tmp_path: Path) -> None:
    found = pair(
        tmp_path,
        [cell("a", picture(svg("1", date="then")), picture(svg("2")))],
        [cell("a", picture(svg("1", date="now")), picture(svg("3")))],
    )
    assert [p.same for p in found.pictures] == [True, False]
    assert to_html(found).count("<img ") == 3


def test_figures_of_every_kind(tmp_path: Path) -> None:
    in_html = f'<p><img src="data:image/png;base64,{PNG}" alt="in HTML &amp; more"></p>'
    elsewhere = '<img src="https://example.org/data:image/png;base64,AA==" alt="elsewhere">'
    plot = '<img src="data:text/html;base64,AA==" alt="no image">'
    more = '<img src="data:image/png;base64,AA==,x" alt="more than an image">'
    cells = [
        cell("a", output({"image/png": PNG + "\n", "text/plain": "x"}), alt="PNG"),
        cell("b", output({"text/html": in_html + elsewhere + plot + more})),
        cell("c", picture(svg(width=40)), alt="wide"),
        cell("d", picture(svg(width=15)), alt="hardly wider than high"),
    ]
    run = read_run(write(tmp_path / "run.ipynb", cells))
    assert [(p.alt, p.source[:22], p.wide) for p in run.pictures] == [
        ("PNG", "data:image/png;base64,", False),
        ("in HTML & more", "data:image/png;base64,", False),
        ("wide", "data:image/svg+xml;bas", True),
        ("hardly wider than high", "data:image/svg+xml;bas", False),
    ]


def test_damaged_pictures_are_compared_as_they_are(tmp_path: Path) -> None:
    sizes = base64.b64encode(b"<svg viewBox='0 0 1.2.3 1'></svg>").decode()
    sources = [f"data:image/svg+xml;base64,{data}" for data in ("A", sizes)]
    cells = [cell(s, output({"text/html": f'<img src="{s}" alt="x">'})) for s in sources]
    found = pair(tmp_path, cells, cells)
    assert [(p.same, p.after.wide) for p in found.pictures] == [(True, False)] * len(sources)
    assert to_html(found)


def test_what_figures_are_called(tmp_path: Path) -> None:
    figure = picture(svg())
    cells = [
        prose("# Title\n\nText\n\n## Less data #"),
        cell("a", figure),
        prose("**Fig 1B, C.** Lines."),
        cell("b", figure),
        prose("No caption."),
    ]
    run = read_run(write(tmp_path / "run.ipynb", cells))
    assert [p.title for p in run.pictures] == ["Fig 1B, C", "Less data"]
    page = to_html(pair(tmp_path, cells, cells))
    assert 'alt="Figure 1 of page xor5d; the notebook does not describe it."' in page


# --- tables -------------------------------------------------------------------------------------

TABLE = (
    "<style>td { color: red }</style><table class='wide ledger'><thead><tr><th>&nbsp;</th>"
    "<th>p</th></tr></thead><tr><th>x</th><td>1 <b>or</b> N<br>more</td></tr></table>"
    "<table><tr><td>another N</td></tr></table>"
)


def test_tables_that_differ(tmp_path: Path) -> None:
    def cells(a: str, b: str) -> list[Any]:
        return [
            prose("## Chance"),
            cell("a", output({"text/html": TABLE.replace("N", a)})),
            cell("b", output({"text/html": TABLE.replace("N", b)})),
        ]

    found = pair(tmp_path, cells("2", "3"), cells("2", "4"))
    (only,) = found.tables
    before, after = only
    assert before and after
    assert before.rows == ((("", True), ("p", True)), (("x", True), ("1 or 3 more", False)))
    assert before.title == "Chance"
    page = to_html(found)
    assert '<th scope="col">p</th>' in page and '<th scope="row">x</th>' in page
    assert "<td>1 or 4 more</td>" in page and "another" not in page


# --- hostile notebooks --------------------------------------------------------------------------


class Reader(html.parser.HTMLParser):
    """Collects elements, addresses and handlers."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action", "data"):
                self.addresses.append(value or "")
            if name.startswith("on") or name == "style":
                self.handlers.append(name)


def test_nothing_of_a_notebook_becomes_a_part_of_the_page(tmp_path: Path) -> None:
    hostile = f"\"'><img src=x onerror=alert(1)>{SCRIPT}{{{{ 7 * 7 }}}}</style>"
    cells = [
        prose(f"## {hostile}"),
        cell(
            "a",
            picture(svg(SCRIPT)),
            output({"image/png": f'AA" onerror="alert(1){SCRIPT}'}),
            output({"text/html": f'{SCRIPT}<img src="data:image/png;base64,AA==" alt="{SCRIPT}">'}),
            output({"text/html": f"<table class=ledger><tr><td>{hostile}&lt;script></table>"}),
            glued(hostile, hostile),
            alt=hostile,
        ),
        prose(f"**{hostile}** {hostile}"),
        cell("b", picture(svg(), name=hostile, alt=hostile), measured(hostile, 1, 0, 2)),
    ]
    found = pair(
        tmp_path,
        [],
        cells,
        parameters={hostile: hostile},
        changed={hostile: hostile},
        versions={hostile: hostile},
        started=hostile,
        device=hostile,
        system=hostile,
        commit=hostile,
        command=hostile,
    )
    page = to_html(found)
    assert SCRIPT not in page
    assert "49" not in re.sub(r"base64,[^\"]*", "", page)  # no template in the template
    reader = Reader()
    reader.feed(page)
    assert "script" not in reader.tags and reader.handlers == []
    assert len(reader.addresses) == 4
    assert all(re.match(r"data:image/[a-z+]+;base64,[\w+/=]+$", a) for a in reader.addresses)
    assert "default-src 'none'; img-src data:;" in page  # and a browser would refuse the rest


# --- errors -------------------------------------------------------------------------------------


def text_file(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def changed_card(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "card.ipynb"
    stored = card() | changes
    last = cell("x", output({"text/plain": ""}, polarity={"provenance": stored}))
    nbformat.write(new_notebook(cells=[last]), path)
    return path


def measuring(tmp_path: Path, measurement: object) -> Path:
    bad = output({"text/plain": ""}, polarity={"measurement": measurement})
    return write(tmp_path / "measuring.ipynb", [cell("x", bad)])


def failed(tmp_path: Path) -> Path:
    error = new_output("error", ename="ZeroDivisionError", evalue="division by zero", traceback=[])
    return write(tmp_path / "failed.ipynb", [cell("fine"), cell("1 / 0", error)])


def without_card(tmp_path: Path) -> Path:
    path = tmp_path / "without.ipynb"
    nbformat.write(new_notebook(cells=[cell("1")]), path)
    return path


def binary(tmp_path: Path) -> Path:
    (tmp_path / "binary.ipynb").write_bytes(b"\xff\xfe\x00")
    return tmp_path / "binary.ipynb"


def damaged_cell(tmp_path: Path) -> Path:
    path = write(tmp_path / "cell.ipynb", [cell("x")])
    content = json.loads(path.read_text())
    del content["cells"][0]["source"]
    path.write_text(json.dumps(content))
    return path


CASES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda p: p / "no.ipynb", r"there is no notebook .*no\.ipynb"),
    "folder": (lambda p: p, r"cannot be read: Is a directory"),
    "binary": (binary, r"binary\.ipynb is not a notebook: it is not text"),
    "a page's text": (lambda p: text_file(p / "x.md", "# x"), r"execute it first: papermill jt://"),
    "not JSON": (lambda p: text_file(p / "x.ipynb", "{'a'"), r"x\.ipynb is not .*: it is not JSON"),
    "cut off": (lambda p: text_file(p / "x.ipynb", '{"cells": ['), r"damaged one: it is not JSON"),
    "deep": (lambda p: text_file(p / "x.ipynb", "[" * 100_000), r"it is not JSON"),
    "other JSON": (lambda p: text_file(p / "x.ipynb", "[1]"), r"has no list of cells"),
    "no version": (lambda p: text_file(p / "x.ipynb", '{"cells": []}'), r"is a damaged notebook"),
    "damaged cell": (damaged_cell, r"is a damaged notebook: 'source' is a required property"),
    "no card": (without_card, r"has no provenance card.*papermill jt://book/NAME\.md"),
    "failed": (failed, r"failed\.ipynb: code cell 2 failed with ZeroDivisionError: division by"),
    "card without": (lambda p: changed_card(p, parameters=None), r"damaged: parameters is None"),
    "card of a path": (lambda p: changed_card(p, page="../x"), r"damaged: page is '\.\./x'"),
    "card of more": (lambda p: changed_card(p, page="x/../y"), r"damaged: page is 'x/\.\./y'"),
    "card of a tier": (lambda p: changed_card(p, tier="../x"), r"may be live or smoke"),
    "no estimate": (lambda p: measuring(p, {"claim": "x"}), r"damaged \('estimate'\)"),
    "no fields": (lambda p: measuring(p, {"claim": "x", "estimate": {}}), r"has the fields"),
    "no record": (lambda p: measuring(p, 3), r"damaged"),
}


@pytest.mark.parametrize("name", CASES)
def test_notebooks_that_cannot_be_compared(name: str, tmp_path: Path) -> None:
    make, message = CASES[name]
    with pytest.raises(ComparisonError, match=message):
        read_run(make(tmp_path))


def test_cells_need_no_identifiers(tmp_path: Path) -> None:
    path = write(tmp_path / "run.ipynb", [cell("x", glued("gain", 1))])
    content = json.loads(path.read_text())
    for entry in content["cells"]:
        del entry["id"]  # which old ones lack, and notebooks that other tools make
    path.write_text(json.dumps(content))
    assert read_run(path).numbers == {"gain": "1"}


def test_runs_of_different_pages(tmp_path: Path) -> None:
    run = write(tmp_path / "run.ipynb", [], page="capacity")
    other = write(tmp_path / "other.ipynb", [])
    with pytest.raises(ComparisonError, match=r"run of page 'capacity'.*one of page 'xor5d'"):
        compare(run, other)
    link = tmp_path / "link.ipynb"
    link.symlink_to(run)
    for names in ((run, tmp_path / "." / "run.ipynb"), (run, link), (link, run)):
        with pytest.raises(ComparisonError, match="both names are the same file"):
            compare(*names)


def test_the_published_notebook_is_the_last_kept_of_page_and_tier(
    tmp_path: Path, clone: Path
) -> None:
    run = write(tmp_path / "run.ipynb", [])
    with pytest.raises(ComparisonError, match=r"'xor5d' has not been executed .*run `make book`"):
        compare(run)
    with pytest.raises(ComparisonError, match="run `make smoke` first"):
        published("xor5d", "smoke")
    folder = clone / "_build" / "executed" / "live"
    kept = [write(folder / f"xor5d-{key}.ipynb", [cell("x", glued("key", key))]) for key in "ab"]
    os.utime(kept[0], (2e9, 2e9))  # used last
    write(folder / "xor5d_more-c.ipynb", [])
    found = compare(run)
    assert found.before.path == kept[0] and found.names == ("Published", "This run")
    with pytest.raises(ComparisonError, match="it is the published notebook"):
        compare(kept[0])
    assert compare(kept[1]).before.path == kept[0]
    assert "Smoke run." not in to_html(found)
    smoke = write(folder.with_name("smoke") / "xor5d-a.ipynb", [], tier="smoke")
    assert compare(run).before.path == kept[0]
    assert compare(write(tmp_path / "quick.ipynb", [], tier="smoke")).before.path == smoke
    assert "Smoke run." in to_html(compare(run, smoke))


def test_without_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "repository_root", lambda: None)
    with pytest.raises(ComparisonError, match=r"not in a clone.* --with"):
        compare(write(tmp_path / "run.ipynb", []))


# --- the command --------------------------------------------------------------------------------


def test_the_command(tmp_path: Path, clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write(tmp_path / "my run.ipynb", [])
    assert command.main(["compare", str(run)]) == 1
    assert "make book" in capsys.readouterr().err
    assert not (tmp_path / "my run.compare.html").exists()

    other = write(tmp_path / "other.ipynb", [])
    assert command.main(["compare", str(run), "--with", str(other)]) == 0
    out = tmp_path / "my run.compare.html"
    assert capsys.readouterr().out.strip() == out.as_uri()
    assert "Other run" in out.read_text(encoding="utf-8")

    named = tmp_path / "named.html"
    assert command.main(["compare", str(run), "--with", str(other), "--out", str(named)]) == 0
    assert named.is_file()
    nowhere = str(tmp_path / "no" / "x.html")
    assert command.main(["compare", str(run), "--with", str(other), "--out", nowhere]) == 1
    assert "x.html cannot be written: No such file" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["pandas", "nbformat", "jinja2"])
def test_the_command_without_the_libraries_of_the_book(missing: str, tmp_path: Path) -> None:
    names = [str(write(tmp_path / name, [])) for name in ("x.ipynb", "y.ipynb")]
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "import polarity.__main__ as c\n"
        f"run, other = {names}\n"
        "print(c.main(['data', '--json']) == 0, c.main(['compare', run, '--with', other]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.endswith("True 1\n"), done.stderr
    assert f"polarity compare needs {missing}: pip install '.[book]' in the clone" in done.stderr


@pytest.mark.book
def test_runs_that_papermill_made(project: Project) -> None:
    project.page(
        "xor5d",
        "from polarity.analysis.estimate import Estimate\n"
        "e = Estimate(gain, gain - 0.1, gain + 0.1, n=3, method='made up')\n"
        "page.measure('xor5d.less_time', e); page.glue('gain', gain)",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()",
        "import matplotlib.pyplot as plt\nplt.plot([gain, 2]); plt.show()",
        parameters="gain = 0.5\nseed = 0",
    )
    for name, options in {"one": [], "two": ["-p", "gain", "0.95"]}.items():
        done = project.papermill("xor5d", *options)
        assert done.returncode == 0, done.stderr
        (project.root / "xor5d.ipynb").rename(project.root / f"{name}.ipynb")
    done = subprocess.run(
        [sys.executable, "-m", "polarity", "compare", "two.ipynb", "--with", "one.ipynb"],
        capture_output=True,
        text=True,
        cwd=project.root,
        env=project.environment(),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (project.root / "two.compare.html").as_uri()
    found = compare(project.root / "two.ipynb", project.root / "one.ipynb")
    differ = [(p.name, p.before, p.after) for p in found.parameters if p.before != p.after]
    assert differ == [("gain", "0.5", "0.95")]
    (row,) = found.claims
    assert row.before and row.after
    assert (row.before.outcome, row.after.outcome) == ("reproduced", "partly")
    glued, verdicts = found.numbers  # the page's own, and what it opens with
    assert (glued.before, glued.after) == ("0.5", "0.95")
    assert str(verdicts.before).startswith("1 reproduced")
    assert str(verdicts.after).startswith("1 partly")
    assert [p.same for p in found.pictures] == [True, False]
