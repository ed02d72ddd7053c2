"""Algorithm 1 as the paper prints it, entry by entry: the twin that the fast path must equal."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor


def sign(value: float) -> int:
    return (value > 0) - (value < 0)  # NaN: 0


def reset_literally(
    weight: Tensor, template: Tensor, rule: str, epsilon: float, draws: Tensor
) -> int:
    """Reset one layer, entry by entry; ``draws`` are U(0, 1), one a reset. Return the number."""
    resets = 0
    with torch.no_grad():
        for at in entries(weight):
            value, wanted = weight[at].item(), int(template[at].item())
            if wanted * sign(value) < 0:
                resets += 1
                if rule == "posCon":
                    weight[at] = wanted * epsilon
                elif rule == "posRand":
                    weight[at] = wanted * draws[resets - 1].item() * epsilon
                elif rule == "zero":
                    weight[at] = 0.0
                elif rule == "flip":
                    weight[at] = -value
                else:
                    raise AssertionError(rule)
            assert math.isnan(value) or wanted * sign(weight[at].item()) >= 0
    return resets


def entries(weight: Tensor) -> Iterator[tuple[int, ...]]:
    """Every index of a tensor, in row order."""
    return itertools.product(*(range(size) for size in weight.shape))


def number_of_violators(weight: Tensor, template: Tensor) -> int:
    return sum(int(template[at].item()) * sign(weight[at].item()) < 0 for at in entries(weight))


def freeze_sgd_literally(
    parameters: Mapping[str, Tensor],
    templates: Mapping[str, Tensor],
    step: Callable[[], object],
    steps: int,
    rule: str,
    epsilon: float,
    generator: torch.Generator,
) -> int:
    """Algorithm 1: ``steps`` times a step of any optimizer, then a reset of each layer."""
    resets = 0
    for _ in range(steps):
        step()
        for name, template in templates.items():
            weight = parameters[name]
            wrong = number_of_violators(weight, template)
            draws = torch.rand(wrong, dtype=weight.dtype, generator=generator)
            resets += reset_literally(weight, template, rule, epsilon, draws)
    return resets
