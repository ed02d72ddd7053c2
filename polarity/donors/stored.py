"""Arrays of a pickle as weights of a network."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..datasets.pickles import Stored

__all__ = ["bias", "convolution", "linear"]


def convolution(what: str, value: object) -> Tensor:
    """Return a convolution's weights ``(out, in, height, width)``, stored as HWIO."""
    return _numbers(what, value, 4).permute(3, 2, 0, 1).contiguous()


def linear(what: str, value: object) -> Tensor:
    """Return a linear layer's weights ``(out, in)``, stored as ``(in, out)``."""
    return _numbers(what, value, 2).T.contiguous()


def bias(what: str, value: object) -> Tensor:
    """Return a layer's biases ``(out,)``."""
    return _numbers(what, value, 1)


def _numbers(what: str, value: object, dimensions: int) -> Tensor:
    array = value.array if isinstance(value, Stored) else None
    if array is None or array.dtype.kind != "f" or array.ndim != dimensions:
        got = "no array" if array is None else f"{array.dtype} {array.shape}"
        raise ValueError(
            f"{what} must be an array of real numbers in {dimensions} dimensions, got {got}"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{what} must be finite")
    return torch.tensor(array.astype(np.float32))
