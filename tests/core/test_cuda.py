"""Freeze-SGD on a GPU: the one-pass reset against torch's operations, and a whole training."""

from __future__ import annotations

import pytest
import torch
from one_pass import DTYPES, SHAPES, agrees, layer

from polarity import RESET_RULES, FreezeSGD, PolarityTemplate, reset_
from polarity.networks import alexnet

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RESET_RULES)
@pytest.mark.parametrize("shape", SHAPES)
def test_one_pass_equals_torch_operations(
    shape: tuple[int, ...], rule: str, dtype: torch.dtype
) -> None:
    agrees(reset_, rule, *layer(shape, dtype, "cuda"))


def test_draws_follow_the_generator() -> None:
    def drawn(seed: int, times: int) -> torch.Tensor:
        generator = torch.Generator("cuda").manual_seed(seed)
        for _ in range(times):
            weight, signs = layer((4096,), torch.float32, "cuda")
            reset_(weight, signs, "posRand", 1e-3, generator)
        return torch.nan_to_num(weight)

    assert torch.equal(drawn(1, 1), drawn(1, 1))
    assert not torch.equal(drawn(1, 1), drawn(2, 1))
    assert not torch.equal(drawn(1, 1), drawn(1, 2))


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("later", [False, True])
def test_signs_are_held_in_every_memory_order(memory: torch.memory_format, later: bool) -> None:
    torch.manual_seed(0)
    model = alexnet("alexnet_64").cuda()
    if not later:
        model.to(memory_format=memory)
    template = PolarityTemplate.random(model, generator=torch.Generator().manual_seed(1))
    template.match_(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, fused=True)
    freeze = FreezeSGD(model, optimizer, template)
    if later:  # signs keep the order of the weights as they were
        model.to(memory_format=memory)
    x = torch.randn(16, 3, 64, 64, device="cuda")
    for _ in range(3):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
        assert template.violations(model) == {}
    assert sum(freeze.resets.values()) > 10_000


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_the_host_does_not_wait() -> None:
    model = torch.nn.Linear(64, 64, device="cuda")
    template = PolarityTemplate.from_model(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    FreezeSGD(model, optimizer, template)
    model.weight.grad = torch.randn_like(model.weight)
    optimizer.step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        optimizer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_interrupted_equals_uninterrupted() -> None:
    def train(steps: int, resume: int | None) -> torch.Tensor:
        torch.manual_seed(0)
        model = torch.nn.Linear(64, 64, device="cuda")
        template = PolarityTemplate.from_model(model)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        freeze = FreezeSGD(model, optimizer, template, seed=3)
        x = torch.randn(8, 64, device="cuda")
        for step in range(steps):
            if step == resume:
                state = freeze.state_dict()
                freeze.remove()
                freeze = FreezeSGD(model, optimizer, template, seed=4)
                freeze.load_state_dict(state)
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
        return model.weight.detach()

    assert torch.equal(train(6, None), train(6, 3))
