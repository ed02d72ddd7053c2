"""The tree's one rule: a lower floor never imports a higher one."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import polarity

ROOT = Path(polarity.__file__).parent
FLOORS: dict[str, int] = {
    # what every floor may use
    "polarity._checks": 0,
    "polarity._files": 0,
    "polarity._machine": 0,
    "polarity._torchvision": 0,
    # what the paper invented, and the names that the package exports
    "polarity.core": 1,
    "polarity": 1,
    # experiments
    "polarity.protocols": 2,
    "polarity.datasets": 2,
    "polarity.networks": 2,
    "polarity.ensemble": 2,
    "polarity.donors": 2,
    "polarity.images": 2,
    "polarity.small": 2,
    "polarity.results": 2,
    "polarity.sweep": 2,
    # the command line reaches every floor
    "polarity.__main__": 9,
    # what is concluded from results
    "polarity.analysis": 3,
    # the book
    "polarity.publishing": 4,
}
CORE_NEEDS = {"torch", "numpy", "safetensors", "polarity", *sys.stdlib_module_names}
OPTIONAL = {  # imported where they are installed, and needed
    "polarity.core.fused": {"triton"},
    "polarity.core.search": {"numba"},
}


def name_of(path: Path) -> str:
    parts = ("polarity", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def floor_of(module: str) -> int:
    """The floor of a module: that of the longest known name it begins with."""
    known = module
    while known not in FLOORS:
        assert "." in known, f"{module} stands on no floor: give it one in FLOORS"
        known = known.rpartition(".")[0]
        assert known != "polarity", f"{module} stands on no floor: give it one in FLOORS"
    return FLOORS[known]


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it, in full."""
    module = name_of(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: 1 - node.level or None] if node.level else []
            source = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{source}.{alias.name}"
                yield full if is_module(full) else source


def is_module(name: str) -> bool:
    path = ROOT.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


MODULES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_imports_a_higher_floor(path: Path) -> None:
    here = floor_of(name_of(path))
    higher = {
        module
        for module in imports(path)
        if module.split(".")[0] == "polarity" and floor_of(module) > here
    }
    assert not higher, f"{name_of(path)} (floor {here}) imports {higher}"


@pytest.mark.parametrize("path", [p for p in MODULES if floor_of(name_of(p)) <= 1], ids=name_of)
def test_the_core_needs_torch_numpy_and_safetensors_alone(path: Path) -> None:
    allowed = CORE_NEEDS | OPTIONAL.get(name_of(path), set())
    assert {module.split(".")[0] for module in imports(path)} <= allowed


def test_importing_polarity_loads_nothing_of_the_higher_floors() -> None:
    heavy = ["numba", "xarray", "matplotlib", "pandas", "scipy", "torchvision", "jupyter_book"]
    program = f"import sys, polarity; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_public_names() -> None:
    exported = {"PolarityTemplate", "FreezeSGD", "reset_", "RESET_RULES", "__version__"}
    assert set(polarity.__all__) == exported
    assert all(hasattr(polarity, name) for name in exported)
    assert polarity.__version__[0].isdigit()
