"""The HTML of every page, read without a browser: valid, and every link and anchor is there."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import Element

import html5lib
import pytest
from test_pages import fail_with
from visiting import pages_in

from polarity.publishing.environment import repository_root

pytestmark = [pytest.mark.book, pytest.mark.timeout(1800)]

LOADED = {"script", "link", "img", "iframe", "source", "video", "audio", "embed"}


@dataclass
class Markup:
    """One page, parsed."""

    path: Path
    tree: Element
    errors: list[str] = field(default_factory=list)

    def elements(self) -> Iterator[Element]:
        return (element for element in self.tree.iter() if isinstance(element.tag, str))

    @property
    def anchors(self) -> Counter[str]:
        return Counter(name for element in self.elements() if (name := element.get("id")))


@pytest.fixture(scope="session")
def markups(smoke_book: Path) -> dict[str, Markup]:
    return {str(path.relative_to(smoke_book)): parse(path) for path in pages_in(smoke_book)}


def parse(path: Path) -> Markup:
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")
    parser = html5lib.HTMLParser(
        html5lib.getTreeBuilder("etree"), namespaceHTMLElements=False, strict=False
    )
    tree = parser.parse(text)
    errors = [
        f"line {line}: {code} {data or ''}: {lines[min(line, len(lines)) - 1].strip()[:100]}"
        for (line, _), code, data in parser.errors
    ]
    return Markup(path, tree, errors)


def test_html_is_valid(markups: dict[str, Markup]) -> None:
    fail_with({name: markup.errors for name, markup in markups.items()})


def test_the_nu_checker_finds_no_error(smoke_book: Path) -> None:
    """The checker of the standards' own makers knows what a parser does not: what may hold what.

    A Java program; ``.ci/run`` fetches it, and elsewhere ``POLARITY_VNU`` may name it.
    """
    root = repository_root()
    assert root is not None
    jar = Path(os.environ.get("POLARITY_VNU", root / ".cache" / "vnu.jar"))
    if not (jar.is_file() and shutil.which("java")):
        pytest.skip("no Nu Html Checker, or no Java")
    command = ["java", "-Xss8m", "-jar", str(jar), "--errors-only", "--format", "json"]
    files = [str(path) for path in pages_in(smoke_book)]
    done = subprocess.run([*command, *files], capture_output=True, text=True)
    found: dict[str, list[str]] = {}
    for message in json.loads(done.stderr)["messages"]:
        place = (
            f"line {message.get('lastLine')}: {message['message']}: {message.get('extract', '')}"
        )
        found.setdefault(message.get("url", "").rpartition("/html/")[2], []).append(place)
    fail_with(found)


def test_identifiers_are_unique(markups: dict[str, Markup]) -> None:
    fail_with(
        {
            name: [f"{count} elements are #{anchor}" for anchor, count in twice if count > 1]
            for name, markup in markups.items()
            if (twice := markup.anchors.items())
        }
    )


def test_every_link_inside_leads_somewhere(markups: dict[str, Markup]) -> None:
    by_path = {markup.path.resolve(): markup for markup in markups.values()}
    anchors = {path: markup.anchors for path, markup in by_path.items()}
    faults: dict[str, list[str]] = {}
    for name, markup in markups.items():
        for element in markup.elements():
            for attribute in ("href", "src", "data-target"):
                link = element.get(attribute)
                if link is None:
                    continue
                address = urlsplit(link)
                if address.scheme or address.netloc:
                    if element.tag in LOADED and element.get("rel") != "canonical":
                        faults.setdefault(name, []).append(f"{element.tag} is loaded from {link}")
                    continue
                file = markup.path
                if address.path:
                    file = (markup.path.parent / unquote(address.path)).resolve()
                fragment = unquote(address.fragment)
                if not file.is_file():
                    faults.setdefault(name, []).append(f"no file {link}")
                elif fragment and file in anchors and fragment not in anchors[file]:
                    faults.setdefault(name, []).append(f"no anchor {link}")
    fail_with(faults)


def test_every_picture_has_a_description(markups: dict[str, Markup]) -> None:
    fail_with(
        {
            name: [
                f"no description: {element.get('src', '')[:80]}"
                for element in markup.elements()
                if element.tag == "img" and not element.get("alt", "").strip()
            ]
            for name, markup in markups.items()
        }
    )


def test_shared_links_have_a_preview(markups: dict[str, Markup], smoke_book: Path) -> None:
    """Title, description and picture; no address, as long as the configuration names none."""
    faults: dict[str, list[str]] = {}
    for name, markup in markups.items():
        if not name.startswith("book/"):
            continue
        metas = {
            element.get("property") or element.get("name"): element.get("content", "")
            for element in markup.elements()
            if element.tag == "meta"
        }
        for wanted in ("og:title", "og:description", "og:image", "og:image:alt", "og:site_name"):
            if not metas.get(wanted):
                faults.setdefault(name, []).append(f"no {wanted}")
        if "og:url" in metas:
            faults.setdefault(name, []).append(f"og:url {metas['og:url']}")
        picture = (markup.path.parent / metas.get("og:image", "")).resolve()
        if not picture.is_file():
            faults.setdefault(name, []).append(f"no picture {metas.get('og:image')}")
    fail_with(faults)
    head = (smoke_book / "_static" / "one_picture.png").read_bytes()[:24]
    width, height = struct.unpack(">II", head[16:24])
    assert 1.6 < width / height < 2.1  # the shape that previews show uncut
