"""What a page that reads the results store shares with others: its runs, and their verdicts."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from polarity._checks import one_of
from polarity.protocols import ImagesProtocol
from polarity.results import Store, code_digest

from .environment import repository_root

if TYPE_CHECKING:
    import xarray as xr

    from polarity.analysis.image_results import Experiment

    from .page import Page

__all__ = ["image_results", "measure_pairs"]

STORED = Path("book/results")
RECOMPUTED = Path(".cache/recomputed")
SHOWN = ("best", "paper", "reduced")


def image_results(
    dataset: str,
    shown: str = "best",
    *,
    recompute: bool = False,
    smoke: bool = False,
    device: str = "auto",
    **changes: object,
) -> tuple[Store, str]:
    """Return the store that a page reads, and the tier of runs to show.

    Parameters
    ----------
    dataset
        ``"fashion_mnist"`` or ``"cifar10"``.
    shown
        ``"paper"``, ``"reduced"``, or ``"best"``: the paper's tier as soon as it
        can be judged (:func:`polarity.analysis.image_results.shown`).
    recompute
        Train everything again, into a folder that this protocol and the code as it is have for
        themselves; a run that was cut short goes on. ``"best"`` then means the paper's tier.
        Conditions whose donor is not here (those of IN-weight need 250 MB of weights that no
        repository holds) are left out, and named.
    smoke
        Recompute at a size that only shows that it works.
    device
        Where to train.
    **changes
        Fields of the protocol to recompute with; empty ones are left as they are.
    """
    one_of("shown", shown, SHOWN)
    root = repository_root() or Path.cwd()
    if not recompute:
        return Store(root / STORED), shown
    from polarity.images import identity, possible, train
    from polarity.sweep import sweep

    given = {name: value for name, value in changes.items() if value}
    if shown == "reduced":
        protocol = ImagesProtocol.reduced(dataset, **given)
    else:
        protocol = replace(ImagesProtocol(dataset), **given)  # type: ignore[arg-type]
    if smoke:
        protocol = protocol.smoke()
    asked = json.dumps([protocol.describe(), code_digest()], sort_keys=True)
    store = Store(root / RECOMPUTED / hashlib.sha256(asked.encode()).hexdigest()[:16])
    protocol = possible(protocol)
    sweep(protocol, store, train=train, identity=identity, device=device)
    return store, protocol.tier


def measure_pairs(
    page: Page, experiment: Experiment | None, curves: xr.Dataset, *claims: str
) -> list[str]:
    """Put claims to an experiment's pairs of networks; name those that have too few pairs to judge.

    Every estimate is glued in words under its claim's name, as :meth:`Page.measure` does.

    Parameters
    ----------
    page
        Whose claims, and where their cards are shown.
    experiment, curves
        What :func:`polarity.analysis.image_results.shown` returned.
    *claims
        The claims without their page: ``"less_data"``, a key of
        :data:`~polarity.analysis.image_metrics.CLAIMED`.

    Returns
    -------
    list of str
        The outcomes, ``"not measured"`` among them, for :func:`polarity.analysis.claims.tally`.

    Raises
    ------
    ValueError
        If there is no such claim.
    """
    from polarity.analysis.claims import CLAIMS
    from polarity.analysis.image_results import estimated

    outcomes: list[str] = []
    for name in claims:
        claim, estimate = f"{page.name}.{name}", estimated(experiment, curves, name)
        if math.isfinite(estimate.low) and math.isfinite(estimate.high):
            outcomes.append(page.measure(claim, estimate).outcome)
        else:
            outcomes.append("not measured")
            found = estimate.brief(CLAIMS[claim].spec) if estimate.n else "no pair to compare"
            page.glue(name, found)
            page.not_measured(
                claim,
                "an interval needs six pairs of networks that can be compared; "
                f"there are {estimate.n}.",
            )
    return outcomes
