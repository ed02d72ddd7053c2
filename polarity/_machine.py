"""What this machine is called, what it can do, and that it multiplies float32 as float32."""

from __future__ import annotations

import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._checks import one_of

if TYPE_CHECKING:
    import torch

__all__ = ["chosen_device", "matrix_rate", "processor", "whole_float32"]

SIDE = {"cpu": 768, "cuda": 4096}  # of a matrix that keeps the device busy, no larger
PATIENCE = 0.2  # seconds


def processor() -> str:
    """Return the processor's name as its maker writes it, or else its architecture."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    if sys.platform == "darwin":
        asked = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"],
            capture_output=True,
            check=False,
            text=True,
        )
        if asked.stdout.strip():
            return asked.stdout.strip()
    return platform.processor() or platform.machine()


def chosen_device(name: str) -> torch.device:
    """Return the device that ``"auto"``, ``"cpu"`` or ``"cuda"`` stands for, if it is there.

    Raises
    ------
    ValueError
        If it is none of these, or is not there.
    """
    import torch

    one_of("device", name, ("auto", "cpu", "cuda"))
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device must be one that is there; there is no 'cuda' device")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def matrix_rate(device: str, precision: str) -> float:
    """Measure the operations a second of a matrix product: what a device can do at best.

    A product takes milliseconds, and seconds where a processor without bfloat16 emulates it.

    Parameters
    ----------
    device
        ``"cpu"`` or ``"cuda"``.
    precision
        ``"float32"`` or ``"bf16"``.
    """
    import torch  # here, since naming a machine needs none of it

    def product(side: int) -> float:
        began = time.perf_counter()
        float((a[:side, :side] @ a[:side, :side])[0, 0])  # waits for the device
        return time.perf_counter() - began

    side = SIDE[device]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a = torch.ones(side, side, dtype=dtype, device=device)
    with whole_float32():
        product(32)  # libraries are loaded
        seconds = [product(side)]
        while sum(seconds) < PATIENCE:
            seconds.append(product(side))
    return 2 * side**3 / min(seconds)


@contextmanager
def whole_float32() -> Iterator[None]:
    """Multiply float32 numbers as they are, on every device, and let cuDNN choose its fastest way.

    torch lets convolutions on a GPU round them to TF32, and matrix products and processors do so
    (or to bfloat16) where they were told to, which some training scripts do in their first line.
    These settings are the whole process's: while any thread is inside, they hold for all, and the
    last one that leaves takes them back. What was inherited from a wider setting of torch's is then
    set explicitly, to the same value.
    """
    global _inside
    with _TURN:
        if not _inside:
            _set_whole()
        _inside += 1
    try:
        yield
    finally:
        with _TURN:
            _inside -= 1
            if not _inside:
                _BEFORE.close()


_TURN = threading.Lock()
_inside = 0  # how often it has been entered, and not left
_BEFORE = ExitStack()  # sets what was set before


def _set_whole() -> None:
    import torch

    backends: Any = torch.backends  # whose settings torch's annotations do not know
    cudnn = backends.cudnn
    gpu = (backends.cuda.matmul, cudnn.conv, cudnn.rnn)
    cpu = (backends.mkldnn.matmul, backends.mkldnn.conv)
    wanted: list[tuple[Any, str, object]]
    wanted = [(owner, "fp32_precision", "ieee") for owner in (*gpu, *cpu)]
    if not backends.flags_frozen():  # as torch's own test suite does
        wanted += [(cudnn, "benchmark", True), (cudnn, "deterministic", False)]
    for owner, name, value in wanted:
        _BEFORE.callback(setattr, owner, name, getattr(owner, name))
        setattr(owner, name, value)
