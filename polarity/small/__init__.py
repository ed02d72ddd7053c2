"""Small networks of other kinds (ResNet-18, ViT, GRU), trained on digits in seconds."""

from .networks import NETWORKS, DigitGRU, DigitViT, ResNet18
from .training import DigitsProtocol, train_digits

__all__ = [
    "NETWORKS",
    "DigitGRU",
    "DigitViT",
    "DigitsProtocol",
    "ResNet18",
    "train_digits",
]
