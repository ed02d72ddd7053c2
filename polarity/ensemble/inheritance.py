"""What a network inherits from a trained one: signs, magnitudes, or the order of magnitudes.

A *recipient* starts from weights drawn afresh, into which some of a *donor* is put. All starts of
one recipient are made of two networks: the fresh one and the donor. So two conditions differ in
what they take from which, and in nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from .start import Templates, Weights, templates

INFORMATIVE = (0, 1)
"""The inputs that decide the recipient's task."""


def _signed(magnitudes: Weights, signs: Weights) -> Weights:
    """The magnitudes (and biases) of one network with the signs of another."""
    return Weights(
        np.copysign(magnitudes.w1, signs.w1),
        magnitudes.b1,
        np.copysign(magnitudes.w2, signs.w2),
        magnitudes.b2,
    )


def _arranged(fresh: Weights, donor: Weights) -> Weights:
    """The fresh magnitudes, layer by layer put where the donor has those of the same rank."""

    def arrange(values: np.ndarray, like: np.ndarray) -> np.ndarray:
        flat = np.sort(np.abs(values).reshape(len(values), -1), axis=1)
        places = np.argsort(np.abs(like).reshape(len(like), -1), axis=1, kind="stable")
        result = np.empty_like(flat)
        np.put_along_axis(result, places, flat, axis=1)
        return result.reshape(values.shape)

    return fresh._replace(w1=arrange(fresh.w1, donor.w1), w2=arrange(fresh.w2, donor.w2))


def _sufficient(fresh: Weights, donor: Weights) -> Weights:
    signs = templates(fresh, "frozen_sufficient").t2
    return fresh._replace(w2=np.copysign(fresh.w2, signs))


def _informative_signs(fresh: Weights, donor: Weights) -> Weights:
    w1 = fresh.w1.copy()
    used = list(INFORMATIVE)
    w1[:, used] = np.copysign(fresh.w1[:, used], donor.w1[:, used])
    return fresh._replace(w1=w1, w2=np.copysign(fresh.w2, donor.w2))


#: What a recipient starts from, given fresh weights and a donor's: one network for each of these.
#: Biases have no polarity: they come with the magnitudes.
STARTS: Mapping[str, Callable[[Weights, Weights], Weights]] = MappingProxyType(
    {
        # nothing of the donor
        "random": lambda fresh, donor: fresh,
        "sufficient": _sufficient,
        # the conditions of transfer
        "donor_polarity": _signed,
        "donor_weight": lambda fresh, donor: donor,
        # one piece at a time: random signs with the donor's magnitudes, or with their order only
        "donor_magnitude": lambda fresh, donor: _signed(donor, fresh),
        "donor_order": lambda fresh, donor: _signed(_arranged(fresh, donor), fresh),
        "donor_polarity_order": lambda fresh, donor: _signed(_arranged(fresh, donor), donor),
        # some of the donor's signs: one layer's, or all but those of the noise inputs
        "donor_hidden_polarity": lambda fresh, donor: _signed(fresh, fresh._replace(w1=donor.w1)),
        "donor_output_polarity": lambda fresh, donor: _signed(fresh, fresh._replace(w2=donor.w2)),
        "donor_informative_polarity": _informative_signs,
    }
)
#: Starts that are the same whoever the donor is.
DONOR_FREE = ("random", "sufficient")
TRANSFER_CONDITIONS = (
    "frozen_donor_polarity",
    "fluid_donor_polarity",
    "frozen_random",
    "fluid_random",
    "frozen_donor_weight",
    "fluid_donor_weight",
)


def split_condition(condition: str) -> tuple[bool, str]:
    """Return whether a condition is frozen, and its start.

    Raises
    ------
    ValueError
        If there is no such condition.

    Examples
    --------
    >>> split_condition("fluid_donor_polarity")
    (False, 'donor_polarity')
    """
    freedom, _, start = str(condition).partition("_")
    if freedom not in ("frozen", "fluid") or start not in STARTS:
        raise ValueError(
            f"condition must be frozen_ or fluid_ with one of {', '.join(STARTS)}; "
            f"got {condition!r}"
        )
    return freedom == "frozen", start


def recipient(condition: str, fresh: Weights, donor: Weights) -> tuple[Weights, Templates]:
    """What a recipient starts from, and the signs it keeps.

    A frozen and a fluid recipient start from the same weights. The first keeps their signs, so that
    it needs no match; the second is free.

    Parameters
    ----------
    condition
        ``frozen_`` or ``fluid_`` and a key of :data:`STARTS`.
    fresh, donor
        Stacks of networks of one width, of equal length.

    Returns
    -------
    Weights, Templates
        One network for each of ``fresh``.

    Raises
    ------
    ValueError
        If there is no such condition, or the two stacks differ in shape.
    """
    frozen, start = split_condition(condition)
    if [part.shape for part in fresh] != [part.shape for part in donor]:
        raise ValueError(
            f"fresh and donor must have the same shapes, got {[p.shape for p in fresh]} and "
            f"{[p.shape for p in donor]}"
        )
    weights = STARTS[start](fresh, donor)
    t1, t2 = (np.sign(part).astype(np.int8) * np.int8(frozen) for part in (weights.w1, weights.w2))
    return weights, Templates(t1, t2)
