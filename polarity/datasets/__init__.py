"""The data of the experiments."""

from .cifar10 import cifar10
from .fashion_mnist import fashion_mnist
from .folder import DataNotFound
from .images import ImageSet
from .tiny_imagenet import tiny_imagenet
from .xor5d import xor5d

__all__ = ["DataNotFound", "ImageSet", "cifar10", "fashion_mnist", "tiny_imagenet", "xor5d"]
