"""Runs say whether the code has changed since they were trained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import polarity
from polarity.results import Run, code_digest, origin


def run(**info: object) -> Run:
    return Run({}, [0], [1.0], [0.5], [1.0], [], [], {}, info)


def test_the_code_is_named_by_its_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_digest()
    assert re.fullmatch(r"[0-9a-f]{16}", before) and code_digest() == before
    read = Path.read_bytes
    root = Path(polarity.__file__).parent
    for name in ("core/reset.py", "images/training.py", "protocols.py"):
        changed = root / name
        with monkeypatch.context() as patch:
            patch.setattr(
                Path, "read_bytes", lambda path, at=changed: read(path) + b"#" * (path == at)
            )
            assert code_digest() != before, name


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        (["now", "now"], "The code is the same now."),
        (["old", "old"], "The code has changed since."),
        ([None, None], "They do not say which code made them, so it may have changed since."),
        (
            ["now", "old", "old", None],
            "Made by the code as it is now: 1; by other code: 2; not known: 1.",
        ),
    ],
)
def test_age(codes: list[str | None], said: str) -> None:
    digests = {"now": code_digest(), "old": "0" * 16}
    runs = [run(**({"code": digests[name]} if name else {})) for name in codes]
    assert origin(runs) == f"{len(codes)} runs, trained. {said}"


def test_days_and_devices_are_named_once() -> None:
    days = ("2026-11-24T13:00:00+00:00", "2026-11-24T15:00:00+00:00", "2026-11-27T01:00:00+00:00")
    runs = [run(finished=day, device=device) for day, device in zip(days, "ABA", strict=True)]
    assert origin(runs).startswith("3 runs, trained from 2026-11-24 to 2026-11-27 on A and B. ")
    assert origin([]) == ""
