"""What a figure shows, read back from the figure itself: as a table, in words, and as SVG.

The data that the book offers beside a picture are those that were drawn, because they are taken
from the drawn figure; no page lists them a second time. Parts of a figure that a reader may want
to see or not, such as single trials or the paper's values, are its layers.
"""

from __future__ import annotations

import io
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import (
    Collection,
    LineCollection,
    PathCollection,
    PolyCollection,
    QuadMesh,
)
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch

from polarity._checks import one_of

from .estimate import typeset

__all__ = [
    "COLUMNS",
    "LAYERS",
    "describe",
    "layer",
    "layers_of",
    "shown_layers",
    "table",
    "to_svg",
    "trial_dots",
    "trial_lines",
]

LAYERS = {"trials": "single trials", "paper": "the paper's values"}
"""Parts of a figure that can be shown and hidden, and what a reader calls them."""
HIDDEN = ("trials",)
"""Layers that are not shown at first."""

COLUMNS = (
    "panel", "series", "mark", "layer", "line", "x", "x_low", "x_high", "y", "y_low", "y_high",
    "value", "x_quantity", "y_quantity",
)  # fmt: skip
"""Columns of :func:`table`."""

_PREFIX = "layer-"
_SPACES = {"": "http://www.w3.org/2000/svg", "xlink": "http://www.w3.org/1999/xlink"}
_CELLS = 4096  # of a map that go into the table
_CODES = 8  # values of a map, at most, that say no more than which: signs, or what holds there
_SPOKEN = 12  # series that a description tells one by one; the table holds them all
_FEW = 2  # series of a panel that are always told
# Which trial each point of an artist belongs to; matplotlib has no place for it.
_TRIALS: WeakKeyDictionary[Artist, npt.NDArray[np.intp]] = WeakKeyDictionary()


def layer(name: str, artists: Artist | Iterable[Artist]) -> None:
    """Put artists into a layer of their figure.

    Parameters
    ----------
    name : {"trials", "paper"}
        Which (:data:`LAYERS`).
    artists
        What matplotlib's functions returned: one artist, or several.

    Raises
    ------
    ValueError
        If there is no such layer.
    """
    one_of("layer", name, LAYERS)
    for artist in [artists] if isinstance(artists, Artist) else artists:
        artist.set_gid(_PREFIX + name)


def trial_dots(
    ax: Axes,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    color: str,
    *,
    size: float = 6,
    hidden: bool = True,
) -> None:
    """Draw single trials as dots.

    Parameters
    ----------
    ax
        The panel.
    x, y
        Places, of shapes that broadcast together; their last axis counts the trials.
    color
        That of the trials' condition.
    size
        Area of a dot, in square points.
    hidden
        Whether they are shown only when a reader asks for them.
    """
    x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
    if not x.size:
        return  # a switch that shows nothing
    dots = ax.scatter(x.ravel(), y.ravel(), s=size, color=color, alpha=0.45, linewidths=0, zorder=2)
    _TRIALS[dots] = np.broadcast_to(np.arange(x.shape[-1]) if x.ndim else 0, x.shape).ravel()
    if hidden:
        layer("trials", dots)


def trial_lines(
    ax: Axes,
    x: npt.ArrayLike,
    lines: npt.ArrayLike,
    color: str,
    *,
    alpha: float = 0.35,
    hidden: bool = True,
) -> None:
    """Draw single trials as thin lines.

    Parameters
    ----------
    ax
        The panel.
    x
        Places, shape (points,).
    lines
        Values, shape (trials, points). Trials that are NaN everywhere are left out.
    color
        That of the trials' condition.
    alpha
        The more lines lie on each other, the lower.
    hidden
        Whether they are shown only when a reader asks for them.
    """
    values = np.asarray(lines, float)
    (shown,) = np.nonzero(~np.isnan(values).all(axis=1))
    drawn = ax.plot(x, values[shown].T, color=color, alpha=alpha, linewidth=0.6, zorder=1.5)
    _TRIALS.update((line, np.array([trial])) for line, trial in zip(drawn, shown, strict=True))
    if hidden:
        layer("trials", drawn)


def layers_of(figure: Figure) -> list[str]:
    """Return the layers that a figure has, in the order of :data:`LAYERS`."""
    there = {_layer(artist) for artist in figure.findobj(include_self=False)}
    return [name for name in LAYERS if name in there]


def to_svg(figure: Figure) -> str:
    """Return the figure as SVG; its layers are the elements whose ids begin with ``layer-NAME-``.

    The same figure gives the same text: it holds no date, and identifiers come from the content.
    Layers in :data:`HIDDEN` are hidden by a style element; :func:`shown_layers` chooses others.
    """
    number = itertools.count(1)
    for artist in figure.findobj(include_self=False):
        if name := _layer(artist):  # an id must be unique in its document
            artist.set_gid(f"{_PREFIX}{name}-{next(number)}")
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = buffer.getvalue()
    return _hide(text[text.index("<svg") :], HIDDEN)


def shown_layers(svg: str, shown: Iterable[str]) -> str:
    """Return the SVG of :func:`to_svg` with these layers alone: all others are taken out of it.

    Parameters
    ----------
    svg
        What :func:`to_svg` returned.
    shown
        Names of :data:`LAYERS`.
    """
    for kind, space in _SPACES.items():
        ElementTree.register_namespace(kind, space)
    root = ElementTree.fromstring(svg)
    hidden = tuple(f"{_PREFIX}{name}-" for name in LAYERS if name not in set(shown))
    for parent in list(root.iter()):
        for child in list(parent):
            if child.get("id") == "layers":
                parent.remove(child)
            elif hidden and (child.get("id") or "").startswith(hidden):
                # What is defined there, such as a marker, may be used elsewhere.
                root.extend(child.iter(f"{{{_SPACES['']}}}defs"))
                parent.remove(child)
    return ElementTree.tostring(root, encoding="unicode")


def _hide(svg: str, layers: Iterable[str]) -> str:
    """Hide layers by a style element; they stay in the SVG."""
    selectors = ", ".join(f'[id^="{_PREFIX}{name}-"]' for name in layers)
    style = f'<style id="layers">{selectors} {{ display: none }}</style>'
    return re.sub(r"(<svg\b[^>]*>)", lambda found: found[1] + style, svg, count=1)


def table(figure: Figure) -> pd.DataFrame:
    """Return everything that a figure draws from data, one row a mark.

    Read from lines, bands, dots, bars, intervals and maps. Straight lines across a whole panel,
    arrows and texts are no data.

    Returns
    -------
    pandas.DataFrame
        Columns :data:`COLUMNS`: the panel's title; the name in the legend; the kind of mark; the
        layer; which of several lines of a series, or which trial, counted from 0; the place, with
        intervals; the value of a cell of a map; and what the axes measure, with units, as their
        labels say. Where an axis counts categories, the place is the category.
    """
    rows: list[dict[str, Any]] = []
    panels = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    for number, ax in enumerate(panels, 1):
        names = _legend_names(figure, ax)
        found = list(_marks(ax, names))
        if not found:
            continue
        panel = _title(ax) or (str(number) if len(panels) > 1 else "")
        x_of, y_of = _reader(ax.xaxis), _reader(ax.yaxis)
        quantities = {
            "x_quantity": _quantity(ax.get_xlabel() or _shared(figure, "x", ax)),
            "y_quantity": _quantity(ax.get_ylabel() or _shared(figure, "y", ax)),
        }
        for mark in found:
            for key, of in (("x", x_of), ("y", y_of)):
                for part in (key, f"{key}_low", f"{key}_high"):
                    if part in mark:
                        mark[part] = of(mark[part])
            rows.append({"panel": panel, **mark, **quantities})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def describe(data: pd.DataFrame) -> str:
    """Say in words what a figure shows: of lines their ends and extremes, of rows their dots.

    Of histograms it says where they are highest; of maps where they are lowest and highest, unless
    their values are but a few, which are codes or signs. Panels with more series than are left to
    be told one by one say where their lines end.

    Parameters
    ----------
    data
        Output of :func:`table`.

    Returns
    -------
    str
        A few sentences, for readers who do not see the picture; empty where there is nothing to
        tell.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> figure = Figure()
    >>> ax = figure.subplots()
    >>> _ = ax.plot([20, 60, 100], [41.2, 12.0, 3.5], label="frozen")
    >>> _ = ax.set(xlabel="samples", ylabel="error (%)")
    >>> describe(table(figure))
    'Error (%) against samples: frozen 41.2 at 20, 3.5 at 100.'
    """
    shown = data[data.layer == ""]
    kinds = shown.mark.str.split(",").str[0]  # "cell, one of 3 in each direction"
    lines = (kinds == "line") & (shown.series != "")
    lines &= np.isfinite(pd.to_numeric(shown.y, errors="coerce").astype(float))
    named = [
        isinstance(x, str) != isinstance(y, str) for x, y in zip(shown.x, shown.y, strict=True)
    ]
    dots = (kinds == "dot") & np.array(named, dtype=bool) & shown[["x", "y"]].notna().all(axis=1)
    told = shown.assign(kind=kinds)[lines | dots | kinds.isin(["bar", "cell"])]
    sentences, left, before = [], _SPOKEN, ""
    for key, own in told.groupby(["panel", "x_quantity", "y_quantity"], sort=False):
        panel, x, y = map(str, key)
        parts, number = _parts(own, max(left, _FEW))
        left -= number
        if not parts:
            continue
        what = " against ".join(quantity for quantity in (y, x) if quantity)
        head = ", ".join(part for part in (panel, what if what != before else "") if part)
        before = what
        sentences.append(f"{head[:1].upper()}{head[1:]}{': ' * bool(head)}{'; '.join(parts)}.")
    return " ".join(sentences)


def _parts(marks: pd.DataFrame, most: int) -> tuple[list[str], int]:
    """Say what a panel shows, series by series up to so many; and how many were told so."""
    say = {"line": _course, "dot": _list, "bar": _peak, "cell": _extremes}
    parts = [
        f"{series} {said}".strip()
        for (series, kind), own in marks.groupby(["series", "kind"], sort=False)
        if (said := say[str(kind)](own))
    ]
    if len(parts) <= most:
        return parts, len(parts)
    lines = marks[marks.kind == "line"]
    if not lines.empty:
        return [_together(lines)], 0
    return [*parts[:most], f"{len(parts) - most} more series in the data"], most


def _together(lines: pd.DataFrame) -> str:
    """Of more lines than a listener can follow: how many, and their ends where most of them are."""
    number = lines.series.nunique()
    together = lines.groupby("x", sort=False).series.nunique()
    x = together.index[np.flatnonzero(together == together.max())[-1]]
    there = lines[lines.x == x].assign(y=lambda points: points.y.astype(float))
    low, high = there.loc[there.y.idxmin()], there.loc[there.y.idxmax()]
    if _short(low.y) == _short(high.y):
        return f"{number} lines, all {_short(low.y)} at {_short(x)}"
    ends = f"lowest {_short(low.y)} ({low.series}), highest {_short(high.y)} ({high.series})"
    return f"{number} lines; at {_short(x)} {ends}"


def _course(points: pd.DataFrame) -> str:
    """Where a line begins and ends, and its extreme where that lies elsewhere."""
    y = points.y.astype(float).to_numpy()
    said = [0, len(y) - 1] if len(y) > 1 else [0]
    text = ", ".join(f"{_short(y[i])} at {_short(points.x.iloc[i])}" for i in said)
    ends = y[said]
    extent = y.max() - y.min()
    for word, i in (("lowest", int(y.argmin())), ("highest", int(y.argmax()))):
        beyond = ends.min() - y[i] if word == "lowest" else y[i] - ends.max()
        if extent > 0 and beyond > 0.1 * extent:
            text += f", {word} {_short(y[i])} at {_short(points.x.iloc[i])}"
    return text


def _list(points: pd.DataFrame) -> str:
    """What was found in each category; of several dots in one, their median and ends."""
    across = isinstance(points.x.iloc[0], str)
    category, number = ("x", "y") if across else ("y", "x")
    parts = []
    for name, own in points.groupby(category, sort=False)[number]:
        values = own.astype(float)
        text = _short(values.median())
        if len(values) > 1:
            ends = f"{_short(values.min())} to {_short(values.max())}"
            text += f", the median of {len(values)} from {ends}"
        parts.append(f"{text} ({name})")
    return ("; " if len(points) > len(parts) else ", ").join(parts)


def _peak(bars: pd.DataFrame) -> str:
    """Where a histogram is highest, and from where to where it reaches."""
    along, up = ("x", "y") if bars.x_low.nunique() > 1 else ("y", "x")
    filled = bars[bars[f"{up}_high"] != bars[f"{up}_low"]]
    if filled.empty or isinstance(bars[f"{along}_low"].iloc[0], str):
        return ""
    low, high = filled[f"{along}_low"].astype(float), filled[f"{along}_high"].astype(float)
    heights = filled[f"{up}_high"].astype(float).to_numpy()
    top = int(heights.argmax())
    return (
        f"from {_short(low.min())} to {_short(high.max())}, highest {_short(heights[top])} between "
        f"{_short(low.iloc[top])} and {_short(high.iloc[top])}"
    )


def _extremes(cells: pd.DataFrame) -> str:
    """Where a map is lowest and highest."""
    values = cells.value.astype(float).to_numpy()
    if np.unique(values[np.isfinite(values)]).size <= _CODES:
        return ""
    return ", ".join(
        f"{word} {_short(values[i])} at {_short(cells.x.iloc[i])}, {_short(cells.y.iloc[i])}"
        for word, i in (("lowest", np.nanargmin(values)), ("highest", np.nanargmax(values)))
    )


def _short(value: str | float) -> str:
    """Three digits, without an exponent where that is readable."""
    if isinstance(value, str):
        return value
    number = float(value)  # of any library
    if number == 0 or not math.isfinite(number):
        return f"{abs(number) if number == 0 else number:g}"
    if 1e-4 <= abs(number) < 1e6:
        digits = max(0, 2 - math.floor(math.log10(abs(number))))
        text = f"{number:.{digits}f}"
        return typeset(text.rstrip("0").rstrip(".") if "." in text else text)
    return typeset(f"{number:.2e}")


def _marks(ax: Axes, names: dict[tuple[str, str], str]) -> Iterator[dict[str, Any]]:
    """Yield every mark of a panel, in data coordinates."""
    # Lines across a panel (axhline and its like) are in its own coordinates on one axis.
    lines = [
        line
        for line in ax.lines
        if line.get_transform().contains_branch(ax.transData) and np.size(line.get_xdata())
    ]
    known = [_series_and_kind(line, names) for line in lines]
    several, seen = Counter(known), Counter[tuple[str, str]]()
    for line, (series, kind) in zip(lines, known, strict=True):
        number = seen[series, kind] if kind != "dot" and several[series, kind] > 1 else None
        seen[series, kind] += 1
        yield from _of_line(line, series, kind, _TRIALS.get(line, [number])[0])
    for collection in ax.collections:
        yield from _of_collection(collection, names)
    for image in ax.images:
        if isinstance(image, AxesImage) and _numbers(image.get_array()).ndim == 2:
            yield from _of_image(image)
    for patch in ax.patches:
        if isinstance(patch, StepPatch):
            yield from _of_steps(patch, names)
    for container in ax.containers:
        if isinstance(container, BarContainer):
            label = str(container.get_label())
            for bar in container.patches:
                color = to_hex(bar.get_facecolor())
                yield {
                    "series": _named(label, color, "", names),
                    "mark": "bar",
                    "layer": _layer(bar),
                    "x_low": bar.get_x(),
                    "x_high": bar.get_x() + bar.get_width(),
                    "y_low": bar.get_y(),
                    "y_high": bar.get_y() + bar.get_height(),
                }


def _series_and_kind(line: Line2D, names: dict[tuple[str, str], str]) -> tuple[str, str]:
    label, marker = str(line.get_label()), line.get_marker()
    dots = line.get_linestyle() in ("None", " ", "") or np.size(line.get_xdata()) == 1
    color = line.get_markeredgecolor() if dots else line.get_color()
    kind = "dot" if dots else "line"
    if kind == "line" and label.startswith("_") and marker in ("None", None, ""):
        kind = "single line"  # beside the line that the legend names
    return _named(label, to_hex(color), str(marker), names), kind


def _of_line(line: Line2D, series: str, kind: str, number: int | None) -> Iterator[dict[str, Any]]:
    x, y = (np.atleast_1d(np.asarray(part)) for part in line.get_data(orig=True))
    for here, there in zip(x, y, strict=False):
        yield {"series": series, "mark": kind, "layer": _layer(line), "line": number, "x": here,
               "y": there}  # fmt: skip


def _of_collection(
    collection: Collection, names: dict[tuple[str, str], str]
) -> Iterator[dict[str, Any]]:
    where = _layer(collection)
    label = str(collection.get_label())
    match collection:
        case QuadMesh():
            corners = _numbers(collection.get_coordinates())
            centres = (corners[:-1, :-1] + corners[1:, 1:]) / 2
            values = _numbers(collection.get_array()).reshape(centres.shape[:2])
            yield from _cells(values, centres, where)
        case PolyCollection():
            series = _named(label, _first_color(collection), "", names)
            for path in collection.get_paths():
                yield from _of_band(_numbers(path.vertices), series, where)
        case PathCollection():
            colors = _colors(collection)
            places = _numbers(collection.get_offsets())
            trials = _TRIALS.get(collection, itertools.repeat(None, len(places)))
            for i, (place, trial) in enumerate(zip(places, trials, strict=True)):
                color = colors[i % len(colors)] if colors else ""
                yield {"series": _named(label, color, "", names), "mark": "dot", "layer": where,
                       "line": trial, "x": place[0], "y": place[1]}  # fmt: skip
        case LineCollection():
            series = _named(label, _first_color(collection), "", names)
            for segment in collection.get_segments():
                low, high = np.min(segment, axis=0), np.max(segment, axis=0)
                ends = {"x_low": low[0], "x_high": high[0], "y_low": low[1], "y_high": high[1]}
                yield {"series": series, "mark": "interval", "layer": where, **ends}


def _of_steps(steps: StepPatch, names: dict[tuple[str, str], str]) -> Iterator[dict[str, Any]]:
    """The bars of a histogram that is drawn by its outline, or filled."""
    values, edges, base = steps.get_data()
    color = to_hex(steps.get_facecolor() if steps.get_fill() else steps.get_edgecolor())
    series = _named(str(steps.get_label()), color, "", names)
    along, up = ("y", "x") if steps.orientation == "horizontal" else ("x", "y")
    bases = np.broadcast_to(0.0 if base is None else base, np.shape(values))
    for value, foot, low, high in zip(values, bases, edges[:-1], edges[1:], strict=True):
        yield {
            "series": series,
            "mark": "bar",
            "layer": _layer(steps),
            f"{along}_low": low,
            f"{along}_high": high,
            f"{up}_low": foot,
            f"{up}_high": value,
        }


def _of_band(vertices: np.ndarray, series: str, where: str) -> Iterator[dict[str, Any]]:
    """The lower and the upper edge of a filled band, at each place."""
    places: dict[float, list[float]] = {}
    for x, y in vertices:
        places.setdefault(float(x), []).append(float(y))
    for x, ys in places.items():
        yield {"series": series, "mark": "band", "layer": where, "x": x, "y_low": min(ys),
               "y_high": max(ys)}  # fmt: skip


def _of_image(image: AxesImage) -> Iterator[dict[str, Any]]:
    values = _numbers(image.get_array())
    left, right, bottom, top = image.get_extent()
    rows, columns = values.shape
    xs = left + (np.arange(columns) + 0.5) * (right - left) / columns
    ys = top + (np.arange(rows) + 0.5) * (bottom - top) / rows
    if image.origin == "lower":
        ys = ys[::-1]
    yield from _cells(values, np.stack(np.meshgrid(xs, ys), axis=-1), _layer(image))


def _cells(
    values: npt.NDArray[np.float64], centres: npt.NDArray[np.float64], where: str
) -> Iterator[dict[str, Any]]:
    """The cells of a map; of a picture of a function, a few thousand at equal distances."""
    step = 1
    while math.ceil(len(values) / step) * math.ceil(len(values[0]) / step) > _CELLS:
        step += 1
    mark = "cell" if step == 1 else f"cell, one of {step} in each direction"
    for value, (x, y) in zip(
        values[::step, ::step].ravel(), centres[::step, ::step].reshape(-1, 2), strict=True
    ):
        yield {"series": "", "mark": mark, "layer": where, "x": x, "y": y, "value": value}


def _layer(artist: Artist) -> str:
    gid = artist.get_gid() or ""
    found = re.fullmatch(rf"{_PREFIX}([a-z]+)(-\d+)?", gid)
    return found[1] if found else ""


def _numbers(values: Any) -> npt.NDArray[np.float64]:
    """An array of numbers, in which what matplotlib masks is NaN."""
    return np.asarray(np.ma.filled(np.ma.asarray(values, dtype=float), np.nan))


def _colors(collection: Collection) -> list[str]:
    """The faces' colours, or where there are none the edges'."""
    for colors in (collection.get_facecolor(), collection.get_edgecolor()):
        rows = np.atleast_2d(_numbers(colors))
        if rows.size:
            return [to_hex((row[0], row[1], row[2])) for row in rows]
    return []


def _first_color(collection: Collection) -> str:
    return next(iter(_colors(collection)), "")


def _legend_names(figure: Figure, ax: Axes) -> dict[tuple[str, str], str]:
    """Map colour and marker, and colour alone where it is unique, to the name in a legend."""
    legends = [legend for legend in (ax.get_legend(), *figure.legends) if legend]
    handles: list[tuple[Artist, str]] = []
    for legend in legends:
        texts = [text.get_text() for text in legend.get_texts()]
        drawn = zip(legend.legend_handles, texts, strict=False)
        handles += [(handle, text) for handle, text in drawn if handle is not None]
    if not legends:
        handles += zip(*ax.get_legend_handles_labels(), strict=True)
    names: dict[tuple[str, str], str] = {}
    shared: set[str] = set()
    for handle, text in handles:
        color, marker = _look(handle)
        if not color:
            continue
        names.setdefault((color, marker), text)
        if names.setdefault((color, ""), text) != text:
            shared.add(color)
    for color in shared:
        names.pop((color, ""), None)
    return names


def _look(handle: Artist) -> tuple[str, str]:
    match handle:
        case Line2D():
            return to_hex(handle.get_color()), str(handle.get_marker())
        case Collection():
            return _first_color(handle), ""
        case _ if hasattr(handle, "get_facecolor"):
            return to_hex(handle.get_facecolor()), ""
        case _:
            return "", ""


def _named(label: str, color: str, marker: str, names: dict[tuple[str, str], str]) -> str:
    """The artist's own label, or that of the legend's entry of its looks."""
    if label and not label.startswith("_"):
        return _quantity(label)
    return _quantity(names.get((color, marker)) or names.get((color, "")) or "")


def _title(ax: Axes) -> str:
    titles: Sequence[str] = [ax.get_title(loc=where) for where in ("left", "center", "right")]
    return _quantity(" ".join(filter(None, titles)))


def _shared(figure: Figure, which: str, ax: Axes) -> str:
    """The label of a figure's outermost panel, or of the figure, where panels share one."""
    label = figure.get_supxlabel() if which == "x" else figure.get_supylabel()
    if label:
        return str(label)
    group = ax.get_shared_x_axes() if which == "x" else ax.get_shared_y_axes()
    for other in group.get_siblings(ax):
        if text := (other.get_xlabel() if which == "x" else other.get_ylabel()):
            return str(text)
    return ""


def _quantity(text: str) -> str:
    """A label without line breaks and signs of formulae."""
    return re.sub(r"\s+", " ", text.replace("$", "").replace("\\", "")).strip()


def _reader(axis: Axis) -> Any:
    """Return what turns a place on an axis into its category, or into a plain number."""
    ticks = np.asarray(axis.get_ticklocs(), dtype=float)
    # Asked of the formatter, because panels that share an axis hide the labels of all but one.
    texts = [_quantity(text) for text in axis.get_major_formatter().format_ticks(ticks.tolist())]
    apart = np.diff(ticks).min() if len(ticks) > 1 else 1.0
    counted = (
        axis.get_scale() == "linear"
        and len(ticks) > 0
        and all(texts)
        and apart > 0
        and (all(text[0].isalpha() for text in texts) or np.allclose(np.diff(ticks), 1))
        and any(_number(text) != tick for text, tick in zip(texts, ticks, strict=True))
    )

    def category(place: Any) -> Any:
        nearest = int(np.abs(ticks - float(place)).argmin())
        return texts[nearest] if abs(ticks[nearest] - float(place)) <= apart / 2 else float(place)

    def number(place: Any) -> Any:
        return place if isinstance(place, str) else float(place)

    return category if counted else number


def _number(text: str) -> float:
    try:
        return float(text.replace("−", "-"))
    except ValueError:
        return math.nan
