"""What a page glues, measures and stores."""

from __future__ import annotations

import hashlib
import json
import math
import sys
import types
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import nbformat
import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.figure import Figure
from small_book import page_text

from polarity.analysis import claims
from polarity.analysis.estimate import Estimate
from polarity.publishing import Page, collect_measurements, executed_notebooks
from polarity.publishing import page as page_module
from polarity.publishing.notebooks import ParameterError


@dataclass(frozen=True)
class FakeEstimate:
    value: float
    low: float = 0.1
    high: float = 0.9
    n: int = 50

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Judged(NamedTuple):
    """What judging returns here: a tuple, and the outcome that there always is."""

    said: str
    claim: str
    estimate: Any

    @property
    def outcome(self) -> str:
        return "undecided"

    @property
    def ours(self) -> str:
        return f"{self.estimate.value} in words"


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any]]]:
    """Record what a page displays, and judge with a fake."""
    seen: list[tuple[Any, dict[str, Any]]] = []
    monkeypatch.setattr(page_module, "_display", lambda *shown: seen.append(shown))
    fake = types.ModuleType("polarity.analysis.claims")
    fake.judge = partial(Judged, "judged")  # type: ignore[attr-defined]
    fake.CLAIMS, fake.tally = {}, claims.tally  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "polarity.analysis.claims", fake)
    return seen


@pytest.fixture(autouse=True)
def keep_style() -> Iterator[None]:
    with mpl.rc_context():
        yield


@pytest.mark.parametrize("name", ["", "Xor5D", "../xor5d", "xor5d.md", 3])
def test_a_page_is_named_like_its_file(name: Any) -> None:
    with pytest.raises(ValueError, match="name must be a file name such as 'xor5d', got"):
        Page(name)


def test_an_unknown_tier_is_refused() -> None:
    with pytest.raises(ValueError, match="tier must be one of live, smoke; got 'paper'"):
        Page("xor5d", tier="paper")


def test_a_page_sets_the_style_of_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []
    monkeypatch.setattr("polarity.analysis.figures.use_style", lambda: calls.append(True))
    Page("xor5d")
    assert calls


@pytest.mark.parametrize(
    ("value", "python"),
    [
        (np.float64(0.5), 0.5),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array(0.5), 0.5),
        (torch.tensor(0.5), 0.5),
        (xr.DataArray(0.5), 0.5),
        (7, 7),
        (True, True),
        ("posRand", "posRand"),
    ],
)
def test_glue_makes_plain_python_of_every_number(
    monkeypatch: pytest.MonkeyPatch, value: object, python: object
) -> None:
    glued: list[tuple[str, object]] = []
    monkeypatch.setattr("myst_nb.glue", lambda name, it, display: glued.append((name, it)))
    Page("xor5d").glue("x", value)
    assert glued == [("x", python)]
    assert type(glued[0][1]) is type(python)


def test_glue_takes_an_estimate_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    glued: dict[str, object] = {}
    monkeypatch.setattr("myst_nb.glue", lambda name, it, display: glued.update({name: it}))
    Page("xor5d").glue("gain", FakeEstimate(0.5))
    assert glued == {"gain": 0.5, "gain_low": 0.1, "gain_high": 0.9}


@pytest.mark.parametrize("value", [None, [1, 2], {"a": 1}, 1 + 2j])
def test_glue_refuses_what_prose_cannot_hold(value: object) -> None:
    with pytest.raises(TypeError, match=r"number or a string, got .* for 'x'"):
        Page("xor5d").glue("x", value)


def test_measure_judges_shows_and_stores(displayed: list[Any]) -> None:
    estimate = FakeEstimate(0.5)
    verdict = Page("xor5d").measure("speed", estimate)
    assert verdict == ("judged", "speed", estimate)
    ((shown, metadata),) = displayed
    assert shown is verdict
    assert metadata["polarity"]["measurement"] == {
        "claim": "speed",
        "estimate": {"value": 0.5, "low": 0.1, "high": 0.9, "n": 50},
    }


def test_what_was_measured_is_there_in_words(
    displayed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    glued: dict[str, object] = {}
    monkeypatch.setattr("myst_nb.glue", lambda name, it, display: glued.update({name: it}))
    Page("xor5d").measure("xor5d.speed", FakeEstimate(0.5))
    assert glued == {"speed": "0.5 in words"}


def test_a_claim_says_on_what_other_parameters_it_was_measured(displayed: list[Any]) -> None:
    estimate = Estimate(0.5, 0.1, 0.9, n=50, method="made up")
    told = Estimate(0.5, 0.1, 0.9, n=50, method="made up", setting="digits")
    page = Page("xor5d")
    page._changed = {"seed": 3, "device": "cpu"}  # the same experiment once more
    page.measure("speed", estimate)
    page._changed = {"device": "cpu", "budget": "9m"}
    page.measure("as published", estimate)
    page._changed = {"device": "cpu", "width": 8, "sizes": [40, 60], "draws": 2}
    page.measure("size", estimate)
    page.measure("other", told)
    stored = [metadata["polarity"]["measurement"]["estimate"] for _, metadata in displayed]
    assert [each.get("setting", "") for each in stored] == [
        "a run with seed = 3",
        "",
        "a run with width = 8, sizes = [40, 60], draws = 2; not the paper's experiment",
        "digits",
    ]


def test_a_number_too_small_for_the_page_is_refused() -> None:
    page = Page("xor5d")
    page._parameters = {"trials": 1, "width": 64}
    page.at_least(2, "width", "another_page_s")
    with pytest.raises(ValueError, match="trials must be at least 2, got 1"):
        page.at_least(2, "width", "trials")


class Shell:
    """What a page sees of IPython."""

    def __init__(self, *cells: str) -> None:
        self.user_ns: dict[str, Any] = {"In": ["", *cells]}
        self.execution_count = 1


def test_parameters_edited_in_their_cell_are_changed_ones(
    displayed: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In JupyterLab nobody injects them."""
    (tmp_path / "small.md").write_text(page_text("small", parameters="width = 64\nseed = 0"))
    shell = Shell("tier = 'live'\nwidth = 8\nseed = 0")
    monkeypatch.setattr(page_module, "_shell", lambda: shell)
    assert Page("small")._changed == {}  # the text is not at hand
    monkeypatch.chdir(tmp_path)
    page = Page("small")
    page.measure("speed", Estimate(0.5, 0.1, 0.9, n=50, method="made up"))
    ((_, metadata),) = displayed
    assert metadata["polarity"]["measurement"]["estimate"]["setting"].startswith("a run with width")
    assert page._command().endswith("-p width 8")
    shell.user_ns["In"] += ["# Parameters\nseed = 5\n"]
    assert Page("small")._changed == {"width": 8, "seed": 5}


def test_variations_are_of_parameters_that_the_page_has(
    displayed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Shell("tier = 'live'\nwidth = 8\nseed = 0", "# Parameters\nwidth = 4\n")
    monkeypatch.setattr(page_module, "_shell", lambda: shell)
    page = Page("small")
    for varied, error, message in (
        ({"widht": 16}, ParameterError, "did you mean width"),
        ({"width": "16"}, ParameterError, "must be int"),
        ({"width": 8}, ValueError, r"variation 'wide' changes nothing, got \{'width': 8\}"),
        ({}, ValueError, "changes nothing"),
    ):
        with pytest.raises(error, match=message):
            page.provenance({"wide": varied})
    assert displayed == []
    page.provenance({"wide": {"width": 16}, "as this run": {"width": 4}})
    ((card, metadata),) = displayed
    asked = metadata["polarity"]["provenance"]["variations"]
    assert asked == card.variations == {"wide": {"width": 16}, "as this run": {"width": 4}}


def test_a_claim_that_is_not_judged_has_its_place(displayed: list[Any], monkeypatch: Any) -> None:
    fake = types.SimpleNamespace(statement="More < less.")
    monkeypatch.setattr(
        sys.modules["polarity.analysis.claims"], "CLAIMS", {"speed": fake}, raising=False
    )
    raw: list[str] = []
    monkeypatch.setattr(page_module, "_display_html", lambda html, text: raw.extend([html, text]))
    Page("small").not_measured("speed", "too few.")
    html, text = raw
    assert 'id="claim-speed"' in html and "More &lt; less." in html
    assert text == "More < less. Not judged yet: too few." and displayed == []


def test_a_cell_may_run_again_but_in_the_builder(
    displayed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Shell()
    monkeypatch.setattr(page_module, "_shell", lambda: shell)
    page = Page("small")
    page.measure("speed", FakeEstimate(0.5))
    page.glue("gain", 0.5)
    with pytest.raises(ValueError, match="has already measured"):
        page.measure("speed", FakeEstimate(0.5))  # twice in a cell
    with pytest.raises(ValueError, match="page small has already glued 'gain'"):
        page.glue("gain", 0.6)
    shell.execution_count = 2
    page.measure("speed", FakeEstimate(0.6))
    page.glue("gain", 0.6)
    assert len(displayed) == 2
    shell.execution_count = 3
    monkeypatch.setenv(page_module.EXECUTED, "[]")
    with pytest.raises(ValueError, match="has already measured"):
        page.measure("speed", FakeEstimate(0.6))
    with pytest.raises(ValueError, match="has already glued"):
        page.glue("gain", 0.6)


def test_a_list_without_what_the_claims_are_about_is_refused() -> None:
    page = Page("xor5d")
    page._parameters = {"sizes": [8, 60, 100]}
    page.needs("sizes", 60, 100)
    page.needs("sizes", 40, 60, one_of=True)
    page.needs("widths", 10)  # another page's
    with pytest.raises(ValueError, match=r"sizes must hold 60 and 72, .* got \[8, 60, 100\]"):
        page.needs("sizes", 60, 72)
    with pytest.raises(ValueError, match="sizes must hold 40 or 72"):
        page.needs("sizes", 40, 72, one_of=True)


def test_a_page_measures_a_claim_once(displayed: list[Any]) -> None:
    page = Page("xor5d")
    page.measure("speed", FakeEstimate(0.5))
    with pytest.raises(ValueError, match="page xor5d has already measured claim 'speed'"):
        page.measure("speed", FakeEstimate(0.6))


def test_a_claim_that_cannot_be_judged_may_be_measured_again(
    displayed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Page("xor5d")
    judge = sys.modules["polarity.analysis.claims"].judge
    monkeypatch.setattr(sys.modules["polarity.analysis.claims"], "judge", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        page.measure("speed", FakeEstimate(0.5))
    monkeypatch.setattr(sys.modules["polarity.analysis.claims"], "judge", judge)
    page.measure("speed", FakeEstimate(0.5))
    assert len(displayed) == 1


def executed(folder: Path, displayed: list[Any], name: str, key: str = "k") -> Path:
    """Write what a page displayed as an executed notebook, through JSON as Jupyter does."""
    outputs = [
        nbformat.v4.new_output("display_data", {"text/plain": ""}, metadata=metadata)
        for _, metadata in displayed
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=outputs)])
    path = folder / f"{name}-{key}.ipynb"
    text = nbformat.writes(notebook)
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    path.write_text(text)
    return path


def test_measurements_come_back_with_nan_and_infinity(displayed: list[Any], tmp_path: Path) -> None:
    page = Page("xor5d")
    page.measure("speed", FakeEstimate(math.nan, -math.inf, math.inf))
    page.provenance()
    found = collect_measurements([executed(tmp_path, displayed, "xor5d")])
    measurement = found["speed"]
    assert math.isnan(measurement.estimate["value"])
    assert measurement.estimate["low"] == -math.inf
    assert measurement.estimate["high"] == math.inf
    assert measurement.estimate["n"] == 50
    assert measurement.page == "xor5d"
    assert measurement.provenance["command"] == "papermill jt://book/xor5d.md xor5d.ipynb"
    assert measurement.provenance["seconds"] >= 0


def test_a_claim_belongs_to_one_page(displayed: list[Any], tmp_path: Path) -> None:
    paths = []
    for name in ("xor5d", "capacity"):
        displayed.clear()
        page = Page(name)
        page.measure("speed", FakeEstimate(0.5))
        page.provenance()
        paths.append(executed(tmp_path, displayed, name))
    with pytest.raises(ValueError, match="'speed' was measured by two pages, xor5d and capacity"):
        collect_measurements(paths)


def test_measurements_without_provenance_are_refused(displayed: list[Any], tmp_path: Path) -> None:
    Page("xor5d").measure("speed", FakeEstimate(0.5))
    with pytest.raises(ValueError, match=r"xor5d-k\.ipynb has no provenance card"):
        collect_measurements([executed(tmp_path, displayed, "xor5d")])


def test_the_builder_hands_over_the_notebooks_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "xor5d-00ff.ipynb"
    monkeypatch.setenv(page_module.EXECUTED, json.dumps([str(path)]))
    assert executed_notebooks(["xor5d"]) == [path]
    with pytest.raises(ValueError, match="add capacity to `polarity: after:`"):
        executed_notebooks(["capacity"])


def test_by_hand_the_latest_kept_notebooks_are_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import os

    monkeypatch.delenv(page_module.EXECUTED, raising=False)
    monkeypatch.setattr(page_module, "repository_root", lambda: tmp_path)
    folder = tmp_path / "_build" / "executed" / "live"
    folder.mkdir(parents=True)
    for age, key in enumerate(["new", "old"]):
        (folder / f"xor5d-{key}.ipynb").touch()
        os.utime(folder / f"xor5d-{key}.ipynb", (1000 - age, 1000 - age))
    (folder / "xor5d-more-k.ipynb").touch()  # of a page with a longer name
    assert executed_notebooks(["xor5d"]) == [folder / "xor5d-new.ipynb"]
    with pytest.raises(FileNotFoundError, match=r"capacity .* run `make book` first"):
        executed_notebooks(["capacity"])
    with pytest.raises(FileNotFoundError, match="run `make smoke` first"):
        executed_notebooks(["xor5d"], tier="smoke")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """Record what a page displays as it is."""
    seen: list[tuple[dict[str, str], dict[str, Any]]] = []
    monkeypatch.setattr(page_module, "_display_raw", lambda *shown: seen.append(shown))
    return seen


def small_figure() -> Figure:
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 2], [0.5, 0.25], label="frozen")
    axes.set(xlabel="epoch", ylabel="error (%)")
    return figure


def test_a_figure_is_stored_with_its_data_description_and_origin(
    shown: list[tuple[dict[str, str], dict[str, Any]]],
) -> None:
    Page("small").figure("fig1a", small_figure(), "One line.")
    (data, metadata) = shown[0]
    assert data["image/svg+xml"].startswith("<svg ")
    stored = metadata["polarity"]["figure"]
    words = "One line. Error (%) against epoch: frozen 0.5 at 1, 0.25 at 2."
    assert data["text/plain"] == stored["alt"] == words
    assert stored["csv"] == (
        "panel,series,mark,layer,x,y,x_quantity,y_quantity\n"
        ",frozen,line,,1,0.5,epoch,error (%)\n"
        ",frozen,line,,2,0.25,epoch,error (%)\n"
    )
    assert stored["sha256"] == hashlib.sha256(stored["csv"].encode()).hexdigest()
    assert (stored["page"], stored["tier"]) == ("small", "live")
    assert stored["command"].startswith("papermill jt://book/small.md")
    assert stored["device"] and stored["seconds"] >= 0 and stored["drawn"]
    json.dumps(stored)


def test_stored_results_are_named_by_figures_and_card(
    shown: list[tuple[dict[str, str], dict[str, Any]]], displayed: list[Any], tmp_path: Path
) -> None:
    page = Page("small")
    page.rests_on("from runs.parquet")
    page.figure("fig1a", small_figure(), "One line.")
    page.provenance()
    assert shown[0][1]["polarity"]["figure"]["stored"] == "from runs.parquet"
    card = displayed[-1][0]
    assert card.stored == "from runs.parquet"
    assert "Stored runs: from runs.parquet" in str(card)


def test_what_takes_from_other_pages_is_repeated_by_the_builder(
    displayed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for handed in ("[]", '["xor5d-0.ipynb"]'):
        monkeypatch.setenv(page_module.EXECUTED, handed)
        Page("small").provenance()
    alone, together = (card.command for card, _ in displayed)
    assert alone.startswith("papermill") and together == "make book"


def test_a_figure_needs_a_name_of_its_own_and_words(
    shown: list[tuple[dict[str, str], dict[str, Any]]],
) -> None:
    page = Page("small")
    page.figure("fig1a", small_figure(), "One line.")
    with pytest.raises(ValueError, match="page small already has a figure 'fig1a'"):
        page.figure("fig1a", small_figure(), "One line.")
    with pytest.raises(ValueError, match=r"figure 'fig1b' needs a description \(alt\), got ' '"):
        page.figure("fig1b", small_figure(), " ")
    with pytest.raises(ValueError, match="name must be like 'fig1a', got 'Fig 1'"):
        page.figure("Fig 1", small_figure(), "One line.")
    assert len(shown) == 1


def test_a_schematic_figure_has_no_data(
    shown: list[tuple[dict[str, str], dict[str, Any]]],
) -> None:
    figure = Figure()
    figure.subplots().text(0, 0, "words only")
    Page("small").figure("sketch", figure, "Words.")
    stored = shown[0][1]["polarity"]["figure"]
    assert (stored["csv"], stored["sha256"], stored["alt"]) == ("", "", "Words.")


def test_a_page_with_claims_opens_with_their_outcomes(monkeypatch: pytest.MonkeyPatch) -> None:
    glued: dict[str, object] = {}
    monkeypatch.setattr(Page, "glue", lambda self, name, value: glued.update({name: value}))
    monkeypatch.setattr(page_module, "_display", lambda *shown: None)
    plain = Page("how_to")
    plain.provenance()
    assert glued == {}
    page = Page("capacity")
    own = [claim for claim in claims.CLAIMS.values() if claim.page == "capacity"]
    page.measure(own[0].id, Estimate(math.nan, math.nan, math.nan, n=0, method="none"))
    page.provenance()
    assert glued.pop("sufficient_small") == "undefined"
    assert glued == {"verdicts": f"1 undecided, {len(own) - 1} not measured"}
