"""A reader's re-execution of a page beside the published one.

``polarity compare my-run.ipynb`` reads two executed notebooks of the same page and writes one HTML
file: the parameters that differ, the claims whose verdict changed, the figures side by side.
Nothing is executed. The notebooks may come from anybody, so nothing in them is trusted: text is
escaped, and pictures are embedded as images, in which no script runs.
"""

from __future__ import annotations

import ast
import base64
import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from polarity.analysis.claims import CLAIMS, judge
from polarity.analysis.estimate import Estimate

from .environment import repository_root
from .page import METADATA, TIERS, kept, stored
from .provenance import Commit, Provenance

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = [
    "ClaimRow",
    "Comparison",
    "ComparisonError",
    "Difference",
    "Judged",
    "PageRun",
    "Picture",
    "PicturePair",
    "Table",
    "compare",
    "published",
    "read_run",
    "to_html",
]

T = TypeVar("T")

GLUED = "application/papermill.record/"  # how myst_nb stores a number for the prose
IMAGES = {  # in the order of preference, where an output offers several
    "image/svg+xml": "svg+xml",
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/webp": "webp",
}
EMBEDDED = re.compile(r"data:image/(?:svg\+xml|png|jpeg|webp);base64,[A-Za-z0-9+/=\s]+")
WIDE = 1.7  # a figure of several panels, at least so many times as wide as high
TEMPLATE = Path(__file__).with_name("comparison.html")


class ComparisonError(ValueError):
    """Two notebooks cannot be compared; the message says which one, why, and what would do."""


@dataclass(frozen=True)
class Picture:
    """A figure of a run.

    Attributes
    ----------
    key
        What its counterpart in another run has as well: the cell that drew it, and the how manieth
        of that cell it is.
    source
        The image as a ``data:`` address.
    alt
        Its description in words.
    name
        The name that the page gave it, or "".
    title
        How the text around it calls it.
    wide
        Whether it needs room to be read.
    """

    key: tuple[object, ...]
    source: str
    alt: str
    name: str = ""
    title: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Table:
    """A table of a run, as plain text.

    Attributes
    ----------
    key
        As of a :class:`Picture`.
    rows
        Its rows; each cell is a text, and whether it is a heading.
    title
        The heading above it.
    """

    key: tuple[object, ...]
    rows: tuple[tuple[tuple[str, bool], ...], ...]
    title: str = ""


@dataclass(frozen=True)
class PageRun:
    """What an executed page says.

    Attributes
    ----------
    path
        The notebook.
    card
        Its provenance.
    estimates
        What it measured, by claim.
    numbers
        What else it made available to its prose, by name, as text.
    pictures, tables
        In the order of the page.
    """

    path: Path
    card: Provenance
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()

    @property
    def commit(self) -> str:
        """The commit in words."""
        return str(Commit(self.card.commit, self.card.dirty)) if self.card.commit else "not known"

    @property
    def started(self) -> str:
        """When it was run, in words."""
        return self.card.started[:16].replace("T", " ") + " UTC"

    @property
    def took(self) -> str:
        """How long it took, in words."""
        minutes, seconds = divmod(round(self.card.seconds), 60)
        if self.card.seconds < 60:
            return f"{self.card.seconds:.1f} s"
        return f"{minutes} min {seconds} s"


@dataclass(frozen=True)
class Difference:
    """Something that has a name and may differ, as text; None where a run does not have it.

    Attributes
    ----------
    name
        What it is.
    before, after
        Its value in the published run and in the other.
    """

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Judged:
    """What a run says of a claim.

    Attributes
    ----------
    outcome
        One of ``polarity.analysis.claims.OUTCOMES``; "" for a claim that the ledger does not
        hold.
    label
        The same with its mark.
    value
        What was measured, with its interval.
    setting
        On what, where that is not the paper's experiment.
    """

    outcome: str
    label: str
    value: str
    setting: str = ""


@dataclass(frozen=True)
class ClaimRow:
    """A claim and what the two runs say of it; None where a run did not measure it.

    Attributes
    ----------
    id, statement, where, published
        As of ``polarity.analysis.claims.Claim``.
    before, after
        What the published run and the other say.
    """

    id: str
    statement: str
    where: str
    published: str
    before: Judged | None
    after: Judged | None

    @property
    def changed(self) -> bool:
        """Say whether the verdict changed."""
        return (self.before and self.before.outcome) != (self.after and self.after.outcome)


@dataclass(frozen=True)
class PicturePair:
    """The same figure in two runs; None where a run does not have it.

    Attributes
    ----------
    before, after
        That of the published run and that of the other.
    same
        Whether there is no difference to be seen.
    """

    before: Picture | None
    after: Picture | None
    same: bool = False


@dataclass(frozen=True)
class Comparison:
    """Two runs of a page.

    Attributes
    ----------
    before
        The published run, or the one to compare with.
    after
        The reader's.
    names
        What to call the two.
    """

    before: PageRun
    after: PageRun
    names: tuple[str, str] = ("Published", "This run")

    @property
    def page(self) -> str:
        """The page's name."""
        return self.before.card.page

    @property
    def smoke(self) -> bool:
        """Say whether one of them was run at a size at which numbers mean nothing."""
        return "smoke" in (self.before.card.tier, self.after.card.tier)

    @cached_property
    def parameters(self) -> list[Difference]:
        """Every parameter that one of them has."""
        return _side_by_side(
            {name: repr(value) for name, value in self.before.card.parameters.items()},
            {name: repr(value) for name, value in self.after.card.parameters.items()},
        )

    @cached_property
    def versions(self) -> list[Difference]:
        """The versions that differ."""
        return _differing(_side_by_side(self.before.card.versions, self.after.card.versions))

    @cached_property
    def numbers(self) -> list[Difference]:
        """The numbers of the prose that differ."""
        return _differing(_side_by_side(self.before.numbers, self.after.numbers))

    @cached_property
    def claims(self) -> list[ClaimRow]:
        """Every claim that one of them measured, in the order of the ledger."""
        measured = {**self.before.estimates, **self.after.estimates}
        known = [claim for claim in CLAIMS if claim in measured]
        unknown = [claim for claim in measured if claim not in CLAIMS]
        return [self._claim(name) for name in (*known, *unknown)]

    def _claim(self, name: str) -> ClaimRow:
        sides = [
            _judged(name, run.estimates[name]) if name in run.estimates else None
            for run in (self.before, self.after)
        ]
        if name not in CLAIMS:  # measured by an earlier or later version of the package
            return ClaimRow(name, f"{name}, which is not in this version's ledger", "", "—", *sides)
        claim = CLAIMS[name]
        return ClaimRow(name, claim.statement, claim.where, claim.published, *sides)

    @cached_property
    def pictures(self) -> list[PicturePair]:
        """The figures, those of the same name or of the same cell together."""
        names = [{p.name for p in run.pictures if p.name} for run in (self.before, self.after)]
        both = names[0] & names[1]

        def keyed(run: PageRun) -> dict[tuple[object, ...], Picture]:
            return {("name", p.name) if p.name in both else p.key: p for p in run.pictures}

        pairs = _merged(keyed(self.before), keyed(self.after))
        return [
            PicturePair(a, b, same=bool(a and b) and _image_of(a) == _image_of(b)) for a, b in pairs
        ]

    @cached_property
    def tables(self) -> list[tuple[Table | None, Table | None]]:
        """The tables of which a cell differs, those of the same cell of the page together."""
        pairs = _merged(
            {table.key: table for table in self.before.tables},
            {table.key: table for table in self.after.tables},
        )
        return [(a, b) for a, b in pairs if not (a and b and a.rows == b.rows)]


def _side_by_side(before: Mapping[str, str], after: Mapping[str, str]) -> list[Difference]:
    return [Difference(name, before.get(name), after.get(name)) for name in {**before, **after}]


def _differing(pairs: Iterable[Difference]) -> list[Difference]:
    return [pair for pair in pairs if pair.before != pair.after]


def _judged(name: str, estimate: Estimate) -> Judged:
    if name not in CLAIMS:
        return Judged("", "not judged", str(estimate))
    verdict = judge(name, estimate)
    return Judged(verdict.outcome, verdict.label, verdict.ours, verdict.setting)


def _merged(
    before: Mapping[tuple[object, ...], T], after: Mapping[tuple[object, ...], T]
) -> Iterator[tuple[T | None, T | None]]:
    """Yield pairs in the order of ``before``; what only ``after`` has follows what it follows."""
    keys = list(before)
    place = 0
    for key in after:
        if key in before:
            place = keys.index(key) + 1
        else:
            keys.insert(place, key)
            place += 1
    for key in keys:
        yield before.get(key), after.get(key)


def _image_of(picture: Picture | None) -> str:
    """Return the image without the moment at which it was drawn, which matplotlib writes down."""
    assert picture is not None
    head, _, data = picture.source.partition(",")
    if "svg" not in head:
        return picture.source
    try:
        drawing = base64.b64decode(data).decode("utf-8", errors="replace")
    except ValueError:  # no base64: compared as it is
        return picture.source
    return re.sub(r"<dc:date>[^<]*</dc:date>", "", drawing)


# --- reading ------------------------------------------------------------------------------------


def compare(run: str | Path, other: str | Path | None = None) -> Comparison:
    """Read a re-execution of a page and what to set it beside.

    Parameters
    ----------
    run
        The reader's notebook: ``papermill jt://book/xor5d.md my-run.ipynb -p trials 10``.
    other
        A notebook of the same page; by default the published one, see :func:`published`.

    Raises
    ------
    ComparisonError
        If one of them cannot be read, is no page that ran to its end, or they are of different
        pages.

    Examples
    --------
    >>> comparison = compare("my-run.ipynb")                           # doctest: +SKIP
    >>> [claim.id for claim in comparison.claims if claim.changed]     # doctest: +SKIP
    ['xor5d.random_time']
    """
    after = read_run(run)
    if other is None:
        path, names = published(after.card.page, after.card.tier), ("Published", "This run")
    else:
        path, names = Path(other), ("Other run", "This run")
    if path.resolve() == after.path.resolve():
        what = "it is the published notebook" if other is None else "both names are the same file"
        raise ComparisonError(
            f"{run}: {what}; there is nothing to compare. Give the notebook of another run"
        )
    before = read_run(path)
    if before.card.page != after.card.page:
        raise ComparisonError(
            f"{run} is a run of page {after.card.page!r} and {path} one of page "
            f"{before.card.page!r}: two runs of the same page can be compared"
        )
    return Comparison(before, after, names)


def published(page: str, tier: str = "live", root: Path | None = None) -> Path:
    """Return the notebook from which the book was made: the latest that ``make book`` has kept.

    Parameters
    ----------
    page
        Name of the page.
    tier
        ``"live"`` or ``"smoke"``.
    root
        The clone; by default the one that holds this package.

    Raises
    ------
    ComparisonError
        If there is none; the message tells how to get one.
    """
    root = repository_root() if root is None else root
    if root is None:
        raise ComparisonError(
            "the package is not in a clone, where `make book` keeps the published notebooks: name "
            "one with --with"
        )
    found = kept(root / "_build" / "executed" / tier, page)
    if not found:
        make = "make smoke" if tier == "smoke" else "make book"
        raise ComparisonError(
            f"page {page!r} has not been executed at tier {tier!r} in {root}: run `{make}` first, "
            "or name a notebook with --with"
        )
    return found[0]


def read_run(path: str | Path) -> PageRun:
    """Read an executed page.

    Parameters
    ----------
    path
        A notebook, as papermill or ``make book`` wrote it.

    Raises
    ------
    ComparisonError
        If there is no such file, it is no notebook, a cell failed in it, or it has no provenance
        card that can be read.
    """
    path = Path(path)
    notebook = _notebook(path)
    _refuse_failures(path, notebook)
    try:
        measurements, cards = stored(notebook)
        estimates = {str(m["claim"]): Estimate.from_dict(m["estimate"]) for m in measurements}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ComparisonError(
            f"{path}: what the page stored beside its outputs is damaged ({error}); execute the "
            "page again"
        ) from None
    if not cards:
        raise ComparisonError(
            f"{path} has no provenance card, so it is not a page of the book that ran to its end. "
            "Make one with: papermill jt://book/NAME.md my-run.ipynb"
        )
    numbers, pictures, tables = _outputs(notebook)
    for claim in estimates:  # compared as claims, not as words of the prose once more
        numbers.pop(claim.rpartition(".")[2], None)
    return PageRun(path, _card(path, cards[-1]), estimates, numbers, pictures, tables)


def _notebook(path: Path) -> NotebookNode:
    import nbformat

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ComparisonError(f"there is no notebook {path}") from None
    except UnicodeDecodeError:
        raise ComparisonError(f"{path} is not a notebook: it is not text in UTF-8") from None
    except OSError as error:
        raise ComparisonError(f"{path} cannot be read: {error.strerror}") from None
    if path.suffix == ".md":
        raise ComparisonError(
            f"{path} is the text of a page; execute it first: papermill jt://{path} my-run.ipynb"
        )
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ComparisonError(
            f"{path} is not a notebook, or a damaged one: it is not JSON ({error})"
        ) from None
    if not isinstance(content, dict) or not isinstance(content.get("cells"), list):
        raise ComparisonError(f"{path} is not a notebook: it is JSON, but has no list of cells")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of cells without an identifier; nothing here needs it
            nbformat.validate(content)  # first: the next line only logs what is wrong
            notebook: NotebookNode = nbformat.reads(text, as_version=4)
    except Exception as error:  # of many kinds, all of them about the content
        message = str(error).partition("\n")[0]
        raise ComparisonError(f"{path} is a damaged notebook: {message}") from None
    return notebook


def _refuse_failures(path: Path, notebook: NotebookNode) -> None:
    for number, cell in enumerate(_code_cells(notebook), start=1):
        for output in cell.outputs:
            if output.output_type == "error":
                raise ComparisonError(
                    f"{path}: code cell {number} failed with {output.ename}: {output.evalue}; a "
                    "page that ran to its end can be compared"
                )


def _card(path: Path, stored_card: Mapping[str, Any]) -> Provenance:
    """Make the card again of what was stored; refuse one that could not have been stored so."""
    kinds: dict[str, Any] = {
        **dict.fromkeys(("page", "tier", "started", "device", "system", "command"), str),
        "commit": str | None,
        "dirty": bool,
        "seconds": int | float,
        **dict.fromkeys(("parameters", "changed", "versions"), dict),
        "stored": str,
    }
    stored_card = {"stored": "", **stored_card}  # cards of older runs do not have it
    for name, kind in kinds.items():
        if name not in stored_card or not isinstance(stored_card[name], kind):
            raise ComparisonError(
                f"{path}: its provenance card is damaged: {name} is "
                f"{stored_card.get(name, 'missing')!r}; execute the page again"
            )
    page, tier = stored_card["page"], stored_card["tier"]
    # Both become a part of a path.
    if not re.fullmatch(r"[a-z][a-z0-9_]*", page) or tier not in TIERS:
        raise ComparisonError(
            f"{path}: its provenance card is damaged: page is {page!r}, and tier {tier!r}, which "
            f"may be {' or '.join(TIERS)}"
        )
    card = {name: stored_card[name] for name in kinds}
    card["versions"] = {str(name): str(version) for name, version in card["versions"].items()}
    return Provenance(**card)


def _code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _outputs(
    notebook: NotebookNode,
) -> tuple[dict[str, str], list[Picture], list[Table]]:
    numbers: dict[str, str] = {}
    pictures: list[Picture] = []
    tables: list[Table] = []
    seen: dict[str, int] = {}
    heading = ""
    for cell, following in zip(notebook.cells, [*notebook.cells[1:], None], strict=True):
        if cell.cell_type == "markdown":
            heading = _heading(cell.source) or heading
        if cell.cell_type != "code":
            continue
        # A page may have the same cell twice.
        seen[cell.source] = seen.get(cell.source, 0) + 1
        place = (cell.source, seen[cell.source])
        caption = _caption(following) or heading
        of_cell: list[Picture] = []
        tables_of_cell: list[Table] = []
        for output in cell.outputs:
            data = output.get("data", {})
            numbers |= dict(_glued(output))
            for source, alt in _images(data):
                ours = _mapping(_mapping(output.get("metadata")).get(METADATA))
                name = _mapping(ours.get("figure")).get("name", "")
                of_cell.append(
                    Picture(
                        (*place, len(of_cell)),
                        source,
                        alt or _alt(cell, output),
                        str(name),
                        caption or str(name),
                        _wide(source),
                    )
                )
            for rows in _tables(_text(data.get("text/html", ""))):
                tables_of_cell.append(Table((*place, len(tables_of_cell)), rows, heading))
        pictures += of_cell
        tables += tables_of_cell
    return numbers, pictures, tables


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    """Return the text of a MIME bundle's entry, which may be a list of lines."""
    if isinstance(value, list):
        return "".join(map(str, value))
    return value if isinstance(value, str) else ""


def _heading(markdown: str) -> str:
    found = re.findall(r"^#+\s+(.+?)\s*#*$", markdown, re.MULTILINE)
    return str(found[-1]) if found else ""


def _caption(cell: NotebookNode | None) -> str:
    """Return how the text below a figure calls it: ``Fig 1A`` of ``**Fig 1A.** The task.``."""
    if cell is None or cell.cell_type != "markdown":
        return ""
    found = re.match(r"\s*\*\*([^*]+?)\.?\*\*", cell.source)
    return found[1] if found else ""


def _alt(cell: NotebookNode, output: NotebookNode) -> str:
    ours = _mapping(_mapping(output.get("metadata")).get(METADATA))
    places = (
        _mapping(ours.get("figure")).get("alt"),
        _mapping(_mapping(cell.metadata.get("mystnb")).get("image")).get("alt"),
    )
    return next((text for text in places if isinstance(text, str) and text.strip()), "")


def _images(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield address and description of the images of an output; "" where it does not say."""
    for mime, short in IMAGES.items():
        if content := _text(data.get(mime)):
            if mime == "image/svg+xml":
                encoded = base64.b64encode(content.encode("utf-8", "surrogatepass")).decode()
            else:
                encoded = re.sub(r"[^A-Za-z0-9+/=]", "", content)
            yield f"data:image/{short};base64,{encoded}", ""
            return
    yield from _ImageFinder.of(_text(data.get("text/html", "")))


def _wide(source: str) -> bool:
    head, _, data = source.partition(",")
    if "svg" not in head:
        return False
    data = data[:4000]
    try:
        start = base64.b64decode(data + "=" * (-len(data) % 4)).decode("utf-8", "replace")
        found = re.search(r"viewBox=[\"']\S+ \S+ (\S+) (\S+)[\"']", start)
        return found is not None and float(found[1]) > WIDE * float(found[2])
    except ValueError:  # no base64, or no numbers
        return False


def _glued(output: NotebookNode) -> Iterator[tuple[str, str]]:
    name = _mapping(_mapping(output.get("metadata")).get("scrapbook")).get("name")
    text = _text(output.get("data", {}).get(f"{GLUED}text/plain"))
    if isinstance(name, str) and text:
        try:  # a text was stored with its quotation marks
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            value = None
        yield name, value if isinstance(value, str) else text


class _ImageFinder(HTMLParser):
    """Finds embedded images; images from elsewhere are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    @classmethod
    def of(cls, html: str) -> list[tuple[str, str]]:
        parser = cls()
        if "data:image/" in html:
            parser.feed(html)
        return parser.found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = dict(attrs)
        source = has.get("src") or ""
        if tag == "img" and EMBEDDED.fullmatch(source):
            self.found.append((re.sub(r"\s", "", source), has.get("alt") or ""))


class _TableReader(HTMLParser):
    """Reads the tables of class ``ledger`` as text."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[tuple[str, bool]]]] = []
        self._inside = False
        self._cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._inside = "ledger" in (dict(attrs).get("class") or "").split()
            if self._inside:
                self.tables.append([])
        elif self._inside and tag == "tr":
            self.tables[-1].append([])
        elif self._inside and tag in ("th", "td") and self.tables[-1]:
            self._cell = []
        elif tag == "br" and self._cell is not None:
            self._cell.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("th", "td") and self._cell is not None:
            self.tables[-1][-1].append((" ".join("".join(self._cell).split()), tag == "th"))
            self._cell = None
        elif tag == "table":
            self._inside = False
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)


def _tables(html: str) -> Iterator[tuple[tuple[tuple[str, bool], ...], ...]]:
    if "ledger" not in html:
        return
    reader = _TableReader()
    reader.feed(html)
    for table in reader.tables:
        if rows := tuple(tuple(row) for row in table if row):
            yield rows


# --- writing ------------------------------------------------------------------------------------


def to_html(comparison: Comparison) -> str:
    """Return a comparison as one HTML page that needs nothing else.

    Parameters
    ----------
    comparison
        What :func:`compare` returned.

    Examples
    --------
    >>> Path("my-run.html").write_text(to_html(compare("my-run.ipynb")))    # doctest: +SKIP
    """
    from jinja2 import Environment, StrictUndefined

    # Whatever the template does not mark as safe is escaped, and it marks nothing.
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    changed = [claim for claim in comparison.claims if claim.changed]
    parameters = comparison.parameters
    return template.render(
        c=comparison,
        differing=_differing(parameters),
        equal=[pair for pair in parameters if pair.before == pair.after],
        changed=changed,
        unchanged=[claim for claim in comparison.claims if not claim.changed],
        package=_package_version(),
    )


def _package_version() -> str:
    import polarity

    return polarity.__version__
