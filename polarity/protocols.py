"""The experiments' protocols: frozen dataclasses whose defaults are the paper's numbers."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass, fields, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from ._checks import distinct, keep, one_of, open_unit_interval, positive, whole_number
from .core.reset import RESET_RULES
from .networks import ARCHITECTURES

CONDITIONS = ("frozen_sufficient", "frozen_random", "fluid_random")
"""The conditions of XOR-5D, by what is held and whose signs."""
RESETS = tuple(RESET_RULES)
MATCHES = ("flip", "reset")

IMAGE_CONDITIONS = (
    "frozen_in_polarity",
    "fluid_in_polarity",
    "frozen_rand_polarity",
    "fluid_rand_polarity",
    "frozen_in_weight",
    "fluid_in_weight",
)
"""The six conditions on images, frozen or fluid, with a donor's signs (IN), weights, or neither."""
IMAGE_SIZES = MappingProxyType(
    {
        "fashion_mnist": (100, 250, 500, 750, 1000, 2000, 3000, 4000, 5000, 6000),
        "cifar10": (100, 250, 500, 750, 1000, 2500, 5000, 10000, 25000, 50000),
    }
)
"""Data set -> the numbers of training images of Figs 2 and 3."""
IMAGE_THRESHOLDS = MappingProxyType({"fashion_mnist": 0.80, "cifar10": 0.50})
"""Data set -> the validation accuracy that counts as learned in Figs 2 and 3."""
PRECISIONS = ("float32", "bf16")
IMAGE_TIERS = ("paper", "reduced", "smoke")


@dataclass(frozen=True)
class XOR5DProtocol:
    """XOR-5D, as in sections 2.1 and 5 of the paper (Figs 1, 4 and C.1).

    A network has 5 inputs, one hidden layer of ReLU units and a sigmoid output, and is trained by
    Adam on the binary cross-entropy. Fields are checked when an instance is made.

    Attributes
    ----------
    widths
        Numbers of hidden units of the grid.
    sizes
        Numbers of training samples of the grid, multiples of 4.
    conditions
        Which of the three conditions to train.
    trials
        Networks per cell and condition.
    epochs
        Passes over the data.
    batch_size
        Samples a step.
    lr
        Adam's learning rate.
    reset
        The rule of Algorithm 1 for a weight of the wrong sign.
    epsilon
        The rule's scale.
    match
        How a network is matched to its template before training: ``"flip"`` keeps every magnitude
        (the paper's text); ``"reset"`` applies the reset rule itself (the released XOR code).
    n_val
        Samples of the validation set.
    threshold
        Validation accuracy that counts as learned (Figs 1B, 4B-D).
    success_threshold
        Validation accuracy that counts as solved (Fig 4A).
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
        keep(self, distinct, "widths", "sizes", "conditions")
        _each(self, "widths", "width", at_least=1)
        _each(self, "sizes", "n", at_least=4)
        for n in self.sizes:
            if n % 4:
                raise ValueError(f"n must be a multiple of 4 in a protocol's sizes, got {n}")
        for condition in self.conditions:
            one_of("condition", condition, CONDITIONS)
        keep(self, partial(whole_number, at_least=1), "trials", "epochs", "batch_size")
        keep(self, partial(whole_number, at_least=4), "n_val")
        if self.n_val % 4:
            raise ValueError(f"n_val must be a multiple of 4, got {self.n_val}")
        keep(self, partial(whole_number, at_least=0), "seed")
        keep(self, positive, "lr", "epsilon")
        one_of("reset", self.reset, RESETS)
        one_of("match", self.match, MATCHES)
        keep(self, open_unit_interval, "threshold", "success_threshold")

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


@dataclass(frozen=True)
class ImagesProtocol:
    """AlexNet on images, as in sections 3 and 4 of the paper (Figs 2, 3 and C.2 to C.6).

    A network is trained on the first n images of a data set and evaluated on its test images. Its
    polarity is a donor's (IN) or its own random signs (RAND), its magnitudes fresh or the donor's
    (IN-weight), and its signs are held (frozen) or free (fluid). Fields are checked when an
    instance is made.

    Attributes
    ----------
    dataset
        ``"fashion_mnist"`` or ``"cifar10"``.
    sizes
        Numbers of training images; by default the paper's for the data set.
    conditions
        Which of the six conditions to train.
    trials
        Networks per size and condition.
    epochs
        Passes over the data.
    batch_size
        Images a step.
    lr
        Adam's learning rate.
    architecture
        A name of :data:`polarity.networks.ARCHITECTURES`; it fixes the image size.
    donor
        Whose polarity is transferred; a name of :data:`polarity.donors.DONORS`, or the path of a
        template file. It is looked up when a run is identified.
    reset
        The rule of Algorithm 1 for a weight of the wrong sign.
    epsilon
        The rule's scale.
    precision
        ``"float32"``, without TF32 even in a GPU's convolutions, or ``"bf16"``: autocast with
        float32 master weights.
    n_val
        Test images of the evaluation, the first ones; the paper uses all 10,000.
    evaluate_every
        Epochs between evaluations; the last epoch is always evaluated.
    tier
        ``"paper"``, ``"reduced"`` or ``"smoke"``: which experiment this is. Results of one tier are
        never shown as those of another.
    seed
        Seed of starts, batches, dropout and draws of posRand, together with (data set, n, trial)
        and never with the condition.
    """

    dataset: str = "fashion_mnist"
    sizes: tuple[int, ...] = ()
    conditions: tuple[str, ...] = IMAGE_CONDITIONS
    trials: int = 20
    epochs: int = 100
    batch_size: int = 1000
    lr: float = 1e-3
    architecture: str = "alexnet"
    donor: str = "tiny_imagenet_227"
    reset: str = "posRand"
    epsilon: float = 1e-3
    precision: str = "float32"
    n_val: int = 10_000
    evaluate_every: int = 1
    tier: str = "paper"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every field; tuples may be given as lists.

        Raises
        ------
        TypeError, ValueError
            Naming the field, its value and what is allowed.
        """
        one_of("dataset", self.dataset, IMAGE_SIZES)
        if isinstance(self.sizes, Sized) and not len(self.sizes):
            object.__setattr__(self, "sizes", IMAGE_SIZES[self.dataset])
        keep(self, distinct, "sizes", "conditions")
        _each(self, "sizes", "n", at_least=1)
        for condition in self.conditions:
            one_of("condition", condition, IMAGE_CONDITIONS)
        counts = ("trials", "epochs", "batch_size", "n_val", "evaluate_every")
        keep(self, partial(whole_number, at_least=1), *counts)
        keep(self, partial(whole_number, at_least=0), "seed")
        keep(self, positive, "lr", "epsilon")
        one_of("reset", self.reset, RESETS)
        one_of("precision", self.precision, PRECISIONS)
        one_of("tier", self.tier, IMAGE_TIERS)
        one_of("architecture", self.architecture, ARCHITECTURES)
        if not isinstance(self.donor, str):
            raise TypeError(f"donor must be a name, got {self.donor!r}")

    @classmethod
    def reduced(cls, dataset: str = "fashion_mnist", **changes: Any) -> ImagesProtocol:
        """The experiment at a size that a processor can run: AlexNet at 64 pixels."""
        settings: dict[str, Any] = {
            "dataset": dataset,
            "sizes": (100, 250, 500, 1000),
            "trials": 10,
            "architecture": "alexnet_64",
            "donor": "tiny_imagenet_64",
            "n_val": 2000,
            "evaluate_every": 2,
            "tier": "reduced",
        }
        return cls(**(settings | changes))

    def smoke(self) -> ImagesProtocol:
        """The same experiment in seconds: one small size, two trials, two epochs, few images."""
        return replace(
            self,
            sizes=(min(self.sizes),),
            trials=min(self.trials, 2),
            epochs=min(self.epochs, 2),
            n_val=min(self.n_val, 100),
            tier="smoke",
        )

    @property
    def threshold(self) -> float:
        """Validation accuracy that counts as learned in Figs 2 and 3."""
        return IMAGE_THRESHOLDS[self.dataset]

    def evaluated(self) -> list[int]:
        """The epochs, counted from 0, after which the network is evaluated."""
        last = self.epochs - 1
        step = self.evaluate_every
        return sorted({*range(step - 1, self.epochs, step), last})

    def cell(self, n: int, trial: int, condition: str) -> dict[str, Any]:
        """What identifies one run, in plain JSON values: every field that changes its numbers."""
        alike = {"sizes", "conditions", "trials"}
        settings = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in alike}
        return {
            "experiment": "images",
            **settings,
            "n_train": whole_number("n", n, at_least=1),
            "trial": whole_number("trial", trial, at_least=0),
            "condition": condition,
        }

    def describe(self) -> dict[str, object]:
        """The fields by name, for a provenance record."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def derived_seed(seed: int, index: int) -> int:
    """Return a seed for one of several repetitions, so that those of different seeds share none.

    ``seed + index`` would: the second of seed 0 is the first of seed 1.

    Parameters
    ----------
    seed
        What a reader may choose; at least 0.
    index
        Which repetition; at least 0.

    Examples
    --------
    >>> len({derived_seed(seed, index) for seed in range(20) for index in range(20)})
    400
    """
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def _each(protocol: object, name: str, called: str, *, at_least: int) -> None:
    """Make the values of a field whole numbers; one of them is ``called`` that in an error."""
    values = getattr(protocol, name)
    numbers = tuple(whole_number(called, value, at_least=at_least) for value in values)
    object.__setattr__(protocol, name, numbers)
