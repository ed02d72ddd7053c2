"""The figures of the paper, one function each; every function returns a matplotlib figure."""

from __future__ import annotations

from .style import OKABE_ITO, Style, condition_style, use_style

__all__ = ["OKABE_ITO", "Style", "condition_style", "use_style"]
