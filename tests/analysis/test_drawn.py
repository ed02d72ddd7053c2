"""What is read back from a figure is what was drawn."""

from __future__ import annotations

from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from polarity.analysis import drawn

HREF = "{http://www.w3.org/1999/xlink}href"


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
    assert (f'[id^="layer-{name}-"]' in svg) == (name in drawn.HIDDEN)
    assert drawn.shown_layers(svg, [name]).count(f'id="layer-{name}-') == 2
    assert "layer" not in drawn.shown_layers(svg, [])
    assert '<style id="layers"' not in drawn.shown_layers(svg, drawn.LAYERS)
    with pytest.raises(ValueError, match="layer must be one of"):
        drawn.layer("other", [])


def test_what_is_defined_in_a_hidden_layer_can_be_used_by_others() -> None:
    def draw(ax):
        drawn.layer("paper", ax.plot([0, 1], [0, 1], "o"))
        ax.plot([0, 1], [1, 0], "o")

    svg = drawn.to_svg(figure_of(draw))
    for shown in ([], ["paper"]):
        root = ElementTree.fromstring(drawn.shown_layers(svg, shown))
        known = {element.get("id") for element in root.iter()}
        used = [element.get(HREF, "")[1:] for element in root.iter() if element.get(HREF)]
        assert used and set(used) <= known
        assert {element.tag.partition("}")[0] for element in root} == {
            "{http://www.w3.org/2000/svg"
        }


def test_single_trials_are_dots_and_lines_of_a_hidden_layer() -> None:
    def draw(ax):
        drawn.trial_dots(ax, [[0], [1]], [[1, 2, 3], [4, 5, np.nan]], "red")
        drawn.trial_lines(ax, [0, 1], [[6, 7], [np.nan, np.nan], [8, 9]], "red")

    figure = figure_of(draw)
    assert drawn.layers_of(figure) == ["trials"]
    data = drawn.table(figure)
    assert set(data.layer) == {"trials"}
    dots, lines = data[data.mark == "dot"], data[data.mark == "single line"]
    assert sorted(zip(dots.x, dots.y, strict=True))[:5] == [(0, 1), (0, 2), (0, 3), (1, 4), (1, 5)]
    assert list(zip(lines.x, lines.y, strict=True)) == [(0, 6), (1, 7), (0, 8), (1, 9)]
    # Both tell which trial it is, also where one is left out.
    assert dots.line.tolist() == [0, 1, 2, 0, 1, 2]
    assert lines.line.tolist() == [0, 0, 2, 2]


def test_single_trials_may_be_shown_from_the_start() -> None:
    def draw(ax):
        drawn.trial_lines(ax, [0, 1], [[6, 7], [8, 9]], "red", alpha=0.1, hidden=False)
        drawn.trial_dots(ax, 3, [4, 5], "red", hidden=False)

    figure = figure_of(draw)
    assert drawn.layers_of(figure) == []
    assert {line.get_alpha() for line in figure.axes[0].lines} == {0.1}
    assert drawn.table(figure).line.tolist() == [0, 0, 1, 1, 0, 1]


def test_lines_of_a_series_are_numbered_where_there_are_several() -> None:
    def draw(ax):
        ax.plot([0, 1], [[6, 7, 8], [9, 10, 11]], color="red")
        ax.plot([0, 1], [12, 13], "o-", color="red", label="median")
        ax.plot([0, 1], [14, 15], "o-", color="blue", label="one alone")
        ax.plot([0, 1], [[16, 17], [18, 19]], "o", color="green")  # dots are no lines

    table = drawn.table(figure_of(draw))
    by_mark = {
        mark: own.line.tolist() for mark, own in table.groupby(["series", "mark"], sort=False)
    }
    assert by_mark.pop(("median", "single line")) == [0, 0, 1, 1, 2, 2]
    assert by_mark.keys() == {("median", "line"), ("one alone", "line"), ("", "dot")}
    assert np.isnan(np.concatenate(list(by_mark.values()))).all()


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


def test_of_many_lines_the_ends_are_told_where_most_of_them_are() -> None:
    def draw(ax):
        for i in range(15):
            ax.plot([0, 1], [i, 20 - i], label=f"line {i}")
        ax.plot([0, 1, 2], [1, 1, 90], label="longer")

    said = "16 lines; at 1 lowest 1 (longer), highest 20 (line 0)."
    assert drawn.describe(drawn.table(figure_of(draw))) == said


def test_no_panel_goes_untold() -> None:
    figure = Figure()
    for number, ax in enumerate(figure.subplots(1, 3)):
        ax.set_title("ABC"[number])
        for i in range((8, 7, 1)[number]):
            ax.plot([0, 1], [i, i + number], label=f"line {i}")
    told = drawn.describe(drawn.table(figure))
    assert "A: line 0 0 at 0, 0 at 1; line 1 1 at 0" in told
    assert "B: 7 lines; at 1 lowest 1 (line 0), highest 7 (line 6)." in told
    assert told.endswith("C: line 0 0 at 0, 2 at 1.")


def test_of_many_rows_of_dots_the_first_are_told_and_the_others_counted() -> None:
    def draw(ax):
        for i in range(15):
            ax.plot([i], [0], "o", label=f"donor {i}")
        ax.set_yticks([0, 1], ["weights", "all"])

    told = drawn.describe(drawn.table(figure_of(draw)))
    assert told.startswith("donor 0 0 (weights); donor 1 1 (weights)")
    assert told.endswith("donor 11 11 (weights); 3 more series in the data.")


def test_panels_that_share_an_axis_share_its_categories() -> None:
    figure = Figure()
    for ax in figure.subplots(2, 1, sharex=True):
        ax.plot([-0.1, 0.9], [3, 4], label="frozen")
    ax.set_xticks([0, 1], ["100", "250"])
    assert drawn.table(figure).x.tolist() == 2 * ["100", "250"]
    assert drawn.describe(drawn.table(figure)).startswith("1: frozen 3 at 100, 4 at 250.")


def test_named_rows_may_lie_at_any_distance() -> None:
    def draw(ax):
        ax.plot([5, 6], [0, 1.8], "o")
        ax.set_yticks([0, 1.8], ["weights", "all"])

    assert drawn.describe(drawn.table(figure_of(draw))) == "5 (weights), 6 (all)."


def test_many_dots_in_a_row_are_told_by_their_median() -> None:
    def draw(ax):
        ax.plot([0, 0, 0, 1], [5, 9, 6, 2], "o", label="own draw")
        ax.set_xticks([0, 1], ["frozen", "fluid"])

    said = "own draw 6, the median of 3 from 5 to 9 (frozen); 2 (fluid)."
    assert drawn.describe(drawn.table(figure_of(draw))) == said


@pytest.mark.parametrize("orientation", ["vertical", "horizontal"])
def test_histograms_are_read_and_told_by_their_peak(orientation: str) -> None:
    def draw(ax):
        ax.stairs([1, 7, 0], [0, 2, 3, 4], orientation=orientation, color="red", label="fluid")

    data = drawn.table(figure_of(draw))
    along, up = ("x", "y") if orientation == "vertical" else ("y", "x")
    assert set(data.mark) == {"bar"}
    assert data[f"{along}_low"].tolist() == [0, 2, 3]
    assert data[f"{along}_high"].tolist() == [2, 3, 4]
    assert data[f"{up}_low"].tolist() == [0, 0, 0]
    assert data[f"{up}_high"].tolist() == [1, 7, 0]
    assert drawn.describe(data) == "fluid from 0 to 3, highest 7 between 2 and 3."


def test_the_scale_of_a_map_is_no_panel() -> None:
    figure = Figure()
    ax = figure.subplots()
    figure.colorbar(ax.imshow(np.arange(12.0).reshape(3, 4)))
    assert set(drawn.table(figure).panel) == {""}


def test_a_line_of_one_point_is_a_dot_and_zero_has_no_sign() -> None:
    def draw(ax):
        ax.errorbar(-0.0, 1, xerr=[[1], [2]], marker="o")
        ax.set_yticks([1], ["signs"])

    data = drawn.table(figure_of(draw))
    assert set(data.mark) == {"dot", "interval"}
    assert drawn.describe(data) == "0 (signs)."
    assert drawn.describe(data.assign(x=np.nan)) == ""  # where nothing is drawn


def test_maps_are_told_by_their_extremes_unless_their_values_are_codes() -> None:
    values = np.arange(12.0).reshape(3, 4)
    values[0, 0] = np.nan
    told = drawn.describe(drawn.table(figure_of(lambda ax: ax.imshow(values))))
    assert told == "lowest 1 at 1, 0, highest 11 at 3, 2."
    codes = drawn.table(figure_of(lambda ax: ax.imshow(np.sign(values - 5))))
    assert drawn.describe(codes) == ""
