"""Executed notebooks made by hand, for tests that read them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from polarity.analysis.estimate import Estimate
from polarity.publishing.provenance import Provenance

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'width="{w}" height="10" viewBox="0 0 {w} 10"><dc:date>{d}</dc:date>{x}</svg>'
)
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n not really").decode()


def svg(text: str = "", *, date: str = "today", width: int = 10) -> str:
    return SVG.format(w=width, d=date, x=text)


def card(**changes: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "page": "xor5d",
        "tier": "live",
        "commit": "a" * 40,
        "dirty": False,
        "started": "2026-05-04T03:02:01+00:00",
        "seconds": 12.3,
        "parameters": {"tier": "live", "trials": 50, "seed": 0},
        "changed": {},
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "device": "a processor",
        "system": "Linux x86_64",
        "command": "papermill jt://book/xor5d.md xor5d.ipynb",
    }
    return Provenance(**(facts | changes)).to_dict()


def output(data: Mapping[str, Any], **metadata: Any) -> NotebookNode:
    return new_output("display_data", data=dict(data), metadata=metadata)


def cell(source: str, *outputs: NotebookNode, alt: str = "") -> NotebookNode:
    metadata = {"mystnb": {"image": {"alt": alt}}} if alt else {}
    return new_code_cell(source, outputs=list(outputs), metadata=metadata)


def picture(image: str, **figure: str) -> NotebookNode:
    ours = {"polarity": {"figure": figure}} if figure else {}
    return output({"image/svg+xml": image, "text/plain": "<Figure>"}, **ours)


def glued(name: str, value: object) -> NotebookNode:
    text = {"application/papermill.record/text/plain": repr(value)}
    return output(text, scrapbook={"name": name, "mime_prefix": "application/papermill.record/"})


def measured(claim: str, value: float, low: float, high: float) -> NotebookNode:
    estimate = Estimate(value, low, high, n=20, method="made up").to_dict()
    stored = {"measurement": {"claim": claim, "estimate": estimate}}
    return output({"text/plain": "a card"}, polarity=stored)


def prose(text: str) -> NotebookNode:
    return new_markdown_cell(text)


def ending(**changes: Any) -> NotebookNode:
    stored = {"provenance": card(**changes)}
    return cell("page.provenance()", output({"text/plain": "card"}, polarity=stored))


def write(path: Path, cells: Sequence[NotebookNode], **changes: Any) -> Path:
    """Write a notebook of these cells and a provenance card with these changes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=[*cells, ending(**changes)]), path)
    return path
