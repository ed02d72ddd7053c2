"""Freeze the polarity of a network's weights: Freeze-SGD for PyTorch, and the book of its paper."""

from importlib.metadata import version

from polarity.core import RESET_RULES, FreezeSGD, PolarityTemplate, reset_

__version__ = version("polarity")
__all__ = ["RESET_RULES", "FreezeSGD", "PolarityTemplate", "__version__", "reset_"]
