"""The image data sets, by name: where each is found, and how it is got."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .cifar10 import ORIGIN as CIFAR10
from .fashion_mnist import ORIGIN as FASHION_MNIST
from .folder import Origin
from .tiny_imagenet import ORIGIN as TINY_IMAGENET

__all__ = ["DATASETS"]

DATASETS: Mapping[str, Origin] = MappingProxyType(
    {origin.name: origin for origin in (FASHION_MNIST, CIFAR10, TINY_IMAGENET)}
)
"""What this project's image experiments and donors are trained on."""
