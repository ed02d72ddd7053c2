"""Pickles of numbers, read without letting them do anything.

A pickle is a program for a small machine that can call whatever Python can import. Old data come
as pickles: CIFAR-10's original files, weights saved by numpy. Here such a file may build
dictionaries, lists, tuples, numbers, texts and arrays of numbers, and nothing else:

1. The whole program is read first. An instruction that arrays do not need, or the name of anything
   but an array's parts, ends it before the first instruction is carried out.
2. The four names that remain do not stand for numpy's functions but for the stand-ins below, which
   check what they are given. An array is made of bytes that are in the file, so that no file asks
   for more memory than its own size.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Mapping
from types import MappingProxyType
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

__all__ = ["RefusedPickle", "Stored", "load", "load_npy"]

PROTOCOL = 4  # the highest that is read
OPCODES = frozenset({
    "PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE",
    "BININT", "BININT1", "BININT2", "LONG1", "SHORT_BINSTRING", "BINSTRING",
    "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS",
    "EMPTY_DICT", "SETITEM", "SETITEMS", "BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET",
    "LONG_BINGET", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD",
})  # fmt: skip
NUMBERS = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})
MAX_DIMENSIONS = 32


class RefusedPickle(ValueError):
    """A pickle that holds something else than numbers, or is damaged."""


class _Part:
    """What stands for a name of numpy's; a pickle can neither call nor change it."""

    __slots__ = ()

    def __setstate__(self, state: object) -> NoReturn:
        raise RefusedPickle("it sets the state of a name")


class _ArrayType(_Part):
    """Stands for ``numpy.ndarray``."""

    __slots__ = ()


class _NewArray(_Part):
    """Stands for ``numpy.core.multiarray._reconstruct``."""

    __slots__ = ()

    def __call__(self, kind: object, shape: object, code: object) -> Stored:
        if not isinstance(kind, _ArrayType):
            raise RefusedPickle("it makes an array of another class")
        if shape != (0,):
            raise RefusedPickle("it makes an array before it says of what")
        return Stored()


class _NewDtype(_Part):
    """Stands for ``numpy.dtype``."""

    __slots__ = ()

    def __call__(self, code: object, align: object = False, copy: object = True) -> _Dtype:
        return _Dtype(_text(code))


class _Encode(_Part):
    """Stands for ``_codecs.encode``, by which protocol 2 writes bytes."""

    __slots__ = ()

    def __call__(self, text: object, encoding: object) -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise RefusedPickle("it encodes something else than bytes")
        return text.encode("latin1")


class _Dtype:
    """The type of an array's values: numbers of NUMBERS, or objects."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        if code not in NUMBERS and code not in ("O", "O4", "O8"):
            raise RefusedPickle(f"it has an array of type {code!r}, not of numbers")
        self.code = code
        self.order = "="

    def __setstate__(self, state: object) -> None:
        """Take the byte order; structured types and metadata are refused."""
        if (
            not isinstance(state, tuple)
            or len(state) != 8
            or any(x is not None for x in state[2:5])
        ):
            raise RefusedPickle("it has an array of a structured type")
        order = _text(state[1])
        if order not in ("<", ">", "|", "="):
            raise RefusedPickle(f"it has an array of byte order {order!r}")
        self.order = order


class Stored:
    """An array of a pickle.

    Attributes
    ----------
    array
        Its numbers, read-only; None in the one array of objects that an ``.npy`` file is.
    value
        That array's single object; None in all others.
    """

    __slots__ = ("array", "value")

    def __init__(self) -> None:
        self.array: NDArray[np.generic] | None = None
        self.value: object = None

    def __setstate__(self, state: object) -> None:
        """Take shape, type and bytes; they must fit each other."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise RefusedPickle("it has an array without shape, type and values")
        _, shape, dtype, fortran, raw = state
        if (
            not isinstance(shape, tuple)
            or len(shape) > MAX_DIMENSIONS
            or not all(type(size) is int and size >= 0 for size in shape)
        ):
            raise RefusedPickle("it has an array whose shape is none")
        if not isinstance(dtype, _Dtype):
            raise RefusedPickle("it has an array whose type is none")
        if dtype.code not in NUMBERS:
            if shape != () or not isinstance(raw, list) or len(raw) != 1:
                raise RefusedPickle("it has an array of objects, not of numbers")
            (self.value,) = raw
            return
        kind = np.dtype(dtype.order + dtype.code)
        if not isinstance(raw, bytes) or len(raw) != math.prod(shape) * kind.itemsize:
            got = f"{len(raw)} bytes" if isinstance(raw, bytes) else type(raw).__name__
            raise RefusedPickle(
                f"it has an array of {' x '.join(map(str, shape)) or 1} values of {kind.itemsize} "
                f"bytes, made of {got}"
            )
        flat = np.frombuffer(raw, kind)
        self.array = flat.reshape(shape, order="F" if fortran else "C")


_NEW_ARRAY = _NewArray()
NAMES: Mapping[tuple[str, str], _Part] = MappingProxyType(
    {
        ("numpy.core.multiarray", "_reconstruct"): _NEW_ARRAY,
        ("numpy._core.multiarray", "_reconstruct"): _NEW_ARRAY,
        ("numpy", "ndarray"): _ArrayType(),
        ("numpy", "dtype"): _NewDtype(),
        ("_codecs", "encode"): _Encode(),
    }
)
"""All names that a pickle may use, and what stands for them."""


def load(content: bytes, what: str) -> object:
    """Read a pickle of dictionaries, lists, tuples, numbers, texts and arrays of numbers.

    Parameters
    ----------
    content
        The pickle.
    what
        Its name, for messages.

    Returns
    -------
    object
        What it holds; arrays as :class:`Stored`, Python 2's strings as bytes.

    Raises
    ------
    RefusedPickle
        If it would do anything else than hold these, or is damaged.
    """
    try:
        _inspect(content)
        return _Unpickler(io.BytesIO(content), fix_imports=False, encoding="bytes").load()
    except RefusedPickle as error:
        raise RefusedPickle(f"{what} was refused: {error}") from None
    except Exception as error:  # a damaged pickle can end in any of them
        raise RefusedPickle(
            f"{what} is damaged, or no pickle of numbers: {error or type(error).__name__}"
        ) from None


def load_npy(content: bytes, what: str) -> object:
    """Read the one object of an ``.npy`` file that ``numpy.save`` wrote of a dictionary.

    Raises
    ------
    RefusedPickle
        As :func:`load` does; also if the file holds no single object.
    """
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        shape, _, dtype = readers[version](file)
    except KeyError:
        raise RefusedPickle(f"{what}: version {version} of the format is not known") from None
    except Exception as error:  # numpy parses the header as Python text
        raise RefusedPickle(f"{what} is damaged, or no .npy file: {error}") from None
    if shape != () or dtype != np.dtype(object):
        raise RefusedPickle(f"{what} must hold one object, got an array {shape} of {dtype}")
    held = load(content[file.tell() :], what)
    if not isinstance(held, Stored) or held.array is not None:
        raise RefusedPickle(f"{what} must hold one object in an array, got another pickle")
    return held.value


def _inspect(content: bytes) -> None:
    """Read a pickle's program, carrying nothing out."""
    remembered = 0
    end = 0
    for opcode, argument, position in pickletools.genops(content):
        assert position is not None  # known, for the program is bytes in memory
        name, end = opcode.name, position
        if name not in OPCODES:
            raise RefusedPickle(f"instruction {name} at byte {position} is not allowed")
        if name == "PROTO" and argument not in range(PROTOCOL + 1):
            raise RefusedPickle(f"protocol {argument} is not known, at most {PROTOCOL} is")
        if name == "GLOBAL":
            _named(*str(argument).split(" ", 1))
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            # Numbered one after the other, from 0 or 1; a gap would be filled, in memory.
            remembered += 1
            if argument is not None and argument > remembered:
                raise RefusedPickle(f"{name} at byte {position} remembers number {argument}")
    if end + 1 != len(content):
        raise RefusedPickle(f"{len(content) - end - 1} bytes follow its end")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> _Part:
        """Return the stand-in of a name."""
        return _named(module, name)


def _named(module: str, name: str) -> _Part:
    try:
        return NAMES[module, name]
    except KeyError:
        raise RefusedPickle(
            f"it names {module}.{name}; only parts of arrays are allowed, for a pickle can make "
            "Python run anything that it names"
        ) from None


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("latin1")
    if not isinstance(value, str):
        raise RefusedPickle(f"it has {type(value).__name__} in the place of a text")
    return value
