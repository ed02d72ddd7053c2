"""Where data are looked for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["VARIABLE", "DataNotFound", "folders"]

VARIABLE = "POLARITY_DATA"
"""Environment variable that names the data folder."""


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
    """

    def __init__(self, name: str, looked: Iterable[object], cure: str) -> None:
        places = "".join(f"\n  {place}" for place in looked)
        super().__init__(f"{name} was not found. Looked in:{places}\nTo get it: {cure}")


def folders(folder: str | Path | None = None) -> list[Path]:
    """Return the folders to search, in order: the argument, $POLARITY_DATA, the user's cache.

    An argument is the only place: who names a folder does not want another's data.
    """
    if folder is not None:
        return [Path(folder)]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "polarity" / "data"
    named = os.environ.get(VARIABLE)
    return [*([Path(named)] if named else []), cache]
