"""Sweeps: the useful order, within the budget, resumable, on whatever joblib runs on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import polarity.images
import polarity.sweep
from polarity.datasets import DataNotFound
from polarity.images import device_name, possible
from polarity.networks import forward_operations
from polarity.protocols import IMAGE_CONDITIONS, ImagesProtocol
from polarity.results import Run, Store
from polarity.sweep import Cell, Costs, cells, duration, main, missing, passes, sweep

PROTOCOL = ImagesProtocol.reduced(
    sizes=(250, 100),
    trials=2,
    epochs=2,
    conditions=("frozen_in_polarity", "fluid_rand_polarity"),
)


def identity(
    protocol: ImagesProtocol, n: int, trial: int, condition: str, *, folder: Path | None = None
) -> dict[str, Any]:
    """As where the images in a folder of the caller's are others than those found without it."""
    return protocol.cell(n, trial, condition) | {"data": "original" if folder is None else "copy"}


def pretend(
    protocol: ImagesProtocol,
    n: int,
    trial: int,
    condition: str,
    *,
    seconds: float = 0.0,
    folder: Path | None = None,
    **_: Any,
) -> Run:
    time.sleep(seconds)
    return Run(
        identity=identity(protocol, n, trial, condition, folder=folder),
        epoch=protocol.evaluated(),
        val_loss=[n / 1000],
        val_accuracy=[0.5],
        train_loss=[1.0] * protocol.epochs,
        layers=["conv1"],
        flipped=[[0.0]] * (protocol.epochs - 1),
        dead={"start": [], "end": []},
        info={"seconds": 100.0, "process": os.getpid()},
    )


def test_the_order() -> None:
    order = list(cells(PROTOCOL))
    assert order[:4] == [
        Cell(100, 0, "frozen_in_polarity"),
        Cell(100, 0, "fluid_rand_polarity"),
        Cell(250, 0, "frozen_in_polarity"),
        Cell(250, 0, "fluid_rand_polarity"),
    ]
    assert len(order) == 8 and {cell.trial for cell in order[4:]} == {1}


def test_images_of_a_folder_are_asked_for_where_they_are(tmp_path: Path) -> None:
    store, there = Store(tmp_path), tmp_path / "data"
    small = replace(PROTOCOL, trials=1, sizes=(100,))
    for folder, kind in ((there, "copy"), (None, "original")):
        first = sweep(small, store, train=pretend, identity=identity, folder=folder, progress=False)
        assert first.done == 2 and len(store.runs(data=kind)) == 2
        assert missing(small, store, identity, folder=folder) == []
    assert len(store.runs()) == 4


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("9m", 540), ("1.5h", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "9", "m", "-9m", "0s", "9 m", "9d", "nan", "1e3s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"budget must be a time as 90s, 9m or 1\.5h"):
        duration(text)


def test_a_sweep_trains_what_is_missing_and_saves_each_run(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(pretend(PROTOCOL, 100, 1, "fluid_rand_polarity"))
    seen = []

    def watched(*args: Any, **kw: Any) -> Run:
        seen.append((Cell(*args[1:]), len(list(tmp_path.glob("*.parquet")))))
        return pretend(*args, **kw)

    done = sweep(PROTOCOL, store, train=watched, identity=identity, progress=False)
    assert (done.done, done.left) == (7, 0)
    assert [cell for cell, _ in seen] == [
        cell for cell in cells(PROTOCOL) if cell != Cell(100, 1, "fluid_rand_polarity")
    ]
    assert [shards for _, shards in seen] == list(range(1, 8))
    assert missing(PROTOCOL, Store(tmp_path), identity) == []
    again = sweep(PROTOCOL, store, train=watched, identity=identity, progress=False)
    assert again.done == 0 and len(seen) == 7


def test_what_another_sweep_saves_is_not_begun_and_its_run_is_kept(tmp_path: Path) -> None:
    store, other = Store(tmp_path), Store(tmp_path)
    trained = []

    def overtaken(*args: Any, **kw: Any) -> Run:
        """Train; meanwhile the other sweep saves this run, a little different, and a later one."""
        trained.append(Cell(*args[1:]))
        run = pretend(*args, **kw)
        if len(trained) == 1:
            other.add(
                replace(run, val_loss=[7.0]), pretend(PROTOCOL, 250, 1, "fluid_rand_polarity")
            )
        return run

    done = sweep(PROTOCOL, store, train=overtaken, identity=identity, progress=False)
    assert len(trained) == 7 and Cell(250, 1, "fluid_rand_polarity") not in trained
    assert (done.done, done.elsewhere, done.left) == (6, 2, 0)
    runs = Store(tmp_path).runs()
    assert len(runs) == 8 and sum(list(run.val_loss) == [7.0] for run in runs) == 1


def test_a_folder_that_takes_no_runs_is_noticed_before_training(tmp_path: Path) -> None:
    def never(*_: Any, **__: Any) -> Run:
        raise AssertionError("trained in vain")

    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OSError, match=f"runs cannot be saved in {file}: File exists"):
        sweep(PROTOCOL, Store(file), train=never, identity=identity, progress=False)


@pytest.mark.parametrize("progress", [True, False])
def test_the_epochs_of_a_run_are_shown(progress: bool, tmp_path: Path) -> None:
    asked = set()

    def watched(*args: Any, progress: bool, **kw: Any) -> Run:
        asked.add(progress)
        return pretend(*args, **kw)

    sweep(PROTOCOL, Store(tmp_path), train=watched, identity=identity, progress=progress)
    assert asked == {progress}


def test_no_run_is_begun_that_would_not_fit(tmp_path: Path) -> None:
    costs = Costs(PROTOCOL, 1e11)
    costs.learn(100, 100.0, before=True)
    small, large = costs.seconds(Cell(100, 0, "")), costs.seconds(Cell(250, 0, ""))
    assert small == pytest.approx(100) and large > small
    store = Store(tmp_path)
    arguments: dict[str, Any] = {"train": pretend, "identity": identity, "progress": False}
    none = sweep(PROTOCOL, store, budget=99.0, costs=costs, **arguments)
    assert (none.done, none.left) == (0, 8)
    some = sweep(PROTOCOL, store, budget=(small + large) / 2, costs=costs, **arguments)
    assert 2 <= some.done < 8  # those of n = 100 are affordable, until n = 250 comes


def test_time_that_is_over_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])  # not everybody's: joblib waits by that one
    monkeypatch.setattr(polarity.sweep, "time", clock)

    def clocked(*args: Any, **kw: Any) -> Run:
        now[0] += 100
        return pretend(*args, **kw)

    from joblib import parallel_config

    costs = Costs(PROTOCOL, 1e11)
    costs.learn(100, 100.0, before=True)
    arguments: dict[str, Any] = {"identity": identity, "costs": costs, "progress": False}
    done = sweep(PROTOCOL, Store(tmp_path / "one"), train=clocked, budget=250.0, **arguments)
    assert (done.done, done.seconds) == (2, 200.0)
    now[0] = 0.0
    with parallel_config(backend="threading"):  # whose runs move this process's clock
        two = Store(tmp_path / "two")
        done = sweep(PROTOCOL, two, train=clocked, budget=250.0, jobs=2, **arguments)
    assert 2 <= done.done <= 4  # the others were not asked for before there was a free worker


def test_a_run_that_takes_longer_than_thought_ends_the_sweep(tmp_path: Path) -> None:
    def slow(*args: Any, **kw: Any) -> Run:
        run = pretend(*args, **kw)
        run.info["seconds"] = 1e9
        return run

    costs = Costs(PROTOCOL, 1e11)
    costs.learn(100, 1.0, before=True)
    arguments: dict[str, Any] = {"identity": identity, "costs": costs, "progress": False}
    assert sweep(PROTOCOL, Store(tmp_path), train=slow, budget=1e6, **arguments).done == 1


def test_device_and_folder_reach_the_training(tmp_path: Path) -> None:
    given: list[dict[str, Any]] = []

    def watched(*args: Any, **kw: Any) -> Run:
        given.append(kw)
        return pretend(*args, **kw)

    asked = {"device": "cpu", "folder": tmp_path / "data"}
    small = replace(PROTOCOL, trials=1, sizes=(100,), conditions=("fluid_rand_polarity",))
    sweep(small, Store(tmp_path), train=watched, identity=identity, progress=False, **asked)
    assert given == [{**asked, "progress": False}]


def test_a_training_step_counts_as_three_passes() -> None:
    assert passes(PROTOCOL, 100) == 3 * 100 * PROTOCOL.epochs + 2000 * 1


def test_costs_before_and_after_a_measurement() -> None:
    costs = Costs(PROTOCOL, 1e11)
    assert not costs.measured and 0 < costs.seconds(Cell(100, 0, "")) < 3600
    for seconds in (10.0, 1000.0, 20.0):
        costs.learn(100, seconds)
    assert costs.measured and costs.seconds(Cell(100, 0, "")) == pytest.approx(20.0)


def test_what_this_device_took_counts_before_what_one_of_its_name_took() -> None:
    costs = Costs(PROTOCOL, 1e11)
    for _ in range(6):
        costs.learn(100, 1000.0, before=True)
    assert costs.measured and costs.seconds(Cell(100, 0, "")) == pytest.approx(1000.0)
    costs.learn(100, 200.0)
    assert costs.seconds(Cell(100, 0, "")) == pytest.approx(200.0)


def test_what_a_device_cannot_have_done() -> None:
    operations = forward_operations(PROTOCOL.architecture) * passes(PROTOCOL, 100)
    costs = Costs(PROTOCOL, operations / 60)  # a run takes a minute at least
    assert costs.possible(100, 61) and not costs.possible(100, 59) and not costs.possible(250, 61)
    assert costs.seconds(Cell(100, 0, "")) >= 60


def test_several_at_a_time(tmp_path: Path) -> None:
    done = sweep(
        PROTOCOL, Store(tmp_path), train=pretend, identity=identity, jobs=2, progress=False
    )
    assert done.done == 8
    processes = {run.info["process"] for run in Store(tmp_path).runs()}
    assert os.getpid() not in processes


@pytest.fixture
def cluster() -> Iterator[Any]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as made,
        Client(made) as client,
    ):
        yield client


# What distributed itself leaves open is not what is tested.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_on_a_dask_cluster(tmp_path: Path, cluster: Any) -> None:
    from joblib import parallel_config

    tasks = len(cluster.scheduler_info()["workers"])
    assert tasks == 1
    with parallel_config(backend="dask"):
        done = sweep(
            PROTOCOL, Store(tmp_path), train=pretend, identity=identity, jobs=2, progress=False
        )
    assert done.done == 8 and missing(PROTOCOL, Store(tmp_path), identity) == []


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[2])
from functools import partial
from test_sweep import PROTOCOL, identity, pretend
from polarity.results import Store
from polarity.sweep import sweep
sweep(PROTOCOL, Store(sys.argv[1]), train=partial(pretend, seconds=0.3), identity=identity)
"""


def test_a_killed_sweep_loses_the_current_run_and_goes_on(tmp_path: Path) -> None:
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), here]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 100
    while len(list(tmp_path.glob("*.parquet"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = missing(PROTOCOL, Store(tmp_path), identity)
    assert left == list(cells(PROTOCOL))[-len(left) :] and len(left) <= 5
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert missing(PROTOCOL, Store(tmp_path), identity) == []
    assert len(list(tmp_path.glob("*.parquet"))) == 8  # nothing was trained twice


CONSOLE = """
import sys
sys.path.insert(0, sys.argv[2])
from functools import partial
import polarity.images, polarity.images.conditions
from test_sweep import identity, pretend
from polarity.sweep import main
polarity.images.train, polarity.images.identity = partial(pretend, seconds=0.3), identity
polarity.images.conditions.donor_of = lambda *_, **__: None
sys.exit(main(["images", "--tier", "reduced", "--epochs", "2", "--out", sys.argv[1]]))
"""


def test_a_sweep_that_is_told_to_end_says_how_to_go_on(tmp_path: Path) -> None:
    """As a cluster tells it, before it kills."""
    command = [sys.executable, "-c", CONSOLE, str(tmp_path), str(Path(__file__).parent)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 100
    while not list(tmp_path.glob("*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.terminate()
    _, said = process.communicate(timeout=100)
    assert process.returncode == 130
    assert b"Stopped. Finished runs are saved: run it again to go on." in said
    assert Store(tmp_path).runs()


def test_a_full_disk_stops_the_sweep_and_keeps_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, sync, calls = Store(tmp_path), os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 4:  # two runs: a file and its folder each
            raise OSError(28, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        sweep(PROTOCOL, store, train=pretend, identity=identity, progress=False)
    monkeypatch.undo()
    assert len(Store(tmp_path).runs()) == 2
    assert sweep(PROTOCOL, store, train=pretend, identity=identity, progress=False).done == 6


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line, with neither images nor training."""

    def who(*args: Any, folder: Path | None = None) -> dict[str, Any]:
        return identity(*args)

    monkeypatch.setattr(polarity.images, "train", pretend)
    monkeypatch.setattr(polarity.images, "identity", who)
    monkeypatch.setattr(polarity.images.conditions, "donor_of", lambda *_, **__: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)


@pytest.mark.usefixtures("pretended")
def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "store"
    command = ["images", "--tier", "reduced", "--trials", "1", "--sizes", "100", "250"]
    command += ["--epochs", "2", "--out", str(out)]
    assert main([*command, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "12 of 12 runs are missing" in said and "a guess" in said and "n = 250: 6 runs" in said
    assert not out.exists()
    assert main(command) == 0
    assert "12 runs in" in capsys.readouterr().out
    assert main([*command, "--dry-run"]) == 0
    again = capsys.readouterr().out.splitlines()
    assert again == [f"0 of 12 runs are missing in {out}", "  n = 100: none", "  n = 250: none"]
    # What another device took says nothing about this one.
    command[4] = "2"
    guess = f"(a guess, no such run has been measured on {device_name('auto')})"
    assert main([*command, "--dry-run"]) == 0
    assert guess in said and guess in capsys.readouterr().out
    for run in list(Store(out).runs()):
        run.info.update(device=device_name("auto"), seconds=1e6)
        Store(tmp_path / "own").add(run)
        run.info["seconds"] = 1e-3  # another machine of that name, with other instructions
        Store(tmp_path / "named alike").add(run)
    for name, basis in [("own", "(measured)"), ("named alike", "(a guess, ")]:
        assert main([*command[:-1], str(tmp_path / name), "--dry-run"]) == 0
        assert basis in capsys.readouterr().out
    # Evaluated more often, or in another precision, a run takes another time.
    half = [*command[:-1], str(tmp_path / "own"), "--precision", "bf16", "--dry-run"]
    assert main(half) == 0 and "(a guess, " in capsys.readouterr().out
    often = [*command[:-1], str(tmp_path / "own"), "--evaluate-every", "1", "--dry-run"]
    assert main(often) == 0 and "(a guess, " in capsys.readouterr().out
    budget = [*command[:-1], str(tmp_path / "own"), "--budget", "9m"]
    assert main(budget) == 0 and "0 runs in 0 s, 12 left" in capsys.readouterr().out
    assert main([*command[:5], "--epochs", "0"]) == 1
    assert "epochs must be at least 1, got 0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["images", "--budget", "2hours"])
    said = capsys.readouterr().err
    assert "--budget: budget must be a time as 90s, 9m or 1.5h, more than 0; got '2hours'" in said
    assert main([*command[:5], "--jobs", "0"]) == 1
    assert "jobs must be at least 1, got 0" in capsys.readouterr().err


@pytest.mark.usefixtures("pretended")
def test_conditions_without_their_donor_are_left_out_unless_they_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def of(_: ImagesProtocol, condition: str, **where: Any) -> None:
        assert where == {"folder": tmp_path}
        if condition.endswith("weight"):
            raise DataNotFound("the weights", [tmp_path], "by training")

    monkeypatch.setattr(polarity.images.conditions, "donor_of", of)
    command = ["images", "--tier", "reduced", "--trials", "1", "--sizes", "100", "--epochs", "2"]
    command += ["--data", str(tmp_path), "--out", str(tmp_path), "--dry-run"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert said.startswith("Left out frozen_in_weight, fluid_in_weight: the weights was not found")
    assert "4 of 4 runs are missing" in said
    assert main([*command, "--conditions", "frozen_in_weight", "fluid_in_polarity"]) == 0
    assert "2 of 2 runs are missing" in capsys.readouterr().out  # training them will say why not
    with pytest.raises(DataNotFound):
        possible(ImagesProtocol(conditions=("frozen_in_weight",)), folder=tmp_path)


def test_a_variant_of_a_donor_has_no_weights_even_where_the_donor_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    signs_alone = SimpleNamespace(name="mine:shuffled", architecture="alexnet", weights=None)
    monkeypatch.setattr(polarity.images.conditions, "find_donor", lambda *_, **__: signs_alone)
    kept = possible(ImagesProtocol()).conditions
    assert len(kept) == 4 and not any(name.endswith("weight") for name in kept)
    said = capsys.readouterr().out
    assert said == (
        "Left out frozen_in_weight, fluid_in_weight: condition fluid_in_weight needs the weights "
        "of donor mine:shuffled, which hands on signs alone\n"
    )
    with pytest.raises(ValueError, match="donor mine:shuffled is an alexnet; the protocol's"):
        possible(ImagesProtocol(architecture="alexnet_64"))


def test_the_help_names_every_condition(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["images", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(condition in said for condition in IMAGE_CONDITIONS)
    assert "donor tiny_imagenet_64, 10 trials, 2000 test images after every 2 epochs" in said


@pytest.mark.usefixtures("pretended")
def test_runs_beside_others_are_compared_with_their_like(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    command = ["images", "--tier", "reduced", "--trials", "1", "--sizes", "100", "--device", "cpu"]
    command += ["--epochs", "2", "--out", str(tmp_path), "--dry-run"]
    run = pretend(ImagesProtocol.reduced(epochs=2), 100, 7, "fluid_rand_polarity")
    run.info.update(device=device_name("cpu", 3), seconds=1e6)
    assert run.info["device"].endswith(", 2 threads")
    Store(tmp_path).add(run)
    for jobs, basis in [("3", "(measured)"), ("1", "(a guess, ")]:
        assert main([*command, "--jobs", jobs]) == 0
        assert basis in capsys.readouterr().out


@pytest.mark.usefixtures("pretended")
@pytest.mark.usefixtures("pretended")
def test_several_runs_at_a_time_take_less(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polarity.sweep, "matrix_rate", lambda *_: 1e9)
    hours = []
    for jobs in ("1", "4"):
        assert main(["images", "--out", str(tmp_path), "--jobs", jobs, "--dry-run"]) == 0
        said = capsys.readouterr().out
        hours.append(float(said.partition(" h (a guess")[0].rpartition(" ")[2]))
    assert hours[1] == pytest.approx(hours[0] / 4, rel=1e-3)


@pytest.mark.parametrize(("bf16", "said"), [(4e8, "bf16 is 250 times slower"), (2e11, "")])
def test_a_slow_precision_is_named(
    bf16: float,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates = {"float32": 1e11, "bf16": bf16}
    monkeypatch.setattr(polarity.sweep, "matrix_rate", lambda _, precision: rates[precision])
    for precision, expected in [("bf16", said), ("float32", "")]:
        command = ["images", "--tier", "reduced", "--precision", precision, "--out", str(tmp_path)]
        assert main([*command, "--dry-run"]) == 0
        out = capsys.readouterr().out
        assert expected in out and ("slower" in out) == bool(expected)


@pytest.mark.usefixtures("pretended")
def test_a_network_is_one_that_its_donor_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["images", "--tier", "reduced", "--trials", "1", "--sizes", "100", "--epochs", "2"]
    command += ["--conditions", "frozen_in_polarity", "--out", str(tmp_path)]
    donor = ["--donor", "tiny_imagenet_227"]
    assert main([*command, *donor]) == 0
    assert main([*command, "--architecture", "alexnet_torchvision"]) == 0  # of no donor's
    chosen = {str(run.identity["architecture"]) for run in Store(tmp_path).runs()}
    assert chosen == {"alexnet", "alexnet_torchvision"}
    assert main([*command, *donor, "--architecture", "alexnet_64"]) == 1
    said = capsys.readouterr().err
    assert "architecture must be alexnet, the donor's; got alexnet_64" in said


def test_a_store_is_packed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", "--out", str(tmp_path / "typo")]) == 1
    assert capsys.readouterr().err == f"there is no folder {tmp_path / 'typo'}\n"
    store = Store(tmp_path)
    for trial in range(3):
        store.add(pretend(PROTOCOL, 100, trial, "fluid_rand_polarity"))
    assert main(["pack", "--out", str(tmp_path)]) == 0
    (packed,) = tmp_path.glob("*.parquet")
    assert capsys.readouterr().out == f"3 runs in {packed}\n"
    assert main(["pack", "--out", str(tmp_path)]) == 0  # nothing left to merge


@pytest.mark.usefixtures("pretended")
def test_a_conflict_is_settled_by_packing_and_stops_no_sweep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["images", "--tier", "reduced", "--trials", "1", "--sizes", "100"]
    command += ["--conditions", "fluid_rand_polarity", "--epochs", "2", "--out", str(tmp_path)]
    assert main(command) == 0
    (one,) = Store(tmp_path).runs()
    other = Store(tmp_path / "other").add(replace(one, val_loss=[9.0]))
    other = other.rename(tmp_path / other.name)
    assert main(["pack", "--out", str(tmp_path)]) == 1
    assert "different results" in capsys.readouterr().err
    assert main([*command, "--dry-run"]) == 0
    said = capsys.readouterr()
    assert "0 of 1 runs are missing" in said.out and "costs are guessed" in said.err
    assert main(["pack", "--out", str(tmp_path), "--keep", str(other)]) == 0
    (kept,) = Store(tmp_path).runs()
    assert kept.val_loss == [9.0]
