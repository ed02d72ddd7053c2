"""The image figures: with one trial or twenty, cells missing, a condition that never learns."""

import re

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from image_curves import LAYERS, image_curves, without

from polarity.analysis import image_figures, network_figures
from polarity.analysis.chance import chance_table
from polarity.analysis.drawn import table, to_svg
from polarity.analysis.figures import condition_style, use_style
from polarity.analysis.image_metrics import (
    dead_shares,
    epochs_needed,
    error,
    over_pairs,
    paired_error,
)
from polarity.analysis.image_results import nothing
from polarity.analysis.published import image_medians
from polarity.protocols import IMAGE_CONDITIONS
from polarity.publishing import pictures

SETTING = "reduced tier: AlexNet at 64 px, donor tiny_imagenet_64"
PUBLISHED = image_medians()[lambda table: table.dataset == "fashion_mnist"]


@pytest.fixture(autouse=True, scope="module")
def styled():
    with mpl.rc_context():
        use_style()
        yield
    plt.close("all")


def with_gaps(curves):
    curves = without(curves, "fluid_in_polarity", 100, 0)
    return without(curves, "frozen_in_weight", 250, 0)


CASES = {
    "one trial": lambda: image_curves(trials=1, every=2),
    "one trial, cells missing": lambda: with_gaps(image_curves(trials=1)),
    "three, cells missing": lambda: with_gaps(image_curves(trials=3, every=2)),
    "a condition that never learns": lambda: image_curves(trials=5, stuck=["fluid_in_weight"]),
    "nobody learns": lambda: image_curves(trials=3, stuck=IMAGE_CONDITIONS),
    "the reference is missing": lambda: image_curves().where(
        lambda c: c.condition != "frozen_in_polarity"
    ),
    "twenty trials, ten sizes": lambda: image_curves(
        (100, 250, 500, 750, 1000, 2000, 3000, 4000, 5000, 6000), 20
    ),
    "nothing": lambda: nothing("fashion_mnist"),
}
FIGURES = {
    "fig2": lambda c, p: image_figures.fig2(c, 0.6, SETTING, p),
    "fig3": lambda c, p: image_figures.fig3(c, 0.6, SETTING, p),
    "epochs": lambda c, p: image_figures.thresholds_figure(c, "epochs", SETTING, p),
    "share": lambda c, p: image_figures.thresholds_figure(c, "share", SETTING, p),
    "difference": lambda c, p: image_figures.thresholds_figure(c, "difference", SETTING, p),
    "learning": lambda c, p: image_figures.learning_figure(c, SETTING),
}


def words(figure):
    return " ".join(t.get_text() for t in figure.findobj(mpl.text.Text))


def line(figure, panel, condition):
    """Heights of a condition's own line in a panel: the one with a label."""
    label = condition_style(condition).label
    return next(x for x in figure.axes[panel].lines if x.get_label() == label).get_ydata()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_can_be_drawn_and_names_its_tier(case, name):
    curves = CASES[case]()
    for published in (None, PUBLISHED):
        figure = FIGURES[name](curves, published)
        figure.draw_without_rendering()
        assert SETTING in words(figure)
    overlay = name not in ("share", "learning")
    assert ("the paper's medians" in words(figure)) == overlay


@pytest.mark.parametrize("sizes", [1, 2, 4, 5, 10])
def test_the_lowest_panel_of_each_column_has_its_axis(sizes):
    curves = image_curves(range(100, 100 + sizes))
    figure = image_figures.learning_figure(curves, SETTING)
    figure.draw_without_rendering()
    used = [ax for ax in figure.axes if ax.axison]
    assert len(used) == sizes
    columns = 2 if sizes == 4 else min(sizes, 3)
    for ax in used[-columns:]:
        assert ax.get_xlabel() == "epoch"
        assert [label.get_text() for label in ax.get_xticklabels() if label.get_visible()]


@pytest.mark.parametrize("case", CASES)
def test_the_figures_of_networks(case):
    curves = CASES[case]()
    n = int(curves.n_train[0])
    rows = [
        {
            "setting": SETTING,
            "n_train": int(m),
            "effect": over_pairs(
                paired_error(curves.sel(n_train=[m]), "frozen_in_polarity", "fluid_rand_polarity")
            ),
        }
        for m in curves.n_train.values
    ]
    for figure in (
        network_figures.flips_figure(curves, n, SETTING, epochs=20),
        network_figures.dead_figure(dead_shares(curves, n), SETTING),
        network_figures.chance_figure(chance_table(curves), SETTING),
        network_figures.effects_figure(pd.DataFrame(rows)),
    ):
        figure.draw_without_rendering()
        assert SETTING in words(figure)


def test_the_cells_of_dead_units_are_the_shares_row_by_row():
    shares = dead_shares(image_curves(), 100)
    shares = shares.copy(data=np.linspace(0, 1, shares.size).reshape(shares.shape))
    gap = {"moment": "end", "hidden": "conv2", "condition": "fluid_rand_polarity"}
    shares.loc[gap] = np.nan
    figure = network_figures.dead_figure(shares, SETTING)
    drawn = table(figure).set_index(["panel", "y", "x"]).value
    titles = {"start": "A before training", "end": "B after training"}
    for row in shares.condition.values:
        for layer in shares.hidden.values:
            for moment, title in titles.items():
                expected = float(shares.sel(condition=row, hidden=layer, moment=moment))
                np.testing.assert_allclose(drawn[title, row, layer], 100 * expected)
    written = [text.get_text() for text in figure.axes[1].texts]
    assert "nan" not in written
    assert written.count("100") == 1
    assert len(written) == shares.condition.size * shares.hidden.size - 1


def test_the_figure_of_rates_draws_every_network_and_the_medians():
    rows = [
        {"lr": lr, "condition": condition, "trial": trial, "accuracy": accuracy + trial / 100}
        for lr, accuracy in ((0.0003, 0.3), (0.001, 0.5), (0.1, 0.1))
        for condition in ("frozen_in_polarity", "fluid_rand_polarity")
        for trial in (0, 1, 5)
    ]
    figure = network_figures.rates_figure(pd.DataFrame(rows), SETTING)
    figure.draw_without_rendering()
    assert SETTING in words(figure) and "chance" in words(figure)
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks == ["0.0003", "0.001", "0.1"]
    drawn = table(figure)
    for condition in ("frozen_in_polarity", "fluid_rand_polarity"):
        own = drawn[drawn.series == condition_style(condition).label]
        medians, single = own[own.mark == "line"], own[own.mark != "line"]
        np.testing.assert_allclose(medians.x, [0.0003, 0.001, 0.1])
        np.testing.assert_allclose(medians.y, [31, 51, 11])
        expected = [100 * row["accuracy"] for row in rows if row["condition"] == condition]
        np.testing.assert_allclose(single.y, expected)
    width = float(re.search(r'width="([\d.]+)pt"', to_svg(figure))[1])
    assert width * 96 / 72 <= pictures._FITS
    empty = network_figures.rates_figure(pd.DataFrame(rows)[:0], SETTING)
    empty.draw_without_rendering()
    assert SETTING in words(empty)


def test_no_label_leaves_a_column_to_the_left():
    """On a phone every inch beside the data is missed: names of rows stand above them."""
    name = "a donor with a name that is as long as half of a narrow figure"
    effect = over_pairs(xr.DataArray(np.linspace(-0.1, 0.02, 8), dims="trial"))
    rows = pd.DataFrame([{"setting": name, "n_train": 100, "effect": effect}])
    shares = dead_shares(image_curves(), 100)
    labels = [f"{name} {i}" for i in range(shares.condition.size)]
    figures = (
        network_figures.effects_figure(rows),
        network_figures.dead_figure(shares.assign_coords(condition=labels), SETTING),
    )
    for figure in figures:
        figure.draw_without_rendering()
        assert figure.axes[0].get_position().x0 < 0.05
        assert name in words(figure)
        assert table(figure).y.str.startswith(name).all()
        width = float(re.search(r'width="([\d.]+)pt"', to_svg(figure))[1])
        assert width * 96 / 72 <= pictures._FITS  # else it scrolls


def test_lines_are_medians_over_the_networks_there_are():
    curves = with_gaps(image_curves(trials=3, stuck=["fluid_rand_polarity"]))
    figure = image_figures.fig2(curves, 0.6, SETTING, PUBLISHED)
    for condition in ("fluid_in_polarity", "fluid_rand_polarity"):
        expected = 100 * error(curves).sel(condition=condition).median("trial")
        np.testing.assert_allclose(line(figure, 0, condition), expected)
    times = epochs_needed(curves, 0.6)
    own = times.sel(condition="fluid_in_polarity")
    np.testing.assert_allclose(line(figure, 1, "fluid_in_polarity"), own.median("trial"))
    assert np.isnan(line(figure, 1, "fluid_rand_polarity")).all()
    np.testing.assert_allclose(line(figure, 2, "fluid_rand_polarity"), 40)


def test_the_papers_medians_are_hollow_and_at_their_sizes():
    figure = image_figures.fig2(image_curves(), 0.6, SETTING, PUBLISHED)
    hollow = [x for x in figure.axes[0].lines if x.get_markerfacecolor() == "none"]
    values = sorted(y for x in hollow for y in x.get_ydata())
    expected = PUBLISHED[
        (PUBLISHED.metric == "val_error_at_convergence_pct")
        & PUBLISHED.n_train.isin([100, 250])
        & PUBLISHED.condition.isin(IMAGE_CONDITIONS[:4])
    ]["median"]
    assert values == sorted(expected)


def test_uneven_counts_stand_at_the_sizes():
    even = words(image_figures.fig2(image_curves(), 0.6, SETTING))
    assert "3 networks a point" in even
    uneven = words(image_figures.fig2(with_gaps(image_curves()), 0.6, SETTING))
    assert "2–3 networks a point" in uneven
    more = image_curves(sizes=(100, 250, 500))
    more = more.where(~((more.n_train == 500) & (more.trial > 0)))
    text = words(image_figures.fig2(more, 0.6, SETTING))
    assert "500 (×1)" in text and "100 (×3)" in text


def test_stars_stand_where_the_test_puts_them():
    def stars(trials):
        figure = image_figures.fig3(image_curves(trials=trials), 0.6, SETTING)
        note = "hardly any star is possible" in words(figure)
        return sum(t.get_text() == "*" for t in figure.axes[0].texts), note

    assert stars(4) == (0, True)
    count, note = stars(6)
    assert count >= 4 and not note


def test_resolution_is_stated():
    fine, coarse = (words(image_figures.fig2(image_curves(every=e), 0.6, SETTING)) for e in (1, 2))
    assert "every 2 epochs" in coarse and "every" not in fine


def test_an_empty_panel_says_so():
    nobody = image_curves(stuck=IMAGE_CONDITIONS)
    assert "no network got there" in words(image_figures.fig2(nobody, 0.6, SETTING))
    assert "nothing to compare" in words(image_figures.fig3(nobody, 0.6, SETTING))
    assert "no network trained yet" in words(
        image_figures.fig2(nothing("cifar10"), 0.5, SETTING, PUBLISHED)
    )


def test_magnitudes_show_their_quantiles():
    rng = np.random.default_rng(0)
    drawn = {layer: np.abs(rng.normal(0, 0.02, 500)) for layer in LAYERS}
    figure = network_figures.magnitudes_figure(
        {condition: drawn for condition in IMAGE_CONDITIONS}, SETTING
    )
    figure.draw_without_rendering()
    assert SETTING in words(figure) and all(layer in words(figure) for layer in LAYERS)
    medians = {x.get_xdata()[0] for x in figure.axes[0].lines if len(x.get_xdata()) == 1}
    assert medians == {np.quantile(drawn["conv1"], 0.5)}


def test_an_unknown_measure_is_named():
    with pytest.raises(ValueError, match="measure must be one of epochs, share, difference"):
        image_figures.thresholds_figure(image_curves(), "time", SETTING)


def test_image_styles_differ_without_colour():
    styles = [condition_style(c) for c in IMAGE_CONDITIONS]
    assert len({s.marker for s in styles}) == len({str(s.linestyle) for s in styles}) == 6
    assert len({s.color for s in styles}) == 6


def test_the_published_medians_are_whole():
    table = image_medians()
    assert set(table.condition) == set(IMAGE_CONDITIONS)
    assert (table.groupby(["dataset", "metric", "threshold"], dropna=False).size() == 60).all()
    assert table["median"].min() >= 0
    errors = table[table.metric == "val_error_at_convergence_pct"]
    assert errors.threshold.isna().all() and errors["median"].between(10, 90).all()
