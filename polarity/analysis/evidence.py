"""Where a reader finds what a claim's verdict rests on: figure, code and test; the paper's value.

The paper's own value of what is measured here is computed from its published medians, where these
hold it: over other networks, other data and, for images, another donor than ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np
import pandas as pd

from .claims import CLAIMS
from .published import image_medians, xor5d_medians

__all__ = ["EVIDENCE", "Evidence", "published_value"]


@dataclass(frozen=True)
class Evidence:
    """What stands behind one claim.

    Attributes
    ----------
    figure
        Name of the figure, on the claim's page, that shows it.
    code
        The function that computes the estimate, with its module.
    test
        A test of that function: the file from the top of the repository, and the test's name.
    """

    figure: str
    code: str
    test: str

    @property
    def code_listing(self) -> str:
        """The place of the code among the book's listings: ``folder/file.html#name``."""
        module, _, name = self.code.rpartition(".")
        return f"{module.replace('.', '/')}.html#{name}"

    @property
    def test_listing(self) -> str:
        """The place of the test among the book's listings."""
        path, _, name = self.test.partition("::")
        return f"{path.removesuffix('.py')}.html#{name}"

    @property
    def files(self) -> tuple[str, str]:
        """The two source files, from the top of the repository."""
        module = self.code.rpartition(".")[0]
        return f"{module.replace('.', '/')}.py", self.test.partition("::")[0]


def _comparison(figure: str, function: str, test: str) -> Evidence:
    return Evidence(
        figure,
        f"polarity.analysis.comparisons.{function}",
        f"tests/analysis/test_comparisons.py::{test}",
    )


def _theory(figure: str, function: str, test: str) -> Evidence:
    return Evidence(
        figure, f"polarity.analysis.theory.{function}", f"tests/analysis/test_theory.py::{test}"
    )


_ERROR = ("error_difference", "test_error_difference_is_of_medians_and_averages_sizes")
_RESTRICTED = ("restricted_mean_ratio", "test_restricted_mean_counts_never_as_the_horizon")
_MEDIAN = (
    "median_epochs_ratio",
    "test_median_ratio_leaves_never_out_and_is_undefined_without_successes",
)
_SUCCESS = ("success_difference", "test_success_difference")
_IMAGES_TEST = "tests/analysis/test_image_metrics.py::"
_IMAGE_ERROR = (
    "polarity.analysis.image_metrics.paired_error", f"{_IMAGES_TEST}test_pairs_share_n_and_trial",
)  # fmt: skip
_IMAGE_TIME = (
    "polarity.analysis.image_metrics.paired_time", f"{_IMAGES_TEST}test_time_by_pairs_has_a_twin",
)  # fmt: skip


def _images(page: str, fig2: str) -> dict[str, Evidence]:
    rows = {
        "less_data": (fig2, _IMAGE_ERROR),
        "less_time": (fig2, _IMAGE_TIME),
        "freezing": (fig2, _IMAGE_ERROR),
        "random_polarity": (fig2, _IMAGE_ERROR),
        "fine_tuning_data": ("fig3", _IMAGE_ERROR),
        "fine_tuning_time": ("fig3", _IMAGE_TIME),
        "weights_time": ("fig3", _IMAGE_TIME),
        "compressed": ("fig3", _IMAGE_ERROR),
    }
    return {f"{page}.{name}": Evidence(figure, *how) for name, (figure, how) in rows.items()}


EVIDENCE: Mapping[str, Evidence] = MappingProxyType(
    {
        "xor5d.less_data": _comparison("draws", *_ERROR),
        "xor5d.less_time": _comparison("draws", *_RESTRICTED),
        "xor5d.time_60": _comparison("fig1bc", *_MEDIAN),
        "xor5d.time_72": _comparison("fig1bc", *_MEDIAN),
        "xor5d.random_error": _comparison("draws", *_ERROR),
        "xor5d.random_time": _comparison("draws", *_RESTRICTED),
        "xor5d.any_reset_rule": _comparison("figc1", *_ERROR),
        "capacity.sufficient_small": _comparison("fig4b", *_ERROR),
        "capacity.random_small": _comparison("fig4b", *_SUCCESS),
        "capacity.random_medium": _comparison("fig4c", *_SUCCESS),
        "capacity.solved_at_15": Evidence(
            "fig4a",
            "polarity.analysis.statistics.success_proportion",
            "tests/analysis/test_statistics.py::test_proportion_equals_r",
        ),
        "capacity.sufficient_wins": _comparison("fig4d", "share_of_map", "test_share_of_map"),
        "theory.lemma_2_1": _theory(
            "search", "search.expected_search_time",
            "test_lemma_agrees_with_every_order_of_the_search",
        ),
        "theory.d3_formula_at_15": _theory(
            "capable",
            "counting.theorem_probability",
            "test_probabilities_agree_with_random_networks"
        ),
        "theory.d3_99pct_at_15": _theory(
            "capable", "counting.capable_probability",
            "test_capable_probability_agrees_with_all_sequences_of_patterns",
        ),
        "theory.three_units_suffice": _theory(
            "programmes", "patterns.set_is_exactly_capable",
            "test_three_units_are_needed_and_enough",
        ),
        **_images("images_fashion_mnist", "fig2a"),
        **_images("images_cifar10", "fig2b"),
    }
)  # fmt: skip
"""Figure, code and test of every claim of the ledger."""

_MINUS = {
    "less_data": "fluid_rand_polarity",
    "freezing": "fluid_in_polarity",
    "fine_tuning_data": "fluid_in_weight",
    "compressed": "frozen_in_weight",
}
_OVER = {
    "less_time": "fluid_rand_polarity",
    "fine_tuning_time": "fluid_in_weight",
    "weights_time": "frozen_in_weight",
}
_XOR_ERROR = {
    "xor5d.less_data": "frozen_sufficient",
    "xor5d.random_error": "frozen_random",
}


def published_value(claim_id: str) -> float:
    """Return the paper's value of what a claim measures; NaN where its numbers do not hold it.

    Errors: the difference of medians; for XOR-5D its mean over n = 20 to 100 (64 hidden units),
    NaN where the figure does not tell them all, for images its median over the ten sizes. Times,
    for images: the ratio of the median passes to each threshold (an epoch more than the paper's
    number, which counts from 0), its median over sizes and thresholds at which both are given.

    Raises
    ------
    KeyError
        If there is no such claim.

    Examples
    --------
    >>> published_value("xor5d.time_60")
    0.58
    """
    rule = CLAIMS[claim_id].rule
    if (stated := getattr(rule, "published", None)) is not None:
        return float(stated)
    if claim_id in _XOR_ERROR:
        table = _xor_errors()
        gain = table[_XOR_ERROR[claim_id]] - table.fluid_random
        return float(gain[(gain.index >= 20) & (gain.index <= 100)].mean(skipna=False)) / 100
    page, _, name = claim_id.partition(".")
    if not page.startswith("images_"):
        return float(rule.number) if hasattr(rule, "number") else np.nan
    table = _image_table(page.removeprefix("images_"), time=name in _OVER)
    if name in _OVER:
        ratio = (table.frozen_in_polarity + 1) / (table[_OVER[name]] + 1)
        return float(ratio.median())
    if name == "random_polarity":
        return float((table.frozen_rand_polarity - table.fluid_rand_polarity).median()) / 100
    return float((table.frozen_in_polarity - table[_MINUS[name]]).median()) / 100


@cache
def _xor_errors() -> pd.DataFrame:
    rows = xor5d_medians().query("hidden_units == 64 and metric == 'val_error_at_convergence_pct'")
    return rows.pivot(index="n_train", columns="condition", values="median_or_pct")


@cache
def _image_table(dataset: str, time: bool) -> pd.DataFrame:
    rows = image_medians()
    rows = rows[rows.dataset == dataset]
    metric = "epochs_to_accuracy" if time else "val_error_at_convergence_pct"
    rows = rows[rows.metric == metric].assign(threshold=lambda t: t.threshold.fillna(0))
    return rows.pivot(index=["n_train", "threshold"], columns="condition", values="median")
