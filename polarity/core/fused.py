"""The reset of a whole layer as one pass over its weights, on a GPU that Triton compiles for.

A layer's reset moves what it must and no more: each weight and each sign is read once, and only
violators are written. In torch's own operations the same reset reads and writes a layer about ten
times. The kernel says what :mod:`polarity.core.reset` says; that module's rules are its reference.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["fits", "reset_layer"]

RULES = {"posRand": 0, "posCon": 1, "zero": 2, "flip": 3}
BLOCK = 4096  # weights a program


@triton.jit  # type: ignore[untyped-decorator]
def _reset(  # type: ignore[no-untyped-def]
    weight, template, count, seed, n, epsilon, tiny, rule: tl.constexpr, block: tl.constexpr
):
    at = tl.program_id(0) * block + tl.arange(0, block)
    inside = at < n
    w = tl.load(weight + at, mask=inside, other=0.0)
    entry = tl.load(template + at, mask=inside, other=0)
    sign = entry.to(w.dtype)
    # NaN and 0 violate nothing, nor does anything where the template is 0.
    wrong = ((entry > 0) & (w < 0)) | ((entry < 0) & (w > 0))
    if rule == 0:
        # Philox by the weight's place: which program draws does not matter.
        draw = tl.rand(tl.load(seed), at)
        new = (draw * (epsilon - tiny) + tiny).to(w.dtype) * sign
    elif rule == 1:
        new = sign * epsilon
    elif rule == 2:
        new = tl.zeros_like(w)
    else:
        new = -w
    tl.store(weight + at, new.to(w.dtype), mask=wrong)
    tl.atomic_add(count, tl.sum(wrong.to(tl.int64)))


def reset_layer(
    weight: Tensor, template: Tensor, rule: str, epsilon: float, generator: torch.Generator | None
) -> Tensor:
    """Reset the violators of a layer that lies dense in the GPU's memory.

    Parameters
    ----------
    weight
        float16, bfloat16 or float32, on a GPU, fewer than 2**31.
    template
        int8 signs in the same memory order.
    rule
        A name of :data:`polarity.core.RESET_RULES`.
    epsilon
        The rule's scale.
    generator
        Of the device. One draw of it, for ``posRand``, seeds the whole layer's Philox stream.

    Returns
    -------
    Tensor
        Number of weights reset, a 0-dimensional int64 tensor on the GPU.
    """
    count = torch.zeros((), dtype=torch.int64, device=weight.device)
    seed = count
    if rule == "posRand":
        high = 2**31 - 1
        seed = torch.randint(high, (), device=weight.device, generator=generator)
    n = weight.numel()
    if n:
        with torch.cuda.device(weight.device):
            _reset[(triton.cdiv(n, BLOCK),)](
                weight, template, count, seed, n, epsilon, torch.finfo(weight.dtype).tiny,
                rule=RULES[rule], block=BLOCK,
            )  # fmt: skip
    return count


def fits(weight: Tensor, template: Tensor) -> bool:
    """Whether :func:`reset_layer` can reset this layer; if not, torch's operations do."""
    return (
        weight.is_cuda
        and weight.dtype in (torch.float16, torch.bfloat16, torch.float32)
        and template.dtype == torch.int8
        and weight.numel() < 2**31
        and weight.stride() == template.stride()
        and torch.ops.aten.is_non_overlapping_and_dense(weight)
    )
