"""The claims ledger: every quantitative claim of the paper that this book judges.

The claims are data, declared once, here; :func:`judge` sets an estimate against a claim and decides
by the claim's rule. The pages of the book measure; nothing on them decides.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

import pandas as pd

from .estimate import Estimate
from .rules import OUTCOMES, Above, Below, Equals, Outcome, RatioLike, Rule, Within

__all__ = [
    "CLAIMS",
    "OUTCOMES",
    "Claim",
    "Verdict",
    "judge",
    "ledger",
    "ledger_html",
    "tally",
]


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    Attributes
    ----------
    id
        Short name; the part before the dot is the page of the book that measures it.
    where
        Where it stands in the paper.
    statement
        What the paper says, in our words.
    published
        The paper's value, in words.
    measure
        What we compute, and what its interval means.
    rule
        Decides.
    spec
        Format of its numbers; one that ends in ``pt`` writes percentage points.
    """

    id: str
    where: str
    statement: str
    published: str
    measure: str
    rule: Rule
    spec: str = ".3g"

    @property
    def page(self) -> str:
        """The page of the book that measures the claim."""
        return self.id.partition(".")[0]

    @property
    def sections(self) -> tuple[str, ...]:
        """The parts of the paper that make it: "Abstract", sections "2" to "6", "Appendix D".

        Examples
        --------
        >>> CLAIMS["xor5d.less_data"].sections, CLAIMS["theory.three_units_suffice"].sections
        (('Abstract', '2'), ('5', 'Appendix D'))
        """
        found = ["Abstract"] if "Abstract" in self.where else []
        # "Sections 4 and 6" name two; Lemma 2.1 stands in section 2, Theorem D.3 in Appendix D.
        for match in re.finditer(
            r"[Ss]ections? (\d)(?:\.\d)?(?: and (\d))?|Lemma (\d)", self.where
        ):
            found += [number for number in match.groups() if number]
        for match in re.finditer(r"(?:Appendix|Theorem) ([A-D])", self.where):
            found.append(f"Appendix {match[1]}")
        return tuple(dict.fromkeys(found))


_DRAWS = (
    "median over independent draws of the data, with the range of the central 95 % of draws (of "
    "fewer than 40, from the lowest to the highest)"
)

_NO_DIFFERENCE = (
    "median over independent draws of the data, with its order-statistic interval: the draws' own "
    "range holds the noise of their trials, and would grow with every draw"
)

_PAIRS = (
    "median over all pairs of networks (same n, trial, start and batches), with its "
    "order-statistic interval"
)
_PASSES = (
    "Passes over the data until the thresholds of Figs C.2 to C.4 that either network of a pair "
    "reaches (one that never gets there counts with all it was trained for; a pair of which "
    "neither reaches any is not counted)"
)


def _image_claims(
    dataset: str,
    title: str,
    fig2: str,
    threshold: str,
    fine_tuning: str,
    random: str,
    weights: str,
) -> tuple[Claim, ...]:
    """The claims of sections 3, 4 and 6 on one data set; the words are what the paper found."""

    def claim(
        name: str, where: str, statement: str, published: str, measure: str, rule: Rule, spec: str
    ) -> Claim:
        name = f"images_{dataset}.{name}"
        return Claim(name, where, f"{title}: {statement}", published, measure, rule, spec)

    def error(name: str, where: str, said: str, published: str, minus: str, rule: Rule) -> Claim:
        measure = f"Error at convergence, frozen IN-polarity minus {minus}; {_PAIRS}."
        return claim(name, where, said, published, measure, rule, ".1pt")

    def time(name: str, where: str, statement: str, published: str, over: str) -> Claim:
        measure = f"{_PASSES}, frozen IN-polarity over {over}; {_PAIRS}."
        return claim(name, where, statement, published, measure, Below(1.0), ".2f")

    return (
        error(
            "less_data",
            f"Section 3, {fig2}",
            "a donor's polarity, transferred and frozen, makes networks learn with less data than "
            "from scratch.",
            "lower error at all ten n",
            "fluid RAND-polarity",
            Below(0.0),
        ),
        time(
            "less_time",
            f"Section 3, {fig2}",
            "a donor's polarity, transferred and frozen, makes networks learn in fewer epochs than "
            "from scratch.",
            f"fewer epochs to {threshold} wherever both got there",
            "fluid RAND-polarity",
        ),
        error(
            "freezing",
            f"Section 3, {fig2} and Fig 3",
            "it is better to keep the transferred polarity than to let it change.",
            "lower error at all ten n",
            "fluid IN-polarity",
            Below(0.0),
        ),
        claim(
            "random_polarity",
            f"Section 3, {fig2}",
            "even a random polarity, frozen, needs no more data than a fluid one.",
            random,
            f"Error at convergence, frozen RAND-polarity minus fluid RAND-polarity; {_PAIRS}.",
            Below(0.01),
            ".1pt",
        ),
        error(
            "fine_tuning_data",
            "Section 4, Fig 3",
            "a donor's polarity alone, frozen, needs less data than fine-tuning its weights.",
            fine_tuning,
            "fluid IN-weight",
            Below(0.0),
        ),
        time(
            "fine_tuning_time",
            "Section 4, Fig 3",
            "a donor's polarity alone, frozen, needs fewer epochs than fine-tuning its weights.",
            f"fewer epochs to {threshold} wherever both got there",
            "fluid IN-weight",
        ),
        time(
            "weights_time",
            "Section 4, Fig 3",
            "a frozen polarity needs fewer epochs without the donor's magnitudes than with them.",
            f"fewer epochs to {threshold} without them wherever both got there",
            "frozen IN-weight",
        ),
        error(
            "compressed",
            "Sections 4 and 6, Fig 3",
            "one bit a weight carries nearly all that the donor's weights do.",
            weights,
            "frozen IN-weight",
            Within(0.02),
        ),
    )


_CLAIMS = (
    Claim(
        "xor5d.less_data",
        "Abstract; section 2.1; Fig 1C",
        "With sufficient polarity set in advance, networks learn with less data.",
        "lower error at every n",
        f"Error at convergence, frozen sufficient minus fluid, mean over n = 20 to 100; {_DRAWS}.",
        Below(0.0),
        ".1pt",
    ),
    Claim(
        "xor5d.less_time",
        "Abstract; section 2.1; Fig 1B",
        "With sufficient polarity set in advance, networks learn in fewer epochs.",
        "fewer epochs at every n",
        "Restricted mean number of epochs to 90 % accuracy (a network that never gets there counts "
        f"as 100), frozen sufficient over fluid, mean over n = 60 to 100; {_DRAWS}.",
        Below(1.0),
        ".2f",
    ),
    Claim(
        "xor5d.time_60",
        "Section 2.1, Fig 1B",
        "At n = 60 frozen sufficient needs 58 % of the fluid network's epochs to 90 % accuracy.",
        "58 %",
        f"Ratio of the medians over the trials that got there, as the paper counts; {_DRAWS}.",
        RatioLike(0.58),
        ".0%",
    ),
    Claim(
        "xor5d.time_72",
        "Section 2.1, Fig 1B",
        "At n = 72 frozen sufficient needs 48 % of the fluid network's epochs to 90 % accuracy.",
        "48 %",
        f"Ratio of the medians over the trials that got there, as the paper counts; {_DRAWS}.",
        RatioLike(0.48),
        ".0%",
    ),
    Claim(
        "xor5d.random_error",
        "Section 2.1, Fig 1C",
        "With 64 hidden units even a frozen random polarity learns with no more data than a fluid "
        "network.",
        "frozen random at or below fluid",
        "Error at convergence, frozen random minus fluid, mean over n = 20 to 100; "
        f"{_NO_DIFFERENCE}.",
        Below(0.005),
        ".1pt",
    ),
    Claim(
        "xor5d.random_time",
        "Section 2.1, Fig 1B",
        "With 64 hidden units even a frozen random polarity needs no more epochs than a fluid "
        "network.",
        "frozen random at or below fluid",
        "Restricted mean number of epochs to 90 % accuracy, frozen random over fluid, mean over "
        f"n = 60 to 100; {_NO_DIFFERENCE}.",
        Below(1.02),
        ".2f",
    ),
    Claim(
        "xor5d.any_reset_rule",
        "Appendix C, Fig C.1",
        "Sufficient polarity helps whichever of the four reset rules is used.",
        "all four rules beat fluid",
        "Error at convergence, frozen sufficient minus fluid, mean over n = 20 to 100, of the "
        f"reset rule that helps least; {_DRAWS}.",
        Below(0.0),
        ".1pt",
    ),
    Claim(
        "capacity.sufficient_small",
        "Section 5, Fig 4B-C",
        "Sufficient polarity helps small networks too.",
        "lower error at 10 and at 20 units",
        "Error at convergence, frozen sufficient minus fluid, mean over n = 40, 60, 80 and 100, "
        f"at 10 or at 20 hidden units, whichever is worse; {_DRAWS}.",
        Below(0.0),
        ".1pt",
    ),
    Claim(
        "capacity.random_small",
        "Section 5, Fig 4B",
        "With few hidden units a frozen random polarity is a handicap: fewer networks learn.",
        "fewer succeed at 10 units",
        "Share of networks with 10 hidden units that pass 90 % accuracy, frozen random minus "
        f"fluid, at n = 500; {_DRAWS}.",
        Below(0.0),
        ".0pt",
    ),
    Claim(
        "capacity.random_medium",
        "Section 5, Fig 4C",
        "With 20 hidden units a frozen random polarity is no handicap any more.",
        "frozen random near fluid",
        "Share of networks with 20 hidden units that pass 90 % accuracy, frozen random minus "
        f"fluid, at n = 500; {_NO_DIFFERENCE}.",
        Within(0.05),
        ".0pt",
    ),
    Claim(
        "capacity.solved_at_15",
        "Section 5, Fig 4A",
        "From 15 hidden units on, over 99 % of frozen random networks learn XOR-5D.",
        "> 99 %",
        "Share of frozen random networks with 15 hidden units that pass 95 % accuracy at n = 500, "
        "all draws of the data together, with Wilson's interval.",
        Above(0.99),
        ".1%",
    ),
    Claim(
        "capacity.sufficient_wins",
        "Section 5, Fig 4D",
        "Frozen sufficient beats fluid at nearly every network size and sample size.",
        "nearly the whole map",
        "Share of the cells of Fig 4D (every width, n = 60 to 100, three metrics) in which frozen "
        "sufficient is better than fluid, of those in which the two differ, with a bootstrap "
        "interval over the trials, centred on the share.",
        Above(0.9),
        ".0%",
    ),
    Claim(
        "theory.lemma_2_1",
        "Lemma 2.1",
        "Exhaustive search among N settings of which K are right takes (N + 1) / (K + 1) trials in "
        "expectation; a polarity that lowers this number makes learning faster.",
        "equality",
        "Mean search time of simulated searches over the lemma's, minus 1, with a t interval.",
        Within(0.05),
        ".1%",
    ),
    Claim(
        "theory.d3_formula_at_15",
        "Theorem D.3, Fig 4A",
        "By the theorem's formula a random polarity of 15 units is capable with a probability of "
        "over 99 %.",
        "> 99 %",
        "The formula, by exact counting.",
        Above(0.99),
        ".2%",
    ),
    Claim(
        "theory.d3_99pct_at_15",
        "Theorem D.3, Fig 4A",
        "A random polarity of 15 units can draw the boundary of XOR with a probability of over "
        "99 %.",
        "> 99 %",
        "Exact probability that a frozen random network can represent the cross-shaped boundary. "
        "To be right on all data, which keep a margin from it, takes less, given units enough: the "
        "page says how much.",
        Above(0.99),
        ".2%",
    ),
    Claim(
        "theory.three_units_suffice",
        "Section 5, Appendix D",
        "Three units of the right polarities are enough for XOR-5D, and two are not.",
        "3",
        "Fewest unit patterns with which the boundary can be drawn, by search over all sets.",
        Equals(3),
        ".0f",
    ),
    *_image_claims(
        "fashion_mnist",
        "Fashion-MNIST",
        "Fig 2A",
        "80 %",
        fine_tuning="lower error at 8 of ten n",
        random="at most 0.1 points above at any n",
        weights="within 1.2 points at every n",
    ),
    *_image_claims(
        "cifar10",
        "CIFAR-10",
        "Fig 2B",
        "50 %",
        fine_tuning="lower error at 8 of ten n",
        random="at most 0.8 points above at any n",
        weights="within 2 points at 4 of ten n",
    ),
)

CLAIMS: Mapping[str, Claim] = {claim.id: claim for claim in _CLAIMS}
"""Every claim of the ledger, by its identifier, in the order of the paper."""

CSS = {
    "reproduced": "reproduced",
    "partly": "partly",
    "undecided": "undecided",
    "not reproduced": "not",
}
"""Style-sheet classes of the outcomes."""
MARK = {"reproduced": "✓", "partly": "≈", "undecided": "?", "not reproduced": "✗"}
"""Marks of the outcomes, for readers who do not see colours."""


@dataclass(frozen=True)
class Verdict:
    """A claim, what was measured for it, and what its rule says."""

    claim: Claim
    estimate: Estimate
    outcome: Outcome

    @property
    def explanation(self) -> str:
        """The rule in words, or why it could not be applied."""
        if math.isnan(self.estimate.value):
            return f"undecided, because the value is undefined: {self.estimate.method}"
        if math.isnan(self.estimate.low):
            return f"undecided, because the value has no interval: {self.estimate.method}"
        return self.claim.rule.describe(self.claim.spec)

    @property
    def label(self) -> str:
        """The outcome with its mark, for readers who do not see colours."""
        return f"{MARK[self.outcome]} {self.outcome}"

    @property
    def ours(self) -> str:
        """Our value and interval, formatted."""
        return format(self.estimate, self.claim.spec)

    @property
    def setting(self) -> str:
        """On what it was measured, where that is not the paper's own experiment."""
        return f"Measured on {self.estimate.setting}." if self.estimate.setting else ""

    @property
    def _setting_html(self) -> str:
        return f'<p class="claim-setting">{escape(self.setting)}</p>' if self.setting else ""

    def _repr_html_(self) -> str:
        from .ledger_picture import evidence_html

        undefined = math.isnan(self.estimate.value)  # the rule's words say why
        how = "" if undefined else f" Our value: {escape(self.estimate.method)}."
        return (
            f'<div class="claim-card claim-{CSS[self.outcome]}" '
            f'id="claim-{escape(self.claim.id)}">'
            f'<p class="claim-statement">{escape(self.claim.statement)} '
            f"<cite>{escape(self.claim.where)}</cite></p>"
            f'<p class="claim-numbers"><span>Paper: <b>{escape(self.claim.published)}</b></span> '
            f"<span>Here: <b>{escape(self.ours)}</b></span></p>"
            f'<p class="claim-rule">{escape(self.claim.measure)} '
            f"Rule: {escape(self.explanation)}.{how}</p>"
            + self._setting_html
            + f'<p class="claim-evidence">What this rests on: {evidence_html(self.claim)}</p>'
            + f'<p class="claim-verdict">{escape(self.label)}</p></div>'
        )

    def __str__(self) -> str:
        return (
            f"{self.label}: {self.claim.statement} "
            f"Paper: {self.claim.published}. Here: {self.ours}. {self.setting}"
        ).rstrip()


def judge(claim_id: str, estimate: Estimate) -> Verdict:
    """Set ``estimate`` against the claim and decide by its rule.

    An undefined value decides nothing.

    Raises
    ------
    KeyError
        If there is no such claim; the message lists those there are.
    """
    try:
        claim = CLAIMS[claim_id]
    except KeyError:
        raise KeyError(f"no claim {claim_id!r}; the ledger holds {', '.join(CLAIMS)}") from None
    undefined = math.isnan(estimate.value) or math.isnan(estimate.low)
    outcome: Outcome = "undecided" if undefined else claim.rule.decide(estimate)
    return Verdict(claim, estimate, outcome)


def tally(outcomes: Iterable[str]) -> str:
    """Count outcomes, ``"not measured"`` among them, in words.

    Examples
    --------
    >>> tally(["reproduced", "not reproduced", "reproduced"])
    '2 reproduced, 1 not reproduced'
    """
    counts = Counter(outcomes)
    known = [outcome for outcome in (*OUTCOMES, "not measured") if counts[outcome]]
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in known) or "none"


def ledger(estimates: Mapping[str, Estimate]) -> pd.DataFrame:
    """The whole ledger as a table, one row a claim, in the order of declaration.

    A claim without an estimate is listed as not measured: the ledger never hides a row.

    Returns
    -------
    pandas.DataFrame
        Columns claim, where, statement, published, ours, setting, rule, verdict.

    Raises
    ------
    KeyError
        If an estimate belongs to no claim.
    """
    for claim_id in estimates:
        if claim_id not in CLAIMS:
            raise KeyError(f"no claim {claim_id!r}; the ledger holds {', '.join(CLAIMS)}")
    rows = []
    for claim in CLAIMS.values():
        verdict = judge(claim.id, estimates[claim.id]) if claim.id in estimates else None
        rows.append(
            {
                "claim": claim.id,
                "where": claim.where,
                "statement": claim.statement,
                "published": claim.published,
                "ours": verdict.ours if verdict else "—",
                "setting": verdict.setting if verdict else "",
                "rule": claim.rule.place(claim.spec),
                "verdict": verdict.outcome if verdict else "not measured",
            }
        )
    return pd.DataFrame(rows)


_HEADINGS = {
    "where": "Where",
    "statement": "Claim",
    "published": "Paper",
    "ours": "Here",
    "rule": "Reproduced if the interval lies",
    "verdict": "Verdict",
}


def ledger_html(estimates: Mapping[str, Estimate]) -> str:
    """:func:`ledger` as an HTML table; every claim links to its card on its page.

    What a claim was measured on stands below the table, once for all that share it.
    """
    rows = []
    table = ledger(estimates)
    notes = {setting: f"{i}" for i, setting in enumerate(filter(None, table.setting.unique()), 1)}
    for row in table.itertuples():
        claim = CLAIMS[str(row.claim)]
        css = CSS.get(str(row.verdict), "open")
        mark = MARK.get(str(row.verdict), "○")
        cells = {name: escape(str(getattr(row, name))) for name in _HEADINGS}
        cells["statement"] = (
            f'<a href="{claim.page}.html#claim-{claim.id}">{cells["statement"]}</a>'
        )
        if row.setting:
            cells["ours"] += f" <sup>{notes[row.setting]}</sup>"
        cells["verdict"] = f"{mark} {cells['verdict']}"
        body = "".join(
            f'<td class="claim-{name}" data-label="{_HEADINGS[name]}">{cell}</td>'
            for name, cell in cells.items()
        )
        rows.append(f'<tr class="claim-{css}">{body}</tr>')
    head = "".join(f'<th scope="col">{heading}</th>' for heading in _HEADINGS.values())
    body = "".join(rows)
    below = "".join(
        f'<p class="claim-setting"><sup>{number}</sup> {escape(setting)}</p>'
        for setting, number in notes.items()
    )
    return (
        f'<table class="ledger"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}'
    )
