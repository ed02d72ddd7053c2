"""Which experiments on images a results store holds, and their curves for the figures."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from polarity._checks import one_of
from polarity._files import sha256_of
from polarity.donors import DONORS
from polarity.networks import ARCHITECTURES, alexnet
from polarity.protocols import (
    IMAGE_CONDITIONS,
    IMAGE_SIZES,
    IMAGE_TIERS,
    PRECISIONS,
    ImagesProtocol,
)
from polarity.results import Run, Store, origin
from polarity.results.store import ANY_DONOR

from .chance import chance_table, states
from .estimate import SUBSTITUTE, Estimate
from .image_metrics import (
    CLAIMED,
    dead_shares,
    error,
    estimate_of,
    over_pairs,
    paired_error,
    paired_time,
    ran,
    trial_counts,
)

__all__ = [
    "Experiment",
    "curves_of",
    "dead_units",
    "effects",
    "estimated",
    "experiments",
    "nothing",
    "origin_of",
    "precisions",
    "rates",
    "shown",
    "stored_runs",
]

JUDGED = 6
"""Trials from which a confidence interval of a median can be had at all."""
_HELD, _SCRATCH = "frozen_in_polarity", "fluid_rand_polarity"
_SETTINGS = ["tier", "donor", "accuracy", "image_size", "batch_size", "steps", "precision",
             "data", "unusual", "n_train"]  # fmt: skip
_EFFECTS = [*_SETTINGS, "pairs", "error", "time"]
_DEAD = [*_SETTINGS, "condition", "networks", "never_left", "error", "dead"]
_UNUSUAL = {
    "epochs": "{} epochs",
    "batch_size": "batches of {}",
    "lr": "learning rate {}",
    "reset": "reset rule {}",
    "epsilon": "epsilon {}",
    "n_val": "{} test images",
    "evaluate_every": "evaluated every {} epochs",
    "seed": "seed {}",
}
PAPERS_DONOR = "imagenet_caffe"
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
        return ", ".join([words, *self.unusual.values()])

    @property
    def unusual(self) -> dict[str, str]:
        """Settings that are not the tier's own, in words; precision, network and donor apart."""
        usual = _protocol_of(self.tier)
        return {
            name: words.format(self.settings[name])
            for name, words in _UNUSUAL.items()
            if name in self.settings and self.settings[name] != getattr(usual, name)
        }

    @property
    def own(self) -> bool:
        """Whether settings, network and donor are the tier's own: no variation and no control.

        In the paper's tier, its donor is as much its own as the one that stands in for it.
        """
        usual = _protocol_of(self.tier)
        donors = {usual.donor, *([PAPERS_DONOR] if self.tier == "paper" else [])}
        same_network = self.settings["architecture"] == usual.architecture
        return not self.unusual and same_network and self.donor in donors

    @property
    def substitute(self) -> bool:
        """Whether it differs from the paper's experiment: by tier, donor, images or arithmetic."""
        return bool(
            self.tier != "paper"
            or self.unusual
            or self.donor not in (PAPERS_DONOR, ANY_DONOR)
            or self.settings.get("precision") != "float32"
            or self.settings.get("data") != "original"
        )

    def extent(self, curves: xr.Dataset) -> str:
        """Tier, donor, sizes and trials in words, for the ledger."""
        counts = trial_counts(curves)
        sizes = [str(n) for n in curves.n_train.values[counts.any("condition").values]]
        numbers = counts.values[counts.values > 0]
        low, high = (int(numbers.min()), int(numbers.max())) if numbers.size else (0, 0)
        trials = f"{low} to {high}" if low != high else f"{high}"
        place = "the " + self.setting.replace(" tier: ", " tier (", 1) + ")"
        listing = ", ".join(sizes[:-1]) + (" and " if len(sizes) > 1 else "") + "".join(sizes[-1:])
        note = f"; {SUBSTITUTE}" if self.substitute else ""
        networks = f"n = {listing}, {trials} {'trial' if high == 1 else 'trials'}"
        return f"{place}, {networks if sizes else 'no networks'}{note}"


def estimated(experiment: Experiment | None, curves: xr.Dataset, claim: str) -> Estimate:
    """Measure a claim, and say on which sizes and trials: those of both its conditions.

    Parameters
    ----------
    experiment, curves
        What :func:`shown` returned.
    claim
        A key of :data:`~polarity.analysis.image_metrics.CLAIMED`.

    Raises
    ------
    ValueError
        If there is no such claim.
    """
    _, *compared = CLAIMED[one_of("claim", claim, CLAIMED)]
    both = curves.sel(condition=compared)
    both = both.where(ran(both).all("condition"))
    return estimate_of(curves, claim, experiment.extent(both) if experiment else "no runs")


def _protocol_of(tier: str) -> ImagesProtocol:
    protocol = ImagesProtocol.reduced() if tier == "reduced" else ImagesProtocol()
    return protocol.smoke() if tier == "smoke" else protocol


def origin_of(store: Store, experiment: Experiment | None) -> str:
    """Say when an experiment's runs were trained, on what, and whether the code has changed since.

    Parameters
    ----------
    store
        Where the runs are.
    experiment
        Which; None for no runs.
    """
    return origin(store.runs(**experiment.settings)) if experiment else ""


def stored_runs(store: Store, *chosen: Experiment | None) -> str:
    """Name what holds runs, when, where and how long they trained, and what trains the like.

    For the card of a page that reads them.

    Parameters
    ----------
    store
        Where the runs are.
    *chosen
        Their experiments; None for no runs. Of several, no commands are named.

    Returns
    -------
    str
        A few sentences; empty where there are no runs. A donor of the user's own is named by its
        template's file, wherever that is.
    """
    known = [experiment for experiment in chosen if experiment]
    # Runs without a donor belong to several experiments.
    held = {run.key: run for each in known for run in store.runs(**each.settings)}
    runs = list(held.values())
    if not runs:
        return ""
    files = [f"{path.name} (SHA-256 {sha256_of(path)})" for path in store.holding(held)]
    hours = sum(float(str(run.info.get("seconds", 0))) for run in runs) / 3600
    command = _command(known[0], runs) if len(known) == 1 else f"{_SWEEP}, see --help"
    return (
        f"from {' and '.join(files)}. {origin(runs)} {hours:.1f} hours of training. "
        f"The like is trained by: {command}"
    )


_SWEEP = "python -m polarity.sweep images"


def _command(experiment: Experiment, runs: Sequence[Run]) -> str:
    """Return the command that trains the runs of an experiment."""
    sizes = sorted({int(run.identity["n_train"]) for run in runs})
    trials = 1 + max(int(run.identity["trial"]) for run in runs)
    settings = experiment.settings
    shared = ["dataset", "tier", "epochs", "batch_size", "lr", "reset", "precision", "donor"]
    usual = _protocol_of(experiment.tier)
    rarer = ["architecture", "n_val", "evaluate_every", "seed", "epsilon"]
    shared += [name for name in rarer if settings[name] != getattr(usual, name)]
    name, colon, variant = experiment.donor.partition(":")
    given = {"donor": experiment.donor if name in DONORS else f"{name}.safetensors{colon}{variant}"}
    options = " ".join(
        f"--{name.replace('_', '-')} {given.get(name, settings[name])}"
        for name in shared
        if settings[name] != ANY_DONOR
    )
    trained = {str(run.identity["condition"]) for run in runs}
    conditions = [condition for condition in IMAGE_CONDITIONS if condition in trained]
    return (
        f"{_SWEEP} {options} --trials {trials} --sizes {' '.join(map(str, sizes))} "
        f"--conditions {' '.join(conditions)}"
    )


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
        ``"paper"``, ``"reduced"``, ``"smoke"``, or ``"best"``: the paper's if there are
        :data:`JUDGED` pairs of frozen IN-polarity and fluid RAND-polarity at some n, which a
        verdict needs; else the one of the most pairs. Runs with a tier's own settings, network and
        donor come before those with others.

    Returns
    -------
    Experiment or None
        None if there is no run; the curves are then :func:`nothing`.
    """
    one_of("tier", tier, ("best", *IMAGE_TIERS))
    wanted = IMAGE_TIERS[:2] if tier == "best" else (tier,)
    best: tuple[Experiment | None, xr.Dataset] = None, nothing(dataset)
    most = False, 0, 0
    for experiment in experiments(store, dataset):
        if experiment.tier in wanted:
            curves = curves_of(store, experiment)
            pairs = paired_error(curves, _HELD, _SCRATCH).notnull().sum("trial")
            # Beyond what a verdict needs, more of them do not make a lesser tier the better one.
            worth = (
                experiment.own,
                min(int(pairs.max()), JUDGED),
                min(int(trial_counts(curves).max()), JUDGED),
            )
            if worth > most:
                best, most = (experiment, curves), worth
    return best


def effects(
    store: Store, dataset: str, condition: str = _HELD, baseline: str = _SCRATCH
) -> pd.DataFrame:
    """Return what ``condition`` gains on ``baseline`` in every experiment that holds pairs of them.

    Parameters
    ----------
    store, dataset
        Where to look, and for what.
    condition, baseline
        Of :data:`~polarity.protocols.IMAGE_CONDITIONS`.

    Returns
    -------
    pandas.DataFrame
        One row an experiment and n. Columns tier, donor, accuracy (of the donor, top-1, as its runs
        carry it; NaN if unknown), image_size, batch_size, steps (of the optimizer, in all),
        precision, data (``"original"`` or ``"jpeg copy"``), unusual (:attr:`Experiment.unusual`
        settings but the batch size, in words; else empty), n_train, pairs, error
        (:func:`~.image_metrics.paired_error`) and time (:func:`~.image_metrics.paired_time`), both
        an :class:`~polarity.analysis.estimate.Estimate` over pairs.
    """
    rows = []
    for experiment in experiments(store, dataset):
        curves = curves_of(store, experiment)
        errors = paired_error(curves, condition, baseline)
        times = paired_time(curves, condition, baseline)
        for n in curves.n_train.values:
            pairs = int(errors.sel(n_train=n).notnull().sum())
            if not pairs:
                continue
            rows.append(
                _described(store, experiment, int(n))
                | {
                    "pairs": pairs,
                    "error": over_pairs(errors.sel(n_train=n)),
                    "time": over_pairs(times.sel(n_train=n)),
                }
            )
    return pd.DataFrame(rows, columns=_EFFECTS)


def dead_units(store: Store, dataset: str, n_train: int) -> pd.DataFrame:
    """Return the share of units that die in every experiment: whose signs kill?

    Parameters
    ----------
    store, dataset
        Where to look, and for what.
    n_train
        Number of training images.

    Returns
    -------
    pandas.DataFrame
        One row an experiment and condition; RAND conditions, which several donors share, once, with
        the donor ``"none"``. Columns as those of :func:`effects` down to n_train, then condition,
        networks, never_left (how many of them never left chance), error (median at convergence, a
        fraction) and dead (:func:`~.image_metrics.dead_shares`, dims (moment, hidden)).
    """
    rows: list[dict[str, object]] = []
    seen: set[tuple[str, str]] = set()
    for experiment in experiments(store, dataset):
        curves = curves_of(store, experiment)
        if n_train not in curves.n_train:
            continue
        others = _but_donor(experiment)
        shares = dead_shares(curves, n_train)
        table = chance_table(curves.sel(n_train=[n_train])).set_index("condition")
        for condition in shares.condition.values:
            described = _described(store, experiment, n_train)
            if "_rand_" in condition:
                if (others, condition) in seen:
                    continue
                seen.add((others, condition))
                described |= {"donor": ANY_DONOR, "accuracy": np.nan}
            row = table.loc[condition]
            rows.append(
                described
                | {
                    "condition": str(condition),
                    "networks": int(row.trials),
                    "never_left": int(row.never_left),
                    "error": float(row["median"]),
                    "dead": shares.sel(condition=condition, drop=True),
                }
            )
    return pd.DataFrame(rows, columns=_DEAD)


def precisions(store: Store, dataset: str) -> pd.DataFrame:
    """Return the runs that were trained in both precisions, side by side.

    Returns
    -------
    pandas.DataFrame
        One row a run; RAND conditions, which several donors share, once. Columns tier, condition,
        n_train, trial, float32 and bf16 (error at convergence, as a fraction), spread (standard
        deviation of that error over the bf16 trials of the cell; NaN with fewer than two).
    """
    both: dict[str, dict[str, Experiment]] = {}
    for experiment in experiments(store, dataset):
        others = {k: v for k, v in experiment.settings.items() if k != "precision"}
        same = both.setdefault(json.dumps(others, sort_keys=True), {})
        same[str(experiment.settings["precision"])] = experiment
    rows = []
    seen: set[tuple[str, ...]] = set()
    for found in both.values():
        if len(found) < 2:
            continue
        shared = _but_donor(found["float32"])
        errors = {p: error(curves_of(store, e)) for p, e in found.items()}
        wide, narrow = xr.align(errors["float32"], errors["bf16"], join="inner")
        spread = errors["bf16"].std("trial", ddof=1)
        for condition, n, trial in product(
            wide.condition.values, wide.n_train.values, wide.trial.values
        ):
            at = {"condition": condition, "n_train": n, "trial": trial}
            a, b = float(wide.sel(at)), float(narrow.sel(at))
            if np.isfinite([a, b]).all():
                if "_rand_" in condition:
                    if (run := (shared, str(condition), str(n), str(trial))) in seen:
                        continue
                    seen.add(run)
                rows.append(
                    {
                        "tier": next(iter(found.values())).tier,
                        **at,
                        "float32": a,
                        "bf16": b,
                        "spread": float(spread.sel(condition=condition, n_train=n)),
                    }
                )
    columns = ["tier", "condition", "n_train", "trial", "float32", "bf16", "spread"]
    numbers = dict.fromkeys(columns[2:4], int) | dict.fromkeys(columns[4:], float)
    return pd.DataFrame(rows, columns=columns).astype(numbers)  # numbers, even where there are none


def rates(
    store: Store,
    dataset: str,
    n_train: int,
    *,
    epochs: int = 50,
    donor: str = "tiny_imagenet_64",
    precision: str = "float32",
    data: str = "original",
    hidden: str = "conv2",
) -> pd.DataFrame:
    """Return how far networks of the reduced tier got at each learning rate, and what died.

    The paper chose its rate "by accuracy gained after 50 epochs" among four. The rate is constant,
    so a longer run serves, too: its first epochs are those of a shorter one.

    Parameters
    ----------
    store, dataset
        Where to look, and for what.
    n_train
        Number of training images.
    epochs
        After how many of them; runs that were not evaluated there are left out.
    donor
        Whose signs; RAND conditions have none, and are always in.
    precision
        ``"float32"`` or ``"bf16"``.
    data
        ``"original"`` or ``"jpeg copy"``: what the images were.
    hidden
        The layer whose dead units are counted.

    Returns
    -------
    pandas.DataFrame
        One row a network; networks that differ in nothing but the rate have the same trial. Columns
        lr, condition, trial, accuracy (a fraction), never_left (bool: at chance in all these
        epochs, see :func:`~.chance.states`), dead (share of the units of ``hidden`` that are dead
        at the end of training, a fraction) and trained (epochs until that end).

    Raises
    ------
    ValueError
        If there is no such precision, or no such layer.
    """
    one_of("precision", precision, PRECISIONS)
    found: dict[tuple[float, str, int], dict[str, object]] = {}
    # The longest first: of one network that was trained twice, the shorter run takes its place.
    for experiment in sorted(experiments(store, dataset), key=_epochs, reverse=True):
        settings = experiment.settings
        if (
            experiment.tier != "reduced"
            or experiment.unusual.keys() - {"lr", "epochs"}
            or settings["precision"] != precision
            or settings["data"] != data
            or settings["architecture"] != ImagesProtocol.reduced().architecture
            or experiment.donor not in (donor, ANY_DONOR)
        ):
            continue
        curves = curves_of(store, experiment)
        if n_train not in curves.n_train or epochs - 1 not in curves.epoch:
            continue
        one_of("hidden", hidden, map(str, curves.hidden.values))
        first = curves.sel(n_train=[n_train], epoch=slice(0, epochs - 1))
        reached = first.val_accuracy.sel(n_train=n_train, epoch=epochs - 1)
        fate = states(first).sel(n_train=n_train)
        dead = first.dead.sel(n_train=n_train, moment="end", hidden=hidden)
        lr = float(str(settings["lr"]))
        for condition, trial in product(curves.condition.values, curves.trial.values):
            at = {"condition": condition, "trial": trial}
            if np.isfinite(accuracy := float(reached.sel(at))):
                found[lr, str(condition), int(trial)] = {
                    "accuracy": accuracy,
                    "never_left": str(fate.sel(at).item()) == "never left",
                    "dead": float(dead.sel(at)),
                    "trained": _epochs(experiment),
                }
    columns = ["lr", "condition", "trial", "accuracy", "never_left", "dead", "trained"]
    keys = columns[:3]
    rows = [dict(zip(keys, key, strict=True)) | row for key, row in sorted(found.items())]
    return pd.DataFrame(rows, columns=columns)


def _epochs(experiment: Experiment) -> int:
    return int(str(experiment.settings["epochs"]))


def _but_donor(experiment: Experiment) -> str:
    """What its RAND conditions share with those of other donors."""
    settings = {name: value for name, value in experiment.settings.items() if name != "donor"}
    return json.dumps(settings, sort_keys=True)


def _described(store: Store, experiment: Experiment, n: int) -> dict[str, object]:
    """What tells experiments apart, for a row of a table: :data:`_SETTINGS`."""
    settings = experiment.settings
    batch, epochs = int(str(settings["batch_size"])), _epochs(experiment)
    return {
        "tier": experiment.tier,
        "donor": experiment.donor,
        "accuracy": _accuracy(store, experiment.donor),
        "image_size": ARCHITECTURES[str(settings["architecture"])].image_size,
        "batch_size": batch,
        "steps": epochs * -(-n // batch),
        "precision": settings["precision"],
        "data": settings["data"],
        "unusual": ", ".join(v for k, v in experiment.unusual.items() if k != "batch_size"),
        "n_train": n,
    }


def _accuracy(store: Store, donor: str) -> float:
    """Top-1 accuracy of a donor, as one of its runs carries it."""
    for run in store.runs(donor=donor):
        text = str(run.info.get("donor accuracy", ""))
        if re.fullmatch(r"0\.\d+", text):
            return float(text)
    return float("nan")


def nothing(dataset: str) -> xr.Dataset:
    """Return the curves of an experiment of which no network has been trained: all NaN."""
    sizes = IMAGE_SIZES[one_of("dataset", dataset, IMAGE_SIZES)]
    with torch.device("meta"):  # names alone
        parameters = dict(alexnet().named_parameters())
    layers = [name.removesuffix(".weight") for name in parameters if name.endswith(".weight")]
    axes: dict[str, Sequence[Any] | np.ndarray] = {
        "condition": list(IMAGE_CONDITIONS),
        "n_train": list(sizes),
        "trial": [0],
        "epoch": np.arange(100),
        "step": np.arange(1, 100),
        "layer": layers,
        "moment": ["start", "end"],
        "hidden": layers[:-1],
    }
    measured = {
        "val_loss": ("epoch",),
        "val_accuracy": ("epoch",),
        "flipped": ("step", "layer"),
        "dead": ("moment", "hidden"),
    }
    curves = {}
    for name, rest in measured.items():
        dims = ("condition", "n_train", "trial", *rest)
        curves[name] = (dims, np.full([len(axes[dim]) for dim in dims], np.nan, np.float32))
    return xr.Dataset(curves, axes)
