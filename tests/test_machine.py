"""What numbers are multiplied with, whatever the script that trains has asked of torch before."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from polarity._machine import whole_float32

torch_backends = torch.backends
pytestmark = pytest.mark.skipif(
    not hasattr(torch_backends, "fp32_precision"), reason="torch 2.9 began to name precisions"
)


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
    before = said()
    owner = torch_backends.cudnn
    yield
    torch_backends.fp32_precision = "none"
    torch.set_float32_matmul_precision("highest")
    owner.conv.fp32_precision = owner.rnn.fp32_precision = before["gpu convolutions"]


def everything() -> None:
    torch_backends.fp32_precision = "tf32"


def convolutions() -> None:
    torch_backends.cudnn.conv.fp32_precision = "ieee"


@pytest.mark.usefixtures("left_alone")
@pytest.mark.parametrize(
    "asked",
    [
        lambda: None,
        lambda: torch.set_float32_matmul_precision("medium"),
        lambda: torch.set_float32_matmul_precision("high"),
        everything,
        convolutions,
    ],
    ids=["nothing", "medium", "high", "everything", "convolutions"],
)
def test_float32_is_float32_and_what_was_asked_comes_back(asked: Callable[[], None]) -> None:
    asked()
    before = said() | {"benchmark": torch_backends.cudnn.benchmark}
    with pytest.raises(ZeroDivisionError), whole_float32():
        assert set(said().values()) == {"ieee"} and torch_backends.cudnn.benchmark
        raise ZeroDivisionError
    assert said() | {"benchmark": torch_backends.cudnn.benchmark} == before
