"""The claims on images: what they say of the paper is in the paper's table, and they can fail."""

import numpy as np
import pytest
from image_curves import image_curves

from polarity.analysis.claims import CLAIMS, judge
from polarity.analysis.image_metrics import (
    CLAIMED,
    by_size,
    estimate_of,
    over_pairs,
    paired_error,
    paired_time,
)
from polarity.analysis.published import image_medians
from polarity.analysis.style import condition_style
from polarity.protocols import IMAGE_THRESHOLDS

NAMES = (
    "less_data", "less_time", "freezing", "random_polarity",
    "fine_tuning_data", "fine_tuning_time", "weights_time", "compressed",
)  # fmt: skip


def medians(dataset, metric, threshold=None):
    table = image_medians()
    table = table[(table.dataset == dataset) & (table.metric == metric)]
    if threshold:
        table = table[table.threshold == threshold]
    return table.pivot(index="n_train", columns="condition", values="median")


@pytest.mark.parametrize("dataset", ["fashion_mnist", "cifar10"])
def test_every_data_set_has_the_same_claims(dataset):
    ids = [claim.id for claim in CLAIMS.values() if claim.page == f"images_{dataset}"]
    assert ids == [f"images_{dataset}.{name}" for name in NAMES]


@pytest.mark.parametrize("dataset", ["fashion_mnist", "cifar10"])
def test_what_the_paper_found_is_in_its_table(dataset):
    said = {name: CLAIMS[f"images_{dataset}.{name}"].published for name in NAMES}
    errors = medians(dataset, "val_error_at_convergence_pct")
    ours = errors.frozen_in_polarity
    assert len(errors) == 10
    for name, condition in (
        ("less_data", "fluid_rand_polarity"),
        ("freezing", "fluid_in_polarity"),
    ):
        assert said[name] == "lower error at all ten n" and (ours < errors[condition]).all()
    assert (
        said["fine_tuning_data"]
        == f"lower error at {(ours < errors.fluid_in_weight).sum()} of ten n"
    )
    above = float((errors.frozen_rand_polarity - errors.fluid_rand_polarity).max())
    limit = float(said["random_polarity"].split()[2])
    assert limit - 0.1 < above <= limit
    gap = (ours - errors.frozen_in_weight).abs()
    if said["compressed"].endswith("every n"):
        assert gap.max() <= float(said["compressed"].split()[1])
    else:
        assert said["compressed"] == f"within 2 points at {(gap <= 2).sum()} of ten n"
    epochs = medians(dataset, "epochs_to_accuracy", IMAGE_THRESHOLDS[dataset])
    for name, condition in (
        ("less_time", "fluid_rand_polarity"),
        ("fine_tuning_time", "fluid_in_weight"),
        ("weights_time", "frozen_in_weight"),
    ):
        both = epochs[["frozen_in_polarity", condition]].dropna()
        assert len(both) >= 3 and (both.frozen_in_polarity < both[condition]).all()
        assert f"{100 * IMAGE_THRESHOLDS[dataset]:g} % " in said[name]


@pytest.mark.parametrize(("stuck", "outcome"), [
    ((), "reproduced"), (["frozen_in_polarity"], "not reproduced"),
])  # fmt: skip
def test_changed_runs_change_the_verdicts(stuck, outcome):
    curves = image_curves(trials=4, stuck=stuck)
    pair = ("frozen_in_polarity", "fluid_rand_polarity")
    for name, pairs in (("less_data", paired_error), ("less_time", paired_time)):
        estimate = over_pairs(pairs(curves, *pair), "made up")
        assert judge(f"images_fashion_mnist.{name}", estimate).outcome == outcome


def test_too_few_pairs_decide_nothing():
    curves = image_curves(trials=2)  # four pairs, all in favour
    pairs = paired_error(curves, "frozen_in_polarity", "fluid_rand_polarity")
    assert (pairs < 0).all()
    assert judge("images_cifar10.less_data", over_pairs(pairs)).outcome == "partly"


def test_every_declared_claim_can_be_measured_and_no_other():
    for dataset in ("fashion_mnist", "cifar10"):
        declared = {c.partition(".")[2] for c in CLAIMS if c.startswith(f"images_{dataset}.")}
        assert declared == set(CLAIMED)


def test_a_claim_is_measured_with_its_own_pair_of_conditions():
    curves = image_curves(sizes=(100,), trials=7)
    for claim, (measure, condition, baseline) in CLAIMED.items():
        estimate = estimate_of(curves, claim, "somewhere")
        assert estimate.setting == "somewhere" and estimate.n == 7
        assert estimate.value == np.median(measure(curves, condition, baseline))
        words = CLAIMS[f"images_cifar10.{claim}"].measure
        label, other = (condition_style(c).label.split(" (")[0] for c in (condition, baseline))
        assert f"{label} minus {other}" in words or f"{label} over {other}" in words
    with pytest.raises(ValueError, match="claim must be one of less_data"):
        estimate_of(curves, "more_data")


def test_each_size_is_told_with_its_pairs():
    curves = image_curves(sizes=(100, 250), trials=7)
    few = curves.where((curves.n_train == 100) | (curves.trial < 2))
    told = by_size(few, ["less_data", "less_time"]).set_index("compared")
    assert list(told.columns) == ["n = 100", "n = 250"]
    pairs = paired_error(few, "frozen_in_polarity", "fluid_rand_polarity")
    name = "error, frozen IN-polarity minus fluid RAND-polarity"
    assert told.loc[name, "n = 100"] == f"{over_pairs(pairs.sel(n_train=100)):.1pt}; 7 pairs"
    value = f"{100 * float(pairs.sel(n_train=250).median()):.1f}".replace("-", "−")
    assert told.loc[name, "n = 250"] == f"{value} points; 2 pairs"
    assert told.index[1] == "passes, frozen IN-polarity over fluid RAND-polarity"
    one = curves.where(curves.n_train == 100)
    assert list(by_size(one, ["less_data"]).columns) == ["compared", "n = 100"]
    assert by_size(one.where(one.trial < 0), ["less_data"]).columns.tolist() == ["compared"]
    with pytest.raises(ValueError, match="claim must be one of less_data"):
        by_size(curves, ["more_data"])
