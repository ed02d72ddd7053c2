"""The six starts of section 3: whose signs, whose magnitudes, held or free."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from .._checks import one_of, whole_number
from ..core import PolarityTemplate
from ..datasets import DataNotFound
from ..donors.catalogue import donor as find_donor
from ..donors.donor import Donor, complete_template
from ..networks import alexnet, initialise_
from ..protocols import IMAGE_CONDITIONS, ImagesProtocol

__all__ = ["Condition", "Start", "possible", "seeds", "start"]


@dataclass(frozen=True)
class Condition:
    """What a condition's name says.

    Attributes
    ----------
    frozen
        Whether signs are held.
    polarity
        ``"donor"`` or ``"random"``: whose signs the network starts with.
    weights
        Whether it starts with the donor's magnitudes too.
    """

    frozen: bool
    polarity: str
    weights: bool

    @classmethod
    def named(cls, name: str) -> Condition:
        """Read one of :data:`~polarity.protocols.IMAGE_CONDITIONS`.

        Parameters
        ----------
        name
            The condition, e.g. ``"frozen_in_polarity"``.

        Examples
        --------
        >>> Condition.named("frozen_in_polarity")
        Condition(frozen=True, polarity='donor', weights=False)
        """
        one_of("condition", name, IMAGE_CONDITIONS)
        held, whose, what = name.split("_")
        return cls(held == "frozen", "random" if whose == "rand" else "donor", what == "weight")


@dataclass(frozen=True)
class Seeds:
    """Seeds of one (data set, n, trial): the same in every condition."""

    start: int
    batches: int
    dropout: int
    reset: int


@dataclass
class Start:
    """A network before training, and the template that it will be held to if it is frozen.

    Attributes
    ----------
    model
        The network, matched to the template.
    template
        A sign for every weight, those of layers without a donor too.
    """

    model: nn.Sequential
    template: PolarityTemplate


def seeds(protocol: ImagesProtocol, n: int, trial: int) -> Seeds:
    """Derive the seeds of a trial from (seed, data set, n, trial), never from the condition."""
    whole_number("n", n, at_least=1)
    whole_number("trial", trial, at_least=0)
    name = zlib.crc32(protocol.dataset.encode())
    words = np.random.SeedSequence([protocol.seed, name, n, trial]).generate_state(4, np.uint64)
    return Seeds(*(int(word >> np.uint64(2)) for word in words))


def donor_of(protocol: ImagesProtocol, condition: str, **where: Any) -> Donor | None:
    """Return the donor that a condition needs, with weights if it needs them; None for RAND.

    Raises
    ------
    DataNotFound
        If the donor, or its weights, are not to be had.
    ValueError
        If it is one for another architecture, or one without weights.
    """
    kind = Condition.named(condition)
    if kind.polarity == "random":
        return None
    donor = find_donor(protocol.donor, weights=kind.weights, **where)
    _check_fits(donor, protocol, condition)
    return donor


class _SignsAlone(ValueError):
    pass


def _check_fits(donor: Donor, protocol: ImagesProtocol, condition: str) -> None:
    if donor.architecture != protocol.architecture:
        raise ValueError(
            f"donor {donor.name} is an {donor.architecture}; the protocol's architecture is "
            f"{protocol.architecture}"
        )
    if Condition.named(condition).weights and donor.weights is None:
        raise _SignsAlone(
            f"condition {condition} needs the weights of donor {donor.name}, which hands on signs "
            "alone"
        )


def possible(protocol: ImagesProtocol, **where: Any) -> ImagesProtocol:
    """Return the protocol without the conditions whose donor is not here; print which, and why.

    The two of IN-weight need a donor's weights, which take 250 MB, so that no repository holds
    them; the others need its signs.

    Parameters
    ----------
    protocol
        Which experiment.
    **where
        As for :func:`polarity.donors.donor`.

    Raises
    ------
    DataNotFound, ValueError
        If that leaves none, or the donor is one for another architecture.
    """
    found: list[str] = []
    missing: dict[str, Exception] = {}
    for condition in protocol.conditions:
        try:
            donor_of(protocol, condition, **where)
        except (DataNotFound, _SignsAlone) as reason:
            missing[condition] = reason
        else:
            found.append(condition)
    if missing and not found:
        raise next(iter(missing.values()))
    if missing:
        print(f"Left out {', '.join(missing)}: {next(reversed(missing.values()))}")
    return replace(protocol, conditions=tuple(found))


def start(
    protocol: ImagesProtocol,
    n: int,
    trial: int,
    condition: str,
    *,
    donor: Donor | None = None,
    classes: int = 10,
) -> Start:
    """Return the network with which a run begins.

    Within a trial the four polarity conditions have the same magnitudes, drawn as in the paper,
    and the frozen and fluid network of a pair the same weights.

    Parameters
    ----------
    protocol
        Which experiment.
    n
        Number of training images.
    trial
        Which of the networks.
    condition
        One of :data:`~polarity.protocols.IMAGE_CONDITIONS`.
    donor
        Whose signs (and weights); needed unless the condition is a RAND one.
    classes
        Outputs of the network.

    Raises
    ------
    ValueError
        If the donor is missing, lacks weights, or is one for another architecture.
    """
    kind = Condition.named(condition)
    generator = torch.Generator().manual_seed(seeds(protocol, n, trial).start)
    with torch.device("meta"):  # torch's own draw would move the user's random stream
        model = alexnet(protocol.architecture, classes)
    model.to_empty(device="cpu")
    initialise_(model, generator)
    if kind.polarity == "random":
        return Start(model, PolarityTemplate.from_model(model))
    if donor is None:
        raise ValueError(f"condition {condition} needs a donor, got None")
    _check_fits(donor, protocol, condition)
    template = complete_template(donor, model)
    if kind.weights:
        model.load_state_dict({**model.state_dict(), **(donor.weights or {})})
    template.match_(model)
    return Start(model, template)
