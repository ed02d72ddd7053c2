"""Freeze-SGD under every optimizer of torch, every rule, every dtype, and the usual loops."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from test_freeze import OPTIMIZERS, MakeOptimizer, donor, every_optimizer, every_rule, loss, network
from torch import nn
from torch.testing._internal.common_optimizers import optim_db

from polarity import FreezeSGD, PolarityTemplate, reset_

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
Step = Callable[[nn.Module, torch.optim.Optimizer], None]


def plain_step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss(model).backward()
    optimizer.step()


def by_hand(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    template: PolarityTemplate,
    rule: str,
    step: Step,
    steps: int,
) -> int:
    """The bare optimizer, with a reset of every layer written after its step."""
    generator, count = torch.Generator().manual_seed(0), 0
    for _ in range(steps):
        step(model, optimizer)
        for name, weight in model.named_parameters():
            if name in template:
                count += int(reset_(weight, template[name], rule, 1e-3, generator))
    return count


def agree(make: MakeOptimizer, rule: str, dtype: torch.dtype, step: Step, steps: int = 12) -> int:
    """Assert that the hook equals a reset by hand, bit for bit; return the number of resets."""
    template, model, twin = donor(), network(dtype=dtype), network(dtype=dtype)
    template.match_(model)
    template.match_(twin)
    count = by_hand(twin, make(list(twin.parameters())), template, rule, step, steps)
    optimizer = make(list(model.parameters()))
    freeze = FreezeSGD(model, optimizer, template, rule)
    for _ in range(steps):
        step(model, optimizer)
        assert template.violations(model) == {}
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        assert bool(ours.isfinite().all()) and torch.equal(ours, theirs)
    assert sum(freeze.resets.values()) == count
    return count


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@every_rule
@every_optimizer
def test_every_optimizer_rule_and_dtype(make: MakeOptimizer, rule: str, dtype: torch.dtype) -> None:
    def fitting(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        optimizer = make(parameters)
        for group in optimizer.param_groups:
            if dtype is torch.float16 and isinstance(group.get("eps"), float):
                group["eps"] = 1e-3  # torch's 1e-8 is 0 there, and the bare optimizer divides by 0
        return optimizer

    assert agree(fitting, rule, dtype, plain_step) > 0


# --- torch's own list of optimizers and of their settings ---


def settings() -> Iterator[Any]:
    """Every setting that torch tests its optimizers with; LBFGS is refused by Freeze-SGD."""
    for info in optim_db:
        if info.optim_cls is torch.optim.LBFGS or info.only_supports_sparse_grads:
            continue
        for number, one in enumerate(info.optim_inputs_func(device="cpu")):
            if not one.kwargs.get("capturable"):  # an accelerator's
                name = f"{info.optim_cls.__name__} {number}: {one.desc}"
                yield pytest.param(info.optim_cls, one.kwargs, id=name)


@pytest.mark.parametrize(("kind", "options"), list(settings()))
def test_torchs_own_settings(kind: type[torch.optim.Optimizer], options: dict[str, Any]) -> None:
    agree(lambda parameters: kind(parameters, **options), "posRand", torch.float32, plain_step, 4)


def test_torchs_list_has_no_optimizer_that_is_missing_here() -> None:
    tested = {info.optim_cls.__name__ for info in optim_db} - {"LBFGS", "SparseAdam"}
    here = {name.split()[0] for name in OPTIMIZERS}
    assert tested - here == set()


# --- the usual loops ---


def accumulating(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for _ in range(3):
        (loss(model) / 3).backward()
    optimizer.step()
    optimizer.zero_grad()


def clipping(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss(model).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    optimizer.step()


def with_a_closure(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    def closure() -> float:
        optimizer.zero_grad()
        value = loss(model)
        value.backward()
        return value.item()

    optimizer.step(closure)


@every_rule
@pytest.mark.parametrize("step", [accumulating, clipping, with_a_closure])
def test_steps_that_users_write(step: Step, rule: str) -> None:
    assert agree(lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.9), rule, torch.float32, step) > 0


def two_rates(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    groups = [{"params": parameters[:1], "lr": 0.3}, {"params": parameters[1:], "lr": 0.02}]
    return torch.optim.Adam(groups, weight_decay=0.01)


@every_rule
def test_groups_with_different_rates(rule: str) -> None:
    assert agree(two_rates, rule, torch.float32, plain_step) > 0


SCHEDULERS: dict[str, Callable[[torch.optim.Optimizer], Any]] = {
    "step": lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.5),
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 6),
    "one cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, [0.4, 0.1], total_steps=13),
    "plateau": lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=0),
}


@pytest.mark.parametrize("schedule", SCHEDULERS.values(), ids=SCHEDULERS)
def test_schedulers(schedule: Callable[[torch.optim.Optimizer], Any]) -> None:
    schedulers: dict[int, Any] = {}

    def make(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        optimizer = two_rates(parameters)
        schedulers[id(optimizer)] = schedule(optimizer)
        return optimizer

    def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        plain_step(model, optimizer)
        scheduler = schedulers[id(optimizer)]
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            scheduler.step(1.0)
        else:
            scheduler.step()

    assert agree(make, "posRand", torch.float32, step) > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_gradient_scaling_under_autocast(dtype: torch.dtype) -> None:
    """Scaled gradients overflow at first, and the scaler skips those steps with their resets."""
    scalers: dict[int, torch.amp.GradScaler] = {}

    def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        scaler = scalers.setdefault(
            id(model), torch.amp.GradScaler("cpu", init_scale=3e38, growth_interval=1000)
        )
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
            value = 1e3 * loss(model)
        scaler.scale(value).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()

    make = OPTIMIZERS["SGD momentum"]
    assert agree(make, "posRand", torch.float32, step, steps=60) > 0
    assert all(scaler.get_scale() < 3e38 for scaler in scalers.values())


# --- cost ---


@every_rule
def test_nothing_grows_with_the_number_of_steps(rule: str) -> None:
    template, model = donor(), network()
    template.match_(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    freeze = FreezeSGD(model, optimizer, template, rule)

    def after(steps: int) -> tuple[int, int, int]:
        for _ in range(steps):
            plain_step(model, optimizer)
        gc.collect()
        live = gc.get_objects()
        dense = [t for t in live if type(t) in (torch.Tensor, nn.Parameter) and not t.is_sparse]
        tensors = sum(t.nbytes for t in dense)
        return tracemalloc.get_traced_memory()[0], len(live), tensors

    tracemalloc.start()
    try:
        memory, objects, tensors = after(700)
        later, objects_later, tensors_later = after(1400)
    finally:
        tracemalloc.stop()
    assert sum(freeze.resets.values()) > 1000
    # Less than one Python float a step: the interpreter's pools of freed tuples fill slowly.
    assert later - memory < 1400 * 24
    assert objects_later - objects < 30 and 0 < tensors_later <= tensors
