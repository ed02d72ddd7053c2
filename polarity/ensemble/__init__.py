"""Many small networks trained as one program."""

from ..protocols import CONDITIONS
from .start import Templates, Weights, initial_weights, templates
from .trainer import Trained, train_draws, train_grid, train_networks, train_xor5d

__all__ = [
    "CONDITIONS",
    "Templates",
    "Trained",
    "Weights",
    "initial_weights",
    "templates",
    "train_draws",
    "train_grid",
    "train_networks",
    "train_xor5d",
]
