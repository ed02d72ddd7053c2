"""Downloads: bounded in time, checked, and whole or not there at all."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from .._files import sha256_of
from .._torchvision import torchvision
from .folder import VARIABLE, DownloadError

__all__ = ["check_sha256", "download", "from_torchvision", "from_url"]

ANSWER = 8.0  # seconds until a server must have answered at all, name look-up included
STALL = 20.0  # seconds that a download may stand still


def download(places: Sequence[Path], get: Callable[[Path], None]) -> Path:
    """Fill the first of some folders that can be written.

    Files are fetched into a folder of their own below it, and moved to their place when all of them
    are whole: who kills a download leaves nothing that could be taken for data.

    Parameters
    ----------
    places
        Folders, in order; made if need be.
    get
        ``get(folder)`` puts the files there.

    Returns
    -------
    Path
        The folder that was filled.

    Raises
    ------
    DownloadError
        If no folder can be written (the message names them), a server does not answer, the disk is
        full, or a checksum is wrong.
    """
    refused = []
    for place in places:
        new = [part for part in (place, *place.parents) if not part.exists()]
        try:
            place.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=place))
        except OSError as error:
            refused.append(f"{place} cannot be written: {error.strerror or error}")
            continue
        try:
            with _no_longer_than(STALL):
                get(partial)
            for path in sorted(partial.iterdir()):
                os.replace(path, place / path.name)
        except ImportError as error:
            raise DownloadError(f"cannot be tried without torchvision: {error}") from None
        except OSError as error:
            if isinstance(error, DownloadError):
                raise
            raise DownloadError(f"cannot be put into {place}: {error}") from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            for part in new:  # folders in which nothing was put
                with suppress(OSError):
                    part.rmdir()
        return place
    raise DownloadError(
        f"{'; '.join(refused)}. Name a folder that can be written: ${VARIABLE}=FOLDER"
    )


def from_torchvision(url: str, folder: Path, md5: str) -> None:
    """Fetch one file by torchvision's downloader, which shows a progress bar.

    Raises
    ------
    DownloadError
        If the server does not answer or breaks off, or the file has another checksum.
    """
    answers(url)
    torchvision()
    from torchvision.datasets.utils import download_url

    with _named(url):
        download_url(url, str(folder), md5=md5)


def from_url(url: str, folder: Path, sha256: str) -> None:
    """Fetch one file by torch.hub's downloader, which shows a progress bar.

    Parameters
    ----------
    url
        Of the file; its last part becomes the file's name.
    folder
        Where to put it.
    sha256
        Hexadecimal digits of its checksum, all of them or the first.

    Raises
    ------
    DownloadError
        If the server does not answer or breaks off, or the file has another checksum.
    """
    from torch.hub import download_url_to_file

    answers(url)
    with _named(url):
        download_url_to_file(url, str(folder / url.rpartition("/")[2]), hash_prefix=sha256)


def answers(url: str, within: float | None = None) -> None:
    """Return if a server answers, in whatever way, and soon.

    The look-up of a name and the choice among a server's addresses know no time-out of their own.
    So this waits in a thread, and leaves it behind if need be.

    Raises
    ------
    DownloadError
        If it does not.
    """
    within = ANSWER if within is None else within
    failure: list[str] = [f"no answer within {within:g} s"]

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=within):
                failure.clear()
        except urllib.error.HTTPError:
            failure.clear()  # an answer; what it means shows when the file is fetched
        except urllib.error.URLError as error:
            failure[:] = [str(error.reason)]
        except (OSError, http.client.HTTPException) as error:
            failure[:] = [str(error)]

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(within)
    if failure:
        raise DownloadError(f"{url}: {failure[0]}")


def check_sha256(path: Path, expected: str) -> str:
    """Return the SHA-256 of a file whose first digits are known.

    Raises
    ------
    ValueError
        If it has another.
    """
    found = sha256_of(path)
    if not found.startswith(expected):
        raise ValueError(
            f"{path} is truncated or not the original: SHA-256 {found}, expected {expected}"
        )
    return found


@contextmanager
def _named(url: str) -> Iterator[None]:
    """Say of which file a downloader's error is; wrong checksums are RuntimeErrors to both."""
    try:
        yield
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise DownloadError(f"{url}: {error or type(error).__name__}") from None


@contextmanager
def _no_longer_than(seconds: float) -> Iterator[None]:
    """Bound every wait for a socket: neither downloader has a parameter for it."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
