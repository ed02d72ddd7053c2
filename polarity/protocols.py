"""The experiments' protocols: frozen dataclasses whose defaults are the paper's numbers."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from ._checks import one_of, open_unit_interval, positive, whole_number
from .core.reset import RESET_RULES

CONDITIONS = ("frozen_sufficient", "frozen_random", "fluid_random")
RESETS = tuple(RESET_RULES)
MATCHES = ("flip", "reset")


@dataclass(frozen=True)
class XOR5DProtocol:
    """XOR-5D, as in sections 2.1 and 5 of the paper (Figs 1, 4 and C.1).

    A network has 5 inputs, one hidden layer of ReLU units and a sigmoid output, and is trained by
    Adam on the binary cross-entropy. Fields are checked when an instance is made.

    Attributes
    ----------
    widths, sizes
        Hidden units and numbers of training samples of the grid.
    conditions
        Which of the three conditions to train.
    trials, epochs, batch_size, lr
        Networks per cell and condition, passes over the data, and Adam's settings.
    reset, epsilon
        The rule of Algorithm 1 for a weight of the wrong sign, and its scale.
    match
        How a network is matched to its template before training: ``"flip"`` keeps every magnitude
        (the paper's text); ``"reset"`` applies the reset rule itself (the released XOR code).
    n_val
        Samples of the validation set.
    threshold, success_threshold
        Validation accuracy that counts as learned (Figs 1B, 4B-D) and as solved (Fig 4A).
    seed
        Seed of the data, the initial weights, the batches and the draws of posRand.
    """

    widths: tuple[int, ...] = (*range(2, 31), 32, 48, 64)
    sizes: tuple[int, ...] = (8, 20, 32, 40, 52, 60, 72, 80, 92, 100, 500)
    conditions: tuple[str, ...] = CONDITIONS
    trials: int = 50
    epochs: int = 100
    batch_size: int = 32
    lr: float = 0.03
    reset: str = "posRand"
    epsilon: float = 1e-3
    match: str = "flip"
    n_val: int = 1000
    threshold: float = 0.90
    success_threshold: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every field; tuples may be given as lists.

        Raises
        ------
        TypeError, ValueError
            Naming the field, its value and what is allowed.
        """
        for name in ("widths", "sizes", "conditions"):
            values = getattr(self, name)
            if isinstance(values, str) or not hasattr(values, "__iter__"):
                raise TypeError(f"{name} must be a sequence, got {values!r}")
            object.__setattr__(self, name, tuple(values))
            if not getattr(self, name) or len(set(values)) != len(tuple(values)):
                raise ValueError(f"{name} must be distinct values, at least one; got {values!r}")
        for width in self.widths:
            whole_number("width", width, at_least=1)
        for n in self.sizes:
            if whole_number("n", n, at_least=4) % 4:
                raise ValueError(f"n must be a multiple of 4 in a protocol's sizes, got {n}")
        for condition in self.conditions:
            one_of("condition", condition, CONDITIONS)
        for name in ("trials", "epochs", "batch_size"):
            whole_number(name, getattr(self, name), at_least=1)
        if whole_number("n_val", self.n_val, at_least=4) % 4:
            raise ValueError(f"n_val must be a multiple of 4, got {self.n_val}")
        whole_number("seed", self.seed, at_least=0)
        for name in ("lr", "epsilon"):
            positive(name, getattr(self, name))
        one_of("reset", self.reset, RESETS)
        one_of("match", self.match, MATCHES)
        for name in ("threshold", "success_threshold"):
            open_unit_interval(name, getattr(self, name))

    @property
    def networks(self) -> int:
        """How many networks the grid trains."""
        return len(self.widths) * len(self.sizes) * len(self.conditions) * self.trials

    def smoke(self) -> XOR5DProtocol:
        """The same experiment in a second: few widths, sizes, trials and epochs."""
        return replace(
            self,
            widths=tuple(sorted({min(self.widths), max(self.widths)})),
            sizes=tuple(sorted({min(self.sizes), sorted(self.sizes)[len(self.sizes) // 2]})),
            trials=min(self.trials, 4),
            epochs=min(self.epochs, 12),
            n_val=min(self.n_val, 200),
        )

    def describe(self) -> dict[str, object]:
        """The fields by name, for a provenance record."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
