"""Freeze-SGD in the loops of Lightning and Accelerate: the two examples, run and resumed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from polarity import FreezeSGD, PolarityTemplate
from polarity._torchvision import torchvision

GENERATOR = torch.Generator().manual_seed(0)
X, Y = torch.randn(64, 6, generator=GENERATOR), torch.randint(3, (64,), generator=GENERATOR)


@pytest.fixture(autouse=True)
def _foreign_warnings() -> Iterator[None]:
    """Warnings of the two libraries about themselves are not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torchvision()  # Lightning's metrics import it
        yield


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


def donor() -> PolarityTemplate:
    return PolarityTemplate.from_model(network(1))


def batches() -> list[tuple[Tensor, Tensor]]:
    return list(zip(X.split(8), Y.split(8), strict=True))


def by_hand(passes: int) -> tuple[nn.Module, FreezeSGD]:
    """A loop of one's own: gradients of two batches a step, clipped."""
    model = donor().match_(network())
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    freeze = FreezeSGD(model, optimizer, donor())
    for i, (x, y) in enumerate(batches() * passes):
        (nn.functional.cross_entropy(model(x), y) / 2).backward()
        if i % 2:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    return model, freeze


def ends_as_by_hand(model: nn.Module, freeze: FreezeSGD) -> None:
    expected, its = by_hand(6)
    assert freeze.resets == its.resets
    for a, b in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_lightning(tmp_path: Path) -> None:
    from lightning.pytorch import Trainer
    from loop_lightning import Frozen

    def trainer(epochs: int) -> Trainer:
        return Trainer(
            max_epochs=epochs, accelerator="cpu", devices=1, logger=False, barebones=False,
            enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
            default_root_dir=tmp_path, accumulate_grad_batches=2, gradient_clip_val=1.0,
        )  # fmt: skip

    def data() -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(TensorDataset(X, Y), batch_size=8)

    whole = Frozen(network(), donor())
    trainer(6).fit(whole, data())
    assert donor().violations(whole.network) == {}
    assert sum(whole.freeze_sgd.resets.values()) > 0
    ends_as_by_hand(whole.network, whole.freeze_sgd)

    half = Frozen(network(), donor())
    first = trainer(3)
    first.fit(half, data())
    first.save_checkpoint(tmp_path / "half.ckpt")
    resumed = Frozen(network(5), donor())
    trainer(6).fit(resumed, data(), ckpt_path=tmp_path / "half.ckpt")
    assert resumed.freeze_sgd.resets == whole.freeze_sgd.resets
    for a, b in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_accelerate(tmp_path: Path) -> None:
    from accelerate import Accelerator
    from loop_accelerate import train

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = network()
    freeze = train(accelerator, model, donor(), batches() * 6)
    assert donor().violations(model) == {}
    assert sum(freeze.resets.values()) > 0
    ends_as_by_hand(model, freeze)

    saved, state = freeze.resets, freeze.state_dict()["generators"]["cpu"]
    accelerator.save_state(str(tmp_path / "state"))
    for count in freeze._resets.values():
        count.zero_()
    freeze._generators[torch.device("cpu")].manual_seed(99)
    accelerator.load_state(str(tmp_path / "state"))
    assert freeze.resets == saved
    assert torch.equal(freeze.state_dict()["generators"]["cpu"], state)


def test_what_accelerate_wraps_is_asked_for() -> None:
    from accelerate import Accelerator

    model = donor().match_(network())
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    model, prepared = Accelerator(cpu=True).prepare(model, optimizer)
    with pytest.raises(TypeError, match=r"this AcceleratedOptimizer wraps one .* \.optimizer"):
        FreezeSGD(model, prepared, donor())
    FreezeSGD(model, prepared.optimizer, donor())
