"""The ledger in one picture: a mark a claim, which leads to the figure, code and test behind it.

Each claim has a scale of its own, drawn so that where the rule holds is shaded: an interval wholly
on the shade is reproduced, if it holds the published ratio where there is one. It is one HTML list
with small SVGs, and filters that need no script.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from html import escape
from itertools import product

from .claims import CLAIMS, CSS, MARK, OUTCOMES, Claim, judge
from .estimate import Estimate
from .evidence import EVIDENCE, published_value

__all__ = ["evidence_html", "ledger_picture"]

WIDTH, HEIGHT = 240, 26
_INSET = 10
LISTINGS = "../_static/source"
"""Where the pages of the book find the listings of its sources."""


def ledger_picture(estimates: Mapping[str, Estimate]) -> str:
    """Return the picture of all claims as HTML.

    Parameters
    ----------
    estimates
        What was measured, by claim; a claim without is listed as not measured.

    Raises
    ------
    KeyError
        If an estimate belongs to no claim.
    """
    for claim_id in estimates:
        if claim_id not in CLAIMS:
            raise KeyError(f"no claim {claim_id!r}; the ledger holds {', '.join(CLAIMS)}")
    outcomes = {
        claim: judge(claim, estimates[claim]).outcome if claim in estimates else "not measured"
        for claim in CLAIMS
    }
    rows = "".join(
        _row(claim, estimates.get(claim.id), outcomes[claim.id]) for claim in CLAIMS.values()
    )
    found = Counter(
        (section, outcomes[claim.id]) for claim in CLAIMS.values() for section in claim.sections
    )
    told = Counter(outcomes.values())
    sections = sorted({section for section, _ in found}, key=_order)
    verdicts = [outcome for outcome in (*OUTCOMES, "not measured") if told[outcome]]
    per_section = Counter(section for claim in CLAIMS.values() for section in claim.sections)
    parts = _filter(
        "Part of the paper",
        "section",
        {s: {"": per_section[s]} | {v: found[s, v] for v in verdicts} for s in sections},
    )
    kinds = _filter(
        "Verdict",
        "verdict",
        {v: {"": told[v]} | {s: found[s, v] for s in sections} for v in verdicts},
    )
    nothing = [pair for pair in product(sections, verdicts) if not found[pair]]
    return (
        f'<section class="ledger-picture" aria-label="Verdicts on {len(CLAIMS)} claims">'
        f'{parts}{kinds}{_KEY}<ol>{rows}</ol><p class="ledger-none">No claim of this part has '
        f"this verdict.</p>{_rules(sections, verdicts, nothing)}</section>"
    )


def evidence_html(claim: Claim, page: str = "") -> str:
    """Return links to the figure, code and test behind a claim.

    Parameters
    ----------
    claim
        Which.
    page
        The page of the figure, where it is another than the one that shows the links:
        ``"xor5d.html"``.
    """
    evidence = EVIDENCE[claim.id]
    return (
        f'<a href="{page}#figure-{evidence.figure}">figure</a> '
        f'<a href="{LISTINGS}/{evidence.code_listing}">code</a> '
        f'<a href="{LISTINGS}/{evidence.test_listing}">test</a>'
    )


_KEY = (
    '<p class="ledger-key" aria-hidden="true">'
    '<span><svg width="26" height="14"><rect class="holds" width="26" height="14"/></svg> '
    "the claim holds</span>"
    '<span><svg width="34" height="14"><line class="ours" x1="2" x2="32" y1="7" y2="7"/>'
    '<circle class="ours" cx="17" cy="7" r="4"/></svg> here, with its interval</span>'
    '<span><svg width="14" height="14"><path class="paper" d="M7 1.5 12.5 7 7 12.5 1.5 7Z"/></svg>'
    " the paper</span></p>"
)


def _order(section: str) -> tuple[bool, bool, str]:
    """The abstract, the sections by number, the appendices."""
    return section != "Abstract", not section.isdigit(), section


def _slug(word: str) -> str:
    return word.lower().replace(" ", "-")


def _filter(title: str, name: str, counts: Mapping[str, Mapping[str, int]]) -> str:
    """Radio buttons: arrow keys move between them, and no script is needed.

    Each says how many claims it leaves, for each choice of the other filter ("": all of them).
    """
    choices = {"": "all"} | {
        key: f"Section {key}" if key.isdigit() else key[:1].upper() + key[1:] for key in counts
    }
    numbers = {
        key: "".join(
            f'<span class="ledger-count" data-for="{_slug(other) or "all"}"> ({number})</span>'
            for other, number in there.items()
        )
        for key, there in counts.items()
    }
    buttons = "".join(
        f'<label><input type="radio" name="ledger-{name}" value="{_slug(key) or "all"}"'
        f"{' checked' if not key else ''}> {escape(text)}{numbers.get(key, '')}</label>"
        for key, text in choices.items()
    )
    return (
        f'<fieldset class="ledger-filter" data-by="{name}"><legend>{title}</legend>{buttons}'
        "</fieldset>"
    )


def _chosen(name: str, key: str) -> str:
    """The selector of a picture whose filter stands at ``key``; a colon goes in front."""
    return f'has(input[name="ledger-{name}"][value="{_slug(key)}"]:checked)'


def _rules(
    sections: Iterable[str], verdicts: Iterable[str], nothing: Iterable[tuple[str, str]]
) -> str:
    """The style sheet that hides what the filters leave out, and says where that is everything."""
    hidden = [
        f'.ledger-picture:{_chosen(name, key)} li:not([data-{name}~="{_slug(key)}"])'
        for name, keys in (("section", sections), ("verdict", verdicts))
        for key in keys
    ]
    empty = [
        f".ledger-picture:{_chosen('section', section)}:{_chosen('verdict', verdict)} .ledger-none"
        for section, verdict in nothing
    ]
    shown, other = [], {"section": "verdict", "verdict": "section"}
    for name, keys in (("section", sections), ("verdict", verdicts)):
        counts = f'[data-by="{other[name]}"] .ledger-count'
        hidden += [f".ledger-picture:not(:{_chosen(name, 'all')}) {counts}[data-for=all]"]
        shown += [
            f'.ledger-picture:{_chosen(name, key)} {counts}[data-for="{_slug(key)}"]'
            for key in keys
        ]
    return (
        "<style>.ledger-count:not([data-for=all]), "
        f"{', '.join(hidden)}, .ledger-none {{ display: none }} "
        f"{', '.join(shown)} {{ display: inline }} "
        f"{', '.join(empty)} {{ display: block }}</style>"
    )


def _row(claim: Claim, estimate: Estimate | None, outcome: str) -> str:
    css = CSS.get(outcome, "open")
    mark = MARK.get(outcome, "○")
    ours = format(estimate, claim.spec) if estimate else "not measured"
    setting = estimate.setting if estimate else ""
    small = estimate is not None and estimate.substitute
    badge = '<small class="ledger-substitute"> on a substitute</small>' if small else ""
    theirs = published_value(claim.id)
    value = _formatted(theirs, claim.spec)
    known = value.replace("\u00a0", " ") in ("", claim.published)
    published = claim.published if known else f"{claim.published}; {value}"
    page = f"{claim.page}.html"
    return (
        f'<li class="claim-{css}" data-section="{" ".join(map(_slug, claim.sections))}" '
        f'data-verdict="{_slug(outcome)}"><details><summary>'
        f'<b class="ledger-mark" aria-hidden="true">{mark}</b>'
        f'<span class="ledger-claim">{escape(claim.statement)}'
        f'<span class="ledger-verdict"> {escape(outcome)}</span>{badge}</span>'
        f'<span class="ledger-scale">{_scale(claim, estimate, theirs)}</span></summary>'
        f'<p class="ledger-values"><span>Paper: <b>{escape(published)}</b></span> '
        f"<span>Here: <b>{escape(ours)}</b></span></p>"
        + (f"<p>Measured on {escape(setting)}.</p>" if setting else "")
        + f"<p>{escape(claim.where)}. {escape(claim.measure)} "
        f"Rule: {escape(claim.rule.describe(claim.spec))}.</p>"
        f'<p class="ledger-evidence"><a href="{page}#claim-{claim.id}">verdict in its place</a> '
        f"{evidence_html(claim, page)}</p></details></li>"
    )


def _formatted(value: float, spec: str) -> str:
    if math.isnan(value):
        return ""
    bare = Estimate(value, math.nan, math.nan, n=0, method="published")
    return format(bare, spec).replace(" (no interval)", "")


def _scale(claim: Claim, estimate: Estimate | None, theirs: float) -> str:
    """One claim's own axis: where its rule holds, our interval, the paper's value."""
    ours = (estimate.low, estimate.value, estimate.high) if estimate else ()
    region = claim.rule.region
    ends = [x for x in (*ours, *region, theirs) if math.isfinite(x)]
    low, high = min(ends), max(ends)
    room = 0.15 * (high - low) or max(abs(high), 1.0) * 0.15
    low, high = low - room, high + room

    def place(x: float) -> float:
        inside = min(max(float(x), low), high)
        return float(round(_INSET + (WIDTH - 2 * _INSET) * (inside - low) / (high - low), 1))

    middle = HEIGHT / 2
    left, right = (place(x) for x in region)
    if right - left < 6:  # a single number
        left, right = left - 3, right + 3
    parts = [f'<rect class="holds" x="{left}" y="0" width="{right - left:.1f}" height="{HEIGHT}"/>']
    parts += [
        f'<line class="bound" x1="{place(x)}" x2="{place(x)}" y1="0" y2="{HEIGHT}"/>'
        for x in dict.fromkeys(region)
        if math.isfinite(x)
    ]
    if estimate and not math.isnan(estimate.low):
        parts.append(
            f'<line class="ours" x1="{place(estimate.low)}" x2="{place(estimate.high)}" '
            f'y1="{middle}" y2="{middle}"/>'
        )
    if estimate and not math.isnan(estimate.value):
        parts.append(f'<circle class="ours" cx="{place(estimate.value)}" cy="{middle}" r="4.5"/>')
    if math.isfinite(theirs):
        x = place(theirs)
        parts.append(
            f'<path class="paper" d="M{x} {middle - 6} {x + 6} {middle} {x} {middle + 6} '
            f'{x - 6} {middle}Z"/>'
        )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'aria-hidden="true" focusable="false">{"".join(parts)}</svg>'
    )
