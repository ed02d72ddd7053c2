"""The paper's theory, made exact: Lemma 2.1, Theorem D.3, and what the theorem leaves open.

Counts are Python integers and probabilities fractions; nothing here is trained or fitted.

=================  ===============================================================================
``search``         Lemma 2.1: how long an exhaustive search takes
``patterns``       the signs of one hidden unit, and the conditions a set of them can meet
``counting``       probability that randomly signed units meet a condition (Theorem D.3, Figure 4A)
``cross``          the cross-shaped boundary of XOR: constructions, certificates, linear programmes
``prediction``     which condition foretells which networks learn
=================  ===============================================================================
"""

from .counting import (
    capable_probability,
    right_pattern_sequences,
    theorem_probability,
    units_needed,
)
from .patterns import (
    PATTERNS,
    Pattern,
    distinct_right_patterns,
    exactly_capable,
    margin_capable,
    monotone,
    right_patterns,
    theorem_capable,
)
from .prediction import success_gap
from .search import expected_search_time

__all__ = [
    "PATTERNS",
    "Pattern",
    "capable_probability",
    "distinct_right_patterns",
    "exactly_capable",
    "expected_search_time",
    "margin_capable",
    "monotone",
    "right_pattern_sequences",
    "right_patterns",
    "success_gap",
    "theorem_capable",
    "theorem_probability",
    "units_needed",
]
