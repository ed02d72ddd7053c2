"""Signs that can flip together while the network computes the same, in :mod:`.networks`.

A polarity says more than the function does: where signs cancel each other, several polarities are
one. ReLU layers alone have no such flips; normalisation, attention and recurrence have.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from .networks import Block, DigitGRU, DigitViT, ResNet18

__all__ = ["Part", "flip_", "score_matrices", "symmetries"]


class Part(NamedTuple):
    """A row or a column of a parameter or buffer: ``tensor.select(dim, place)``."""

    name: str
    dim: int
    place: int


Group: TypeAlias = tuple[Part, ...]
"""Parts that flip their signs together."""


def symmetries(model: nn.Module) -> dict[str, list[Group]]:
    """Return groups of signs that can flip without changing what the network computes.

    Any set of groups may flip: of S groups there are 2 to the power S polarities of one function.
    There are more, which are no products of small groups: units of a layer can be exchanged, and
    all that writes a transformer's stream of tokens can flip with the gains that read it.

    Parameters
    ----------
    model
        One of :data:`~polarity.small.networks.NETWORKS`.

    Returns
    -------
    dict
        What flips together, in words -> groups.

    Raises
    ------
    TypeError
        If it is another network.

    Notes
    -----
    - *A channel and its gain.* Batch norm takes the sign of its input along, and the gain can turn
      it round.
    - *A query and its key.* Attention sees products of the two.
    - *A value and what reads it*, *a normalised token and what reads it*: two linear maps in
      succession.
    - *A unit of the state and what reads it.* The candidate state is a tanh, which is odd; the
      gates only weigh old against new.
    """
    match model:
        case ResNet18():
            return {"a channel and its gain": list(_channels(model))}
        case DigitViT():
            return _attention(model)
        case DigitGRU():
            return {"a unit of the state and what reads it": list(_states(model))}
    raise TypeError(f"model must be one of the small networks, got {type(model).__name__}")


@torch.no_grad()
def flip_(model: nn.Module, groups: Iterable[Group]) -> nn.Module:
    """Flip the signs of the groups, in place; return the model."""
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    for group in groups:
        for name, dim, place in group:
            tensors[name].select(dim, place).neg_()
    return model


@torch.no_grad()
def score_matrices(model: DigitViT) -> Tensor:
    """Return what attention makes of queries and keys: the matrices of their scores.

    Entry (i, j) of a head's matrix is what feature i of the asking token and feature j of the asked
    one contribute to their score, but for the scale and the biases.

    Returns
    -------
    Tensor
        Shape (depth * heads, width, width).
    """
    found = []
    for layer in model.encoder.layers:
        attention = layer.self_attn
        assert isinstance(attention, nn.MultiheadAttention)
        query, key, _ = attention.in_proj_weight.chunk(3)
        shape = attention.num_heads, -1, attention.embed_dim
        found.append(query.reshape(shape).transpose(1, 2) @ key.reshape(shape))
    return torch.cat(found)


def _channels(model: ResNet18) -> Iterable[Group]:
    """Flip a row of a convolution, the batch norm's gain, and the running mean of what it sees."""
    pairs = [("conv", "norm")]
    for name, module in model.named_modules():
        if isinstance(module, Block):
            pairs += [(f"{name}.conv{i}", f"{name}.norm{i}") for i in (1, 2)]
            if isinstance(module.past, nn.Sequential):
                pairs += [(f"{name}.past.0", f"{name}.past.1")]
    for conv, norm in pairs:
        for channel in range(model.get_parameter(f"{norm}.weight").numel()):
            names = f"{conv}.weight", f"{norm}.weight", f"{norm}.running_mean"
            yield tuple(Part(name, 0, channel) for name in names)


def _attention(model: DigitViT) -> dict[str, list[Group]]:
    width = model.head.in_features
    queries: list[Group] = []
    values: list[Group] = []
    readers = [("norm", "head.weight")]
    for layer in range(len(model.encoder.layers)):
        here = f"encoder.layers.{layer}"
        weight, bias = (f"{here}.self_attn.in_proj_{what}" for what in ("weight", "bias"))
        for unit in range(width):
            query, key, value = unit, width + unit, 2 * width + unit
            queries.append(tuple(Part(n, 0, row) for n in (weight, bias) for row in (query, key)))
            mixed = Part(f"{here}.self_attn.out_proj.weight", 1, unit)
            values.append((Part(weight, 0, value), Part(bias, 0, value), mixed))
        readers += [(f"{here}.norm1", weight), (f"{here}.norm2", f"{here}.linear1.weight")]
    features: list[Group] = [
        (Part(f"{norm}.weight", 0, i), Part(f"{norm}.bias", 0, i), Part(reader, 1, i))
        for norm, reader in readers
        for i in range(width)
    ]
    return {
        "a query and its key": queries,
        "a value and what reads it": values,
        "a normalised feature and what reads it": features,
    }


def _states(model: DigitGRU) -> Iterable[Group]:
    """Flip the rows of the candidate state, and the columns of all that reads the state."""
    for unit in range(model.rnn.hidden_size):
        row = 2 * model.rnn.hidden_size + unit  # after reset and update gate
        written = [f"rnn.{n}_l0" for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        read = ["rnn.weight_hh_l0", "head.weight"]
        yield (*(Part(n, 0, row) for n in written), *(Part(n, 1, unit) for n in read))
