"""Mutation testing of ``polarity/core``: break it in every small way, and count what tests notice.

``python tests/core/mutation.py FOLDER`` clones what is committed into FOLDER, which may not exist
yet, and runs mutmut there; once more, it goes on where it was. MUTATION.md has the results.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ("reset", "freeze", "template", "parameters", "files")
CONFIGURATION = f"""
[tool.mutmut]
source_paths = ["polarity"]
only_mutate = ["polarity/core/*.py"]
also_copy = ["tests", "book/examples", "pyproject.toml", "constraints.txt", "Makefile"]
pytest_add_cli_args = ["-q", "-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = {[f"tests/core/test_{name}.py" for name in TESTS]}
"""


def undecorate(path: Path) -> None:
    """Write ``@d def f`` as ``def f`` and ``f = d(f)``: mutmut passes over decorated functions."""
    lines = path.read_text(encoding="utf-8").splitlines()
    tree = ast.parse("\n".join(lines))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in sorted(functions, key=lambda node: -node.lineno):
        decorators = [ast.unparse(decorator) for decorator in function.decorator_list]
        if not decorators or decorators == ["classmethod"]:  # which mutmut knows
            continue
        call = "(".join([*decorators, function.name]) + ")" * len(decorators)
        lines.insert(
            function.end_lineno or 0, " " * function.col_offset + f"{function.name} = {call}"
        )
        del lines[function.decorator_list[0].lineno - 1 : function.lineno - 1]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where to work; about 10 MB")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants at once")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    if not folder.exists():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        for path in (folder / "polarity" / "core").glob("*.py"):
            undecorate(path)
        with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
            file.write(CONFIGURATION)
    mutmut = Path(sys.executable).with_name("mutmut")
    run = [str(mutmut), "run", "--max-children", str(arguments.jobs)]
    # Workers are forks, which a second thread of torch would not survive.
    subprocess.run(run, cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
    subprocess.run([str(mutmut), "results"], cwd=folder, check=True)


if __name__ == "__main__":
    main()
