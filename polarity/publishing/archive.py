"""One file that holds the book, its results, its sources and its lock: ``make archive``.

The archive is a folder in a ``.tar.gz``. Unpacked, it can be read (``_build/html/index.html``),
verified (``sha256sum -c SHA256SUMS``) and built again (``make book``) without git, and without the
network but for the installation of packages. The same commit and the same results give the same
bytes.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from polarity._files import replacing, sha256_of

from . import environment
from .build import device_here, locked
from .page import stored
from .provenance import CHECKSUMS, COMMIT_FILE, Commit, commit, versions
from .rendering import STAGED
from .sources import BookError, PageSource, ingredients, key_of, pages_of

__all__ = ["BookError", "contents", "main", "write_archive"]

EXPLANATION = "ARCHIVE.md"
TEXT = """\
# polarity {version}: the book, its results and all that they were made of

Commit {commit}
of {date}{changed}.

| what | where |
|---|---|
| the book, to be read in a browser | `_build/html/index.html` |
| its pages as they were executed, with every number and figure | `_build/executed/live/` |
| the sources of the book and of the package | `book/`, `polarity/`, `tests/` |
| the runs of the experiments on images | `book/results/` |
| the exact version of every dependency | `constraints.txt` |
| the SHA-256 of every file | `{checksums}` |

## Verify

    sha256sum -c {checksums}

says OK of every file. (macOS: `shasum -a 256 -c {checksums}`.)

## Build it again

    make book

needs make and Python 3.11, 3.12 or 3.13, and installs the packages of `constraints.txt`; nothing
else is fetched. Git is not needed: `{commit_file}` names the commit.

Pages whose sources, package, Python, device and data are what they were are kept as they are, and
the book is rendered from them. They were executed with Python {python} on device {device};
elsewhere they are executed again, which takes minutes. `make book ARGS=--force` executes every page
in any case. `make data` says which data sets a few pages can use besides, and where to get them.
"""


def contents(
    root: Path, *, allow_dirty: bool = False, device: str | None = None
) -> dict[str, Path]:
    """Return what belongs into the archive: name -> file, in order.

    These are the files that git tracks, the executed notebooks from which the book was rendered,
    and the rendered book.

    Parameters
    ----------
    root
        The clone.
    allow_dirty
        Take files as they are on disk, though they differ from the commit.
    device
        What the pages were executed on; by default what ``make book`` would find here.

    Raises
    ------
    BookError
        If there is no commit, or files differ from it, or did when a page was executed; or if the
        book is missing, or older than its sources.
    """
    _clean_commit(root, allow_dirty)
    found = {}
    for name in _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"):
        path = root / name
        if path.is_symlink() or not (path.is_file() or allow_dirty):
            raise BookError(f"{name} is no plain file: an archive holds plain files only")
        if path.is_file():  # and not deleted without a commit
            found[name] = path
    for path in _results(root, device_here() if device is None else device, allow_dirty):
        found[path.relative_to(root).as_posix()] = path
    if bad := [name for name in found if "\n" in name or "\\" in name]:
        raise BookError(f"{bad[0]!r} cannot be listed in {CHECKSUMS}: rename it")
    return dict(sorted(found.items()))


def _clean_commit(root: Path, allow_dirty: bool) -> Commit:
    known = commit(root)
    if known is None or not (root / ".git").exists():
        raise BookError(f"{root} is no git clone with a commit: an archive says what it is made of")
    if known.dirty and not allow_dirty:
        changed = _git(root, "status", "--porcelain", "-z")
        listed = "\n".join(f"  {line}" for line in changed[:10])
        more = f"\n  and {len(changed) - 10} more" if len(changed) > 10 else ""
        raise BookError(
            f"files differ from the last commit:\n{listed}{more}\n"
            "Commit them, or archive them as they are with --allow-dirty"
        )
    return known


def _git(root: Path, *arguments: str) -> list[str]:
    """Return the entries that git lists, with whatever characters their names have."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    variables["GIT_OPTIONAL_LOCKS"] = "0"
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, check=False, env=variables
    )
    if done.returncode != 0:
        raise BookError(f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip()}")
    return [os.fsdecode(entry) for entry in done.stdout.split(b"\0") if entry]


def _results(root: Path, device: str, allow_dirty: bool) -> Iterator[Path]:
    """Yield the executed notebooks and the files of the rendered book; refuse what is outdated."""
    build = root / "_build"
    pages = pages_of(root)
    executed = _executed(root, pages, device, allow_dirty)
    yield from executed.values()
    html = build / "html"
    record = build / "source" / STAGED
    staged = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    for page in pages:
        source = executed[page.name] if page.has_code else page.path
        rendered = html / f"{page.docname}.html"
        if not rendered.is_file():
            raise BookError(f"the book has not been rendered ({rendered}): run `make book` first")
        # What was rendered last is what was staged last, unless the rendering failed.
        if (
            staged.get(page.docname) != sha256_of(source)
            or record.stat().st_mtime_ns > rendered.stat().st_mtime_ns
        ):
            raise BookError(f"the book is older than its page {page.name}: run `make book` first")
    yield from sorted(path for path in html.rglob("*") if path.is_file())


def _executed(
    root: Path, pages: Sequence[PageSource], device: str, allow_dirty: bool
) -> Mapping[str, Path]:
    import nbformat

    executed: dict[str, Path] = {}
    ours = environment.repository_root() == root
    for page in pages:
        if not page.has_code:
            continue
        found = ingredients(page, root, tier="live", device=device, executed=executed)
        path = root / "_build" / "executed" / "live" / f"{page.name}-{key_of(found)}.ipynb"
        if not path.is_file():
            raise BookError(
                f"page {page.name} has not been executed as it is: run `make book` first"
            )
        _, cards = stored(nbformat.read(path, as_version=4))
        # Cards speak of the clone that holds the package.
        if ours and not allow_dirty and any(card.get("dirty") for card in cards):
            raise BookError(
                f"page {page.name} was executed when files differed from the last commit, and says "
                "so: run `make book ARGS=--force` now that they are committed, or archive it as it "
                "is with --allow-dirty"
            )
        executed[page.name] = path
    return executed


def write_archive(
    root: Path,
    out: Path | None = None,
    *,
    allow_dirty: bool = False,
    interactive: bool = False,
) -> Path:
    """Write the archive in one step, and return where it is.

    Parameters
    ----------
    root
        The clone.
    out
        The file; by default ``_build/polarity-VERSION-COMMIT.tar.gz``.
    allow_dirty
        Archive files that no commit holds; the archive then says so.
    interactive
        Show a progress bar.

    Raises
    ------
    BookError
        See :func:`contents`.
    """
    from tqdm import tqdm

    build = root / "_build"
    build.mkdir(exist_ok=True)
    with locked(build / ".lock"):  # no build may take results away meanwhile
        device = device_here()
        files = contents(root, allow_dirty=allow_dirty, device=device)
        known = _clean_commit(root, allow_dirty)
        version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"][
            "version"
        ]
        stem = f"polarity-{version}-{known.id[:12]}{'-dirty' if known.dirty else ''}"
        out = build / f"{stem}.tar.gz" if out is None else out
        (stamp,) = _git(root, "log", "-1", "--format=%ct", "-z")
        (date,) = _git(root, "log", "-1", "--format=%cI", "-z")
        made = {
            COMMIT_FILE: known.id + (" dirty" if known.dirty else "") + "\n",
            EXPLANATION: TEXT.format(
                version=version,
                commit=known.id,
                date=date,
                changed=", with changes that no commit holds" if known.dirty else "",
                checksums=CHECKSUMS,
                commit_file=COMMIT_FILE,
                python=versions()["python"],
                device=device,
            ),
        }
        members = dict(sorted((files | {k: text.encode() for k, text in made.items()}).items()))
        sums = []
        out.parent.mkdir(parents=True, exist_ok=True)
        with (
            replacing(out) as raw,
            # No name and no time of its own.
            gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
            tqdm(members, desc="Archive", unit="file", disable=not interactive) as bar,
        ):
            for name in bar:
                source = members[name]
                data = source if isinstance(source, bytes) else source.read_bytes()
                runs = isinstance(source, Path) and os.access(source, os.X_OK)
                _add(tar, f"{stem}/{name}", data, int(stamp), runs=runs)
                sums.append(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
            _add(tar, f"{stem}/{CHECKSUMS}", "".join(sums).encode(), int(stamp))
    return out


def _add(tar: tarfile.TarFile, name: str, data: bytes, stamp: int, *, runs: bool = False) -> None:
    member = tarfile.TarInfo(name)  # owner and group are 0, and have no names
    member.size = len(data)
    member.mtime = stamp
    member.mode = 0o755 if runs else 0o644
    tar.addfile(member, io.BytesIO(data))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status.

    Returns
    -------
    int
        0, or 1 if the archive could not be made, or 130 if interrupted.
    """
    parser = argparse.ArgumentParser(
        prog="python -m polarity.publishing.archive",
        description="Put the book, its results, its sources and its lock into one file, with "
        "checksums. `make book` comes first.",
    )
    parser.add_argument(
        "--out", type=Path, help="the file (default: _build/polarity-VERSION-COMMIT.tar.gz)"
    )
    parser.add_argument(
        "--allow-dirty",
        action="store_true",
        help="archive files as they are, though no commit holds them; the archive says so",
    )
    parser.add_argument("--root", type=Path, help="the clone (default: where the package is)")
    options = parser.parse_args(arguments)
    root = options.root or environment.repository_root()
    if root is None:
        parser.error("the package is not in a clone: pass --root")
    try:
        out = write_archive(
            root.resolve(),
            options.out,
            allow_dirty=options.allow_dirty,
            interactive=sys.stderr.isatty(),
        )
    except (BookError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; no archive was written.", file=sys.stderr)
        return 130
    print(f"{out} ({out.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
