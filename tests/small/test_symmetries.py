"""Flips that change no function, and that there are no fewer of them than is said."""

from __future__ import annotations

import copy
from itertools import chain

import pytest
import torch
from torch import Tensor, nn

from polarity.core import weight_names
from polarity.small.networks import NETWORKS, DigitGRU, DigitViT, ResNet18
from polarity.small.symmetries import Part, flip_, score_matrices, symmetries

SMALL = {
    "resnet": lambda: ResNet18(3, 1),
    "vit": lambda: DigitViT(3, 4, 2, 1),
    "gru": lambda: DigitGRU(3, 5),
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def stirred(model: nn.Module) -> nn.Module:
    """Return the model with no parameter at 0 or 1, and running means of its own."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    model.train()(torch.rand(20, 8, 8))
    return model.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_single_flip_leaves_the_function_and_changes_weights(name: str) -> None:
    model, images = stirred(SMALL[name]()), torch.rand(6, 8, 8)
    expected = model(images)
    for what, groups in symmetries(model).items():
        for group in groups:
            flipped = flip_(copy.deepcopy(model), [group])
            torch.testing.assert_close(flipped(images), expected, rtol=1e-5, atol=1e-6)
            changed = {
                n
                for n, p in flipped.named_parameters()
                if not torch.equal(p, model.get_parameter(n))
            }
            assert changed & set(weight_names(model)), what


@pytest.mark.parametrize("name", NETWORKS)
def test_a_flip_of_one_part_alone_changes_the_function(name: str) -> None:
    """Otherwise the groups would be larger than they need be."""
    model, images = stirred(SMALL[name]()), torch.rand(6, 8, 8)
    expected = model(images)
    for what, groups in symmetries(model).items():
        part = max(groups[0], key=lambda p: p.name.endswith("weight"))
        assert not torch.allclose(flip_(copy.deepcopy(model), [(part,)])(images), expected), what


@pytest.mark.parametrize("name", NETWORKS)
def test_flips_hold_in_training_too(name: str) -> None:
    model, images = stirred(SMALL[name]()), torch.rand(6, 8, 8)
    half = [g for gs in symmetries(model).values() for g in gs[::2]]
    flipped = flip_(copy.deepcopy(model), half).train()
    torch.testing.assert_close(flipped(images), model.train()(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_no_flip_is_made_of_others(name: str) -> None:
    """Over the field of two elements, the signs that the groups flip are independent."""
    model = SMALL[name]()
    rows = []
    for group in chain.from_iterable(symmetries(model).values()):
        ones = copy.deepcopy(model)
        with torch.no_grad():
            for parameter in ones.parameters():
                parameter.fill_(1)
        flip_(ones, [group])
        weights = [ones.get_parameter(n).flatten() for n in weight_names(model)]
        rows.append((torch.cat(weights) < 0).tolist())
    assert rank([sum(bit << i for i, bit in enumerate(row)) for row in rows]) == len(rows)


def rank(rows: list[int]) -> int:
    """Gaussian elimination over bits."""
    found = 0
    while rows:
        pivot = rows.pop()
        if pivot:
            found += 1
            low = pivot & -pivot
            rows = [row ^ pivot if row & low else row for row in rows]
    return found


def test_no_group_is_forgotten() -> None:
    counts = {
        name: {what: len(groups) for what, groups in symmetries(make(5)).items()}
        for name, make in NETWORKS.items()
    }
    assert counts["resnet"] == {"a channel and its gain": 8 * (1 + 4 + 2 * 5 + 4 * 5 + 8 * 5)}
    assert counts["vit"] == {
        "a query and its key": 2 * 32,
        "a value and what reads it": 2 * 32,
        "a normalised feature and what reads it": (2 * 2 + 1) * 32,
    }
    assert counts["gru"] == {"a unit of the state and what reads it": 48}


def test_flipping_twice_changes_nothing() -> None:
    model = stirred(DigitGRU(3, 5))
    groups = symmetries(model)["a unit of the state and what reads it"]
    again = flip_(flip_(copy.deepcopy(model), groups), groups)
    for name, parameter in again.named_parameters():
        assert torch.equal(parameter, model.get_parameter(name))


def test_relu_layers_alone_have_no_such_flips() -> None:
    with pytest.raises(TypeError, match="model must be one of the small networks, got Sequential"):
        symmetries(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)))


def scores_of(model: DigitViT, tokens: Tensor) -> Tensor:
    """Scores before the softmax, written out head by head, without biases and scale."""
    attention = model.encoder.layers[0].self_attn
    query, key, _ = attention.in_proj_weight.chunk(3)
    units = attention.head_dim
    return torch.stack(
        [
            (tokens @ query[h * units :][:units].T) @ (tokens @ key[h * units :][:units].T).T
            for h in range(attention.num_heads)
        ]
    )


def test_score_matrices_make_the_scores() -> None:
    model, tokens = DigitViT(3, 6, 2, 1), torch.randn(5, 6)
    matrices = score_matrices(model)
    assert matrices.shape == (2, 6, 6)
    torch.testing.assert_close(tokens @ matrices @ tokens.T, scores_of(model, tokens))


def test_score_matrices_stay_where_queries_and_keys_flip_together() -> None:
    model = DigitViT(3, 6, 2, 2)
    flipped = flip_(copy.deepcopy(model), symmetries(model)["a query and its key"][::2])
    torch.testing.assert_close(score_matrices(flipped), score_matrices(model))
    lone = [(Part("encoder.layers.0.self_attn.in_proj_weight", 0, 0),)]
    assert not torch.allclose(
        score_matrices(flip_(copy.deepcopy(model), lone)), score_matrices(model)
    )
