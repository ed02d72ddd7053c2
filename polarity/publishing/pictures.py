"""Figures of an executed page as readers get them: picture, description, data, provenance.

:meth:`polarity.publishing.Page.figure` stores in the notebook what it drew. Here it becomes an HTML
figure with files beside it: the SVG, one more for each choice of layers, the data as CSV, and the
checksums of them all.
"""

from __future__ import annotations

import functools
import hashlib
import html
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .environment import repository_root
from .page import METADATA

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["anchor", "present", "stored_figures"]

FOLDER = "figures"  # below the book's static files
CHECKSUMS = "SHA256SUMS"

# How far a picture shrinks, in CSS pixels. On the narrowest column, that of a phone, letters of
# 8 points in it keep 7 pixels; a picture too wide for that scrolls there, at three quarters of its
# size, or as wide as the column of a desktop.
_NARROWEST = 342
_WIDEST = 680
_FITS = _NARROWEST * (8 * 96 / 72) / 7
_SCROLLED = 0.75


def anchor(name: str) -> str:
    """Return the anchor of a figure on its page."""
    return f"figure-{name}"


def stored_figures(notebook: NotebookNode) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the outputs that hold figures, each with what was stored with it."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            stored = output.get("metadata", {}).get(METADATA, {}).get("figure")
            if stored:
                yield output, dict(stored)


def present(notebook: NotebookNode, static: Path, prefix: str) -> None:
    """Turn the figures of a notebook into HTML, in place, and write their files.

    They are numbered from the top of the page; the number is a link that can be handed on.

    Parameters
    ----------
    notebook
        An executed page.
    static
        The folder of static files of the staged book.
    prefix
        How the page's HTML reaches it: ``"../_static"``.
    """
    for number, (output, figure) in enumerate(stored_figures(notebook), 1):
        folder = static / FOLDER / figure["page"]
        folder.mkdir(parents=True, exist_ok=True)
        svg = _slim(output["data"]["image/svg+xml"])
        files = _files(svg, figure)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        sums = "".join(
            f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n" for name, text in files.items()
        )
        with (folder / CHECKSUMS).open("a", encoding="utf-8") as file:
            file.write(sums)
        link = f"{prefix}/{FOLDER}/{figure['page']}"
        output["data"] = {
            "text/html": _figure_html(svg, figure, link, number),
            "text/plain": figure["alt"],
        }


def _slim(svg: str) -> str:
    """Write coordinates to a hundredth of a point: half the size, and nobody sees the rest.

    Factors are no coordinates: letters are drawn at ``scale(0.015625)``, and shrank by a third.
    """
    number = r"(?<=\d)(\.\d\d)\d+(?=[\s\"LMQCHVZz,)]|$)"
    return re.sub(rf"(?:scale|matrix)\([^)]*\)|{number}", lambda found: found[1] or found[0], svg)


@functools.cache
def _optimizer() -> Callable[[str], str]:
    """Return what rewrites an SVG in fewer words; it takes its time, so results are kept."""
    from joblib import Memory

    root = repository_root()
    memory = Memory(root / "_build" / "pictures" if root else None, verbose=0)
    optimize: Callable[[str], str] = memory.cache(_optimize)
    return optimize


def _optimize(svg: str) -> str:
    from scour import scour

    options = scour.sanitizeOptions(None)
    options.digits = 5  # of 500 points, a hundredth
    options.group_create = True
    options.indent_type = "none"
    options.newlines = False
    options.quiet = True
    options.remove_metadata = True
    options.shorten_ids = True
    options.strip_comments = True
    options.strip_ids = True
    options.strip_xml_prolog = True
    return str(scour.scourString(svg, options))


def _files(svg: str, figure: Mapping[str, Any]) -> dict[str, str]:
    """Return the files of a figure by name: a picture for each choice of layers, and the data."""
    from polarity.analysis.drawn import HIDDEN, shown_layers

    name = figure["name"]
    files = {}
    for choice in _choices(figure["layers"]):
        usual = choice == tuple(layer for layer in figure["layers"] if layer not in HIDDEN)
        picture = shown_layers(svg, choice)
        # The others are loaded when a reader asks for them.
        files[_picture(name, choice, usual)] = _optimizer()(picture) if usual else picture
    if figure["csv"]:
        files[f"{name}.csv"] = figure["csv"]
    return files


def _choices(layers: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for size in range(len(layers) + 1):
        yield from itertools.combinations(layers, size)


def _picture(name: str, choice: Sequence[str], usual: bool) -> str:
    return f"{name}.svg" if usual else f"{name}--{'-'.join(choice) or 'plain'}.svg"


def _figure_html(svg: str, figure: Mapping[str, Any], link: str, number: int) -> str:
    from polarity.analysis.drawn import HIDDEN, LAYERS

    name = figure["name"]
    width, height = _size(svg)
    usual = tuple(layer for layer in figure["layers"] if layer not in HIDDEN)
    variants = " ".join(
        f'data-with-{"-".join(choice) or "none"}="{link}/{_picture(name, choice, choice == usual)}"'
        for choice in _choices(figure["layers"])
    )
    switches = "".join(
        f'<label><input type="checkbox" data-layer="{layer}"'
        f"{' checked' if layer in usual else ''}> {html.escape(LAYERS[layer])}</label>"
        for layer in figure["layers"]
    )
    # Shown by the script that they need.
    switches = f'<span class="figure-layers" hidden>{switches}</span>' if switches else ""
    data = (
        f'<a href="{link}/{name}.csv" download="{figure["page"]}-{name}.csv">Data (CSV)</a>'
        if figure["csv"]
        else ""
    )
    rows = "".join(
        f"<div><dt>{term}</dt><dd>{html.escape(text)}</dd></div>"
        for term, text in _facts(figure).items()
    )
    return (
        f'<figure class="book-figure" id="{anchor(name)}">'
        f'<div class="figure-picture"{_least(width)}>'
        f'<img src="{link}/{name}.svg" alt="{html.escape(figure["alt"])}" width="{width}" '
        f'height="{height}" loading="lazy" decoding="async" {variants}></div>'
        f'<div class="figure-bar"><a href="#{anchor(name)}">Figure {number}</a>{switches}{data}'
        f'<a href="{link}/{name}.svg" download="{figure["page"]}-{name}.svg">Picture (SVG)</a>'
        f"<details><summary>About this figure</summary><dl>{rows}</dl></details></div></figure>"
    )


def _least(width: int) -> str:
    """Return the attribute that keeps a wide picture from shrinking too far."""
    if width <= _FITS:
        return ""
    return f' style="--least: {min(round(_SCROLLED * width), _WIDEST)}px"'


def _facts(figure: Mapping[str, Any]) -> dict[str, str]:
    commit = figure["commit"]
    known = commit[:12] + (" with uncommitted changes" if figure["dirty"] else "") if commit else ""
    when = f"{figure['drawn'][:16].replace('T', ' ')} UTC"
    facts = {
        "In words": figure["alt"],
        "Computed": f"{when}, {figure['seconds']:.0f} s after its page began",
        "Device": figure["device"],
        "Commit": known or "no commit known",
        "Command": figure["command"],
    }
    if figure["stored"]:
        facts["Stored runs"] = figure["stored"]
    if figure["csv"]:
        lines = figure["csv"].count("\n") - 1
        facts["Data"] = f"{lines:,} rows, SHA-256 {figure['sha256']}"
        if "line" in figure["csv"].partition("\n")[0].split(","):
            facts["Column “line”"] = (
                "which of several lines of a series, or which single trial: "
                "counted from 0, in the order of the results"
            )
    return facts


def _size(svg: str) -> tuple[int, int]:
    """Return width and height in CSS pixels; matplotlib writes points."""
    found = re.search(r'<svg\b[^>]*?\bwidth="([\d.]+)pt"[^>]*?\bheight="([\d.]+)pt"', svg)
    if not found:
        raise ValueError(f"no size in points at the head of a figure: {svg[:200]}")
    return round(float(found[1]) * 96 / 72), round(float(found[2]) * 96 / 72)
