"""Every claim leads to evidence that is there, and its picture follows what was measured."""

from __future__ import annotations

import ast
import importlib
import math
import re
from pathlib import Path

import html5lib
import numpy as np
import pytest

from polarity.analysis.claims import CLAIMS, judge
from polarity.analysis.estimate import SUBSTITUTE, Estimate
from polarity.analysis.evidence import EVIDENCE, published_value
from polarity.analysis.image_metrics import CLAIMED, paired_error
from polarity.analysis.ledger_picture import HEIGHT, WIDTH, ledger_picture
from polarity.analysis.published import image_medians
from polarity.analysis.rules import Equals, RatioLike
from polarity.publishing.environment import repository_root

ROOT = repository_root() or Path()
SECTIONS = {"Abstract", "2", "3", "4", "5", "6", "Appendix C", "Appendix D"}


def estimate(value: float, low: float, high: float, setting: str = "") -> Estimate:
    return Estimate(value, low, high, n=50, method="test", setting=setting)


def rows(html: str):
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parseFragment(html)
    return {
        re.search(r"#claim-(.+)", ends[0].get("href"))[1]: row  # type: ignore[index]
        for row in tree.iter("li")
        if (ends := [a for a in row.iter("a") if "#claim-" in a.get("href", "")])
    }


def shapes(row, kind: str) -> list[dict[str, str]]:
    return [shape.attrib for shape in row.iter() if shape.get("class") == kind]


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: claim.id)
def test_a_claims_evidence_exists(claim) -> None:
    evidence = EVIDENCE[claim.id]
    text = (ROOT / "book" / f"{claim.page}.md").read_text()
    assert re.search(rf'page\.figure\(\s*"{evidence.figure}"', text), evidence.figure
    module, _, name = evidence.code.rpartition(".")
    function = getattr(importlib.import_module(module), name)
    code, test = (ROOT / file for file in evidence.files)
    assert Path(importlib.import_module(module).__file__ or "") == code
    defined = {node.name for node in ast.parse(code.read_text()).body if hasattr(node, "name")}
    assert name in defined, f"{function} is only imported there"
    tests = {n.name: n for n in ast.parse(test.read_text()).body if hasattr(n, "name")}
    body = ast.unparse(tests[evidence.test.partition("::")[2]])
    assert name in body, "the test does not touch the function"


def test_every_claim_has_evidence_and_a_section() -> None:
    assert EVIDENCE.keys() == CLAIMS.keys()
    assert {s for claim in CLAIMS.values() for s in claim.sections} == SECTIONS
    assert all(claim.sections for claim in CLAIMS.values())


def test_the_papers_values_come_from_its_tables() -> None:
    assert published_value("xor5d.time_60") == 0.58
    assert published_value("theory.three_units_suffice") == 3
    assert math.isnan(published_value("capacity.sufficient_wins"))
    # "lower error at all ten n", and "fewer epochs wherever both got there"
    for page in ("images_fashion_mnist", "images_cifar10"):
        assert published_value(f"{page}.less_data") < 0
        assert 0 < published_value(f"{page}.less_time") < 1
    for name in ("less_data", "random_error"):
        assert math.isnan(published_value(f"xor5d.{name}"))
    with pytest.raises(KeyError):
        published_value("no.such")


@pytest.mark.parametrize("dataset", ["fashion_mnist", "cifar10"])
def test_the_papers_value_is_of_the_claims_own_pair_of_conditions(dataset: str) -> None:
    published = image_medians()
    table = (
        published[published.dataset == dataset]
        .fillna({"threshold": 0})
        .pivot(index=["metric", "n_train", "threshold"], columns="condition", values="median")
    )
    errors = table.loc["val_error_at_convergence_pct"] / 100
    # Passes over the data: the paper counts the first as epoch 0.
    passes = table.loc["epochs_to_accuracy"] + 1
    for name, (measure, condition, baseline) in CLAIMED.items():
        if measure is paired_error:
            expected = (errors[condition] - errors[baseline]).median()
        else:
            expected = (passes[condition] / passes[baseline]).median()
        assert published_value(f"images_{dataset}.{name}") == pytest.approx(expected), name


def test_the_picture_shows_every_claim_with_its_verdict() -> None:
    measured = {"xor5d.time_60": estimate(0.6, 0.5, 0.9), "xor5d.less_data": estimate(9, 8, 10)}
    found = rows(ledger_picture(measured))
    assert list(found) == list(CLAIMS)
    assert found["xor5d.time_60"].get("class") == "claim-reproduced"
    assert found["xor5d.less_data"].get("class") == "claim-not"
    assert found["capacity.solved_at_15"].get("class") == "claim-open"
    told = {name: "".join(row.itertext()) for name, row in found.items()}
    assert "Paper: 58 % Here: " in told["xor5d.time_60"]  # once, not twice
    # Of the mean over n that this claim measures, the figure tells no more than five sizes.
    assert "Paper: lower error at every n Here: " in told["xor5d.less_data"]
    assert "; −" in told["images_cifar10.less_data"]
    assert found["xor5d.time_60"].get("data-section") == "2"
    assert found["xor5d.less_data"].get("data-verdict") == "not-reproduced"
    links = [a.get("href") for a in found["xor5d.time_60"].iter("a")]
    assert links == [
        "xor5d.html#claim-xor5d.time_60",
        "xor5d.html#figure-fig1bc",
        "../_static/source/polarity/analysis/comparisons.html#median_epochs_ratio",
        "../_static/source/tests/analysis/test_comparisons.html"
        "#test_median_ratio_leaves_never_out_and_is_undefined_without_successes",
    ]
    with pytest.raises(KeyError, match=r"no claim 'no\.such'"):
        ledger_picture({"no.such": estimate(0, 0, 0)})


def test_a_substitute_is_said_to_be_one() -> None:
    own = "images_cifar10.less_data"
    small = "images_fashion_mnist.less_data"
    measured = {
        own: estimate(-0.2, -0.3, -0.1, "the paper tier, 5 trials"),
        small: estimate(-0.2, -0.3, -0.1, f"the reduced tier, 5 trials; {SUBSTITUTE}"),
    }
    assert measured[small].substitute and not measured[own].substitute
    told = {name: "".join(row.itertext()) for name, row in rows(ledger_picture(measured)).items()}
    assert "on a substitute" in told[small]
    assert not any("on a substitute" in text for name, text in told.items() if name != small)


def test_an_interval_lies_on_the_shade_exactly_if_the_claim_is_reproduced() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(8):
        estimates = {}
        for claim in CLAIMS.values():
            around = next(x for x in (*claim.rule.region, 0.0) if math.isfinite(x))
            low, value, high = sorted(around + rng.normal(0, 0.3, 3))
            estimates[claim.id] = estimate(value, low, high)
        for claim_id, row in rows(ledger_picture(estimates)).items():
            (shade,) = shapes(row, "holds")
            (line,) = [shape for shape in shapes(row, "ours") if "x1" in shape]
            left, right = float(shade["x"]), float(shade["x"]) + float(shade["width"])
            inside = left <= float(line["x1"]) and float(line["x2"]) <= right
            outcome = judge(claim_id, estimates[claim_id]).outcome
            # A published ratio must lie in the interval as well; a single number has no extent.
            if not isinstance(CLAIMS[claim_id].rule, RatioLike | Equals):
                assert inside == (outcome == "reproduced"), claim_id
            seen.add(outcome)
            assert all(0 <= float(shape.get("cx", 1)) <= WIDTH for shape in shapes(row, "ours"))
            assert float(shade["height"]) == HEIGHT
    assert len(seen) == 4


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_numbers_that_are_none_draw_no_nonsense(value: float) -> None:
    low = value if math.isnan(value) else 0.2
    picture = ledger_picture({"xor5d.less_time": estimate(value, low, value)})
    assert "nan" not in re.sub(r"[a-z]*nan[a-z]+|[a-z]+nan[a-z]*", "", picture.lower())
    assert ("∞" if math.isinf(value) else "undefined") in picture
    rows(picture)


def test_what_a_run_was_measured_on_is_shown() -> None:
    claim = "images_fashion_mnist.less_data"
    picture = ledger_picture({claim: estimate(-0.1, -0.2, -0.05, "reduced tier, <5 trials>")})
    assert "Measured on reduced tier, &lt;5 trials&gt;." in picture
