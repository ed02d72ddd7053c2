"""What a page reads: the stored runs, or its own."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import polarity.images.conditions
from polarity.analysis import image_results as image_results_module
from polarity.analysis.estimate import Estimate
from polarity.datasets import DataNotFound
from polarity.protocols import ImagesProtocol
from polarity.publishing import image_results, measure_pairs, results
from polarity.results import Run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(results, "repository_root", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The trainer is replaced by one that takes no time; what it was asked for is noted."""
    asked: list[tuple[Any, ...]] = []

    def identity(protocol: ImagesProtocol, n: int, trial: int, condition: str, **_: Any) -> Any:
        return protocol.cell(n, trial, condition)

    def train(
        protocol: ImagesProtocol, n: int, trial: int, condition: str, *, device: str, **_: Any
    ) -> Run:
        asked.append((protocol.tier, n, trial, condition, device))
        epochs = protocol.evaluated()
        ones = [1.0] * len(epochs)
        return Run(
            identity=identity(protocol, n, trial, condition), epoch=epochs, val_loss=ones,
            val_accuracy=ones, train_loss=[1.0] * protocol.epochs, layers=["conv1"],
            flipped=[[0.0]] * (protocol.epochs - 1), dead={},
        )  # fmt: skip

    monkeypatch.setattr(polarity.images.conditions, "donor_of", lambda *_, **__: None)
    monkeypatch.setattr(polarity.images, "train", train)
    monkeypatch.setattr(polarity.images, "identity", identity)
    return asked


def test_stored_runs_are_read_and_nothing_is_trained(root: Path, trained: list[Any]) -> None:
    store, tier = image_results("cifar10", "paper")
    assert store.folder == root / "book" / "results" and tier == "paper" and trained == []


def test_recomputed_runs_stand_apart(
    root: Path, trained: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, tier = image_results(
        "cifar10", "reduced", recompute=True, device="cpu", sizes=[100], trials=2, epochs=3
    )
    assert store.folder != root / "book" / "results" and tier == "reduced"
    assert len(trained) == 12 and {t[:2] for t in trained} == {("reduced", 100)}
    assert {t[4] for t in trained} == {"cpu"} and len(store.runs(epochs=3)) == 12
    image_results("cifar10", "reduced", recompute=True, sizes=[100], trials=2, epochs=3)
    assert len(trained) == 12  # what was trained there is not trained again
    # Fewer networks asked for, or other code: then no run of before is shown.
    again = dict(recompute=True, sizes=[100], epochs=3)
    fewer, _ = image_results("cifar10", "reduced", trials=1, **again)
    assert len(trained) == 18 and len(fewer.runs()) == 6
    monkeypatch.setattr(results, "code_digest", lambda: "changed")
    image_results("cifar10", "reduced", trials=1, **again)
    assert len(trained) == 24


def test_conditions_without_their_donor_are_left_out_and_named(
    root: Path,
    trained: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def of(_: ImagesProtocol, condition: str) -> None:
        if condition.endswith("weight"):
            raise DataNotFound("the weights", [root], "by training")

    monkeypatch.setattr(polarity.images.conditions, "donor_of", of)
    image_results("cifar10", "reduced", recompute=True, sizes=[100], trials=2, epochs=3)
    assert len(trained) == 8 and not any(t[3].endswith("weight") for t in trained)
    said = capsys.readouterr().out
    assert said.startswith("Left out frozen_in_weight, fluid_in_weight: the weights")


def test_best_is_the_papers_tier_and_smoke_is_small(root: Path, trained: list[Any]) -> None:
    _, tier = image_results("fashion_mnist", recompute=True, sizes=[100], trials=1)
    assert tier == "paper" and {t[0] for t in trained} == {"paper"}
    store, tier = image_results("fashion_mnist", recompute=True, smoke=True)
    assert tier == "smoke" and len(store.runs(tier="smoke")) == 12


@pytest.mark.parametrize(
    ("low", "high", "pairs", "judged"),
    [(-0.1, 0.1, 6, True), (-math.inf, math.inf, 5, False), (math.nan, math.nan, 0, False)],
)
def test_a_claim_with_too_few_pairs_is_named_and_not_judged(
    monkeypatch: pytest.MonkeyPatch,
    low: float,
    high: float,
    pairs: int,
    judged: bool,
) -> None:
    found: list[tuple[str, Estimate]] = []
    glued: dict[str, str] = {}

    def measure(*given: Any) -> Any:
        found.append(given)
        return SimpleNamespace(outcome="reproduced")

    said: dict[str, str] = {}
    page: Any = SimpleNamespace(
        name="images_cifar10",
        measure=measure,
        not_measured=said.__setitem__,
        glue=glued.__setitem__,
    )
    estimate = Estimate(0.0, low, high, pairs, method="median")
    monkeypatch.setattr(image_results_module, "estimated", lambda *_: estimate)
    outcomes = measure_pairs(page, None, None, "less_data")  # type: ignore[arg-type]
    assert outcomes == ["reproduced" if judged else "not measured"]
    claim = "images_cifar10.less_data"
    if judged:
        assert found == [(claim, estimate)] and said == glued == {}
    else:
        assert glued == {"less_data": "0.0 points" if pairs else "no pair to compare"}
        assert found == [] and said.keys() == {claim}
        assert said[claim].endswith(f"that can be compared; there are {pairs}.")


def test_bad_input(root: Path) -> None:
    with pytest.raises(ValueError, match="shown must be one of best, paper, reduced; got 'smoke'"):
        image_results("cifar10", "smoke")
