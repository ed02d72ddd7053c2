"""The reset step of Algorithm 1 and its four rules (paper: Algorithm 1; compared in Fig C.1).

A template says of every weight which sign it must have: -1, +1, or 0 for "unconstrained". A weight
*violates* its template where ``template * sign(weight) < 0``; zero violates nothing. A rule is a
pure, elementwise function that says what a violating weight becomes; :func:`reset_` puts it there.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType, ModuleType
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from polarity._checks import one_of

__all__ = ["RESET_RULES", "Rule", "flip", "posCon", "posRand", "reset_", "violators", "zero"]

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""The dtypes of weights that have a polarity here."""

_BITS = {
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}
_BLOCK = 1 << 18  # weights: what is held of a block stays in a cache
_LARGE = 1 << 20  # weights: NumPy searches a smaller layer in less than a millisecond

Integers: TypeAlias = np.ndarray[Any, np.dtype[np.signedinteger[Any]]]
Search: TypeAlias = Callable[[Integers, Integers], tuple[Integers, Integers, Integers]]
Rule: TypeAlias = Callable[[Tensor, Tensor, float, torch.Generator | None], Tensor]
"""``rule(weight, template, epsilon, generator)`` -> replacements, broadcastable to ``weight``.

``weight`` is a tensor of weights, ``template`` their signs, of the same shape, dtype and device;
``epsilon`` a number > 0; ``generator`` a source of draws or None. What the rule says of a weight
that is no violator is not used.
"""


def posCon(
    weight: Tensor, template: Tensor, epsilon: float, generator: torch.Generator | None
) -> Tensor:
    """Return ``template * epsilon``: the right sign, one constant magnitude.

    Examples
    --------
    >>> weight, signs = torch.tensor([-0.3, 0.2]), torch.tensor([1.0, -1.0])
    >>> posCon(weight, signs, 0.001, None)
    tensor([ 0.0010, -0.0010])
    """
    return template * epsilon


def posRand(
    weight: Tensor, template: Tensor, epsilon: float, generator: torch.Generator | None
) -> Tensor:
    """Return ``template * U(0, epsilon)``: the right sign, a small random magnitude.

    This is the rule of every figure of the paper but C.1. The draw is uniform on
    ``[tiny, epsilon]`` with ``tiny`` the smallest normal number of the weight's dtype, so that no
    draw is exactly 0. It is one ``torch.rand`` of the weight's shape (float64 for float64, else
    float32).

    Examples
    --------
    >>> weight, signs = torch.tensor([-0.3, 0.2]), torch.tensor([1.0, -1.0])
    >>> drawn = posRand(weight, signs, 0.001, None)
    >>> ((0 < drawn * signs) & (drawn * signs <= 0.001)).tolist()
    [True, True]
    """
    tiny = torch.finfo(weight.dtype).tiny
    dtype = torch.promote_types(weight.dtype, torch.float32)
    draw = torch.rand(weight.shape, dtype=dtype, device=weight.device, generator=generator)
    magnitude = draw.mul_(epsilon - tiny).add_(tiny)
    return magnitude.to(weight.dtype).mul_(template)


def zero(
    weight: Tensor, template: Tensor, epsilon: float, generator: torch.Generator | None
) -> Tensor:
    """Return 0: projection onto the weights that respect the template (projected SGD).

    Examples
    --------
    >>> weight, signs = torch.tensor([-0.3, 0.2]), torch.tensor([1.0, -1.0])
    >>> zero(weight, signs, 0.001, None)
    tensor(0.)
    """
    return weight.new_zeros(())


def flip(
    weight: Tensor, template: Tensor, epsilon: float, generator: torch.Generator | None
) -> Tensor:
    """Return ``-weight``: the right sign, the same magnitude.

    Examples
    --------
    >>> weight, signs = torch.tensor([-0.3, 0.2]), torch.tensor([1.0, -1.0])
    >>> flip(weight, signs, 0.001, None)
    tensor([ 0.3000, -0.2000])
    """
    return -weight


RESET_RULES: Mapping[str, Rule] = MappingProxyType(
    {rule.__name__: rule for rule in (posCon, posRand, zero, flip)}
)
"""The four rules under the paper's names, read-only (Algorithm 1; compared in Figure C.1)."""


def violators(weight: Tensor, template: Tensor) -> Tensor:
    """Return where ``template * sign(weight) < 0``, as booleans of the weight's shape.

    NaN is no violator, because it has no sign to correct: a reset must not hide it.

    Parameters
    ----------
    weight : Tensor
        Weights of one layer, any shape.
    template : Tensor
        Entries -1, 0, +1, of the weight's shape and device.

    Examples
    --------
    >>> weight = torch.tensor([-0.3, 0.2, 0.0, float("nan"), 0.7])
    >>> violators(weight, torch.tensor([1, 1, 1, 1, -1]))
    tensor([ True, False, False, False,  True])
    """
    # A template entry is -1, 0 or +1, so the product with the weight itself has the same sign.
    return template * weight < 0


@torch.no_grad()
def reset_(
    weight: Tensor,
    template: Tensor,
    rule: str = "posRand",
    epsilon: float = 1e-3,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Reset, in place, the weights that violate their template (paper: Algorithm 1).

    Parameters
    ----------
    weight : Tensor
        Weights of one layer: any shape, strides and device; float16, bfloat16, float32, float64.
    template : Tensor
        Entries -1, 0 (unconstrained) or +1, of any real dtype, with the weight's shape and device.
        The values are trusted: :class:`~polarity.PolarityTemplate` checks them, once.
    rule : {"posRand", "posCon", "zero", "flip"}
        What a violating weight becomes.
    epsilon : float
        Largest magnitude after ``posRand``, the magnitude after ``posCon``.
    generator : torch.Generator, optional
        Source of the ``posRand`` draws, on the weight's device; torch's own by default.

    Returns
    -------
    Tensor
        Number of weights reset, a 0-dimensional int64 tensor on the weight's device (reading it
        waits for the device, calling this function does not).

    Raises
    ------
    TypeError
        If weight or template is no tensor, or generator no generator, or the weight is not of one
        of the four dtypes.
    ValueError
        If the shapes differ, the rule is unknown, or ``epsilon`` is not a finite number > 0 that
        the weight's dtype can hold.

    Notes
    -----
    Afterwards no weight violates the template. NaN stays NaN; all other weights keep their bits.

    On a processor only the violators are worked on, in row order (a layer that is not contiguous
    is copied for it). Large layers are searched for them by a compiled function where Numba is
    installed (``polarity.core.search``), which changes the time and nothing else.

    On an accelerator the whole layer is worked on, because counting the violators would make the
    host wait; ``posRand`` then draws for every weight. On a GPU with Triton that is one pass over
    the layer, if weight and template are dense and of the same strides, and the template is int8
    (``polarity.core.fused``). Hence the stream of draws differs between devices, as torch's
    generators do anyway.

    Examples
    --------
    >>> weight = torch.tensor([-0.3, 0.2, 0.5])
    >>> reset_(weight, torch.tensor([1, 1, -1]), rule="posCon")
    tensor(2)
    >>> weight
    tensor([ 0.0010,  0.2000, -0.0010])
    """
    check_rule(rule)
    for name, tensor in (("weight", weight), ("template", template)):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(tensor).__name__}")
    check_generator(generator)
    check_epsilon(epsilon, weight.dtype)
    if weight.shape != template.shape:
        raise ValueError(
            f"template must have the weight's shape {tuple(weight.shape)}, "
            f"got {tuple(template.shape)}"
        )
    if weight.device.type == "cpu":
        return _reset_few(weight, template, RESET_RULES[rule], epsilon, generator)
    if (fused := _fused()) and fused.fits(weight, template):
        count: Tensor = fused.reset_layer(weight, template, rule, epsilon, generator)
        return count
    return _reset_unseen(weight, template, RESET_RULES[rule], epsilon, generator)


@cache
def _fused() -> ModuleType | None:
    """Return the kernel's module where there is Triton, and a GPU that it compiles for."""
    if not (torch.cuda.is_available() and find_spec("triton")):
        return None

    def probe(fused: ModuleType) -> None:
        weight = torch.ones(1, device="cuda")
        fused.reset_layer(weight, weight.to(torch.int8), "zero", 1.0, None)

    slower = "Triton cannot compile the reset here, so torch does it, several times slower"
    return _compiled("fused", probe, slower)


@cache
def _search() -> Search:
    """Return the compiled search where there is Numba, and a processor that it compiles for."""
    if not find_spec("numba"):
        return _differing

    def probe(search: ModuleType) -> None:
        search.differing(np.zeros(1, np.int32), np.zeros(1, np.int8))

    slower = "Numba cannot compile the search for violators here, so NumPy does, more slowly"
    search = _compiled("search", probe, slower)
    return search.differing if search else _differing


def _compiled(name: str, probe: Callable[[ModuleType], None], slower: str) -> ModuleType | None:
    """Return a module of this package that compiles; None, and a warning, if it cannot."""
    try:
        module = import_module(f"polarity.core.{name}")
        probe(module)
    except Exception as error:  # of many kinds: old GPUs, no C compiler, an unwritable cache
        warnings.warn(f"{slower}: {error}", RuntimeWarning, stacklevel=2)
        return None
    return module


def _reset_unseen(
    weight: Tensor, template: Tensor, rule: Rule, epsilon: float, generator: torch.Generator | None
) -> Tensor:
    """Reset a layer on any device, without asking which weights are violators."""
    template = template.to(weight.dtype)
    wrong = violators(weight, template)
    torch.where(wrong, rule(weight, template, epsilon, generator), weight, out=weight)
    return wrong.count_nonzero()


def _reset_few(
    weight: Tensor, template: Tensor, rule: Rule, epsilon: float, generator: torch.Generator | None
) -> Tensor:
    """Reset the violators of a layer on a processor, in row order."""
    flat, entries = weight.contiguous().view(-1), template.contiguous().view(-1).to(torch.int8)
    bits = flat.view(_BITS[weight.dtype])  # because NumPy knows no bfloat16
    search = _search() if len(bits) >= _LARGE else _differing
    at, found, signs = search(bits.numpy(), entries.numpy())
    values = torch.from_numpy(found).view(weight.dtype)
    entries = torch.from_numpy(signs).to(weight.dtype)
    wrong = violators(values, entries)
    if not wrong.all():
        at, values, entries = at[wrong.numpy()], values[wrong], entries[wrong]
    new = rule(values, entries, epsilon, generator).expand(len(at)).contiguous()
    bits.index_copy_(0, torch.from_numpy(at), new.view(bits.dtype))
    if not weight.is_contiguous():
        weight.copy_(flat.view(weight.shape))
    return torch.tensor(len(at), device="cpu")  # whatever torch's default


def _differing(bits: Integers, signs: Integers) -> tuple[Integers, Integers, Integers]:
    """Return where the sign bits of a flat layer and its template differ, and both entries there.

    No violator is missed. What else is found, zeros, NaN and unconstrained weights, is for the
    caller to sort out.
    """
    # A block at a time, which stays in a cache, so that main memory is read once. Threads do not
    # help: between NumPy's short calls they wait for one another.
    found = [(np.empty(0, dtype=np.int64), bits[:0], signs[:0])]
    for start in range(0, bits.size, _BLOCK):
        here, there = bits[start : start + _BLOCK], signs[start : start + _BLOCK]
        differ = here < 0
        differ ^= there < 0
        at = np.flatnonzero(differ)
        found.append((at + start, here[at], there[at]))
    places, weights, entries = map(np.concatenate, zip(*found, strict=True))
    return places, weights, entries


def check_rule(rule: str) -> None:
    """Raise ValueError unless ``rule`` names one of :data:`RESET_RULES`."""
    one_of("reset rule", rule, RESET_RULES)


def check_generator(generator: object) -> None:
    """Raise TypeError unless ``generator`` is torch's, or None."""
    if not (generator is None or isinstance(generator, torch.Generator)):
        raise TypeError(f"generator must be a torch.Generator or None, got {generator!r}")


def check_epsilon(
    epsilon: float, dtype: torch.dtype | None = None, name: str = "the weight"
) -> None:
    """Raise unless ``epsilon`` is a finite number > 0 that ``dtype`` holds as a normal number."""
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float | np.number):
        raise TypeError(f"epsilon must be a number, got {epsilon!r}")
    if not (epsilon > 0 and math.isfinite(epsilon)):
        raise ValueError(f"epsilon must be a finite number > 0, got {epsilon}")
    if dtype is None:
        return
    if dtype not in DTYPES:
        raise TypeError(f"{name} must have a dtype among {dtypes()}, got {dtype}")
    limits = torch.finfo(dtype)
    if not limits.tiny <= epsilon <= limits.max:
        raise ValueError(
            f"epsilon must lie in [{limits.tiny:.3g}, {limits.max:.3g}], the normal numbers of "
            f"{dtype}, the dtype of {name}, got {epsilon}"
        )


def dtypes() -> str:
    """Return the names of :data:`DTYPES` for an error message."""
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
