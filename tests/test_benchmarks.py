"""The contestants of the benchmark do the same work."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import race
from benchmarks.contestants import Contestant
from benchmarks.files import measure_files
from benchmarks.images import EPSILON, as_released, measure_step
from benchmarks.task import Task
from polarity.core.reset import reset_


def test_the_released_codes_way_resets_the_same_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    before = torch.randn(40, 30, generator=generator)
    template = torch.randint(-1, 2, (40, 30), generator=generator).to(torch.int8)
    theirs, ours = nn.Parameter(before.clone()), before.clone()
    as_released(theirs, template.numpy(), np.random.default_rng(0))
    reset_(ours, template, "posRand", EPSILON)
    wrong = template * before < 0
    assert 0 < int(wrong.sum()) < wrong.numel()
    for weights in (theirs.detach(), ours):
        assert torch.equal(weights[~wrong], before[~wrong])
        assert bool((weights * template >= 0).all()) and float(weights[wrong].abs().max()) < EPSILON


def test_a_step_is_measured() -> None:
    step = measure_step("alexnet_64", 2, "float32", "cpu", rounds=1)
    assert step.interpreted
    found = (step.rate, step.ceiling, step.reset, step.interpreted, step.released)
    assert all(x.median > 0 for x in found)
    assert len(step.lines) == 6 and "without Numba" in step.lines[-2]
    assert "the released code's way" in step.lines[-1]


def test_template_files_are_measured() -> None:
    files = measure_files("alexnet_64", "1.6 bits", rounds=1)
    assert files.template_bytes < 1.62 * files.weights / 8 + 10_000  # and the header
    assert files.weights_bytes > 4 * files.weights
    assert all(x.median > 0 for x in (files.save, files.load, files.torch_save, files.torch_load))
    assert len(files.lines) == 4 and "torch.save" in files.lines[1]


def test_what_runs_on_one_core_is_scaled_to_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a contestant that uses all cores would win by their number."""
    monkeypatch.setattr(race, "agreement", lambda contestants, task: [0.0] * len(contestants))
    monkeypatch.setattr(race, "seconds", lambda timed: timed())

    def one_second() -> float:
        return 1.0

    task = Task(n=8, width=4, trials=6, epochs=2)
    ours = Contestant("ours", "all cores", lambda task: one_second)
    loop = Contestant("loop", "one core", lambda task: one_second, sample=2, processes=4)
    results = race.race([ours, loop], task, 3, lambda text: None)
    assert [result.ratio.median for result in results] == [1.0, 6 / 2 / 4]
