"""Transfer on XOR-5D: what is shared, what is inherited, and that nothing else differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from polarity.ensemble import Templates, Weights, initial_weights, templates, train_networks
from polarity.ensemble import transfer as module
from polarity.ensemble.cell import Cell, Training
from polarity.ensemble.inheritance import (
    DONOR_FREE,
    INFORMATIVE,
    STARTS,
    TRANSFER_CONDITIONS,
    recipient,
    split_condition,
)
from polarity.ensemble.transfer import (
    TASKS,
    Donors,
    DonorTask,
    TransferProtocol,
    donor_data,
    recipient_data,
    train_donors,
    train_recipients,
    world_seed,
)

EVERY_CONDITION = tuple(f"{freedom}_{start}" for freedom in ("frozen", "fluid") for start in STARTS)
QUICK = TransferProtocol(
    width=6,
    donor_samples=44,  # not a multiple of 8
    sizes=(8, 20),
    conditions=EVERY_CONDITION,
    trials=3,
    training=Training(epochs=8),
    n_val=80,
    seed=5,
)
QUIET: dict[str, Any] = {"backend": "compiled", "progress": False}


@pytest.fixture(scope="module")
def donors() -> dict[str, Donors]:
    return train_donors(QUICK, **QUIET)


@pytest.fixture(scope="module")
def curves(donors: dict[str, Donors]) -> xr.Dataset:
    return train_recipients(donors, QUICK, **QUIET)


def of_trial(weights: Weights, trial: int) -> Weights:
    return Weights(*(part[trial : trial + 1] for part in weights))


# --- data: every trial is a world of its own --------------------------------------------------


def test_seeds_of_all_roles_and_trials_differ() -> None:
    seeds = {
        world_seed(seed, role, trial)
        for seed in range(3)
        for role in ("recipient", "donor", "labels")
        for trial in range(20)
    }
    assert len(seeds) == 3 * 3 * 20


@pytest.mark.parametrize("task", TASKS)
def test_a_donors_labels_are_the_parity_of_its_coordinates(task: str) -> None:
    informative, shuffled = TASKS[task]
    x, y, x_val, y_val = donor_data(task, QUICK, 1)
    assert len(x) == len(y) == 44 - 44 % 2 ** len(informative)
    assert len(x_val) == len(y_val) == QUICK.n_val
    parity = x[:, informative].prod(axis=1) > 0
    assert ((parity == y).all()) == (not shuffled)
    assert parity.sum() == y.sum() == len(y) / 2  # shuffling deals the same labels out anew
    np.testing.assert_array_equal(x_val[:, informative].prod(axis=1) > 0, y_val)


def test_tasks() -> None:
    assert TASKS["same_pair"].informative == INFORMATIVE
    assert not set(TASKS["other_pair"].informative) & set(INFORMATIVE)
    assert set(TASKS["three_way_parity"].informative) > set(INFORMATIVE)
    assert TASKS["shuffled_labels"] == DonorTask(INFORMATIVE, shuffled=True)


def test_shuffled_labels_are_those_of_the_same_samples() -> None:
    same, shuffled = (donor_data(task, QUICK, 0) for task in ("same_pair", "shuffled_labels"))
    for i in (0, 2, 3):
        np.testing.assert_array_equal(same[i], shuffled[i])
    assert (same[1] != shuffled[1]).any()
    for protocol, trial in ((QUICK, 1), (replace(QUICK, seed=6), 0)):
        other = donor_data("shuffled_labels", protocol, trial)
        assert (shuffled[1] != other[1]).any()


def test_recipients_see_other_samples_than_their_donors_and_other_trials() -> None:
    def rows(data: tuple[NDArray[np.float32], ...]) -> set[tuple[float, ...]]:
        return {tuple(row) for x in (data[0], data[2]) for row in x.tolist()}

    worlds = [rows(recipient_data(20, QUICK, trial)) for trial in range(3)]
    worlds += [rows(donor_data("same_pair", QUICK, trial)) for trial in range(3)]
    assert len(set().union(*worlds)) == sum(map(len, worlds)) == 3 * (20 + 80) + 3 * (44 + 80)


def test_larger_training_sets_hold_the_smaller_ones() -> None:
    small, large = recipient_data(8, QUICK, 2), recipient_data(20, QUICK, 2)
    np.testing.assert_array_equal(small[0], large[0][:8])
    np.testing.assert_array_equal(small[1], large[1][:8])
    np.testing.assert_array_equal(small[2], large[2])


# --- what is inherited ------------------------------------------------------------------------

FRESH = initial_weights(7, 8, 4, seed=1)
DONOR = Weights(*(3 * part for part in initial_weights(7, 8, 4, seed=2)))


def signs(weights: Weights) -> list[NDArray[np.float32]]:
    return [np.sign(weights.w1), np.sign(weights.w2)]


def sizes(weights: Weights) -> list[NDArray[np.float32]]:
    return [np.abs(weights.w1), np.abs(weights.w2)]


def biases(weights: Weights) -> list[NDArray[np.float32]]:
    return [weights.b1, weights.b2]


def same(a: list[NDArray[np.float32]], b: list[NDArray[np.float32]]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def ranks(part: NDArray[np.float32]) -> NDArray[np.intp]:
    """Rank of every weight's size in its layer, network by network."""
    return np.abs(part).reshape(len(part), -1).argsort(axis=1).argsort(axis=1)


#: start -> whose signs, sizes and biases; "order": fresh sizes in the donor's order
INHERITED = {
    "random": ("fresh", "fresh", "fresh"),
    "donor_polarity": ("donor", "fresh", "fresh"),
    "donor_weight": ("donor", "donor", "donor"),
    "donor_magnitude": ("fresh", "donor", "donor"),
    "donor_order": ("fresh", "order", "fresh"),
    "donor_polarity_order": ("donor", "order", "fresh"),
    "sufficient": (None, "fresh", "fresh"),
    "donor_hidden_polarity": (None, "fresh", "fresh"),
    "donor_output_polarity": (None, "fresh", "fresh"),
    "donor_informative_polarity": (None, "fresh", "fresh"),
}


@pytest.mark.parametrize("start", STARTS)
def test_every_part_of_a_start_comes_from_where_its_name_says(start: str) -> None:
    networks = {"fresh": FRESH, "donor": DONOR}
    whose_signs, whose_sizes, whose_biases = INHERITED[start]
    weights, _ = recipient(f"fluid_{start}", FRESH, DONOR)
    assert same(biases(weights), biases(networks[whose_biases]))
    if whose_signs:
        assert same(signs(weights), signs(networks[whose_signs]))
    if whose_sizes != "order":
        assert same(sizes(weights), sizes(networks[whose_sizes]))
        return
    for part, fresh, donor in (
        (weights.w1, FRESH.w1, DONOR.w1),
        (weights.w2, FRESH.w2, DONOR.w2),
    ):
        np.testing.assert_array_equal(ranks(part), ranks(donor))
        flat = (np.sort(np.abs(p).reshape(len(p), -1), axis=1) for p in (part, fresh))
        np.testing.assert_array_equal(*flat)


def test_sufficient_is_the_papers() -> None:
    weights, _ = recipient("frozen_sufficient", FRESH, DONOR)
    expected = templates(FRESH, "frozen_sufficient")
    assert same(signs(weights), list(expected))


def test_partial_polarities() -> None:
    hidden, _ = recipient("frozen_donor_hidden_polarity", FRESH, DONOR)
    assert same(signs(hidden), [np.sign(DONOR.w1), np.sign(FRESH.w2)])
    output, _ = recipient("frozen_donor_output_polarity", FRESH, DONOR)
    assert same(signs(output), [np.sign(FRESH.w1), np.sign(DONOR.w2)])
    some, _ = recipient("frozen_donor_informative_polarity", FRESH, DONOR)
    expected = np.sign(FRESH.w1)
    expected[:, :2] = np.sign(DONOR.w1[:, :2])
    assert same(signs(some), [expected, np.sign(DONOR.w2)])


@pytest.mark.parametrize("start", STARTS)
def test_frozen_and_fluid_differ_in_their_freedom_alone(start: str) -> None:
    frozen, kept = recipient(f"frozen_{start}", FRESH, DONOR)
    fluid, free = recipient(f"fluid_{start}", FRESH, DONOR)
    for a, b in zip(frozen, fluid, strict=True):
        np.testing.assert_array_equal(a, b)
    assert same(signs(frozen), list(kept)) and all((part != 0).all() for part in kept)
    assert all(part.dtype == np.int8 and not part.any() for part in free)


@pytest.mark.parametrize("start", STARTS)
def test_making_a_start_changes_neither_of_its_parents(start: str) -> None:
    before = [part.copy() for part in (*FRESH, *DONOR)]
    recipient(f"frozen_{start}", FRESH, DONOR)
    assert same(before, [*FRESH, *DONOR])


def test_conditions_are_named_by_freedom_and_start() -> None:
    assert split_condition("frozen_donor_weight") == (True, "donor_weight")
    assert split_condition("fluid_random") == (False, "random")
    assert set(TRANSFER_CONDITIONS) <= set(EVERY_CONDITION)
    for unknown in ("frozen", "donor_weight", "frozen_donor", "liquid_random", "", 3):
        with pytest.raises(ValueError, match="condition must be frozen_ or fluid_ with one of ran"):
            split_condition(unknown)  # type: ignore[arg-type]


def test_parents_of_different_shape() -> None:
    with pytest.raises(ValueError, match="fresh and donor must have the same shapes"):
        recipient("frozen_donor_weight", FRESH, initial_weights(6, 8, 4))
    with pytest.raises(ValueError, match="fresh and donor must have the same shapes"):
        recipient("frozen_random", FRESH, of_trial(DONOR, 0))


# --- training: an oracle for every network ----------------------------------------------------


def test_every_donor_is_the_network_trained_by_itself(donors: dict[str, Donors]) -> None:
    assert list(donors) == list(TASKS)
    for task, each in donors.items():
        for trial in range(QUICK.trials):
            seed = world_seed(QUICK.seed, "donor", trial)
            start = initial_weights(QUICK.width, QUICK.donor_samples, 1, seed)
            alone = train_networks(
                *donor_data(task, QUICK, trial), start, epochs=8, seed=seed, backend="compiled"
            )
            for part, whole in zip(start, each.start, strict=True):
                np.testing.assert_array_equal(part[0], whole[trial])
            for part, whole in zip(alone.weights, each.weights, strict=True):
                np.testing.assert_array_equal(part[0], whole[trial])
            xr.testing.assert_equal(
                alone.curves.isel(trial=0, drop=True), each.curves.isel(trial=trial, drop=True)
            )


@pytest.mark.parametrize("condition", EVERY_CONDITION)
def test_every_recipient_is_the_network_trained_by_itself(
    condition: str, donors: dict[str, Donors], curves: xr.Dataset
) -> None:
    """So data, batches and the draws of posRand are those of the trial, whatever the condition."""
    for task, n, trial in (("same_pair", 8, 0), ("shuffled_labels", 20, 2)):
        seed = world_seed(QUICK.seed, "recipient", trial)
        fresh = initial_weights(QUICK.width, n, 1, seed)
        start, kept = recipient(condition, fresh, of_trial(donors[task].weights, trial))
        alone = train_networks(
            *recipient_data(n, QUICK, trial), start, kept, epochs=8, seed=seed, backend="compiled"
        )
        there = curves.sel(donor=task, n_train=n, condition=condition, trial=trial, drop=True)
        xr.testing.assert_equal(alone.curves.isel(trial=0, drop=True), there)
        violated = sum(
            int((np.sign(w) * t < 0).sum())
            for w, t in zip((alone.weights.w1, alone.weights.w2), kept, strict=True)
        )
        assert violated == 0


def test_fluid_recipients_do_change_signs(donors: dict[str, Donors]) -> None:
    """The counterpart: what is frozen above would have moved."""
    start, free = recipient(
        "fluid_donor_polarity",
        initial_weights(QUICK.width, 20, 3, seed=0),
        donors["same_pair"].weights,
    )
    data = recipient_data(20, QUICK, 0)
    trained = train_networks(*data, start, free, epochs=8, backend="compiled").weights
    assert (np.sign(trained.w1) != np.sign(start.w1)).sum() > 5


def test_curves(curves: xr.Dataset) -> None:
    assert set(curves) == {"val_loss", "val_accuracy"}
    for curve in curves.values():
        assert curve.dims == ("donor", "n_train", "condition", "trial", "epoch")
        assert curve.dtype == np.float32 and np.isfinite(curve).all()
    assert curves.donor.values.tolist() == list(TASKS)
    assert curves.n_train.values.tolist() == [8, 20]
    assert curves.condition.values.tolist() == list(EVERY_CONDITION)
    assert curves.trial.values.tolist() == [0, 1, 2]
    assert curves.epoch.values.tolist() == list(range(8))


def test_conditions_without_a_donor_are_the_same_under_every_donor(curves: xr.Dataset) -> None:
    free = [c for c in EVERY_CONDITION if split_condition(c)[1] in DONOR_FREE]
    assert len(free) == 4
    for task in TASKS:
        xr.testing.assert_identical(
            curves.sel(condition=free, donor=task, drop=True),
            curves.sel(condition=free, donor="same_pair", drop=True),
        )
    # And no other condition is. (In so few epochs these donors change hardly an output sign.)
    given = [c for c in EVERY_CONDITION if c not in free and "output" not in c]
    loss = curves.val_loss.sel(condition=given)
    for task in list(TASKS)[1:]:
        differs = loss.sel(donor=task) != loss.sel(donor="same_pair")
        assert differs.any(("n_train", "trial", "epoch")).all()


def test_donors_of_a_trial_share_their_start_and_learn_different_things(
    donors: dict[str, Donors],
) -> None:
    first = donors["same_pair"]
    for task in list(TASKS)[1:]:
        assert same(list(donors[task].start), list(first.start))
        assert all((a != b).any() for a, b in zip(donors[task].weights, first.weights, strict=True))
    assert (first.start.w1[0] != first.start.w1[1]).all()


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Cell]]:
    seen: list[Cell] = []

    def train(cells: Any, *_: Any) -> Iterator[Any]:
        seen.extend(cell for _, cell in cells)
        return iter(())

    monkeypatch.setattr(module, "_train", train)
    yield seen


def test_all_recipients_of_a_trial_and_size_are_in_one_cell(
    donors: dict[str, Donors], cells: list[Cell]
) -> None:
    """One training set, one order of batches, one key: a cell has no others."""
    train_recipients(donors, QUICK)
    assert len(cells) == len(QUICK.sizes) * QUICK.trials
    for cell in cells:
        donor_free = 4
        assert cell.networks == donor_free + (len(EVERY_CONDITION) - donor_free) * len(TASKS)
        assert len(cell.order) == len(cell.keys) == 1 and not cell.trial.any()
    assert len({cell.x.tobytes() for cell in cells}) == len(cells)
    assert len({cell.keys.tobytes() for cell in cells}) == len(cells)


def test_conditions_of_polarity_share_their_magnitudes(
    donors: dict[str, Donors], cells: list[Cell]
) -> None:
    conditions = [c for c in EVERY_CONDITION if INHERITED[split_condition(c)[1]][1] == "fresh"]
    assert len(conditions) == 12
    train_recipients(donors, replace(QUICK, conditions=conditions))
    for cell in cells:
        for part in cell.weights[:3:2]:  # w1, w2
            assert (np.abs(part) == np.abs(part[:1])).all()
        for part in cell.weights[1::2]:  # biases
            assert (part == part[:1]).all()


# --- a member is the same whatever runs beside it ---------------------------------------------


@pytest.mark.parametrize(
    "part",
    [
        {"trials": 2},
        {"sizes": (20,)},
        {"conditions": ("fluid_donor_weight", "frozen_random")},
        {"conditions": EVERY_CONDITION[::-1], "sizes": (20, 8), "trials": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("n_jobs", [1, 3])
def test_members(
    part: dict[str, Any], n_jobs: int, donors: dict[str, Donors], curves: xr.Dataset
) -> None:
    protocol = replace(QUICK, **part)
    some = train_recipients(donors, protocol, n_jobs=n_jobs, **QUIET)
    where = {dim: some[dim].values for dim in ("n_train", "condition", "trial")}
    xr.testing.assert_identical(some, curves.sel(where))


def test_recipients_of_one_donor(donors: dict[str, Donors], curves: xr.Dataset) -> None:
    one = train_recipients({"other_pair": donors["other_pair"]}, QUICK, **QUIET)
    xr.testing.assert_identical(one, curves.sel(donor=["other_pair"]))


def test_donors_beside_fewer_others(donors: dict[str, Donors]) -> None:
    few = train_donors(replace(QUICK, trials=2), ["shuffled_labels", "same_pair"], **QUIET)
    assert list(few) == ["shuffled_labels", "same_pair"]
    for task, each in few.items():
        assert same(list(each.weights), [part[:2] for part in donors[task].weights])
        xr.testing.assert_identical(each.curves, donors[task].curves.isel(trial=slice(2)))


def test_another_seed_is_another_world(donors: dict[str, Donors], curves: xr.Dataset) -> None:
    other = train_recipients(donors, replace(QUICK, seed=6), **QUIET)
    assert (other.val_loss != curves.val_loss).any("epoch").all()


def test_batched(donors: dict[str, Donors], curves: xr.Dataset) -> None:
    small = replace(QUICK, conditions=TRANSFER_CONDITIONS, sizes=(20,), trials=2)
    batched = train_recipients(donors, small, backend="batched", progress=False)
    where = {dim: batched[dim].values for dim in ("n_train", "condition", "trial")}
    np.testing.assert_allclose(batched.val_loss, curves.sel(where).val_loss, rtol=1e-4, atol=1e-5)


# --- the protocol -----------------------------------------------------------------------------


def test_the_protocol_is_the_papers_where_the_paper_has_one() -> None:
    protocol = TransferProtocol()
    assert protocol.sizes == (8, 20, 32, 40, 52, 60, 72, 80, 92, 100)
    assert (protocol.trials, protocol.width, protocol.donor_samples) == (50, 64, 500)
    assert protocol.training == Training() and protocol.conditions == TRANSFER_CONDITIONS
    assert protocol.describe()["threshold"] == 0.90


def test_lists_are_taken() -> None:
    protocol = TransferProtocol(sizes=[8, 20], conditions=["fluid_random"])  # type: ignore[arg-type]
    assert protocol.sizes == (8, 20) and protocol.conditions == ("fluid_random",)
    assert hash(protocol) == hash(replace(protocol))


def test_smoke_is_the_same_experiment_smaller() -> None:
    smoke = TransferProtocol(width=10, seed=3).smoke()
    assert smoke.sizes == (60, 100) and smoke.trials == 4 and smoke.training.epochs == 12
    assert (smoke.width, smoke.seed, smoke.conditions) == (10, 3, TRANSFER_CONDITIONS)
    assert QUICK.smoke().trials == 3 and QUICK.smoke().training.epochs == 8


@pytest.mark.parametrize(
    ("field", "value", "error", "message"),
    [
        ("sizes", (), ValueError, "sizes must be distinct values, at least one"),
        ("sizes", (8, 8), ValueError, "sizes must be distinct"),
        ("sizes", (10,), ValueError, "n must be a multiple of 4 in a protocol's sizes, got 10"),
        ("sizes", 8, TypeError, "sizes must be a sequence, got 8"),
        ("sizes", (8.0,), TypeError, "n must be a whole number"),
        ("conditions", "fluid_random", TypeError, "conditions must be a sequence"),
        ("conditions", ("fluid_magic",), ValueError, "got 'fluid_magic'"),
        ("width", 0, ValueError, "width must be at least 1, got 0"),
        ("trials", True, TypeError, "trials must be a whole number"),
        ("donor_samples", 7, ValueError, "donor_samples must be at least 8, got 7"),
        ("n_val", 100, ValueError, "n_val must be a multiple of 8, got 100"),
        ("training", {"epochs": 3}, TypeError, "training must be a Training"),
        ("threshold", 90.0, ValueError, "threshold must lie strictly between 0 and 1"),
        ("seed", -1, ValueError, "seed must be at least 0"),
    ],
)
def test_bad_protocols(field: str, value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        replace(QUICK, **{field: value})


def test_bad_calls(donors: dict[str, Donors]) -> None:
    with pytest.raises(ValueError, match=r"task must be one of same_pair, .*; got 'xor'"):
        train_donors(QUICK, ["xor"])
    with pytest.raises(ValueError, match=r"task must be one of same_pair, .*; got 'xor'"):
        donor_data("xor", QUICK, 0)
    for tasks in ([], ["same_pair", "same_pair"]):
        with pytest.raises(ValueError, match="tasks must be distinct, at least one"):
            train_donors(QUICK, tasks)
    with pytest.raises(ValueError, match="role must be one of recipient, donor, labels"):
        world_seed(0, "pupil", 0)
    with pytest.raises(ValueError, match="donors must hold at least one task"):
        train_recipients({}, QUICK)
    with pytest.raises(ValueError, match=r"same_pair must be at least 4, of width 6; got 3 of"):
        train_recipients(donors, replace(QUICK, trials=4))
    with pytest.raises(ValueError, match=r"of width 7; got 3 of width 6"):
        train_recipients(donors, replace(QUICK, width=7))
    with pytest.raises(ValueError, match="backend must be one of"):
        train_recipients(donors, QUICK, backend="quick")
    broken = donors["other_pair"]._replace(
        weights=broken_weights(donors["other_pair"].weights, np.nan)
    )
    with pytest.raises(ValueError, match="donors of other_pair must have finite weights"):
        train_recipients({**donors, "other_pair": broken}, QUICK)


def broken_weights(weights: Weights, value: float) -> Weights:
    w2 = weights.w2.copy()
    w2[1, 2] = value
    return weights._replace(w2=w2)


# --- it is an experiment worth making ---------------------------------------------------------


def test_donors_learn_what_can_be_learned() -> None:
    protocol = TransferProtocol(
        width=32, donor_samples=240, trials=4, training=Training(epochs=60), n_val=400
    )
    donors = train_donors(protocol, ["other_pair", "shuffled_labels"], **QUIET)
    best = {task: each.curves.val_accuracy.max("epoch").values for task, each in donors.items()}
    assert (best["other_pair"] > 0.9).all()
    assert (best["shuffled_labels"] < 0.7).all()


def test_the_donors_weights_solve_the_recipients_task() -> None:
    protocol = TransferProtocol(
        width=32,
        donor_samples=240,
        sizes=(20,),
        conditions=("frozen_donor_weight", "frozen_random"),
        trials=4,
        training=Training(epochs=60),
        n_val=400,
    )
    curves = train_recipients(train_donors(protocol, ["same_pair"], **QUIET), protocol, **QUIET)
    best = curves.val_accuracy.max("epoch").median("trial").isel(donor=0, n_train=0)
    assert best.sel(condition="frozen_donor_weight") > 0.9
    assert best.sel(condition="frozen_random") < 0.85


def test_templates_are_a_pair_of_signs() -> None:
    _, kept = recipient("frozen_donor_polarity", FRESH, DONOR)
    assert isinstance(kept, Templates)
