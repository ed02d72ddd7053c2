"""The data of the experiments."""

from .xor5d import xor5d

__all__ = ["xor5d"]
