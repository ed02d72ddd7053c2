"""The reference: every public name is documented, truly, on a page, with examples that run."""

from __future__ import annotations

import ast
import dataclasses
import doctest
import functools
import importlib
import importlib.util
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import xarray as xr

import polarity
from polarity.donors import DONORS
from polarity.ensemble import CONDITIONS
from polarity.publishing.environment import repository_root

ROOT = repository_root()
assert ROOT is not None
PAGES = sorted((ROOT / "book").glob("api*.md"))
DIRECTIVE = re.compile(r"^\.\. (?:auto|py:)(\w+):: (polarity[\w.]*)", re.MULTILINE)


def modules() -> Iterator[ModuleType]:
    """Yield every module of the package."""
    yield polarity
    for found in pkgutil.walk_packages(polarity.__path__, "polarity."):
        if found.name != "polarity.core.fused" or importlib.util.find_spec("triton"):
            yield importlib.import_module(found.name)


MODULES = {module.__name__: module for module in modules()}


class Public(NamedTuple):
    """A public name: of a module, or of a class of a module."""

    module: str
    name: str
    value: Any

    @property
    def path(self) -> str:
        return f"{self.module}.{self.name}"


def public() -> Iterator[Public]:
    """Yield every name in every ``__all__``."""
    for module in MODULES.values():
        for name in getattr(module, "__all__", ()):
            yield Public(module.__name__, name, getattr(module, name))


def members(owner: Public) -> Iterator[Public]:
    """Yield what a public class itself defines under a name without an underscore."""
    for name, value in vars(owner.value).items():
        if name.startswith("_"):
            continue
        if isinstance(value, classmethod | staticmethod):
            value = value.__func__
        if inspect.isfunction(value) or isinstance(value, property | functools.cached_property):
            yield Public(owner.module, f"{owner.name}.{name}", value)


NAMES = list(public())
CLASSES = [name for name in NAMES if inspect.isclass(name.value)]
FUNCTIONS = [name for name in NAMES if inspect.isfunction(name.value)]
MEMBERS = [member for owner in CLASSES for member in members(owner)]
DATA = [name for name in NAMES if name not in CLASSES and name not in FUNCTIONS]


def paths(names: list[Public]) -> list[str]:
    return [name.path for name in names]


# --- docstrings ---------------------------------------------------------------------------------


def docstring(name: Public) -> str:
    """Return what somebody wrote: not what a base class has or a decorator made up."""
    text = getattr(name.value, "__doc__", None) or ""
    made_up = inspect.isclass(name.value) and text.startswith(f"{name.value.__name__}(")
    return "" if made_up else inspect.cleandoc(text)


def summary_fault(text: str) -> str | None:
    first, _, rest = text.partition("\n")
    if not first:
        return "has no docstring"
    if not first.endswith((".", ":", "?")):
        return f"its docstring must begin with a line that is a sentence, got {first!r}"
    if rest and not rest.startswith("\n") and first.endswith("."):
        return f"an empty line must follow the first line of its docstring, {first!r}"
    return None


@pytest.mark.parametrize("name", CLASSES + FUNCTIONS + MEMBERS, ids=lambda name: name.path)
def test_a_public_name_has_a_docstring(name: Public) -> None:
    assert summary_fault(docstring(name)) is None


@functools.cache
def described(path: str) -> dict[str, str]:
    """Map each name that a module assigns to the string after the assignment."""
    found = {}
    body = ast.parse(Path(path).read_text(encoding="utf-8")).body
    for statement, following in zip(body, [*body[1:], None], strict=True):
        targets = {ast.Assign: "targets", ast.AnnAssign: "target"}.get(type(statement))
        if targets is None:
            continue
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            assigned = getattr(statement, targets)
            for target in assigned if isinstance(assigned, list) else [assigned]:
                if isinstance(target, ast.Name):
                    found[target.id] = str(following.value.value)
    return found


def origin(module: str, name: str) -> str:
    """Return the module of the package that assigns a name which this one may have imported."""
    tree = ast.parse(Path(str(MODULES[module].__file__)).read_text(encoding="utf-8"))
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                if (alias.asname or alias.name) == name:
                    package = MODULES[module].__package__ or ""
                    source = "." * statement.level + (statement.module or "")
                    return origin(importlib.util.resolve_name(source, package), alias.name)
    return module


@pytest.mark.parametrize("name", DATA, ids=lambda name: name.path)
def test_a_public_constant_has_a_docstring(name: Public) -> None:
    if name.path == "polarity.__version__":
        return
    if isinstance(name.value, ModuleType):
        assert summary_fault(inspect.cleandoc(name.value.__doc__ or "")) is None
        return
    home = origin(name.module, name.name)
    text = described(str(MODULES[home].__file__)).get(name.name, "")
    assert summary_fault(inspect.cleandoc(text)) is None, f"{home}.{name.name}"


@pytest.mark.parametrize("module", MODULES.values(), ids=lambda module: module.__name__)
def test_a_module_has_a_docstring(module: ModuleType) -> None:
    assert summary_fault(inspect.cleandoc(module.__doc__ or "")) is None


# --- parameters ---------------------------------------------------------------------------------


def section(text: str, title: str) -> list[str] | None:
    """Return the names that a section lists, in order; None: there is no such section."""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^\w[^\n]*\n-+\n|\Z)", text, re.DOTALL | re.MULTILINE)
    if found is None:
        return None
    entries = [line for line in found[1].splitlines() if line and not line.startswith(" ")]
    names = [name for entry in entries for name in entry.partition(" : ")[0].split(",")]
    return [name.strip() for name in names]


def parameters(name: Public) -> list[str]:
    found = list(inspect.signature(name.value).parameters.values())
    if name in MEMBERS:
        found = [parameter for parameter in found if parameter.name not in ("self", "cls")]
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    shown = [parameter for parameter in found if not parameter.name.startswith("_")]
    return sorted(stars.get(parameter.kind, "") + parameter.name for parameter in shown)


def has_fields(name: Public) -> bool:
    return dataclasses.is_dataclass(name.value) or hasattr(name.value, "_fields")


@pytest.mark.parametrize(
    "name",
    [n for n in CLASSES + FUNCTIONS + MEMBERS if section(docstring(n), "Parameters") is not None],
    ids=lambda name: name.path,
)
def test_documented_parameters_are_those_of_the_signature(name: Public) -> None:
    documented = section(docstring(name), "Parameters")
    assert sorted(documented or ()) == parameters(name)


@pytest.mark.parametrize("name", [n for n in CLASSES if has_fields(n)], ids=lambda name: name.path)
def test_documented_attributes_are_the_fields(name: Public) -> None:
    text = docstring(name)
    documented = section(text, "Attributes") or section(text, "Parameters")
    if documented is not None:
        assert sorted(documented) == parameters(name)


def test_sections_are_read_as_written() -> None:
    parts = ["Do.", "Parameters\n----------\na, b : int\n    Of c : d.\n*rest\n    More."]
    text = "\n\n".join([*parts, "Returns\n-------\nx\n    It."])
    assert section(text, "Parameters") == ["a", "b", "*rest"]
    assert section(text, "Returns") == ["x"]
    assert section(text, "Attributes") is None


# --- pages --------------------------------------------------------------------------------------


def on_pages() -> set[str]:
    return {
        name for page in PAGES for _, name in DIRECTIVE.findall(page.read_text(encoding="utf-8"))
    }


def value_of(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(MODULES[module], name)


def test_every_name_on_the_pages_exists() -> None:
    for path in on_pages():
        module, _, name = path.rpartition(".")
        assert hasattr(MODULES.get(module), name), path


def test_public_names_are_on_the_pages() -> None:
    """All of a module of which anything is there; the same thing elsewhere will do."""
    there = on_pages()
    values = [value_of(path) for path in there]
    covered = {"polarity", "polarity.core"} | {path.rpartition(".")[0] for path in there}
    missing = [
        name.path
        for name in NAMES
        if name.module in covered
        and name.path not in there
        and not any(name.value is value for value in values)
    ]
    assert not missing


def attributes_on_the_pages() -> dict[str, str]:
    """Map each constant on the pages, and each property of a class there, to its docstring."""
    there = on_pages()
    found = {
        member.path: docstring(member)
        for member in MEMBERS
        if member.path.rpartition(".")[0] in there and not inspect.isfunction(member.value)
    }
    for path in there:
        module, _, name = path.rpartition(".")
        home = str(MODULES[origin(module, name)].__file__)
        if name in described(home):
            found[path] = described(home)[name]
    return found


def test_no_attribute_begins_like_a_type() -> None:
    """Of ``Name: what it is`` the extension that reads docstrings takes the name for a type."""
    found = {
        path: re.sub(r"``.*?``|:\w+:`.*?`", "", text.partition("\n")[0])
        for path, text in attributes_on_the_pages().items()
    }
    assert "polarity.FreezeSGD.active" in found and "polarity.donors.DONORS" in found
    assert not {path: text for path, text in found.items() if ":" in text}


def test_constants_are_shown_from_where_they_are_assigned() -> None:
    """Elsewhere their docstrings are not found; there the page itself must say what they are."""
    for page in PAGES:
        for kind, path in DIRECTIVE.findall(page.read_text(encoding="utf-8")):
            module, _, name = path.rpartition(".")
            if kind == "data" and f".. autodata:: {path}" in page.read_text(encoding="utf-8"):
                assert name in described(str(MODULES[module].__file__)), path


def test_the_page_names_every_donor() -> None:
    text = (ROOT / "book" / "api_experiments.md").read_text(encoding="utf-8")
    for name in (*DONORS, *CONDITIONS):
        assert f'"{name}"' in text, name


def test_no_name_is_on_the_pages_twice() -> None:
    found = [name for page in PAGES for _, name in DIRECTIVE.findall(page.read_text("utf-8"))]
    assert sorted(set(found)) == sorted(found)


# --- examples -----------------------------------------------------------------------------------


def names_of(module: ModuleType) -> dict[str, Any]:
    """Return what an example takes for granted, as the pages say: these, and its own package's."""
    given = {"np": np, "torch": torch, "nn": torch.nn, "xr": xr}
    for source in (polarity, MODULES[module.__package__ or "polarity"], module):
        own = [name for name in vars(source) if not name.startswith("_")]
        given |= {name: getattr(source, name) for name in getattr(source, "__all__", own)}
    return given


def examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [
        found
        for module in MODULES.values()
        for found in finder.find(module, globs=names_of(module))
        if found.examples
    ]


EXAMPLES = examples()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_runs(
    example: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where files are written
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    assert not runner.run(example, out=report.append).failed, "".join(report)


def in_core(name: Public) -> bool:
    if name.module == "polarity.core.fused":  # an example would need a GPU
        return False
    return name.module.startswith("polarity.core") and name.value.__module__ == name.module


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if in_core(n)], ids=lambda name: name.path)
def test_functions_of_the_core_have_an_example(name: Public) -> None:
    assert ">>> " in docstring(name)


@pytest.mark.parametrize(
    "name",
    [n for n in MEMBERS if inspect.isfunction(n.value) and in_core(n)],
    ids=lambda name: name.path,
)
def test_methods_of_the_core_have_an_example(name: Public) -> None:
    assert ">>> " in docstring(name)
