"""One visual language for the whole book: what a condition looks like, and how a figure is set.

Colours are Okabe and Ito's, distinct for every common form of colour blindness; each condition also
has a marker and a line style of its own, so that no figure needs colour to be read. Signs, labels,
reset rules and the curves of the theory look the same on every page: their tables are here, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap
from matplotlib.patches import Patch

OKABE_ITO = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
    "grey": "#767676",
}
"""Okabe and Ito's colours, which colour-blind readers can tell apart, and a grey."""


@dataclass(frozen=True)
class Style:
    """How one condition is drawn: its label, colour, marker and line style."""

    label: str
    color: str
    marker: str
    linestyle: str | tuple[int, tuple[float, ...]]

    def line(self) -> dict[str, Any]:
        """Keyword arguments for :meth:`matplotlib.axes.Axes.plot`."""
        return {
            "label": self.label,
            "color": self.color,
            "marker": self.marker,
            "linestyle": self.linestyle,
        }


_CONDITION_STYLES = {
    "frozen_sufficient": Style("frozen, sufficient polarity", OKABE_ITO["blue"], "o", "-"),
    "frozen_random": Style("frozen, random polarity", OKABE_ITO["vermilion"], "s", (0, (5, 2))),
    "fluid_random": Style("fluid, random polarity", OKABE_ITO["grey"], "^", (0, (1, 1.2))),
}

# Images: the paper's names; the conditions with random signs look as they do for XOR-5D.
_IMAGE_STYLES = {
    "frozen_in_polarity": Style("frozen IN-polarity", OKABE_ITO["blue"], "o", "-"),
    "fluid_in_polarity": Style("fluid IN-polarity", OKABE_ITO["sky"], "D", (0, (6, 1, 1, 1))),
    "frozen_rand_polarity": Style("frozen RAND-polarity", OKABE_ITO["vermilion"], "s", (0, (5, 2))),
    "fluid_rand_polarity": Style("fluid RAND-polarity", OKABE_ITO["grey"], "^", (0, (1, 1.2))),
    "frozen_in_weight": Style("frozen IN-weight", OKABE_ITO["green"], "v", (0, (8, 2))),
    "fluid_in_weight": Style(
        "fluid IN-weight (fine-tuning)", OKABE_ITO["purple"], "P", (0, (3, 1, 1, 1, 1, 1))
    ),
}
_STYLES = _IMAGE_STYLES | _CONDITION_STYLES

SIGNS: Mapping[int, Style] = {
    1: Style("positive", OKABE_ITO["blue"], "P", "-"),
    -1: Style("negative", OKABE_ITO["vermilion"], "X", (0, (4, 1.5))),
}
"""Signs of weights where they are lines or marks; the playground draws them alike."""
# Where a sign fills an area, the lighter orange: next to blue it is told apart in grey, too.
_SIGN_AREAS = (OKABE_ITO["orange"], "#ffffff", OKABE_ITO["blue"])
SIGN_MAP: Colormap = ListedColormap(_SIGN_AREAS, name="signs")
"""Of -1, 0 and +1."""
SIGNED_MAP: Colormap = LinearSegmentedColormap.from_list("signed", _SIGN_AREAS)
"""Of values of both signs, white at zero."""

LABELS: Mapping[int, Style] = {
    1: Style("label 1", OKABE_ITO["blue"], "o", "-"),
    0: Style("label 0", OKABE_ITO["orange"], "x", (0, (4, 1.5))),
}
"""The two labels of XOR-5D; a positive output says 1."""
LABEL_GROUNDS: Colormap = ListedColormap(["#fdf0d5", "#cfe3f1"], name="labels")
"""Behind the data: where a network says 0, and where it says 1."""

RULES: Mapping[str, Style] = {
    "posRand": Style("posRand", OKABE_ITO["blue"], "o", "-"),
    "posCon": Style("posCon", OKABE_ITO["sky"], "d", (0, (6, 1, 1, 1))),
    "zero": Style("zero", OKABE_ITO["orange"], "v", (0, (8, 2))),
    "flip": Style("flip", OKABE_ITO["green"], "D", (0, (3, 1, 1, 1, 1, 1))),
}
"""The reset rules of Freeze-SGD."""

CRITERIA: Mapping[str, Style] = {
    "theorem": Style("three distinct right patterns (Theorem D.3)", OKABE_ITO["purple"], "D", "--"),
    "exact": Style("exact condition for the cross", OKABE_ITO["green"], "o", "-"),
    "margin": Style("condition with a margin", OKABE_ITO["blue"], "v", ":"),
    "all_right": Style(
        "exact condition, all units right (sufficient)", OKABE_ITO["black"], "None", "-."
    ),
}
"""What the theory says of signs: the conditions under which they are enough."""


def condition_style(condition: str) -> Style:
    """Return the style of ``condition``.

    Raises
    ------
    ValueError
        If the condition is unknown; the message lists those that are known.
    """
    try:
        return _STYLES[condition]
    except KeyError:
        known = ", ".join(_STYLES)
        raise ValueError(f"condition must be one of {known}; got {condition!r}") from None


def criterion_style(name: str) -> Style:
    """Return the style of a condition of the theory.

    Parameters
    ----------
    name
        A key of :data:`CRITERIA`, or words of its label: ``"Theorem D.3"``.

    Raises
    ------
    ValueError
        If none is meant; the message lists those that are known.
    """
    for key, style in CRITERIA.items():
        if name == key or name in style.label:
            return style
    raise ValueError(f"criterion must be one of {', '.join(CRITERIA)}; got {name!r}")


def sign_patches() -> list[Patch]:
    """Return what explains :data:`SIGN_MAP` in a legend."""
    return [Patch(facecolor=SIGN_MAP(2), label="+"), Patch(facecolor=SIGN_MAP(0), label="−")]


def use_style() -> None:
    """Set matplotlib's defaults for every figure of the book.

    Figures are SVG, sharp on every screen, on an
    opaque white ground, so that they stay legible on a dark page.
    """
    mpl.rcParams.update(
        {
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "figure.dpi": 110,
            "savefig.bbox": "tight",
            "svg.fonttype": "path",  # the same layout on every machine
            "svg.hashsalt": "polarity",
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
            "font.size": 10,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "axes.titleweight": "bold",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#e3e3e3",
            "grid.linewidth": 0.6,
            "lines.linewidth": 1.8,
            "lines.markersize": 5.5,
            "legend.frameon": False,
            "figure.constrained_layout.use": True,
        }
    )
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:  # plain scripts need no inline back end
        return
    set_matplotlib_formats("svg")
