"""One convolutional network at a time: sections 3 and 4 of the paper."""

from .conditions import Condition, Start, possible, start
from .side_by_side import faster_precision, train_side_by_side
from .training import Epoch, Training, device_name, identity, train

__all__ = [
    "Condition",
    "Epoch",
    "Start",
    "Training",
    "device_name",
    "faster_precision",
    "identity",
    "possible",
    "start",
    "train",
    "train_side_by_side",
]
