"""Every figure can be drawn, labels its axes, and states its trials."""

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from polarity.analysis import figures
from polarity.analysis.comparisons import comparison_map
from polarity.analysis.drawn import table
from polarity.analysis.published import xor5d_medians
from polarity.datasets import xor5d
from polarity.ensemble import train_draws, train_grid
from polarity.protocols import RESETS, XOR5DProtocol

PROTOCOL = XOR5DProtocol(widths=(3, 10), sizes=(60, 80, 100), trials=3, epochs=12, n_val=200)


@pytest.fixture(scope="module")
def grid():
    return train_grid(PROTOCOL, progress=False)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def words(figure):
    texts = [t.get_text() for t in figure.findobj(mpl.text.Text)]
    return " ".join(texts)


def labelled(figure):
    return all(ax.get_xlabel() or ax.get_shared_x_axes().get_siblings(ax)[1:] for ax in figure.axes)


def test_efficiency_with_and_without_the_papers_medians(grid):
    published = xor5d_medians()
    for overlay in (None, published[published.hidden_units == 20]):
        figure = figures.efficiency_figure(
            grid.sel(width=10), 0.9, ("epochs", "error", "success"), overlay
        )
        figure.draw_without_rendering()
        assert "3 trials" in words(figure) and labelled(figure)
        assert ("the paper's medians" in words(figure)) == (overlay is not None)


def test_another_threshold_is_named_and_has_no_published_times(grid):
    published = xor5d_medians()
    overlay = published[published.hidden_units == 20]
    for threshold, diamonds in ((0.9, 3), (0.8, 1)):
        figure = figures.efficiency_figure(
            grid.sel(width=10), threshold, ("epochs", "error", "success"), overlay
        )
        panels = [any(line.get_marker() == "D" for line in ax.lines) for ax in figure.axes]
        assert sum(panels) == diamonds
        level = f"{100 * threshold:g} %"
        rules = xr.concat([grid.sel(width=10)] * len(RESETS), pd.Index(RESETS, name="reset"))
        beats = comparison_map(grid, threshold)
        for each in (figure, figures.figc1(rules, threshold), figures.fig4d(beats, 3, threshold)):
            said = words(each)
            assert f"epochs to {level}" in said and ("90 %" in said) == (threshold == 0.9)


def test_the_other_figures(grid):
    draws = train_draws(PROTOCOL, 2, progress=False)
    rules = xr.concat([grid.sel(width=10)] * len(RESETS), pd.Index(RESETS, name="reset"))
    theory = {"Theorem D.3": {3: 0.5, 10: 0.9}}
    for figure, text in (
        (figures.fig1a(*xor5d(40)), "informative"),
        (figures.figc1(rules), "posRand"),
        (figures.draws_figure(draws.sel(width=3)), "2 draws"),
        (figures.fig4a(grid.sel(n_train=100), 0.95, theory), "3 trials"),
        (figures.fig4d(comparison_map(grid, 0.9), 3), "3 trials"),
        (figures.one_picture(grid.sel(width=10, n_train=100)), "validation accuracy (%)"),
    ):
        figure.draw_without_rendering()
        assert text in words(figure)


def test_lines_show_the_medians(grid):
    figure = figures.efficiency_figure(grid.sel(width=10), 0.9, ("error",))
    line = next(x for x in figure.axes[0].lines if x.get_label() == "fluid, random polarity")
    part = grid.sel(width=10, condition="fluid_random")
    best = part.val_loss.argmin("epoch")
    expected = 100 * (1 - part.val_accuracy.isel(epoch=best)).median("trial")
    np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-5)


def test_thin_lines_bear_the_name_of_their_condition(grid):
    draws = train_draws(PROTOCOL, 2, progress=False).sel(width=3)
    names = {figures.condition_style(c).label for c in PROTOCOL.conditions}
    for figure, lines, panels in (
        (figures.draws_figure(draws), 2, {"A", "B"}),
        (figures.one_picture(grid.sel(width=10, n_train=100)), 3, {""}),
    ):
        data = table(figure)
        assert set(data.series) == names
        assert set(data.panel) == panels
        for _, own in data[data.mark == "single line"].groupby(["panel", "series"]):
            assert sorted(set(own.line)) == list(range(lines))


def test_unknown_condition_is_named():
    with pytest.raises(ValueError, match="fluid_random; got 'fluid'"):
        figures.condition_style("fluid")


def test_styles_differ_without_colour():
    styles = [figures.condition_style(c) for c in PROTOCOL.conditions]
    assert len({s.marker for s in styles}) == len({str(s.linestyle) for s in styles}) == len(styles)


def test_published_medians_are_complete():
    medians = xor5d_medians()
    assert set(medians.condition) == set(PROTOCOL.conditions)
    assert medians.notna().all().all() and (medians.median_or_pct >= 0).all()
