"""What the figures of other architectures show, read back from their axes."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from polarity.analysis.architecture_figures import (
    STYLES,
    Effect,
    effects_figure,
    gains_figure,
    learning_figure,
    scores_figure,
)
from polarity.analysis.drawn import layers_of, table
from polarity.analysis.estimate import Estimate
from polarity.analysis.style import use_style


@pytest.fixture(autouse=True)
def _style() -> Iterator[None]:
    with mpl.rc_context():
        use_style()
        yield


def drawn(figure: Figure) -> Figure:
    figure.draw_without_rendering()  # layout problems are warnings, and warnings are errors
    return figure


def curves(conditions: list[str], trials: int = 3, epochs: int = 5) -> xr.Dataset:
    accuracy = np.random.default_rng(0).random((len(conditions), trials, epochs)).astype(np.float32)
    dims = ("condition", "trial", "epoch")
    coords = {"condition": conditions, "trial": range(trials), "epoch": range(epochs)}
    return xr.Dataset({"val_accuracy": (dims, accuracy)}, coords)


def test_one_panel_a_network_with_its_conditions_and_trials() -> None:
    both = {"vit": curves([*STYLES, "frozen_rest"]), "gru": curves(["fluid_random"], trials=4)}
    top, bottom = drawn(learning_figure(both)).axes
    assert top.get_title(loc="left") == "A   ViT, 3 trials"
    assert bottom.get_title(loc="left") == "B   GRU, 4 trials"
    assert top.get_legend_handles_labels()[1] == [style.label for style in STYLES.values()]
    assert layers_of(top.figure) == ["trials"]
    *single, line = bottom.lines
    wrong = 100 * (1 - both["gru"].val_accuracy.astype(float)[0])
    np.testing.assert_allclose([line.get_ydata() for line in single], wrong)
    expected = 100 * (1 - both["gru"].val_accuracy.astype(float).mean("trial"))[0]
    np.testing.assert_allclose(line.get_ydata(), expected)
    assert list(line.get_xdata()) == [0, 1, 2, 3, 4]  # the first pass is epoch 0, as in the paper


def estimate(value: float) -> Estimate:
    return Estimate(value, value - 1, value + 2, n=3, method="made up")


def test_every_effect_stands_in_its_row_with_its_interval() -> None:
    effects = [
        Effect("freezing", "vit", estimate(1)),
        Effect("freezing", "gru", estimate(-2)),
        Effect("donor", "gru", estimate(4)),
    ]
    figure = drawn(effects_figure({"error saved": effects, "epochs saved": effects[1:]}))
    top, bottom = figure.axes
    assert [label.get_text() for label in top.get_yticklabels()] == ["freezing", "donor"]
    assert (top.get_xlabel(), bottom.get_xlabel()) == ("error saved", "epochs saved")
    marks = [line for line in top.lines if line.get_marker() not in ("None", "", None)]
    assert [float(line.get_xdata()[0]) for line in marks] == [1, -2, 4]
    assert [round(float(line.get_ydata()[0])) for line in marks] == [0, 0, 1]
    bars = [list(line.get_xdata()) for line in top.lines if list(line.get_xdata()) in [[0, 3]]]
    assert bars == [[0, 3]]
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["ViT, 3 trials", "GRU, 3 trials"]


def test_the_gain_of_each_trial_is_there_on_demand() -> None:
    effect = Effect("freezing", "gru", estimate(1), [0.5, 1, 1.5])
    data = table(drawn(effects_figure({"error saved": [effect]})))
    assert data[data.layer == "trials"].x.tolist() == [0.5, 1, 1.5]
    assert set(data[data.layer == "trials"].y) == {"freezing"}


def test_gains_are_told_apart_by_where_they_began() -> None:
    values = np.array([[[0.9, 1.1, -0.2, 0.3], [1.0, 1.2, -0.1, -0.3]]], np.float32)
    data = xr.Dataset(
        {"gains": (("holder", "trial", "gain"), values)},
        {"holder": ["fluid_random"], "gain_start": ("gain", [1, 1, 0, 0])},
    )
    top, bottom = drawn(gains_figure(data, {"fluid_random": STYLES["fluid_random"]})).axes
    for ax, low, high in ((top, 0, 1.2), (bottom, -0.3, 0.3)):
        (stairs,) = ax.patches
        counts, edges, _ = stairs.get_data()
        assert counts.sum() == pytest.approx(100)
        assert (edges[0], edges[-1]) == pytest.approx((low, high))
    assert "began at 1" in top.get_title(loc="left")
    assert "began at 0" in bottom.get_title(loc="left")


def test_pictures_show_signs_before_and_after() -> None:
    rng = np.random.default_rng(0)
    before = [rng.normal(size=(4, 6)), rng.normal(size=(4, 6)), rng.normal(size=(6, 6))]
    after = [-before[0], -before[1], before[2]]
    axes = drawn(scores_figure(before, after)).axes
    assert [ax.get_title() for ax in axes] == ["queries", "keys", "scores", "", "", ""]
    assert [axes[0].get_ylabel(), axes[3].get_ylabel()] == ["as it is", "mirrored"]
    for ax, matrix in zip(axes, [*before, *after], strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), np.sign(matrix))
