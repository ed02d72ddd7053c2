"""One training step of AlexNet: how near the device's matrix rate, and what the reset costs.

They take turns within a round: a step (forward, backward, AdamW), the reset after it, on a
processor the same reset without Numba, the same reset as the paper's released code does it (every
layer to NumPy and back after each batch), and a large matrix product as the device's own ceiling.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from polarity import FreezeSGD, PolarityTemplate
from polarity._machine import whole_float32
from polarity.core import reset
from polarity.networks import ARCHITECTURES, alexnet, forward_operations, initialise_

from .measure import Spread, seconds

EPSILON = 1e-3
QUEUED = 10  # steps that a GPU is given at once


@dataclass(frozen=True)
class Step:
    """A training step and its measured parts.

    Attributes
    ----------
    bare
        Seconds of a step without a reset.
    reset, interpreted, released
        Seconds of one reset of all layers on weights that have just taken a step: ours, ours on a
        processor without Numba (None on a GPU), and the released code's way.
    violators
        Share of the weights whose sign was wrong when ours reset them.
    rate, ceiling
        Operations a second of the bare step, and of a large matrix product, same precision.
    """

    architecture: str
    batch: int
    precision: str
    device: str
    learning_rate: float
    bare: Spread
    reset: Spread
    interpreted: Spread | None
    released: Spread
    violators: Spread
    rate: Spread
    ceiling: Spread

    @property
    def lines(self) -> list[str]:
        """The result in words."""
        share = self.rate.median / self.ceiling.median
        cost, theirs = (100 * x.median / self.bare.median for x in (self.reset, self.released))
        floor = self.bare.median * share
        without = []
        if self.interpreted is not None:
            without = [
                f"  without Numba            {1e3 * self.interpreted.median:9.2f} ms, "
                f"{100 * self.interpreted.median / self.bare.median:.1f} %, "
                f"{self._times_ours(self.interpreted, '.1f')}"
            ]
        return [
            f"{self.architecture}, batch {self.batch}, {self.precision}, "
            f"learning rate {self.learning_rate:g}, on {self.device}",
            f"  training step            {1e3 * self.bare.median:9.1f} ms",
            f"  floor of its operations  {1e3 * floor:9.1f} ms: at the rate of a matrix product, "
            f"{self.ceiling.median / 1e12:.2f} TFLOP/s; the step reaches {share:.0%} of it",
            f"  our reset adds           {1e3 * self.reset.median:9.2f} ms, {cost:.1f} % of the "
            f"step (quartiles {1e3 * self.reset.low:.2f} to {1e3 * self.reset.high:.2f}), with "
            f"{self.violators.median:.1%} of the weights to reset",
            *without,
            f"  the released code's way  {1e3 * self.released.median:9.2f} ms, {theirs:.0f} %, "
            f"{self._times_ours(self.released, '.0f')}",
        ]

    def _times_ours(self, other: Spread, spec: str) -> str:
        if self.reset.median <= 0:  # on a GPU it is a difference of two times
            return "ours took too little to be measured"
        return f"{other.median / self.reset.median:{spec}} times ours"

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return asdict(self)


def measure_step(
    architecture: str,
    batch: int,
    precision: str,
    device: str,
    rounds: int = 5,
    learning_rate: float = 1e-3,
) -> Step:
    """Measure one training step, contestants taking turns."""
    kind = ARCHITECTURES[architecture]
    model = initialise_(alexnet(architecture), torch.Generator().manual_seed(0)).to(
        device, memory_format=torch.channels_last
    )
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, fused=True
    )  # as fast as Adam
    template = PolarityTemplate.random(model, generator=torch.Generator().manual_seed(1))
    template.match_(model)
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(batch, 3, kind.image_size, kind.image_size, generator=generator).to(
        device, memory_format=torch.channels_last
    )
    y = torch.randint(10, (batch,), generator=generator).to(device)
    cast = torch.autocast(device, torch.bfloat16) if precision == "bf16" else nullcontext()

    def step(wait: bool = True) -> None:
        with whole_float32():  # as the trainer computes
            with cast:
                loss = functional.cross_entropy(model(x).float(), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        if wait:
            _wait(device)

    freeze = FreezeSGD(model, optimizer, template)
    freeze.remove()  # a step alone is timed, and the reset after it alone
    layers = dict(model.named_parameters())
    host = {name: sign.cpu().numpy() for name, sign in template.items()}
    draws = np.random.default_rng(0)

    shares: list[float] = []
    weights, resets = template.num_bits, 0

    def ours() -> None:
        freeze._reset_layers()
        _wait(device)

    def interpreted() -> None:
        with mock.patch.object(reset, "_search", lambda: reset._differing):
            ours()

    def restart() -> None:
        nonlocal resets
        ours()
        resets = sum(freeze.resets.values())

    def reset_as_released() -> None:
        for name, sign in host.items():
            as_released(layers[name], sign, draws)

    size = 8192 if device == "cuda" else 2048
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(size, size, generator=generator).to(device, dtype) for _ in range(2))

    def product() -> None:
        torch.mm(a, b)
        _wait(device)

    took: defaultdict[str, list[float]] = defaultdict(list)

    def queued(reset: Callable[[], None] = lambda: None, steps: int = QUEUED) -> float:
        """Seconds of a step among many: the host queues them and never waits in between."""
        return seconds(lambda: run_queued(reset, steps)) / steps

    def run_queued(reset: Callable[[], None], steps: int) -> None:
        for _ in range(steps):
            step(wait=False)
            reset()
        _wait(device)

    for number in range(rounds + 2):
        if device == "cuda":  # alone, a reset would be the host's time of launching it
            restart()
            bare = queued()
            restart()
            ours_too = queued(freeze._reset_layers)
            # Of this one a few are enough: each takes a second or two.
            as_they_do = queued(reset_as_released, steps=2)
            times = {"bare": bare, "ours": ours_too - bare, "released": as_they_do - bare}
        else:
            times = {
                "bare": seconds(step),
                "interpreted": _after(step, interpreted, before=restart),
                "ours": _after(step, ours, before=restart),
                "released": _after(step, reset_as_released),
            }
        times["product"] = seconds(product)
        if number >= 2:  # the first rounds warm up
            steps = QUEUED if device == "cuda" else 1
            shares.append((sum(freeze.resets.values()) - resets) / weights / steps)
            for name, value in times.items():
                took[name].append(value)
    operations = 3 * forward_operations(architecture) * batch
    return Step(
        architecture, batch, precision, _name(device), learning_rate,
        Spread.of(took["bare"]),
        Spread.of(took["ours"]),
        Spread.of(took["interpreted"]) if took["interpreted"] else None,
        Spread.of(took["released"]),
        Spread.of(shares),
        Spread.of([operations / t for t in took["bare"]]),
        Spread.of([2 * size**3 / t for t in took["product"]]),
    )  # fmt: skip


@torch.no_grad()
def as_released(weight: nn.Parameter, template: np.ndarray, draws: np.random.Generator) -> Tensor:
    """Reset one layer as the released code does: weights to NumPy, corrected, and back."""
    values = weight.cpu().numpy()
    wrong = np.sign(values) * template < 0
    corrected = np.where(wrong, draws.uniform(0, EPSILON, values.shape) * template, values)
    return weight.copy_(torch.from_numpy(corrected.astype(np.float32)))


def _after(
    step: Callable[[], None],
    reset: Callable[[], None],
    before: Callable[[], None] = lambda: None,
) -> float:
    """Seconds of a reset on weights that have just taken a step: some signs are wrong."""
    before()
    step()
    return seconds(reset)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _name(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"a processor, {torch.get_num_threads()} threads"


def image_steps(rounds: int, quick: bool) -> list[Step]:
    """Measure what this machine can: the paper's batch on a GPU, less of it elsewhere."""
    if torch.cuda.is_available():
        cases = [("alexnet", 1000, precision, "cuda") for precision in ("float32", "bf16")]
    else:
        cases = [("alexnet_64", 100, precision, "cpu") for precision in ("float32", "bf16")]
        cases += [("alexnet", 64, "float32", "cpu")]
    rounds = 2 if quick else rounds
    steps = [measure_step(*case, rounds) for case in cases]
    if torch.cuda.is_available():
        return steps  # there a reset reads every weight, however few it writes
    # A tenth of the paper's learning rate resets fewer weights a step.
    return [*steps, measure_step(*cases[-1], rounds, learning_rate=1e-4)]
