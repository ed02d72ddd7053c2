"""What identifies a run: its settings, the images and the donor, by what is in them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from made_up import PROTOCOL, donor, images

from polarity.donors import Donor
from polarity.images import conditions, identity, training
from polarity.results import Run


def key(condition: str, seed: int | None) -> str:
    given: Donor | None = None if seed is None else donor(seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "dataset", lambda _, split, folder=None: images(40, split))
        patch.setattr(training, "donor_of", lambda *_, **__: given)
        return Run.key_of(identity(PROTOCOL, 24, 0, condition))


@pytest.mark.parametrize("condition", ["frozen_in_polarity", "frozen_in_weight"])
def test_a_donor_is_known_by_what_is_in_it(condition: str) -> None:
    # Made anew each time: an object's place in memory may be that of one that is gone.
    keys = {seed: {key(condition, seed) for _ in range(2)} for seed in (7, 8)}
    assert all(len(found) == 1 for found in keys.values()) and keys[7] != keys[8]


def test_signs_and_weights_of_a_donor_differ() -> None:
    whole, signs = donor(), donor(weights=False)
    assert signs.digest == whole.template.digest() != whole.digest
    again = replace(whole, weights={name: w.clone() for name, w in (whole.weights or {}).items()})
    assert again.digest == whole.digest
    other = {name: weight + torch.finfo().eps for name, weight in (whole.weights or {}).items()}
    assert replace(whole, weights=other).digest != whole.digest


def test_donors_of_the_same_signs_are_told_apart_by_their_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training, "dataset", lambda _, split, folder=None: images(40, split))
    one = donor()
    twice = replace(one, weights={name: 2 * w for name, w in (one.weights or {}).items()})
    assert one.template == twice.template
    digests = set()
    for given in (one, twice):
        monkeypatch.setattr(training, "donor_of", lambda *_, given=given, **__: given)
        digests.add(identity(PROTOCOL, 24, 0, "frozen_in_weight")["donor_digest"])
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("copies", "data"),
    [((), "original"), (("test",), "jpeg copy"), (("train", "test"), "jpeg copy")],
)
def test_a_copy_of_either_split_is_named(
    copies: tuple[str, ...], data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        training,
        "dataset",
        lambda _, split, folder=None: replace(
            images(40, split), original=split not in copies, source="a folder called JPEG copy"
        ),
    )
    assert identity(PROTOCOL, 24, 0, "fluid_rand_polarity")["data"] == data


def test_what_no_run_could_be_is_known_before_any_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training, "dataset", lambda _, split, folder=None: images(40, split))
    monkeypatch.setattr(conditions, "find_donor", lambda *_, **__: donor())
    with pytest.raises(ValueError, match="n must be at most 40, all of made_up's train images"):
        identity(PROTOCOL, 41, 0, "fluid_rand_polarity")
    with pytest.raises(ValueError, match="n_val must be at most 40, all of made_up's test images"):
        identity(replace(PROTOCOL, n_val=41), 24, 0, "fluid_rand_polarity")
    other = replace(PROTOCOL, architecture="alexnet")
    assert identity(other, 24, 0, "fluid_rand_polarity")["donor"] == "none"
    with pytest.raises(ValueError, match="donor made_up is an alexnet_64; the protocol's"):
        identity(other, 24, 0, "frozen_in_polarity")
