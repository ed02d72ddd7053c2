"""Where a page that reads the results store finds its runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from polarity._checks import one_of
from polarity.datasets import DataNotFound
from polarity.protocols import ImagesProtocol
from polarity.results import Store

from .environment import repository_root

__all__ = ["image_results"]

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
        Train everything again, into a folder of its own, which holds nothing but what was trained
        there; a run that was cut short goes on. ``"best"`` then means the paper's tier. Conditions
        whose donor is not here (those of IN-weight need 250 MB of weights that no repository
        holds) are left out, and named.
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
    from polarity.images import identity, train
    from polarity.sweep import sweep

    given = {name: value for name, value in changes.items() if value}
    if shown == "reduced":
        protocol = ImagesProtocol.reduced(dataset, **given)
    else:
        protocol = replace(ImagesProtocol(dataset), **given)  # type: ignore[arg-type]
    if smoke:
        protocol = protocol.smoke()
    protocol = replace(protocol, conditions=_possible(protocol))
    store = Store(root / RECOMPUTED)
    sweep(protocol, store, train=train, identity=identity, device=device)
    return store, protocol.tier


def _possible(protocol: ImagesProtocol) -> tuple[str, ...]:
    """Return the conditions that can be trained here; say which cannot, and why."""
    from polarity.images.conditions import donor_of

    possible, missing = [], {}
    for condition in protocol.conditions:
        try:
            donor_of(protocol, condition)
        except DataNotFound as reason:
            missing[condition] = reason
        else:
            possible.append(condition)
    if missing:
        print(f"Left out {', '.join(missing)}: {next(reversed(missing.values()))}")
    return tuple(possible)
