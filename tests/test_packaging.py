"""The three lists of dependencies agree, and the files that sit around the package are sound."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import polarity
from polarity.datasets.folder import folders
from polarity.donors import donor, stored
from polarity.donors.donor import ACCURACY
from polarity.networks import ARCHITECTURES
from polarity.publishing.environment import (
    contained_environment,
    enter,
    repository_root,
    users_folders,
)
from polarity.publishing.lock import LEFT_OUT, direct_dependencies, environment_yml, pins

ROOT = repository_root() or Path()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = ["3.11", "3.12", "3.13"]
DIRECT = [requirement for _, requirement in direct_dependencies(ROOT)]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("requirement", DIRECT, ids=str)
def test_every_direct_dependency_is_locked_within_its_range(
    requirement: Requirement, python: str
) -> None:
    locked = pins(ROOT, python)
    name = canonicalize_name(requirement.name)
    assert name in locked, f"make lock: {name} is missing from constraints.txt"
    assert requirement.specifier.contains(locked[name])


def test_the_lock_holds_exact_pins_only(tmp_path: Path) -> None:
    assert len(pins(ROOT, "3.12")) > len(DIRECT)  # transitive ones too
    (tmp_path / "constraints.txt").write_text("numpy>=2\n")
    with pytest.raises(ValueError, match=r"exact pins, got 'numpy>=2'"):
        pins(tmp_path, "3.12")


def test_the_versions_that_the_book_was_built_with() -> None:
    locked = pins(ROOT, "3.12")
    assert locked["torch"] == "2.13.0"
    assert locked["torchvision"] == "0.28.0"
    assert locked["jupyter-book"] == "1.0.4.post1"


def test_the_installed_packages_are_those_of_the_lock() -> None:
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    # Of this environment's own folders: setuptools brings copies of other packages on sys.path.
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    installed = {
        canonicalize_name(found.name): found.version.split("+")[0]  # 2.13.0+cpu is 2.13.0
        for found in metadata.distributions(path=sorted(folders))
    }
    locked = pins(ROOT, python)
    both = installed.keys() & locked.keys()  # the rest: other platforms, extras, installers
    assert {"torch", "numpy", "pytest"} <= both
    wrong = {n: (installed[n], locked[n]) for n in both if installed[n] != locked[n]}
    assert wrong == {}, "installed, locked"


def environment() -> tuple[str, list[str]]:
    """Return the Python version and the pip lines of environment.yml."""
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    (python,) = [e for e in content["dependencies"] if str(e).startswith("python=")]
    (pip,) = [e["pip"] for e in content["dependencies"] if isinstance(e, dict)]
    return python.removeprefix("python="), pip


def test_the_conda_environment_has_the_pins_of_the_lock() -> None:
    python, lines = environment()
    locked = pins(ROOT, python)
    found = {}
    for line in lines:
        if not line.startswith("-"):
            requirement = Requirement(line)
            (specifier,) = requirement.specifier
            assert specifier.operator == "=="
            found[requirement.name] = specifier.version
    direct = {
        canonicalize_name(requirement.name)
        for _, requirement in direct_dependencies(ROOT, without=LEFT_OUT)
    }
    assert found == {name: locked[name] for name in direct}
    assert {"-c constraints.txt", "-e ."} <= set(lines)


def test_the_conda_environment_is_what_make_lock_writes() -> None:
    assert (ROOT / "environment.yml").read_text() == environment_yml(ROOT)


def test_the_python_versions_agree() -> None:
    from packaging.specifiers import SpecifierSet

    allowed = SpecifierSet(PROJECT["requires-python"])
    assert [v for v in ("3.10", *PYTHONS, "3.14") if allowed.contains(v)] == PYTHONS
    assert environment()[0] in PYTHONS
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]["include"]
    assert sorted({entry["python"] for entry in matrix}) == PYTHONS
    assert any(entry["os"].startswith("macos") for entry in matrix)


def test_every_import_is_declared() -> None:
    """A library that another one happens to bring along must be declared all the same."""
    declared = {canonicalize_name(requirement.name) for requirement in DIRECT}
    declared.add("triton")  # torch for GPUs declares it; only its GPU kernel imports it
    distributions = metadata.packages_distributions()
    missing = set()
    for path in [*(ROOT / "polarity").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
            else:
                continue
            for module in {name.split(".")[0] for name in modules}:
                found = {canonicalize_name(name) for name in distributions.get(module, [])}
                local = module in sys.stdlib_module_names or found <= {"polarity"}
                if not local and not found & declared:
                    missing.add(f"{module} in {path.relative_to(ROOT)}")
    assert missing == set()


def test_the_metadata_of_the_package() -> None:
    assert polarity.__version__ == metadata.version("polarity") == PROJECT["version"]
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert (ROOT / "polarity" / "py.typed").is_file()


def test_make_keeps_everything_inside_the_clone_as_the_builder_does() -> None:
    text = (ROOT / "Makefile").read_text()
    exported = dict(re.findall(r"^export (\w+) := (.*)$", text, re.MULTILINE))
    ours = contained_environment(Path("$(CURDIR)"))
    for name, value in ours.items():
        made = exported[name].replace("$(CACHE)", "$(CURDIR)/.cache")
        if name == "JUPYTER_PATH":
            assert made == "$(CURDIR)/$(VENV)/share/jupyter"
        else:
            assert made == value


def test_downloads_are_the_users_with_make_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each clone would fetch them again, and commands without make would not find them."""
    makefile = tmp_path / "Makefile"
    recipe = 'show:\n\t@echo "$$POLARITY_DATA|$$TORCH_HOME|$$XDG_CACHE_HOME"\n'
    makefile.write_text((ROOT / "Makefile").read_text() + recipe)
    named = {"POLARITY_DATA", "TORCH_HOME", "XDG_CACHE_HOME"}
    for given, cache in (
        ({"HOME": "/home/me"}, "/home/me/.cache"),
        ({"HOME": "/home/me", "XDG_CACHE_HOME": "/fast"}, "/fast"),
    ):
        environment = {k: v for k, v in os.environ.items() if k not in named} | given
        data, torch, moved = _made(makefile, environment)
        assert (data, torch) == (f"{cache}/polarity/data", f"{cache}/torch") and moved != cache
        assert _made(makefile, environment | {"POLARITY_DATA": "/mine"})[0] == "/mine"
        with monkeypatch.context() as patch:
            patch.setattr(os, "environ", dict(environment))
            assert users_folders() == {"POLARITY_DATA": data, "TORCH_HOME": torch}
            assert str(folders()[0]) == data  # of a command without make
            enter(tmp_path)
            assert str(folders()[0]) == data and os.environ["XDG_CACHE_HOME"] != cache


def _made(makefile: Path, environment: dict[str, str]) -> list[str]:
    command = ["make", "-s", "-C", str(makefile.parent), "show"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.strip().split("|")


@pytest.mark.skipif(shutil.which("flock") is None, reason="this system has no flock")
def test_two_first_commands_make_one_environment(tmp_path: Path) -> None:
    """Each would clear what the other one is installing."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\necho "$*" >>calls\n'
        'if [ "$1 $2" = "-m venv" ]; then\n'
        "  sleep 0.5; mkdir -p .venv/bin; touch .venv/pyvenv.cfg; cp python .venv/bin/python\nfi\n"
    )
    python.chmod(0o755)
    command = ["make", "-C", str(tmp_path), "venv", "PYTHON=./python"]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call for call in calls if "venv" in call] == ["-m venv --clear .venv"]
    assert ["Waiting for the command" in text for text in said].count(True) == 1, said


def test_what_a_first_command_would_do_is_shown_without_doing_it(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    command = ["make", "-n", "-C", str(tmp_path), "venv"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == 0 and "pip install" in shown.stdout, shown.stderr
    assert not (tmp_path / ".venv").exists()


def test_every_command_of_make_is_explained() -> None:
    text = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert {"book", "test", "help", "venv", "smoke", "bench", "clean", "lock"} <= set(phony.split())
    for name in phony.split():
        assert re.search(rf"^{name}:.*## \S", text, re.MULTILINE), name


def test_continuous_integration_runs_the_command_of_the_readme() -> None:
    command = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line][-1]
    assert command == "make test"
    assert command in (ROOT / "README.md").read_text()
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text()
    assert "run: .ci/run" in workflow


def test_the_readme_gives_the_donors_as_their_files_do() -> None:
    text = (ROOT / "README.md").read_text()
    rows = dict(re.findall(r"^\| `(tiny_imagenet_\w+)` \| (.*) \|$", text, re.MULTILINE))
    files = {path.stem: path for path in Path(stored.__file__).parent.glob("templates/*")}
    assert rows.keys() == files.keys()
    for name, row in rows.items():
        card = donor(name).card
        size = ARCHITECTURES[card["architecture"]].image_size
        weight = files[name].stat().st_size / 1e6
        assert row == f"{size} px | {100 * float(card[ACCURACY]):.1f} % | {weight:.1f} MB"


PERMISSIONS = {
    ("book.yml", "build"): {"contents": "write"},  # the branch of notebooks
    ("book.yml", "publish"): {"pages": "write", "id-token": "write"},
}


def test_workflows_use_official_actions_with_few_permissions() -> None:
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {"contents": "read"}
        assert "concurrency" in workflow
        for name, job in workflow["jobs"].items():
            needed = PERMISSIONS.get((path.name, name), {"contents": "read"})
            assert job.get("permissions", workflow["permissions"]) == needed
            for step in job["steps"]:
                if "uses" in step:
                    assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])


def test_every_reference_of_the_bibliography_is_complete() -> None:
    from pybtex.database import parse_file

    entries = parse_file(str(ROOT / "book" / "references.bib")).entries
    assert entries["wang2023polarity"].fields["eprint"] == "2303.17589"
    for key, entry in entries.items():
        assert entry.persons["author"], key
        assert {"title", "year"} <= set(entry.fields), key
