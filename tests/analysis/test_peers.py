"""The approaches of the page on other ways to hold signs, against their defining equations.

The page writes them out; what is tested is the code that it shows, taken from the cells with the
tag ``peer``.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import jupytext
import matplotlib as mpl
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import polarity
from polarity.analysis.estimate import Estimate
from polarity.analysis.peer_figures import STYLES, Score, scores_figure, siege_figure
from polarity.analysis.style import use_style
from polarity.publishing.environment import repository_root

ROOT = repository_root()
assert ROOT is not None
PAGE = ROOT / "book" / "peers.md"


@pytest.fixture(scope="module")
def peers() -> SimpleNamespace:
    """What the cells of the page define that write an approach down."""
    cells = [c for c in jupytext.read(PAGE).cells if "peer" in c.metadata.get("tags", [])]
    assert len(cells) >= 6
    names: dict[str, Any] = {
        "FreezeSGD": polarity.FreezeSGD,
        "NamedTuple": NamedTuple,
        "PolarityTemplate": polarity.PolarityTemplate,
        "nn": nn,
        "parametrize": parametrize,
        "reset_epsilon": 1e-3,
        "tier": "live",
        "torch": torch,
    }
    for cell in cells:
        exec(cell.source, names)
    return SimpleNamespace(**names)


class Layer(nn.Module):
    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.w1 = nn.Parameter(weights.clone())


class Trained(NamedTuple):
    weights: list[Tensor]
    model: Layer


START = torch.tensor([[0.5, -0.3, 0.02, -0.01, 0.2]])
SIGN = START.sign()
GRADIENT = torch.tensor([[0.4, 0.2, 1.0, -1.0, -0.7]])
RATE = 0.1


def run(
    peers: SimpleNamespace,
    key: tuple[str, str],
    gradients: list[Tensor],
    start: Tensor = START,
    rate: float = RATE,
) -> Trained:
    """The weights after each of the given gradients."""
    model = Layer(start)
    optimizers = peers.assemble(peers.APPROACHES[key], model, {"w1": start.sign()}, rate)
    weights = []
    for gradient in gradients:
        for optimizer in optimizers:
            optimizer.zero_grad()
        model.w1.backward(gradient)
        for optimizer in optimizers:
            optimizer.step()
        weights.append(model.w1.detach().clone())
    return Trained(weights, model)


def one_step(peers: SimpleNamespace, name: str) -> Tensor:
    return run(peers, ("SGD", name), [GRADIENT]).weights[0]


FREE = START - RATE * GRADIENT  # where plain gradient descent goes
CROSSED = FREE * SIGN < 0


def test_the_gradient_of_these_tests_pushes_some_weights_across() -> None:
    assert CROSSED.tolist() == [[False, False, True, True, False]]


@pytest.mark.parametrize(
    ("name", "wall"),
    [
        ("fluid", FREE),
        ("inferred", 1e-18 * SIGN),
        ("clamp", torch.zeros_like(FREE)),
        ("zero", torch.zeros_like(FREE)),
        ("posCon", 1e-3 * SIGN),
        ("flip", -FREE),
        ("absolute", -FREE),
    ],
)
def test_a_step_of_gradient_descent_and_what_becomes_of_those_that_cross(
    peers: SimpleNamespace, name: str, wall: Tensor
) -> None:
    torch.testing.assert_close(one_step(peers, name), torch.where(CROSSED, wall, FREE))


def test_inferred_signs_are_those_of_the_step_before(peers: SimpleNamespace) -> None:
    push, pull = 20 * SIGN, -SIGN
    weights = run(peers, ("SGD", "inferred"), [push, push, pull]).weights
    floor = 1e-18 * SIGN
    torch.testing.assert_close(weights[0], floor, rtol=1e-5, atol=0)
    torch.testing.assert_close(weights[1], floor, rtol=1e-5, atol=0)
    torch.testing.assert_close(weights[2], RATE * SIGN)


def test_inferred_signs_are_lost_where_the_floor_underflows(peers: SimpleNamespace) -> None:
    start = START.half()
    weights = run(peers, ("SGD", "inferred"), [20 * start.sign()] * 2, start).weights
    assert not weights[0].any()
    assert (weights[1] * SIGN < 0).all()


def test_the_parameter_of_the_absolute_value_gets_the_gradient_of_the_chain_rule(
    peers: SimpleNamespace,
) -> None:
    model = run(peers, ("SGD", "absolute"), [20 * SIGN]).model  # across: v has turned round
    v = model.parametrizations["w1"].original
    assert (v * SIGN < 0).all()
    v.grad = None
    model.w1.backward(GRADIENT)
    torch.testing.assert_close(v.grad, SIGN * v.sign() * GRADIENT)


def test_the_parameter_of_the_exponential_is_the_logarithm_of_the_size(
    peers: SimpleNamespace,
) -> None:
    model = run(peers, ("Adam", "exp"), []).model
    u = model.parametrizations["w1"].original
    torch.testing.assert_close(u.detach(), START.abs().log())
    model.w1.backward(GRADIENT)
    torch.testing.assert_close(u.grad, START * GRADIENT)
    (w,) = run(peers, ("Adam", "exp"), [GRADIENT]).weights
    # Adam's first step is the learning rate, against the gradient's sign.
    torch.testing.assert_close(w, START * torch.exp(-RATE * (START * GRADIENT).sign()))


def test_the_exponentiated_gradient(peers: SimpleNamespace) -> None:
    expected = START * torch.exp(-RATE * SIGN * GRADIENT)
    torch.testing.assert_close(one_step(peers, "eg"), expected)


def test_madam(peers: SimpleNamespace) -> None:
    """Two steps, by the equations, and a third that the bounds cut."""
    beta, square, w = 0.999, torch.zeros_like(START), START
    gradients = [GRADIENT, -3 * GRADIENT.flip(1), 1e6 * GRADIENT]
    top = 3 * START.square().mean().sqrt()
    got = run(peers, ("Adam", "madam"), gradients).weights
    for t, (gradient, weights) in enumerate(zip(gradients, got, strict=True), start=1):
        square = beta * square + (1 - beta) * gradient**2
        normed = gradient / (square / (1 - beta**t)).sqrt()
        w = w * torch.exp(-RATE * w.sign() * normed.clamp(-10, 10))
        w = w.clamp(-top, top)
        torch.testing.assert_close(weights, w)


def test_madam_cuts_the_normalised_gradient_at_ten(peers: SimpleNamespace) -> None:
    quiet, loud = 1e-6 * SIGN, SIGN
    weights = run(peers, ("Adam", "madam"), [quiet] * 300 + [loud]).weights
    torch.testing.assert_close(weights[-1], weights[-2] * float(np.exp(-10 * RATE)))


def test_madam_limits_the_size_of_each_network(peers: SimpleNamespace) -> None:
    start = torch.stack([START[0], 10 * START[0]])  # two networks
    (w, *_) = run(peers, ("Adam", "madam"), [-start.sign()] * 200, start).weights[::-1]
    tops = 3 * start.square().mean(1, keepdim=True).sqrt()
    torch.testing.assert_close(w, (tops * start.sign()).expand_as(w))


def test_madam_leaves_weights_without_a_gradient(peers: SimpleNamespace) -> None:
    (w,) = run(peers, ("Adam", "madam"), [torch.zeros_like(START)]).weights
    assert torch.equal(w, START)


@pytest.mark.parametrize("driver", ["SGD", "Adam"])
def test_clamping_is_the_rule_zero(peers: SimpleNamespace, driver: str) -> None:
    gradients = list(torch.randn(50, 1, 5, generator=torch.Generator().manual_seed(0)))
    ours, theirs = (run(peers, (driver, name), gradients).weights for name in ("zero", "clamp"))
    assert torch.equal(torch.stack(ours), torch.stack(theirs))


def test_the_absolute_value_is_the_rule_flip_under_plain_gradient_descent(
    peers: SimpleNamespace,
) -> None:
    gradients = list(torch.randn(50, 1, 5, generator=torch.Generator().manual_seed(0)))
    ours, theirs = (run(peers, ("SGD", n), gradients).weights for n in ("flip", "absolute"))
    assert torch.equal(torch.stack(ours), torch.stack(theirs))


def test_all_but_fluid_hold_every_sign_in_single_precision(peers: SimpleNamespace) -> None:
    gradients = list(torch.randn(100, 1, 5, generator=torch.Generator().manual_seed(1)))
    for key in peers.APPROACHES:
        crossed = [bool((w * SIGN < 0).any()) for w in run(peers, key, gradients).weights]
        assert any(crossed) == (key[1] == "fluid"), key


def test_every_approach_has_a_look_of_its_own_among_those_of_one_driver(
    peers: SimpleNamespace,
) -> None:
    for driver in peers.DRIVERS:
        styles = [STYLES[name] for d, name in peers.APPROACHES if d == driver]
        assert len({s.marker for s in styles}) == len(styles)
        assert len({s.label for s in styles}) == len(styles)


@pytest.fixture
def style() -> Iterator[None]:
    with mpl.rc_context():
        use_style()
        yield


def estimate(value: float) -> Estimate:
    return Estimate(value, value - 1, value + 2, n=3, method="made up")


def made_up_scores(names: list[str]) -> list[Score]:
    return [
        Score(name, polarity, estimate(5 + i + 0.5 * (polarity == "random")))
        for i, name in enumerate(names)
        for polarity in ("random", "sufficient")
    ]


@pytest.mark.usefixtures("style")
def test_scores_stand_in_rows_with_their_intervals_and_trials() -> None:
    figure = scores_figure(
        {"one": made_up_scores(["fluid", "zero"]), "two": made_up_scores(["madam"])}, trials=7
    )
    figure.draw_without_rendering()
    top, bottom = figure.axes
    assert top.get_title(loc="left") == "A   one, 7 trials"
    assert bottom.get_title(loc="left") == "B   two, 7 trials"
    assert [t.get_text() for t in top.get_yticklabels()] == ["fluid", "Freeze-SGD, zero"]
    marks, bars = top.lines[::2], top.lines[1::2]
    assert [line.get_xdata()[0] for line in marks] == [5.5, 5, 6.5, 6]
    assert [list(line.get_xdata()) for line in bars] == [[4.5, 7.5], [4, 7], [5.5, 8.5], [5, 8]]
    assert [text.get_text() for text in figure.legends[0].texts] == [
        "random signs",
        "sufficient signs",
    ]
    assert len({line.get_marker() for line in marks}) == 2  # told apart without colour


@pytest.mark.usefixtures("style")
def test_a_siege_draws_zero_at_the_foot_of_its_axis() -> None:
    figure = siege_figure({"one": {"clamp": [0.25, 0.0, 1.0], "eg": [0.25, 0.1, 0.2]}}, turn=1)
    figure.draw_without_rendering()
    (ax,) = figure.axes
    clamp, factor, turn = ax.lines
    assert list(clamp.get_ydata()) == [0.25, 1e-20, 1.0]
    assert list(factor.get_ydata()) == [0.25, 0.1, 0.2]
    assert list(turn.get_xdata()) == [1, 1]
    assert ax.get_yticklabels()[0].get_text() == r"$\leq 10^{-20}$"
