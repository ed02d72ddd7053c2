"""One convolutional network at a time: sections 3 and 4 of the paper."""

from .conditions import Condition, Start, start
from .training import Epoch, Training, identity, train

__all__ = ["Condition", "Epoch", "Start", "Training", "identity", "start", "train"]
