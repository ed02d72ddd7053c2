"""Comparisons of conditions on curves small enough to check by hand."""

import numpy as np
import pytest
import xarray as xr

from polarity.analysis.comparisons import (
    comparison_map,
    error_difference,
    median_epochs_ratio,
    restricted_mean_ratio,
    share_of_map,
    success_difference,
)

CONDITIONS = ["frozen_sufficient", "frozen_random", "fluid_random"]


def curves_from(arrival: np.ndarray, final_error: np.ndarray, epochs: int = 10) -> xr.Dataset:
    """Curves (width=1, n_train, condition, trial, epoch) that pass 0.9 at ``arrival`` (NaN: never).

    The lowest loss is at the last epoch, where the accuracy is 1 - final_error.
    """
    epoch = np.arange(epochs)
    reached = epoch >= np.where(np.isnan(arrival), epochs, arrival)[..., None]
    accuracy = np.where(reached, 0.95, 0.5)
    accuracy[..., -1] = 1 - final_error
    loss = np.broadcast_to(1.0 - 0.05 * epoch, accuracy.shape)
    dims = ("width", "n_train", "condition", "trial", "epoch")
    return xr.Dataset(
        {
            "val_loss": (dims, loss[None].astype(np.float32)),
            "val_accuracy": (dims, accuracy[None].astype(np.float32)),
        },
        coords={
            "width": [4],
            "n_train": [60, 72],
            "condition": CONDITIONS,
            "trial": np.arange(arrival.shape[-1]),
            "epoch": epoch,
        },
    )


NEVER = np.nan


@pytest.fixture
def curves() -> xr.Dataset:
    arrival = np.array(
        [
            [[2, 2, 4], [4, NEVER, 6], [4, 4, NEVER]],
            [[1, 1, 1], [3, 3, 3], [2, 2, 2]],
        ],
        dtype=float,
    )
    error = np.array(
        [
            [[0.05, 0.05, 0.08], [0.1, 0.5, 0.2], [0.1, 0.1, 0.4]],
            [[0.02, 0.02, 0.02], [0.06, 0.06, 0.06], [0.04, 0.04, 0.04]],
        ]
    )
    return curves_from(arrival, error)


def test_error_difference_is_of_medians_and_averages_sizes(curves):
    one = curves.isel(width=0)
    # medians 5 %, 20 %, 10 % at n = 60 and 2 %, 6 %, 4 % at n = 72
    assert error_difference(one, "frozen_sufficient").item() == pytest.approx((-0.05 - 0.02) / 2)
    assert error_difference(one, "frozen_random", [60]).item() == pytest.approx(0.10)


def test_error_difference_does_not_leave_a_lost_network_out(curves):
    lost = curves.copy(deep=True)
    lost.val_loss.loc[{"condition": "frozen_sufficient", "trial": 0, "n_train": 60}] = np.nan
    assert np.isnan(error_difference(lost, "frozen_sufficient", [60])).all()
    assert error_difference(lost, "frozen_random", [60]).notnull().all()


def test_restricted_mean_counts_never_as_the_horizon(curves):
    one = curves.isel(width=0)
    # n = 60: (2 + 2 + 4) / 3 over (4 + 4 + 10) / 3
    assert restricted_mean_ratio(one, "frozen_sufficient", 0.9, [60]).item() == pytest.approx(
        8 / 18
    )
    assert restricted_mean_ratio(one, "frozen_random", 0.9, [60]).item() == pytest.approx(20 / 18)


def test_median_ratio_leaves_never_out_and_is_undefined_without_successes(curves):
    one = curves.isel(width=0)
    assert median_epochs_ratio(one, "frozen_random", 60, 0.9).item() == pytest.approx(5 / 4)
    assert np.isnan(median_epochs_ratio(one, "frozen_random", 60, 0.97).item())


def test_success_difference(curves):
    one = curves.isel(width=0)
    assert success_difference(one, "frozen_sufficient", 60, 0.9).item() == pytest.approx(1 / 3)
    assert success_difference(one, "frozen_random", 60, 0.9).item() == pytest.approx(0)


def test_map_signs(curves):
    beats = comparison_map(curves, 0.9).isel(width=0)
    pick = {"n_train": 60}
    assert beats.sel(metric="error", condition="frozen_sufficient", **pick) == 1
    assert beats.sel(metric="error", condition="frozen_random", **pick) == -1
    assert beats.sel(metric="epochs", condition="frozen_random", **pick) == -1
    assert beats.sel(metric="success", condition="frozen_random", **pick) == 0


def test_map_where_nobody_arrives_is_level():
    arrival = np.full((2, 3, 3), NEVER)
    beats = comparison_map(curves_from(arrival, np.full((2, 3, 3), 0.5)), 0.9)
    assert (beats == 0).all()


def test_the_interval_of_the_share_lies_around_it():
    """Resampling draws strict comparisons of noisy medians towards a half; the interval may not."""
    rng = np.random.default_rng(1)
    better = 0.02 * np.eye(3)[0][:, None]
    cells = [
        curves_from(np.full((2, 3, 50), 5.0), 0.3 + 0.06 * rng.normal(size=(2, 3, 50)) - better)
        for _ in range(12)
    ]
    noisy = xr.concat([cell.assign_coords(width=[i]) for i, cell in enumerate(cells)], "width")
    share = share_of_map(noisy, "frozen_sufficient", 0.9, n_resamples=100)
    assert share.low < share.value < share.high
    assert share.value - share.low < 0.2


def test_share_of_map(curves):
    share = share_of_map(curves, "frozen_sufficient", 0.9, n_resamples=20)
    assert share.value == 1.0 and share.n == 6
    # Where nobody arrives, error and epochs and success are level: nothing is won there.
    nowhere = curves_from(np.full((2, 3, 3), NEVER), np.full((2, 3, 3), 0.5))
    assert np.isnan(share_of_map(nowhere, "frozen_sufficient", 0.9, n_resamples=3).value)
    half = xr.concat([curves, nowhere.assign_coords(width=[8])], "width")
    assert share_of_map(half, "frozen_sufficient", 0.9, n_resamples=20).value == 1.0
    assert share_of_map(curves, "frozen_random", 0.9, n_resamples=20).value < 0.5
