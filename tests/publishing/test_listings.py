"""Source files as pages: whole, escaped, with an anchor at every function and class."""

from __future__ import annotations

from pathlib import Path

import html5lib

from polarity.publishing.listings import listing, write_listings

SOURCE = '''"""A <b>module</b> & more."""


class Rule:
    """A rule."""

    def inner(self):
        return "<script>alert(1)</script>"


def inner():
    return 1
'''


def test_the_listing_holds_the_file_and_its_anchors(tmp_path: Path) -> None:
    path = tmp_path / "rules.py"
    path.write_text(SOURCE)
    html = listing(path, "polarity/rules.py", "../index.html")
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)
    assert not list(tree.iter("script"))
    lines = {span.get("id"): span for span in tree.iter("span") if span.get("id")}
    text = ["".join(span.itertext()) for span in lines.values()]
    assert len(text) == len(SOURCE.splitlines())
    for number, (shown, line) in enumerate(zip(text, SOURCE.splitlines(), strict=True), 1):
        assert shown.rstrip("\n").lstrip() == f"{number}{line}".lstrip() or shown.endswith(
            f"{line}\n"
        )
    anchors = {
        a.get("id"): span for span, line in lines.items() for a in line.iter("a") if a.get("id")
    }
    assert anchors == {"Rule": "L-4", "inner": "L-11"}  # the method is no anchor of its own


def test_listings_lie_where_links_expect_them(tmp_path: Path) -> None:
    (tmp_path / "polarity").mkdir()
    (tmp_path / "polarity" / "rules.py").write_text(SOURCE)
    write_listings(tmp_path, tmp_path / "static", ["polarity/rules.py", "polarity/gone.py"] * 2)
    found = sorted(p for p in (tmp_path / "static").rglob("*") if p.is_file())
    assert found == [tmp_path / "static" / "source" / "polarity" / "rules.html"]
    # From html/_static/source/polarity/ up to html/.
    assert 'href="../../../book/index.html"' in found[0].read_text()
