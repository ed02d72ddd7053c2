"""From text notebooks to the published book.

A page of the book needs one name from here, :class:`Page`; the ledger of claims also needs
:func:`collect_measurements`. Nothing below this floor imports it.
"""

from __future__ import annotations

from .notebooks import check_parameters
from .page import Measurement, Page, collect_measurements, executed_notebooks
from .results import image_results, measure_pairs

__all__ = [
    "Measurement",
    "Page",
    "check_parameters",
    "collect_measurements",
    "executed_notebooks",
    "image_results",
    "measure_pairs",
]
