"""Where data are looked for, and what is said when they are not there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "OFFLINE",
    "VARIABLE",
    "DataNotFound",
    "DownloadError",
    "Found",
    "Origin",
    "folders",
    "offline",
]

VARIABLE = "POLARITY_DATA"
"""Environment variable that names the data folder."""
OFFLINE = "POLARITY_OFFLINE"
"""Environment variable that forbids downloads, unless it is empty or 0."""


class DataNotFound(FileNotFoundError):
    """A data set is nowhere to be found; the message says where it was looked for.

    Parameters
    ----------
    name
        The data set.
    looked
        Places, in the order of search.
    cure
        How to get it.
    tried
        What became of the download; empty where there is none to try.
    """

    def __init__(self, name: str, looked: Iterable[object], cure: str, tried: str = "") -> None:
        self._parts = (name, [str(place) for place in looked], cure, tried)
        places = "".join(f"\n  {place}" for place in self._parts[1])
        attempt = f"\nDownload: {tried}" if tried else ""
        super().__init__(f"{name} was not found. Looked in:{places}{attempt}\nTo get it: {cure}")

    def __reduce__(self) -> tuple[type[DataNotFound], tuple[str, list[str], str, str]]:
        """Come back whole from another process: a worker of a sweep."""
        return type(self), self._parts


class DownloadError(OSError):
    """A download did not succeed; nothing of it was left behind."""


@dataclass(frozen=True)
class Found:
    """Files that are there.

    Attributes
    ----------
    kind
        ``"original"``, or what else they are.
    paths
        The files, or the one folder that holds them.
    lossy
        Whether they are not the original, so that fetching it makes sense.
    """

    kind: str
    paths: tuple[Path, ...]
    lossy: bool = False

    @property
    def place(self) -> Path:
        """The one file, or the folder of several."""
        return self.paths[0] if len(self.paths) == 1 else self.paths[0].parent

    @property
    def nbytes(self) -> int:
        """Size of all the files."""
        if self.place.is_dir() and len(self.paths) == 1:
            return sum(path.stat().st_size for path in self.place.rglob("*") if path.is_file())
        return sum(path.stat().st_size for path in self.paths)


@dataclass(frozen=True)
class Origin:
    """Where something comes from: how it is found, fetched, and got by hand.

    Attributes
    ----------
    name, title
        What it is, in a word and in a line.
    places
        ``places(folder)``: files and folders that are looked at, in order.
    look
        ``look(folder)``: what is there, or None. It opens no file.
    cure
        How to get it by hand.
    get
        ``get(folder)``: download it; None where that is not offered.
    """

    name: str
    title: str
    places: Callable[[Path | None], Sequence[Path]]
    look: Callable[[Path | None], Found | None]
    cure: str
    get: Callable[[Path | None], object] | None = None

    def require(self, folder: str | Path | None = None, *, download: bool = True) -> Found:
        """Return what is there; if nothing is, download it.

        Parameters
        ----------
        folder
            The only folder to look in, and to download to; by default all of :func:`folders`.
        download
            Whether to download what is not there.

        Raises
        ------
        DataNotFound
            If it is nowhere and could not be downloaded.
        """
        folder = None if folder is None else Path(folder)
        found = self.look(folder)
        if found is not None:
            return found
        tried = ""
        if self.get is not None:
            if not download:
                tried = "not tried, because of download=False"
            elif offline():
                tried = f"not tried, because ${OFFLINE} is set"
            else:
                try:
                    self.get(folder)
                    found = self.look(folder)
                except DownloadError as error:
                    tried = str(error)
        if found is None:
            raise DataNotFound(self.name, self.places(folder), self.how, tried)
        return found

    @property
    def how(self) -> str:
        """How to get it: by the command, where there is one for it, or by hand."""
        return f"`polarity data fetch {self.name}`; or {self.cure}" if self.get else self.cure


def folders(folder: str | Path | None = None) -> list[Path]:
    """Return the folders to search, in order: the argument, $POLARITY_DATA, the user's cache.

    An argument is the only place: who names a folder does not want another's data. A ``~`` is the
    user's home, where the shell has left it (as in ``--data=~/sets``).
    """
    if folder is not None:
        return [Path(folder).expanduser()]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "polarity" / "data"
    named = os.environ.get(VARIABLE)
    return [*([Path(named).expanduser()] if named else []), cache.expanduser()]


def offline() -> bool:
    """Return whether $POLARITY_OFFLINE forbids downloads."""
    return os.environ.get(OFFLINE, "") not in ("", "0")
