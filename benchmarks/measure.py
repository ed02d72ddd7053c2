"""Timing: rounds of all contestants one after the other, so that other work disturbs them alike."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from polarity._machine import processor


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of repeated measurements."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: ArrayLike) -> Spread:
        """Summarise the values."""
        low, median, high = np.quantile(np.asarray(values), [0.25, 0.5, 0.75]).tolist()
        return cls(median, low, high, np.size(values))

    def __str__(self) -> str:
        digits = 0 if self.median >= 99.5 else 1 if self.median >= 9.95 else 2
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"

    def to_dict(self) -> dict[str, float]:
        """Plain numbers, for JSON."""
        return asdict(self)


def seconds(run: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def peak_memory() -> int:
    """Bytes of memory that this process held at most (resident)."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux: getrusage would count the parent's memory before exec as ours
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """What the numbers were measured on and with."""
    versions = {}
    for package in ("polarity", "numpy", "numba", "torch", "jax"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "processor": processor(),
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def load() -> float | None:
    """Processes that wanted a core in the last minute, ours among them; None if unknown."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
