"""A ResNet-18, a vision transformer and a GRU, so small that a page trains them while it is read.

All three read grey images ``(b, 8, 8)`` and return logits. Their layers are torch's own, so that
what a template does to them it does to the large ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._checks import whole_number

__all__ = ["HEAD", "NETWORKS", "DigitGRU", "DigitViT", "ResNet18"]

HEAD = "head"
"""Name of every network's last layer, which tells the classes apart."""


class Block(nn.Module):
    """Two 3 x 3 convolutions and a way past them: ``relu(x + f(x))``."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.past: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.past = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, inputs, h, w)`` to ``(b, outputs, h / stride, w / stride)``."""
        inside = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.past(x) + self.norm2(self.conv2(inside)))


class ResNet18(nn.Module):
    """ResNet-18: a convolution, eight residual blocks of two, and a linear layer.

    Parameters
    ----------
    classes
        Outputs.
    width
        Channels of the first stage; 64 in the original. The following three have 2, 4, 8 times as
        many.
    zero_residual
        Whether the gain of the last batch norm of every block starts at 0, so that the block begins
        as the identity (Goyal and others, 2017; ``zero_init_residual`` of torchvision); else at 1.

    Raises
    ------
    TypeError, ValueError
        If ``classes`` or ``width`` is no whole number >= 1.

    Notes
    -----
    As He and others (2016) have it, but for two things. The stem is a 3 x 3 convolution without
    stride or pooling, as in their section 4.2, on small images. The last stage does not halve the
    image again: at 1 x 1 pixel eight of a kernel's nine weights would see nothing but padding.
    """

    def __init__(self, classes: int = 10, width: int = 8, *, zero_residual: bool = True) -> None:
        super().__init__()
        whole_number("classes", classes, at_least=1)
        c = whole_number("width", width, at_least=1)
        self.conv = nn.Conv2d(1, c, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(c)
        self.stages = nn.Sequential(
            *(Block(c, c, 1), Block(c, c, 1)),
            *(Block(c, 2 * c, 2), Block(2 * c, 2 * c, 1)),
            *(Block(2 * c, 4 * c, 2), Block(4 * c, 4 * c, 1)),
            *(Block(4 * c, 8 * c, 1), Block(8 * c, 8 * c, 1)),
        )
        self.head = nn.Linear(8 * c, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_residual and isinstance(module, Block):
                nn.init.zeros_(module.norm2.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(b, h, w)`` to logits ``(b, classes)``."""
        x = F.relu(self.norm(self.conv(images.unsqueeze(1))))
        logits: Tensor = self.head(self.stages(x).mean((2, 3)))
        return logits


class DigitViT(nn.Module):
    """A vision transformer: patches, a position code, encoder layers, the mean of the tokens.

    Parameters
    ----------
    classes
        Outputs.
    width, heads, depth
        Length of a token, attention heads, encoder layers.
    size, patch
        Height of the images and of their patches, in pixels.

    Raises
    ------
    TypeError, ValueError
        If one of them is no whole number >= 1, or heads do not divide the width, or patches the
        image.

    Notes
    -----
    As Dosovitskiy and others (2021) have it, with normalisation before each part, but with the mean
    of the tokens in place of a class token, and without dropout.
    """

    def __init__(
        self,
        classes: int = 10,
        width: int = 32,
        heads: int = 4,
        depth: int = 2,
        *,
        size: int = 8,
        patch: int = 2,
    ) -> None:
        super().__init__()
        numbers = {"classes": classes, "width": width, "heads": heads, "depth": depth}
        for name, value in (numbers | {"size": size, "patch": patch}).items():
            whole_number(name, value, at_least=1)
        if width % heads:
            raise ValueError(f"heads must divide width = {width}, got {heads}")
        if size % patch:
            raise ValueError(f"patch must divide size = {size}, got {patch}")
        self.patch = patch
        self.embed = nn.Linear(patch**2, width)
        self.position = nn.Parameter(0.02 * torch.randn((size // patch) ** 2, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        for module in self.encoder.modules():  # copies of one layer, until they are drawn anew
            if isinstance(module, nn.Linear):
                module.reset_parameters()
            elif isinstance(module, nn.MultiheadAttention):
                module._reset_parameters()
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(b, size, size)`` to logits ``(b, classes)``."""
        patches = F.unfold(images.unsqueeze(1), self.patch, stride=self.patch).transpose(1, 2)
        tokens = self.encoder(self.embed(patches) + self.position)
        logits: Tensor = self.head(self.norm(tokens).mean(1))
        return logits


class DigitGRU(nn.Module):
    """A gated recurrent unit that reads an image row by row; its last state names the class.

    Parameters
    ----------
    classes
        Outputs.
    hidden
        Length of the state.
    size
        Length of a row, in pixels.

    Raises
    ------
    TypeError, ValueError
        If one of them is no whole number >= 1.
    """

    def __init__(self, classes: int = 10, hidden: int = 48, *, size: int = 8) -> None:
        super().__init__()
        for name, value in {"classes": classes, "hidden": hidden, "size": size}.items():
            whole_number(name, value, at_least=1)
        self.rnn = nn.GRU(size, hidden, batch_first=True)
        self.head = nn.Linear(hidden, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(b, rows, size)`` to logits ``(b, classes)``."""
        logits: Tensor = self.head(self.rnn(images)[1][-1])
        return logits


NETWORKS: Mapping[str, Callable[[int], nn.Module]] = MappingProxyType(
    {"resnet": ResNet18, "vit": DigitViT, "gru": DigitGRU}
)
"""The three by name, each a function of a number of classes."""
