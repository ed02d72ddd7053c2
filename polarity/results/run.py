"""One run: which network was trained, and its curves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Run"]

MEASURED = ("epoch", "val_loss", "val_accuracy", "train_loss", "layers", "flipped", "dead")


@dataclass(frozen=True, eq=False)
class Run:
    """One trained network.

    Attributes
    ----------
    identity
        What identifies it, in plain JSON values: every setting that changes its numbers.
    epoch
        The evaluated epochs, counted from 0.
    val_loss
        At those epochs, mean cross-entropy.
    val_accuracy
        At those epochs, share of images that are classified rightly.
    train_loss
        Mean cross-entropy of every epoch.
    layers
        Names of the layers that have weights.
    flipped
        Share of weights whose sign differs from the epoch before, by epoch (from the second on)
        and layer (Fig C.5).
    dead
        At ``"start"`` and ``"end"``, the share of units that are 0 on every image looked at, by
        hidden layer.
    info
        What does not change the numbers' meaning: device, versions, seconds, commit, time.

    Raises
    ------
    ValueError
        If curves have other lengths than their epochs or layers.
    """

    identity: Mapping[str, Any]
    epoch: Sequence[int]
    val_loss: Sequence[float]
    val_accuracy: Sequence[float]
    train_loss: Sequence[float]
    layers: Sequence[str]
    flipped: Sequence[Sequence[float]]
    dead: Mapping[str, Sequence[float]]
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the curves fit together."""
        for name in ("val_loss", "val_accuracy"):
            if len(getattr(self, name)) != len(self.epoch):
                raise ValueError(
                    f"{name} must have a value for each of {len(self.epoch)} evaluated epochs, got "
                    f"{len(getattr(self, name))}"
                )
        for row in self.flipped:
            if len(row) != len(self.layers):
                raise ValueError(
                    f"flipped must have a value for each of {len(self.layers)} layers, got "
                    f"{len(row)}"
                )

    @staticmethod
    def key_of(identity: Mapping[str, Any]) -> str:
        """Return the key of an identity: SHA-256 of its compact JSON, in hexadecimal digits.

        Parameters
        ----------
        identity
            Plain JSON values, in any order.

        Examples
        --------
        >>> Run.key_of({"n": 1, "trial": 0}) == Run.key_of({"trial": 0, "n": 1})
        True
        """
        text = json.dumps(dict(identity), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def key(self) -> str:
        """Key of the run's identity."""
        return self.key_of(self.identity)

    def same_results(self, other: Run) -> bool:
        """Whether both hold the same numbers, as float32; NaN equals NaN."""
        mine, theirs = self.measured(), other.measured()
        return all(_alike(mine[name], theirs[name]) for name in MEASURED)

    def measured(self) -> dict[str, Any]:
        """What was measured, by name."""
        return {name: getattr(self, name) for name in MEASURED}


def _alike(a: Any, b: Any) -> bool:
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    if any(len(values) and isinstance(values[0], str) for values in (a, b)):
        return list(a) == list(b)
    x, y = (np.asarray(v, dtype=np.float32) for v in (a, b))
    return x.shape == y.shape and bool(np.array_equal(x, y, equal_nan=True))
