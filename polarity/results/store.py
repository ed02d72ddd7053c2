"""Immutable Parquet shards: many writers, no lock; a merge is a union by key.

A shard holds one row a run. It is written under a temporary name, flushed to the disk and renamed,
so that under its own name it is complete or absent; it carries a checksum of its rows. The same run
may stand in several shards (two machines, a copy, a packing that was cut short); if their numbers
differ, that is an error which names both.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import tempfile
import time
import warnings
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import replacing, synced
from .run import Run

if TYPE_CHECKING:
    import pyarrow as pa
    import xarray as xr

__all__ = ["ConflictError", "DamagedShardWarning", "Store"]

SCHEMA_VERSION = 1
SUFFIX = ".parquet"
STALE = 24 * 3600  # seconds after which a temporary file belongs to nobody
SETTLED = 60  # seconds after its last change until a file is no longer being copied
ANY_DONOR = "none"  # runs without a donor serve beside every donor


class ConflictError(ValueError):
    """One key with different results in two files."""


class DamagedShardWarning(UserWarning):
    """A shard could not be read; the others were."""


@dataclass
class Store:
    """A folder of shards.

    Parameters
    ----------
    folder
        Made when the first run is added.

    Examples
    --------
    >>> store = Store("results")
    >>> who = {"dataset": "made up", "trial": 0}
    >>> path = store.add(Run(who, [0], [2.3], [0.1], [2.3], ["fc"], [], {}))
    >>> [run.identity["trial"] for run in store.runs(dataset="made up")]
    [0]
    """

    folder: Path
    _read: dict[tuple[str, int, int], list[Run]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Accept a string."""
        self.folder = Path(self.folder)

    def add(self, *runs: Run) -> Path:
        """Write runs as one new shard; return its path.

        Parameters
        ----------
        *runs
            One at least, no two with one key.

        Raises
        ------
        ValueError
            If no run is given, or two have one key.
        OSError
            If it cannot be written; there is then no shard, complete or not.
        """
        import pyarrow.parquet as pq

        keys = [run.key for run in runs]
        if not keys or len(set(keys)) != len(keys):
            raise ValueError(f"a shard holds distinct runs, at least one; got keys {keys}")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep_temporaries()
        table = _table(runs)
        digest = hashlib.sha256("".join(sorted(keys)).encode() + _content(table)).hexdigest()
        named = ({str(r.identity.get(key, "")) for r in runs} for key in ("dataset", "tier"))
        prefix = "-".join("+".join(sorted(names)) for names in named)
        target = self.folder / f"{prefix}-{digest[:16]}{SUFFIX}"
        with replacing(target) as file:
            pq.write_table(table, file, compression="zstd", write_page_checksum=True)
        return target

    def check_writable(self) -> None:
        """Make the folder and write into it: better before a run is trained than after it.

        Raises
        ------
        OSError
            If that fails; it names the folder.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            reason = f"runs cannot be saved in {self.folder}: {error.strerror}"
            raise type(error)(error.errno, reason) from None

    def files(self) -> list[Path]:
        """Return the shards, in the order of their names."""
        return sorted(self.folder.glob(f"*{SUFFIX}"))

    def holding(self, keys: Container[str]) -> list[Path]:
        """Return the shards that hold a run of these keys, in the order of their names."""
        shards = self._shards()
        return sorted(path for path, runs in shards if any(run.key in keys for run in runs))

    def keys(self) -> set[str]:
        """Return the keys of all readable runs, also of those with different results."""
        return {run.key for _, runs in self._shards() for run in runs}

    def __contains__(self, key: str) -> bool:
        """Whether there is a run of this key."""
        return key in self.keys()

    def runs(self, **identity: object) -> list[Run]:
        """Return the runs whose identity has these values, in the order of their keys.

        Asking for a donor also returns runs without one, the RAND conditions.

        Parameters
        ----------
        **identity
            Values that the runs' identities must have, e.g. ``dataset="cifar10", n_train=100``.

        Raises
        ------
        ValueError
            If no run in the store has such a field.
        ConflictError
            If the key of such a run has different results in two files.
        OSError, MemoryError
            If a shard cannot be opened or held: that says nothing about what is in it.

        Warns
        -----
        DamagedShardWarning
            For every shard that cannot be read. It is moved to ``set_aside/`` if possible, and if
            it has not just been changed: then it may still be on its way.
        """
        return self._union(identity)

    def _union(self, identity: Mapping[str, object], keep: Container[str] = ()) -> list[Run]:
        """Of a run with different results, take those of the shards whose names are in ``keep``."""
        found: dict[str, tuple[Run, Path]] = {}
        fields: set[str] = set()
        # Those to keep come first: what follows can then only be the same, or give way.
        for path, runs in sorted(self._shards(), key=lambda shard: shard[0].name not in keep):
            for run in runs:
                fields.update(run.identity)
                if not all(_matches(run, name, value) for name, value in identity.items()):
                    continue
                first, where = found.setdefault(run.key, (run, path))
                gives_way = where.name in keep and path.name not in keep
                if first is run or gives_way or first.same_results(run):
                    continue
                here = shlex.quote(str(self.folder))
                raise ConflictError(
                    f"run {run.key[:12]} ({_describe(run)}) has different results in {where} "
                    f"and in {path}; `python -m polarity.sweep pack --out {here} "
                    f"--keep {path.name}` keeps those of the latter"
                )
        if fields and (unknown := sorted(identity.keys() - fields)):
            raise ValueError(
                f"runs have no field {', '.join(unknown)}; theirs are {', '.join(sorted(fields))}"
            )
        return [run for _, (run, _) in sorted(found.items())]

    def dataset(self, **identity: object) -> xr.Dataset:
        """Return curves as arrays.

        Parameters
        ----------
        **identity
            As for :meth:`runs`.

        Returns
        -------
        xarray.Dataset
            ``val_loss`` and ``val_accuracy`` with dims (condition, n_train, trial, epoch), epoch
            being those evaluated; ``train_loss`` (condition, n_train, trial, pass); ``flipped``
            (condition, n_train, trial, step, layer), step e comparing epochs e - 1 and e; ``dead``
            (condition, n_train, trial, moment, hidden). NaN where there is no run.

        Raises
        ------
        ValueError
            If there is no such run, or if runs are of different experiments: the message names the
            settings in which they differ, one of which must be chosen.
        """
        import xarray as xr

        runs = self.runs(**identity)
        if not runs:
            raise ValueError(f"{self.folder} holds no run with {dict(identity)}")
        _check_alike(runs)
        axes: dict[str, list[Any]] = {
            name: sorted({run.identity[name] for run in runs}) for name in ("n_train", "trial")
        }
        present = {run.identity["condition"] for run in runs}
        axes = {"condition": _ordered(present), **axes}
        epochs = sorted({epoch for run in runs for epoch in run.epoch})
        passes = max(len(run.train_loss) for run in runs)
        layers = list(runs[0].layers)
        hidden = max((len(shares) for run in runs for shares in run.dead.values()), default=0)
        moments = ["start", "end"]
        lead = tuple(len(axis) for axis in axes.values())
        shapes = {
            "val_loss": (len(epochs),),
            "val_accuracy": (len(epochs),),
            "train_loss": (passes,),
            "flipped": (max(passes - 1, 0), len(layers)),
            "dead": (len(moments), hidden),
        }
        arrays = {name: np.full(lead + rest, np.nan, np.float32) for name, rest in shapes.items()}
        column = {epoch: i for i, epoch in enumerate(epochs)}
        for run in runs:
            at: tuple[int, ...] = tuple(
                axis.index(run.identity[name]) for name, axis in axes.items()
            )
            where = [column[epoch] for epoch in run.epoch]
            for name in ("val_loss", "val_accuracy"):
                arrays[name][at][where] = getattr(run, name)
            arrays["train_loss"][at][: len(run.train_loss)] = run.train_loss
            if len(run.flipped):
                arrays["flipped"][at][: len(run.flipped)] = run.flipped
            for i, moment in enumerate(moments):
                arrays["dead"][at][i] = run.dead.get(moment, np.nan)
        dims = {
            "val_loss": ("epoch",),
            "val_accuracy": ("epoch",),
            "train_loss": ("pass",),
            "flipped": ("step", "layer"),
            "dead": ("moment", "hidden"),
        }
        return xr.Dataset(
            {name: ((*axes, *dims[name]), array) for name, array in arrays.items()},
            coords={
                **axes,
                "epoch": epochs,
                "pass": range(passes),
                "step": range(1, passes),
                "layer": layers,
                "moment": moments,
                "hidden": layers[:hidden],
            },
        )

    def pack(self, keep: Collection[str] = ()) -> Path | None:
        """Merge all shards into one; return it, or None if there is nothing to merge.

        The merged shard is complete before the others are removed: whatever interrupts this leaves
        at worst runs that are there twice, alike.

        Parameters
        ----------
        keep
            Names of shards whose results are kept where others have different ones.

        Raises
        ------
        ConflictError
            If a run has different results, in two shards to keep or in none.
        ValueError
            If there is no shard of a name in ``keep``.
        """
        before = [path for path, _ in self._shards()]
        names = [path.name for path in before]
        if unknown := sorted(set(keep) - set(names)):
            raise ValueError(f"keep must name shards of {self.folder}, {names}; got {unknown}")
        if len(before) < 2:
            return None
        target = self.add(*self._union({}, keep))
        for path in before:
            if path != target:
                path.unlink(missing_ok=True)  # another process may be packing, too
        synced(self.folder)
        return target

    def _shards(self) -> Iterator[tuple[Path, list[Run]]]:
        import pyarrow

        if not pyarrow.Codec.is_available("zstd"):
            raise ImportError("shards are packed with zstd, which this pyarrow was built without")
        seen: set[Path] = set()
        # Packing moves runs to a file that was not there yet when the others were listed.
        while new := [path for path in self.files() if path not in seen]:
            for path in new:
                seen.add(path)
                try:
                    status = path.stat()
                    stamp = (path.name, status.st_size, status.st_mtime_ns)
                    if stamp not in self._read:
                        self._read[stamp] = _runs_of(path)
                except FileNotFoundError:
                    continue  # packed meanwhile, by another process
                except _FutureSchema as error:
                    raise ValueError(str(error)) from None
                except (MemoryError, ImportError):
                    raise  # the machine's fault, not the file's
                except Exception as error:  # whatever a damaged file provokes in its reader
                    if isinstance(error, OSError) and error.errno is not None:
                        raise  # the machine's fault, too; Arrow's own have no number
                    self._set_aside(path, error)
                    continue
                yield path, self._read[stamp]

    def _set_aside(self, path: Path, error: Exception) -> None:
        aside = self.folder / "set_aside" / path.name
        try:
            if time.time() - path.stat().st_mtime < SETTLED:
                raise BlockingIOError("it has just been changed")
            aside.parent.mkdir(exist_ok=True)
            os.replace(path, aside)
            fate = f"it was moved to {aside}"
        except OSError as reason:
            fate = f"it stays where it is ({reason})"
        warnings.warn(
            f"{path} is damaged ({type(error).__name__}: {error}); {fate}, the rest was read",
            DamagedShardWarning,
            stacklevel=4,
        )

    def _sweep_temporaries(self) -> None:
        for path in self.folder.glob(".*.partial"):
            # Others may remove it first, or own it: no reason to lose the run that is to be saved.
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > STALE:
                    path.unlink()


class _FutureSchema(Exception):
    pass


def _table(runs: Sequence[Run]) -> pa.Table:
    import pyarrow as pa

    curve = pa.list_(pa.float32())
    schema = pa.schema(
        [
            ("key", pa.string()),
            ("identity", pa.string()),
            ("epoch", pa.list_(pa.int32())),
            ("val_loss", curve),
            ("val_accuracy", curve),
            ("train_loss", curve),
            ("layers", pa.list_(pa.string())),
            ("flipped", pa.list_(curve)),
            ("dead", pa.map_(pa.string(), curve)),
            ("info", pa.string()),
        ]
    )
    rows = [
        {
            "key": run.key,
            "identity": json.dumps(dict(run.identity), sort_keys=True),
            **run.measured(),
            "dead": list(run.dead.items()),
            "info": json.dumps(dict(run.info), sort_keys=True),
        }
        for run in sorted(runs, key=lambda run: run.key)
    ]
    table = pa.Table.from_pylist(rows, schema=schema)
    meta = {"polarity.schema": str(SCHEMA_VERSION), "polarity.sha256": _digest(table)}
    return table.replace_schema_metadata(meta)


def _content(table: pa.Table) -> bytes:
    return json.dumps(table.to_pylist(), sort_keys=True).encode()


def _digest(table: pa.Table) -> str:
    return hashlib.sha256(_content(table)).hexdigest()


def _runs_of(path: Path) -> list[Run]:
    import pyarrow.parquet as pq

    # One handle, and no guesses from the path's folders.
    with path.open("rb") as file:
        table = pq.ParquetFile(file, page_checksum_verification=True).read()
    meta = table.schema.metadata or {}
    version = int(meta.get(b"polarity.schema", b"0"))
    if version > SCHEMA_VERSION:
        raise _FutureSchema(
            f"{path} was written by a later version of this package (schema {version}, this one "
            f"reads up to {SCHEMA_VERSION}): update the package"
        )
    if version < 1:
        raise ValueError("it is no shard of results")
    if meta[b"polarity.sha256"].decode() != _digest(table):
        raise ValueError("its checksum does not fit its rows")
    runs = []
    for row in table.to_pylist():
        key = row.pop("key")
        row["identity"], row["info"] = json.loads(row["identity"]), json.loads(row["info"])
        row["dead"] = dict(row["dead"])
        run = Run(**row)
        if run.key != key:
            raise ValueError(f"key {key[:12]} is not that of its identity")
        runs.append(run)
    return runs


def _matches(run: Run, name: str, value: object) -> bool:
    if name in ("donor", "donor_digest") and run.identity.get("donor") == ANY_DONOR:
        return True
    return run.identity.get(name) == value


def _check_alike(runs: Iterable[Run]) -> None:
    """Raise ValueError if runs differ in more than condition, n, trial and what follows."""
    free = {"condition", "n_train", "trial", "donor", "donor_digest"}
    seen: dict[str, set[str]] = {}
    donors: dict[str, set[str]] = {}
    files: dict[bool, set[str]] = {}
    for run in runs:
        for name, value in run.identity.items():
            if name not in free:
                seen.setdefault(name, set()).add(json.dumps(value))
        if (donor := str(run.identity.get("donor"))) != ANY_DONOR:
            donors.setdefault("donor", set()).add(json.dumps(donor))
            # That of its weights, or of its signs: each condition hands on one of them.
            of_weights = "weight" in str(run.identity.get("condition"))
            files.setdefault(of_weights, set()).add(str(run.identity.get("donor_digest")))
    mixed = {name: sorted(values) for name, values in {**seen, **donors}.items() if len(values) > 1}
    if mixed:
        listing = "; ".join(f"{name}: {', '.join(values)}" for name, values in mixed.items())
        raise ValueError(f"these runs are of different experiments, choose one of each: {listing}")
    if any(len(digests) > 1 for digests in files.values()):
        (name,) = donors["donor"]
        raise ValueError(f"different donors are named {name} in these runs: rename one of them")


def _ordered(conditions: set[str]) -> list[str]:
    from ..protocols import IMAGE_CONDITIONS

    known = [name for name in IMAGE_CONDITIONS if name in conditions]
    return known + sorted(conditions - set(known))


def _describe(run: Run) -> str:
    names = ("dataset", "n_train", "trial", "condition")
    return ", ".join(f"{name} {run.identity[name]}" for name in names if name in run.identity)
