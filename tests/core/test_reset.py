"""The four reset rules and ``reset_``."""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from algorithm_1 import number_of_violators, reset_literally
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from polarity import RESET_RULES, reset_
from polarity.core import reset, search

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
EPSILON = 1e-3
every_rule = pytest.mark.parametrize("rule", RESET_RULES)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def case(
    shape: tuple[int, ...] = (7, 5, 3), dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Weights, some of them 0, and a template with all three entries."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(shape, generator=generator, dtype=torch.float64)
    weight[torch.rand(shape, generator=generator) < 0.1] = 0.0
    template = torch.randint(-1, 2, shape, generator=generator, dtype=torch.int8)
    return weight.to(dtype), template


def wrong(weight: Tensor, template: Tensor) -> Tensor:
    return template * torch.sign(weight) < 0


def test_the_rules_have_the_names_of_the_paper() -> None:
    assert list(RESET_RULES) == ["posCon", "posRand", "zero", "flip"]
    with pytest.raises(TypeError):
        RESET_RULES["mine"] = RESET_RULES["zero"]  # type: ignore[index]


@every_rule
@every_dtype
def test_equals_the_literal_algorithm(rule: str, dtype: torch.dtype) -> None:
    weight, template = case(dtype=dtype)
    twin = weight.clone()
    draws = torch.rand(
        number_of_violators(weight, template),
        dtype=torch.promote_types(dtype, torch.float32),
        generator=torch.Generator().manual_seed(3),
    )
    count = reset_(weight, template, rule, EPSILON, torch.Generator().manual_seed(3))
    assert int(count) == reset_literally(twin, template, rule, EPSILON, draws)
    assert int(count) > 10
    if rule == "posRand":
        # The fast path draws from [tiny, epsilon], not from [0, epsilon].
        info = torch.finfo(dtype)
        torch.testing.assert_close(weight, twin, rtol=4 * info.eps, atol=1.01 * info.tiny)
        kept = ~wrong(case(dtype=dtype)[0], template)
        assert torch.equal(weight[kept], twin[kept])
    else:
        assert torch.equal(weight, twin)


@every_rule
@every_dtype
def test_afterwards_none_violates_and_the_rest_is_untouched(rule: str, dtype: torch.dtype) -> None:
    before, template = case((400, 50), dtype)
    after = before.clone()
    count = reset_(after, template, rule, EPSILON, torch.Generator().manual_seed(0))
    assert count.shape == () and count.dtype == torch.int64
    assert int(count) == int(wrong(before, template).sum()) > 5000
    assert not wrong(after, template).any()
    kept = ~wrong(before, template)
    assert torch.equal(after[kept], before[kept])
    assert int(reset_(after, template, rule, EPSILON)) == 0
    assert after.dtype == dtype


@every_dtype
def test_what_each_rule_leaves(dtype: torch.dtype) -> None:
    before, template = case((400, 50), dtype)
    at = wrong(before, template)
    after = {}
    for rule in RESET_RULES:
        after[rule] = before.clone()
        reset_(after[rule], template, rule, EPSILON, torch.Generator().manual_seed(0))
    epsilon = torch.tensor(EPSILON, dtype=dtype)
    assert torch.equal(after["posCon"][at], template[at] * epsilon)
    assert torch.equal(after["zero"][at], torch.zeros_like(before[at]))
    assert torch.equal(after["flip"][at], -before[at])
    drawn = (after["posRand"] * template)[at]
    assert drawn.min() >= torch.finfo(dtype).tiny
    assert drawn.max() <= epsilon
    # Uniform: mean and standard deviation of U(0, epsilon), within 4 standard errors or so.
    drawn = drawn.double() / EPSILON
    slack = 4 / math.sqrt(len(drawn)) + torch.finfo(dtype).tiny / EPSILON
    assert abs(drawn.mean() - 1 / 2) < slack * math.sqrt(1 / 12) + torch.finfo(dtype).eps
    assert abs(drawn.std() - math.sqrt(1 / 12)) < slack


def test_no_draw_is_zero_where_the_uniform_draw_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch, "rand", lambda shape, *, dtype, device, generator: torch.zeros(shape, dtype=dtype)
    )
    for dtype in DTYPES:
        weight = -torch.ones(4, dtype=dtype)
        reset_(weight, torch.ones(4, dtype=torch.int8), "posRand", EPSILON)
        assert (weight == torch.finfo(dtype).tiny).all()


def test_draws_depend_on_the_generator_alone() -> None:
    results = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(results))  # the global stream must not matter
        weight, template = case()
        reset_(weight, template, generator=torch.Generator().manual_seed(seed))
        results.append(weight)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_only_violators_are_drawn_for() -> None:
    states = []
    for violators in (0, 3, 3, 100):
        generator = torch.Generator().manual_seed(0)
        weight = torch.where(torch.arange(100) < violators, -1.0, 1.0)
        reset_(weight, torch.ones(100), generator=generator)
        states.append(generator.get_state())
    assert torch.equal(states[0], torch.Generator().manual_seed(0).get_state())
    assert torch.equal(states[1], states[2]) and not torch.equal(states[1], states[0])
    torch.rand(100, generator=(full := torch.Generator().manual_seed(0)))
    assert torch.equal(states[3], full.get_state())


@every_rule
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nan_is_neither_repaired_nor_spread(rule: str, bad: float) -> None:
    weight = torch.tensor([bad, bad, bad, -2.0, 3.0, -0.0])
    template = torch.tensor([1, -1, 0, 1, 1, 1], dtype=torch.int8)
    count = reset_(weight, template, rule, EPSILON)
    if math.isnan(bad):
        assert weight[:3].isnan().all()
        assert int(count) == 1
    else:
        assert int(count) == 2
        assert weight[2] == bad
        assert not wrong(weight, template).any()
    assert weight[4] == 3.0 and weight[5] == 0.0 and torch.signbit(weight[5])


@every_rule
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_floats_at_all(rule: str, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([np.float16, np.float32, np.float64]))
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    before = torch.as_tensor(data.draw(hnp.arrays(kind, shape)))
    template = torch.as_tensor(data.draw(hnp.arrays(np.int8, shape, elements=st.integers(-1, 1))))
    after = before.clone()
    reset_(after, template, rule, EPSILON)
    kept = ~wrong(before, template)
    assert not wrong(after, template).any()
    assert torch.equal(after.isnan(), before.isnan())
    assert torch.equal(after[kept].nan_to_num(7.0), before[kept].nan_to_num(7.0))
    assert torch.equal(after[kept].signbit(), before[kept].signbit())


@every_rule
def test_strides_do_not_matter(rule: str) -> None:
    weight, template = case((6, 4, 5, 3))
    expected = weight.clone()
    reset_(expected, template, rule, EPSILON, torch.Generator().manual_seed(0))
    last = weight.clone().to(memory_format=torch.channels_last)
    turned = weight.permute(2, 0, 3, 1).contiguous().permute(1, 3, 0, 2)
    spread = torch.empty(6, 4, 5, 6)[..., ::2].copy_(weight)
    for view in (last, turned, spread):
        assert not view.is_contiguous()
        reset_(view, template, rule, EPSILON, torch.Generator().manual_seed(0))
        assert torch.equal(view, expected)


def test_a_parameter_that_requires_grad_is_reset_in_place() -> None:
    weight = torch.nn.Parameter(torch.tensor([-1.0, 1.0]))
    address = weight.data_ptr()
    count = reset_(weight, torch.ones(2, dtype=torch.int8), "flip")
    assert weight.tolist() == [1.0, 1.0]
    assert weight.data_ptr() == address and weight.requires_grad and weight.grad_fn is None
    assert not count.requires_grad


def test_autograd_notices_a_reset_between_forward_and_backward() -> None:
    weight = torch.nn.Parameter(torch.tensor([-1.0, 1.0]))
    loss = (weight**2).sum()
    reset_(weight, torch.ones(2, dtype=torch.int8), "flip")
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("rule", ["posrand", "", None, 3, ["flip"]])
def test_unknown_rule(rule: object) -> None:
    with pytest.raises(ValueError, match="must be one of posCon, posRand, zero, flip; got"):
        reset_(torch.ones(2), torch.ones(2), rule)  # type: ignore[arg-type]


@pytest.mark.parametrize("epsilon", [0, 0.0, -1e-3, math.nan, math.inf])
@every_rule
def test_epsilon_must_be_finite_and_positive(epsilon: float, rule: str) -> None:
    with pytest.raises(ValueError, match="epsilon must be a finite number > 0, got"):
        reset_(torch.ones(2), torch.ones(2), rule, epsilon)


@pytest.mark.parametrize("epsilon", ["0.001", None, True, torch.tensor(1e-3)])
def test_epsilon_must_be_a_number(epsilon: object) -> None:
    with pytest.raises(TypeError, match="epsilon must be a number, got"):
        reset_(torch.ones(2), torch.ones(2), "posCon", epsilon)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("epsilon", "dtype"),
    [(1e-8, torch.float16), (1e-5, torch.float16), (1e-39, torch.float32), (1e5, torch.float16)],
)
def test_epsilon_must_fit_the_dtype(epsilon: float, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=rf"normal numbers of {dtype}, .* got {epsilon}"):
        reset_(torch.ones(2, dtype=dtype), torch.ones(2), "posCon", epsilon)


@every_dtype
def test_the_smallest_and_the_largest_epsilon(dtype: torch.dtype) -> None:
    for epsilon in (torch.finfo(dtype).tiny, torch.finfo(dtype).max):
        weight = torch.ones(2, dtype=dtype)
        reset_(weight, -torch.ones(2), "posCon", epsilon)
        assert torch.equal(weight, torch.full((2,), -epsilon, dtype=dtype))
    with pytest.raises(ValueError, match="the dtype of the weight, got"):
        reset_(weight, torch.ones(2), "posCon", torch.finfo(dtype).tiny / 2)


def test_epsilon_is_a_thousandth_by_default() -> None:
    weight = torch.ones(2)
    reset_(weight, -torch.ones(2), "posCon")
    assert torch.equal(weight, torch.full((2,), -1e-3))


def test_numpy_epsilon_is_a_number() -> None:
    weight = torch.tensor([-1.0])
    reset_(weight, torch.ones(1), "posCon", np.float32(0.25))
    assert weight.item() == 0.25


def test_shapes_must_be_equal_not_broadcastable() -> None:
    with pytest.raises(ValueError, match=r"weight's shape \(2, 3\), got \(3,\)"):
        reset_(torch.ones(2, 3), torch.ones(3), "flip")


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64, torch.bool])
def test_weights_must_be_floats(dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match=f"float16, bfloat16, float32, float64, got {dtype}"):
        reset_(torch.ones(2, dtype=dtype), torch.ones(2), "zero")


@every_dtype
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "channels last"])
def test_large_layers_are_searched_block_by_block(dtype: torch.dtype, layout: str) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (7, 3, 100, 2 * reset._BLOCK // 2000 + 1)  # two blocks and part of a third
    before = torch.randn(shape, generator=generator).to(dtype)
    before.view(-1)[:: reset._BLOCK] = 1.0  # the first and the last of every block violate
    before.view(-1)[reset._BLOCK - 1 :: reset._BLOCK] = -1.0
    template = torch.randint(-1, 2, shape, generator=generator, dtype=torch.int8)
    template.view(-1)[:: reset._BLOCK] = -1
    template.view(-1)[reset._BLOCK - 1 :: reset._BLOCK] = 1
    if layout == "transposed":
        before, template = before.transpose(0, 3), template.transpose(0, 3)
    weight = before.clone(
        memory_format=torch.channels_last if layout == "channels last" else torch.preserve_format
    )
    wrong = reset.violators(before, template)
    assert reset_(weight, template, "flip") == wrong.sum() > 0
    torch.testing.assert_close(weight, torch.where(wrong, -before, before), rtol=0, atol=0)


@every_rule
def test_other_devices_go_the_way_of_accelerators(rule: str) -> None:
    weight, template = torch.empty(3, 2, device="meta"), torch.empty(3, 2, device="meta")
    count = reset_(weight, template, rule)
    assert count.is_meta and count.shape == () and count.dtype == torch.int64


@every_rule
@every_dtype
def test_the_way_of_accelerators_agrees(rule: str, dtype: torch.dtype) -> None:
    before, template = case(dtype=dtype)
    before.view(-1)[:3] = math.nan
    few, unseen = before.clone(), before.clone()
    count = reset_(few, template, rule, EPSILON)
    generator = torch.Generator().manual_seed(0)
    seen = reset._reset_unseen(unseen, template, RESET_RULES[rule], EPSILON, generator)
    assert seen == count > 0 and seen.dtype == count.dtype
    if rule == "posRand":  # other draws, from the generator
        again = before.clone()
        reset._reset_unseen(again, template, RESET_RULES[rule], EPSILON, generator.manual_seed(0))
        assert torch.equal(again.nan_to_num(), unseen.nan_to_num())
        wrong = reset.violators(before, template)
        assert torch.equal(few[~wrong].nan_to_num(), unseen[~wrong].nan_to_num())
        assert torch.equal(few[wrong].sign(), unseen[wrong].sign())
        assert float(unseen[wrong].abs().max()) <= EPSILON
    else:
        torch.testing.assert_close(few, unseen, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("share", [0.0, 1e-3, 0.5, 1.0])
@pytest.mark.parametrize("size", [0, 1, 7, 8, search._PIECE - 1, search._PIECE + 9, 1 << 20])
@pytest.mark.parametrize("kind", [np.int16, np.int32, np.int64])
def test_the_compiled_search_finds_what_numpy_finds(kind: type, size: int, share: float) -> None:
    draws = np.random.default_rng(size)
    limits = np.iinfo(kind)
    signs = draws.integers(-1, 2, size, dtype=np.int8)
    bits = draws.integers(0, limits.max, size, dtype=kind, endpoint=True)
    other = draws.random(size) < share
    bits[(signs < 0) != other] += limits.min  # the sign bit
    expected = reset._differing(bits, signs)
    found = search.differing(bits, signs)
    assert len(expected[0]) == other.sum()
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture
def chosen_anew() -> Iterator[None]:
    """Which search there is is asked again, in this test and after it."""
    reset._search.cache_clear()
    yield
    reset._search.cache_clear()


@every_rule
@pytest.mark.usefixtures("chosen_anew")
def test_numba_changes_no_result(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reset._search() is search.differing
    before, template = case((1024, 1025))
    assert before.numel() > reset._LARGE
    compiled, plain = before.clone(), before.clone()
    count = reset_(compiled, template, rule, EPSILON, torch.Generator().manual_seed(0))
    reset._search.cache_clear()
    monkeypatch.setattr(reset, "find_spec", lambda name: None)
    assert reset._search() is reset._differing
    assert reset_(plain, template, rule, EPSILON, torch.Generator().manual_seed(0)) == count
    assert torch.equal(compiled, plain)


@pytest.mark.usefixtures("chosen_anew")
def test_where_numba_cannot_compile_a_warning_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def differing(*_: object) -> None:
        raise RuntimeError("cannot cache function")

    monkeypatch.setattr(search, "differing", differing)
    with pytest.warns(RuntimeWarning, match="more slowly: cannot cache function"):
        weight = -torch.ones(reset._LARGE)
        count = reset_(weight, torch.ones(reset._LARGE, dtype=torch.int8), "flip")
    assert count == reset._LARGE and weight.min() == 1


def test_where_triton_cannot_compile_a_warning_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = types.ModuleType("polarity.core.fused")

    def reset_layer(*_: object) -> None:
        raise RuntimeError("no C compiler")

    broken.reset_layer = reset_layer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "polarity.core.fused", broken)
    monkeypatch.setattr("polarity.core.fused", broken, raising=False)
    monkeypatch.setattr(reset, "find_spec", lambda name: name == "triton")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    ones = torch.ones
    monkeypatch.setattr(torch, "ones", lambda *shape, device: ones(*shape))
    reset._fused.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="no C compiler"):
            assert reset._fused() is None
    finally:
        reset._fused.cache_clear()


def test_what_is_no_tensor_is_named() -> None:
    weight = torch.ones(3)
    with pytest.raises(TypeError, match=r"weight must be a torch\.Tensor, got ndarray"):
        reset_(np.ones(3), weight)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"template must be a torch\.Tensor, got list"):
        reset_(weight, [1, 1, 1])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"generator must be a torch\.Generator or None, got 3"):
        reset_(weight, weight, generator=3)  # type: ignore[arg-type]


def test_a_default_device_does_not_choose_where_the_count_lies() -> None:
    weight, template = torch.full((3,), -1.0), torch.ones(3)
    with torch.device("meta"):
        assert int(reset_(weight, template, "flip")) == 3
