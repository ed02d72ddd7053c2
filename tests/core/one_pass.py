"""The reset as one pass over a layer must do what torch's operations do.

Run as a program, with ``TRITON_INTERPRET=1`` in the environment, it asks this of the GPU's kernel
on a processor: Triton then executes the kernel's program with NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from polarity.core.reset import RESET_RULES, _reset_unseen, violators

SHAPES = [(10007,), (3, 5), (64, 3, 11, 11), (1,), (0, 4), (4096, 1000)]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def layer(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor]:
    """Weights with NaN, zeros and an infinity among them, and a template with all three entries."""
    generator = torch.Generator(device).manual_seed(len(shape))
    weight = torch.randn(shape, device=device, generator=generator).to(dtype)
    signs = torch.randint(-1, 2, shape, device=device, generator=generator, dtype=torch.int8)
    if weight.numel() > 9:
        weight.view(-1)[:4] = torch.tensor([float("nan"), 0.0, -0.0, float("-inf")]).to(weight)
    return weight, signs


def bits(x: Tensor) -> Tensor:
    return x.view({2: torch.int16, 4: torch.int32}[x.element_size()])


def agrees(reset: Callable[..., Tensor], rule: str, weight: Tensor, signs: Tensor) -> None:
    """Assert that ``reset(weight, signs, rule, epsilon, generator)`` does what the rule says."""
    dtype = weight.dtype
    wrong = violators(weight, signs.to(dtype))
    before, expected = weight.clone(), weight.clone()
    generator = torch.Generator(weight.device).manual_seed(0)
    count = _reset_unseen(expected, signs, RESET_RULES[rule], 1e-3, None)
    assert int(reset(weight, signs, rule, 1e-3, generator)) == int(count) == int(wrong.sum())
    assert torch.equal(bits(weight)[~wrong], bits(before)[~wrong])
    assert not violators(weight, signs.to(dtype)).any()
    if rule != "posRand":
        assert torch.equal(weight[wrong], expected[wrong])
        return
    drawn = (weight * signs)[wrong].float()
    assert ((drawn >= torch.finfo(dtype).tiny) & (drawn <= 1.001e-3)).all()
    if len(drawn) > 1000:
        assert abs(float(drawn.mean()) - 5e-4) < 5e-5
        assert abs(float(drawn.std()) - 1e-3 / 12**0.5) < 5e-5
        near = torch.corrcoef(torch.stack([drawn[:-1], drawn[1:]]))[0, 1]
        assert abs(float(near)) < 5 / len(drawn) ** 0.5
    if dtype == torch.float32:
        # About n**2 / 2**25 of n draws of 24 bits are repeated; more, if streams are.
        assert len(drawn) - len(drawn.unique()) <= len(drawn) ** 2 / 2**24 + 5


if __name__ == "__main__":
    from polarity.core.fused import reset_layer

    for shape, dtype, rule in product(SHAPES[:-1], DTYPES, RESET_RULES):
        agrees(reset_layer, rule, *layer(shape, dtype, "cpu"))
    print("agrees")
