"""Execute one page with papermill, and accept the result only if it is fit to publish."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from .notebooks import SCHEME
from .page import EXECUTED, METADATA, stored

if TYPE_CHECKING:
    from jupyter_client.manager import AsyncKernelManager
    from nbformat import NotebookNode

    from .sources import PageSource

__all__ = ["PageError", "TerminalLine", "accept", "check_kernel", "execute", "strip_progress"]

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# "loading:  45%|####5     | 45/100 [00:01<00:01, 44.9it/s]" or, without a total,
# "loading: 12it [00:00, 11.9it/s]"; and the empty bar of tqdm's first moment.
PROGRESS = re.compile(
    r"""^(?:[^\n]*?:\s*)?\s*
        (?: \d+% \| .* \| .* \[ .* \]
          | [\d.]+[A-Za-zµ]*\s*[^\s\[]*\s*\[ \d+:\d\d .* \] )
        [^\n]*$""",
    re.VERBOSE,
)


class PageError(Exception):
    """A page failed; the message holds the page, the cell and the traceback."""


def strip_progress(text: str) -> str:
    """Return what a cell wrote to its error stream besides progress bars.

    Parameters
    ----------
    text
        Everything that the cell wrote there, in order.

    Examples
    --------
    >>> strip_progress("\\r 50%|#####     | 1/2 [00:00<00:00, 9.1it/s]\\nUserWarning: beware\\n")
    'UserWarning: beware'
    """
    parts = re.split(r"[\r\n]", ANSI.sub("", text))
    return "\n".join(part for part in parts if part.strip() and not PROGRESS.match(part))


class TerminalLine:
    """One line of the terminal that shows the latest progress bar of the kernel.

    Papermill writes to it whatever a cell writes to its error stream.
    """

    def __init__(self, position: int, *, disable: bool) -> None:
        from tqdm import tqdm

        self._bar = tqdm(
            total=0, position=position, bar_format="{desc}", leave=False, disable=disable
        )
        self._disable = disable
        self._text = ""

    def write(self, text: str) -> int:
        """Show the last line that is not empty."""
        if not self._disable:
            parts = re.split(r"[\r\n]", ANSI.sub("", self._text + text))
            self._text = parts[-1]
            shown = next((part for part in reversed(parts) if part.strip()), "")
            width = shutil.get_terminal_size().columns - 1
            self._bar.set_description_str(shown.strip()[:width])
        return len(text)

    def flush(self) -> None:
        """Do nothing: every write is shown at once."""

    def __enter__(self) -> TerminalLine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()


def check_kernel() -> None:
    """Make sure that ``python3`` is the Python that runs this.

    Raises
    ------
    PageError
        If another kernel of that name comes first.
    """
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        executable = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        raise PageError("there is no Jupyter kernel python3: run `make venv`") from None
    # Jupyter replaces these by the running Python.
    if executable in {"python", "python3", f"python{sys.version_info[0]}.{sys.version_info[1]}"}:
        return
    if Path(executable).absolute() != Path(sys.executable).absolute():
        raise PageError(f"the kernel python3 is {executable}, not {sys.executable}")


def execute(
    page: PageSource,
    folder: Path,
    *,
    tier: str,
    root: Path,
    settle: Callable[[], tuple[str, Mapping[str, Any]]],
    executed: Iterable[Path] = (),
    interactive: bool = False,
) -> Path:
    """Execute a page and, if it is fit to publish, keep it in ``folder``.

    Parameters
    ----------
    page
        The page.
    folder
        Where the executed notebook appears, complete or not at all.
    tier
        ``"live"`` or ``"smoke"``.
    root
        The clone; the working directory of the notebook.
    settle
        Asked when all cells have run: the name to keep the notebook under, and facts to keep in its
        metadata. It may refuse with a :class:`PageError`.
    executed
        Executed notebooks that the page draws on.
    interactive
        Show progress bars.

    Returns
    -------
    Path
        The executed notebook.

    Raises
    ------
    PageError
        If a cell fails, writes anything but progress bars to the error stream, or stores an error;
        if the kernel dies or cannot be started, or the notebook cannot be written; or if the page
        does not end with its provenance card. The notebook as far as it got is kept in ``folder``
        as ``NAME.failed.ipynb``.
    """
    import json

    import nbformat
    import papermill
    from nbclient.exceptions import DeadKernelError
    from traitlets.config import Config

    folder.mkdir(parents=True, exist_ok=True)
    failed = folder / f"{page.name}.failed.ipynb"
    partial = folder / f".{page.name}-{os.getpid()}.partial.ipynb"
    log = partial.with_suffix(".log")
    os.environ[EXECUTED] = json.dumps([str(path) for path in executed])
    started: list[AsyncKernelManager] = []
    try:
        with (
            _stoppable(started),
            TerminalLine(2, disable=not interactive) as line,
            log.open("w", encoding="utf-8") as messages,
        ):
            papermill.execute_notebook(
                _literal_path(f"{SCHEME}{page.path}"),
                _literal_path(partial),
                parameters=page.parameters(tier) or None,
                cwd=root,
                progress_bar={"desc": f"  {page.name}", "position": 1, "leave": False}
                if interactive
                else False,
                stderr_file=line,
                kernel_manager_class=_logging_to(messages, started),
                # Without it every kernel warns that its messages are sent in plain text.
                config=Config({"KernelManager": {"transport_encryption": "auto"}}),
            )
        notebook = nbformat.read(partial, as_version=4)
        accept(page.name, notebook)
        facts = notebook.metadata.papermill
        facts.input_path, facts.output_path = f"{SCHEME}{page.docname}.md", f"{page.name}.ipynb"
        name, record = settle()
        notebook.metadata[METADATA] = {**notebook.metadata.get(METADATA, {}), **record}
        with partial.open("w", encoding="utf-8") as file:
            nbformat.write(notebook, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, folder / name)
        failed.unlink(missing_ok=True)
        return folder / name
    except papermill.PapermillExecutionError as error:
        os.replace(partial, failed)
        raise PageError(_describe(page, error, failed)) from None
    except DeadKernelError:
        raise PageError(
            f"{page.name}: the kernel died, perhaps for want of memory, while it ran\n\n"
            f"{_running_cell(partial)}\n\n{log.read_text(encoding='utf-8').strip()}".rstrip()
        ) from None
    except PageError:
        os.replace(partial, failed)
        raise
    except (RuntimeError, OSError) as error:  # a kernel that does not start; a full disk
        raise PageError(f"{page.name}: {type(error).__name__}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
        del os.environ[EXECUTED]


def _logging_to(file: TextIO, started: list[AsyncKernelManager]) -> type[AsyncKernelManager]:
    """Return a kernel manager whose kernels write their own log to ``file``.

    Those that have started a kernel enter themselves in ``started``.

    They log every interruption, so that stopping a build would fill the terminal with tracebacks.
    What a page writes to its error stream is not touched: that travels in messages.
    """
    from jupyter_client.manager import AsyncKernelManager

    class LoggingKernelManager(AsyncKernelManager):
        async def _async_launch_kernel(self, kernel_cmd: list[str], **kw: Any) -> None:
            await super()._async_launch_kernel(kernel_cmd, **{**kw, "stderr": file})
            started.append(self)

    return LoggingKernelManager


@contextmanager
def _stoppable(started: list[AsyncKernelManager]) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the kernels that were started, then raise KeyboardInterrupt.

    An exception raised by a signal somewhere inside the event loop that waits for a kernel may be
    swallowed there, or leave the loop with a task that nobody awaits. So the kernel is killed, the
    loop notices that, and only then is the exception raised. A second signal raises it at once.
    """
    asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        processes = [getattr(manager.provisioner, "process", None) for manager in started]
        alive = [process for process in processes if process and process.poll() is None]
        if asked or not alive:
            raise KeyboardInterrupt
        asked = True
        for process in alive:
            process.kill()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except Exception:
        if not asked:
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise KeyboardInterrupt


def _literal_path(path: str | Path) -> str:
    """Escape braces: papermill takes paths for format strings."""
    return str(path).replace("{", "{{").replace("}", "}}")


def accept(name: str, notebook: NotebookNode) -> None:
    """Remove progress bars from an executed page; refuse what is not fit to publish.

    Parameters
    ----------
    name
        Name of the page.
    notebook
        The executed page; changed in place.

    Raises
    ------
    PageError
        If a cell stores an error or wrote anything else to its error stream, or if the page does
        not hold one provenance card, its own.
    """
    for number, cell in enumerate(_code_cells(notebook), start=1):
        errors = [output for output in cell.outputs if output.output_type == "error"]
        if errors:
            raise PageError(
                f"{name}: code cell {number} stores an error output, {errors[0].ename}: "
                f"{errors[0].evalue}; catch the exception and print its message"
            )
        streams = [
            output
            for output in cell.outputs
            if output.output_type == "stream" and output.name == "stderr"
        ]
        rest = strip_progress("".join(output.text for output in streams))
        if rest:
            raise PageError(
                f"{name}: code cell {number} wrote to its error stream; a published page has no "
                f"warnings\n\n{_indent(cell.source)}\n\n{rest}"
            )
        cell.outputs = [output for output in cell.outputs if output not in streams]
    _, cards = stored(notebook)
    if len(cards) != 1:
        raise PageError(
            f"{name}: a page has one provenance card, got {len(cards)}: end it with "
            "page.provenance()"
        )
    if cards[0]["page"] != name:
        raise PageError(f"{name}: the page calls itself {cards[0]['page']!r}; write Page({name!r})")


def _code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _describe(page: PageSource, error: Any, failed: Path) -> str:
    traceback = "\n".join(error.traceback) or f"{error.ename}: {error.evalue}"
    return (
        f"{page.name}: cell [{error.exec_count}] of {page.path.name} failed\n\n"
        f"{_indent(error.source)}\n\n{ANSI.sub('', traceback)}\n\n"
        f"As far as it got: {failed}"
    )


def _running_cell(path: Path) -> str:
    import nbformat

    for cell in nbformat.read(path, as_version=4).cells:
        if cell.metadata.get("papermill", {}).get("status") == "running":
            return _indent(str(cell.source))
    return ""


def _indent(source: str) -> str:
    return "\n".join(f"    {line}" for line in source.splitlines())
