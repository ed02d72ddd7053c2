"""Signs, labels, reset rules and the theory's curves look alike in every figure that shows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from polarity.analysis import (
    architecture_figures,
    figures,
    freeze_figures,
    peer_figures,
    theory_figures,
)
from polarity.analysis.estimate import Estimate
from polarity.analysis.freeze_figures import Trace
from polarity.analysis.style import (
    CRITERIA,
    LABEL_GROUNDS,
    LABELS,
    OKABE_ITO,
    RULES,
    SIGN_MAP,
    SIGNED_MAP,
    SIGNS,
    Style,
    criterion_style,
    use_style,
)
from polarity.analysis.theory.cross import construct
from polarity.analysis.theory.patterns import PATTERNS
from polarity.datasets import xor5d
from polarity.protocols import RESETS

BLUE, ORANGES = OKABE_ITO["blue"], {OKABE_ITO["orange"], OKABE_ITO["vermilion"]}


@pytest.fixture(autouse=True)
def _style() -> Iterator[None]:
    with mpl.rc_context():
        use_style()
        yield


def look(line: Line2D) -> tuple[Any, ...]:
    return to_hex(line.get_color()), line.get_marker(), line.get_linestyle()


def expected(style: Style) -> tuple[Any, ...]:
    return look(Line2D([], [], **style.line()))


def lines(figure: Figure) -> dict[str, Line2D]:
    """The lines of all panels, by what a legend calls them."""
    return {
        str(line.get_label()): line
        for ax in figure.axes
        for line in ax.lines
        if not str(line.get_label()).startswith("_")
    }


@pytest.mark.parametrize("table", [SIGNS, LABELS, RULES, CRITERIA])
def test_no_table_needs_colour_to_be_read(table: dict[Any, Style]) -> None:
    looks = table.values()
    assert len({style.marker for style in looks}) == len(table)
    assert len({str(style.linestyle) for style in looks}) == len(table)
    assert len({style.color for style in looks}) == len(table)


def test_what_is_positive_is_blue_and_the_other_orange() -> None:
    for table, other in ((SIGNS, -1), (LABELS, 0)):
        assert table[1].color == BLUE
        assert table[other].color in ORANGES
    for colors in (SIGN_MAP, SIGNED_MAP):
        assert to_hex(colors(1.0)).upper() == BLUE
        assert to_hex(colors(0.0)).upper() in ORANGES
        assert np.allclose(colors(0.5), 1, atol=0.01)  # white
        # In grey, the two ends still differ.
        low, high = (np.dot(colors(end)[:3], (0.299, 0.587, 0.114)) for end in (0.0, 1.0))
        assert low - high > 0.25
    zero, one = (to_rgb(LABEL_GROUNDS(label)) for label in (0, 1))
    assert zero[2] < zero[0] and one[0] < one[2]


def test_weights_and_labels_of_the_task() -> None:
    x, y = xor5d(40)
    figure = figures.fig1a(x, y)
    task, units = figure.axes
    for dots, (label, style) in zip(task.collections, LABELS.items(), strict=True):
        assert to_hex(dots.get_facecolor()[0]).upper() == style.color
        np.testing.assert_allclose(dots.get_offsets(), x[y == label, :2])
    arrows = [text.arrow_patch for text in units.texts if getattr(text, "arrow_patch", None)]
    found = [to_hex(arrow.get_edgecolor()).upper() for arrow in arrows]
    # Two inputs and an output for each of ++, --, +-, -+.
    signs = [1, 1, 1, -1, -1, 1, 1, -1, -1, -1, 1, -1]
    assert found == [SIGNS[sign].color for sign in signs]
    legend = units.get_legend().get_lines()
    assert [line.get_color() for line in legend] == [style.color for style in SIGNS.values()]
    assert len({line.get_linestyle() for line in legend}) == 2


def test_maps_of_signed_values() -> None:
    for figure in (
        theory_figures.patterns_figure(),
        theory_figures.construction_figure(*construct(PATTERNS[:3])),
    ):
        maps = [image for ax in figure.axes for image in ax.images]
        assert len(maps) >= 4
        for image in maps:
            assert image.get_cmap() == SIGNED_MAP
            assert image.norm.vmin == -image.norm.vmax  # zero is white


def test_pictures_of_signs() -> None:
    matrix = np.array([[1.0, -1.0], [0.0, 1.0]])
    for figure, maps in (
        (freeze_figures.pictures_figure(matrix[None], ["3"], {"of a donor": matrix.reshape(1, 4)},
                                        units=1), slice(1, None)),
        (architecture_figures.scores_figure([matrix] * 3, [matrix] * 3), slice(None)),
    ):  # fmt: skip
        images = [image for ax in figure.axes for image in ax.images][maps]
        assert images
        for image in images:
            shown = image.to_rgba(image.get_array())
            assert [to_hex(shown[place]).upper() for place in ((0, 0), (0, 1))] == [
                to_hex(SIGN_MAP(2)).upper(),
                to_hex(SIGN_MAP(0)).upper(),
            ]
        legend = figure.legends[0]
        words = [text.get_text() for text in legend.get_texts()]
        patches = [to_hex(patch.get_facecolor()).upper() for patch in legend.get_patches()]
        assert (words, patches[0]) == (["+", "−"], BLUE) and patches[1] in ORANGES


def test_the_labels_of_the_sharp_test() -> None:
    x, y = xor5d(40)
    output = np.array([[-1.0, 1.0], [1.0, -1.0]])
    figure = theory_figures.sharp_figure(
        {"one": output}, {"one": np.array([0.7])}, x, y, extent=(-1, 1)
    )
    ax = figure.axes[0]
    (image,) = ax.images
    shown = image.to_rgba(image.get_array())
    assert tuple(shown[0, 1]) == LABEL_GROUNDS(1) and tuple(shown[0, 0]) == LABEL_GROUNDS(0)
    for label, style in LABELS.items():
        line = lines(figure)[f"label {label}"]
        assert look(line)[:2] == expected(style)[:2]
        np.testing.assert_allclose(line.get_xydata(), x[y == label, :2])


def test_the_curves_of_the_theory() -> None:
    rate = Estimate(0.5, 0.4, 0.6, n=10, method="made up")
    curves = {key: [0.5, 0.9] for key in ("theorem", "exact", "margin")}
    theory = theory_figures.probability_figure(
        [3, 10], curves, {3: rate, 10: rate}, threshold=0.95, trials=10, sufficient=[0.7, 1.0]
    )
    predictors = theory_figures.predictors_figure(
        [3, 10], {"theorem": ({3: rate}, {10: rate})}, threshold=0.95, trials=10
    )
    accuracy = np.full((2, 1, 3, 4), 0.96)
    grid = xr.Dataset(
        {"val_accuracy": (("width", "condition", "trial", "epoch"), accuracy)},
        {"width": [3, 10], "condition": ["frozen_random"]},
    )
    names = {"Theorem D.3": {3: 0.5, 10: 0.9}, "exact condition for the cross": {3: 0.4, 10: 0.8}}
    capacity = figures.fig4a(grid, 0.95, names)
    for figure, keys in ((theory, list(CRITERIA)), (capacity, ["theorem", "exact"])):
        for key in keys:
            assert look(lines(figure)[CRITERIA[key].label]) == expected(CRITERIA[key])
    met = predictors.axes[0].containers[0].lines[0]
    assert look(met)[:2] == expected(CRITERIA["theorem"])[:2]


def test_a_criterion_is_found_by_its_key_or_words_of_its_name() -> None:
    assert criterion_style("theorem") is criterion_style("Theorem D.3") is CRITERIA["theorem"]
    with pytest.raises(ValueError, match="one of theorem, exact, margin, all_right; got 'other'"):
        criterion_style("other")


def test_reset_rules() -> None:
    trace = Trace([0.1, 0.2], [0.1, 0.1, 0.2])
    many = {rule: np.array([0.1, 0.2]) for rule in RULES}
    figure = freeze_figures.rules_figure(
        dict.fromkeys(RULES, trace), trace, many, np.array([0.1, -0.1]), turn=1
    )
    for ax, style in zip(figure.axes, RULES.values(), strict=False):
        (kept,) = [line for line in ax.lines if line.get_label() == "frozen, after the reset"]
        assert kept.get_color() == style.color
    dims = ("reset", "n_train", "condition", "trial", "epoch")
    values = np.random.default_rng(0).random((len(RESETS), 2, 2, 3, 4))
    curves = xr.Dataset(
        {"val_accuracy": (dims, values), "val_loss": (dims, values)},
        {"reset": pd.Index(RESETS), "n_train": [60, 80],
         "condition": ["frozen_sufficient", "fluid_random"], "epoch": range(4)},
    )  # fmt: skip
    drawn = lines(figures.figc1(curves))
    for rule, style in RULES.items():
        assert look(drawn[f"frozen sufficient, {rule}"]) == expected(style)
        peer = peer_figures.STYLES[rule]
        assert (peer.color, peer.marker) == (style.color, style.marker)
        assert peer.label == f"Freeze-SGD, {rule}"
