"""One page of the book while it runs: its parameters, its numbers, its claims, its provenance."""

from __future__ import annotations

import hashlib
import json
import math
import numbers
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from . import provenance as provenance_module
from .environment import repository_root
from .notebooks import check_parameters, injected_cells, overridden
from .provenance import Provenance

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from nbformat import NotebookNode

    from polarity.analysis.claims import Verdict

__all__ = ["EXECUTED", "TIERS", "Measurement", "Page", "collect_measurements", "executed_notebooks"]

TIERS = ("live", "smoke")
"""The sizes at which a page can be run: as it is read, or in seconds."""
EXECUTED = "POLARITY_EXECUTED"
"""Environment variable in which the builder names the executed notebooks that a page asked for.

The front matter asks, by ``polarity: {after: [...]}``; the value is a JSON list of paths.
"""
UNTOLD = {"tier", "device", "shown", "recompute", "budget"}
"""Parameters whose change says nothing about a claim."""
HOW_MANY = {"seed", "trials", "draws"}
"""Those told beside a verdict on the paper's own experiment: few draws decide little."""
METADATA = "polarity"  # our corner of an output's metadata


class SupportsEstimate(Protocol):
    """What a measurement needs: :class:`polarity.analysis.statistics.Estimate` has it."""

    @property
    def value(self) -> float:
        """The median, say."""

    @property
    def low(self) -> float:
        """Where its interval begins."""

    @property
    def high(self) -> float:
        """Where its interval ends."""

    def to_dict(self) -> dict[str, Any]:
        """Return the estimate as a dictionary of numbers and strings."""
        ...


class Measurement(NamedTuple):
    """What a page measured for one claim."""

    estimate: dict[str, Any]
    """The arguments of :class:`polarity.analysis.statistics.Estimate`."""
    page: str
    provenance: dict[str, Any]


class Page:
    """One page of the book; made by the first cell after its parameters.

    It refuses parameters that the page does not have, sets the style of figures, and starts the
    clock.

    Parameters
    ----------
    name
        Name of the notebook without its ending: ``"xor5d"`` for ``book/xor5d.md``.
    tier
        ``"live"``, or ``"smoke"`` for a run of seconds that only shows that everything works.

    Raises
    ------
    ValueError
        If ``name`` or ``tier`` is not allowed.
    ParameterError
        If papermill injected a parameter that is unknown or of another type.

    Examples
    --------
    >>> page = Page("xor5d", tier=tier)                       # doctest: +SKIP
    >>> page.glue("gain", 0.42)                               # doctest: +SKIP
    >>> page.measure("xor-epochs-60", estimate)               # doctest: +SKIP
    >>> page.provenance()                                     # doctest: +SKIP

    In the prose: ``{glue:text}`gain:.2f```; from another page
    ``{glue:text}`xor5d.ipynb::gain:.2f```.
    """

    def __init__(self, name: str, tier: str = "live") -> None:
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ValueError(f"name must be a file name such as 'xor5d', got {name!r}")
        self.name = name
        self._history_check()
        if tier not in TIERS:
            raise ValueError(f"tier must be one of {', '.join(TIERS)}; got {tier!r}")
        self.tier = tier
        self._claims: dict[str, int] = {}  # -> number of the cell's execution
        self._outcomes: dict[str, str] = {}
        self._figures: dict[str, int] = {}
        self._glued: dict[str, int] = {}
        self._stored = ""
        self._commit = provenance_module.commit()
        self._started = datetime.now(UTC)
        self._clock = time.perf_counter()
        self._use_style()
        if tier == "smoke":
            _display_html(
                '<aside class="smoke-note"><strong>Smoke run.</strong> This page was run at a size '
                "that only shows that it works. Its numbers and verdicts mean nothing.</aside>",
                "Smoke run: the numbers and verdicts of this page mean nothing.",
            )

    def _history_check(self) -> None:
        """Compare what papermill injected with what the page declares."""
        shell = _shell()
        namespace: Mapping[str, Any] = shell.user_ns if shell else {}
        declared, injected = injected_cells(namespace.get("In", []))
        if injected:
            check_parameters(declared, injected, page=self.name)
        else:
            declared = _declared_in(namespace.get("In", []))
        written = _written(self.name) if declared else {}
        edited = {k: v for k, v in declared.items() if k in written and v != written[k]}
        self._declared = {**declared, **{name: written[name] for name in edited}}
        self._changed = {**edited, **overridden(declared, injected)}
        self._parameters = {
            name: namespace.get(name, default) for name, default in declared.items()
        }

    @staticmethod
    def _use_style() -> None:
        from polarity.analysis.figures import use_style

        use_style()

    def needs(self, parameter: str, *values: object, one_of: bool = False) -> None:
        """Refuse a list without the values at which the page's claims are made.

        Parameters
        ----------
        parameter
            Name of a parameter that is a list.
        *values
            What it must hold.
        one_of
            Whether one of them is enough.

        Raises
        ------
        ValueError
            Naming the parameter, the values, and what was given.
        """
        given = self._parameters.get(parameter)
        found = [value in given for value in values] if isinstance(given, list | tuple) else []
        if found and not (any(found) if one_of else all(found)):
            joined = (" or " if one_of else " and ").join(map(str, values))
            raise ValueError(
                f"{parameter} must hold {joined}, where this page makes its claims; got {given!r}"
            )

    def at_least(self, least: int, *parameters: str) -> None:
        """Refuse numbers too small for what the page computes, before it trains anything.

        Parameters
        ----------
        least
            The smallest number allowed.
        *parameters
            Names of parameters that are numbers.

        Raises
        ------
        ValueError
            Naming the parameter, the bound, and what was given.
        """
        for name in parameters:
            given = self._parameters.get(name)
            if isinstance(given, int | float) and given < least:
                raise ValueError(f"{name} must be at least {least}, got {given!r}")

    def glue(self, name: str, value: object) -> None:
        """Make a value available to the prose, as ``{glue:text}`name:.2f```.

        Parameters
        ----------
        name
            Unique on the page.
        value
            A number or a string. Numbers of NumPy, PyTorch and xarray become Python's: theirs print
            as ``np.float64(...)`` and break the format. An estimate is glued three times, as
            ``name``, ``name_low`` and ``name_high``.

        Raises
        ------
        TypeError
            If the value is neither.
        ValueError
            If this page has already glued that name, which the prose could not tell from the other.
            Where it is not the builder who runs it, a cell may run again.
        """
        from myst_nb import glue

        if all(hasattr(value, part) for part in ("value", "low", "high")):
            for suffix, part in (("", "value"), ("_low", "low"), ("_high", "high")):
                self.glue(name + suffix, getattr(value, part))
            return
        value = _scalar(name, value)
        if _again(self._glued, name):
            raise ValueError(f"page {self.name} has already glued {name!r}")
        self._glued[name] = _execution()
        glue(name, value, display=False)

    def measure(self, claim_id: str, estimate: SupportsEstimate) -> Verdict:
        """Judge a claim, show its card, and store the measurement for the ledger.

        Value and interval are glued in words, for the prose, under the claim's name without its
        page.

        Parameters
        ----------
        claim_id
            A key of :data:`polarity.analysis.claims.CLAIMS`.
        estimate
            What this page measured. Where a run has other parameters than the page's, and the
            estimate's ``setting`` says nothing, these become its setting.

        Returns
        -------
        Verdict

        Raises
        ------
        ValueError
            If this page has already measured that claim. Where it is not the builder who runs it,
            a cell may measure again what an earlier run of it has measured.
        """
        from polarity.analysis.claims import judge

        if _again(self._claims, claim_id):
            raise ValueError(f"page {self.name} has already measured claim {claim_id!r}")
        estimate = self._with_setting(estimate)
        verdict = judge(claim_id, estimate)  # type: ignore[arg-type]
        self._claims[claim_id] = _execution()
        self._outcomes[claim_id] = verdict.outcome
        stored = {"claim": claim_id, "estimate": _to_json(estimate.to_dict())}
        _display(verdict, {METADATA: {"measurement": stored}})
        self.glue(claim_id.rpartition(".")[2], verdict.ours)
        return verdict

    def not_measured(self, claim_id: str, why: str) -> None:
        """Say in a claim's place, where the ledger's links lead, why it is not judged.

        Parameters
        ----------
        claim_id
            A key of :data:`polarity.analysis.claims.CLAIMS`.
        why
            The end of a sentence.
        """
        from polarity.analysis.claims import CLAIMS

        statement = CLAIMS[claim_id].statement
        _display_html(
            f'<p class="claim-none" id="claim-{escape(claim_id)}">{escape(statement)} '
            f"<strong>Not judged yet</strong>: {escape(why)}</p>",
            f"{statement} Not judged yet: {why}",
        )

    def _with_setting(self, estimate: SupportsEstimate) -> SupportsEstimate:
        """Say what was changed, where the claim's words do not hold for it."""
        from polarity.analysis.estimate import SUBSTITUTE, Estimate

        told = {k: v for k, v in self._changed.items() if k not in UNTOLD}
        if not told or not isinstance(estimate, Estimate) or estimate.setting:
            return estimate
        words = "a run with " + ", ".join(f"{name} = {value!r}" for name, value in told.items())
        note = f"; {SUBSTITUTE}" if told.keys() - HOW_MANY else ""
        return replace(estimate, setting=words + note)

    def figure(self, name: str, figure: Figure, alt: str) -> None:
        """Show a figure, and store with it what a reader may ask for.

        That is: a description for those who do not see it, which ends with numbers read from the
        figure; the data that it draws, as CSV; and where it comes from.

        Parameters
        ----------
        name
            Unique on the page; also the anchor's, ``xor5d.html#figure-fig1a``.
        figure
            It is closed, and drawn once.
        alt
            What kind of picture this is: panels, axes, marks. Not what comes out: the numbers are
            added here (:func:`polarity.analysis.drawn.describe`), so that they always are right.

        Raises
        ------
        ValueError
            If the name is no such name or was used before (see :meth:`measure`), or if there is
            no description.
        """
        from matplotlib import pyplot

        from polarity.analysis import drawn

        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ValueError(f"name must be like 'fig1a', got {name!r}")
        if _again(self._figures, name):
            raise ValueError(f"page {self.name} already has a figure {name!r}")
        if not isinstance(alt, str) or not alt.strip():
            raise ValueError(f"figure {name!r} needs a description (alt), got {alt!r}")
        self._figures[name] = _execution()
        data = drawn.table(figure)
        csv = data.dropna(axis="columns", how="all").to_csv(index=False, float_format="%.6g")
        layers = drawn.layers_of(figure)
        svg = drawn.to_svg(figure)
        pyplot.close(figure)
        words = " ".join(f"{alt.strip()} {drawn.describe(data)}".split())
        stored = {
            "name": name,
            "page": self.name,
            "tier": self.tier,
            "alt": words,
            "layers": layers,
            "csv": csv if len(data) else "",
            "sha256": hashlib.sha256(csv.encode()).hexdigest() if len(data) else "",
            "commit": self._commit.id if self._commit else None,
            "dirty": self._commit.dirty if self._commit else False,
            "device": provenance_module.device(self._parameters),
            "seconds": round(time.perf_counter() - self._clock, 3),
            "drawn": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": self._command(),
            "stored": self._stored,
        }
        _display_raw({"image/svg+xml": svg, "text/plain": words}, {METADATA: {"figure": stored}})

    def rests_on(self, stored: str) -> None:
        """Say which stored results the page reads; its card and its figures repeat it.

        Parameters
        ----------
        stored
            In words: which, where from, and what makes the like
            (:func:`polarity.analysis.image_results.stored_runs`).
        """
        self._stored = stored

    def _command(self) -> str:
        # What a page takes from other pages, only the builder hands to it.
        if json.loads(os.environ.get(EXECUTED, "[]")):
            return "make book"
        return provenance_module.repeat_command(self.name, self._changed)

    def provenance(self, variations: Mapping[str, Mapping[str, object]] | None = None) -> None:
        """Show the card with what stands behind this page; the last cell of every page.

        A page with claims gets their outcomes as the glued ``verdicts``, to open with.

        Parameters
        ----------
        variations
            What else the page can be asked: ``{"Networks of 20 units": {"width": 20}}``. The card
            shows the commands.

        Raises
        ------
        ParameterError
            If a variation has a parameter that is unknown or of another type.
        ValueError
            If a variation changes nothing.
        """
        from polarity.analysis.claims import CLAIMS, tally

        if own := [claim.id for claim in CLAIMS.values() if claim.page == self.name]:
            self.glue("verdicts", tally(self._outcomes.get(c, "not measured") for c in own))
        for question, varied in (variations or {}).items():
            check_parameters(self._declared, varied, page=self.name)
            if all(self._declared[name] == value for name, value in varied.items()):
                raise ValueError(f"variation {question!r} changes nothing, got {dict(varied)}")
        parameters = self._parameters
        card = Provenance(
            page=self.name,
            tier=self.tier,
            commit=self._commit.id if self._commit else None,
            dirty=self._commit.dirty if self._commit else False,
            started=self._started.isoformat(timespec="seconds"),
            seconds=round(time.perf_counter() - self._clock, 3),
            parameters=_to_json(parameters),
            changed=_to_json(self._changed),
            versions=provenance_module.versions(),
            device=provenance_module.device(parameters),
            system=provenance_module.system(),
            command=self._command(),
            stored=self._stored,
            variations=_to_json(variations or {}),
        )
        _display(card, {METADATA: {"provenance": card.to_dict()}})


def _execution() -> int:
    """Return which execution of a cell this is; 0 outside a notebook."""
    shell = _shell()
    return int(shell.execution_count) if shell else 0


def _again(known: Mapping[str, int], name: str) -> bool:
    """Say whether a name is used a second time, other than by a person who runs a cell again."""
    return name in known and (EXECUTED in os.environ or known[name] == _execution())


def _shell() -> Any:
    from IPython.core.getipython import get_ipython

    return get_ipython()


def _written(name: str) -> dict[str, object]:
    """Return the parameters in the page's text, {} if it is not at hand.

    In JupyterLab they are edited in their cell, with no word to papermill.
    """
    from .notebooks import NotebookError, declared_parameters, read_notebook

    for path in (Path(f"{name}.md"), Path("book", f"{name}.md")):
        if path.is_file():
            try:
                return declared_parameters(read_notebook(path))
            except NotebookError:
                break
    return {}


def _declared_in(history: Iterable[str]) -> dict[str, object]:
    """Return the parameters of a page that runs as it stands: its first cell of assignments."""
    from .notebooks import NotebookError, assignments

    for source in history:
        try:
            if source.strip() and (values := assignments(source)):
                return values
        except NotebookError:
            continue
    return {}


def _display(thing: object, metadata: dict[str, Any]) -> None:
    from IPython.display import display

    display(thing, metadata=metadata)


def _display_html(page: str, text: str) -> None:
    _display_raw({"text/html": page, "text/plain": text}, {})


def _display_raw(data: dict[str, str], metadata: dict[str, Any]) -> None:
    from IPython.display import display

    display(data, metadata=metadata, raw=True)


def _scalar(name: str, value: object) -> str | bool | int | float:
    """Turn a number of any library into Python's own."""
    if callable(item := getattr(value, "item", None)):
        value = item()
    match value:
        case str() | bool():
            return value
        case numbers.Integral():
            return int(value)
        case numbers.Real():
            return float(value)
        case _:
            raise TypeError(
                f"glue takes a number or a string, got {type(value).__name__} for {name!r}"
            )


def _to_json(value: Any) -> Any:
    """Write NaN and the infinities as strings: JSON has no word for them."""
    match value:
        case dict():
            return {str(key): _to_json(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_to_json(entry) for entry in value]
        case float() if not math.isfinite(value):
            return str(value)
        case _:
            return value


def _from_json(value: Any) -> Any:
    return float(value) if isinstance(value, str) and value in {"nan", "inf", "-inf"} else value


def stored(notebook: NotebookNode) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the measurements and the provenance cards stored in an executed notebook."""
    measurements, cards = [], []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            ours = output.get("metadata", {}).get(METADATA, {})
            if "measurement" in ours:
                measurements.append(dict(ours["measurement"]))
            if "provenance" in ours:
                cards.append(dict(ours["provenance"]))
    return measurements, cards


def collect_measurements(paths: Iterable[str | Path]) -> dict[str, Measurement]:
    """Read back what pages measured.

    Parameters
    ----------
    paths
        Executed notebooks, for instance those of :func:`executed_notebooks`.

    Returns
    -------
    dict
        claim identifier -> :class:`Measurement`.

    Raises
    ------
    ValueError
        If two pages measured the same claim, or a notebook has no provenance card.
    """
    import nbformat

    found: dict[str, Measurement] = {}
    for path in map(Path, paths):
        measurements, cards = stored(nbformat.read(path, as_version=4))
        if not cards:
            raise ValueError(f"{path.name} has no provenance card: end it with page.provenance()")
        card = cards[-1]
        for measurement in measurements:
            claim = str(measurement["claim"])
            if claim in found:
                raise ValueError(
                    f"claim {claim!r} was measured by two pages, {found[claim].page} and "
                    f"{card['page']}"
                )
            estimate = {key: _from_json(v) for key, v in measurement["estimate"].items()}
            found[claim] = Measurement(estimate, str(card["page"]), card)
    return found


def executed_notebooks(names: Iterable[str], tier: str = "live") -> list[Path]:
    """Return the executed notebooks of other pages, for a page that draws on them.

    Within ``make book`` they are the ones this build has just made or kept; there the page's front
    matter must name them, so that the page is executed after them and again when they change::

        polarity:
          after: [xor5d, capacity]

    Otherwise (papermill by hand, JupyterLab) they are the latest that ``make book`` has kept.

    Parameters
    ----------
    names
        Names of the pages.
    tier
        The tier of this page.

    Raises
    ------
    FileNotFoundError
        If one has not been executed yet; the message tells how to do so.
    ValueError
        If, within ``make book``, the front matter does not name one of them.
    """
    handed = os.environ.get(EXECUTED)
    found = []
    for name in names:
        if handed is not None:
            paths = [Path(path) for path in json.loads(handed)]
            matching = [path for path in paths if path_page(path) == name]
            if not matching:
                raise ValueError(f"add {name} to `polarity: after:` in the front matter")
        else:
            root = repository_root()
            folder = root / "_build" / "executed" / tier if root else Path()
            matching = kept(folder, name)
            if not matching:
                make = "make smoke" if tier == "smoke" else "make book"
                raise FileNotFoundError(
                    f"page {name} has not been executed at tier {tier!r}: run `{make}` first"
                )
        found.append(matching[0])
    return found


def path_page(path: Path) -> str:
    """Return the page of an executed notebook ``NAME-KEY.ipynb``."""
    return path.stem.rpartition("-")[0]


def kept(folder: Path, name: str) -> list[Path]:
    """Return the executed notebooks of a page, the last used first."""
    paths = [path for path in folder.glob(f"{name}-*.ipynb") if path_page(path) == name]
    return sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)
