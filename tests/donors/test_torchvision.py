"""torchvision is imported, also where its compiled operators are missing."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

# As torchvision's own import does: a kernel for an operator that compiled code should declare.
NEEDS_OPERATORS = """
import torch
import torchvision.part
for name in ("nms", "qnms"):
    torch.library.register_fake(f"torchvision::{name}")(lambda dets, scores, iou_threshold: dets)
attached = torchvision.part.__name__
"""
PROGRAM = """
from polarity import _torchvision
module = _torchvision.torchvision()
assert module is _torchvision.torchvision()
print(len(_torchvision._declared), getattr(module, "attached", ""))
"""


def run(program: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = {} if folder is None else {"PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, **path},
    )


def package(folder: Path, content: str) -> Path:
    """A made-up torchvision, in the place of the installed one."""
    (folder / "torchvision").mkdir()
    (folder / "torchvision" / "__init__.py").write_text(content)
    (folder / "torchvision" / "part.py").write_text("")
    return folder


def test_missing_operators_are_declared(tmp_path: Path) -> None:
    folder = package(tmp_path, NEEDS_OPERATORS)
    plain = run("import torchvision", folder)
    assert "operator torchvision::nms does not exist" in plain.stderr
    cured = run(PROGRAM, folder)
    assert cured.stdout.split() == ["1", "torchvision.part"], cured.stderr


def test_a_sound_torchvision_is_left_alone(tmp_path: Path) -> None:
    assert run(PROGRAM, package(tmp_path, "attached = 'whole'")).stdout.split() == ["0", "whole"]


@pytest.mark.parametrize("error", ["RuntimeError('no room')", "ImportError('no torchvision')"])
def test_other_errors_are_passed_on(tmp_path: Path, error: str) -> None:
    done = run(PROGRAM, package(tmp_path, f"raise {error}"))
    assert done.returncode == 1 and done.stderr.splitlines()[-1] == error.replace(
        "('", ": "
    ).replace("')", "")


@pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")
def test_models_and_data_sets_work() -> None:
    program = """
import torch
from polarity._torchvision import torchvision
vision = torchvision()
import torchvision.transforms
from torchvision.datasets import CIFAR10, FashionMNIST, FakeData
from torchvision.models import AlexNet_Weights, squeezenet1_1
image, label = FakeData(3, (3, 64, 64), transform=torchvision.transforms.ToTensor())[2]
with torch.no_grad():
    print(*squeezenet1_1(weights=None).eval()(image[None]).shape)
print(AlexNet_Weights.IMAGENET1K_V1.url)
print(len(FashionMNIST.resources), CIFAR10.url)
"""
    done = run(program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "1",
        "1000",
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        "4",
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    ]
