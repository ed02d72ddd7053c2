"""The literal twin of the ensemble trainer: one network at a time, Algorithm 1 entry by entry.

Nothing here comes from :mod:`polarity.ensemble`: a plain module, torch's autograd and Adam, Python
loops, and the counter-based draws written out with Python's integers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

INPUTS = 5
MASK = 2**64 - 1


def draw(key: int, step: int, index: int) -> np.float32:
    """Uniform on (0, 1]: output ``step * 2**32 + index`` of SplitMix64 with seed ``key``."""
    z = (key + (step * 2**32 + index) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    z ^= z >> 31
    return np.float32(((z >> 40) + 0.5) / 2**24)


class Net(nn.Module):
    """5 - width - 1: ReLU, then one logit."""

    def __init__(self, w1: np.ndarray, b1: np.ndarray, w2: np.ndarray, b2: np.ndarray) -> None:
        super().__init__()
        self.hidden = nn.Linear(INPUTS, len(b1))
        self.output = nn.Linear(len(b1), 1)
        with torch.no_grad():
            self.hidden.weight.copy_(torch.from_numpy(w1.T.copy()))
            self.hidden.bias.copy_(torch.from_numpy(b1.copy()))
            self.output.weight.copy_(torch.from_numpy(w2[None].copy()))
            self.output.bias.fill_(float(b2))

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.hidden(x).relu()).squeeze(-1)


def algorithm_1(
    net: Net, t1: np.ndarray, t2: np.ndarray, rule: str, epsilon: float, key: int, step: int
) -> int:
    """Reset every weight of the wrong sign, one entry after the other; how many there were."""
    width = len(t2)
    entries = [
        (net.hidden.weight, (h, k), int(t1[k, h]), k * width + h)
        for k in range(INPUTS)
        for h in range(width)
    ] + [(net.output.weight, (0, h), int(t2[h]), (INPUTS + 1) * width + h) for h in range(width)]
    values = {weight: weight.detach().numpy() for weight in (net.hidden.weight, net.output.weight)}
    resets = 0
    for weight, place, sign, index in entries:
        w = values[weight][place]
        if sign * np.sign(w) < 0:
            resets += 1
            if rule == "posCon":
                new = sign * epsilon
            elif rule == "posRand":
                new = sign * epsilon * draw(key, step, index)
            elif rule == "zero":
                new = 0.0
            elif rule == "flip":
                new = -w
            values[weight][place] = new
    return resets


class Curves(NamedTuple):
    """What one network leaves behind."""

    loss: np.ndarray  # (epochs,)
    accuracy: np.ndarray  # (epochs,)
    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray
    resets: int


def train(
    data: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    start: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    signs: tuple[np.ndarray, np.ndarray],
    order: np.ndarray,
    key: int,
    *,
    rule: str,
    match: str,
    epsilon: float,
    lr: float,
    batch_size: int,
) -> Curves:
    """Train one network; ``order`` (epochs, n), ``signs`` of the shapes of w1 and w2."""
    x, y, x_val, y_val = (torch.from_numpy(part) for part in data)
    net = Net(*start)
    adam = torch.optim.Adam(net.parameters(), lr=lr, eps=1e-7)
    first = "flip" if match == "flip" else rule
    resets = algorithm_1(net, *signs, first, epsilon, key, 0)
    loss, accuracy = [], []
    step = 0
    for epoch in order:
        for begin in range(0, len(epoch), batch_size):
            batch = torch.from_numpy(epoch[begin : begin + batch_size]).long()
            adam.zero_grad()
            binary_cross_entropy_with_logits(net(x[batch]), y[batch]).backward()
            adam.step()
            step += 1
            resets += algorithm_1(net, *signs, rule, epsilon, key, step)
        with torch.no_grad():
            z = net(x_val)
            loss.append(binary_cross_entropy_with_logits(z, y_val).item())
            accuracy.append(((z > 0) == (y_val > 0.5)).float().mean().item())
    return Curves(
        np.array(loss),
        np.array(accuracy),
        net.hidden.weight.detach().numpy().T,
        net.hidden.bias.detach().numpy(),
        net.output.weight.detach().numpy()[0],
        net.output.bias.item(),
        resets,
    )
