"""CITATION.cff says the same as the README, the bibliography and the package's metadata."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pybtex.database import BibliographyData, parse_string

from polarity.publishing.environment import repository_root

ROOT = repository_root() or Path()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
PAPER: dict[str, Any] = CITATION["preferred-citation"]


def readme() -> BibliographyData:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```bibtex\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return parse_string("\n".join(blocks), "bibtex")


def test_it_is_a_citation_file() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= CITATION.keys()  # those that the format demands
    assert CITATION["type"] == "software" and PAPER["type"] == "conference-paper"


def test_the_software_is_that_of_the_package() -> None:
    assert str(CITATION["version"]) == PROJECT["version"]
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["keywords"] == PROJECT["keywords"]
    entry = readme().entries["polarity"]
    assert entry.fields["version"] == PROJECT["version"]
    assert entry.fields["title"] == CITATION["title"]
    (person,) = entry.persons["author"]
    assert [{"name": str(person).strip("{}")}] == CITATION["authors"]


def people(persons: list[Any]) -> list[tuple[str, str]]:
    return [(" ".join(p.last_names), " ".join([*p.first_names, *p.middle_names])) for p in persons]


@pytest.mark.parametrize("where", ["README", "bibliography"])
def test_the_paper_is_that_of(where: str) -> None:
    if where == "README":
        entry = readme().entries["wang2023polarity"]
    else:
        text = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
        entry = parse_string(text, "bibtex").entries["wang2023polarity"]
        assert f"arXiv:{entry.fields['eprint']}" == PAPER["identifiers"][0]["value"]
        assert entry.fields["pages"] == f"{PAPER['start']}--{PAPER['end']}"
        assert entry.fields["volume"] == str(PAPER["volume"])
        assert entry.fields["publisher"] == PAPER["publisher"]["name"]
    authors = [(author["family-names"], author["given-names"]) for author in PAPER["authors"]]
    assert len(authors) == 5 and people(entry.persons["author"]) == authors
    assert re.sub(r"[{}]", "", entry.fields["title"]) == PAPER["title"]
    assert int(entry.fields["year"]) == PAPER["year"] == 2023
    assert re.sub(r"[{}]", "", entry.fields["booktitle"]) == PAPER["collection-title"]


def test_addresses_are_those_of_the_readme() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    found = re.findall(r"https?://\S+", code)
    assert found == ["https://arxiv.org/abs/2303.17589"]
    assert found[0] in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "doi:" not in code
