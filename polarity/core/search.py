"""The search of a large layer for signs that differ from its template, compiled by Numba.

Few weights leave their polarity in a step, so that finding them is most of what a reset costs on a
processor. NumPy's search (:mod:`polarity.core.reset`) goes over a layer several times; this one
goes once. Both find the same places in the same order.

Threads were tried and gain nothing: torch's own, idle after a step, keep the other cores busy.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .reset import Integers

__all__ = ["differing"]

_PIECE = 1 << 12  # weights whose flags stay in the fastest cache
_WORD = 8  # flags that are looked at together


def differing(bits: Integers, signs: Integers) -> tuple[Integers, Integers, Integers]:
    """Return where the sign bits of a flat layer and its template differ, and both entries there.

    Parameters
    ----------
    bits : array of int16, int32 or int64
        The weights' bits, one-dimensional.
    signs : array of int8
        Their template entries, of the same length.

    Returns
    -------
    tuple of three arrays
        Places, ascending; bits; entries.

    Examples
    --------
    >>> bits = np.array([-0.3, 0.2, -0.7], np.float32).view(np.int32)
    >>> places, _, entries = differing(bits, np.array([1, 1, -1], np.int8))
    >>> places, entries
    (array([0]), array([1], dtype=int8))
    """
    found: tuple[Integers, Integers, Integers] = _search(bits, signs)
    return found


@njit(nogil=True, cache=True)
def _search(bits, signs):  # type: ignore[no-untyped-def]  # pragma: no cover (compiled)
    """Search in one pass, a piece of the layer at a time."""
    flags = np.zeros(_PIECE, np.bool_)
    words = flags.view(np.uint64)
    hits = np.empty(_PIECE // _WORD, np.int64)
    room, found = _PIECE + bits.size // 32, 0  # more than most steps need; unused, it costs nothing
    places = np.empty(room, np.int64)
    weights, entries = np.empty(room, bits.dtype), np.empty(room, signs.dtype)
    for start in range(0, bits.size, _PIECE):
        here, there = bits[start : start + _PIECE], signs[start : start + _PIECE]
        for i in range(here.size):  # becomes vectors
            flags[i] = (here[i] < 0) != (there[i] < 0)
        flags[here.size :] = False
        # No branch on a flag from here on: a processor would guess too many of them wrong.
        n_hits = 0
        for word in range(words.size):
            hits[n_hits] = word
            n_hits += words[word] != 0
        if found + n_hits * _WORD > room:
            room = 2 * room + n_hits * _WORD
            places = _longer(places, found, room)
            weights = _longer(weights, found, room)
            entries = _longer(entries, found, room)
        first = found
        for hit in hits[:n_hits]:
            for i in range(hit * _WORD, (hit + 1) * _WORD):
                places[found] = start + i
                found += flags[i]
        for k in range(first, found):
            weights[k] = here[places[k] - start]
            entries[k] = there[places[k] - start]
    return places[:found], weights[:found], entries[:found]


@njit(nogil=True, cache=True)
def _longer(array, used, size):  # type: ignore[no-untyped-def]  # pragma: no cover (compiled)
    """Return a copy with room for ``size`` entries."""
    copy = np.empty(size, array.dtype)
    copy[:used] = array[:used]
    return copy
