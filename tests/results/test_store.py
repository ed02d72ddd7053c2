"""The results store: nothing lost, nothing invented, whatever happens to its files."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from polarity.protocols import ImagesProtocol
from polarity.results import ConflictError, DamagedShardWarning, Run, Store
from polarity.results import store as store_module


def run(n: int = 100, trial: int = 0, condition: str = "fluid_rand_polarity", seed: int = 0) -> Run:
    protocol = ImagesProtocol.reduced(epochs=6)
    random = np.random.default_rng([n, trial, seed])
    return Run(
        identity=protocol.cell(n, trial, condition),
        epoch=protocol.evaluated(),
        val_loss=random.random(3).tolist(),
        val_accuracy=[0.1, math.nan, 1 / 3],
        train_loss=[*random.random(5).tolist(), math.inf],
        layers=["conv1", "last"],
        flipped=random.random((5, 2)).tolist(),
        dead={"start": [0.0], "end": [0.5]},
        info={"seconds": 1.5, "device": "a processor"},
    )


def test_what_is_added_is_found_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    assert store.keys() == set() and store.runs() == []
    runs = [run(n, trial) for n in (100, 250) for trial in range(3)]
    for one in runs:
        assert store.add(one).parent == store.folder
    again = Store(store.folder)
    assert again.keys() == {one.key for one in runs}
    for one in again.runs():
        (mine,) = [other for other in runs if other.key == one.key]
        assert one.same_results(mine)
        assert dict(one.identity) == mine.identity and dict(one.info) == mine.info
    assert len(again.runs(n_train=250)) == 3 and len(again.runs(n_train=250, trial=1)) == 1
    for value in ("cifar10", None):
        with pytest.raises(ValueError, match=r"runs have no field datset; theirs are .*dataset"):
            again.runs(datset=value)
    assert [one.key for one in again.runs()] == sorted(again.keys())
    assert not list(store.folder.glob(".*"))
    one, other = again.holding({runs[0].key, runs[4].key})
    assert {one, other} < set(again.files()) and again.holding(set()) == []


def test_equality_sees_every_number() -> None:
    one = run()
    assert one.same_results(run())
    for name in ("val_loss", "train_loss"):
        values = list(getattr(one, name))
        values[0] += 1e-3
        assert not one.same_results(replace(one, **{name: values}))
    assert not one.same_results(replace(one, dead={"start": [0.1], "end": [0.5]}))
    assert not one.same_results(replace(one, dead={"start": [0.0]}))
    assert not one.same_results(replace(one, layers=["conv1", "fc6"]))
    bare = replace(one, layers=[], flipped=[])
    assert not one.same_results(bare) and not bare.same_results(one)


def test_curves_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="val_loss must have a value for each of 3 evaluated"):
        replace(run(), val_loss=[0.1])
    with pytest.raises(ValueError, match="flipped must have a value for each of 2 layers, got 1"):
        replace(run(), flipped=[[0.1]])


def test_the_arrays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(run(100, 0), run(250, 1), run(100, 0, "frozen_in_polarity"))
    curves = store.dataset(dataset="fashion_mnist", donor="tiny_imagenet_64")
    assert curves.sizes["condition"] == 2 and curves.sizes["trial"] == 2
    assert curves.condition.values.tolist() == ["frozen_in_polarity", "fluid_rand_polarity"]
    assert curves.epoch.values.tolist() == [1, 3, 5]
    assert curves.step.values.tolist() == [1, 2, 3, 4, 5]  # each beside the epoch before it
    cell = curves.sel(condition="fluid_rand_polarity", n_train=250, trial=1)
    np.testing.assert_array_equal(cell.val_loss, np.float32(run(250, 1).val_loss))
    np.testing.assert_array_equal(cell.flipped, np.float32(run(250, 1).flipped))
    assert np.isnan(curves.sel(condition="frozen_in_polarity", n_train=250).val_loss).all()
    with pytest.raises(ValueError, match="holds no run with"):
        store.dataset(dataset="cifar10")


def test_runs_of_different_experiments_are_not_mixed(tmp_path: Path) -> None:
    other = replace(run(), identity={**run().identity, "precision": "bf16"})
    store = Store(tmp_path)
    store.add(run(), other)
    with pytest.raises(ValueError, match='precision: "bf16", "float32"'):
        store.dataset()
    assert store.dataset(precision="bf16").sizes["trial"] == 1


def test_the_same_key_twice(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.add(run())
    store.add(run(), run(250))  # the same numbers: no harm
    assert len(store.runs()) == 2
    second = store.add(run(seed=0), run(500), replace(run(250), val_loss=[9.0, 9.0, 9.0]))
    with pytest.raises(ConflictError, match="fashion_mnist, n_train 250") as error:
        store.runs()
    assert str(second) in str(error.value) and str(first) not in str(error.value)
    curves = Store(tmp_path / "curves")
    names = {curves.add(one) for one in (run(), replace(run(), train_loss=[9.0] * 6))}
    assert len(names) == 2  # the second must not take the first one's place
    with pytest.raises(ConflictError):
        curves.runs()


def test_a_conflict_stops_only_those_who_ask_for_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(run())
    store.add(run(seed=1))
    store.add(run(trial=1))
    assert store.keys() == {run().key, run(trial=1).key}
    assert [one.identity["trial"] for one in store.runs(trial=1)] == [1]
    with pytest.raises(ConflictError):
        store.runs(trial=0)


def with_donor(name: str, digest: str, condition: str = "frozen_in_polarity") -> Run:
    one = run(condition=condition)
    return replace(one, identity={**one.identity, "donor": name, "donor_digest": digest})


def test_two_donors_of_one_name_are_not_mixed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    runs = [
        with_donor("ours", "signs"),
        with_donor("ours", "weights", "frozen_in_weight"),
        with_donor("none", "", "fluid_rand_polarity"),
    ]
    store.add(*runs)
    assert store.dataset(donor="ours").sizes["condition"] == 3
    store.add(with_donor("ours", "other signs"))
    with pytest.raises(ValueError, match='different donors are named "ours"'):
        store.dataset(donor="ours")
    found = store.runs(donor="ours", donor_digest="signs")
    assert {one.identity["donor"] for one in found} == {"ours", "none"} and len(found) == 2


def test_what_was_packed_meanwhile_is_found_where_it_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for trial in range(3):
        Store(tmp_path).add(run(trial=trial))
    reader, listed = Store(tmp_path), Store.files

    def packed_as_soon_as_listed(self: Store) -> list[Path]:
        found = listed(self)
        monkeypatch.setattr(Store, "files", listed)
        Store(tmp_path).pack()
        return found

    monkeypatch.setattr(Store, "files", packed_as_soon_as_listed)
    assert reader.keys() == {run(trial=trial).key for trial in range(3)}


def test_what_the_machine_cannot_open_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Store(tmp_path).add(run())
    with monkeypatch.context() as patch:

        def refuse(*_: object, **__: object) -> None:
            raise OSError(24, "Too many open files")

        patch.setattr(Path, "open", refuse)
        with pytest.raises(OSError, match="Too many open files"):
            Store(tmp_path).runs()
    assert path.exists() and len(Store(tmp_path).runs()) == 1


def test_a_packed_store_is_the_same_store(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.pack() is None
    for trial in range(4):
        store.add(run(trial=trial))
    keys, size = store.keys(), sum(p.stat().st_size for p in tmp_path.iterdir())
    packed = store.pack()
    assert packed is not None and list(tmp_path.glob("*.parquet")) == [packed]
    assert Store(tmp_path).keys() == keys and packed.stat().st_size < size
    assert store.pack() is None


def test_two_that_pack_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one has removed the shards before this one comes to it."""
    store = Store(tmp_path)
    for trial in range(3):
        store.add(run(trial=trial))
    first, add = store.files()[0], store.add

    def meanwhile(*runs: Run) -> Path:
        packed = add(*runs)
        first.unlink()
        return packed

    monkeypatch.setattr(store, "add", meanwhile)
    packed = store.pack()
    assert packed is not None and store.files() == [packed] and len(store.runs()) == 3


def test_packing_settles_a_conflict(tmp_path: Path) -> None:
    store, other = Store(tmp_path), Store(tmp_path / "other")
    ours = store.add(run(), run(trial=1))
    changed = replace(run(), val_loss=[9.0] * len(run().epoch))
    theirs = other.add(changed, run(trial=2))
    theirs = theirs.rename(tmp_path / theirs.name)
    with pytest.raises(ConflictError, match="--keep"):
        store.pack()
    with pytest.raises(ConflictError):
        store.pack([ours.name, theirs.name])
    with pytest.raises(ValueError, match=r"keep must name shards of .*; got \['x'\]"):
        store.pack(["x"])
    copy = Store(shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}-copy")))
    for kept, shard, loss in ((store, theirs, 9.0), (copy, ours, run().val_loss[0])):
        kept.pack([shard.name])
        (one,) = kept.runs(trial=0)
        assert (
            one.val_loss[0] == pytest.approx(loss)
            and len(kept.runs()) == 3
            and len(kept.files()) == 1
        )


@pytest.mark.parametrize("kept", range(3))
@pytest.mark.parametrize("losses", [(1.0, 2.0, 3.0), (1.0, 2.0, 1.0)])
def test_a_conflict_of_several_is_settled_whatever_their_names(
    losses: tuple[float, ...], kept: int, tmp_path: Path
) -> None:
    store, names = Store(tmp_path), []
    for place, loss in enumerate(losses):
        # Another run beside it: shards of the same runs alone would be one file.
        changed = replace(run(), val_loss=[loss] * len(run().epoch))
        shard = Store(tmp_path / str(place)).add(changed, run(trial=1 + place))
        names.append(shard.rename(tmp_path / f"{place}-{shard.name}").name)
    store.pack([names[kept]])
    (one,) = store.runs(trial=0)
    assert one.val_loss[0] == losses[kept] and len(store.runs()) == 4


def test_a_shards_name_says_what_is_in_it(tmp_path: Path) -> None:
    one = run()
    other = replace(one, identity={**one.identity, "dataset": "cifar10"})
    path = Store(tmp_path).add(one, other)
    assert path.name.startswith("cifar10+fashion_mnist-")


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as complete at once, not after a minute."""
    monkeypatch.setattr("polarity.results.store.SETTLED", 0)


def test_a_file_on_its_way_is_left_to_arrive(tmp_path: Path) -> None:
    path = Store(tmp_path).add(run())
    content = path.read_bytes()
    with path.open("wb") as file:  # what cp does, under its final name
        file.write(content[:-100])
        file.flush()
        with pytest.warns(DamagedShardWarning, match="it stays where it is .*just been changed"):
            assert Store(tmp_path).runs() == []
        file.write(content[-100:])
    assert len(Store(tmp_path).runs()) == 1 and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fault", [MemoryError, ImportError])
@pytest.mark.usefixtures("settled")
def test_a_machine_that_cannot_read_a_shard_leaves_it(
    fault: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Store(tmp_path).add(run())
    with monkeypatch.context() as patch:

        def refuse(_: Path) -> None:
            raise fault

        patch.setattr("polarity.results.store._runs_of", refuse)
        with pytest.raises(fault):
            Store(tmp_path).runs()
    assert path.exists() and len(Store(tmp_path).runs()) == 1


@pytest.mark.usefixtures("settled")
def test_without_the_codec_no_shard_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoCodec:
        @staticmethod
        def is_available(_: str) -> bool:
            return False

    path = Store(tmp_path).add(run())
    monkeypatch.setattr("pyarrow.Codec", NoCodec)
    with pytest.raises(ImportError, match="zstd"):
        Store(tmp_path).runs()
    assert path.exists()


@pytest.mark.usefixtures("settled")
def test_damage_that_the_reader_takes_for_another_format_is_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow

    def refuse(_: Path) -> None:  # what one changed bit of a schema provokes
        raise pyarrow.ArrowNotImplementedError("Integers with more than 64 bits not implemented")

    path = Store(tmp_path).add(run())
    monkeypatch.setattr("polarity.results.store._runs_of", refuse)
    with pytest.warns(DamagedShardWarning, match=path.name):
        assert Store(tmp_path).runs() == []
    assert not path.exists()


@pytest.mark.usefixtures("settled")
def test_damage_anywhere_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    good, bad = store.add(run()), store.add(run(250))
    content = bad.read_bytes()
    for at in range(0, len(content), 61):
        changed = bytearray(content)
        changed[at] ^= 0x10
        bad.write_bytes(changed)
        try:
            with pytest.warns(DamagedShardWarning, match=bad.name):
                kept = Store(tmp_path).runs()
            assert [one.key for one in kept] == [run().key]
            assert (tmp_path / "set_aside" / bad.name).exists() and not bad.exists()
        except pytest.fail.Exception:  # a byte that means nothing: then nothing has changed
            assert [r for r in Store(tmp_path).runs(n_train=250) if r.same_results(run(250))]
    for length in (0, 4, len(content) // 2, len(content) - 1):
        bad.write_bytes(content[:length])
        with pytest.warns(DamagedShardWarning, match="the rest was read"):
            assert len(Store(tmp_path).runs()) == 1
    assert good.exists()


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    ("column", "said"),
    [("train_loss", "its checksum does not fit its rows"), ("key", "not that of its identity")],
)
def test_a_shard_that_was_written_over_by_another_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str, said: str
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Store(tmp_path).add(run())
    table = pq.read_table(path)
    other = ["0" * 64] if column == "key" else [[9.0] * 6]
    field = table.schema.field(column)
    table = table.set_column(table.column_names.index(column), field, pa.array(other, field.type))
    if column == "key":  # a program that keeps checksums, but not what a key is
        digest = store_module._digest(table)
        table = table.replace_schema_metadata(
            {**(table.schema.metadata or {}), b"polarity.sha256": digest.encode()}
        )
    pq.write_table(table, path)
    with pytest.warns(DamagedShardWarning, match=said):
        assert Store(tmp_path).runs() == []


def test_a_store_in_use_sees_that_a_shard_was_replaced(tmp_path: Path) -> None:
    store, other = Store(tmp_path), Store(tmp_path / "other")
    path = store.add(run())
    assert [one.key for one in store.runs()] == [run().key]
    shutil.move(other.add(run(250), run(500)), path)
    assert {one.key for one in store.runs()} == {run(250).key, run(500).key}


@pytest.mark.usefixtures("settled")
def test_foreign_files_are_set_aside_and_later_schemas_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1]}), tmp_path / "foreign.parquet")
    with pytest.warns(DamagedShardWarning, match="no shard of results"):
        assert Store(tmp_path).runs() == []
    monkeypatch.setattr("polarity.results.store.SCHEMA_VERSION", 2)
    later = Store(tmp_path).add(run())
    monkeypatch.undo()
    with pytest.raises(ValueError, match="written by a later version") as error:
        Store(tmp_path).runs()
    assert str(later) in str(error.value) and later.exists()


def test_a_full_disk_leaves_no_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        Store(tmp_path).add(run())
    assert list(tmp_path.iterdir()) == []


def test_stale_temporaries_are_removed_and_young_ones_left(tmp_path: Path) -> None:
    old, young, slow = (tmp_path / f".{name}.partial" for name in ("a-1", "b-2", "c-3"))
    for path, seconds in ((old, 1e6), (young, 0), (slow, 3600)):
        path.write_bytes(b"PAR1")
        os.utime(path, (time.time() - seconds,) * 2)
    store = Store(tmp_path)
    store.add(run())
    assert not old.exists() and young.exists() and slow.exists() and len(store.runs()) == 1


def test_a_temporary_file_of_somebody_else_costs_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / ".a-1.partial"
    theirs.write_bytes(b"PAR1")
    os.utime(theirs, (time.time() - 1e6,) * 2)

    remove = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path == theirs:
            raise PermissionError(1, "Operation not permitted")
        remove(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        Store(tmp_path).add(run())
    assert len(Store(tmp_path).runs()) == 1


WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from test_store import run
from polarity.results import Store
store = Store(sys.argv[1])
for trial in range(int(sys.argv[3]), 10_000, 2):
    store.add(run(trial=trial))
    if trial == int(sys.argv[3]) + 10:
        print("under way", flush=True)
"""


def test_two_writers_killed_at_any_moment(tmp_path: Path) -> None:
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", WRITER, str(tmp_path), here]
    writers = [
        subprocess.Popen([*command, str(parity)], stdout=subprocess.PIPE) for parity in (0, 1)
    ]
    for writer in writers:
        assert writer.stdout is not None
        with writer.stdout:
            assert writer.stdout.readline() == b"under way\n"
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    runs = Store(tmp_path).runs()  # a warning would be an error here
    assert len(runs) == len(list(tmp_path.glob("*.parquet"))) >= 12
    assert {one.identity["trial"] % 2 for one in runs} == {0, 1}
    assert all(one.same_results(run(trial=one.identity["trial"])) for one in runs)


@pytest.mark.usefixtures("settled")
@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_a_read_only_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.add(run())
    store.add(run(250)).write_bytes(b"damaged")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "read-only")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.warns(DamagedShardWarning, match="it stays where it is"):
        assert len(Store(tmp_path).runs()) == 1
