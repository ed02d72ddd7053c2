"""The accelerator's back end: all networks of a cell in one program of batched products.

Parameters are stacked ``[network, in, out]``, the data and the order of the batches lie on the
device, and the gradients are written out (they are four lines), so that an epoch needs no round
trip to the host. The optimiser is torch's own Adam.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from .._machine import whole_float32
from ..datasets.xor5d import N_INPUTS
from .adam import BETA1, BETA2, EPS
from .cell import Cell, Training
from .start import Weights

_EVALUATION_FLOATS = 1 << 26  # hidden activations held at once during evaluation


def _signed(constant: int) -> int:
    """A 64-bit constant as torch's int64 holds it."""
    return constant - (1 << 64) if constant >= 1 << 63 else constant


def _shift(z: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64 (torch shifts arithmetically)."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def uniform(keys: Tensor, step: int, index: Tensor) -> Tensor:
    """Draw (step, index) of every network's stream: ``keys`` (k,), ``index`` (...) -> (k, ...).

    Float32 on (0, 1], the same numbers as :func:`polarity.ensemble.compiled._uniform`.
    """
    counter = (step << 32) | index
    keys = keys.reshape(-1, *([1] * index.ndim))
    z = keys + _signed(0x9E3779B97F4A7C15) * counter
    z = (z ^ _shift(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shift(z, 27)) * _signed(0x94D049BB133111EB)
    z = z ^ _shift(z, 31)
    return ((_shift(z, 40).double() + 0.5) * 2.0**-24).float()


def _reset(
    w: Tensor, template: Tensor, rule: str, epsilon: float, keys: Tensor, step: int, index: Tensor
) -> None:
    """Algorithm 1's reset, in place."""
    if rule == "posCon":
        new = template * epsilon
    elif rule == "posRand":
        new = template * epsilon * uniform(keys, step, index)
    elif rule == "zero":
        new = torch.zeros_like(w)
    else:
        new = -w
    w.copy_(torch.where(template * w < 0, new, w))


@torch.no_grad()
@whole_float32()
def train(
    cell: Cell, training: Training, device: torch.device
) -> tuple[np.ndarray, np.ndarray, Weights]:
    """Train all networks of ``cell`` on ``device``.

    Returns
    -------
    loss, accuracy : float32 (networks, epochs), on the validation set
    weights : Weights
        After the last epoch.
    """

    def put(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(array)).to(device)

    x, y, x_val, y_val = put(cell.x), put(cell.y), put(cell.x_val), put(cell.y_val)
    trial = put(cell.trial)
    order = put(cell.order).long()
    keys = put(cell.keys.view(np.int64))[trial]
    w1, b1, w2, b2 = (put(part) for part in cell.weights)
    w2 = w2.unsqueeze(-1)
    t1 = put(cell.templates.t1).float()
    t2 = put(cell.templates.t2).float().unsqueeze(-1)
    width = cell.weights.width
    index1 = torch.arange(N_INPUTS * width, device=device).reshape(N_INPUTS, width)
    index2 = (torch.arange(width, device=device) + (N_INPUTS + 1) * width).unsqueeze(-1)

    def reset(rule: str, step: int) -> None:
        _reset(w1, t1, rule, training.epsilon, keys, step, index1)
        _reset(w2, t2, rule, training.epsilon, keys, step, index2)

    def logits(samples: Tensor, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        hidden = torch.baddbmm(b1[part].unsqueeze(1), samples, w1[part]).relu_()
        return hidden, torch.baddbmm(b2[part].reshape(-1, 1, 1), hidden, w2[part]).squeeze(-1)

    n_val, networks = len(x_val), cell.networks
    frozen = bool(cell.templates.t1.any() or cell.templates.t2.any())
    chunk = max(1, _EVALUATION_FLOATS // (n_val * width))
    loss = torch.empty(networks, training.epochs, device=device)
    accuracy = torch.empty_like(loss)
    adam = torch.optim.Adam([w1, b1, w2, b2], lr=training.lr, betas=(BETA1, BETA2), eps=EPS)

    reset(training.match_rule, 0)
    step = 0
    for epoch in range(training.epochs):
        shuffled = order[:, epoch][trial]
        for batch in torch.split(shuffled, training.batch_size, dim=1):
            samples = x[batch]
            hidden, z = logits(samples)
            delta = (z.sigmoid() - y[batch]) / batch.shape[1]
            back = delta.unsqueeze(-1) * w2.transpose(1, 2) * (hidden > 0)
            w2.grad = hidden.transpose(1, 2) @ delta.unsqueeze(-1)
            b2.grad = delta.sum(1)
            w1.grad = samples.transpose(1, 2) @ back
            b1.grad = back.sum(1)
            adam.step()
            step += 1
            if frozen:
                reset(training.reset, step)
        for first in range(0, networks, chunk):
            part = slice(first, first + chunk)
            size = len(b2[part])
            z = logits(x_val.expand(size, n_val, N_INPUTS), part)[1]
            target = y_val.expand(size, n_val)
            losses = binary_cross_entropy_with_logits(z, target, reduction="none")
            loss[part, epoch] = losses.mean(1)
            accuracy[part, epoch] = ((z > 0) == (target > 0.5)).float().mean(1)

    final = Weights(*(p.cpu().numpy() for p in (w1, b1, w2.squeeze(-1), b2)))
    return loss.cpu().numpy(), accuracy.cpu().numpy(), final
