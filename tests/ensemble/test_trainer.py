"""The trainer's functions: shapes and coordinates, bad input, memory."""

from __future__ import annotations

import gc
import time
import weakref
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from polarity.datasets import xor5d
from polarity.ensemble import (
    CONDITIONS,
    Templates,
    Weights,
    compiled,
    initial_weights,
    templates,
    train_draws,
    train_grid,
    train_networks,
    train_xor5d,
    trainer,
)
from polarity.ensemble.adam import BETA1, BETA2, EPS
from polarity.ensemble.cell import Cell
from polarity.protocols import XOR5DProtocol

X, Y = xor5d(8)
X_VAL, Y_VAL = xor5d(20, split="validation")
DATA = {"x": X, "y": Y, "x_val": X_VAL, "y_val": Y_VAL}
QUICK: dict[str, Any] = {"width": 4, "trials": 2, "epochs": 3}
SMALL = XOR5DProtocol(widths=(2, 3), sizes=(8, 12), trials=2, epochs=3, n_val=20)


def with_(array: np.ndarray, place: tuple[int, ...], value: float) -> np.ndarray:
    changed = array.copy()
    changed[place] = value
    return changed


@pytest.mark.parametrize("backend", ["compiled", "batched", "auto"])
def test_curves(backend: str) -> None:
    curves = train_xor5d(**DATA, **QUICK, backend=backend, device="cpu")
    assert set(curves) == {"val_loss", "val_accuracy"}
    assert dict(curves.sizes) == {"condition": 3, "trial": 2, "epoch": 3}
    for curve in curves.values():
        assert curve.dims == ("condition", "trial", "epoch") and curve.dtype == np.float32
    assert curves.condition.values.tolist() == list(CONDITIONS)
    assert curves.trial.values.tolist() == [0, 1]
    assert curves.epoch.values.tolist() == [0, 1, 2]
    # In twentieths, as the validation set has 20 samples.
    np.testing.assert_allclose(curves.val_accuracy * 20 % 1 % 1, 0, atol=1e-5)


def test_conditions_as_asked() -> None:
    both = train_xor5d(**DATA, **QUICK, conditions=["fluid_random", "frozen_sufficient"])
    assert both.condition.values.tolist() == ["fluid_random", "frozen_sufficient"]
    again = train_xor5d(**DATA, **QUICK, conditions=both.condition.values)
    assert again.identical(both)
    one = train_xor5d(**DATA, **QUICK, conditions="fluid_random")
    assert one.condition.values.tolist() == ["fluid_random"]
    xr.testing.assert_identical(one, both.isel(condition=slice(1)))


def test_conditions_differ_only_by_their_resets() -> None:
    """Frozen random equals fluid until the first reset, sufficient does not even start alike."""
    data = (*xor5d(20, 0), *xor5d(200, 0, split="validation"))
    curves = train_xor5d(*data, width=10, trials=5, epochs=3, lr=1e-6).val_loss
    frozen, fluid = curves.sel(condition="frozen_random"), curves.sel(condition="fluid_random")
    assert (frozen == fluid).all()
    assert (curves.sel(condition="frozen_sufficient") != fluid).all()
    curves = train_xor5d(*data, width=10, trials=5, epochs=3).val_loss
    assert (curves.sel(condition="frozen_random") != curves.sel(condition="fluid_random")).any()


def test_lists_and_float64_are_taken() -> None:
    expected = train_xor5d(**DATA, **QUICK)
    lists = train_xor5d(X.tolist(), Y.astype(int).tolist(), X_VAL.astype(float), Y_VAL > 0, **QUICK)
    xr.testing.assert_identical(lists, expected)
    weights = initial_weights(4, 8, 2)
    signs = templates(weights, "frozen_random")
    for backend in ("compiled", "batched"):
        settings: dict[str, Any] = {"epochs": 2, "backend": backend, "device": "cpu"}
        wide = train_networks(
            **DATA, weights=Weights(*(part.astype(np.float64) for part in weights)),
            templates=Templates(*(part.astype(np.float64) for part in signs)), **settings,
        )  # fmt: skip
        same = train_networks(**DATA, weights=weights, templates=signs, **settings)
        xr.testing.assert_identical(wide.curves, same.curves)


def test_it_learns() -> None:
    """A sanity check on the whole: fluid networks solve the task with data enough."""
    data = (*xor5d(500, 0), *xor5d(1000, 0, split="validation"))
    curves = train_xor5d(*data, width=64, trials=4, epochs=60, conditions=["fluid_random"])
    assert (curves.val_accuracy.max("epoch") > 0.95).all()


def test_smoke_grid() -> None:
    protocol = XOR5DProtocol().smoke()
    grid = train_grid(protocol, progress=False)
    assert dict(grid.sizes) == {
        "width": len(protocol.widths), "n_train": len(protocol.sizes), "condition": 3,
        "trial": protocol.trials, "epoch": protocol.epochs,
    }  # fmt: skip
    assert grid.width.values.tolist() == list(protocol.widths)
    assert grid.n_train.values.tolist() == list(protocol.sizes)
    assert np.isfinite(grid.val_loss).all()


def test_grid_by_the_batched_back_end() -> None:
    here = train_grid(SMALL, backend="compiled", progress=False)
    there = train_grid(SMALL, backend="batched", device="cpu", progress=True)
    xr.testing.assert_allclose(there, here, rtol=0, atol=1e-5)


def test_few_cells_are_in_memory_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells hold data, batches and starts: they are made as threads ask for them, then dropped."""
    alive = 0
    most = 0
    make, train = trainer._cell, trainer.compiled.train

    def counted(*arguments: Any) -> Cell:
        nonlocal alive, most
        cell = make(*arguments)

        def gone() -> None:
            nonlocal alive
            alive -= 1

        weakref.finalize(cell, gone)
        alive += 1
        most = max(most, alive)
        return cell

    def slowly(*arguments: Any) -> Any:
        time.sleep(0.05)  # as long as a real cell: joblib collects results every 10 ms
        return train(*arguments)

    monkeypatch.setattr(trainer, "_cell", counted)
    monkeypatch.setattr(trainer.compiled, "train", slowly)
    protocol = XOR5DProtocol(widths=tuple(range(2, 12)), sizes=(8, 12, 16, 20), trials=1, epochs=2)
    train_grid(protocol, n_jobs=2, backend="compiled", progress=False)
    # Of 40: two a thread wait or run, and some are being collected, more on a busy machine.
    assert most < 20
    gc.collect()
    assert alive == 0


BAD = [
    ({"width": 0}, ValueError, "width must be at least 1, got 0"),
    ({"width": 2.5}, TypeError, "width must be a whole number, got 2.5"),
    ({"trials": 0}, ValueError, "trials must be at least 1"),
    ({"trials": True}, TypeError, "trials must be a whole number, got True"),
    ({"epochs": 0}, ValueError, "epochs must be at least 1"),
    ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
    ({"batch_size": 32.0}, TypeError, "batch_size must be a whole number"),
    ({"seed": -1}, ValueError, "seed must be at least 0"),
    ({"seed": True}, TypeError, "seed must be a whole number"),
    ({"lr": 0}, ValueError, "lr must be finite and greater than 0, got 0"),
    ({"lr": float("nan")}, ValueError, "lr must be finite and greater than 0, got nan"),
    ({"lr": float("inf")}, ValueError, "lr must be finite"),
    ({"lr": 1e38}, ValueError, r"lr must be at most 1e\+37"),
    ({"lr": "0.03"}, TypeError, "lr must be a number, got '0.03'"),
    ({"epsilon": 0.0}, ValueError, "epsilon must be finite and greater than 0"),
    ({"epsilon": -1e-3}, ValueError, "epsilon must be finite and greater than 0"),
    ({"epsilon": float("nan")}, ValueError, "epsilon must be finite and greater than 0"),
    ({"epsilon": 1e-40}, ValueError, "epsilon must not underflow float32, got 1e-40"),
    ({"epsilon": 1e300}, ValueError, r"epsilon must be at most 1e\+37"),
    ({"reset": "posrand"}, ValueError, "reset must be one of posCon, posRand, zero, flip"),
    ({"match": "none"}, ValueError, "match must be one of flip, reset"),
    ({"conditions": ["frozen"]}, ValueError, "condition must be one of frozen_sufficient"),
    ({"conditions": None}, TypeError, "conditions must be a sequence, got None"),
    ({"conditions": []}, ValueError, "conditions must be distinct values, at least one"),
    ({"conditions": ["fluid_random"] * 2}, ValueError, "conditions must be distinct"),
    ({"backend": "numba"}, ValueError, "backend must be one of auto, compiled, batched"),
    ({"device": "tpu"}, ValueError, "device must be auto, cpu, cuda or cuda:N, got 'tpu'"),
    ({"device": "cuda:x"}, ValueError, "device must be auto, cpu, cuda or cuda:N"),
    ({"device": "cuda:99"}, ValueError, "device 'cuda:99' was asked for, but torch sees"),
    ({"x": X[:, :4]}, ValueError, r"training samples must have shape \(n, 5\)"),
    ({"x": X[:0]}, ValueError, "training samples must have shape"),
    ({"x": X[0]}, ValueError, "training samples must have shape"),
    ({"y": Y[:7]}, ValueError, r"training labels must have shape \(8,\), got \(7,\)"),
    ({"x_val": with_(X_VAL, (0, 0), np.nan)}, ValueError, "validation samples must be finite"),
    ({"x": with_(X, (0, 3), np.inf)}, ValueError, "training samples must be finite"),
    ({"y": with_(Y, (0,), 2)}, ValueError, "training labels must be 0 or 1"),
    ({"y_val": with_(Y_VAL, (0,), np.nan)}, ValueError, "validation labels must be 0 or 1"),
]


@pytest.mark.parametrize(("changes", "error", "message"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        train_xor5d(**DATA | QUICK | changes)


def test_bad_weights_and_templates() -> None:
    weights = initial_weights(4, 8, 2)
    signs = templates(weights, "frozen_random")

    def train(weights: Weights, signs: Templates | None = None) -> None:
        train_networks(**DATA, weights=weights, templates=signs, epochs=1)

    with pytest.raises(ValueError, match=r"weights must have shapes \(trials, 5, width\)"):
        train(weights._replace(b1=weights.b1[:, :3]))
    with pytest.raises(ValueError, match="weights must have shapes"):
        train(weights._replace(w1=weights.w1[0]))
    with pytest.raises(ValueError, match="none empty"):
        train(Weights(*(part[:0] for part in weights)))
    for bad in (np.nan, np.inf, 1e300):
        with pytest.raises(ValueError, match="weights must be finite"):
            train(weights._replace(w2=with_(weights.w2.astype(float), (0, 0), bad)))
    with pytest.raises(ValueError, match="templates must have shapes"):
        train(weights, signs._replace(t2=signs.t2[:1]))
    for bad in (2, 0.5, np.nan):
        with pytest.raises(ValueError, match="template entries must be -1, 0 or 1"):
            train(weights, signs._replace(t1=with_(signs.t1.astype(float), (0, 0, 0), bad)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_asked_for_where_there_is_none() -> None:
    message = "device 'cuda' was asked for, but torch sees no CUDA device"
    with pytest.raises(ValueError, match=message):
        train_xor5d(**DATA, **QUICK, device="cuda")
    with pytest.raises(ValueError, match=message):
        train_grid(SMALL, device="cuda", progress=False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_compiled_refuses_cuda() -> None:
    with pytest.raises(ValueError, match="backend 'compiled' runs on the processor"):
        train_xor5d(**DATA, **QUICK, device="cuda", backend="compiled")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_is_chosen_where_there_is_one() -> None:
    chosen = train_xor5d(**DATA, **QUICK)
    xr.testing.assert_identical(chosen, train_xor5d(**DATA, **QUICK, device="cuda"))
    assert train_grid(SMALL, progress=False).val_loss.notnull().all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_multiplies_whole_float32_whatever_torch_was_told() -> None:
    settings = QUICK | {"width": 64, "epochs": 20}
    plain = train_xor5d(**DATA, **settings, device="cuda")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        xr.testing.assert_identical(train_xor5d(**DATA, **settings, device="cuda"), plain)
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("draws", [0, 1.5, True])
def test_bad_number_of_draws(draws: object) -> None:
    with pytest.raises((TypeError, ValueError), match="draws must be"):
        train_draws(SMALL, draws, progress=False)


def test_without_a_place_for_machine_code_it_is_compiled_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a container whose files belong to somebody else."""

    def nowhere(*_: object, **options: object) -> object:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(compiled, "njit", nowhere)
    with pytest.warns(RuntimeWarning, match="no locator available. .* set NUMBA_CACHE_DIR"):
        assert compiled._compiled(float) is float


def test_adams_constants_are_part_of_what_compiled_code_is_kept_by() -> None:
    """Numba's cache does not notice a change of another file, but of a function's variables."""
    function = compiled.trainer(8, 20, 20)
    kept = {cell.cell_contents for cell in function.py_func.__closure__ or ()}
    assert {BETA1, BETA2, EPS} <= kept
