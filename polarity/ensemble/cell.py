"""A cell: the networks of one width on one data set, with all that their training needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._checks import one_of, positive, whole_number
from ..datasets.xor5d import N_INPUTS
from ..protocols import MATCHES, RESETS
from .start import Float, Templates, Weights, batch_order, reset_keys

_LARGEST = 1e37  # ten times this, Adam's first corrected step, still fits float32


@dataclass(frozen=True)
class Training:
    """How networks are trained; the defaults are the paper's.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range; the message names it.
    """

    epochs: int = 100
    batch_size: int = 32
    lr: float = 0.03
    reset: str = "posRand"
    epsilon: float = 1e-3
    match: str = "flip"

    def __post_init__(self) -> None:
        """Check every field."""
        whole_number("epochs", self.epochs, at_least=1)
        whole_number("batch_size", self.batch_size, at_least=1)
        for name in ("lr", "epsilon"):
            if positive(name, getattr(self, name)) > _LARGEST:
                raise ValueError(
                    f"{name} must be at most {_LARGEST:g} (float32), got {getattr(self, name)!r}"
                )
        if np.float32(self.epsilon) * np.float32(2.0**-25) == 0:
            raise ValueError(f"epsilon must not underflow float32, got {self.epsilon!r}")
        one_of("reset", self.reset, RESETS)
        one_of("match", self.match, MATCHES)

    @property
    def match_rule(self) -> str:
        """The rule that matches a network to its template before training."""
        return "flip" if self.match == "flip" else self.reset


@dataclass(frozen=True)
class Cell:
    """Networks that share width and data. Networks of one trial also share batches and draws.

    Attributes
    ----------
    x, y, x_val, y_val
        float32 (n, 5), (n,), (n_val, 5), (n_val,).
    weights, templates
        Start and polarity of each network; first axis: network.
    trial
        int (networks,): which row of ``order`` and ``keys`` a network uses.
    order
        int32 (trials, epochs, n).
    keys
        uint64 (trials,).
    """

    x: Float
    y: Float
    x_val: Float
    y_val: Float
    weights: Weights
    templates: Templates
    trial: NDArray[np.intp]
    order: NDArray[np.int32]
    keys: NDArray[np.uint64]

    @property
    def networks(self) -> int:
        """Number of networks."""
        return len(self.trial)

    @classmethod
    def stack(
        cls,
        data: tuple[Float, Float, Float, Float],
        weights: Weights,
        templates: Sequence[Templates],
        epochs: int,
        seed: int,
        batches: str = "own",
    ) -> Cell:
        """One network for each template and trial; all templates start from the same weights."""
        x = data[0]
        trials, copies = len(weights.b2), len(templates)
        order = batch_order(len(x), epochs, 1 if batches == "shared" else trials, seed)
        return cls(
            *data,
            weights=Weights(*(np.concatenate([part] * copies) for part in weights)),
            templates=Templates(*(np.concatenate(parts) for parts in zip(*templates, strict=True))),
            trial=np.tile(np.arange(trials), copies),
            order=np.broadcast_to(order, (trials, *order.shape[1:])),
            keys=reset_keys(weights.width, len(x), trials, seed),
        )


def check_data(x: ArrayLike, y: ArrayLike, name: str) -> tuple[Float, Float]:
    """Return samples and labels as float32 (n, 5) and (n,).

    Raises
    ------
    ValueError
        If shapes, values or labels are not as they must be; the message names ``name``.
    """
    xs = np.ascontiguousarray(x, dtype=np.float32)
    ys = np.ascontiguousarray(y, dtype=np.float32)
    if xs.ndim != 2 or xs.shape[1] != N_INPUTS or len(xs) == 0:
        raise ValueError(f"{name} samples must have shape (n, {N_INPUTS}), n >= 1; got {xs.shape}")
    if ys.shape != (len(xs),):
        raise ValueError(f"{name} labels must have shape ({len(xs)},), got {ys.shape}")
    if not np.isfinite(xs).all():
        raise ValueError(f"{name} samples must be finite")
    if not np.isin(ys, (0, 1)).all():
        raise ValueError(f"{name} labels must be 0 or 1, got {np.unique(ys)[:5].tolist()}")
    return xs, ys
