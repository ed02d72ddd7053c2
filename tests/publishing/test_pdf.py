"""The book as one PDF: in the order of its contents, with bookmarks."""

from __future__ import annotations

from pathlib import Path

import pytest
from pypdf import PdfReader

from polarity.publishing import pdf
from polarity.publishing.sources import BookError

PAGE = (
    '<html lang="en"><head><title>{0} &#8212; Book</title></head><body><h1>{0}</h1></body></html>'
)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nparts:\n"
        "  - caption: Part one\n    chapters:\n      - file: book/b\n        sections:\n"
        "          - file: book/c\n  - caption: Part two\n    chapters:\n      - file: book/a\n"
    )
    (tmp_path / "html" / "book").mkdir(parents=True)
    for name, title in {"index": "Start &amp; go", "a": "A", "b": "B", "c": "C"}.items():
        (tmp_path / "html" / "book" / f"{name}.html").write_text(PAGE.format(title))
    return tmp_path


def test_the_order_is_that_of_the_contents(book: Path) -> None:
    found = [(c.title, c.depth, c.path is None) for c in pdf.chapters(book, book / "html")]
    assert found == [
        ("Start & go", 0, False),
        ("Part one", 0, True),
        ("B", 1, False),
        ("C", 2, False),
        ("Part two", 0, True),
        ("A", 1, False),
    ]


def test_a_page_that_was_not_rendered_is_named(book: Path) -> None:
    (book / "html" / "book" / "c.html").unlink()
    with pytest.raises(BookError, match=r"c\.html is missing: run `make book` first"):
        list(pdf.chapters(book, book / "html"))


def test_without_a_browser_the_message_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(pdf.CHROMIUM, "/nowhere/chromium")
    with pytest.raises(BookError, match=r"\$POLARITY_CHROMIUM names '/nowhere/chromium'"):
        pdf.browser()
    monkeypatch.delenv(pdf.CHROMIUM)
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None)
    with pytest.raises(BookError, match=r"no Chromium: install.*apt install chromium"):
        pdf.browser()


def test_pages_are_printed_and_joined_with_bookmarks(book: Path) -> None:
    try:
        pdf.browser()
    except BookError as missing:
        pytest.skip(str(missing))
    target = pdf.write_pdf(book, book / "html", book / "out" / "book.pdf")
    read = PdfReader(target)
    assert [page.extract_text().strip() for page in read.pages] == ["Start & go", "B", "C", "A"]
    (start, first, (b, (c,)), second, (a,)) = read.outline
    assert [item.title for item in (start, first, b, c, second, a)] == [
        "Start & go", "Part one", "B", "C", "Part two", "A",
    ]  # fmt: skip
    places = [read.get_destination_page_number(x) for x in (start, first, b, c, second, a)]
    assert places == [0, 1, 1, 2, 3, 3]
    assert read.metadata and read.metadata.title == "Start & go"
    assert [path.name for path in target.parent.iterdir()] == ["book.pdf"]


def test_a_browser_that_fails_is_quoted(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = book / "chromium"
    program.write_text("#!/bin/sh\necho 'out of paper' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv(pdf.CHROMIUM, str(program))
    with pytest.raises(BookError, match=r"index\.html: .*did not print it:\nout of paper"):
        pdf.write_pdf(book, book / "html", book / "book.pdf")
    assert not (book / "book.pdf").exists()
