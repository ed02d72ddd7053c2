"""How fast the ensemble trainer is, beside the ways one would train the same networks otherwise.

``python -m benchmarks --help`` (or ``make bench``).
"""
