"""Templates as files: what is written is read, and nothing else is."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import random
import stat
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from fuzz_files import mutated, resealed, seeds, verdict
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from polarity import PolarityTemplate
from polarity.core import DamagedFileError, FileVersionError, TemplateFileError, files

ALEXNET = {
    "features.0.weight": (64, 3, 11, 11),
    "features.3.weight": (192, 64, 5, 5),
    "features.6.weight": (384, 192, 3, 3),
    "features.8.weight": (256, 384, 3, 3),
    "features.10.weight": (256, 256, 3, 3),
    "classifier.1.weight": (4096, 9216),
    "classifier.4.weight": (4096, 4096),
    "classifier.6.weight": (1000, 4096),
}


def signs(*shape: int, zeros: bool = False, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    if zeros:
        return torch.randint(-1, 2, shape, generator=draw, dtype=torch.int8)
    return torch.randint(0, 2, shape, generator=draw, dtype=torch.int8) * 2 - 1


def small() -> PolarityTemplate:
    entries = {"b.weight": signs(3, 7), "a": torch.tensor([0, 1, -1, 1, 0, 0, -1])}
    return PolarityTemplate(entries)


def saved(path: Path, template: PolarityTemplate | None = None, **metadata: str) -> bytes:
    (small() if template is None else template).save(path, metadata=metadata)
    return path.read_bytes()


def end_of_header(content: bytes) -> int:
    return 8 + int.from_bytes(content[:8], "little")


def framed(header: bytes, payload: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + payload


def forged(change: Callable[[dict[str, Any]], None], payload: bytes, path: Path) -> bytes:
    """A file with another header and content, all checksums right."""
    content = saved(path)
    table = json.loads(content[8 : end_of_header(content)])
    change(table)
    text = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()
    return resealed(framed(text + b" " * (-len(text) % 8), payload))


def entry(layout: str, nbytes: int, name: str = "w") -> Callable[[dict[str, Any]], None]:
    """One entry, of the layout, in place of those of the small file."""

    def change(table: dict[str, Any]) -> None:
        beginning = dict(list(table["__metadata__"].items())[:3])
        table.clear()
        table["__metadata__"] = beginning
        table["__metadata__"]["polarity.bytes"] = str(nbytes)
        table["__metadata__"]["polarity.entry." + name] = f"{layout} {64 * '0'}"
        table[name] = {"dtype": "U8", "shape": [nbytes], "data_offsets": [0, nbytes]}

    return change


def refused(content: bytes, path: Path, match: str | None, error: type = DamagedFileError) -> None:
    path.write_bytes(content)
    with pytest.raises(error, match=match) as caught:
        PolarityTemplate.load(path)
    assert str(caught.value).startswith(f"{path}: ")


# --- round trips --------------------------------------------------------------------------------

shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)
entries = st.tuples(shapes, st.booleans(), st.integers(0, 99)).map(
    lambda of: signs(*of[0], zeros=of[1], seed=of[2])
)
texts = st.text(max_size=12)
names = texts.filter(lambda name: "_" not in name)  # hence no __metadata__, no _orig_mod
templates = st.dictionaries(names, entries, max_size=4).map(PolarityTemplate)
metadata = st.dictionaries(texts.filter(lambda key: not key.startswith("polarity.")), texts)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@given(template=templates, said=metadata)
@settings(max_examples=200, deadline=None)
def test_what_is_saved_is_loaded(
    shared: Path, template: PolarityTemplate, said: dict[str, str]
) -> None:
    template.save(shared / "first", metadata=said)
    loaded = PolarityTemplate.load(shared / "first")
    assert loaded == template
    assert list(loaded) == list(template)  # the order in which rules draw at random
    assert all(t.dtype == torch.int8 and t.is_contiguous() for t in loaded.values())
    assert loaded.digest() == template.digest()
    assert loaded.metadata == said
    loaded.save(shared / "second")
    assert (shared / "second").read_bytes() == (shared / "first").read_bytes()


@pytest.mark.parametrize("zeros", [False, True])
def test_every_length_around_bytes_and_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zeros: bool
) -> None:
    monkeypatch.setattr(files, "CHUNK", 16)
    template = PolarityTemplate({str(n): signs(n, zeros=zeros, seed=n) for n in range(100)})
    saved(tmp_path / "t", template)
    assert PolarityTemplate.load(tmp_path / "t") == template


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_lengths_around_the_real_chunk(tmp_path: Path, zeros: bool, extra: int) -> None:
    length = files.CHUNK * (5 if zeros else 1) + extra
    template = PolarityTemplate({"w": signs(length, zeros=zeros)})
    saved(tmp_path / "t", template)
    assert PolarityTemplate.load(tmp_path / "t") == template


def test_a_zero_late_in_an_entry_is_kept(tmp_path: Path) -> None:
    late = signs(files.CHUNK + 9)
    late[-1] = 0
    saved(tmp_path / "t", PolarityTemplate({"w": late}))
    assert torch.equal(PolarityTemplate.load(tmp_path / "t")["w"], late)


def test_a_non_contiguous_entry(tmp_path: Path) -> None:
    template = PolarityTemplate({"w": signs(4, 6)})
    template["w"].t_()
    saved(tmp_path / "t", template)
    assert PolarityTemplate.load(tmp_path / "t") == template


def test_a_loaded_template_is_like_any_other(tmp_path: Path) -> None:
    donor = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 8))
    template = PolarityTemplate.from_model(donor)
    saved(tmp_path / "t", template)
    loaded = PolarityTemplate.load(tmp_path / "t")
    assert loaded.violations(donor) == {}
    assert (loaded.num_bits, repr(loaded)) == (template.num_bits, repr(template))
    model = copy.deepcopy(donor)
    nn.init.normal_(model.get_parameter("2.weight"))
    assert loaded.match_(model) is model
    assert template.violations(model) == {}


def test_names_that_look_like_paths_are_names(tmp_path: Path) -> None:
    names = ["../../etc/x", "/abs", "c:\\x", "a\nb", "\x00", "", "polarity.entry.w", "é\u2028"]
    template = PolarityTemplate({name: signs(2) for name in names})
    saved(tmp_path / "t", template)
    assert list(PolarityTemplate.load(tmp_path / "t")) == names
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_names_of_wrapped_models_are_those_of_the_bare_one(tmp_path: Path) -> None:
    """As in the constructor: a file may come from a version that knew fewer wrappers."""
    files.write(tmp_path / "t", {"module._orig_mod.a.w": signs(2), "module.b.w": signs(3)}, {})
    assert list(PolarityTemplate.load(tmp_path / "t")) == ["a.w", "b.w"]
    files.write(tmp_path / "t", {"_orig_mod.w": signs(2), "w": signs(3)}, {})
    with pytest.raises(TemplateFileError, match=r"t: names differ by a wrapper's prefix alone"):
        PolarityTemplate.load(tmp_path / "t")


# --- the layout ---------------------------------------------------------------------------------


def test_version_1_to_the_letter(tmp_path: Path) -> None:
    """Files that exist must stay readable: change this test only with the version's number."""
    rows = torch.tensor([[1, -1, -1, 1, 1, 1], [-1, 1, 1, -1, -1, 1]])
    line = torch.tensor([1, 0, -1, 0, 0, 0, 1])
    bits = bytes([0b10111001, 0b00001001])
    trits = bytes([2 + 3 * 0 + 9 * 1 + 27 * 2, 1 + 3 * 1 + 9 * 1])  # 0, 2, 4, 6 and 1, 3, 5
    head = (
        '{"__metadata__":{"polarity.version":"1","polarity.sha256":"%s","polarity.bytes":"4",'
        f'"polarity.entry.w":"bits [2,6] {hashlib.sha256(bits).hexdigest()}",'
        f'"polarity.entry.é":"trits [7] {hashlib.sha256(trits).hexdigest()}","donor":"A \\"B\\""}},'
        '"w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},'
        '"é":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}'
    )
    blank = (head % (64 * "0")).encode()
    blank = framed(blank + b" " * (-len(blank) % 8))
    sum_ = hashlib.sha256(blank).hexdigest().encode()
    expected = blank.replace(64 * b"0", sum_) + bits + trits

    template = PolarityTemplate({"w": rows, "é": line})
    assert saved(tmp_path / "t", template, donor='A "B"') == expected
    assert PolarityTemplate.load(tmp_path / "t") == template


def test_any_reader_of_safetensors_opens_it(tmp_path: Path) -> None:
    saved(tmp_path / "t", donor="AlexNet", licence="CC0")
    with safetensors.safe_open(tmp_path / "t", "np") as file:
        assert set(file.keys()) == {"a", "b.weight"}
        assert file.metadata()["donor"] == "AlexNet"
        assert file.metadata()["polarity.entry.a"].startswith("trits [7] ")
        assert file.get_tensor("b.weight").dtype == np.uint8
        assert file.get_tensor("b.weight").shape == (3,)


def test_one_bit_a_weight_and_1_6_where_zeros_occur(tmp_path: Path) -> None:
    for zeros, most in (False, 8), (True, 5):
        content = saved(tmp_path / "t", PolarityTemplate({"w": signs(1001, zeros=zeros)}))
        assert len(content) - end_of_header(content) == -(-1001 // most)


def test_alexnet_takes_less_than_7_7_megabytes(tmp_path: Path) -> None:
    template = PolarityTemplate({name: signs(*shape) for name, shape in ALEXNET.items()})
    template.save(tmp_path / "t", metadata={"donor": "AlexNet", "donor_sha256": 64 * "0"})
    assert template.num_bits == 61_090_496
    assert (tmp_path / "t").stat().st_size <= 7.7e6
    assert PolarityTemplate.load(tmp_path / "t") == template


# --- metadata -----------------------------------------------------------------------------------


def test_metadata_are_kept_and_no_part_of_the_template(tmp_path: Path) -> None:
    template = small()
    assert template.metadata == {}
    template.save(tmp_path / "t", metadata={"donor": "A", "licence": "CC0"})
    assert template.metadata == {}
    loaded = PolarityTemplate.load(tmp_path / "t")
    assert loaded.metadata == {"donor": "A", "licence": "CC0"}
    assert loaded == template
    assert loaded.digest() == template.digest()
    for copied in copy.deepcopy(loaded), pickle.loads(pickle.dumps(loaded)):
        assert copied == loaded
        assert copied.metadata == loaded.metadata
    with pytest.raises(TypeError):
        loaded.metadata["donor"] = "B"  # type: ignore[index]
    loaded.save(tmp_path / "t", metadata={"donor": "B"})
    assert PolarityTemplate.load(tmp_path / "t").metadata == {"donor": "B"}
    loaded.save(tmp_path / "t", metadata={})
    assert PolarityTemplate.load(tmp_path / "t").metadata == {}


@pytest.mark.parametrize(
    ("said", "error", "match"),
    [
        ({"seed": 1}, TypeError, r"metadata must map strings to strings, got 'seed': 1"),
        ({1: "x"}, TypeError, r"metadata must map strings to strings, got 1: 'x'"),
        ({"polarity.version": "2"}, ValueError, r"must not begin with 'polarity.', got 'polarity"),
        ({"donor": "\ud800"}, ValueError, r"metadata must be text, got '\\ud800'"),
        ({"\ud800": "donor"}, ValueError, r"metadata must be text, got '\\ud800'"),
        ({"x": "y" * (1 << 24)}, ValueError, r"names and metadata take \d+ bytes, more than the"),
    ],
    ids=["value", "key", "reserved", "surrogate", "surrogate key", "long"],
)
def test_metadata_that_cannot_be_saved(
    tmp_path: Path, said: Any, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        small().save(tmp_path / "t", metadata=said)
    assert not list(tmp_path.iterdir())


# --- writing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["__metadata__", "\udcff"])
def test_names_that_no_file_can_hold(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="entry"):
        saved(tmp_path / "t", PolarityTemplate({name: signs(2)}))


@pytest.mark.parametrize("value", [2, 3, -2, 127, -128])
@pytest.mark.parametrize("zeros", [False, True])
def test_an_entry_spoilt_since_it_was_made_is_not_saved(
    tmp_path: Path, value: int, zeros: bool
) -> None:
    template = PolarityTemplate({"w": signs(20, zeros=zeros)})
    held = template._signs["w"]  # what nobody else can reach
    held[11] = value
    with pytest.raises(ValueError, match=r"'w' holds other values than -1, 0 and \+1"):
        template.save(tmp_path / "t")
    held.data = held.float()
    with pytest.raises(ValueError, match=r"'w' must be an int8 tensor .* got torch.float32"):
        template.save(tmp_path / "t")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    template = PolarityTemplate({"w": signs(20)})
    for path in (pipe, tmp_path):
        with pytest.raises(FileExistsError, match=f"cannot write {path}: it is there, and is no"):
            template.save(path)
    assert stat.S_ISFIFO(pipe.stat().st_mode) and list(tmp_path.iterdir()) == [pipe]


def test_a_default_device_does_not_choose_where_a_file_is_read(tmp_path: Path) -> None:
    template = PolarityTemplate({"w": signs(20)})
    template.save(tmp_path / "t")
    with torch.device("meta"):
        loaded = PolarityTemplate.load(tmp_path / "t")
        assert loaded == template and loaded["w"].is_cpu


@pytest.mark.parametrize("zeros", [False, True])
def test_as_many_dimensions_as_an_array_can_have(tmp_path: Path, zeros: bool) -> None:
    most = signs(*(62 * (1,)), 3, 2, zeros=zeros)
    saved(tmp_path / "t", PolarityTemplate({"w": most}))
    assert torch.equal(PolarityTemplate.load(tmp_path / "t")["w"], most)
    with pytest.raises(ValueError, match=r"at most 64 dimensions, got torch.int8, 65 dimensions"):
        files.write(tmp_path / "t", {"w": most[None]}, {})


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_save_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    before = saved(tmp_path / "t")

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, fails, full)
    with pytest.raises(OSError, match="no space left"):
        PolarityTemplate({"w": signs(9)}).save(tmp_path / "t")
    assert (tmp_path / "t").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_the_file_is_complete_and_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    sync, replace = os.fsync, os.replace

    def synced(file: int) -> None:
        calls.append(f"fsync {os.fstat(file).st_size}" if not calls else "fsync")
        sync(file)

    def replaced(source: Path, target: Path) -> None:
        calls.append("replace")
        assert not target.exists()
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    content = saved(tmp_path / "t")
    assert calls == [f"fsync {len(content)}", "replace", "fsync"]


def test_where_to(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"cannot write .*t: there is no folder .*none"):
        small().save(tmp_path / "none" / "t")
    with pytest.raises(OSError):
        small().save(tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "t")
    small().save(str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert PolarityTemplate.load(tmp_path / "folder" / "t") == small()
    mask = os.umask(0o022)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "folder" / "t").stat().st_mode) == 0o666 & ~mask


# --- damage -------------------------------------------------------------------------------------


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    content = saved(tmp_path / "t", donor="x")
    for place in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            refused(bytes(damaged), tmp_path / "t", None, TemplateFileError)


def test_every_truncation_is_found(tmp_path: Path) -> None:
    content = saved(tmp_path / "t")
    for length in range(len(content)):
        refused(content[:length], tmp_path / "t", None, TemplateFileError)


@pytest.mark.parametrize("tail", [b"\0", b" ", b"\n", 100 * b"x"])
def test_trailing_bytes_are_found(tmp_path: Path, tail: bytes) -> None:
    content = saved(tmp_path / "t")
    match = rf"it should end at byte {len(content)}, but {len(tail)} bytes follow"
    refused(content + tail, tmp_path / "t", match)


def test_damage_is_placed(tmp_path: Path) -> None:
    content = saved(tmp_path / "t", donor="x")
    end = end_of_header(content)

    def changed(place: int, by: bytes) -> bytes:
        return content[:place] + by + content[place + len(by) :]

    for place, name in (end, "b.weight"), (end + 2, "b.weight"), (end + 3, "a"), (-1, "a"):
        place %= len(content)
        flipped = changed(place, bytes([content[place] ^ 1]))
        refused(flipped, tmp_path / "t", f"the content of '{name}' does not have its checksum")
    cut = rf"it should end at byte {len(content)}, but 2 bytes are missing"
    refused(content[:-2], tmp_path / "t", cut)
    header = rf"the header, bytes 0 to {end - 1}, does not have its checksum"
    refused(changed(content.index(b"donor"), b"dONOR"), tmp_path / "t", header)
    refused(changed(content.index(b"3,7"), b"7,3"), tmp_path / "t", header)
    refused(changed(end - 1, b"\n"), tmp_path / "t", header)
    shorter = header.replace(str(end - 1), str(end - 2))
    refused(changed(0, (end - 9).to_bytes(8, "little")), tmp_path / "t", shorter)
    refused(
        changed(0, (1 << 40).to_bytes(8, "little")),
        tmp_path / "t",
        rf"its header would end at byte {8 + (1 << 40)}, the file at byte {len(content)}",
        TemplateFileError,
    )


@pytest.mark.parametrize("version", ["2", "0", "999999999"])
def test_versions_that_are_not_known(tmp_path: Path, version: str) -> None:
    content = saved(tmp_path / "t")
    other = content[8:].replace(b'version":"1"', f'version":"{version}"'.encode())
    match = rf"has version {version} of the layout, and only version 1 is known"
    refused(framed(other), tmp_path / "t", match, FileVersionError)


def test_errors_are_value_errors() -> None:
    assert issubclass(TemplateFileError, ValueError)
    assert issubclass(DamagedFileError, TemplateFileError)
    assert issubclass(FileVersionError, TemplateFileError)


# --- what is no template ------------------------------------------------------------------------


class Trap:
    """Executes code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.target,)

    def __init__(self, target: str) -> None:
        self.target = target


def test_pickles_are_refused_and_not_executed(tmp_path: Path) -> None:
    trap = Trap(str(tmp_path / "sprung"))
    torch.save(trap, tmp_path / "zip")
    (tmp_path / "pickle").write_bytes(pickle.dumps(trap))
    for name in "zip", "pickle":
        with pytest.raises(TemplateFileError, match="is no polarity template"):
            PolarityTemplate.load(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t"
    for content in b"", b"\0", 8 * b"\0", framed(b"{}"), framed(b"[]", b"1"), 64 * b"\xff":
        refused(content, path, "is no polarity template", TemplateFileError)
    safetensors.numpy.save_file({"w": np.ones(3, np.float32)}, path, {"format": "pt"})
    refused(path.read_bytes(), path, "there is no 'polarity.version'", TemplateFileError)
    with open(path, "wb") as file:
        file.write((1 << 25).to_bytes(8, "little"))
        file.truncate(1 << 26)
    with pytest.raises(TemplateFileError, match=r"its header has 33554440 bytes, 16777216 are"):
        PolarityTemplate.load(path)
    with pytest.raises(FileNotFoundError):
        PolarityTemplate.load(tmp_path / "none")
    with pytest.raises(OSError):
        PolarityTemplate.load(tmp_path)
    with pytest.raises(TemplateFileError, match="is no regular file"):
        PolarityTemplate.load(os.devnull)


# --- malice: all checksums are right ------------------------------------------------------------

MALICE: dict[str, tuple[str, bytes, str]] = {
    "one value too many": ("bits [9]", b"\0", r"'w' of shape \(9,\) takes 2 bytes in bits, the"),
    "a byte too many": ("bits [8]", b"\0\0", r"takes 1 bytes in bits, the file holds 2"),
    "trits too many": ("trits [6]", b"\0", r"takes 2 bytes in trits, the file holds 1"),
    "absurd shape": ("bits [999999999999,999999]", b"\0", r"takes \d+ bytes in bits, .* holds 1"),
    "product wraps to 0": ("bits [4294967296,4294967296]", b"", "which is impossible"),
    "product wraps to 8": ("bits [2305843009213693953,8]", b"\0", "which is impossible"),
    "length beyond 2**63": ("bits [9999999999999999999]", b"", "which is impossible"),
    "no values, absurd lengths": ("bits [0,4294967296,4294967296]", b"", "is impossible"),
    "digits without end": (f"bits [{500 * '9'}]", b"\0", "does not tell encoding, shape"),
    "too many dimensions": (f"bits [{','.join(65 * '1')}]", b"\0", "does not tell encoding"),
    "negative length": ("bits [-8]", b"\0", "does not tell encoding, shape and checksum of 'w'"),
    "leading zero": ("bits [08]", b"\0", "the header is not as version 1 of the layout has it"),
    "no shape": ("bits", b"\0", "does not tell encoding, shape and checksum of 'w'"),
    "unknown encoding": ("zstd [8]", b"\0", "does not tell encoding, shape and checksum of 'w'"),
    "other digits": ("bits [٣]", b"\0", "the header is not as version 1 of the layout has it"),
    "padding bits": ("bits [5]", b"\x20", r"'w': bits beyond its 5 values are not 0"),
    "padding trits": ("trits [3]", bytes([1 + 27]), r"'w': trits beyond its 3 values are not 0"),
    "no trits": ("trits [5]", b"\xf3", r"'w': byte 0 of its content is no number of five trits"),
    "no trits, just": ("trits [15]", b"\xf2\x10\xf3", r"byte 2 of its content is no number"),
    "no trits, later": ("trits [15]", b"\x00\x01\xff", r"byte 2 of its content is no number"),
    "trits for nothing": ("trits [2]", b"\x02", r"'w': it is written in trits although no value"),
    "trits of nothing": ("trits [0]", b"", r"'w': it is written in trits although no value"),
}


@pytest.mark.parametrize(("layout", "payload", "match"), MALICE.values(), ids=list(MALICE))
def test_malicious_entries(tmp_path: Path, layout: str, payload: bytes, match: str) -> None:
    refused(forged(entry(layout, len(payload)), payload, tmp_path / "t"), tmp_path / "t", match)


def test_the_forger_can_forge(tmp_path: Path) -> None:
    """Otherwise the tests around would prove nothing."""
    (tmp_path / "t").write_bytes(forged(entry("bits [2,4]", 1), b"\x0f", tmp_path / "t"))
    expected = torch.tensor([[1, 1, 1, 1], [-1, -1, -1, -1]])
    assert PolarityTemplate.load(tmp_path / "t") == PolarityTemplate({"w": expected})


HEADERS: dict[str, tuple[bytes, bytes, str]] = {
    "entry twice": (
        b'"w":{"dtype":"U8"',
        b'"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8"',
        r"the header holds 'w' twice",
    ),
    "metadata twice": (b'"donor":"x"', b'"donor":"y","donor":"x"', "the header holds 'donor' twi"),
    "key within an entry twice": (b'"dtype":"U8",', b'"dtype":"U8","dtype":"U8",', "duplicate"),
    "version twice": (b'"donor":', b'"polarity.version":"1","donor":', "'polarity.version' twice"),
    "reserved key": (b'"donor":', b'"polarity.x":', "the header is not as version 1"),
    "entry without content": (b'"donor":', b'"polarity.entry.x":', "the header is not as versi"),
    "content without entry": (b'"w":{', b'"v":{', "encoding, shape and checksum of 'v'"),
    "other dtype": (b'"U8","shape":[1]', b'"I8","shape":[1]', "the header is not as version 1"),
    "unknown dtype": (b'"U8"', b'"U7"', "no safetensors file: .*U7"),
    "other shape": (b'"shape":[1]', b'"shape":[1,1]', "the header is not as version 1"),
    "absurd container": (b'"shape":[1]', b'"shape":[99999999999]', "no safetensors file"),
    "offsets backwards": (b"[0,1]", b"[1,0]", "no safetensors file"),
    "offsets outside": (b"[0,1]", b"[0,9]", "no safetensors file"),
    "negative offset": (b"[0,1]", b"[-1,0]", "no safetensors file"),
    "more keys": (b'"dtype"', b'"run":"rm","dtype"', "the header is not as version 1"),
    "spaces": (b'"dtype"', b' "dtype"', "the header is not as version 1 .* from byte"),
    "escaped": (b'"donor"', b'"d\\u006fnor"', "the header is not as version 1 of"),
    "lone surrogate": (b'"donor":"x"', b'"donor":"\\ud800"', "no safetensors file"),
    "not UTF-8": (b'"donor":"x"', b'"donor":"\xff"', "no safetensors file"),
    "no string": (b'"donor":"x"', b'"donor":["x"]', "no safetensors file"),
    "deep": (b'"donor":"x"', b'"donor":' + 100_000 * b"[", "no safetensors file"),
    "deep and unknown": (b'"dtype"', b'"x":' + 120 * b"[" + 120 * b"]" + b',"dtype"', "the head"),
    "long number": (b'"dtype"', b'"x":' + 5000 * b"9" + b',"dtype"', "no safetensors file"),
    "no metadata": (b'"donor":"x"}', b'"donor":"x"},"__metadata__":{}', "duplicate"),
    "bytes, leading zero": (b'bytes":"1"', b'bytes":"01"', "the header is not as version 1"),
    "version, leading zero": (b'version":"1"', b'version":"01"', "the header is not as version 1"),
    "no checksum": (b'"polarity.sha256"', b'"polarity.sha512"', r"no checksum follows .* byte 47"),
    "capital checksum": (b'"polarity.sha256":"', b'"polarity.sha256":"F', "no checksum follows"),
}


@pytest.mark.parametrize(("old", "new", "match"), HEADERS.values(), ids=list(HEADERS))
def test_malicious_headers(tmp_path: Path, old: bytes, new: bytes, match: str) -> None:
    content = saved(tmp_path / "t", PolarityTemplate({"w": signs(8)}), donor="x")
    end = end_of_header(content)
    assert old in content[:end]
    header = content[8:end].rstrip().replace(old, new, 1)
    forged = resealed(framed(header + b" " * (-len(header) % 8), content[end:]))
    refused(forged, tmp_path / "t", match)


def test_entries_in_another_order_than_their_bytes(tmp_path: Path) -> None:
    template = PolarityTemplate({"v": signs(8), "w": signs(8, seed=1)})
    content = saved(tmp_path / "t", template)
    other = content.replace(b"[0,1]", b"[_,_]").replace(b"[1,2]", b"[0,1]")
    other = resealed(other.replace(b"[_,_]", b"[1,2]"))
    refused(other, tmp_path / "t", "the header is not as version 1")
    refused(content.replace(b"[1,2]", b"[0,1]"), tmp_path / "t", "the header, bytes")
    refused(resealed(content.replace(b"[1,2]", b"[0,1]")), tmp_path / "t", "no safetensors file")


def test_a_file_that_shrinks_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = saved(tmp_path / "t")
    (tmp_path / "t").write_bytes(content[:-3])
    whole = os.stat_result((stat.S_IFREG, 0, 0, 0, 0, 0, len(content), 0, 0, 0))
    monkeypatch.setattr(os, "fstat", lambda file: whole)
    with pytest.raises(DamagedFileError, match="3 bytes went missing while it was read"):
        PolarityTemplate.load(tmp_path / "t")


# --- memory -------------------------------------------------------------------------------------


class Memory:
    """Bytes that a stretch of code takes: at most at a time by Python and numpy, plus torch's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.peak = 0
        self._asked = 0
        self._empty = torch.empty
        monkeypatch.setattr(torch, "empty", self._counted)

    def _counted(self, *args: Any, **kwargs: Any) -> Tensor:
        made = self._empty(*args, **kwargs)
        self._asked += made.nbytes
        return made

    def __enter__(self) -> Memory:
        self._asked = 0
        tracemalloc.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.peak = tracemalloc.get_traced_memory()[1] + self._asked
        tracemalloc.stop()


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    return Memory(monkeypatch)


@pytest.mark.parametrize("name", ["absurd shape", "product wraps to 0", "digits without end"])
def test_an_absurd_shape_takes_no_memory(tmp_path: Path, name: str, memory: Memory) -> None:
    layout, payload, match = MALICE[name]
    content = forged(entry(layout, len(payload)), payload, tmp_path / "t")
    with memory:
        refused(content, tmp_path / "t", match)
    assert memory.peak < 1 << 20


def bombs() -> dict[str, tuple[bytes, bytes]]:
    size = 1 << 20
    return {
        "lists": (b'"donor":"x"', b'"donor":[' + size // 3 * b"[]," + b"[]]"),
        "ignored lists": (b'"dtype"', b'"x":[' + size // 3 * b"[]," + b'[]],"dtype"'),
        "strings": (b'"donor":"x"', b",".join(b'"%x":""' % i for i in range(size // 10))),
        "one string": (b'"donor":"x"', b'"donor":"' + size * b"x" + b'"'),
        "zeros": (b'"shape":[1]', b'"shape":[' + size // 2 * b"0," + b"0]"),
    }


@pytest.mark.parametrize("name", bombs())
def test_a_header_takes_no_more_than_a_multiple_of_its_size(
    tmp_path: Path, name: str, memory: Memory
) -> None:
    content = saved(tmp_path / "t", PolarityTemplate({"w": signs(8)}), donor="x")
    old, new = bombs()[name]
    end = end_of_header(content)
    header = content[8:end].rstrip().replace(old, new, 1)
    (tmp_path / "t").write_bytes(resealed(framed(header + b" " * (-len(header) % 8), b"\0")))
    with memory:
        try:
            PolarityTemplate.load(tmp_path / "t")
            assert "string" in name
        except DamagedFileError:
            assert "string" not in name
    assert memory.peak < 32 * (tmp_path / "t").stat().st_size


@pytest.mark.parametrize(("zeros", "bits"), [(False, 1), (True, 1.6)])
def test_packing_and_unpacking_take_no_large_temporaries(
    tmp_path: Path, zeros: bool, bits: float, memory: Memory
) -> None:
    size = 1 << 24
    packed, little = bits / 8 * size, 4 << 20
    template = PolarityTemplate({"w": torch.ones(1, dtype=torch.int8).expand(size)})
    if zeros:
        template["w"][::3] = 0
    with memory:
        template.save(tmp_path / "t")
    assert memory.peak < packed + little
    with memory:
        loaded = PolarityTemplate.load(tmp_path / "t")
    assert memory.peak < size + 3 * packed + little
    assert loaded == template


# --- fuzz ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus(shared: Path) -> list[bytes]:
    return [saved(shared / "fuzz", template, donor="x") for template in seeds()]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=1000, deadline=None)
def test_a_changed_file_is_refused_or_means_what_it_says(
    shared: Path, corpus: list[bytes], seed: int
) -> None:
    """``fuzz_files.py`` does the same at length, led by coverage."""
    draw = random.Random(seed)
    content = draw.choice(corpus)
    for _ in range(draw.choice([1, 1, 2, 3])):
        content = mutated(content, draw.choice(corpus), draw)
    verdict(content, shared)


@given(content=st.binary(max_size=200), sealed=st.booleans())
@settings(max_examples=200, deadline=None)
def test_noise_is_refused(shared: Path, content: bytes, sealed: bool) -> None:
    assert verdict(framed(content) if sealed else content, shared) != "accepted"
