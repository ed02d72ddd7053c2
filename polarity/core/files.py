"""Templates as files: one bit for a weight that has a sign, 1.6 bits where some have none.

The container is `safetensors <https://github.com/huggingface/safetensors>`_, which holds bytes and
text and nothing that could be executed. Every entry is one vector of bytes (``U8``):

``bits``
    where every value is -1 or +1. Value i is bit i mod 8 of byte i // 8, set for +1. Bits beyond
    the last value are 0.
``trits``
    where some are 0. Byte j of m holds the values j, j+m, j+2m, j+3m, j+4m as a number to the
    base 3, least first, of digits value + 1. Digits beyond the last value are 0.

The header's metadata begin with the version of this layout, a SHA-256 of the header (taken with
zeros in the place of its own digits) and the number of bytes that follow; then comes for each entry
its encoding, its shape and a SHA-256 of its bytes, then what the author wished to say. Thus every
byte of the file is under a checksum, and damage can be placed.

One content has one file: equal entries, in the same order, with equal metadata, are equal bytes.
:func:`read` accepts nothing else than what :func:`write` would have written. The checksums tell
damage, not forgery: whoever can write a file can write its checksums.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polarity._files import replacing

__all__ = ["DamagedFileError", "FileVersionError", "TemplateFileError", "read", "write"]

Bytes: TypeAlias = NDArray[np.uint8]
Signs: TypeAlias = NDArray[np.int8]

VERSION = 1
HEADER_LIMIT = 1 << 24  # bytes; room for some 70 000 entries
MAX_DIMENSIONS = 64  # numpy's limit
CHUNK = 1 << 18  # values worked on at a time: they stay in the processor's cache

_RESERVED = "polarity."
_ENTRY = "polarity.entry."
_BEGINNING = re.compile(rb'.{8}\{"__metadata__":\{"polarity\.version":"(\d{1,9})"', re.DOTALL)
_SUMS = re.compile(rb',"polarity\.sha256":"([0-9a-f]{64})","polarity\.bytes":"(\d{1,19})"')
_LAYOUT = re.compile(r"(bits|trits) \[((?:\d{1,19}(?:,\d{1,19}){0,63})?)\] ([0-9a-f]{64})")


class TemplateFileError(ValueError):
    """A file that is no polarity template, or none that can be read."""


class DamagedFileError(TemplateFileError):
    """A file that was a template: it is cut off, was added to, or bytes have changed."""


class FileVersionError(TemplateFileError):
    """A template in a layout that this version of the package does not know."""


class Entry(NamedTuple):
    """What the header says of one entry."""

    encoding: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Number of bytes that the values take."""
        return -(-self.size // (8 if self.encoding == "bits" else 5))


def write(
    path: str | os.PathLike[str], signs: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Write the entries of a template; see :meth:`polarity.PolarityTemplate.save`.

    Parameters
    ----------
    path : str or path
        Where to.
    signs : mapping of str to Tensor
        int8 entries -1, 0, +1, of at most 64 dimensions.
    metadata : mapping of str to str
        What to say of them.

    Examples
    --------
    >>> signs = {"weight": torch.ones(2, 3, dtype=torch.int8)}
    >>> write("signs.safetensors", signs, {})
    """
    _check_metadata(metadata)
    _check_names(signs)
    entries: dict[str, Entry] = {}
    payload: list[memoryview] = []
    for name, tensor in signs.items():
        if tensor.dtype != torch.int8 or tensor.dim() > MAX_DIMENSIONS:
            raise ValueError(
                f"{name!r} must be an int8 tensor of at most {MAX_DIMENSIONS} dimensions, "
                f"got {tensor.dtype}, {tensor.dim()} dimensions"
            )
        encoding, packed = _pack(name, tensor.detach().cpu().reshape(-1).numpy())
        sha256 = hashlib.sha256(packed.data).hexdigest()
        entries[name] = Entry(encoding, tuple(tensor.shape), sha256)
        payload.append(packed.data)
    blank = _header(entries, metadata)
    if len(blank) > HEADER_LIMIT:
        raise ValueError(
            f"names and metadata take {len(blank)} bytes, more than the {HEADER_LIMIT} allowed"
        )
    header = _header(entries, metadata, hashlib.sha256(blank).hexdigest())
    _replace(Path(os.path.realpath(path)), [header, *payload])


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the entries and the metadata of a file; see :meth:`polarity.PolarityTemplate.load`.

    Examples
    --------
    >>> signs = {"weight": torch.ones(3, dtype=torch.int8)}
    >>> write("signs.safetensors", signs, {"by": "hand"})
    >>> read("signs.safetensors")
    ({'weight': tensor([1, 1, 1], dtype=torch.int8)}, {'by': 'hand'})
    """
    try:
        with open(path, "rb") as file:
            content, start, declared = _content(file)
        return _decoded(content, start, declared)
    except TemplateFileError as error:
        raise type(error)(f"{os.fspath(path)}: {error}") from None


# --- packing ------------------------------------------------------------------------------------


def _pack(name: str, signs: Signs) -> tuple[str, Bytes]:
    bits = _pack_bits(signs)
    if bits is not None:
        return "bits", bits
    trits = _pack_trits(signs)
    if trits is None:
        raise ValueError(f"{name!r} holds other values than -1, 0 and +1")
    return "trits", trits


def _pack_bits(signs: Signs) -> Bytes | None:
    """Return eight values a byte; None if there are others than -1 and +1."""
    packed = np.empty(-(-signs.size // 8), np.uint8)
    for first in range(0, signs.size, CHUNK):
        digits = signs[first : first + CHUNK].view(np.uint8) + np.uint8(1)
        if np.bitwise_or.reduce(digits) & 0b11111101:  # -1 and +1 have become 0 and 2
            return None
        part = np.packbits(digits, bitorder="little")
        packed[first // 8 : first // 8 + part.size] = part
    return packed


def _unpack_bits(packed: Bytes, signs: Signs) -> None:
    if signs.size % 8 and packed[-1] >> (signs.size % 8):
        raise DamagedFileError(f"bits beyond its {signs.size} values are not 0")
    for first in range(0, signs.size, CHUNK):
        part = signs[first : first + CHUNK].view(np.uint8)
        bits = np.unpackbits(
            packed[first // 8 : (first + CHUNK) // 8], count=part.size, bitorder="little"
        )
        np.add(bits, bits, out=part)
        np.subtract(part, np.uint8(1), out=part)


def _pack_trits(signs: Signs) -> Bytes | None:
    """Return five values a byte; None if there are others than -1, 0 and +1."""
    packed = np.zeros(-(-signs.size // 5), np.uint8)
    for first in range(0, packed.size, CHUNK):
        code = packed[first : first + CHUNK]
        for place in reversed(range(5)):
            begin = place * packed.size + first
            digits = signs[begin : begin + code.size].view(np.uint8) + np.uint8(1)
            if digits.max(initial=0) > 2:
                return None
            np.multiply(code, np.uint8(3), out=code)
            code[: digits.size] += digits
    return packed


def _unpack_trits(packed: Bytes, signs: Signs) -> None:
    free = False
    for first in range(0, packed.size, CHUNK):
        code = packed[first : first + CHUNK]
        if code.max() >= 3**5:
            wrong = first + int(np.argmax(code >= 3**5))
            raise DamagedFileError(f"byte {wrong} of its content is no number of five trits")
        for place in range(5):
            begin = place * packed.size + first
            part = signs[begin : begin + code.size].view(np.uint8)
            rest = code // np.uint8(3)
            digits = code - np.uint8(3) * rest
            if digits[part.size :].any():
                raise DamagedFileError(f"trits beyond its {signs.size} values are not 0")
            np.subtract(digits[: part.size], np.uint8(1), out=part)
            free = free or not part.all()
            code = rest
    if not free:
        raise DamagedFileError("it is written in trits although no value is 0")


# --- writing ------------------------------------------------------------------------------------


def _header(entries: Mapping[str, Entry], metadata: Mapping[str, str], sha256: str = "") -> bytes:
    """Return the file up to its content: length, JSON, spaces up to a multiple of 8 bytes.

    Written here and not by the library, which puts metadata in an order that changes from call to
    call and so writes equal templates as unequal files.
    """
    ends = np.cumsum([0, *(entry.nbytes for entry in entries.values())]).tolist()
    said = {
        "polarity.version": str(VERSION),
        "polarity.sha256": sha256 or 64 * "0",
        "polarity.bytes": str(ends[-1]),
    }
    for name, entry in entries.items():
        shape = ",".join(map(str, entry.shape))
        said[_ENTRY + name] = f"{entry.encoding} [{shape}] {entry.sha256}"
    table: dict[str, Any] = {"__metadata__": {**said, **metadata}}
    for number, (name, entry) in enumerate(entries.items()):
        offsets = ends[number : number + 2]
        table[name] = {"dtype": "U8", "shape": [entry.nbytes], "data_offsets": offsets}
    text = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _check_metadata(metadata: Mapping[str, str]) -> None:
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"metadata must map strings to strings, got {key!r}: {value!r}")
        if key.startswith(_RESERVED):
            raise ValueError(f"metadata must not begin with {_RESERVED!r}, got {key!r}")
        _check_text("metadata", key, value)


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if name == "__metadata__":
            raise ValueError(f"no entry of a file can be called {name!r}: the format reserves it")
        _check_text("the name of an entry", name)


def _check_text(what: str, *texts: str) -> None:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{what} must be text, got {text!r}: {error.reason}") from None


def _replace(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Put a file in the place of ``path``, whole."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        raise FileExistsError(f"cannot write {path}: it is there, and is no regular file")
    with replacing(path) as file:
        for part in parts:
            file.write(part)


# --- reading ------------------------------------------------------------------------------------


def _content(file: BinaryIO) -> tuple[bytes, int, str]:
    """Return a file whose header and size are sound, the end of its header, the header's sum."""
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        raise TemplateFileError("is no regular file")
    size = found.st_size
    prefix = file.read(8)
    start = 8 + int.from_bytes(prefix, "little")
    if start > size:  # so it is, too, where there are less than 8 bytes
        raise TemplateFileError(
            f"is no polarity template, or cut off: its header would end at byte {start}, the file "
            f"at byte {size}"
        )
    if start > HEADER_LIMIT:
        raise TemplateFileError(
            f"is no polarity template: its header has {start} bytes, {HEADER_LIMIT} are allowed"
        )
    header = prefix + file.read(start - 8)
    beginning = _BEGINNING.match(header)
    if not beginning:
        raise TemplateFileError(
            "is no polarity template, or its first bytes are damaged: there is no "
            "'polarity.version' at the beginning of the header"
        )
    if int(beginning[1]) != VERSION:
        raise FileVersionError(
            f"has version {int(beginning[1])} of the layout, and only version {VERSION} is known: "
            "a later version of the package wrote it, or the number is damaged"
        )
    sums = _SUMS.match(header, beginning.end())
    if not sums:
        raise DamagedFileError(f"no checksum follows the version, at byte {beginning.end()}")
    blank = header[: sums.start(1)] + 64 * b"0" + header[sums.end(1) :]
    if hashlib.sha256(blank).hexdigest().encode() != sums[1]:
        raise DamagedFileError(f"the header, bytes 0 to {start - 1}, does not have its checksum")
    if size != (end := start + int(sums[2])):
        excess = f"{size - end} bytes follow" if size > end else f"{end - size} bytes are missing"
        raise DamagedFileError(f"it should end at byte {end}, but {excess}")
    content = header + file.read(size - start)
    if len(content) != size:
        raise DamagedFileError(f"{size - len(content)} bytes went missing while it was read")
    return content, start, sums[1].decode()


def _decoded(content: bytes, start: int, sha256: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return entries and metadata, once it is clear that :func:`write` would write them so."""
    import safetensors  # here: most who import the package read no file

    try:
        found = safetensors.deserialize(content)  # type: ignore[no-untyped-call]
        table = json.loads(content[8:start].decode(), object_pairs_hook=_unique)
    except (safetensors.SafetensorError, RecursionError, ValueError) as error:
        if isinstance(error, TemplateFileError):
            raise
        raise DamagedFileError(f"no safetensors file: {error}") from None
    vectors: dict[str, bytearray] = {name: held["data"] for name, held in found}
    said: dict[str, str] = table.pop("__metadata__")
    entries = {name: _entry(name, said, vectors[name]) for name in table}
    metadata = {key: text for key, text in said.items() if not key.startswith(_RESERVED)}
    expected = _header(entries, metadata, sha256)
    if content[:start] != expected:
        pairs = zip(content, expected, strict=False)
        place = next((i for i, (a, b) in enumerate(pairs) if a != b), len(expected))
        raise DamagedFileError(
            f"the header is not as version {VERSION} of the layout has it, from byte {place} on"
        )
    signs = {name: _unpacked(name, entry, vectors.pop(name)) for name, entry in entries.items()}
    return signs, metadata


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object of the header; JSON itself would keep the last of two equal names."""
    table = dict(pairs)
    if len(table) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise DamagedFileError(f"the header holds {twice!r} twice")
    return table


def _entry(name: str, said: Mapping[str, str], vector: bytearray) -> Entry:
    layout = _LAYOUT.fullmatch(said.get(_ENTRY + name, ""))
    if not layout:
        raise DamagedFileError(f"the header does not tell encoding, shape and checksum of {name!r}")
    shape = tuple(int(length) for length in layout[2].split(",") if length)
    entry = Entry(layout[1], shape, layout[3])
    if math.prod(max(length, 1) for length in shape) >= 2**63:
        raise DamagedFileError(f"{name!r} would have the shape {shape}, which is impossible")
    if len(vector) != entry.nbytes:
        raise DamagedFileError(
            f"{name!r} of shape {shape} takes {entry.nbytes} bytes in {entry.encoding}, "
            f"the file holds {len(vector)}"
        )
    return entry


def _unpacked(name: str, entry: Entry, vector: bytearray) -> Tensor:
    if hashlib.sha256(vector).hexdigest() != entry.sha256:
        raise DamagedFileError(f"the content of {name!r} does not have its checksum")
    signs = torch.empty(entry.size, dtype=torch.int8, device="cpu")  # whatever torch's default
    unpack = _unpack_bits if entry.encoding == "bits" else _unpack_trits
    try:
        unpack(np.frombuffer(vector, np.uint8), signs.numpy())
    except DamagedFileError as error:
        raise DamagedFileError(f"{name!r}: {error}") from None
    return signs.view(entry.shape)
