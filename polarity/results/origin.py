"""Where runs come from: when and on what they were trained, and whether the code has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .run import Run

__all__ = ["code_digest", "origin"]

SOURCES = ("_machine.py", "core", "datasets", "donors", "images", "networks.py", "protocols.py")
"""What the numbers of a run come from, below the package's folder."""


def code_digest() -> str:
    """Return 16 hexadecimal digits that name the code which trains networks on images.

    They are the beginning of the SHA-256 of its sources, as they are on the disk now. Other digits
    do not mean other numbers: a comment changes them too.
    """
    folder = Path(__file__).parents[1]
    sources: list[Path] = []
    for name in SOURCES:
        sources += [folder / name] if name.endswith(".py") else sorted(folder.glob(f"{name}/*.py"))
    digest = hashlib.sha256()
    for path in sources:
        digest.update(f"{path.relative_to(folder).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def origin(runs: Iterable[Run]) -> str:
    """Say when runs were trained, on what, and whether by the code as it is now.

    Parameters
    ----------
    runs
        Runs of a store.

    Returns
    -------
    str
        A few sentences; empty where there are no runs.

    Examples
    --------
    >>> run = Run({}, [0], [1.0], [0.5], [1.0], [], [], {}, {
    ...     "finished": "2026-11-24T13:20:32+00:00", "device": "one GPU", "code": "other"})
    >>> print(origin([run]))
    1 run, trained on 2026-11-24 on one GPU. The code has changed since.
    """
    infos = [run.info for run in runs]
    if not infos:
        return ""
    days = sorted({str(info["finished"])[:10] for info in infos if "finished" in info})
    when = "on " + days[0] if len(days) == 1 else f"from {days[0]} to {days[-1]}" if days else ""
    devices = sorted({str(info["device"]) for info in infos if "device" in info})
    count = f"{len(infos)} {'run' if len(infos) == 1 else 'runs'}"
    text = " ".join(filter(None, [f"{count}, trained", when, "on " * bool(devices)])).strip()
    return f"{text} {' and '.join(devices)}".strip() + ". " + _age(infos)


def _age(infos: Sequence[Mapping[str, object]]) -> str:
    now, total = code_digest(), len(infos)
    unknown = sum("code" not in info for info in infos)
    same = sum(info.get("code") == now for info in infos)
    if unknown == total:
        return "They do not say which code made them, so it may have changed since."
    if same == total:
        return "The code is the same now."
    if same + unknown == 0:
        return "The code has changed since."
    other = total - same - unknown
    return f"Made by the code as it is now: {same}; by other code: {other}; not known: {unknown}."
