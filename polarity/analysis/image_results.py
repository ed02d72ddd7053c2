"""Which experiments on images a results store holds, and their curves for the figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from polarity._checks import one_of
from polarity.networks import ARCHITECTURES
from polarity.protocols import IMAGE_CONDITIONS, IMAGE_SIZES, IMAGE_TIERS
from polarity.results import Store
from polarity.results.store import ANY_DONOR

from .image_metrics import trial_counts

__all__ = ["Experiment", "curves_of", "experiments", "nothing", "shown"]

_VARIES = ("condition", "n_train", "trial", "donor", "donor_digest")


@dataclass(frozen=True)
class Experiment:
    """Runs that differ in nothing but condition, n and trial.

    Attributes
    ----------
    settings
        What they share: the identity of a run without what varies, and the donor.
    runs
        How many there are, those without a donor (RAND conditions) included.
    """

    settings: Mapping[str, object]
    runs: int

    @property
    def tier(self) -> str:
        """Which experiment it is: ``"paper"``, ``"reduced"`` or ``"smoke"``."""
        return str(self.settings["tier"])

    @property
    def donor(self) -> str:
        """Name of the donor; ``"none"`` if there are RAND conditions only."""
        return str(self.settings["donor"])

    @property
    def setting(self) -> str:
        """Tier, network and donor in words, for the legends of figures."""
        size = ARCHITECTURES[str(self.settings["architecture"])].image_size
        words = f"{self.tier} tier: AlexNet at {size} px, donor {self.donor}"
        if self.settings.get("precision") != "float32":
            words += f", {self.settings.get('precision')}"
        if "jpeg" in str(self.settings.get("data")):
            words += ", images from JPEG copies"
        return words

    def extent(self, curves: xr.Dataset) -> str:
        """Tier, donor, sizes and trials in words, for the ledger."""
        counts = trial_counts(curves)
        sizes = [str(n) for n in curves.n_train.values[counts.any("condition").values]]
        numbers = counts.values[counts.values > 0]
        low, high = (int(numbers.min()), int(numbers.max())) if numbers.size else (0, 0)
        trials = f"{low} to {high}" if low != high else f"{high}"
        place = "the " + self.setting.replace(" tier: ", " tier (", 1) + ")"
        listing = ", ".join(sizes[:-1]) + (" and " if len(sizes) > 1 else "") + "".join(sizes[-1:])
        note = "" if self.tier == "paper" else "; not the paper's experiment"
        return f"{place}, n = {listing}, {trials} {'trial' if high == 1 else 'trials'}{note}"


def experiments(store: Store, dataset: str) -> list[Experiment]:
    """Return what the store holds for a data set: the paper's tier first, then the most runs.

    Raises
    ------
    ValueError
        If the data set is unknown.
    """
    one_of("dataset", dataset, IMAGE_SIZES)
    groups: dict[tuple[tuple[str, object], ...], Counter[str]] = {}
    for run in store.runs(experiment="images", dataset=dataset):
        settings = {k: v for k, v in run.identity.items() if k not in _VARIES}
        donors = groups.setdefault(tuple(sorted(settings.items())), Counter())
        donors[str(run.identity["donor"])] += 1
    found = []
    for fixed, donors in groups.items():
        shared = donors.pop(ANY_DONOR, 0)
        for donor, count in (donors or {ANY_DONOR: 0}).items():
            found.append(Experiment(dict(fixed) | {"donor": donor}, count + shared))
    return sorted(found, key=lambda e: (IMAGE_TIERS.index(e.tier), -e.runs, str(e.settings)))


def curves_of(store: Store, experiment: Experiment) -> xr.Dataset:
    """Return an experiment's curves, all six conditions in order, NaN where there is no run."""
    curves: xr.Dataset = store.dataset(**experiment.settings).reindex(
        condition=list(IMAGE_CONDITIONS)
    )
    return curves


def shown(store: Store, dataset: str, tier: str = "best") -> tuple[Experiment | None, xr.Dataset]:
    """Return the experiment that a page shows, and its curves.

    Parameters
    ----------
    store, dataset
        Where to look, and for what.
    tier
        ``"paper"``, ``"reduced"``, ``"smoke"``, or ``"best"``: the paper's if there is any run of
        it, else the reduced one.

    Returns
    -------
    Experiment or None
        None if there is no run; the curves are then :func:`nothing`.
    """
    one_of("tier", tier, ("best", *IMAGE_TIERS))
    wanted = IMAGE_TIERS[:2] if tier == "best" else (tier,)
    for experiment in experiments(store, dataset):
        if experiment.tier in wanted:
            return experiment, curves_of(store, experiment)
    return None, nothing(dataset)


def nothing(dataset: str) -> xr.Dataset:
    """Return the curves of an experiment of which no network has been trained: all NaN."""
    sizes = IMAGE_SIZES[one_of("dataset", dataset, IMAGE_SIZES)]
    dims = ("condition", "n_train", "trial", "epoch")
    empty = np.full((len(IMAGE_CONDITIONS), len(sizes), 1, 100), np.nan, np.float32)
    curves = xr.Dataset(
        {"val_loss": (dims, empty), "val_accuracy": (dims, empty.copy())},
        {"condition": list(IMAGE_CONDITIONS), "n_train": list(sizes), "epoch": np.arange(100)},
    )
    return curves
