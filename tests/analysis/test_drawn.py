"""What is read back from a figure is what was drawn."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from polarity.analysis import drawn


def figure_of(draw: object) -> Figure:
    figure = Figure()
    draw(figure.subplots())  # type: ignore[operator]
    return figure


def test_a_line_is_read_with_its_name_and_quantities() -> None:
    def draw(ax):
        ax.plot([1, 2], [3.5, np.nan], label="frozen")
        ax.set(title="A", xlabel="epoch", ylabel="error\n($\\%$)")

    table = drawn.table(figure_of(draw))
    assert tuple(table.columns) == drawn.COLUMNS
    row = table.iloc[0]
    assert (row.panel, row.series, row.mark, row.layer) == ("A", "frozen", "line", "")
    assert (row.x, row.y, row.x_quantity, row.y_quantity) == (1, 3.5, "epoch", "error (%)")
    assert np.isnan(table.y[1])


def test_straight_lines_arrows_and_texts_are_no_data() -> None:
    def draw(ax):
        ax.axhline(3)
        ax.axvline(3)
        ax.annotate("here", (0, 0), (1, 1), arrowprops={"arrowstyle": "->"})
        ax.text(0, 0, "there")

    assert drawn.table(figure_of(draw)).empty


def test_an_axis_that_counts_categories_is_read_by_their_names() -> None:
    def draw(ax):
        ax.plot([0, 1.2, 2], [1, 2, 3])
        ax.set_xticks([0, 1, 2], ["20 (×3)", "60", "500"])

    assert drawn.table(figure_of(draw)).x.tolist() == ["20 (×3)", "60", "500"]


def test_an_axis_of_numbers_stays_one() -> None:
    def draw(ax):
        ax.plot([0, 1.2, 2], [1, 2, 3])
        ax.set_xticks([0, 1, 2])

    assert drawn.table(figure_of(draw)).x.tolist() == [0, 1.2, 2]


def test_bands_dots_intervals_bars_and_maps() -> None:
    def draw(ax):
        ax.fill_between([0, 1], [1, 2], [3, 5], label="band")
        ax.scatter([7], [8], label="dots")
        ax.errorbar([1], [2], yerr=[[0.5], [0.25]], label="means")
        ax.bar([3], [4], width=1, label="bars")
        ax.imshow([[1, 2], [3, 4]], extent=(0, 2, 0, 2))

    table = drawn.table(figure_of(draw)).set_index("mark")
    assert table.loc["band", ["x", "y_low", "y_high"]].values.tolist() == [[0, 1, 3], [1, 2, 5]]
    dot = table.loc[(table.index == "dot") & (table.series == "dots")]
    assert dot[["x", "y"]].values.tolist() == [[7, 8]]
    assert table.loc["interval", ["y_low", "y_high"]].tolist() == [1.5, 2.25]
    assert table.loc["bar", ["x_low", "x_high", "y_low", "y_high"]].tolist() == [2.5, 3.5, 0, 4]
    cells = table.loc["cell"]
    assert dict(zip(zip(cells.x, cells.y, strict=True), cells.value, strict=True)) == {
        (0.5, 1.5): 1, (1.5, 1.5): 2, (0.5, 0.5): 3, (1.5, 0.5): 4,
    }  # fmt: skip


def test_a_heatmap_is_read_by_its_rows_and_columns() -> None:
    def draw(ax):
        sns.heatmap(
            np.array([[1.0, 2.0]]), ax=ax, xticklabels=["a", "b"], yticklabels=["r"], cbar=False
        )

    table = drawn.table(figure_of(draw))
    assert table[["x", "y", "value"]].values.tolist() == [["a", "r", 1], ["b", "r", 2]]


def test_a_picture_of_a_function_is_thinned_and_says_so() -> None:
    table = drawn.table(figure_of(lambda ax: ax.imshow(np.zeros((300, 200)))))
    assert 0 < len(table) <= 4096
    assert set(table.mark) == {"cell, one of 4 in each direction"}


def test_marks_without_a_name_take_that_of_the_legend_with_their_looks() -> None:
    figure = Figure()
    ax = figure.subplots()
    ax.plot([0, 1], [1, 2], color="red", linewidth=0.3)
    ax.plot([0], [1], color="blue", marker="s", linestyle="none")
    ax.plot([0], [1], color="blue", marker="o", linestyle="none")
    figure.legend(
        handles=[
            Line2D([], [], color="red", label="all"),
            Line2D([], [], color="blue", marker="s", label="squares"),
            Line2D([], [], color="blue", marker="o", label="dots"),
        ]
    )
    table = drawn.table(figure)
    assert table.series.tolist() == ["all", "all", "squares", "dots"]
    assert table.mark.tolist() == ["single line", "single line", "dot", "dot"]


@pytest.mark.parametrize("name", ["trials", "paper"])
def test_a_layer_is_named_in_the_table_and_can_be_shown_or_hidden(name: str) -> None:
    figure = Figure()
    ax = figure.subplots()
    drawn.layer(name, ax.plot([0, 1], [0, 1]))
    drawn.layer(name, ax.scatter([0], [1]))
    ax.plot([0, 1], [1, 1])
    assert drawn.layers_of(figure) == [name]
    assert drawn.table(figure).layer.tolist() == [name, name, "", "", name]
    svg = drawn.to_svg(figure)
    assert svg.count(f'id="layer-{name}-') == 2
    rule = f'[id^="layer-{name}-"]'
    assert (rule in svg) == (name in drawn.HIDDEN)
    assert rule not in drawn.shown_layers(svg, [name])
    assert rule in drawn.shown_layers(svg, [])
    assert drawn.shown_layers(drawn.shown_layers(svg, []), drawn.LAYERS).count("<style id") == 0
    with pytest.raises(ValueError, match="layer must be one of"):
        drawn.layer("other", [])


def test_the_same_figure_gives_the_same_svg() -> None:
    def svg() -> str:
        with plt.rc_context({"svg.hashsalt": "polarity"}):
            return drawn.to_svg(figure_of(lambda ax: drawn.layer("trials", ax.plot([0, 1]))))

    assert svg() == svg()


def test_the_description_follows_the_numbers() -> None:
    def words(values: list[float]) -> str:
        def draw(ax):
            ax.plot([20, 60, 100], values, label="frozen")
            ax.plot([20, 60, 100], [1, 1, 1])  # no name: not told
            ax.set(xlabel="samples", ylabel="error (%)")

        return drawn.describe(drawn.table(figure_of(draw)))

    assert words([41.2, 12, 3.5]) == "Error (%) against samples: frozen 41.2 at 20, 3.5 at 100."
    assert words([5, 2, 6]).endswith("frozen 5 at 20, 6 at 100, lowest 2 at 60.")
    assert words([5, 9, 6]).endswith("frozen 5 at 20, 6 at 100, highest 9 at 60.")
    assert words([np.nan, 9, 0.00061]).endswith("frozen 9 at 60, 0.00061 at 100.")
    assert words([np.nan] * 3) == ""


def test_rows_of_a_panel_are_told_one_by_one() -> None:
    def draw(ax):
        ax.plot([-1.25, 3], [0, 1], "o", label="ViT")
        ax.set_yticks([0, 1], ["weights", "all"])

    assert drawn.describe(drawn.table(figure_of(draw))) == "ViT −1.25 (weights), 3 (all)."


def test_many_series_are_counted_not_told() -> None:
    def draw(ax):
        for i in range(15):
            ax.plot([0, 1], [i, i], label=f"line {i}")

    assert drawn.describe(drawn.table(figure_of(draw))).endswith("3 more series are in the data.")
