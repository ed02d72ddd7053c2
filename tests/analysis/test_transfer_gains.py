"""What is concluded from transfer: gains, shares, right units, and the figures that show them."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl

mpl.use("agg")

import matplotlib.text
import numpy as np
import pytest
import scipy.stats
import xarray as xr
from matplotlib.figure import Figure

from polarity.analysis import transfer_figures as figures
from polarity.analysis.estimate import Estimate
from polarity.analysis.style import use_style
from polarity.analysis.transfer import (
    gains,
    kept_share,
    mean_gain,
    mean_interval,
    right_share,
    scores,
    trial_gains,
    verdict,
)
from polarity.ensemble import Weights, initial_weights, templates
from polarity.ensemble.inheritance import TRANSFER_CONDITIONS, split_condition
from polarity.ensemble.transfer import TASKS, Donors

CONDITIONS = tuple(dict.fromkeys((*TRANSFER_CONDITIONS, *figures.PIECES)))
SIZES = (8, 52, 100)
EPOCHS = 12


@pytest.fixture(autouse=True, scope="module")
def styled() -> Iterator[None]:
    with mpl.rc_context():
        use_style()
        yield


def transfer_curves(trials: int = 7) -> xr.Dataset:
    """Made-up curves: accuracy rises with n, and with the place of a condition in the list."""
    rng = np.random.default_rng(0)
    shape = (len(TASKS), len(SIZES), len(CONDITIONS), trials)
    best = 0.55 + 0.2 * rng.random(shape)
    best += 0.1 * np.arange(len(SIZES))[:, None, None]
    best += 0.01 * np.arange(len(CONDITIONS))[:, None]
    rise = 1 - np.exp(-np.arange(1, EPOCHS + 1) / 3)
    accuracy = np.minimum(0.5 + (best[..., None] - 0.5) * rise, 1)
    dims = ("donor", "n_train", "condition", "trial", "epoch")
    return xr.Dataset(
        {
            "val_loss": (dims, (1.5 - accuracy).astype(np.float32)),
            "val_accuracy": (dims, accuracy.astype(np.float32)),
        },
        {
            "donor": list(TASKS),
            "n_train": list(SIZES),
            "condition": list(CONDITIONS),
            "trial": range(trials),
            "epoch": range(EPOCHS),
        },
    )


def table(**values: list[float]) -> xr.DataArray:
    """Scores (condition, trial)."""
    return xr.DataArray(
        list(values.values()),
        dims=("condition", "trial"),
        coords={"condition": list(values)},
    ).astype(float)


THREE = table(
    frozen_random=[10, 20, 30, 40],
    frozen_donor_polarity=[8, 19, 27, 38],
    frozen_donor_weight=[2, 12, 22, 36],
)


# --- scores and gains -------------------------------------------------------------------------


def test_scores_are_per_cent_and_epochs_with_never_at_the_horizon() -> None:
    accuracy = xr.DataArray([[0.5, 0.8, 0.95], [0.5, 0.7, 0.6]], dims=("trial", "epoch"))
    curves = xr.Dataset({"val_accuracy": accuracy, "val_loss": 1 - accuracy})
    curves = curves.assign_coords(epoch=range(3))
    np.testing.assert_allclose(scores(curves, "error"), [5, 30])
    np.testing.assert_array_equal(scores(curves, "epochs"), [2, 3])
    np.testing.assert_array_equal(scores(curves, "epochs", 0.75), [1, 3])
    with pytest.raises(ValueError, match="metric must be one of error, epochs; got 'loss'"):
        scores(curves, "loss")
    with pytest.raises(ValueError, match="threshold must lie strictly between 0 and 1"):
        scores(curves, "epochs", 90)


def test_a_gain_is_what_is_saved_within_a_trial() -> None:
    gain = gains(THREE)
    assert gain.sel(condition="frozen_donor_polarity").values.tolist() == [2, 1, 3, 2]
    assert (gain.sel(condition="frozen_random") == 0).all()
    other = gains(THREE, "frozen_donor_weight").sel(condition="frozen_donor_polarity")
    assert other.values.tolist() == [-6, -7, -5, -2]


def test_mean_gain_is_paired() -> None:
    gain = mean_gain(THREE, "frozen_donor_polarity")
    assert gain.value == 2 and gain.n == 4
    expected = scipy.stats.ttest_1samp([2, 1, 3, 2], 0).confidence_interval(0.95)
    assert (gain.low, gain.high) == pytest.approx([*expected])
    against = mean_gain(THREE, "frozen_donor_polarity", "frozen_donor_weight")
    assert against.value == -5


def test_sizes_are_averaged_first() -> None:
    values = xr.concat([THREE, 2 * THREE], "n_train")
    assert mean_gain(values, "frozen_donor_weight").value == pytest.approx(1.5 * 7)
    assert mean_gain(values, "frozen_donor_weight").n == 4
    np.testing.assert_allclose(trial_gains(values, "frozen_donor_polarity"), [3, 1.5, 4.5, 3])


def test_one_donor_at_a_time() -> None:
    values = THREE.expand_dims(donor=["same_pair", "other_pair"])
    for function in (mean_gain, kept_share):
        with pytest.raises(ValueError, match="values must be those of one donor"):
            function(values, "frozen_donor_polarity")


def test_kept_share() -> None:
    share = kept_share(THREE, "frozen_donor_polarity")
    assert share.value == pytest.approx(2 / 7) and share.n == 4
    assert 1 / 8 <= share.low < share.value < share.high <= 3 / 4
    assert kept_share(THREE, "frozen_random").value == 0
    everything = kept_share(THREE, "frozen_donor_weight")
    assert everything.low == everything.value == everything.high == 1
    assert kept_share(3 * THREE, "frozen_donor_polarity") == share
    harmed = THREE.copy()
    harmed.loc["frozen_donor_polarity"] += 5
    assert kept_share(harmed, "frozen_donor_polarity").high < 0


def test_no_share_of_nothing() -> None:
    worthless = THREE.copy()
    worthless.loc["frozen_donor_weight"] = worthless.sel(condition="frozen_random") + 1
    assert np.isnan(kept_share(worthless, "frozen_donor_polarity").value)
    unsure = THREE.copy()  # gains in all trials but one, and loses more in that one
    unsure.loc["frozen_donor_weight"] = unsure.sel(condition="frozen_random") - [5, 5, 5, -10]
    share = kept_share(unsure, "frozen_donor_polarity")
    assert share.value == pytest.approx(8 / 5) and np.isnan(share.low)


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.1, 2, "better"),
        (-2, -0.1, "worse"),
        (-1, 1, "no difference seen"),
        (0, 2, "no difference seen"),
        (-2, 0, "no difference seen"),
        (np.nan, np.nan, "undefined"),
    ],
)
def test_verdict(low: float, high: float, word: str) -> None:
    assert verdict(Estimate((low + high) / 2, low, high, n=5, method="mean")) == word


def test_a_gain_of_few_trials_is_covered_as_often_as_it_says() -> None:
    """A percentile bootstrap of eight holds the truth in 88 of 100 cases."""
    normal = np.random.default_rng(0).normal(size=(8, 4000))
    bounds = mean_interval(xr.DataArray(normal, dims=("trial", "case")))
    covered = (bounds.sel(bound="low") < 0) & (bounds.sel(bound="high") > 0)
    assert covered.mean().item() == pytest.approx(0.95, abs=0.01)


def test_a_network_that_was_lost_is_not_left_out() -> None:
    """Of four trials with one NaN, the interval is neither that of four nor that of three."""
    values = xr.DataArray([[2.0, 1.0, 3.0, np.nan], [2.0, 1.0, 3.0, 2.0]], dims=("cell", "trial"))
    bounds = mean_interval(values)
    assert bounds[0].isnull().all() and bounds[1].notnull().all()
    both = xr.concat([values, 0 * values], xr.Variable("condition", ["frozen", "fluid"]))
    gain = mean_gain(both.isel(cell=0), "fluid", "frozen")
    assert np.isnan([gain.value, gain.low, gain.high]).all() and verdict(gain) == "undefined"


def test_mean_interval_is_that_of_t_in_every_cell() -> None:
    rng = np.random.default_rng(1)
    values = xr.DataArray(
        rng.gamma(2, size=(40, 3)), dims=("trial", "n_train"), coords={"n_train": [8, 20, 32]}
    )
    found = mean_interval(values)
    assert found.dims == ("n_train", "bound") and found.bound.values.tolist() == [
        "low",
        "mean",
        "high",
    ]
    for n in (8, 20, 32):
        sample = values.sel(n_train=n).values
        expected = scipy.stats.ttest_1samp(sample, 0).confidence_interval(0.95)
        assert found.sel(n_train=n, bound="mean") == pytest.approx(sample.mean())
        np.testing.assert_allclose(found.sel(n_train=n, bound=["low", "high"]), [*expected])
    narrow = mean_interval(values, confidence=0.5)
    assert (narrow.sel(bound="high") < found.sel(bound="high")).all()
    with pytest.raises(ValueError, match="number of trials must be at least 2, got 1"):
        mean_interval(values.isel(trial=[0]))
    with pytest.raises(ValueError, match="confidence must lie strictly between 0 and 1"):
        mean_interval(values, confidence=95)


# --- right units ------------------------------------------------------------------------------


def test_a_sufficient_polarity_has_all_units_right_and_its_mirror_none() -> None:
    weights = initial_weights(12, 8, 5, seed=0)
    t1, t2 = templates(weights, "frozen_sufficient")
    np.testing.assert_array_equal(right_share(t1, t2), 1)
    np.testing.assert_array_equal(right_share(t1, -t2), 0)
    assert 0.3 < right_share(weights.w1, weights.w2).mean() < 0.7


def test_right_share_by_hand() -> None:
    w1 = np.zeros((1, 5, 4))
    w1[0, :2] = [[4, -1, 1, -1], [1, -1, -1, 1]]  # products: + + - -
    w1[0, 2] = [1, -1, 1, 1]  # with the third: + - - -
    w2 = np.array([[3, 1, 1, -2]])
    assert right_share(w1, w2) == pytest.approx(3 / 4)
    # importances 3 * sqrt(4), 1, 1, 2; the third is wrong
    assert right_share(w1, w2, weighted=True) == pytest.approx(9 / 10)
    assert right_share(w1, w2, informative=(0, 1, 2)) == pytest.approx(2 / 4)


def test_right_share_refuses_what_does_not_belong_together() -> None:
    with pytest.raises(ValueError, match="w1 and w2 must have shapes"):
        right_share(np.ones((2, 5, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="w1 and w2 must have shapes"):
        right_share(np.ones((5, 3)), np.ones(3))
    with pytest.raises(ValueError, match="an importance above 0"):
        right_share(np.zeros((2, 5, 3)), np.ones((2, 3)), weighted=True)


# --- figures ----------------------------------------------------------------------------------


def some_donors(trials: int = 6) -> dict[str, Donors]:
    start = initial_weights(8, 8, trials, seed=0)
    t2 = templates(start, "frozen_sufficient").t2
    taught = Weights(4 * start.w1, start.b1, np.abs(start.w2) * t2, start.b2)
    return {
        task: Donors(start, taught if task == "same_pair" else start, xr.Dataset())
        for task in TASKS
    }


def words(figure: Figure) -> str:
    figure.draw_without_rendering()
    return " ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def test_styles_tell_conditions_and_tasks_apart_without_colour() -> None:
    assert set(figures.STYLES) == set(TRANSFER_CONDITIONS)
    assert set(figures.TASK_STYLES) == set(TASKS)
    for styles in (figures.STYLES, figures.TASK_STYLES):
        for look in ("marker", "linestyle", "color", "label"):
            assert len({getattr(style, look) for style in styles.values()}) == len(styles)
    for piece in figures.PIECES:
        assert split_condition(piece)[0]


def test_donors_figure() -> None:
    figure = figures.donors_figure(some_donors())
    text = words(figure)
    assert text.count("6 donors a point") == 2
    for style in figures.TASK_STYLES.values():
        assert style.label in text
    middles = {bars.get_label(): bars.lines[0].get_xdata() for bars in figure.axes[0].containers}
    assert middles["after training"][0] == 100  # the first row: the same pair
    assert (middles["after training"][1:] < 80).all() and (middles["before training"] < 80).all()
    start = some_donors()["same_pair"].start
    heights = next(
        line.get_ydata()
        for line in figure.axes[1].lines
        if line.get_label() == figures.TASK_STYLES["same_pair"].label
    )
    np.testing.assert_allclose(heights, 4 * np.abs(start.w1).mean(axis=(0, 2)), rtol=1e-6)


@pytest.mark.parametrize("trials", [2, 7])
def test_transfer_figure(trials: int) -> None:
    curves = transfer_curves(trials).sel(donor="same_pair", condition=list(TRANSFER_CONDITIONS))
    figure = figures.transfer_figure(curves, 0.75)
    text = words(figure)
    assert text.count(f"{trials} trials a point") == 2 and "epochs to 75 %" in text
    for ax, metric in zip(figure.axes, ("error", "epochs"), strict=True):
        lines = {line.get_label(): line.get_ydata() for line in ax.lines}
        means = scores(curves, metric, 0.75).mean("trial")
        for condition in TRANSFER_CONDITIONS:
            drawn = lines[figures.STYLES[condition].label]
            np.testing.assert_allclose(drawn, means.sel(condition=condition))


def test_pieces_figure() -> None:
    curves = transfer_curves().sel(donor="same_pair")
    figure = figures.pieces_figure(curves, 0.75)
    text = words(figure)
    assert text.count("7 trials, 3 sizes a point") == 2
    values = scores(curves, "epochs", 0.75)
    points = {figures.PIECES[piece]: mean_gain(values, piece).value for piece in figures.PIECES}
    labels = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert labels == list(points)
    assert (np.diff(figure.axes[1].get_yticks()) < 0).all()  # the whole donor on top
    drawn = [bars.lines[0].get_xdata()[0] for bars in figure.axes[1].containers]
    np.testing.assert_allclose(drawn, list(points.values()))
    few = figures.pieces_figure(curves.sel(condition=["frozen_random", "frozen_donor_weight"]))
    assert len(few.axes[0].containers) == 1


def test_tasks_figure() -> None:
    curves = transfer_curves()
    figure = figures.tasks_figure(curves, ("frozen_donor_polarity", "frozen_donor_weight"))
    text = words(figure)
    assert text.count("7 trials a point") == len(figure.axes) == 2
    gain = gains(scores(curves, "error")).mean("trial").sel(condition="frozen_donor_weight")
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[1].lines}
    for task in TASKS:
        np.testing.assert_allclose(
            lines[figures.TASK_STYLES[task].label], gain.sel(donor=task), atol=1e-12
        )
    one = figures.tasks_figure(curves.sel(donor=["other_pair"]), ("frozen_donor_polarity",))
    assert "another pair" in words(one) and "the same pair" not in words(one)
