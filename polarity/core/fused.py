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
LANES = 1024  # weights that are worked on together; a program does so four times


@triton.jit  # type: ignore[untyped-decorator]
def _reset(  # type: ignore[no-untyped-def]
    weight, template, count, seed, n, epsilon, tiny, rule: tl.constexpr, lanes: tl.constexpr
):
    program, lane = tl.program_id(0), tl.arange(0, lanes)
    # Philox by the weights' place: which program draws does not matter. Called once it gives four
    # draws, and it is most of the arithmetic.
    if rule == 0:
        r0, r1, r2, r3 = tl.rand4x(tl.load(seed), program * lanes + lane)
    else:
        r0, r1, r2, r3 = 0.0, 0.0, 0.0, 0.0
    at = program * 4 * lanes + lane
    wrong = _reset_lanes(weight, template, n, epsilon, tiny, rule, at, r0)
    wrong += _reset_lanes(weight, template, n, epsilon, tiny, rule, at + lanes, r1)
    wrong += _reset_lanes(weight, template, n, epsilon, tiny, rule, at + 2 * lanes, r2)
    wrong += _reset_lanes(weight, template, n, epsilon, tiny, rule, at + 3 * lanes, r3)
    tl.atomic_add(count, tl.sum(wrong).to(tl.int64))


@triton.jit  # type: ignore[untyped-decorator]
def _reset_lanes(  # type: ignore[no-untyped-def]
    weight, template, n, epsilon, tiny, rule: tl.constexpr, at, draw
):
    inside = at < n
    w = tl.load(weight + at, mask=inside, other=0.0).to(tl.float32)  # exact, for all three dtypes
    entry = tl.load(template + at, mask=inside, other=0)
    sign = entry.to(tl.float32)
    # NaN and 0 violate nothing, nor does anything where the template is 0.
    wrong = ((entry > 0) & (w < 0)) | ((entry < 0) & (w > 0))
    if rule == 0:
        new = (draw * (epsilon - tiny) + tiny) * sign
    elif rule == 1:
        new = sign * epsilon
    elif rule == 2:
        new = tl.zeros_like(w)
    else:
        new = -w
    tl.store(weight + at, new.to(weight.dtype.element_ty), mask=wrong)
    return wrong.to(tl.int32)


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
        with torch.cuda.device_of(weight):
            # Triton knows no numbers of NumPy.
            _reset[(triton.cdiv(n, 4 * LANES),)](
                weight, template, count, seed, n, float(epsilon), torch.finfo(weight.dtype).tiny,
                rule=RULES[rule], lanes=LANES,
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
