"""Fuzz the reader of template files: whatever the bytes, they are refused or mean what they say.

``python tests/core/fuzz_files.py --seconds 60`` changes files at random and keeps those that take
the reader along a way that none took before, to change them further. Checksums are put right after
most changes, or nothing behind them would ever be reached. Stops at the first file that ends in
anything but a refusal or a template which, saved again, gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from polarity import PolarityTemplate
from polarity.core import files

PIECES = [
    b'"polarity.version":"1",', b'"polarity.bytes":"0",', b'"polarity.entry.v":"trits [3] ',
    b'"v":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},', b'"__metadata__":{', b'"a":"b",',
    b"bits", b"trits", b"[0]", b"[]", b"[0,9223372036854775807]", b"18446744073709551616",
    b'\\ud800', b'"', b"\\", b"{", b"}", b"[", b"]", b",", b" ", b"\n", b"null", b"NaN", b"F64",
    b"\x00", b"\xff", b"\xf3",
]  # fmt: skip
_SHA256 = re.compile(rb'"polarity\.sha256":"([0-9a-f]{64})"')


def seeds() -> list[PolarityTemplate]:
    signs = torch.tensor([1, -1, 1, 1, -1, 0, 1, -1, -1, 1, 0, 1], dtype=torch.int8)
    return [
        PolarityTemplate({}),
        PolarityTemplate({"w": signs[:5], "v": signs[5:].reshape(1, 7)}),
        PolarityTemplate({"a.b": signs[:0].reshape(0, 3), "../é": signs[0], "": signs.repeat(9)}),
    ]


def resealed(content: bytes) -> bytes:
    """Put every checksum right, as far as the header can be understood."""
    start = 8 + int.from_bytes(content[:8], "little")
    header, payload = content[:start], content[start:]
    try:
        table = json.loads(header[8:])
        said = table.pop("__metadata__")
        for name, held in table.items():
            first, end = held["data_offsets"]
            old = said["polarity.entry." + name][-64:].encode()
            header = header.replace(old, hashlib.sha256(payload[first:end]).hexdigest().encode())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    if found := _SHA256.search(header):
        before, after = header[: found.start(1)], header[found.end(1) :]
        blank = before + 64 * b"0" + after
        header = before + hashlib.sha256(blank).hexdigest().encode() + after
    return header + payload


def mutated(content: bytes, other: bytes, draw: random.Random) -> bytes:
    """Change some bytes; as a rule put lengths and checksums right afterwards."""
    start = 8 + int.from_bytes(content[:8], "little")
    parts = [content[:8], content[8:start], content[start:]]
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        which = draw.choice([0, 1, 1, 1, 1, 1, 2, 2, 2])
        part = parts[which]
        first = draw.randrange(len(part) + 1)
        end = min(len(part), first + draw.choice([0, 1, 1, 2, 8, 64]))
        pieces = [
            b"",
            draw.randbytes(end - first),
            draw.choice(PIECES),
            other[first:end],
            part[first:end] * 2,
            str(draw.choice([0, 1, 5, 7, 8, 9, 40, 2**31, 2**63])).encode(),
            bytes([part[first] ^ 1 << draw.randrange(8)]) if end > first else b"",
        ]
        parts[which] = part[:first] + draw.choice(pieces) + part[end:]
    prefix, header, payload = parts
    if draw.random() < 0.9:
        prefix = len(header).to_bytes(8, "little")
    if draw.random() < 0.9:
        header = re.sub(rb'(polarity\.bytes":")\d+', rb"\g<1>%d" % len(payload), header)
    return resealed(prefix + header + payload) if draw.random() < 0.9 else prefix + header + payload


def verdict(content: bytes, folder: Path) -> str:
    """Load a file: why it was refused, or "accepted".

    Raises
    ------
    AssertionError
        If the file was accepted although it is not what ``save`` would have written.
    """
    path = folder / "fuzz"
    path.write_bytes(content)
    try:
        template = PolarityTemplate.load(path)
    except files.TemplateFileError as error:
        why = str(error).removeprefix(f"{path}: ")
        return re.sub(r"'.*'|\d+", "_", why, flags=re.DOTALL)[:70]
    template.save(path)
    assert path.read_bytes() == content, "accepted, but saved again it gives other bytes"
    return "accepted"


class Ways:
    """The steps from line to line that the reader has taken."""

    def __init__(self) -> None:
        self.steps: set[tuple[int, int]] = set()
        self._last = 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != files.__file__:
            return None
        self.steps.add((self._last, frame.f_lineno))
        self._last = frame.f_lineno
        return self


def fuzz(seconds: float, seed: int, folder: Path) -> Counter[str]:
    """Fuzz for some time; how often each verdict fell."""
    draw = random.Random(seed)
    corpus = []
    for template in seeds():
        template.save(folder / "fuzz", metadata={"donor": "x"})
        corpus.append((folder / "fuzz").read_bytes())
    known: set[tuple[int, int]] = set()
    verdicts: Counter[str] = Counter()
    stop = time.monotonic() + seconds
    while time.monotonic() < stop:
        content = mutated(draw.choice(corpus), draw.choice(corpus), draw)
        ways = Ways()
        sys.settrace(ways)
        try:
            verdicts[verdict(content, folder)] += 1
        except BaseException:
            kept = Path(tempfile.gettempdir(), "refuted.safetensors")
            kept.write_bytes(content)
            print(f"the file is in {kept}", file=sys.stderr)
            raise
        finally:
            sys.settrace(None)
        if not ways.steps <= known:
            known |= ways.steps
            corpus.append(content)
    print(f"{verdicts.total()} files, {len(known)} steps, {len(corpus)} kept, seed {seed}")
    return verdicts


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for what, count in fuzz(given.seconds, given.seed, Path(folder)).most_common():
            print(f"{count:8d}  {what}")


if __name__ == "__main__":
    main()
