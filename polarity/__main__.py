"""The command ``polarity``, also ``python -m polarity``.

``polarity data`` says what data are there and gets the rest; ``polarity compare`` sets a run of a
page of the book beside the published one.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import __version__
from ._checks import one_of
from .datasets.catalogue import DATASETS
from .datasets.folder import OFFLINE, VARIABLE, DownloadError, Origin, folders, offline
from .donors import DONORS

__all__ = ["fetch", "main", "report"]

WIDTH = 110  # characters of a line, paths and addresses excepted


def report(folder: Path | None = None) -> dict[str, Any]:
    """Return which data sets and donors are there, as plain JSON values.

    Parameters
    ----------
    folder
        The only folder to look in; by default all of :func:`polarity.datasets.folder.folders`.

    Returns
    -------
    dict
        ``folders``: where is looked; ``offline``: whether downloads are forbidden; ``datasets`` and
        ``donors``: by name, ``found`` and ``title``, and if found ``place``, ``files``, ``bytes``,
        ``kind`` and ``original``; ``get``: how to get it, or the original; ``fetch``: whether
        ``polarity data fetch`` can. A donor's ``weights`` are such a record again where they are
        in another file than its signs, and otherwise None.
    """
    donors = {}
    for name, source in DONORS.items():
        weights = None if source.weights is None else _record(source.weights, folder)
        donors[name] = {**_record(source.origin, folder), "weights": weights}
    return {
        "folders": [str(place) for place in folders(folder)],
        "offline": offline(),
        "datasets": {name: _record(origin, folder) for name, origin in DATASETS.items()},
        "donors": donors,
    }


def _record(origin: Origin, folder: Path | None) -> dict[str, Any]:
    record: dict[str, Any] = {"title": origin.title, "found": False, "fetch": bool(origin.get)}
    found = origin.look(folder)
    if found is not None:
        record |= {
            "found": True,
            "place": str(found.place),
            "files": [str(path) for path in found.paths],
            "bytes": found.nbytes,
            "kind": found.kind,
            "original": not found.lossy,
        }
    if found is None or found.lossy:
        record["get"] = origin.how
    return record


def fetch(name: str, folder: Path | None = None) -> str:
    """Download a data set or donor unless it is there; return where it is.

    Parameters
    ----------
    name
        One that :func:`report` marks with ``fetch``.
    folder
        Where to put it; by default the first of $POLARITY_DATA and the user's cache that can be
        written. What torchvision would download goes where torch keeps such files.

    Raises
    ------
    ValueError
        If there is none of this name that can be downloaded.
    DownloadError
        If it could not be; the message says how to get it by hand.
    """
    origin = _fetchable()[one_of("what to fetch", name, _fetchable())]
    assert origin.get is not None
    found = origin.look(folder)
    if found is None or found.lossy:
        try:
            if offline():
                raise DownloadError(f"${OFFLINE} forbids downloads")
            origin.get(folder)
        except DownloadError as error:
            raise DownloadError(
                f"{name} was not fetched: {error}\nTo get it by hand: {origin.cure}"
            ) from None
        found = origin.look(folder)
    if found is None:
        raise DownloadError(f"{name} was fetched, but is not in {folders(folder)[0]}")
    return str(found.place)


def _fetchable() -> Mapping[str, Origin]:
    donors = {name: source.origin for name, source in DONORS.items()}
    return {name: origin for name, origin in {**DATASETS, **donors}.items() if origin.get}


def _lines(state: Mapping[str, Any]) -> Iterator[str]:
    for title, kind in (("Data sets", "datasets"), ("Donors", "donors")):
        yield title
        for name, record in state[kind].items():
            yield from _row(name, record)
            if record.get("weights"):
                yield from _row("  its weights", record["weights"])
        yield ""
    looked = [name if Path(name).is_dir() else f"{name} (not there)" for name in state["folders"]]
    yield f"Looked in {', '.join(looked)}."
    yield f"Name another folder by --data FOLDER or ${VARIABLE}."


def _row(name: str, record: Mapping[str, Any]) -> Iterator[str]:
    if record["found"]:
        size = f"{record['bytes'] / 1e6:.1f} MB"
        note = "" if record["original"] else f"  ({record['kind']}: not the original)"
        yield f"  {name:<21} found   {size:>9}  {record['place']}{note}"
    else:
        yield f"  {name:<21} missing            {record['title']}"
    if "get" in record:
        what = "the original" if record["found"] else "to get it"
        yield textwrap.fill(
            f"{what}: {record['get']}",
            width=WIDTH,
            initial_indent=24 * " ",
            subsequent_indent=26 * " ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def _compare(run: Path, other: Path | None, out: Path | None) -> int:
    out = run.with_suffix(".compare.html") if out is None else out
    try:  # here: `polarity data` does without the libraries of the book
        from .publishing.comparison import ComparisonError, compare, to_html

        try:
            report = to_html(compare(run, other))
        except ComparisonError as error:
            print(error, file=sys.stderr)
            return 1
    except ModuleNotFoundError as error:
        # A package index has another project of this name.
        cure = "pip install '.[book]' in the clone of polarity"
        print(f"polarity compare needs {error.name}: {cure}", file=sys.stderr)
        return 1
    try:
        out.write_text(report, encoding="utf-8")
    except OSError as error:
        print(f"{out} cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    print(out.resolve().as_uri())
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        0; 1 if something could not be fetched or compared; 130 if interrupted.
    """
    parser = argparse.ArgumentParser(
        prog="polarity",
        description="Freeze the polarity of a network's weights: data, donors, runs of the book.",
    )
    parser.add_argument("--version", action="version", version=f"polarity {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    data = commands.add_parser(
        "data",
        help="what data sets and donors are there, where, and how to get the rest",
        description="Say which data sets and donors are there, where, and how to get the rest.",
    )
    data.add_argument("--json", action="store_true", help="the same for programs")
    data.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help=f"the only folder to look in (default: ${VARIABLE}, then the user's cache)",
    )
    data.set_defaults(names=[], run=None)
    get = data.add_subparsers(metavar="[fetch NAME ...]").add_parser(
        "fetch",
        help="download some of them",
        description=f"Download: {', '.join(_fetchable())}; or all.",
    )
    get.add_argument("names", nargs="+", metavar="NAME", help="a name of `polarity data`, or all")
    get.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        default=argparse.SUPPRESS,
        help=f"where to put it (default: ${VARIABLE}, then the user's cache; torchvision's weights "
        "where torch keeps them)",
    )
    comparison = commands.add_parser(
        "compare",
        help="a run of a page of the book with other parameters, beside the published one",
        description="Set a run of a page beside the published one, in one HTML file: parameters "
        "that differ, claims whose verdict changed, figures side by side. Make a run with: "
        "papermill jt://book/xor5d.md my-run.ipynb -p trials 10 -p seed 7",
    )
    comparison.add_argument("run", type=Path, metavar="RUN.ipynb", help="the executed notebook")
    comparison.add_argument(
        "--with",
        dest="other",
        type=Path,
        metavar="OTHER.ipynb",
        help="what to set it beside (default: what `make book` has kept of the same page)",
    )
    comparison.add_argument(
        "--out", type=Path, metavar="FILE", help="default: RUN.compare.html, beside RUN.ipynb"
    )
    options = parser.parse_args(arguments)
    if options.run is not None:
        return _compare(options.run, options.other, options.out)
    if not options.names:
        state = report(options.data)
        print(json.dumps(state, indent=1) if options.json else "\n".join(_lines(state)))
        return 0
    names = list(_fetchable()) if options.names == ["all"] else options.names
    failed = False
    for name in names:
        try:
            print(f"{name}: {fetch(name, options.data)}")
        except (ValueError, DownloadError) as error:
            failed = True
            print(error, file=sys.stderr)
        except KeyboardInterrupt:
            print("\nStopped; nothing of it was kept.", file=sys.stderr)
            return 130
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
