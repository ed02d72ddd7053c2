"""Freeze-SGD on several processes, and in checkpoints that several processes write."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from parallel_worker import network
from torch import distributed, nn

from polarity import RESET_RULES, FreezeSGD, PolarityTemplate


@pytest.mark.skipif(not distributed.is_available(), reason="torch was built without distributed")
def test_all_ranks_end_with_equal_weights(tmp_path: Path) -> None:
    worker = str(Path(__file__).with_name("parallel_worker.py"))
    ranks = [
        subprocess.Popen(
            [sys.executable, worker, str(rank), "2", str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=300)[0] for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], "\n".join(said)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2))
    assert first["violations"] == second["violations"] == {}
    assert first["resets"] == second["resets"] and sum(first["resets"].values()) > 0
    for name, weights in first["weights"].items():
        assert torch.equal(weights, second["weights"][name]), name


@pytest.mark.parametrize("rule", RESET_RULES)
def test_a_distributed_checkpoint_resumes_bit_for_bit(rule: str, tmp_path: Path) -> None:
    from torch.distributed import checkpoint

    template = PolarityTemplate.from_model(network(1))
    x = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
    y = torch.arange(16) % 3

    def parts(seed: int) -> tuple[nn.Module, torch.optim.Optimizer, FreezeSGD]:
        model = template.match_(network(seed))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        return model, optimizer, FreezeSGD(model, optimizer, template, rule)

    def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    def states(model: nn.Module, optimizer: Any, freeze: FreezeSGD) -> dict[str, Any]:
        return {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "freeze": freeze.state_dict(),
        }

    whole, optimizer, freeze = parts(0)
    train(whole, optimizer, 10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is but one process
        checkpoint.save(states(whole, optimizer, freeze), checkpoint_id=tmp_path, no_dist=True)
        train(whole, optimizer, 10)

        resumed, again, freeze_again = parts(7)
        train(resumed, again, 1)  # Adam's moments must exist to be loaded into
        state = states(resumed, again, freeze_again)
        checkpoint.load(state, checkpoint_id=tmp_path, no_dist=True)
    resumed.load_state_dict(state["model"])
    again.load_state_dict(state["optimizer"])
    freeze_again.load_state_dict(state["freeze"])
    train(resumed, again, 10)
    assert freeze_again.resets == freeze.resets and sum(freeze.resets.values()) > 0
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
