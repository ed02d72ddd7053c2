"""A network is the same whatever runs beside it: other trials, conditions, cells, threads.

Compiled: bit for bit. Batched: within 1e-5 after 40 steps, because a batched product may add in
another order when the stack has another height (here, on a processor, it is mostly exact).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from polarity.datasets import xor5d
from polarity.ensemble import (
    CONDITIONS,
    Weights,
    initial_weights,
    templates,
    train_draws,
    train_grid,
    train_networks,
    train_xor5d,
    trainer,
)
from polarity.protocols import XOR5DProtocol

DATA = (*xor5d(20, 1), *xor5d(200, 1, split="validation"))
GRID = XOR5DProtocol(widths=(3, 10), sizes=(20, 60), trials=3, epochs=15, n_val=200, seed=1)


def train(**settings: object) -> xr.Dataset:
    return train_xor5d(*DATA, **{"width": 10, "epochs": 30, "seed": 1, "trials": 10} | settings)


@pytest.fixture(scope="module")
def ten() -> xr.Dataset:
    return train(backend="compiled")


@pytest.mark.parametrize(
    "settings",
    [
        {"trials": 3},
        {"trials": 1},
        {"n_jobs": 1},
        {"n_jobs": 2},
        {"n_jobs": 5},
        {"conditions": ["fluid_random"]},
        {"conditions": CONDITIONS[::-1], "trials": 7},
        {"device": "cpu"},
        {"progress": True},
    ],
    ids=str,
)
def test_compiled_members(ten: xr.Dataset, settings: dict[str, object]) -> None:
    part = train(backend="compiled", **settings)
    xr.testing.assert_identical(part, ten.sel(condition=part.condition, trial=part.trial.values))


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_compiled_slices(ten: xr.Dataset, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(trainer, "_SLICE", size)
    xr.testing.assert_identical(train(backend="compiled"), ten)


def test_compiled_is_the_default_on_a_processor(ten: xr.Dataset) -> None:
    xr.testing.assert_identical(train(device="cpu"), ten)


def test_fewer_epochs_are_the_first_ones(ten: xr.Dataset) -> None:
    xr.testing.assert_identical(train(backend="compiled", epochs=1), ten.isel(epoch=slice(1)))
    xr.testing.assert_identical(train(backend="compiled", epochs=8), ten.isel(epoch=slice(8)))


@pytest.mark.parametrize("settings", [{"trials": 3}, {"conditions": ["frozen_random"]}], ids=str)
def test_batched_members(settings: dict[str, object]) -> None:
    whole = train(backend="batched", device="cpu")
    part = train(backend="batched", device="cpu", **settings)
    same = whole.sel(condition=part.condition, trial=part.trial.values)
    xr.testing.assert_allclose(part, same, rtol=0, atol=1e-5)


def test_batched_evaluation_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(backend="batched", device="cpu")
    # Room for the activations of seven of the thirty networks.
    monkeypatch.setattr("polarity.ensemble.batched._EVALUATION_FLOATS", 7 * 200 * 10)
    xr.testing.assert_allclose(train(backend="batched", device="cpu"), whole, rtol=0, atol=1e-6)


def test_weights_follow_their_trial() -> None:
    """Final weights come back in the order of the starts, whichever thread was faster."""
    start = initial_weights(10, 20, 25, 1)
    signs = templates(start, "frozen_random")
    settings = {"epochs": 3, "seed": 1, "backend": "compiled"}
    whole = train_networks(*DATA, start, signs, n_jobs=2, **settings)
    few = train_networks(
        *DATA, Weights(*(part[:4] for part in start)), type(signs)(*(s[:4] for s in signs)),
        n_jobs=1, **settings,
    )  # fmt: skip
    for all_parts, first_parts in zip(whole.weights, few.weights, strict=True):
        np.testing.assert_array_equal(all_parts[:4], first_parts)
    xr.testing.assert_identical(whole.curves.isel(trial=slice(4)), few.curves)


def test_given_weights_stay_as_they_are() -> None:
    start = initial_weights(10, 20, 2, 1)
    kept = [part.copy() for part in start]
    for backend in ("compiled", "batched"):
        train_networks(*DATA, start, epochs=2, backend=backend, device="cpu")
        for part, copy in zip(start, kept, strict=True):
            np.testing.assert_array_equal(part, copy)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_grid_holds_the_single_networks(n_jobs: int) -> None:
    grid = train_grid(GRID, n_jobs=n_jobs, backend="compiled", progress=False)
    assert grid.val_loss.dims == ("width", "n_train", "condition", "trial", "epoch")
    for width in GRID.widths:
        for n in GRID.sizes:
            alone = train_xor5d(
                *xor5d(n, 1), *xor5d(200, 1, split="validation"),
                width=width, trials=3, epochs=15, seed=1, backend="compiled",
            )  # fmt: skip
            xr.testing.assert_identical(grid.sel(width=width, n_train=n, drop=True), alone)


def test_draws_hold_the_grids() -> None:
    few = replace(GRID, widths=(3,), trials=2, epochs=4)
    draws = train_draws(few, 3, backend="compiled", progress=False)
    first, second, third = draws.draw.values.tolist()
    assert first == few.seed == 1 and len({1, second, third}) == 3
    for seed in (first, second, third):
        grid = train_grid(replace(few, seed=seed), backend="compiled", progress=False)
        xr.testing.assert_identical(draws.sel(draw=seed, drop=True), grid)
    assert not draws.isel(draw=0, drop=True).equals(draws.isel(draw=1, drop=True))
    more = train_draws(few, 4, backend="compiled", progress=False)
    xr.testing.assert_identical(more.isel(draw=slice(3)), draws)


def test_no_draw_of_one_seed_is_one_of_another() -> None:
    tiny = replace(GRID, widths=(2,), sizes=GRID.sizes[:1], trials=1, epochs=1)
    seeds = [
        int(draw)
        for seed in range(6)
        for draw in train_draws(replace(tiny, seed=seed), 6, progress=False).draw.values
    ]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("backend", ["compiled", "batched"])
def test_shared_batches(backend: str) -> None:
    """All trials have trial 0's order: it stays, the others change; draws stay each trial's own."""
    start = initial_weights(10, 20, 3, 1)
    settings = {"epochs": 8, "seed": 1, "backend": backend, "device": "cpu", "batch_size": 5}
    own = train_networks(*DATA, start, **settings).curves
    shared = train_networks(*DATA, start, batches="shared", **settings).curves
    xr.testing.assert_allclose(shared.isel(trial=0), own.isel(trial=0), rtol=0, atol=1e-6)
    assert (shared.val_loss != own.val_loss).isel(trial=slice(1, None)).any("epoch").all()
    # Three copies of one network now have one curve; with orders of their own they part.
    copies = Weights(*(np.concatenate([part[:1]] * 3) for part in start))
    together = train_networks(*DATA, copies, batches="shared", **settings).curves.val_loss
    apart = train_networks(*DATA, copies, **settings).curves.val_loss
    np.testing.assert_allclose(together, together[[0, 0, 0]].values, rtol=0, atol=1e-6)
    assert len(np.unique(apart[:, -1])) == 3
    with pytest.raises(ValueError, match="batches must be one of own, shared; got 'all'"):
        train_networks(*DATA, start, batches="all")


def test_seed_matters(ten: xr.Dataset) -> None:
    other = train(backend="compiled", seed=2)
    assert (other.val_loss != ten.val_loss).any("epoch").all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_processor() -> None:
    """Within 1e-4: eight steps, another order of adding."""
    here = train(backend="compiled", epochs=8)
    there = train(device="cuda", epochs=8)
    np.testing.assert_allclose(there.val_loss, here.val_loss, rtol=0, atol=1e-4)
