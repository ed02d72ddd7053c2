"""AlexNet as in section 4 of the paper, at its size and at one that a processor can train."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ._checks import one_of, whole_number

__all__ = [
    "ARCHITECTURES",
    "LAST",
    "Architecture",
    "FoldedConv2d",
    "alexnet",
    "folded",
    "initialise_",
]

LAST = "last"
"""Name of the layer that no donor has, from 1000 features to the classes of the task."""


@dataclass(frozen=True)
class Architecture:
    """What tells one AlexNet from another.

    Attributes
    ----------
    image_size
        Height and width of the input, in pixels.
    channels
        Output channels of the five convolutions.
    padding
        Padding of the first convolution (11 x 11, stride 4).
    first_pool
        Whether a pooling layer follows the first convolution.
    grid
        Height and width of the last feature map.
    hidden
        Units of the first two fully connected layers.
    """

    image_size: int
    channels: tuple[int, int, int, int, int]
    padding: int
    first_pool: bool
    grid: int
    hidden: int


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        # The paper's: one tower, no local response normalisation; 61 million weights.
        "alexnet": Architecture(227, (96, 256, 384, 384, 256), 0, True, 6, 4096),
        # The channels of torchvision's AlexNet, which the weights distributed by it fit.
        "alexnet_torchvision": Architecture(224, (64, 192, 384, 256, 256), 2, True, 6, 4096),
        # For images of 64 pixels, 13 million weights: conv 2 sees 15 x 15 because conv 1 is not
        # pooled. Hours on a processor where the paper's takes days.
        "alexnet_64": Architecture(64, (96, 256, 384, 384, 256), 2, False, 3, 2048),
    }
)
"""The AlexNets of this project, by name."""


class FoldedConv2d(nn.Conv2d):
    """A strided convolution of few channels; a GPU computes it as one of many and stride 1.

    With three input channels the matrix units of a GPU idle. Folded, the squares of ``stride`` x
    ``stride`` pixels become channels (3 -> 48 for AlexNet's first layer), the kernel is padded by
    zeros to a multiple of the stride, and every product of the original convolution is there once.
    Weights, their shape, gradients and results are those of :class:`torch.nn.Conv2d`; the order of
    summation, hence the last bits, may differ. Elsewhere than on a GPU this is that layer.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(b, in_channels, h, w)`` to ``(b, out_channels, h', w')``, as Conv2d does."""
        if not x.is_cuda:
            return super().forward(x)
        if torch.is_autocast_enabled("cuda"):
            x = x.to(torch.get_autocast_dtype("cuda"))
        return folded(x, self.weight, self.bias, int(self.stride[0]), int(self.padding[0]))


def folded(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: int, padding: int
) -> torch.Tensor:
    """Convolve as ``torch.nn.functional.conv2d`` does, folded; see :class:`FoldedConv2d`.

    Parameters
    ----------
    x
        ``(b, c, h, w)``.
    weight
        ``(o, c, k, k)``.
    bias
        ``(o,)``, or None.
    stride
        Of both directions.
    padding
        Zeros at each of the four sides.

    Returns
    -------
    Tensor
        ``(b, o, h', w')``.

    Examples
    --------
    >>> x, w = torch.randn(2, 3, 20, 20), torch.randn(4, 3, 11, 11)
    >>> expected = torch.nn.functional.conv2d(x, w, stride=4, padding=2)
    >>> torch.allclose(folded(x, w, None, 4, 2), expected, atol=1e-4)
    True
    """
    k = weight.shape[-1]
    squares = -(-k // stride)  # of the padded kernel, a side
    missing = squares * stride - k
    sides = []
    for size in (x.shape[3], x.shape[2]):  # the last dimension first
        out = (size + 2 * padding - k) // stride + 1
        sides += [padding, (out - 1 + squares) * stride - size - padding]
    x = _squares_to_channels(functional.pad(x, sides), stride)
    weight = _squares_to_channels(functional.pad(weight, (0, missing, 0, missing)), stride)
    return functional.conv2d(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))


def _squares_to_channels(x: torch.Tensor, side: int) -> torch.Tensor:
    """Return ``(b, c * side**2, h / side, w / side)``, channels last, of ``(b, c, h, w)``."""
    b, c, h, w = x.shape
    x = x.view(b, c, h // side, side, w // side, side).permute(0, 2, 4, 3, 5, 1)
    x = x.reshape(b, h // side, w // side, c * side**2)
    return x.permute(0, 3, 1, 2)


def alexnet(architecture: str = "alexnet", classes: int = 10) -> nn.Sequential:
    """Return an AlexNet with torch's default weights (see :func:`initialise_`).

    Parameters
    ----------
    architecture
        A name of :data:`ARCHITECTURES`.
    classes
        Outputs of the last layer.

    Returns
    -------
    nn.Sequential
        Layers ``conv1`` to ``conv5``, ``fc6`` to ``fc8`` (1000 outputs) and ``last``; ReLU after
        all but the last, dropout of one half after ``fc6`` and ``fc7``. It maps float
        ``(b, 3, image_size, image_size)`` to logits ``(b, classes)``.

    Raises
    ------
    TypeError, ValueError
        If the architecture is unknown, or ``classes`` is no whole number >= 1.

    Notes
    -----
    Source: section 4 of the paper, and its released code for the last two layers: a hidden layer of
    1000 units, in the donor's shape, and a new one of as many units as there are classes.

    Examples
    --------
    >>> with torch.device("meta"):  # shapes alone
    ...     model = alexnet()
    >>> sum(weight.numel() for weight in model.parameters()) // 10**6
    62
    """
    kind = ARCHITECTURES[one_of("architecture", architecture, ARCHITECTURES)]
    whole_number("classes", classes, at_least=1)
    c1, c2, c3, c4, c5 = kind.channels
    layers: list[tuple[str, nn.Module]] = [
        ("conv1", FoldedConv2d(3, c1, 11, stride=4, padding=kind.padding)),
        ("relu1", nn.ReLU()),
        *([("pool1", nn.MaxPool2d(3, stride=2))] if kind.first_pool else []),
        ("conv2", nn.Conv2d(c1, c2, 5, padding=2)),
        ("relu2", nn.ReLU()),
        ("pool2", nn.MaxPool2d(3, stride=2)),
        ("conv3", nn.Conv2d(c2, c3, 3, padding=1)),
        ("relu3", nn.ReLU()),
        ("conv4", nn.Conv2d(c3, c4, 3, padding=1)),
        ("relu4", nn.ReLU()),
        ("conv5", nn.Conv2d(c4, c5, 3, padding=1)),
        ("relu5", nn.ReLU()),
        ("pool5", nn.MaxPool2d(3, stride=2)),
        ("flatten", nn.Flatten()),
        ("fc6", nn.Linear(c5 * kind.grid**2, kind.hidden)),
        ("relu6", nn.ReLU()),
        ("dropout6", nn.Dropout(0.5)),
        ("fc7", nn.Linear(kind.hidden, kind.hidden)),
        ("relu7", nn.ReLU()),
        ("dropout7", nn.Dropout(0.5)),
        ("fc8", nn.Linear(kind.hidden, 1000)),
        ("relu8", nn.ReLU()),
        (LAST, nn.Linear(1000, classes)),
    ]
    return nn.Sequential(OrderedDict(layers))


@torch.no_grad()
def initialise_(
    model: nn.Module, generator: torch.Generator | None = None, *, start: str = "glorot"
) -> nn.Module:
    """Draw a start for every convolution and linear layer, in place, layer by layer.

    Parameters
    ----------
    model
        A network of :func:`alexnet`, on the processor (its generator is).
    generator
        Source of the draws; torch's own by default.
    start
        ``"glorot"``: the paper's. Glorot normal for convolutions, Glorot uniform for linear layers,
        truncated normal with standard deviation 0.25, cut at two of them, for the last layer.
        ``"he"``: He normal everywhere, which deep ReLU networks leave the plateau with at once;
        for donors, which may be trained by any recipe. Biases are 0 in both.

    Returns
    -------
    nn.Module
        The same model.

    Raises
    ------
    ValueError
        If ``start`` is neither.
    """
    one_of("start", start, ("glorot", "he"))
    arguments: dict[str, Any] = {"generator": generator}
    for name, layer in model.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        if layer.bias is not None:
            layer.bias.zero_()
        if start == "he":
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", **arguments)
        elif name == LAST:
            nn.init.trunc_normal_(layer.weight, std=0.25, a=-0.5, b=0.5, **arguments)
        elif isinstance(layer, nn.Conv2d):
            nn.init.xavier_normal_(layer.weight, **arguments)
        else:
            nn.init.xavier_uniform_(layer.weight, **arguments)
    return model


def forward_operations(architecture: str, classes: int = 10) -> int:
    """Return the floating-point operations of one image's forward pass: 2 per multiplication.

    Training takes three times as many: forward, and the gradients of inputs and of weights.
    """
    kind = ARCHITECTURES[one_of("architecture", architecture, ARCHITECTURES)]
    with torch.device("meta"):
        model = alexnet(architecture, classes)
    total = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal total
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        total += 2 * weight.numel() * math.prod(output.shape[2:])

    for layer in model:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    model(torch.empty(1, 3, kind.image_size, kind.image_size, device="meta"))
    return total
