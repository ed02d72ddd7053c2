"""The ledger: declared once, judged by its rules, and a changed result changes the verdict."""

import math
from dataclasses import replace

import pytest

from polarity.analysis.claims import CLAIMS, OUTCOMES, judge, ledger, ledger_html
from polarity.analysis.estimate import Estimate
from polarity.analysis.rules import Above, Below, Equals, RatioLike, Within
from polarity.analysis.statistics import spread


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, low, high, n=50, method="test")


@pytest.mark.parametrize(
    ("rule", "triple", "outcome"),
    [
        (Below(0), (-2, -3, -1), "reproduced"),
        (Below(0), (-2, -3, 1), "partly"),
        (Below(0), (-2, -3, 0), "partly"),
        (Below(0), (0, -3, 3), "undecided"),
        (Below(0), (0, 0, 3), "not reproduced"),
        (Below(1), (0.5, 0.2, math.inf), "partly"),
        (Above(0.99), (0.995, 0.991, 1), "reproduced"),
        (Above(0.99), (0.995, 0.98, 1), "partly"),
        (Above(0.99), (0.97, 0.95, 0.995), "undecided"),
        (Above(0.99), (0.97, 0.95, 0.99), "not reproduced"),
        (Within(0.05), (0.0, -0.04, 0.04), "reproduced"),
        (Within(0.05), (0.0, -0.06, 0.04), "partly"),
        (Within(0.05), (0.06, 0.01, 0.09), "undecided"),
        (Within(0.05), (-0.06, -0.09, -0.01), "undecided"),
        (Within(0.05), (0.06, 0.05, 0.09), "not reproduced"),
        (Within(0.05), (-0.06, -0.09, -0.05), "not reproduced"),
        (RatioLike(0.58), (0.6, 0.5, 0.9), "reproduced"),
        (RatioLike(0.58), (0.6, 0.5, 1.1), "partly"),
        (RatioLike(0.58), (0.8, 0.7, 0.9), "partly"),
        (RatioLike(0.58), (1.2, 0.9, 1.4), "undecided"),
        (RatioLike(0.58), (1.5, 0.5, 2.5), "undecided"),  # a wide interval earns nothing
        (RatioLike(0.58), (1.2, 1.1, 1.4), "not reproduced"),
        (Equals(3), (3, 3, 3), "reproduced"),
        (Equals(3), (3, 2, 3), "partly"),
        (Equals(3), (2, 2, 3), "undecided"),
        (Equals(3), (4, 4, 4), "not reproduced"),
    ],
)
def test_rules(rule, triple, outcome):
    assert rule.decide(estimate(*triple)) == outcome


def test_every_claim_can_be_won_and_lost():
    """No rule may be one that a result cannot change."""
    grid = [-10, -0.5, -0.01, 0, 0.3, 0.485, 0.585, 0.95, 0.995, 1.01, 3, 10]
    for claim in CLAIMS.values():
        outcomes = {
            judge(claim.id, estimate(v, v - w, v + w)).outcome
            for v in grid
            for w in (0, 1e-3, 0.02, 3)
        }
        assert outcomes == set(OUTCOMES), claim.id


def test_ids_name_their_page():
    assert {claim.page for claim in CLAIMS.values()} == {
        "xor5d",
        "capacity",
        "theory",
        "images_fashion_mnist",
        "images_cifar10",
    }


def test_undefined_value_decides_nothing():
    verdict = judge("xor5d.time_60", estimate(math.nan, math.nan, math.nan))
    assert verdict.outcome == "undecided"
    assert "undefined" in verdict.explanation and "undefined" in verdict.ours


def test_a_value_without_an_interval_decides_nothing():
    verdict = judge("xor5d.less_data", spread([-0.02]))
    assert verdict.outcome == "undecided" and "no interval" in verdict.ours
    assert verdict.explanation.startswith("undecided, because the value has no interval")


IMAGES = {
    "less_data": Below(0.0),
    "less_time": Below(1.0),
    "freezing": Below(0.0),
    "random_polarity": Below(0.01),
    "fine_tuning_data": Below(0.0),
    "fine_tuning_time": Below(1.0),
    "weights_time": Below(1.0),
    "compressed": Within(0.02),
}


def test_what_decides_is_written_down_twice():
    """A bound that moves turns verdicts: nobody is to move one without noticing."""
    assert {claim.id: claim.rule for claim in CLAIMS.values()} == {
        "xor5d.less_data": Below(0.0),
        "xor5d.less_time": Below(1.0),
        "xor5d.time_60": RatioLike(0.58),
        "xor5d.time_72": RatioLike(0.48),
        "xor5d.random_error": Below(0.005),
        "xor5d.random_time": Below(1.02),
        "xor5d.any_reset_rule": Below(0.0),
        "capacity.sufficient_small": Below(0.0),
        "capacity.random_small": Below(0.0),
        "capacity.random_medium": Within(0.05),
        "capacity.solved_at_15": Above(0.99),
        "capacity.sufficient_wins": Above(0.9),
        "theory.lemma_2_1": Within(0.05),
        "theory.d3_formula_at_15": Above(0.99),
        "theory.d3_99pct_at_15": Above(0.99),
        "theory.three_units_suffice": Equals(3),
        **{f"images_fashion_mnist.{name}": rule for name, rule in IMAGES.items()},
        **{f"images_cifar10.{name}": rule for name, rule in IMAGES.items()},
    }


def test_a_changed_result_changes_ledger_and_card():
    claim = "xor5d.time_60"
    good = ledger({claim: estimate(0.6, 0.4, 0.8)}).set_index("claim").verdict
    bad = ledger({claim: estimate(1.6, 1.4, 1.8)}).set_index("claim").verdict
    assert (good[claim], bad[claim]) == ("reproduced", "not reproduced")
    assert "claim-reproduced" in judge(claim, estimate(0.6, 0.4, 0.8))._repr_html_()
    assert "claim-not" in judge(claim, estimate(1.6, 1.4, 1.8))._repr_html_()


def test_the_ledger_hides_nothing():
    table = ledger({})
    assert list(table.claim) == list(CLAIMS)
    assert set(table.verdict) == {"not measured"}


@pytest.mark.parametrize("call", [lambda e: judge("no.such", e), lambda e: ledger({"no.such": e})])
def test_unknown_claim_is_named(call):
    with pytest.raises(KeyError, match=r"no\.such.*xor5d\.less_data"):
        call(estimate(0, 0, 0))


def test_html_links_every_claim_to_its_card():
    claim = CLAIMS["xor5d.time_60"]
    table = ledger_html({claim.id: estimate(0.6, 0.4, 0.8)})
    assert table.count("<tr class=") == len(CLAIMS)
    assert f'href="xor5d.html#claim-{claim.id}"' in table
    assert table.count("not measured") == len(CLAIMS) - 1
    verdict = judge(claim.id, estimate(0.6, 0.4, 0.8))
    assert f'id="claim-{claim.id}"' in verdict._repr_html_()
    made = verdict.estimate
    assert f"Our value: {made.method}." in verdict._repr_html_()
    nothing = judge(verdict.claim.id, replace(made, value=math.nan, low=math.nan, high=math.nan))
    assert made.method in nothing._repr_html_() and "Our value" not in nothing._repr_html_()


def test_the_setting_is_shown_wherever_the_number_is():
    claim = CLAIMS["images_fashion_mnist.less_data"]
    small = Estimate(-0.1, -0.2, -0.05, n=10, method="test", setting="reduced tier, 5 trials")
    verdict = judge(claim.id, small)
    words = "Measured on reduced tier, 5 trials."
    assert words in verdict._repr_html_() and words in str(verdict)
    assert words in ledger_html({claim.id: small})
    other = replace(small, setting="paper tier, 1 trial")
    both = ledger_html({claim.id: small, "images_cifar10.less_data": other})
    for number, setting in (("1", "reduced tier, 5 trials"), ("2", "paper tier, 1 trial")):
        assert both.count(f"<sup>{number}</sup>") == 2
        assert f"<sup>{number}</sup> Measured on {setting}." in both
    assert ledger({claim.id: small}).set_index("claim").setting[claim.id] == words
    plain = judge(claim.id, estimate(-0.1, -0.2, -0.05))
    assert "Measured on" not in plain._repr_html_() + str(plain)
