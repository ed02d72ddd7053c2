"""Algorithm 1 as the paper prints it, entry by entry: the twin that the fast path must equal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def sign(value: float) -> int:
    return (value > 0) - (value < 0)  # NaN: 0


def reset_literally(
    weight: Tensor, template: Tensor, rule: str, epsilon: float, draws: Tensor
) -> int:
    """Reset one layer, entry by entry; ``draws`` are U(0, 1), one an entry. Return the number."""
    resets = 0
    with torch.no_grad():
        for index in torch.cartesian_prod(*map(torch.arange, weight.shape)).reshape(
            -1, weight.dim()
        ):
            at = tuple(index.tolist())
            value, wanted = weight[at].item(), int(template[at].item())
            if wanted * sign(value) < 0:
                resets += 1
                if rule == "posCon":
                    weight[at] = wanted * epsilon
                elif rule == "posRand":
                    weight[at] = wanted * draws[at].item() * epsilon
                elif rule == "zero":
                    weight[at] = 0.0
                elif rule == "flip":
                    weight[at] = -value
                else:
                    raise AssertionError(rule)
            assert math.isnan(value) or wanted * sign(weight[at].item()) >= 0
    return resets


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
            draws = torch.rand(weight.shape, dtype=weight.dtype, generator=generator)
            resets += reset_literally(weight, template, rule, epsilon, draws)
    return resets
