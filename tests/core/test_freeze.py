"""Freeze-SGD: Algorithm 1 on any optimizer."""

from __future__ import annotations

import copy
import gc
import io
import math
import pickle
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from algorithm_1 import freeze_sgd_literally
from torch import Tensor, nn
from torch.func import functional_call

from polarity import RESET_RULES, FreezeSGD, PolarityTemplate

Optimizer = torch.optim.Optimizer
MakeOptimizer = Callable[[list[nn.Parameter]], Optimizer]

OPTIMIZERS: dict[str, MakeOptimizer] = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1),
    "SGD momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01),
    "SGD nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "SGD fused": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, fused=True),
    "SGD maximize": lambda p: torch.optim.SGD(p, lr=0.03, maximize=True),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.05),
    "Adam amsgrad": lambda p: torch.optim.Adam(p, lr=0.05, amsgrad=True),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.05, foreach=False),
    "AdamW fused": lambda p: torch.optim.AdamW(p, lr=0.05, fused=True),
    "AdamW foreach": lambda p: torch.optim.AdamW(p, lr=0.05, foreach=True),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.02, centered=True, momentum=0.5),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
    "Adagrad fused": lambda p: torch.optim.Adagrad(p, lr=0.1, fused=True),
    "NAdam": lambda p: torch.optim.NAdam(p, lr=0.05),
    "RAdam": lambda p: torch.optim.RAdam(p, lr=0.2),
    "Adamax": lambda p: torch.optim.Adamax(p, lr=0.05),
    "Adadelta": lambda p: torch.optim.Adadelta(p, lr=20.0),
    "ASGD": lambda p: torch.optim.ASGD(p, lr=0.1),
    "Rprop": lambda p: torch.optim.Rprop(p, lr=0.05),
    "Adafactor": lambda p: torch.optim.Adafactor(p, lr=0.1),
}
if hasattr(torch.optim, "Muon"):
    OPTIMIZERS["Muon"] = lambda p: torch.optim.Muon(p, lr=0.05)

every_rule = pytest.mark.parametrize("rule", RESET_RULES)
every_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)

torch.manual_seed(0)
X, Y = torch.randn(32, 5), torch.randn(32, 2)


def network(seed: int = 1, dtype: torch.dtype = torch.float64, bias: bool = False) -> nn.Sequential:
    """A small network; without biases, because Muon takes matrices alone."""
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Linear(5, 7, bias), nn.Tanh(), nn.Linear(7, 2, bias))
    return layers.to(dtype)


def donor(bias: bool = False) -> PolarityTemplate:
    return PolarityTemplate.from_model(network(2, bias=bias))


def loss(model: nn.Module) -> Tensor:
    dtype = next(model.parameters()).dtype
    return nn.functional.mse_loss(model(X.to(dtype)), Y.to(dtype))


def stepper(model: nn.Module, optimizer: Optimizer) -> Callable[[], None]:
    def step() -> None:
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()

    return step


def train(model: nn.Module, optimizer: Optimizer, steps: int) -> None:
    step = stepper(model, optimizer)
    for _ in range(steps):
        step()


def frozen(
    rule: str = "posRand",
    make: MakeOptimizer = OPTIMIZERS["Adam"],
    dtype: torch.dtype = torch.float64,
    **options: Any,
) -> tuple[nn.Sequential, Optimizer, PolarityTemplate, FreezeSGD]:
    template = donor()
    model = network(dtype=dtype)
    template.match_(model)
    optimizer = make(list(model.parameters()))
    return model, optimizer, template, FreezeSGD(model, optimizer, template, rule, **options)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


# --- what it does -------------------------------------------------------------------------------


@every_optimizer
def test_the_polarity_holds_after_every_step(make: MakeOptimizer) -> None:
    template = donor()
    free = template.match_(network())
    train(free, make(list(free.parameters())), 40)
    assert template.violations(free), "the task must push weights out of their polarity"

    model, optimizer, template, freeze = frozen(make=make)
    step = stepper(model, optimizer)
    for _ in range(40):
        step()
        assert template.violations(model) == {}
    assert sum(freeze.resets.values()) > 0


@every_rule
@every_optimizer
def test_equals_algorithm_1_as_printed(rule: str, make: MakeOptimizer) -> None:
    model, optimizer, template, freeze = frozen(rule, make, seed=4)
    twin = template.match_(network())
    resets = freeze_sgd_literally(
        dict(twin.named_parameters()),
        template,
        stepper(twin, make(list(twin.parameters()))),
        steps=25,
        rule=rule,
        epsilon=1e-3,
        generator=torch.Generator().manual_seed(4),
    )
    train(model, optimizer, 25)
    assert sum(freeze.resets.values()) == resets > 0
    for weight, expected in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(weight, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["empty", "zeros"])
@every_optimizer
def test_an_empty_template_is_the_bare_optimizer(make: MakeOptimizer, kind: str) -> None:
    zeros = {name: torch.zeros_like(signs) for name, signs in donor().items()}
    template = PolarityTemplate(zeros if kind == "zeros" else {})
    bare, model = network(dtype=torch.float32), network(dtype=torch.float32)
    optimizer = make(list(model.parameters()))
    freeze = FreezeSGD(model, optimizer, template)
    torch.manual_seed(0)
    train(bare, make(list(bare.parameters())), 20)
    state = torch.get_rng_state()
    torch.manual_seed(0)
    train(model, optimizer, 20)
    assert same(bare, model)
    assert torch.equal(torch.get_rng_state(), state)
    assert freeze.resets == {}


def test_an_unviolated_template_is_the_bare_optimizer() -> None:
    bare, model = network(dtype=torch.float32), network(dtype=torch.float32)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-6)
    freeze = FreezeSGD(model, optimizer, PolarityTemplate.from_model(model))
    train(model, optimizer, 20)
    train(bare, torch.optim.Adam(bare.parameters(), lr=1e-6), 20)
    assert same(bare, model) and not same(model, network(dtype=torch.float32))
    assert sum(freeze.resets.values()) == 0


def parametrised(
    template: PolarityTemplate, of: Callable[[Tensor, Tensor], Tensor]
) -> tuple[dict[str, Tensor], Callable[[], Tensor]]:
    """Variables v of a network whose weights are ``of(sign, v)``, and its loss."""
    model = template.match_(network())
    values = {n: p.detach().clone().requires_grad_() for n, p in model.named_parameters()}

    def evaluate() -> Tensor:
        weights = {name: of(template[name], v) for name, v in values.items()}
        output = functional_call(model, weights, (X.double(),))
        return nn.functional.mse_loss(output, Y.double())

    return values, evaluate


def test_flip_under_plain_sgd_trains_the_absolute_value() -> None:
    """Weights s |v| with v free: a sign change of v is what a flip does to the weight."""
    model, optimizer, template, freeze = frozen("flip", lambda p: torch.optim.SGD(p, lr=0.3))
    values, evaluate = parametrised(template, lambda sign, v: sign * v.abs())
    free = torch.optim.SGD(values.values(), lr=0.3)
    for _ in range(200):
        free.zero_grad()
        evaluate().backward()
        free.step()
    train(model, optimizer, 200)
    assert sum(freeze.resets.values()) > 10
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight, template[name] * values[name].abs(), rtol=1e-9, atol=0)


def test_zero_under_plain_sgd_is_projected_sgd() -> None:
    model, optimizer, template, freeze = frozen("zero", lambda p: torch.optim.SGD(p, lr=0.3))
    values, evaluate = parametrised(template, lambda sign, v: v)
    for _ in range(200):
        gradients = torch.autograd.grad(evaluate(), list(values.values()))
        for (name, v), gradient in zip(values.items(), gradients, strict=True):
            sign = template[name]
            nearest = torch.where(sign > 0, (v - 0.3 * gradient).clamp(min=0), v - 0.3 * gradient)
            v.data = torch.where(sign < 0, nearest.clamp(max=0), nearest)
    train(model, optimizer, 200)
    assert sum(freeze.resets.values()) > 10
    assert any((weight == 0).any() for weight in model.parameters())
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight, values[name], rtol=1e-9, atol=1e-14)


def test_biases_and_unconstrained_weights_are_free() -> None:
    part = {name: signs.clone() for name, signs in donor().items()}
    part["0.weight"][:, 0] = 0
    template = PolarityTemplate(part)
    model = template.match_(network(bias=True))
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    FreezeSGD(model, optimizer, template)
    signs_before = model[0].weight[:, 0].sign()
    train(model, optimizer, 100)
    assert template.violations(model) == {}
    assert (model[0].weight[:, 0].sign() != signs_before).any()
    assert (model[0].bias.sign() != before["0.bias"].sign()).any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@every_rule
def test_low_precision(rule: str, dtype: torch.dtype) -> None:
    template = donor()
    model = template.match_(network(dtype=dtype))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    freeze = FreezeSGD(model, optimizer, template, rule)
    step = stepper(model, optimizer)
    for _ in range(20):
        step()
        assert template.violations(model) == {}
    assert sum(freeze.resets.values()) > 0


def test_nan_gradients_stay_visible() -> None:
    model, optimizer, template, _ = frozen(make=OPTIMIZERS["SGD"])
    loss(model).backward()
    model[0].weight.grad[0, :2] = math.nan
    optimizer.step()
    assert model[0].weight.isnan().sum() == 2
    assert template.violations(model) == {"0.weight": 2}


def test_gradients_that_are_none() -> None:
    model, optimizer, template, _ = frozen()
    model[0].weight.grad = None
    before = model[0].weight.clone()
    model[2](torch.ones(1, 7, dtype=torch.float64)).sum().backward()
    optimizer.step()
    assert torch.equal(model[0].weight, before)
    assert template.violations(model) == {}


def test_a_closure_is_evaluated_before_the_reset() -> None:
    model, optimizer, _, freeze = frozen("flip", OPTIMIZERS["SGD"])
    twin_model, twin, _, _ = frozen("flip", OPTIMIZERS["SGD"])

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(model)
        value.backward()
        return value

    values = [float(optimizer.step(closure).detach()) for _ in range(20)]
    train(twin_model, twin, 20)
    assert same(model, twin_model)
    assert len(set(values)) == 20 and sum(freeze.resets.values()) > 0


def test_channels_last_convolutions() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    model.to(memory_format=torch.channels_last)
    assert not model[0].weight.is_contiguous()
    template = PolarityTemplate.random(model, generator=torch.Generator().manual_seed(0))
    template.match_(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    freeze = FreezeSGD(model, optimizer, template)
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.randn(2, 3, 4, 4)).square().sum().backward()
        optimizer.step()
        assert template.violations(model) == {}
    assert freeze.resets["0.weight"] > 0


def test_tied_weights_are_reset_once() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5), nn.Linear(5, 2)).double()
    model[2].weight = model[0].weight
    template = PolarityTemplate.random(model, generator=torch.Generator().manual_seed(1))
    template.match_(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    freeze = FreezeSGD(model, optimizer, template)
    assert set(freeze.resets) == {"0.weight", "3.weight"}
    train(model, optimizer, 30)
    assert template.violations(model) == {}
    assert freeze.resets["0.weight"] > 0


# --- living with torch --------------------------------------------------------------------------


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_gradient_scaling_skips(fused: bool) -> None:
    model, optimizer, template, freeze = frozen(
        make=lambda p: torch.optim.Adam(p, lr=0.3, fused=fused)
    )
    model.float()
    freeze.remove()
    freeze = FreezeSGD(model, optimizer, template)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for bad in (False, True, False, False):
        before, counts = copy.deepcopy(model.state_dict()), freeze.resets
        optimizer.zero_grad()
        scaler.scale(loss(model) * (math.inf if bad else 1.0)).backward()
        scaler.step(optimizer)
        scaler.update()
        skipped = all(torch.equal(p, before[name]) for name, p in model.state_dict().items())
        assert skipped == bad
        assert not bad or freeze.resets == counts
        assert template.violations(model) == {}
    assert sum(freeze.resets.values()) > 0


def test_schedulers_and_add_param_group_work_as_before() -> None:
    model, optimizer, template, _ = frozen(make=OPTIMIZERS["SGD"])
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    extra = nn.Parameter(torch.ones(3))
    optimizer.add_param_group({"params": [extra]})
    for _ in range(3):
        stepper(model, optimizer)()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 / 8)
    assert template.violations(model) == {}


def test_the_optimizer_s_state_dict_is_the_bare_one() -> None:
    model, optimizer, _, freeze = frozen()
    train(model, optimizer, 3)
    keys = {key: set(value) for key, value in optimizer.state_dict()["state"].items()}
    freeze.remove()
    bare = torch.optim.Adam(model.parameters(), lr=0.05)
    train(model, bare, 3)
    assert keys == {key: set(value) for key, value in bare.state_dict()["state"].items()}


def test_the_hook_survives_loading_an_optimizer_state() -> None:
    model, optimizer, template, _ = frozen()
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(model, optimizer, 20)
    assert template.violations(model) == {}


def test_the_hook_needs_no_name() -> None:
    model, optimizer, template, freeze = frozen()
    del freeze
    gc.collect()
    train(model, optimizer, 20)
    assert template.violations(model) == {}


def test_nothing_keeps_it_alive_with_its_optimizer_gone() -> None:
    model, optimizer, _, freeze = frozen()
    alive = weakref.ref(freeze)
    del model, optimizer, freeze
    gc.collect()
    assert alive() is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")  # torch's own, on compile
@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile], ids=["DP", "compile"])
def test_a_wrapped_model(wrap: Callable[[nn.Module], nn.Module]) -> None:
    template, inner = donor(), network()
    model = wrap(inner)
    inner.cpu()  # where there is one GPU, DataParallel takes it there
    template.match_(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    FreezeSGD(model, optimizer, template)
    train(inner, optimizer, 10)
    assert template.violations(model) == template.violations(inner) == {}


def test_two_rules_on_two_layers() -> None:
    template, model = donor(), network()
    template.match_(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for name, rule in (("0.weight", "zero"), ("2.weight", "posCon")):
        part = PolarityTemplate({name: template[name]})
        FreezeSGD(model, optimizer, part, rule, strict=False)
    train(model, optimizer, 20)
    assert template.violations(model) == {}
    assert (model[0].weight == 0).any() and not (model[2].weight == 0).any()


# --- the end of it ------------------------------------------------------------------------------


def test_remove_and_the_context_manager() -> None:
    model, optimizer, template, freeze = frozen(make=OPTIMIZERS["SGD"])
    assert freeze.active and "active" in repr(freeze)
    with freeze as entered:
        assert entered is freeze
        train(model, optimizer, 20)
        counts = freeze.resets
    assert not freeze.active and "removed" in repr(freeze)
    freeze.remove()
    assert not optimizer._optimizer_step_pre_hooks and not optimizer._optimizer_step_post_hooks
    train(model, optimizer, 20)
    assert template.violations(model)
    assert freeze.resets == counts
    with pytest.raises(RuntimeError, match="was removed: build a new one"), freeze:
        pass


def test_the_context_manager_lets_go_and_passes_errors_on() -> None:
    _, _, _, freeze = frozen()
    with pytest.raises(ZeroDivisionError), freeze:
        _ = 1 / 0
    assert not freeze.active


def test_repr() -> None:
    _, _, _, freeze = frozen()
    assert repr(freeze) == (
        "FreezeSGD(Adam, reset='posRand', epsilon=0.001, 2 parameters, 49 weights, active)"
    )


# --- copies and checkpoints ---------------------------------------------------------------------


def test_a_copy_of_the_optimizer_alone_trains_freely() -> None:
    """The trap that the documentation tells of, and how violations() uncovers it."""
    model, optimizer, template, _ = frozen(make=OPTIMIZERS["SGD"])
    copied_model, copied = copy.deepcopy((model, optimizer))
    train(copied_model, copied, 20)
    train(model, optimizer, 20)
    assert template.violations(model) == {}
    assert template.violations(copied_model)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_with_its_freeze_stays_frozen(duplicate: Callable[[Any], Any]) -> None:
    model, optimizer, template, freeze = frozen(make=OPTIMIZERS["SGD"])
    train(model, optimizer, 10)
    model_2, optimizer_2, freeze_2 = duplicate((model, optimizer, freeze))
    assert freeze_2.model is model_2 and freeze_2.optimizer is optimizer_2 is not optimizer
    # Neither the hooks nor the identities of the optimizer's parameters, which mean nothing there.
    assert freeze.__getstate__()["_handles"] is True and freeze.__getstate__()["_held"] == set()
    assert freeze_2.resets == freeze.resets
    train(model, optimizer, 10)
    assert not same(model, model_2)
    train(model_2, optimizer_2, 10)
    assert same(model, model_2)
    assert freeze_2.resets == freeze.resets
    freeze.remove()
    train(model_2, optimizer_2, 10)
    assert template.violations(model_2) == {}
    assert not duplicate((model, optimizer, freeze))[2].active


def checkpoint(model: nn.Module, optimizer: Optimizer, freeze: FreezeSGD) -> io.BytesIO:
    file = io.BytesIO()
    torch.save([model.state_dict(), optimizer.state_dict(), freeze.state_dict()], file)
    file.seek(0)
    return file


@every_rule
@every_optimizer
def test_resume_bit_for_bit(rule: str, make: MakeOptimizer) -> None:
    # In float32: the bare NAdam does not resume exactly in float64, where torch recasts its state.
    model, optimizer, template, freeze = frozen(rule, make, torch.float32)
    train(model, optimizer, 10)
    states = torch.load(checkpoint(model, optimizer, freeze), weights_only=True)
    train(model, optimizer, 10)

    resumed = network(seed=9, dtype=torch.float32)
    resumed.load_state_dict(states[0])
    resumed_optimizer = make(list(resumed.parameters()))
    resumed_freeze = FreezeSGD(resumed, resumed_optimizer, template, rule)
    resumed_optimizer.load_state_dict(states[1])
    resumed_freeze.load_state_dict(states[2])
    train(resumed, resumed_optimizer, 10)
    assert same(model, resumed)
    assert resumed_freeze.resets == freeze.resets


def test_the_state_of_one_device_resumes_on_another_of_its_kind() -> None:
    """One process of several saves the checkpoint; the others load it on their own GPU."""
    model, optimizer, _, freeze = frozen()
    train(model, optimizer, 10)
    state = freeze.state_dict()
    drawn = state["generators"]["cpu"]
    train(model, optimizer, 10)
    assert not torch.equal(freeze.state_dict()["generators"]["cpu"], drawn)
    freeze.load_state_dict(state | {"generators": {"cpu:7": drawn}})
    assert torch.equal(freeze.state_dict()["generators"]["cpu"], drawn)
    with pytest.raises(
        ValueError, match=r"of \['cpu:1', 'cpu:2'\] in the state, of \['cpu'\] here"
    ):
        freeze.load_state_dict(state | {"generators": {"cpu:1": drawn, "cpu:2": drawn}})


def test_several_generators_are_matched_by_the_number_of_their_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, there = ("cuda:10", "cpu", "cuda:2"), ("cuda:11", "cuda:3", "cpu")
    *_, freeze = frozen()
    made = {device: torch.Generator().manual_seed(len(device)) for device in here}
    monkeypatch.setattr(freeze, "_generators", made)
    states = {
        device: torch.Generator().manual_seed(100 + number).get_state()
        for number, device in enumerate(there)
    }
    freeze.load_state_dict(freeze.state_dict() | {"generators": states})
    for mine, its in {"cpu": "cpu", "cuda:2": "cuda:3", "cuda:10": "cuda:11"}.items():
        assert torch.equal(made[mine].get_state(), states[its])


def test_resuming_without_the_state_is_another_run() -> None:
    model, optimizer, template, freeze = frozen()
    train(model, optimizer, 10)
    states = torch.load(checkpoint(model, optimizer, freeze), weights_only=True)
    train(model, optimizer, 10)
    resumed = network(seed=9)
    resumed.load_state_dict(states[0])
    resumed_optimizer = OPTIMIZERS["Adam"](list(resumed.parameters()))
    FreezeSGD(resumed, resumed_optimizer, template)
    resumed_optimizer.load_state_dict(states[1])
    train(resumed, resumed_optimizer, 10)
    assert not same(model, resumed)


def test_foreign_states_are_refused_and_change_nothing() -> None:
    model, optimizer, template, freeze = frozen(make=OPTIMIZERS["SGD"])
    train(model, optimizer, 10)
    before = freeze.state_dict()
    freeze.load_state_dict(before)
    part = {name: s if name == "0.weight" else 0 * s for name, s in template.items()}
    elsewhere = OPTIMIZERS["SGD"](list(model.parameters()))
    other = FreezeSGD(model, elsewhere, PolarityTemplate(part), "flip", 0.5)
    with pytest.raises(ValueError, match="belongs to another FreezeSGD") as caught:
        freeze.load_state_dict(other.state_dict())
    lines = str(caught.value).splitlines()[1:]
    assert lines[0].startswith("  'template' is ")
    assert lines[1:] == [
        "  'reset' is 'flip' in the state, 'posRand' here",
        "  'epsilon' is 0.5 in the state, 0.001 here",
        "  'resets' are of ['0.weight'] in the state, of ['0.weight', '2.weight'] here",
    ]
    with pytest.raises(ValueError, match="are of \\['cuda:0'\\] in the state, of \\['cpu'\\] here"):
        freeze.load_state_dict(before | {"generators": {"cuda:0": torch.zeros(16)}})
    with pytest.raises(ValueError, match="no state of FreezeSGD, it lacks epsilon, generators"):
        freeze.load_state_dict(optimizer.state_dict())
    with pytest.raises(TypeError, match="state must be a mapping, got NoneType"):
        freeze.load_state_dict(None)  # type: ignore[arg-type]
    after = freeze.state_dict()
    assert torch.equal(before["generators"]["cpu"], after["generators"]["cpu"])
    assert before["resets"] == after["resets"]


def test_seeds() -> None:
    runs = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(runs))
        model, optimizer, _, _ = frozen(seed=seed)
        train(model, optimizer, 20)
        runs.append(model)
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])
    model, optimizer, template, freeze = frozen(seed=1)
    freeze.remove()
    FreezeSGD(model, optimizer, template)  # 0 by default
    train(model, optimizer, 20)
    assert same(runs[0], model)


def test_counts_stay_exact() -> None:
    _, _, _, freeze = frozen()
    state = freeze.state_dict()
    state["resets"] = dict.fromkeys(state["resets"], 2**24 + 1)  # single precision would round it
    freeze.load_state_dict(state)
    assert set(freeze.resets.values()) == {2**24 + 1}


# --- bad input ----------------------------------------------------------------------------------


def test_lbfgs() -> None:
    model = donor().match_(network())
    with pytest.raises(TypeError, match="must not be LBFGS: it evaluates the loss several times"):
        FreezeSGD(model, torch.optim.LBFGS(model.parameters()), donor())


@pytest.mark.parametrize("optimizer", [None, "Adam", torch.optim.Adam, nn.Linear(1, 1)])
def test_no_optimizer(optimizer: Any) -> None:
    with pytest.raises(TypeError, match=r"optimizer must be a torch\.optim\.Optimizer, got"):
        FreezeSGD(donor().match_(network()), optimizer, donor())


@pytest.mark.parametrize("registry", [OrderedDict, dict])
def test_a_wrapper_whose_step_runs_no_hooks(registry: Callable[[], Any]) -> None:
    class Lookahead(Optimizer):
        """It has registries for hooks, as its like have in order to look like an optimizer."""

        def __init__(self, inner: Optimizer) -> None:
            self.inner, self.param_groups, self.defaults = inner, inner.param_groups, {}
            self._optimizer_step_pre_hooks = registry()
            self._optimizer_step_post_hooks = registry()

        def step(self, closure: Any = None) -> None:
            self.inner.step()

    model = donor().match_(network())
    wrapped = Lookahead(torch.optim.Adam(model.parameters()))
    with pytest.raises(TypeError, match="this Lookahead wraps one and runs no hooks of its own"):
        FreezeSGD(model, wrapped, donor())


class SAM(Optimizer):
    """Its users call two methods, not ``step``; the second lets another optimizer step."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 10.0})
        self.base_optimizer = torch.optim.SGD(self.param_groups, lr=10.0)
        self.param_groups = self.base_optimizer.param_groups

    def step(self, closure: Any = None) -> None:
        self.base_optimizer.step()


class ScheduleFree(torch.optim.SGD):
    """It trains at one point and evaluates at another, which an average has made."""

    def train(self) -> None: ...

    def eval(self) -> None: ...


def test_another_optimizer_moves_the_weights() -> None:
    model = donor().match_(network())
    sam = SAM(model.parameters())
    with pytest.raises(TypeError, match=r"this SAM leaves that to .* pass its \.base_opt"):
        FreezeSGD(model, sam, donor())
    with FreezeSGD(model, sam.base_optimizer, donor()) as freeze:
        loss(model).backward()
        sam.base_optimizer.step()
    assert donor().violations(model) == {} and any(freeze.resets.values())


def test_a_second_copy_of_the_weights() -> None:
    model = donor().match_(network())
    with pytest.raises(TypeError, match=r"must not be a ScheduleFree: its eval\(\) puts weights"):
        FreezeSGD(model, ScheduleFree(model.parameters(), lr=0.1), donor())


def test_signs_are_held_once() -> None:
    """Two of them would crush what they disagree on, and each would find its own signs kept."""
    model, optimizer, template, freeze = frozen()
    with pytest.raises(ValueError, match="and once") as caught:
        FreezeSGD(model, optimizer, template, "zero")
    for name in template:
        assert f"{name!r} is held to its signs by another FreezeSGD of this opt" in str(
            caught.value
        )
    again, copied, _ = copy.deepcopy((model, optimizer, freeze))
    with pytest.raises(ValueError, match="by another FreezeSGD"):
        FreezeSGD(again, copied, template)
    freeze.remove()
    parts = [
        PolarityTemplate({n: s if n == mine else 0 * s for n, s in template.items()})
        for mine in template
    ]
    both = [FreezeSGD(model, optimizer, part) for part in parts]  # one a layer
    train(model, optimizer, 20)
    assert all(freeze.active for freeze in both) and template.violations(model) == {}


def test_differentiable_optimizer() -> None:
    model = donor().match_(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, differentiable=True)
    with pytest.raises(ValueError, match="must not be differentiable"):
        FreezeSGD(model, optimizer, donor())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"reset": "posrand"}, ValueError, "one of posCon, posRand, zero, flip; got 'posrand'"),
        ({"reset": None}, ValueError, "one of posCon, posRand, zero, flip; got None"),
        ({"epsilon": 0}, ValueError, "finite number > 0, got 0"),
        ({"epsilon": -1e-3}, ValueError, "finite number > 0, got -0.001"),
        ({"epsilon": math.nan}, ValueError, "finite number > 0, got nan"),
        ({"epsilon": math.inf}, ValueError, "finite number > 0, got inf"),
        ({"epsilon": "1e-3"}, TypeError, "must be a number, got '1e-3'"),
        ({"epsilon": True}, TypeError, "must be a number, got True"),
        ({"epsilon": 1e-8}, ValueError, "torch.float16, the dtype of '0.weight', got 1e-08"),
        ({"seed": 1.5}, TypeError, "seed must be a whole number, got 1.5"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"seed": True}, TypeError, "seed must be a whole number, got True"),
        ({"seed": 2**64}, ValueError, "seed must be at most 18446744073709551615, got 184467440"),
        ({"strict": "no"}, TypeError, "strict must be True or False, got 'no'"),
        ({"template": {}}, TypeError, "template must be a PolarityTemplate, got dict: "),
        ({"model": {}}, TypeError, "model must be a torch.nn.Module, got dict"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    template = donor()
    model = template.match_(network(dtype=torch.float16))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    given: dict[str, Any] = {"model": model, "optimizer": optimizer, "template": template}
    with pytest.raises(error, match=message):
        FreezeSGD(**(given | options))
    assert not optimizer._optimizer_step_post_hooks


@pytest.mark.parametrize("epsilon", [0.0, math.nan])
def test_epsilon_is_checked_even_where_nothing_is_constrained(epsilon: float) -> None:
    model = network()
    with pytest.raises(ValueError, match="finite number > 0"):
        FreezeSGD(
            model,
            OPTIMIZERS["SGD"](list(model.parameters())),
            PolarityTemplate({}),
            "zero",
            epsilon,
        )


def test_an_unmatched_network_is_not_changed_behind_the_user_s_back() -> None:
    template, model = donor(), network()
    before = copy.deepcopy(model.state_dict())
    count = template.violations(model)
    with pytest.raises(ValueError, match=r"call template\.match_\(model\), or load") as caught:
        FreezeSGD(model, OPTIMIZERS["SGD"](list(model.parameters())), template)
    for name in template:
        assert f"{name!r} has {count[name]} weights without their sign" in str(caught.value)
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())
    with torch.no_grad():
        template.match_(model)
        model[0].weight[0, 0] = math.nan
    with pytest.raises(ValueError, match=r"'0\.weight' has 1 weights without their sign"):
        FreezeSGD(model, OPTIMIZERS["SGD"](list(model.parameters())), template)


def test_a_template_that_does_not_fit() -> None:
    model = network()
    template = PolarityTemplate({"0.weight": torch.ones(5, 7), "1.weight": torch.ones(2)})
    with pytest.raises(ValueError, match="does not fit the model") as caught:
        FreezeSGD(model, OPTIMIZERS["SGD"](list(model.parameters())), template)
    assert len(str(caught.value).splitlines()) == 4


def test_parameters_that_the_optimizer_does_not_train() -> None:
    template, model = donor(), network()
    template.match_(model)
    model[0].weight.requires_grad_(False)
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1)
    with pytest.raises(ValueError, match="only where the optimizer trains") as caught:
        FreezeSGD(model, optimizer, template)
    assert str(caught.value).splitlines()[1:] == [
        "  '0.weight' has requires_grad=False, so that no optimizer trains it",
        "  '2.weight' is not held by the optimizer",
    ]
    zeros = {name: torch.zeros_like(signs) for name, signs in template.items()}
    FreezeSGD(model, optimizer, PolarityTemplate(zeros))


def cast(model: nn.Sequential, optimizer: Optimizer) -> None:
    model.half()


def move(model: nn.Sequential, optimizer: Optimizer) -> None:
    model.to("meta")


def replace(model: nn.Sequential, optimizer: Optimizer) -> None:
    model[0].weight = nn.Parameter(model[0].weight.detach().clone())


def replace_layer_parametrization(model: nn.Sequential, optimizer: Optimizer) -> None:
    torch.nn.utils.parametrizations.weight_norm(model[0])


def reshape(model: nn.Sequential, optimizer: Optimizer) -> None:
    model[0].weight.data = model[0].weight.data.flatten()


def drop(model: nn.Sequential, optimizer: Optimizer) -> None:
    optimizer.param_groups[0]["params"] = [model[2].weight]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cast, "was cast or moved: it is torch.float16 on cpu, and was torch.float64 on cpu"),
        (move, "was replaced in the model"),
        (replace, "was replaced in the model"),
        (replace_layer_parametrization, "was replaced in the model"),
        (reshape, "was reshaped from (7, 5) to (35,)"),
        (drop, "is no longer held by the optimizer"),
    ],
)
def test_a_model_that_changes_is_noticed_before_the_step(
    change: Callable[[nn.Sequential, Optimizer], None], message: str
) -> None:
    model, optimizer, _, _ = frozen(make=OPTIMIZERS["SGD"])
    loss(model).backward()
    before = model[2].weight.clone()
    change(model, optimizer)
    with pytest.raises(RuntimeError, match="changed after FreezeSGD was built") as caught:
        optimizer.step()
    assert f"'0.weight' {message}" in str(caught.value)
    if not model[2].weight.is_meta:
        assert torch.equal(model[2].weight, before.to(model[2].weight.dtype))


def test_a_weight_that_is_added_later() -> None:
    model, optimizer, template, freeze = frozen(make=OPTIMIZERS["SGD"])
    head = nn.Linear(2, 3).double()
    model.append(head)
    optimizer.add_param_group({"params": list(head.parameters())})
    with pytest.raises(
        RuntimeError, match=r"given other parameters: .*\n.*'3\.weight' has no entry"
    ):
        optimizer.step()
    freeze.remove()
    free = PolarityTemplate({**template, "3.weight": torch.zeros(3, 2)})
    FreezeSGD(model, optimizer, free)
    model(X.double()).sum().backward()
    optimizer.step()


def test_a_weight_that_is_added_later_may_be_free_on_request() -> None:
    model, optimizer, template, _ = frozen(make=OPTIMIZERS["SGD"], strict=False)
    model.append(nn.Linear(2, 3).double())
    optimizer.add_param_group({"params": list(model[3].parameters())})
    for _ in range(20):
        optimizer.zero_grad()
        model(X.double()).square().mean().backward()
        optimizer.step()
    assert template.violations(model, strict=False) == {}


# --- accelerators -------------------------------------------------------------------------------

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@needs_cuda
@every_rule
def test_cuda(rule: str) -> None:
    template = donor()
    model = template.match_(network(dtype=torch.float32).cuda())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05, fused=True, capturable=True)
    freeze = FreezeSGD(model, optimizer, template, rule)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(X.cuda()), Y.cuda()).backward()
        with torch.cuda.device(0):
            torch.cuda.set_sync_debug_mode("error")  # a step must not wait for the device
            optimizer.step()
            torch.cuda.set_sync_debug_mode("default")
        assert template.violations(model) == {}
    assert sum(freeze.resets.values()) > 0
    freeze.load_state_dict(freeze.state_dict())
