"""What numbers are multiplied with, whatever the script that trains has asked of torch before."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
import torch

from polarity._machine import whole_float32

torch_backends = torch.backends


def said() -> dict[str, object]:
    """What torch is told, by what is told it."""
    cudnn, mkldnn = torch_backends.cudnn, torch_backends.mkldnn
    owners = {
        "gpu matrices": torch_backends.cuda.matmul,
        "gpu convolutions": cudnn.conv,
        "gpu recurrence": cudnn.rnn,
        "matrices": mkldnn.matmul,
        "convolutions": mkldnn.conv,
    }
    return {name: owner.fp32_precision for name, owner in owners.items()}


@pytest.fixture
def left_alone() -> Iterator[None]:
    before = said()["gpu convolutions"]
    yield
    torch.set_float32_matmul_precision("highest")
    for owner in (torch_backends.cudnn.conv, torch_backends.cudnn.rnn):
        owner.fp32_precision = before


def convolutions() -> None:
    torch_backends.cudnn.conv.fp32_precision = "ieee"


@pytest.mark.usefixtures("left_alone")
@pytest.mark.parametrize("everything", ["none", "tf32"])
@pytest.mark.parametrize(
    "asked",
    [
        lambda: None,
        lambda: torch.set_float32_matmul_precision("medium"),
        lambda: torch.set_float32_matmul_precision("high"),
        convolutions,
    ],
    ids=["nothing", "medium", "high", "convolutions"],
)
def test_float32_is_float32_and_what_was_asked_comes_back(
    asked: Callable[[], None], everything: str
) -> None:
    with torch_backends.flags(fp32_precision=everything):
        asked()
        before = said() | {"benchmark": torch_backends.cudnn.benchmark}
        with pytest.raises(ZeroDivisionError), whole_float32():
            assert set(said().values()) == {"ieee"}
            assert torch_backends.cudnn.benchmark or torch_backends.flags_frozen()
            raise ZeroDivisionError
        assert said() | {"benchmark": torch_backends.cudnn.benchmark} == before


def test_what_one_thread_needs_another_does_not_take_away() -> None:
    before = said()
    entered, left = threading.Event(), threading.Event()

    def another() -> None:
        with whole_float32():
            entered.set()
            left.wait(10)

    thread = threading.Thread(target=another)
    with torch_backends.flags(fp32_precision="tf32"):
        torch_backends.cudnn.conv.fp32_precision = "tf32"
        with whole_float32():
            thread.start()
            entered.wait(10)
        inside = said()
        left.set()
        thread.join()
        assert set(inside.values()) == {"ieee"}
        assert said()["gpu convolutions"] == "tf32"
        torch_backends.cudnn.conv.fp32_precision = before["gpu convolutions"]


def test_torchs_own_tests_which_forbid_to_set_flags_do_not_stop_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch_backends.m, "__allow_nonbracketed_mutation_flag", False)
    assert torch_backends.flags_frozen()
    with whole_float32():
        assert set(said().values()) == {"ieee"}
