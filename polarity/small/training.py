"""Donors and recipients among handwritten digits, for the networks of :mod:`.networks`.

A trial deals out the ten digits: five for the recipients, five for a donor of another task. Within
a trial all recipients share magnitudes, biases, images, batches and the seed of the reset rule.
Members of a trial are trained one at a time, trials beside each other.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import joblib
import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from .._checks import distinct, keep, one_of, positive, whole_number
from ..core import FreezeSGD, PolarityTemplate, weight_names
from ..core.reset import check_rule
from .networks import HEAD, NETWORKS, DigitViT
from .symmetries import score_matrices

__all__ = [
    "CONDITIONS",
    "KINDS",
    "Deal",
    "DigitsProtocol",
    "Recipe",
    "Result",
    "Seeds",
    "Task",
    "deal",
    "fit",
    "gains",
    "inherited",
    "kinds",
    "polarity_of",
    "start",
    "train_digits",
    "train_donors",
    "train_trial",
]

CLASSES = 5
"""Digits that a network tells apart."""

KINDS = ("weights", "gains", "biases", "position")
"""What a network's parameters are: weights have a polarity by default, the others have none."""


class Recipe(NamedTuple):
    """What a condition is: where the signs come from, and which of them are held."""

    donor: str | None
    """``"same"`` digits, ``"other"`` digits, or None: the recipient's own random signs."""
    frozen: bool
    kinds: tuple[str, ...] = ("weights",)
    if_any: bool = False
    """Whether kinds that a network lacks are passed over."""


CONDITIONS: Mapping[str, Recipe] = MappingProxyType(
    {
        "frozen_donor_polarity": Recipe("same", True),
        "fluid_donor_polarity": Recipe("same", False),
        "frozen_other_polarity": Recipe("other", True),
        "frozen_random": Recipe(None, True),
        "fluid_random": Recipe(None, False),
        "frozen_donor_gains": Recipe("same", True, ("weights", "gains")),
        "frozen_random_gains": Recipe(None, True, ("weights", "gains")),
        "frozen_rest": Recipe(None, True, KINDS[1:], if_any=True),
        "frozen_everything": Recipe(None, True, KINDS, if_any=True),
    }
)
"""The conditions that a recipient can be trained under."""


@dataclass(frozen=True)
class DigitsProtocol:
    """How donors and recipients are trained.

    Parameters
    ----------
    n_train
        Training images of a recipient, 2 or more.
    epochs, batch_size
        Of a recipient. Of every epoch the images of an incomplete last batch are left out.
    donor_epochs, donor_batch_size
        Of a donor, which has half of its digits' images.
    lr
        Of Adam.
    reset, epsilon
        As for :class:`~polarity.FreezeSGD`.
    seed
        Of everything, together with a trial's number.

    Raises
    ------
    TypeError, ValueError
        If a number is no number, or too small, or the rule is unknown.
    """

    n_train: int = 50
    epochs: int = 25
    batch_size: int = 10
    donor_epochs: int = 8
    donor_batch_size: int = 25
    lr: float = 0.01
    reset: str = "posRand"
    epsilon: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        keep(self, partial(whole_number, at_least=1), "epochs", "donor_epochs")
        two = partial(whole_number, at_least=2)  # as many images as batch norm needs
        keep(self, two, "n_train", "batch_size", "donor_batch_size")
        keep(self, partial(whole_number, at_least=0), "seed")
        keep(self, positive, "lr", "epsilon")
        check_rule(self.reset)

    def of_donor(self) -> DigitsProtocol:
        """Return the protocol that donors are trained by."""
        return replace(self, epochs=self.donor_epochs, batch_size=self.donor_batch_size)

    def smoke(self) -> DigitsProtocol:
        """Return a protocol of seconds, which only shows that everything works."""
        return replace(self, epochs=2, donor_epochs=1)


class Seeds(NamedTuple):
    """Seeds of the streams of one trial; no condition has a part in them."""

    deal: int
    donor: int
    start: int
    order: int
    draws: int
    signs: int

    @classmethod
    def of(cls, seed: int, trial: int) -> Seeds:
        """Return the seeds of a trial."""
        state = np.random.SeedSequence([seed, trial]).generate_state(len(cls._fields))
        return cls(*map(int, state))


class Task(NamedTuple):
    """Images (n, 8, 8) and their labels (n,), counted from 0."""

    images: Tensor
    labels: Tensor


class Deal(NamedTuple):
    """The images of one trial; no image is in two of them."""

    train: Task
    """Of the recipients."""
    validation: Task
    same: Task
    """Of the donor that learns the recipients' digits."""
    other: Task
    """Of the donor that learns the other five digits; as many images."""


def deal(images: Tensor, labels: Tensor, n_train: int, seed: int) -> Deal:
    """Deal out digits and images for one trial.

    Parameters
    ----------
    images, labels
        Of ten classes, float (n, 8, 8) and whole numbers (n,).
    n_train
        Training images of the recipients.
    seed
        Decides everything.

    Raises
    ------
    ValueError
        If too few images are left to validate on.
    """
    generator = torch.Generator().manual_seed(seed)
    digits = torch.randperm(2 * CLASSES, generator=generator)
    shuffled = torch.randperm(len(labels), generator=generator)

    def task(chosen: Tensor, mine: Tensor) -> Task:
        return Task(images[mine], (labels[mine, None] == chosen).int().argmax(1))

    halves = torch.split(digits, CLASSES)
    own, other = (shuffled[torch.isin(labels[shuffled], chosen)] for chosen in halves)
    same, rest = own.chunk(2)
    if n_train >= len(rest):
        raise ValueError(f"n_train must be below {len(rest)}, got {n_train}")
    return Deal(
        task(halves[0], rest[:n_train]),
        task(halves[0], rest[n_train:]),
        task(halves[0], same),
        task(halves[1], other[: len(same)]),
    )


def _check_digits(images: Tensor, labels: Tensor) -> None:
    """Raise unless these are images (n, 8, 8) in float32, and the number of each one's digit.

    Raises
    ------
    TypeError, ValueError
        Naming what is wrong.
    """
    for name, tensor in (("images", images), ("labels", labels)):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(tensor).__name__}")
    if images.dtype != torch.float32 or images.shape[1:] != (8, 8):
        raise ValueError(
            f"images must be float32 of shape (n, 8, 8), got {images.dtype} of "
            f"{tuple(images.shape)}"
        )
    if labels.shape != images.shape[:1] or labels.is_floating_point():
        raise ValueError(
            f"labels must be whole numbers of shape ({len(images)},), one for each image; got "
            f"{labels.dtype} of {tuple(labels.shape)}"
        )
    if (found := labels.unique().tolist()) != list(range(2 * CLASSES)):
        raise ValueError(f"labels must be those of ten digits, 0 to 9 and all of them; got {found}")


def kinds(model: nn.Module) -> dict[str, str]:
    """Return the kind of every parameter of one of the small networks, by name."""
    weights = set(weight_names(model))
    norms = {
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm)
    }
    found = {}
    for name, _ in model.named_parameters():
        if name in weights:
            found[name] = "weights"
        elif name in norms:
            found[name] = "gains"
        else:
            found[name] = "biases" if "bias" in name else name
    return found


def polarity_of(
    model: nn.Module, which: Iterable[str] = ("weights",), generator: torch.Generator | None = None
) -> PolarityTemplate:
    """Return the signs of a model's parameters of some kinds; a parameter of 0 draws one.

    Weights are free if their kind is left out. What is drawn does not depend on the kinds.
    """
    of_kind, chosen = kinds(model), set(which)
    drawn = PolarityTemplate.random(model, list(of_kind), generator=generator)
    signs = {}
    for name, kind in of_kind.items():
        own = model.get_parameter(name).detach().sign()
        if kind in chosen:
            signs[name] = torch.where(own == 0, drawn[name], own)
        elif kind == "weights":
            signs[name] = torch.zeros_like(own)
    return PolarityTemplate(signs)


def gains(model: nn.Module) -> NDArray[np.float32]:
    """Return the gains of all norms of a network in one row."""
    found = kinds(model)
    rows = [p.detach().flatten() for name, p in model.named_parameters() if found[name] == "gains"]
    return torch.cat(rows).numpy().copy() if rows else np.empty(0, np.float32)


def start(network: str, seed: int) -> nn.Module:
    """Return a network as it is before training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[one_of("network", network, NETWORKS)](CLASSES)


@torch.no_grad()
def evaluate(model: nn.Module, task: Task) -> tuple[float, float]:
    """Return mean loss and accuracy."""
    model.eval()
    logits = model(task.images)
    right = logits.argmax(1) == task.labels
    return float(F.cross_entropy(logits, task.labels)), float(right.float().mean())


def fit(
    model: nn.Module,
    task: Task,
    protocol: DigitsProtocol,
    seeds: Seeds,
    template: PolarityTemplate | None = None,
    validation: Task | None = None,
) -> list[tuple[float, float]]:
    """Train in place; return loss and accuracy on the validation images by epoch.

    Parameters
    ----------
    model
        Matched to the template.
    task
        What to learn.
    protocol
        Epochs, batches, optimizer and reset rule.
    seeds
        Of the order of images and of the draws of the reset rule.
    template
        Signs to hold; None: fluid.
    validation
        None: nothing is returned.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=protocol.lr, fused=True)
    if template is not None:
        FreezeSGD(model, optimizer, template, protocol.reset, protocol.epsilon, seed=seeds.draws)
    order = torch.Generator().manual_seed(seeds.order)
    size = min(protocol.batch_size, len(task.labels))
    steps = len(task.labels) // size  # an incomplete batch would upset batch norm
    curve = []
    for _ in range(protocol.epochs):
        model.train()
        shuffled = torch.randperm(len(task.labels), generator=order)
        for batch in shuffled[: steps * size].reshape(steps, size):
            optimizer.zero_grad()
            F.cross_entropy(model(task.images[batch]), task.labels[batch]).backward()
            optimizer.step()
        if validation is not None:
            curve.append(evaluate(model, validation))
    return curve


def train_donors(
    network: str, dealt: Deal, protocol: DigitsProtocol, seeds: Seeds
) -> dict[str, nn.Module]:
    """Train the two donors of a trial from one start: on the same digits, and on the others."""
    donors = {}
    for name, task in (("same", dealt.same), ("other", dealt.other)):
        donors[name] = start(network, seeds.donor)
        fit(donors[name], task, protocol.of_donor(), seeds)
    return donors


def inherited(
    recipe: Recipe, model: nn.Module, donors: Mapping[str, nn.Module], seed: int
) -> PolarityTemplate:
    """Return the signs that a recipient receives under a recipe.

    The last layer of a donor of other digits names other digits: of it, nothing is inherited.

    Parameters
    ----------
    recipe
        Which signs.
    model
        The recipient before training.
    donors
        ``same`` and ``other``; not needed by a recipe without a donor.
    seed
        Of the signs of parameters that start at 0.

    Raises
    ------
    ValueError
        If the network lacks one of these kinds, or all where lacking is allowed.
    """
    there = set(kinds(model).values())
    lacking = [kind for kind in recipe.kinds if kind not in there]
    if lacking and not (recipe.if_any and there.intersection(recipe.kinds)):
        raise ValueError(f"the network has no {' and no '.join(lacking)}")
    own = polarity_of(model, recipe.kinds, torch.Generator().manual_seed(seed))
    if recipe.donor is None:
        return own
    signs = polarity_of(donors[recipe.donor], recipe.kinds)
    if recipe.donor == "other":
        return PolarityTemplate({**signs, f"{HEAD}.weight": own[f"{HEAD}.weight"]})
    return signs


class Result(NamedTuple):
    """What is left of one trial of one network."""

    curves: dict[str, list[tuple[float, float]]]
    """Condition -> validation loss and accuracy by epoch."""
    lost: dict[str, float]
    """Condition -> share of the recipient's signs that it has given up at the end."""
    gains: dict[str, NDArray[np.float32]]
    """Condition, or ``same_donor`` and ``other_donor`` -> gains of the norms after training."""
    scores: dict[str, float]
    """Condition -> share of entries of attention's score matrices that changed sign."""


def train_trial(
    network: str,
    trial: int,
    conditions: Iterable[str],
    protocol: DigitsProtocol,
    images: Tensor,
    labels: Tensor,
) -> Result:
    """Train the donors and the recipients of one trial, one after the other.

    Parameters
    ----------
    network
        A name of :data:`~polarity.small.networks.NETWORKS`.
    trial
        Its number; with the protocol's seed it decides every draw.
    conditions
        Names of :data:`CONDITIONS`.
    protocol
        How to train.
    images, labels
        All images (n, 8, 8), and their ten classes (n,).

    Raises
    ------
    ValueError
        If the network or a condition is unknown, or the network lacks what a condition freezes.
    """
    seeds = Seeds.of(protocol.seed, trial)
    dealt = deal(images, labels, protocol.n_train, seeds.deal)
    donors = train_donors(network, dealt, protocol, seeds)
    fresh = start(network, seeds.start)
    result = Result({}, {}, {f"{name}_donor": gains(donor) for name, donor in donors.items()}, {})
    for condition in conditions:
        recipe = CONDITIONS[one_of("condition", condition, CONDITIONS)]
        template = inherited(recipe, fresh, donors, seeds.signs)
        model = template.match_(copy.deepcopy(fresh))
        before = copy.deepcopy(model)
        held = template if recipe.frozen else None
        result.curves[condition] = fit(model, dealt.train, protocol, seeds, held, dealt.validation)
        lost = sum(template.violations(model).values())
        result.lost[condition] = lost / template.num_bits
        result.gains[condition] = gains(model)
        if isinstance(model, DigitViT) and isinstance(before, DigitViT):
            turned = score_matrices(model).sign() != score_matrices(before).sign()
            result.scores[condition] = float(turned.float().mean())
    return result


def train_digits(
    conditions: Mapping[str, Sequence[str]],
    trials: Mapping[str, int],
    protocol: DigitsProtocol,
    images: Tensor,
    labels: Tensor,
    *,
    jobs: int = -1,
) -> dict[str, xr.Dataset]:
    """Train donors and recipients of several networks, as many trials at once as there are cores.

    Parameters
    ----------
    conditions
        Network -> names of conditions, such as ``"frozen_random"``.
    trials
        Network -> number of trials.
    protocol
        How to train.
    images, labels
        All images (n, 8, 8), and their ten classes (n,).
    jobs
        Processes, as joblib counts them: -1 is one for each core. Results do not depend on it.

    Returns
    -------
    dict
        Network -> Dataset. ``val_loss`` and ``val_accuracy`` have dims (condition, trial, epoch).
        ``lost``, the share of weights that end with another sign than their template's, and, with
        attention, ``scores``, the share of its score matrices' signs that turned, have (condition,
        trial). With norms, ``gains`` has (holder, trial, gain), where holders are the conditions
        and the two donors, and ``gain_start`` (gain) is what every one of them began with.

    Raises
    ------
    TypeError, ValueError
        If a network or a condition is unknown or there twice, or a network lacks what a condition
        freezes; if a number of trials is missing or below 1; if images or labels are of other
        shapes or types, or not of ten classes.
    """
    _check_digits(images, labels)
    for network, names in conditions.items():
        one_of("network", network, NETWORKS)
        for condition in distinct(f"conditions of {network}", names):
            one_of("condition", condition, CONDITIONS)
    if unknown := conditions.keys() - trials.keys():
        raise ValueError(
            f"trials must say how many of each network in conditions; got none of "
            f"{', '.join(sorted(unknown))}"
        )
    for network, count in trials.items():
        whole_number(f"trials of {network}", count, at_least=1)
    todo = [(network, trial) for network in conditions for trial in range(trials[network])]
    work = (
        joblib.delayed(_alone)(network, trial, conditions[network], protocol, images, labels)
        for network, trial in todo
    )
    done = dict(zip(todo, joblib.Parallel(n_jobs=jobs)(work), strict=True))
    return {
        network: _dataset(network, conditions[network], [done[network, t] for t in range(count)])
        for network, count in trials.items()
        if network in conditions
    }


def _alone(network: str, trial: int, *rest: object) -> Result:
    with _one_thread():
        return train_trial(network, trial, *rest)  # type: ignore[arg-type]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Layers are so small that a second thread costs more than it brings."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _dataset(network: str, conditions: Sequence[str], results: Sequence[Result]) -> xr.Dataset:
    curves = np.array(
        [[result.curves[name] for result in results] for name in conditions], np.float32
    )
    by_epoch = ("condition", "trial", "epoch")
    once = ("condition", "trial")
    variables: dict[str, tuple[tuple[str, ...], object]] = {
        "val_loss": (by_epoch, curves[..., 0]),
        "val_accuracy": (by_epoch, curves[..., 1]),
        "lost": (once, [[result.lost[name] for result in results] for name in conditions]),
    }
    coords: dict[str, object] = {
        "condition": list(conditions),
        "trial": range(len(results)),
        "epoch": range(curves.shape[2]),
    }
    if results[0].scores:
        rows = [[result.scores[name] for result in results] for name in conditions]
        variables["scores"] = (once, rows)
    if (began := gains(start(network, 0))).size:
        coords["holder"] = list(results[0].gains)
        coords["gain_start"] = ("gain", began)
        rows_of = [[result.gains[name] for result in results] for name in results[0].gains]
        variables["gains"] = (("holder", "trial", "gain"), np.array(rows_of))
    return xr.Dataset(variables, coords)
