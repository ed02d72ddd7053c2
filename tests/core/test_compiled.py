"""Freeze-SGD and ``torch.compile``: of the model, of the loss, and of the step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from test_freeze import donor, every_rule, frozen, loss, same
from torch import nn

from polarity import FreezeSGD, reset_

# torch's compiler uses what torch deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 15) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()


@every_rule
def test_a_compiled_model(rule: str) -> None:
    plain, plain_optimizer, template, plain_freeze = frozen(rule)
    train(plain, plain_optimizer)

    model, optimizer, template, freeze = frozen(rule)
    freeze.remove()
    compiled = torch.compile(model, backend="aot_eager")
    freeze = FreezeSGD(compiled, optimizer, template, rule)
    train(compiled, optimizer)
    assert same(plain, model) and template.violations(compiled) == {}
    assert freeze.resets == plain_freeze.resets and sum(freeze.resets.values()) > 0


@every_rule
def test_a_compiled_step(rule: str) -> None:
    """Compiled, torch's own step rounds otherwise; hence the twin's is compiled too."""
    twin, bare, template, removed = frozen(rule)
    removed.remove()
    generator, count = torch.Generator().manual_seed(0), 0
    twin_step = torch.compile(lambda: bare.step(), backend="eager")
    for _ in range(15):
        bare.zero_grad()
        loss(twin).backward()
        twin_step()
        for name, weight in twin.named_parameters():
            count += int(reset_(weight, template[name], rule, 1e-3, generator))

    torch.compiler.reset()
    model, optimizer, template, freeze = frozen(rule)
    model_step = torch.compile(lambda: optimizer.step(), backend="eager")
    for _ in range(15):
        optimizer.zero_grad()
        loss(model).backward()
        model_step()
        assert template.violations(model) == {}
    assert same(twin, model) and sum(freeze.resets.values()) == count > 0


def test_a_compiled_loss_with_its_gradient() -> None:
    model, optimizer, template, freeze = frozen()
    compiled = torch.compile(loss, backend="aot_eager")
    plain, plain_optimizer, _, _ = frozen()
    for _ in range(15):
        optimizer.zero_grad()
        compiled(model).backward()
        optimizer.step()
    train(plain, plain_optimizer)
    assert same(plain, model) and template.violations(model) == {}
    assert donor().digest() == template.digest() and sum(freeze.resets.values()) > 0
