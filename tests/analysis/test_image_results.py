"""Which runs a page shows: grouped by what they share, the paper's tier first."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from polarity.analysis.image_metrics import ran, trial_counts
from polarity.analysis.image_results import (
    curves_of,
    dead_units,
    effects,
    estimated,
    experiments,
    nothing,
    precisions,
    rates,
    shown,
    stored_runs,
)
from polarity.protocols import IMAGE_CONDITIONS, IMAGE_SIZES, ImagesProtocol
from polarity.results import Run, Store
from polarity.sweep import main


def run(protocol, n, trial, condition, data="original"):
    rand = "rand" in condition
    cell = protocol.cell(n, trial, condition) | {"data": data}
    cell |= {"donor": "none", "donor_digest": ""} if rand else {"donor_digest": "abc"}
    epochs = protocol.evaluated()
    return Run(
        identity=cell,
        epoch=epochs,
        val_loss=[1.0] * len(epochs),
        val_accuracy=[0.5] * len(epochs),
        train_loss=[1.0] * protocol.epochs,
        layers=["conv1", "last"],
        flipped=[[0.0, 0.0]] * (protocol.epochs - 1),
        dead={"start": [0.0], "end": [0.1]},
    )


REDUCED = ImagesProtocol.reduced(epochs=4)
PAPER = ImagesProtocol(epochs=4)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


def test_no_runs(store):
    assert experiments(store, "cifar10") == []
    experiment, curves = shown(store, "cifar10")
    assert experiment is None and not ran(curves).any()
    assert curves.n_train.values.tolist() == list(IMAGE_SIZES["cifar10"])
    assert curves.condition.values.tolist() == list(IMAGE_CONDITIONS)
    assert dict(nothing("fashion_mnist").sizes)["epoch"] == 100


def test_runs_are_grouped_by_what_they_share(store):
    store.add(
        run(REDUCED, 100, 0, "frozen_in_polarity"),
        run(REDUCED, 100, 1, "frozen_in_polarity"),
        run(REDUCED, 250, 0, "fluid_rand_polarity"),
    )
    store.add(run(ImagesProtocol.reduced(epochs=4, lr=0.01), 100, 0, "frozen_in_polarity"))
    first, second = experiments(store, "fashion_mnist")
    assert (first.runs, second.runs) == (3, 1)
    assert first.tier == "reduced" and first.donor == "tiny_imagenet_64"
    assert first.setting == "reduced tier: AlexNet at 64 px, donor tiny_imagenet_64, 4 epochs"
    assert second.setting == f"{first.setting}, learning rate 0.01"
    curves = curves_of(store, first)
    assert curves.condition.values.tolist() == list(IMAGE_CONDITIONS)
    assert trial_counts(curves).sum() == 3
    assert first.extent(curves) == (
        "the reduced tier (AlexNet at 64 px, donor tiny_imagenet_64, 4 epochs), n = 100 and "
        "250, 1 to 2 trials; not the paper's experiment"
    )


def test_the_papers_tier_comes_first_and_smoke_never(store):
    store.add(run(PAPER.smoke(), 100, 0, "frozen_in_polarity"))
    assert shown(store, "fashion_mnist")[0] is None
    store.add(*[run(REDUCED, 100, t, "frozen_in_polarity") for t in range(3)])
    assert shown(store, "fashion_mnist")[0].tier == "reduced"
    assert shown(store, "fashion_mnist", "paper")[0] is None
    store.add(run(PAPER, 100, 0, "frozen_in_polarity"))
    assert shown(store, "fashion_mnist")[0].tier == "reduced"  # of more trials
    assert shown(store, "fashion_mnist", "paper")[0].tier == "paper"
    store.add(*[run(PAPER, 100, t, "frozen_in_polarity") for t in range(1, 6)])
    store.add(*[run(REDUCED, 100, t, "frozen_in_polarity") for t in range(3, 9)])
    assert shown(store, "fashion_mnist")[0].tier == "paper"
    assert shown(store, "fashion_mnist", "smoke")[0].tier == "smoke"
    with pytest.raises(ValueError, match="tier must be one of best, paper, reduced, smoke"):
        shown(store, "fashion_mnist", "live")


@pytest.mark.parametrize(
    "changes", [{}, {"n_val": 500, "evaluate_every": 1, "seed": 7, "epsilon": 0.01}]
)
def test_stored_runs_are_named_with_what_makes_the_like(changes, store, capsys):
    assert stored_runs(store, None) == ""
    protocol = replace(REDUCED, **changes)
    path = store.add(run(protocol, 100, 0, "frozen_in_polarity"))
    store.add(run(protocol, 250, 3, "fluid_rand_polarity"))
    (experiment,) = experiments(store, "fashion_mnist")
    said = stored_runs(store, experiment)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"{path.name} (SHA-256 {digest})" in said and said.count("SHA-256") == 2
    command = said.partition("python -m polarity.sweep ")[2]
    assert command.endswith("100 250 --conditions frozen_in_polarity fluid_rand_polarity")
    assert main([*command.split(), "--out", str(store.folder), "--dry-run"]) == 0
    # Had it other settings, it would find none of these runs. (Donors here have a made-up digest.)
    assert "15 of 16 runs are missing" in capsys.readouterr().out


def test_donors_of_ones_own_are_named_by_their_file(store):
    for name, file in (("mine", "mine.safetensors"), ("mine:fc", "mine.safetensors:fc")):
        store.add(run(replace(REDUCED, donor=name), 100, 0, "frozen_in_polarity"))
        (experiment,) = [e for e in experiments(store, "fashion_mnist") if e.donor == name]
        assert f" --donor {file} " in stored_runs(store, experiment)


@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ({"tier": "reduced"}, "original"),
        ({"donor": "tiny_imagenet_227"}, "original"),
        ({"precision": "bf16"}, "original"),
        ({"lr": 0.01}, "original"),
        ({}, "jpeg copy"),
    ],
)
def test_whatever_differs_from_the_papers_experiment_is_a_substitute(changes, data, store):
    papers = ImagesProtocol(donor="imagenet_caffe")
    store.add(run(papers, 100, 0, "frozen_in_polarity"))
    (experiment,) = experiments(store, "fashion_mnist")
    said = experiment.extent(curves_of(store, experiment))
    assert not experiment.substitute and "not the paper's" not in said
    store.add(run(replace(papers, **changes), 100, 0, "frozen_in_polarity", data))
    (other,) = [e for e in experiments(store, "fashion_mnist") if e.settings != experiment.settings]
    said = other.extent(curves_of(store, other))
    assert other.substitute and said.endswith("; not the paper's experiment")


def test_runs_without_a_donor_serve_beside_each(store):
    other = ImagesProtocol.reduced(epochs=4, donor="another")
    store.add(
        run(REDUCED, 100, 0, "frozen_in_polarity"),
        run(other, 100, 0, "frozen_in_polarity"),
        run(REDUCED, 100, 0, "fluid_rand_polarity"),
    )
    found = experiments(store, "fashion_mnist")
    assert {e.donor for e in found} == {"another", "tiny_imagenet_64"}
    for experiment in found:
        counts = trial_counts(curves_of(store, experiment)).sel(n_train=100)
        assert np.array_equal(counts, [1, 0, 0, 1, 0, 0])


def test_jpeg_copies_and_precision_are_named(store):
    cifar = ImagesProtocol.reduced("cifar10", epochs=4, precision="bf16")
    store.add(run(cifar, 100, 0, "frozen_in_polarity", data="jpeg copy"))
    (experiment,) = experiments(store, "cifar10")
    assert experiment.setting.endswith(", bf16, images from JPEG copies, 4 epochs")


@pytest.mark.parametrize("protocol", [ImagesProtocol(), ImagesProtocol.reduced()])
def test_only_what_is_not_the_tiers_own_is_named(protocol, store):
    changes = {
        "epochs": 7, "batch_size": 25, "lr": 0.01, "reset": "zero", "epsilon": 0.1, "n_val": 50,
        "evaluate_every": 3, "seed": 5,
    }  # fmt: skip
    usual = run(protocol, 100, 0, "frozen_in_polarity")
    store.add(usual)
    (experiment,) = experiments(store, "fashion_mnist")
    assert experiment.unusual == {}
    for name, value in changes.items():
        store.add(run(replace(protocol, **{name: value}), 100, 0, "frozen_in_polarity"))
    named = {}
    for each in experiments(store, "fashion_mnist"):
        named |= each.unusual
        assert len(each.unusual) <= 1
    assert named.keys() == changes.keys()
    assert all(str(changes[name]) in words for name, words in named.items())


def test_a_claim_names_the_sizes_and_trials_of_both_its_conditions(store):
    for n, trials, condition in (
        (100, 3, "frozen_in_polarity"),
        (100, 2, "fluid_rand_polarity"),
        (250, 2, "frozen_in_polarity"),
        (250, 1, "fluid_in_polarity"),
    ):
        for trial in range(trials):
            store.add(run(REDUCED, n, trial, condition))
    experiment, curves = shown(store, "fashion_mnist")
    assert "n = 100 and 250, 1 to 3 trials" in experiment.extent(curves)
    for claim, pairs, words in (
        ("less_data", 2, "n = 100, 2 trials"),
        ("freezing", 1, "n = 250, 1 trial;"),
        ("fine_tuning_data", 0, "no networks;"),
    ):
        made = estimated(experiment, curves, claim)
        assert made.n == pairs and words in made.setting, made.setting


def test_pairs_count_not_networks_and_a_tiers_own_settings_come_first(store):
    protocol = ImagesProtocol.reduced()
    for trial in range(6):
        store.add(run(ImagesProtocol(), 100, trial, "fluid_rand_polarity"))
    for trial in range(2):
        store.add(run(protocol, 100, trial, "fluid_rand_polarity"))
        store.add(run(protocol, 100, trial, "frozen_in_polarity"))
    assert shown(store, "fashion_mnist")[0].tier == "reduced"
    few = replace(protocol, batch_size=25)
    for trial in range(6):
        store.add(run(few, 100, trial, "fluid_rand_polarity"))
        store.add(run(few, 100, trial, "frozen_in_polarity"))
    experiment, curves = shown(store, "fashion_mnist")
    assert not experiment.unusual and ran(curves).sum() == 4
    control = replace(protocol, donor="tiny_imagenet_64:shuffled")
    for trial in range(6):
        store.add(run(control, 100, trial, "fluid_rand_polarity", data="jpeg copy"))
        store.add(run(control, 100, trial, "frozen_in_polarity", data="jpeg copy"))
    experiment, curves = shown(store, "fashion_mnist")
    assert experiment.donor == protocol.donor and ran(curves).sum() == 4
    papers = ImagesProtocol(donor="imagenet_caffe")
    for trial in range(6):
        for condition in ("fluid_rand_polarity", "frozen_in_polarity"):
            store.add(run(papers, 100, trial, condition))
    store.add(run(ImagesProtocol(), 100, 0, "frozen_in_polarity"))
    for tier in ("best", "paper"):
        experiment, _ = shown(store, "fashion_mnist", tier)
        assert experiment.donor == "imagenet_caffe" and not experiment.substitute


def test_effects_are_those_of_pairs(store):
    def better(protocol, trial, accuracy, **changes):
        one = run(protocol, 100, trial, "frozen_in_polarity")
        values = [accuracy] * len(one.epoch)
        return replace(one, val_accuracy=values, **changes)

    for trial in range(3):
        store.add(run(REDUCED, 100, trial, "fluid_rand_polarity"))  # 50 % throughout
        store.add(better(REDUCED, trial, 0.6, info={"donor accuracy": "0.25"}))
    weak = ImagesProtocol.reduced(epochs=4, donor="weak")
    store.add(better(weak, 1, 0.4))
    few = ImagesProtocol.reduced(epochs=4, batch_size=30)
    store.add(run(few, 100, 0, "fluid_rand_polarity"))  # no pair
    found = effects(store, "fashion_mnist").set_index("donor")
    assert list(found.index) == ["tiny_imagenet_64", "weak"]
    strong = found.loc["tiny_imagenet_64"]
    assert strong.error.value == pytest.approx(-0.1) and strong.pairs == strong.error.n == 3
    assert strong.time.value < 1 < found.loc["weak"].time.value
    assert found.loc["weak"].error.value == pytest.approx(0.1) and found.loc["weak"].pairs == 1
    assert strong.accuracy == 0.25 and np.isnan(found.loc["weak"].accuracy)
    assert (strong.image_size, strong.batch_size, strong.steps) == (64, 1000, 4)
    store.add(better(few, 0, 0.6))
    steps = effects(store, "fashion_mnist").set_index("batch_size").steps
    assert steps[30] == 16  # four epochs of four batches


def test_units_die_by_donor_and_condition(store):
    shuffled = ImagesProtocol.reduced(epochs=4, donor="tiny_imagenet_64:shuffled")
    for trial, end in enumerate((0.1, 0.2, 0.6)):
        one = run(REDUCED, 100, trial, "frozen_in_polarity")
        store.add(replace(one, dead={"start": [0.0], "end": [end]}))
        store.add(run(REDUCED, 100, trial, "fluid_rand_polarity"))
    stuck = run(shuffled, 100, 0, "frozen_in_polarity")
    store.add(replace(stuck, val_accuracy=[0.1] * len(stuck.epoch)))
    store.add(run(shuffled, 250, 0, "fluid_in_polarity"))  # another size
    found = dead_units(store, "fashion_mnist", 100).set_index(["donor", "condition"])
    assert len(found) == 3  # networks without a donor serve beside each, and are counted once
    own = found.loc["tiny_imagenet_64", "frozen_in_polarity"]
    assert own.dead.sel(moment="end").item() == pytest.approx(0.2)
    assert own.dead.sel(moment="start").item() == 0
    assert (own.networks, own.never_left, own.error) == (3, 0, 0.5)
    other = found.loc["tiny_imagenet_64:shuffled", "frozen_in_polarity"]
    assert (other.networks, other.never_left) == (1, 1) and other.error == pytest.approx(0.9)
    assert found.loc["none", "fluid_rand_polarity"].networks == 3
    fewer = replace(REDUCED, n_val=500)  # another experiment, with networks of its own
    store.add(run(fewer, 100, 0, "fluid_rand_polarity"), run(fewer, 100, 0, "frozen_in_polarity"))
    assert len(dead_units(store, "fashion_mnist", 100)) == 5
    assert not len(dead_units(store, "fashion_mnist", 777))
    assert not len(dead_units(store, "cifar10", 100))


def test_no_pairs_no_effects(store):
    store.add(run(REDUCED, 100, 0, "fluid_rand_polarity"))
    assert effects(store, "fashion_mnist").empty and effects(store, "cifar10").empty
    assert "error" in effects(store, "cifar10").columns


def test_precisions_are_compared_run_by_run(store):
    none = precisions(store, "fashion_mnist")
    assert none.empty
    # A page calculates with them, whatever the store holds.
    assert (none[["float32", "bf16", "spread"]].dtypes == "float64").all()
    wide, narrow = (ImagesProtocol.reduced(epochs=4, precision=p) for p in ("float32", "bf16"))
    for trial, accuracy in enumerate((0.6, 0.62, 0.58)):
        one = run(narrow, 100, trial, "frozen_in_polarity")
        store.add(replace(one, val_accuracy=[accuracy] * len(one.epoch)))
    assert precisions(store, "fashion_mnist").empty
    one = run(wide, 100, 1, "frozen_in_polarity")
    store.add(replace(one, val_accuracy=[0.61] * len(one.epoch)))
    store.add(run(wide, 100, 7, "frozen_in_polarity"))  # not trained in bf16
    other = ImagesProtocol.reduced(epochs=4, precision="float32", batch_size=10)
    store.add(run(other, 100, 0, "frozen_in_polarity"))
    row = precisions(store, "fashion_mnist").squeeze()
    assert (row.condition, row.n_train, row.trial) == ("frozen_in_polarity", 100, 1)
    assert row.float32 == pytest.approx(0.39) and row.bf16 == pytest.approx(0.38)
    assert row.spread == pytest.approx(0.02)


def test_a_network_without_a_donor_is_compared_once(store):
    for precision in ("float32", "bf16"):
        protocol = ImagesProtocol.reduced(precision=precision)
        store.add(run(protocol, 100, 0, "fluid_rand_polarity"))
        for name in ("one", "another"):
            store.add(run(replace(protocol, donor=name), 100, 0, "frozen_in_polarity"))
    found = precisions(store, "fashion_mnist").condition.value_counts()
    assert found.to_dict() == {"frozen_in_polarity": 2, "fluid_rand_polarity": 1}


def test_learning_rates_are_compared_network_by_network_after_the_same_epochs(store):
    def reached(*accuracy, trial=0, condition="fluid_rand_polarity", died=0.5, **changes):
        protocol = ImagesProtocol.reduced(epochs=2 * len(accuracy), **changes)
        dead = {"start": [0.0], "end": [died]}
        one = run(protocol, 100, trial, condition)
        store.add(replace(one, val_accuracy=list(accuracy), dead=dead))

    assert rates(store, "fashion_mnist", 100, epochs=4).empty
    reached(0.2, 0.4, 0.6, died=0.9)  # a longer run: what counts is its fourth epoch
    reached(0.2, 0.4)  # the same network, stopped there: what is dead then counts
    reached(0.1, 0.11, 0.7, trial=1, died=0.75)  # leaves chance after that
    reached(0.3, 0.5, lr=0.01, trial=1)
    reached(0.3, 0.7, condition="frozen_in_polarity")
    reached(0.3, lr=0.1)  # was not trained as long
    for other in ({"donor": "another"}, {"architecture": "alexnet"}, {"n_val": 500}, {"seed": 3}):
        reached(0.8, 0.9, condition="frozen_in_polarity", trial=2, **other)
    reached(0.8, 0.9, precision="bf16")
    found = rates(store, "fashion_mnist", 100, epochs=4, hidden="conv1")
    assert found.to_numpy().tolist() == [
        [0.001, "fluid_rand_polarity", 0, pytest.approx(0.4), False, pytest.approx(0.5), 4],
        [0.001, "fluid_rand_polarity", 1, pytest.approx(0.11), True, pytest.approx(0.75), 6],
        [0.001, "frozen_in_polarity", 0, pytest.approx(0.7), False, pytest.approx(0.5), 4],
        [0.01, "fluid_rand_polarity", 1, pytest.approx(0.5), False, pytest.approx(0.5), 4],
    ]
    half = rates(store, "fashion_mnist", 100, epochs=4, precision="bf16", hidden="conv1")
    assert half.accuracy.tolist() == [pytest.approx(0.9)]
    assert rates(store, "fashion_mnist", 250, epochs=4).empty
    store.add(run(ImagesProtocol.reduced(epochs=4), 100, 0, "fluid_rand_polarity", "jpeg copy"))
    again = rates(store, "fashion_mnist", 100, epochs=4, hidden="conv1")
    assert again.equals(found)  # other images are another experiment
    copies = rates(store, "fashion_mnist", 100, epochs=4, hidden="conv1", data="jpeg copy")
    assert copies.accuracy.tolist() == [pytest.approx(0.5)]
    assert list(rates(store, "cifar10", 100).columns) == list(found.columns)
