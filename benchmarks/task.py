"""The work that every contestant gets: the same networks, data and batches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polarity.datasets import xor5d
from polarity.ensemble import CONDITIONS, initial_weights, templates
from polarity.ensemble.cell import Cell, Training

Curves = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Validation loss and accuracy, (networks, epochs)."""


@dataclass(frozen=True)
class Task:
    """Train ``trials`` networks of each of the three conditions, as the paper does."""

    n: int
    width: int = 64
    trials: int = 50
    epochs: int = 100
    reset: str = "posRand"
    seed: int = 0

    def smaller(self, **changes: Any) -> Task:
        """The same task with other numbers."""
        return replace(self, **changes)

    @property
    def training(self) -> Training:
        """How the networks are trained."""
        return Training(epochs=self.epochs, reset=self.reset)

    @cached_property
    def cell(self) -> Cell:
        """The networks; the conditions follow each other, each with its trials."""
        data = (*xor5d(self.n, self.seed), *xor5d(1000, self.seed, split="validation"))
        weights = initial_weights(self.width, self.n, self.trials, self.seed)
        signs = [templates(weights, condition) for condition in CONDITIONS]
        return Cell.stack(data, weights, signs, self.epochs, self.seed)
