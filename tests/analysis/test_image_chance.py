"""Networks at chance: told apart, counted, and read out of a published median."""

import math

import numpy as np
import pandas as pd
import pytest
from image_curves import image_curves, without

from polarity.analysis.chance import apart, chance_table, half_at_chance, states
from polarity.analysis.image_metrics import error, trial_counts
from polarity.analysis.published import image_medians

CELL = {"condition": "fluid_rand_polarity", "n_train": 100}


def with_accuracy(values, trial=0):
    """One network's accuracies replaced."""
    curves = image_curves(trials=2, epochs=4)
    curves.val_accuracy.loc[CELL | {"trial": trial}] = np.asarray(values, np.float32)
    return curves


@pytest.mark.parametrize(
    ("accuracy", "state"),
    [
        ([0.1, 0.1, 0.1, 0.1], "never left"),
        ([0.1, 0.1195, 0.1, 0.1], "never left"),
        ([0.1, 0.15, 0.1, 0.1], "fell back"),
        ([0.1, 0.15, 0.1, math.nan], "fell back"),
        ([0.1, 0.1, 0.1, 0.3], "learned"),
        ([0.1, 0.3, 0.1, 0.125], "learned"),
        ([math.nan] * 4, ""),
    ],
)
def test_states(accuracy, state):
    assert states(with_accuracy(accuracy)).sel(CELL | {"trial": 0}).item() == state


def test_the_margin_decides():
    curves = with_accuracy([0.1, 0.13, 0.14, 0.13])
    at = CELL | {"trial": 0}
    assert states(curves).sel(at).item() == "learned"
    assert states(curves, margin=0.05).sel(at).item() == "never left"
    assert states(curves, classes=8, margin=0.01).sel(at).item() == "fell back"


@pytest.mark.parametrize(("classes", "margin"), [(10, 0.0), (10, -0.1), (10, 0.95), (1, 0.02)])
def test_a_margin_that_leaves_no_room(classes, margin):
    with pytest.raises(ValueError, match="margin must lie strictly between 0 and 1"):
        states(image_curves(), classes=classes, margin=margin)


def test_counted_apart():
    curves = without(image_curves(trials=4), "fluid_rand_polarity", 100, 3)
    for trial in (0, 1):
        curves.val_accuracy.loc[CELL | {"trial": trial}] = 0.1
    rest = apart(curves)
    assert trial_counts(rest).sel(CELL).item() == 1
    assert trial_counts(rest).sum() == trial_counts(curves).sum() - 2
    row = chance_table(curves).query("condition == 'fluid_rand_polarity' and n_train == 100")
    row = row.iloc[0]
    assert (row.trials, row.never_left, row.fell_back) == (3, 2, 0)
    assert row.share.value == pytest.approx(2 / 3) and row.share.n == 3
    assert row["median"] == pytest.approx(0.9, abs=1e-6)
    assert row.median_apart == pytest.approx(error(curves).sel(CELL | {"trial": 2}).item())


def test_a_network_that_fell_back_is_kept():
    """It had learned something at its lowest loss."""
    curves = with_accuracy([0.1, 0.4, 0.1, 0.1])
    assert trial_counts(apart(curves)).sel(CELL).item() == 1  # the other never left
    row = chance_table(curves).set_index(["condition", "n_train"]).loc[tuple(CELL.values())]
    assert (row.never_left, row.fell_back) == (1, 1)


def test_a_condition_that_never_learns():
    table = chance_table(image_curves(stuck=["fluid_in_weight"])).set_index("condition")
    assert (table.loc["fluid_in_weight", "never_left"] == 3).all()
    assert table.loc["fluid_in_weight", "median_apart"].isna().all()
    assert (table.drop("fluid_in_weight").never_left == 0).all()


def test_half_at_chance_is_read_out_of_a_median():
    """20 trials, 10 of them at chance: the recipe gives back the eleventh."""
    sizes = [100, 1000, 10000, 100000]
    healthy = [80.0, 60.0, 45.0, 33.75]
    medians = [float(np.median([e] * 20)) for e in healthy]
    medians[2] = float(np.median([healthy[2]] * 10 + [90.0] * 10))
    rows = pd.DataFrame({"condition": "c", "n_train": sizes, "median": medians})
    found = half_at_chance(rows.sample(frac=1, random_state=0))
    assert found.n_train.tolist() == [10000]
    assert found.other.tolist() == pytest.approx([45])
    assert found.neighbours.tolist() == pytest.approx([45])


def test_at_the_largest_size_there_is_no_line():
    rows = pd.DataFrame({"condition": "c", "n_train": [1, 10], "median": [50.0, 60.0]})
    found = half_at_chance(rows)
    assert found.other.tolist() == [30] and found.neighbours.isna().all()


def test_the_papers_anomaly_is_in_cifar_and_in_fluid_networks_among_others():
    table = image_medians()
    errors = table[table.metric == "val_error_at_convergence_pct"]
    assert half_at_chance(errors[errors.dataset == "fashion_mnist"]).empty
    found = half_at_chance(errors[errors.dataset == "cifar10"])
    cells = set(zip(found.condition, found.n_train, strict=True))
    assert {("fluid_rand_polarity", 25000), ("fluid_in_weight", 10000)} <= cells
