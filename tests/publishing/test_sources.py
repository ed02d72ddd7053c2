"""Which pages there are, their order, and what their keys depend on."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_book import Project

from polarity.publishing.sources import BookError, changes, ingredients, key_of, pages_of


def names(project: Project) -> list[str]:
    return [page.name for page in pages_of(project.root)]


def test_pages_come_in_the_order_of_the_contents(project: Project) -> None:
    project.toc("index", "xor5d", "capacity")
    for name in ("index", "xor5d", "capacity", "not_in_the_contents"):
        project.page(name)
    assert names(project) == ["index", "xor5d", "capacity"]


def test_a_page_comes_after_those_it_draws_on(project: Project) -> None:
    project.toc("index", "claims", "xor5d", "capacity")
    project.page("index", after=["claims"])
    project.page("claims", after=["xor5d", "capacity"])
    project.page("xor5d")
    project.page("capacity")
    order = names(project)
    assert order.index("claims") > max(order.index("xor5d"), order.index("capacity"))
    assert order[-1] == "index"


def test_missing_pages_are_listed_together(project: Project) -> None:
    project.toc("index", "xor5d", "capacity")
    project.page("index")
    with pytest.raises(BookError, match=r"do not exist: book/xor5d\.md, book/capacity\.md"):
        pages_of(project.root)


def test_a_missing_table_of_contents(project: Project) -> None:
    with pytest.raises(BookError, match=r"there is no .*_toc\.yml"):
        pages_of(project.root)


def test_a_malformed_table_of_contents(project: Project) -> None:
    (project.root / "_toc.yml").write_text("format: jb-book\nchapters: []\n")
    with pytest.raises(BookError, match=r"_toc\.yml.*root"):
        pages_of(project.root)


def test_pages_that_wait_for_one_another(project: Project) -> None:
    project.toc("index", "a", "b")
    project.page("index")
    project.page("a", after=["b"])
    project.page("b", after=["a"])
    with pytest.raises(BookError, match=r"wait for one another: (a -> b -> a|b -> a -> b)"):
        pages_of(project.root)


def test_an_unknown_page_to_wait_for(project: Project) -> None:
    project.toc("index")
    project.page("index", after=["xor"])
    with pytest.raises(BookError, match=r"index\.md: .* asks for 'xor' first; pages are index"):
        pages_of(project.root)


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        ("polarity: {afer: [index]}", "may hold after, inputs and data, each a list; got afer"),
        ("polarity: {after: index}", "after must be a list, got 'index'"),
        ("polarity: [index]", "may hold after, inputs and data"),
        ("polarity: {inputs: [book/*.csv]}", r"no file matches 'book/\*\.csv'"),
        ("polarity: {data: [mnist]}", r"data: must be of fashion_mnist, .*tiny.*; got 'mnist'"),
    ],
)
def test_an_unusable_front_matter(project: Project, ours: str, message: str) -> None:
    project.toc("index")
    path = project.page("index")
    path.write_text(path.read_text().replace("kernelspec:", f"{ours}\nkernelspec:", 1))
    with pytest.raises(BookError, match=message):
        pages_of(project.root)


def test_data_that_come_and_go_are_part_of_the_key(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, folder in (("POLARITY_DATA", "named"), ("XDG_CACHE_HOME", "cache")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("POLARITY_OFFLINE", raising=False)
    project.toc("index")
    project.page("index", data=["cifar10"])

    def found() -> str:
        (page,) = pages_of(project.root)
        parts = ingredients(page, project.root, tier="live", device="cpu", executed={})
        return parts["the data cifar10"]

    assert found() == "nowhere"
    monkeypatch.setenv("POLARITY_OFFLINE", "1")
    assert found() == "nowhere, and no downloads"
    (tmp_path / "named" / "cifar10_jpeg.npz").touch()
    assert "JPEG" in found()


def test_a_parameters_cell_of_more_than_literals(project: Project) -> None:
    project.toc("index")
    project.page("index", parameters="n = 2 * 3")
    with pytest.raises(BookError, match=r"index\.md: line 2 of the parameters cell"):
        pages_of(project.root)


def test_only_another_tier_is_injected(project: Project) -> None:
    project.toc("index", "prose")
    project.page("index")
    (project.root / "book" / "prose.md").write_text("# Prose\n")
    page, prose = pages_of(project.root)
    assert page.parameters("live") == {}
    assert page.parameters("smoke") == {"tier": "smoke"}
    assert prose.parameters("smoke") == {}
    assert page.has_code and not prose.has_code


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand a small package in for ours, so that a test may change it."""
    import polarity

    folder = tmp_path / "installed" / "polarity"
    (folder / "core").mkdir(parents=True)
    (folder / "publishing").mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "core" / "reset.py").write_text("one")
    (folder / "data.csv").write_text("1")
    monkeypatch.setattr(polarity, "__file__", str(folder / "__init__.py"))
    return folder


def test_the_key_follows_everything_that_could_change_a_result(
    project: Project, package: Path
) -> None:
    project.toc("index", "xor5d")
    project.page("index", after=["xor5d"], inputs=["book/*.csv"])
    page_path = project.page("xor5d")
    data = project.root / "book" / "runs.csv"
    data.write_text("1")
    executed = {"xor5d": project.root / "xor5d-k.ipynb"}
    executed["xor5d"].write_text("{}")

    def found(tier: str = "live", device: str = "cpu") -> dict[str, str]:
        page = pages_of(project.root)[-1]
        assert page.name == "index"
        return ingredients(page, project.root, tier=tier, device=device, executed=executed)

    before = found()
    assert key_of(found()) == key_of(before)
    assert changes(before, found(tier="smoke")) == "the parameters changed"
    assert changes(before, found(device="A GPU")) == "the device changed"
    for path, name in (
        (project.root / "book" / "index.md", "book/index.md"),
        (package / "core" / "reset.py", "polarity/core/reset.py"),
        (package / "data.csv", "polarity/data.csv"),
        (package / "new.py", "polarity/new.py"),
        (project.root / "constraints.txt", "constraints.txt"),
        (executed["xor5d"], "the results of xor5d"),
        (data, "book/runs.csv"),
    ):
        text = path.read_text() if path.exists() else ""
        path.write_text(text + "\n# changed")
        assert changes(before, found()) == f"{name} changed"
        assert key_of(found()) != key_of(before)
        path.write_text(text) if text else path.unlink()
    assert key_of(found()) == key_of(before)
    # What cannot change a result does not.
    page_path.touch()
    (package / "publishing" / "rendering.py").write_text("new")
    (package / "core" / "__pycache__").mkdir()
    (package / "core" / "__pycache__" / "reset.pyc").write_text("new")
    assert key_of(found()) == key_of(before)


def test_the_key_follows_the_python_version(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.toc("index")
    project.page("index")
    (page,) = pages_of(project.root)
    before = ingredients(page, project.root, tier="live", device="cpu", executed={})
    monkeypatch.setattr("platform.python_version", lambda: "3.99.0")
    after = ingredients(page, project.root, tier="live", device="cpu", executed={})
    assert changes(before, after) == "the Python version changed"


def test_many_changes_are_summed_up() -> None:
    now = {name: "2" for name in "abcde"}
    assert changes({name: "1" for name in "abcde"}, now) == "a, b and 3 more changed"
    assert changes({**now, "gone": "1"}, now) == "gone changed"
