"""Pickles as others wrote them: by Python 2, by numpy, and to do harm."""

from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path

import numpy as np

ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"


def python_2(value: object) -> bytes:
    """A pickle as Python 2 wrote one, protocol 2: strings are bytes, of arrays too."""
    return b"\x80\x02" + _python_2(value) + b"."


def _python_2(value: object) -> bytes:
    if isinstance(value, dict):
        items = b"".join(_python_2(k) + _python_2(v) for k, v in value.items())
        return b"}(" + items + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_python_2, value)) + b"e"
    if isinstance(value, bytes):
        if len(value) < 256:
            return b"U" + bytes([len(value)]) + value
        return b"T" + struct.pack("<i", len(value)) + value
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    assert isinstance(value, np.ndarray)
    shape = b"(" + b"".join(map(_python_2, value.shape)) + b"t"
    code, order = value.dtype.str[1:].encode(), value.dtype.str[:1].encode()
    kind = b"cnumpy\ndtype\n(" + _python_2(code) + b"K\x00K\x01tR"
    kind += b"(K\x03" + _python_2(order) + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return ARRAY + b"(K\x01" + shape + kind + b"\x89" + _python_2(value.tobytes()) + b"tb"


def npy(value: object) -> bytes:
    """What numpy.save makes of a dictionary."""
    file = io.BytesIO()
    np.save(file, np.array(value), allow_pickle=True)
    return file.getvalue()


class Harm:
    """Unpickled by Python's own reader, it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        import os

        return os.system, (f"touch '{self.marker}'",)


def does_harm(content: bytes, marker: Path) -> bool:
    """Whether Python's own reader would be harmed by a pickle; it undoes the harm."""
    pickle.loads(content)
    harmed = marker.exists()
    marker.unlink(missing_ok=True)
    return harmed
