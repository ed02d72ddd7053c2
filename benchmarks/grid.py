"""The whole grid once, in a fresh process that finds nothing compiled beforehand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

_PROGRAM = """
import json, sys
from benchmarks.measure import peak_memory, seconds
from polarity.ensemble import train_grid
from polarity.protocols import XOR5DProtocol

protocol = XOR5DProtocol()
if sys.argv[1:] == ["quick"]:
    protocol = protocol.smoke()
spent = seconds(lambda: train_grid(protocol, device="cpu", backend="compiled", progress=False))
print(json.dumps({"networks": protocol.networks, "seconds": spent, "peak_bytes": peak_memory()}))
"""


def measure_grid(quick: bool = False) -> dict[str, Any]:
    """Train the paper's grid (``quick``: the smoke test's) and return what it took.

    Returns
    -------
    dict
        ``networks``; ``seconds`` of the training, compilation included; ``seconds_of_process``, the
        start of Python and all imports as well; ``peak_bytes`` of resident memory.
    """
    with tempfile.TemporaryDirectory() as empty:
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, *(["quick"] if quick else [])],
            env={**os.environ, "NUMBA_CACHE_DIR": empty},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        spent = time.perf_counter() - start
    result: dict[str, Any] = json.loads(done.stdout)
    return result | {"seconds_of_process": spent}
