"""PolarityTemplate: made from anything, laid on any model."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from algorithm_1 import number_of_violators, reset_literally
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from polarity import RESET_RULES, PolarityTemplate
from polarity.core import weight_names


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 8), nn.Linear(8, 2)
    )


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: dict(model.named_parameters())[name] for name in weight_names(model)}


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


def unchanged(model: nn.Module, before: dict[str, Tensor]) -> bool:
    return all(
        torch.equal(a.nan_to_num(7.0), before[n].nan_to_num(7.0))
        for n, a in model.state_dict().items()
    )


# --- making one ---------------------------------------------------------------------------------


def test_from_model_is_the_sign_of_each_weight() -> None:
    donor = network()
    with torch.no_grad():
        donor[3].weight[0, :3] = torch.tensor([0.0, -0.0, 1e-30])
    template = PolarityTemplate.from_model(donor)
    assert list(template) == ["0.weight", "3.weight", "4.weight"]
    for name, weight in weights(donor).items():
        assert template[name].dtype == torch.int8
        assert torch.equal(template[name].float(), torch.sign(weight))
    assert template["3.weight"][0, :3].tolist() == [0, 0, 1]


def test_from_model_keeps_no_tie_to_the_donor() -> None:
    donor = network()
    template = PolarityTemplate.from_model(donor)
    before = copy.deepcopy(template)
    with torch.no_grad():
        donor[3].weight.neg_()
    assert template == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_any_float_dtype(dtype: torch.dtype) -> None:
    assert PolarityTemplate.from_model(network().to(dtype)) == PolarityTemplate.from_model(
        network()
    )


def test_include_by_name_and_by_function() -> None:
    donor = network()
    by_name = PolarityTemplate.from_model(donor, include=["3.weight", "3.bias"])
    by_function = PolarityTemplate.from_model(donor, include=lambda name, p: name.startswith("3."))
    assert by_name == by_function
    assert torch.equal(by_name["3.bias"].float(), donor[3].bias.sign())
    # What is left out among the default weights is written down as free.
    assert set(by_name) == {"0.weight", "3.weight", "3.bias", "4.weight"}
    assert by_name.num_bits == 16 * 8 + 8
    by_name.match_(network(1))


def test_from_state_dict() -> None:
    donor = network()
    names = weight_names(donor)
    state = donor.state_dict()
    expected = PolarityTemplate.from_model(donor)
    assert PolarityTemplate.from_state_dict(state, names) == expected
    wrapped = {f"module.{name}": value for name, value in state.items()} | {"module.epoch": 3}
    assert PolarityTemplate.from_state_dict(wrapped, names) == expected
    chosen = PolarityTemplate.from_state_dict(state, lambda name, tensor: tensor.dim() > 1)
    assert chosen == expected
    with pytest.raises(ValueError, match=r"include names '9.weight', 'x', not found among"):
        PolarityTemplate.from_state_dict(state, [*names, "9.weight", "x"])
    with pytest.raises(TypeError, match="include must choose"):
        PolarityTemplate.from_state_dict(state, None)
    with pytest.raises(TypeError, match="state_dict must be a mapping, got Sequential: from_model"):
        PolarityTemplate.from_state_dict(network(), names)  # type: ignore[arg-type]
    checkpoint = {"model": state, "epoch": 3}
    with pytest.raises(ValueError, match="holds no tensor: the state dict may be one of 'model'"):
        PolarityTemplate.from_state_dict(checkpoint, names)
    with pytest.raises(ValueError, match=r"state_dict holds no tensor$"):
        PolarityTemplate.from_state_dict({}, [])


def test_random_signs_are_fair_and_independent() -> None:
    model = nn.Sequential(nn.Linear(200, 300, device="meta"), nn.Linear(300, 100, device="meta"))
    first, second = (
        PolarityTemplate.random(model, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 1)
    )
    again = PolarityTemplate.random(model, generator=torch.Generator().manual_seed(0))
    assert first == again != second
    assert first.num_bits == 90_000
    four_errors = 4 * 0.5 / math.sqrt(90_000)
    assert abs(first.fraction_positive - 0.5) < four_errors
    agree = torch.cat([(first[name] == second[name]).flatten() for name in first])
    assert abs(agree.float().mean() - 0.5) < four_errors
    neighbours = first["0.weight"].flatten()
    assert abs((neighbours[1:] == neighbours[:-1]).float().mean() - 0.5) < four_errors


def test_random_uses_the_global_generator_only_without_one() -> None:
    state = torch.get_rng_state()
    PolarityTemplate.random(nn.Linear(3, 4), generator=torch.Generator())
    torch.manual_seed(5)
    first = PolarityTemplate.random(nn.Linear(3, 4, device="meta"))
    torch.manual_seed(5)
    assert PolarityTemplate.random(nn.Linear(3, 4, device="meta")) == first
    torch.set_rng_state(state)


def test_from_a_mapping() -> None:
    signs = {"a": np.array([[1.0, -1.0], [0.0, -0.0]]), "b": torch.tensor([1, -1, 0])}
    template = PolarityTemplate(signs)
    assert template["a"].tolist() == [[1, -1], [0, 0]]
    signs["a"][0, 0] = -1
    assert template["a"][0, 0] == 1
    strided = PolarityTemplate({"a": torch.tensor([[1, 0], [-1, 0]]).t()})
    assert strided["a"].is_contiguous() and strided == template_of([[1, -1], [0, 0]])
    assert PolarityTemplate(template) == template
    assert PolarityTemplate({**template, "b": torch.ones(3)}) != template


def template_of(values: list[list[int]]) -> PolarityTemplate:
    return PolarityTemplate({"a": torch.tensor(values)})


# --- being a mapping ----------------------------------------------------------------------------


def test_equality_is_by_names_shapes_and_entries() -> None:
    one, two = torch.ones(2, 3), -torch.ones(4)
    template = PolarityTemplate({"a": one, "b": two})
    same = PolarityTemplate({"b": two, "a": one.int()})
    assert template == same and template.digest() == same.digest()
    for other in (
        {"a": one},
        {"a": one, "c": two},
        {"a": one.t(), "b": two},
        {"a": one, "b": -two},
        {"a": one, "b": 0 * two},
    ):
        assert template != PolarityTemplate(other)
        assert template.digest() != PolarityTemplate(other).digest()
    assert template != {"a": one, "b": two}
    with pytest.raises(TypeError, match="unhashable"):
        hash(template)


def test_copies_and_pickles_are_equal() -> None:
    template = PolarityTemplate.from_model(network())
    assert copy.deepcopy(template) == template
    assert pickle.loads(pickle.dumps(template)) == template


def test_summary() -> None:
    template = PolarityTemplate({"a": torch.tensor([1, 1, 1, -1, 0])})
    assert (len(template), template.num_bits, template.fraction_positive) == (1, 4, 0.75)
    assert repr(template) == (
        "PolarityTemplate(1 parameters, 4 bits, 75.0% positive, 1 unconstrained)"
    )
    assert math.isnan(PolarityTemplate({}).fraction_positive)
    assert repr(PolarityTemplate({})) == "PolarityTemplate(0 parameters, 0 bits, 0 unconstrained)"


# --- matching -----------------------------------------------------------------------------------


def test_match_flips_signs_and_keeps_magnitudes() -> None:
    template = PolarityTemplate.from_model(network(0))
    model = network(1)
    before = snapshot(model)
    count = template.violations(model)
    assert set(count) == set(template)
    assert template.match_(model) is model
    assert template.violations(model) == {}
    for name, value in model.state_dict().items():
        if name in template:
            assert torch.equal(value.abs(), before[name].abs())
            assert int((value != before[name]).sum()) == count[name]
        else:
            assert torch.equal(value, before[name])
    again = snapshot(model)
    template.match_(model)
    assert unchanged(model, again)


def test_zeros_stay_zero_and_violate_nothing() -> None:
    template = PolarityTemplate({"weight": torch.tensor([[1, -1, 1, 0]])})
    model = nn.Linear(4, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0, -0.0, -3.0, -4.0]]))
    assert template.violations(model) == {"weight": 1}
    template.match_(model)
    assert model.weight.tolist() == [[0, 0, 3, -4]]
    assert template.violations(model) == {}


@pytest.mark.parametrize("rule", RESET_RULES)
def test_match_by_a_reset_rule_as_the_released_code(rule: str) -> None:
    template = PolarityTemplate.from_model(network(0))
    model, twin = network(1).double(), network(1).double()
    template.match_(model, rule, 1e-3, torch.Generator().manual_seed(2))
    generator = torch.Generator().manual_seed(2)
    for name, weight in weights(twin).items():
        wrong = number_of_violators(weight, template[name])
        draws = torch.rand(wrong, dtype=torch.float64, generator=generator)
        reset_literally(weight, template[name], rule, 1e-3, draws)
        torch.testing.assert_close(weights(model)[name], weight, rtol=1e-14, atol=0)
    assert template.violations(model) == {}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_match_refuses_what_is_not_finite_and_changes_nothing(bad: float) -> None:
    template = PolarityTemplate.from_model(network(0))
    model = network(1)
    with torch.no_grad():
        model[3].weight[1, 2:4] = bad
        model[4].weight[0, 0] = bad
    before = snapshot(model)
    with pytest.raises(ValueError) as caught:
        template.match_(model)
    assert "'3.weight' holds 2 NaN or infinite of 128 values" in str(caught.value)
    assert "'4.weight' holds 1 NaN or infinite of 16 values" in str(caught.value)
    assert unchanged(model, before)


def test_violations_do_not_hide_nan() -> None:
    template = PolarityTemplate({"weight": torch.tensor([[1, -1, 0, 1, 1]])})
    model = nn.Linear(5, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[math.nan, math.nan, math.nan, -1.0, math.inf]]))
    assert template.violations(model) == {"weight": 3}


def test_match_checks_its_arguments_first() -> None:
    template, model = PolarityTemplate.from_model(network(0)), network(1).half()
    before = snapshot(model)
    with pytest.raises(ValueError, match=r"reset rule must be one of .* got 'invert'"):
        template.match_(model, rule="invert")
    with pytest.raises(ValueError, match=r"dtype of '0\.weight', got 1e-08"):
        template.match_(model, epsilon=1e-8)
    assert unchanged(model, before)


def test_fixed_parameters_are_read_and_matched() -> None:
    donor, model = network(0).requires_grad_(False), network(1).requires_grad_(False)
    template = PolarityTemplate.from_model(donor)
    template.match_(model)
    assert template == PolarityTemplate.from_model(model)


# --- wrappers -----------------------------------------------------------------------------------


def compile_inside(model: nn.Sequential) -> nn.Module:
    model[3] = torch.compile(model[3])
    return model


WRAPPERS: list[Callable[[nn.Sequential], nn.Module]] = [
    nn.DataParallel,
    torch.compile,
    AveragedModel,
    compile_inside,
    lambda model: nn.DataParallel(torch.compile(model)),
    lambda model: nn.ModuleDict({"module": model}),
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")  # torch's own, on compile
@pytest.mark.parametrize("wrap", WRAPPERS, ids=["DP", "compile", "swa", "inside", "both", "module"])
def test_wrappers_do_not_matter(wrap: Callable[[nn.Sequential], nn.Module]) -> None:
    plain = PolarityTemplate.from_model(network(0))
    assert PolarityTemplate.from_model(wrap(network(0))) == plain
    assert PolarityTemplate.from_state_dict(wrap(network(0)).state_dict(), plain) == plain
    model = wrap(network(1))
    expected = plain.match_(network(1))
    assert plain.violations(model)
    plain.match_(model)
    assert plain.violations(model) == {}
    for got, want in zip(model.parameters(), expected.parameters(), strict=True):
        assert torch.equal(got, want)


def test_a_layer_that_is_called_module() -> None:
    model = nn.ModuleDict({"module": nn.Linear(2, 3), "head": nn.Linear(3, 1)})
    template = PolarityTemplate.from_model(model)
    assert list(template) == ["module.weight", "head.weight"]
    part = PolarityTemplate({"module.weight": template["module.weight"]})
    assert part.violations(model, strict=False) == {}
    assert list(PolarityTemplate.from_model(model, include=["module.weight"])) == list(template)


# --- tied parameters ----------------------------------------------------------------------------


def tied() -> nn.Module:
    torch.manual_seed(0)
    model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    model["b"].weight = model["a"].weight
    return model


@pytest.mark.parametrize("dtype", [torch.uint8, torch.complex64])
def test_what_is_left_free_may_have_no_sign(dtype: torch.dtype) -> None:
    """As the packed weights have beside which an adapter learns."""
    model = nn.Sequential(nn.Linear(5, 8), nn.Linear(8, 2))
    model[0].weight = nn.Parameter(torch.ones(8, 5, dtype=dtype), requires_grad=False)
    template = PolarityTemplate.from_model(model, include=["1.weight"])
    assert not template["0.weight"].any()
    model[1].weight.data.neg_()
    assert template.violations(model) == {"1.weight": 16}
    template.match_(model)
    assert template.violations(model) == {} and model[0].weight.eq(1).all()
    with pytest.raises(ValueError, match=r"'0\.weight' has dtype torch\."):
        PolarityTemplate.random(model).match_(model)
    model[0].weight = nn.Parameter(torch.ones(5, 8, dtype=dtype), requires_grad=False)
    with pytest.raises(ValueError, match=r"'0\.weight' has shape \(5, 8\) in the model"):
        template.match_(model)


def test_a_tied_parameter_has_one_entry_under_any_name() -> None:
    model = tied()
    template = PolarityTemplate.from_model(model)
    assert list(template) == ["a.weight"]
    signs = template["a.weight"]
    for names in (["b.weight"], ["a.weight", "b.weight"]):
        other = PolarityTemplate(dict.fromkeys(names, -signs))
        assert len(other.pair(model)) == 1
        assert other.violations(model) == {names[0]: 9}
        other.match_(model)
        assert other.violations(model) == {}
        other.match_(model, rule="zero")
        template.match_(model)
        with torch.no_grad():
            model["a"].weight.copy_(signs)
    assert list(PolarityTemplate.from_model(model, include=["b.weight"])) == ["b.weight"]
    both = PolarityTemplate.from_model(model, include=["b.weight", "a.weight"])
    assert list(both) == ["b.weight"]


def test_tied_entries_must_agree() -> None:
    model = tied()
    signs = PolarityTemplate.from_model(model)["a.weight"]
    template = PolarityTemplate({"a.weight": signs, "b.weight": -signs})
    with pytest.raises(
        ValueError, match=r"'b\.weight' is tied to 'a\.weight', but their entries differ"
    ):
        template.match_(model)


# --- bad input ----------------------------------------------------------------------------------


def test_misfits_are_listed_together() -> None:
    good = PolarityTemplate.from_model(network(0))
    template = PolarityTemplate(
        {
            "0.weight": good["0.weight"],
            "3.weight": good["3.weight"].t(),
            "5.weight": torch.ones(2, 2),
            "6.weight": torch.ones(2, 2),
        }
    )
    model = network(1)
    before = snapshot(model)
    methods: list[Callable[[nn.Module], Any]] = [
        template.match_,
        template.violations,
        template.pair,
    ]
    for method in methods:
        with pytest.raises(ValueError, match="the template does not fit the model:") as caught:
            method(model)
        assert str(caught.value).splitlines()[1:] == [
            "  '3.weight' has shape (8, 16) in the model, (16, 8) in the template",
            "  '5.weight' is not a parameter of the model",
            "  '6.weight' is not a parameter of the model",
            "  '4.weight' has no entry: give it zeros if it is free, or strict=False",
        ]
        assert unchanged(model, before)


def test_missing_entries_are_allowed_on_request_and_in_an_empty_template() -> None:
    good, model = PolarityTemplate.from_model(network(0)), network(1)
    part = PolarityTemplate({"3.weight": good["3.weight"]})
    with pytest.raises(ValueError, match=r"'0\.weight' has no entry"):
        part.match_(model)
    before = snapshot(model)
    part.match_(model, strict=False)
    assert part.violations(model, strict=False) == {}
    assert torch.equal(model[0].weight, before["0.weight"])
    zeros = {name: torch.zeros_like(signs) for name, signs in good.items()}
    assert PolarityTemplate({**zeros, **part}).violations(model) == {}
    assert PolarityTemplate({}).violations(model) == {}
    assert PolarityTemplate({}).pair(model) == []


def test_donor_faults_are_listed_together() -> None:
    donor = network()
    with torch.no_grad():
        donor[0].weight[0, 0, 0] = torch.tensor([math.nan, math.inf, 1.0])
        donor[3].weight.zero_()
    donor[4] = nn.Linear(8, 2, device="meta")
    with pytest.raises(ValueError, match="no polarity can be read from the donor:") as caught:
        PolarityTemplate.from_model(donor)
    assert str(caught.value).splitlines()[1:] == [
        "  '0.weight' holds 2 NaN or infinite of 36 values",
        "  '3.weight' is all zero (128 values), has no polarity: leave it out",
        "  '4.weight' is on the meta device and has no values: load or initialise it",
    ]
    with pytest.raises(ValueError, match=r"'0\.weight' holds 2 NaN"):
        PolarityTemplate.from_state_dict(donor.state_dict(), ["0.weight"])


class Holder(nn.Module):
    """A model with one parameter ``w`` of any kind."""

    def __init__(self, tensor: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(tensor, requires_grad=False)


STRANGE: list[tuple[Tensor, str]] = [
    (torch.ones(2, 3, dtype=torch.int32), "has dtype torch.int32, not one of float16, bfloat16"),
    (torch.ones(2, 3, dtype=torch.bool), "has dtype torch.bool"),
    (torch.ones(2, 3, dtype=torch.complex64), "has dtype torch.complex64"),
    (torch.ones(2, 3).to(torch.float8_e4m3fn), "has dtype torch.float8_e4m3fn"),
    (torch.ones(2, 3).to_sparse(), "is sparse (torch.sparse_coo): make it dense"),
    (torch.ones(2, 3, device="meta"), "is on the meta device and has no values"),
]


@pytest.mark.parametrize(("tensor", "message"), STRANGE, ids=lambda v: str(v)[:20])
def test_parameters_without_signs(tensor: Tensor, message: str) -> None:
    model = Holder(tensor)
    template = PolarityTemplate({"w": torch.ones(2, 3)})
    with pytest.raises(ValueError) as caught:
        PolarityTemplate.from_model(model, include=["w"])
    assert f"'w' {message}" in str(caught.value)
    for method in (template.match_, template.violations):
        with pytest.raises(ValueError) as caught:
            method(model)
        assert f"'w' {message}" in str(caught.value)


def quantised() -> Tensor:
    return torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)


@pytest.mark.filterwarnings("ignore")
def test_quantised_tensors() -> None:
    tensor = quantised()
    for make in (
        lambda: PolarityTemplate({"w": tensor}),
        lambda: PolarityTemplate.from_state_dict({"w": tensor}, ["w"]),
    ):
        with pytest.raises(ValueError, match=r"'w' is quantised \(torch\.qint8\): dequantise it"):
            make()


def test_lazy_layers() -> None:
    model = nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 2))
    message = r"'0\.weight' is not initialised yet: run one batch"
    with pytest.raises(ValueError, match=message):
        PolarityTemplate.from_model(model)
    with pytest.raises(ValueError, match=message):
        PolarityTemplate.random(model)
    with pytest.raises(ValueError, match=message):
        PolarityTemplate({"0.weight": torch.ones(3, 2), "1.weight": torch.ones(2, 3)}).match_(model)
    chosen = PolarityTemplate.from_model(model, include=["1.weight"])  # no word of the shapeless
    assert list(chosen) == ["1.weight"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (torch.tensor([1.0, math.nan]), "holds 1 other values of 2"),
        (torch.tensor([1.0, -math.inf, 0.5]), "holds 2 other values of 3"),
        (torch.tensor([1, 2, -1, 0]), "holds 1 other values of 4"),
        (torch.tensor([1, 255], dtype=torch.uint8), "holds 1 other values of 2"),
        (torch.tensor([True, False]), "has dtype torch.bool"),
        (torch.tensor([1 + 0j]), "has dtype torch.complex64"),
        (torch.eye(2).to_sparse(), "is sparse"),
        (torch.ones(2, device="meta"), "is on the meta device"),
    ],
)
def test_entries_outside_minus_one_zero_one(entry: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match="must be -1, 0 or \\+1:") as caught:
        PolarityTemplate({"fine": torch.ones(2), "w": entry})
    assert str(caught.value).splitlines()[1].startswith(f"  'w' {message}")


def test_names_must_be_strings() -> None:
    with pytest.raises(TypeError, match="names of a template must be strings, got 3"):
        PolarityTemplate({3: torch.ones(2)})  # type: ignore[dict-item]


def test_entries_are_handed_out_as_copies() -> None:
    template = PolarityTemplate.from_model(network())
    before = template.digest()
    for signs in (template["0.weight"], *template.values(), *dict(template).values()):
        signs.neg_()
    assert template.digest() == before


def test_a_default_device_does_not_choose_where_a_template_lies() -> None:
    model = network()
    made = PolarityTemplate.from_model(model)
    with torch.device("meta"):
        draw = torch.Generator("cpu")
        for template in (
            PolarityTemplate.from_model(model, include=["0.weight"]),
            PolarityTemplate.random(model, generator=draw),
            PolarityTemplate({name: np.asarray(signs) for name, signs in made.items()}),
        ):
            assert all(signs.is_cpu for signs in template.values())
        assert PolarityTemplate.from_model(model).digest() == made.digest()
        made.match_(model)
        assert made.violations(model) == {}


@pytest.mark.parametrize("make", [PolarityTemplate.from_model, PolarityTemplate.random])
def test_wrong_types_are_named(make: Callable[..., PolarityTemplate]) -> None:
    model = network()
    with pytest.raises(TypeError, match=r"must be a torch.nn.Module, got OrderedDict: .*from_"):
        make(model.state_dict())
    with pytest.raises(TypeError, match=r"include must be names or a function, got 3"):
        make(model, include=3)
    with pytest.raises(TypeError, match=r"include must be names or a function; among the names is"):
        make(model, include=list(model.parameters()))
    template = make(model)
    for method in (template.match_, template.violations, template.pair):
        with pytest.raises(TypeError, match=r"model must be a torch.nn.Module, got NoneType"):
            method(None)
    with pytest.raises(TypeError, match=r"generator must be a torch.Generator or None, got 3"):
        template.match_(model, "posRand", generator=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"generator must be a torch.Generator or None, got 3"):
        PolarityTemplate.random(model, generator=3)  # type: ignore[arg-type]


def test_empty_tensors_are_no_fault() -> None:
    with pytest.warns(UserWarning, match=r"zero-element"):
        model = nn.Sequential(nn.Linear(0, 3), nn.Linear(3, 2))
    template = PolarityTemplate.from_model(model)
    assert template["0.weight"].shape == (3, 0)
    template.match_(model)


@pytest.mark.parametrize("include", ["3.weight", ["3.weight", "9.weight", "nine"]])
def test_bad_include(include: Any) -> None:
    error, message = (
        (TypeError, "include must be names or a function, got one string, '3.weight'")
        if isinstance(include, str)
        else (ValueError, "include names '9.weight', 'nine', not found among .*'3.weight'")
    )
    for make in (PolarityTemplate.from_model, PolarityTemplate.random):
        with pytest.raises(error, match=message):
            make(network(), include)


def test_nothing_to_constrain() -> None:
    model = nn.Sequential(nn.Embedding(3, 2), nn.LayerNorm(2))
    for make in (PolarityTemplate.from_model, PolarityTemplate.random):
        with pytest.raises(ValueError, match=r"no weights found: .* include="):
            make(model)
    assert len(PolarityTemplate.from_model(model, include=[])) == 0
    for make in (PolarityTemplate.from_model, PolarityTemplate.random):
        with pytest.raises(ValueError, match="include chooses none of the parameters"):
            make(network(), lambda name, _: "wieght" in name)
    with pytest.raises(ValueError, match="include chooses none of the parameters"):
        PolarityTemplate.from_state_dict(network().state_dict(), lambda name, _: False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_templates_stay_on_the_cpu() -> None:
    template = PolarityTemplate.from_model(network(0).cuda())
    assert template == PolarityTemplate.from_model(network(0))
    model = network(1).cuda()
    assert template.violations(template.match_(model)) == {}
    generator = torch.Generator("cuda")
    assert PolarityTemplate.random(model, generator=generator)["0.weight"].device.type == "cpu"
