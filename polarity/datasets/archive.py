"""Files inside an archive that is known by its checksum, read without unpacking it."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path

from .download import check_sha256

__all__ = ["members"]

LARGEST = 1 << 26  # bytes of a file that is wanted from any archive


def members(path: Path, sha256: str, names: Collection[str]) -> dict[str, bytes]:
    """Return files of a ``.tar.gz``; nothing of it is written anywhere.

    Parameters
    ----------
    path
        The archive.
    sha256
        Its checksum, in hexadecimal digits.
    names
        Files to read, with their folders.

    Raises
    ------
    ValueError
        If it has another checksum, is no such archive, or lacks one of the files.
    """
    check_sha256(path, sha256)
    contents = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                if member.name in names and member.isfile() and member.size <= LARGEST:
                    file = archive.extractfile(member)
                    assert file is not None  # a regular file has a content
                    contents[member.name] = file.read()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is no archive that can be read: {error}") from None
    if missing := [name for name in names if name not in contents]:
        raise ValueError(f"{path} does not hold {', '.join(missing)}")
    return {name: contents[name] for name in names}
