"""Image experiments: what is missing, what is never, pairs, and the stars of Fig 3."""

import itertools
import math

import numpy as np
import pytest
import xarray as xr
from image_curves import image_curves, without
from scipy.stats import mannwhitneyu

from polarity.analysis import image_metrics as im
from polarity.analysis.comparisons import restricted_mean_ratio
from polarity.analysis.metrics import horizon
from polarity.analysis.published import image_medians
from polarity.protocols import IMAGE_CONDITIONS

NAN = math.nan


def tiny(accuracy, loss=None, epoch=None):
    """Two conditions, one n: accuracy[condition][trial][epoch]."""
    accuracy = np.asarray(accuracy, np.float32)[:, None]
    loss = 1 - accuracy if loss is None else np.asarray(loss, np.float32)[:, None]
    dims = ("condition", "n_train", "trial", "epoch")
    coords = {
        "condition": ["frozen_in_polarity", "fluid_rand_polarity"],
        "n_train": [100],
        "epoch": np.arange(accuracy.shape[-1]) if epoch is None else epoch,
    }
    return xr.Dataset({"val_accuracy": (dims, accuracy), "val_loss": (dims, loss)}, coords)


def test_a_missing_network_is_neither_a_failure_nor_a_success():
    curves = tiny([[[0.1, 0.9], [0.1, 0.2]], [[0.5, 0.6], [NAN, NAN]]])
    assert im.trial_counts(curves).values.tolist() == [[2], [1]]
    epochs = im.epochs_needed(curves, 0.8).squeeze("n_train")
    np.testing.assert_array_equal(epochs, [[1, math.inf], [math.inf, NAN]])
    np.testing.assert_array_equal(im.median_reached(epochs), [1, NAN])
    # Means out of 2 epochs: (1 + 2) / 2, and 2 of the one network there is.
    np.testing.assert_array_equal(im.restricted(epochs, 2), [1.5, 2])
    table = im.restricted_means(im.epochs_needed(curves, 0.8)[1], 2)
    assert table.loc[100, ["value", "trials"]].tolist() == [2, 1]


def test_dead_shares_are_medians_over_the_networks_there_are():
    curves = without(image_curves(trials=3), "fluid_in_weight", 100, 0)
    for trial in range(3):
        curves = without(curves, "frozen_in_weight", 100, trial)
    shares = im.dead_shares(curves, 100)
    assert shares.dims == ("condition", "moment", "hidden")
    assert shares.condition.values.tolist() == [*IMAGE_CONDITIONS[:4], "fluid_in_weight"]
    assert shares.networks.values.tolist() == [3, 3, 3, 3, 2]
    at = {"condition": "fluid_in_weight", "moment": "end", "hidden": "conv2"}
    two = curves.dead.sel(at | {"n_train": 100}).values[1:]
    assert shares.sel(at).item() == pytest.approx(two.mean())


def test_no_network_no_number():
    curves = tiny([[[NAN, NAN]], [[0.5, 0.6]]])
    epochs = im.epochs_needed(curves, 0.55)
    assert np.isnan(im.restricted(epochs, 2)[0]).all()
    assert im.restricted_means(epochs[0], 2).empty
    assert np.isnan(im.error(curves)[0]).all()


def test_a_network_whose_loss_is_no_number_counts_with_its_last_error():
    curves = tiny([[[0.3, 0.1, NAN]], [[0.5, 0.75, 0.7]]], [[[NAN, NAN, NAN]], [[1.0, 0.5, 0.6]]])
    np.testing.assert_allclose(im.error(curves).values.ravel(), [0.9, 0.25], rtol=1e-6)
    np.testing.assert_allclose(im.last_accuracy(curves).values.ravel(), [0.1, 0.7], rtol=1e-6)


@pytest.mark.parametrize(("every", "last"), [(1, 39), (2, 39), (5, 39)])
def test_the_horizon_is_the_epochs_trained_not_the_evaluations(every, last):
    curves = image_curves(every=every)
    assert curves.epoch.values[-1] == last
    assert horizon(curves) == 40
    assert im.resolution(curves) == every
    stuck = image_curves(every=every, stuck=IMAGE_CONDITIONS)
    assert im.restricted(im.epochs_needed(stuck, 0.5), horizon(stuck)).values == pytest.approx(40)


def test_the_horizon_serves_xor_as_before():
    curves = image_curves(every=2).sel(condition=["frozen_in_polarity", "fluid_rand_polarity"])
    curves = curves.assign_coords(condition=["frozen_sufficient", "fluid_random"])
    never = curves.assign(val_accuracy=curves.val_accuracy * 0)
    only = curves.condition == "frozen_sufficient"
    mixed = curves.where(only, never)
    frozen = restricted_mean_ratio(mixed, "frozen_sufficient", 0.5)
    reached = im.epochs_needed(mixed, 0.5).sel(condition="frozen_sufficient").mean()
    assert frozen.item() == pytest.approx(float(reached) / 40)


def test_coarse_evaluation_reports_late_by_less_than_its_step():
    fine = image_curves()
    coarse = fine.isel(epoch=slice(1, None, 2))
    late = im.epochs_needed(coarse, 0.5) - im.epochs_needed(fine, 0.5)
    assert float(late.min()) >= 0 and float(late.max()) < im.resolution(coarse)
    assert im.resolution(fine.isel(epoch=[2, 5, 8, 9])) == 3


# --- pairs -------------------------------------------------------------------------------------


def test_pairs_share_n_and_trial():
    curves = without(image_curves(), "fluid_rand_polarity", 250, 1)
    pairs = im.paired_error(curves, "frozen_in_polarity", "fluid_rand_polarity")
    assert dict(pairs.sizes) == {"n_train": 2, "trial": 3}
    assert np.isnan(pairs.values).sum() == 1
    values = im.error(curves)
    expected = values.sel(condition="frozen_in_polarity") - values.sel(
        condition="fluid_rand_polarity"
    )
    np.testing.assert_allclose(pairs, expected, rtol=0, atol=1e-6)
    # What is stored in single precision is compared with rules: whole images, none in parts.
    assert set(np.round(2000 * pairs.values[~np.isnan(pairs.values)], 9) % 1) == {0.0}
    found = im.over_pairs(pairs, "made up")
    assert found.n == 5 and found.setting == "made up"
    assert found.value == pytest.approx(np.nanmedian(expected))
    assert math.isinf(found.low)  # five pairs put no bound on a median at 95 %


def test_six_alike_pairs_decide():
    pairs = im.paired_error(image_curves(), "frozen_in_polarity", "fluid_rand_polarity")
    found = im.over_pairs(pairs)
    assert (found.low, found.high) == (pairs.min(), pairs.max()) and found.high < 0


def test_no_pairs_are_undefined():
    curves = tiny([[[NAN, NAN]], [[0.5, 0.6]]])
    for pairs in (
        im.paired_error(curves, "frozen_in_polarity", "fluid_rand_polarity"),
        im.paired_time(curves, "frozen_in_polarity", "fluid_rand_polarity"),
    ):
        found = im.over_pairs(pairs)
        assert math.isnan(found.value) and found.n == 0


@pytest.mark.parametrize(
    ("ours", "theirs", "ratio"),
    [
        ([0.1, 0.5, 0.6, 0.6], [0.1, 0.1, 0.5, 0.6], (2 + 3) / (3 + 4)),  # passes, not epochs
        ([0.1, 0.5, 0.5, 0.5], [0.1, 0.1, 0.1, 0.1], 2 / 4),  # never: all four passes
        ([0.1, 0.1, 0.1, 0.1], [0.1, 0.5, 0.5, 0.5], 4 / 2),
        ([0.1, 0.1, 0.1, 0.1], [0.1, 0.2, 0.1, 0.1], NAN),  # neither reaches anything
        ([0.6, 0.6, 0.6, 0.6], [0.6, 0.6, 0.6, 0.6], 1),  # both at once: no division by zero
        ([0.1, 0.1, 0.1, 0.6], [0.1, 0.1, 0.1, 0.1], 1),  # at the last pass, or never: no matter
        ([NAN, NAN, NAN, NAN], [0.1, 0.5, 0.5, 0.5], NAN),
    ],
)
def test_passes_to_every_threshold_that_either_reaches(ours, theirs, ratio):
    curves = tiny([[ours], [theirs]])
    pairs = im.paired_time(
        curves, "frozen_in_polarity", "fluid_rand_polarity", thresholds=(0.5, 0.6, 0.8)
    )
    np.testing.assert_allclose(pairs.values, [[ratio]])


def test_time_by_pairs_has_a_twin():
    curves = image_curves(trials=2, every=2, seed=5)
    pairs = im.paired_time(curves, "fluid_in_weight", "frozen_rand_polarity")
    limit = 40
    for n, trial in itertools.product((100, 250), (0, 1)):
        sums = [0.0, 0.0]
        for threshold in im.THRESHOLDS:
            passes = []
            for condition in ("fluid_in_weight", "frozen_rand_polarity"):
                own = curves.val_accuracy.sel(condition=condition, n_train=n, trial=trial)
                first = [
                    int(e) + 1
                    for e, a in zip(own.epoch.values, own.values, strict=True)
                    if a >= np.float32(threshold)
                ]
                passes.append(first[0] if first else None)
            if passes != [None, None]:
                sums = [s + (limit if p is None else p) for s, p in zip(sums, passes, strict=True)]
        assert float(pairs.sel(n_train=n, trial=trial)) == pytest.approx(sums[0] / sums[1])


# --- the threshold that is shown -----------------------------------------------------------------


def test_the_papers_threshold_where_it_is_reached():
    curves = image_curves()
    assert im.within_reach(curves, 0.60) == 0.60
    assert im.within_reach(curves, 0.50) == 0.50  # though half of them reach 0.60 as well
    assert im.within_reach(curves, 0.85) == 0.60  # the highest that half of the networks reach
    stuck = image_curves(stuck=IMAGE_CONDITIONS)
    assert im.within_reach(stuck, 0.80) == im.THRESHOLDS[0]
    assert im.within_reach(tiny([[[0.1, 0.5]], [[0.1, 0.1]]]), 0.50) == 0.50  # one of two is half


def test_the_note_says_which_threshold_is_shown_and_why():
    curves = image_curves()
    assert im.reach_note(curves, 0.60) == "The paper's threshold is 60\u00a0%, as here"
    assert "less than half of our networks reach it" in im.reach_note(curves, 0.85)
    assert im.reach_note(curves, 0.85).endswith("that half of them do, 60\u00a0%")
    stuck = image_curves(stuck=IMAGE_CONDITIONS)
    assert "reaches even the lowest of its thresholds, 45\u00a0%" in im.reach_note(stuck, 0.80)


def test_the_note_on_thresholds_does_not_say_half_for_one():
    curves = image_curves(trials=5, stuck=IMAGE_CONDITIONS)
    cell = {"condition": im.REFERENCE, "n_train": 100, "trial": 0}
    curves.val_accuracy.loc[cell] = 0.5
    assert im.within_reach(curves, 0.80) == im.THRESHOLDS[0]
    said = im.reach_note(curves, 0.80)
    assert "half of our networks reach even the lowest of its thresholds, 45\u00a0%" in said


def test_a_threshold_that_few_networks_reach_is_not_shown():
    """Panels would be all but empty."""
    curves = image_curves()
    curves.val_accuracy.loc[{"condition": im.REFERENCE, "n_train": 100, "trial": 0}] = 0.9
    assert im.within_reach(curves, 0.85) == 0.60


def test_no_network_is_no_failure():
    curves = image_curves()
    curves = curves.where(curves.trial < 0)
    assert im.within_reach(curves, 0.80) == 0.80
    assert im.reach_note(curves, 0.80) == "The paper's threshold is 80\u00a0%, as here"


# --- Fig 3 ---------------------------------------------------------------------------------------


def test_fig3_subtracts_frozen_in_polarity():
    curves = image_curves(trials=6)
    values = im.error(curves)
    table = im.differences(values)
    assert list(table.condition) == list(im.COMPARED) * 2
    row = table[(table.n_train == 250) & (table.condition == "fluid_rand_polarity")].iloc[0]
    middle = values.sel(n_train=250).median("trial")
    assert row.difference == pytest.approx(
        float(middle.sel(condition="fluid_rand_polarity") - middle.sel(condition=im.REFERENCE))
    )
    p = mannwhitneyu(
        values.sel(n_train=250, condition="fluid_rand_polarity"),
        values.sel(n_train=250, condition=im.REFERENCE),
    ).pvalue
    assert row.p_holm >= p and row.star and row.difference > 0


def test_the_family_is_the_comparisons_at_one_n():
    curves = image_curves(trials=6)
    for n in (100, 250):
        curves = curves.where(~((curves.condition == "fluid_in_weight") & (curves.n_train == n)))
    table = im.differences(im.error(curves))
    assert set(table.condition) == set(im.COMPARED) - {"fluid_in_weight"}
    best = table[table.n_train == 100].p_holm.min()
    values = im.error(curves).sel(n_train=100)
    raw = min(
        mannwhitneyu(values.sel(condition=c), values.sel(condition=im.REFERENCE)).pvalue
        for c in im.COMPARED[:3]
    )
    assert best == pytest.approx(3 * raw)


def test_never_is_latest_and_missing_is_left_out():
    curves = image_curves(trials=6, stuck=["fluid_in_weight"])
    curves = without(without(curves, "fluid_in_weight", 100, 0), im.REFERENCE, 100, 5)
    times = im.epochs_needed(curves, 0.6)
    table = im.differences(times, "median_reached").set_index(["n_train", "condition"])
    row = table.loc[(100, "fluid_in_weight")]
    assert math.isnan(row.difference) and row.star and row.trials == 5
    assert table.trials.tolist() == [6, 6, 6, 5] + [6] * 4
    assert table.trials_reference.tolist() == [5] * 4 + [6] * 4
    whole = im.differences(times, "restricted_mean", 40.0).set_index(["n_train", "condition"])
    assert whole.loc[(100, "fluid_in_weight")].difference > 0
    assert whole.p_holm.tolist() == table.p_holm.tolist()


@pytest.mark.parametrize(
    ("trials", "compared", "possible"),
    [(1, 4, False), (3, 4, False), (4, 4, False), (5, 4, True), (3, 1, False), (4, 1, True)],
)
def test_fewer_than_five_trials_hardly_earn_a_star(trials, compared, possible):
    curves = image_curves(trials=trials, stuck=im.COMPARED)
    table = im.differences(im.error(curves), compared=im.COMPARED[:compared])
    assert table.star.any() == possible


def test_nobody_reaches_the_threshold():
    curves = image_curves(trials=5, stuck=IMAGE_CONDITIONS)
    table = im.differences(im.epochs_needed(curves, 0.6), "restricted_mean", 40.0)
    assert (table.difference == 0).all() and (table.p_holm == 1).all() and not table.star.any()


def test_nothing_to_compare_with():
    curves = image_curves()
    curves = curves.where(curves.condition != im.REFERENCE)
    assert im.differences(im.error(curves)).empty
    assert im.differences(im.error(curves.sel(condition=["fluid_in_weight"]))).empty


@pytest.mark.parametrize(
    ("summary", "limit", "message"),
    [
        ("mean", None, "summary must be one of median"),
        ("restricted_mean", None, "limit belongs to summary 'restricted_mean'"),
        ("median", 40.0, "limit belongs to summary 'restricted_mean'"),
    ],
)
def test_differences_refuse(summary, limit, message):
    with pytest.raises(ValueError, match=message):
        im.differences(im.error(image_curves()), summary, limit)


def test_the_summary_sets_the_papers_medians_beside_ours():
    curves = image_curves(sizes=(100, 250), trials=3).reindex(n_train=[100, 250, 500])
    published = image_medians().query("dataset == 'cifar10'")
    table = im.summary_table(curves, published)
    assert list(table.columns) == [
        (f"n = {n}", who) for n in (100, 250) for who in ("here", "paper")
    ]
    ours = 100 * im.error(curves).sel(condition="fluid_in_weight", n_train=250).median()
    assert table.loc["fluid IN-weight (fine-tuning)", ("n = 250", "here")] == pytest.approx(ours)
    theirs = published.query(
        "metric == 'val_error_at_convergence_pct' and n_train == 100"
        " and condition == 'frozen_in_polarity'"
    )["median"].item()
    assert table.loc["frozen IN-polarity", ("n = 100", "paper")] == theirs
