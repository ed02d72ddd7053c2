"""The GPU's kernel without a GPU: its program, executed by Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys

import one_pass
import pytest


def test_the_kernel_says_what_the_rules_say() -> None:
    pytest.importorskip("triton", reason="Triton comes with torch for GPUs")
    done = subprocess.run(
        [sys.executable, one_pass.__file__],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "agrees\n", done.stderr
