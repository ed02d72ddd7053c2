"""Pickles of numbers are read; whatever else a pickle could do is refused before it does it."""

from __future__ import annotations

import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from pickled import ARRAY, Harm, does_harm, npy, python_2

from polarity.datasets.pickles import RefusedPickle, Stored, load, load_npy


def array_of(value: object) -> np.ndarray:
    assert isinstance(value, Stored) and value.array is not None
    return value.array


# --- what is read -------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("kind", ["<f4", ">f4", "f8", "f2", "u1", "i8", "bool"])
def test_arrays_are_read(kind: str, protocol: int) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(kind)
    held = load(pickle.dumps({"a": array, "n": [1, 300, -70000, 2**40, None, True]}, protocol), "x")
    assert held["n"] == [1, 300, -70000, 2**40, None, True]
    np.testing.assert_array_equal(array_of(held["a"]), array)
    assert array_of(held["a"]).dtype == array.dtype


@pytest.mark.parametrize(
    "array", [np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.array(3.0), np.zeros((0, 4))]
)
def test_arrays_of_any_order_and_shape(array: np.ndarray) -> None:
    got = array_of(load(pickle.dumps(array, 4), "x"))
    np.testing.assert_array_equal(got, array)
    assert got.shape == array.shape


def test_python_2s_pickles_are_read() -> None:
    value = {b"data": np.arange(600, dtype=np.uint8).reshape(2, 300), b"labels": [3, 1]}
    content = python_2(value)
    plain = pickle.loads(content, encoding="bytes")  # so it is one
    np.testing.assert_array_equal(plain[b"data"], value[b"data"])
    held = load(content, "x")
    assert held.keys() == value.keys() and held[b"labels"] == [3, 1]
    np.testing.assert_array_equal(array_of(held[b"data"]), value[b"data"])


def test_a_dictionary_in_an_npy_file_is_read() -> None:
    value = {"conv1": [np.ones((2, 2), np.float32), np.zeros(2, np.float32)]}
    held = load_npy(npy(value), "x")
    np.testing.assert_array_equal(array_of(held["conv1"][0]), np.ones((2, 2)))
    old = b"\x93NUMPY\x01\x00\x46\x00{'descr': '|O4', 'fortran_order': False, 'shape': (), }"
    old = old.ljust(79) + b"\n" + python_2_object(python_2({b"conv1": [np.ones(3)]}))
    np.testing.assert_array_equal(array_of(load_npy(old, "x")[b"conv1"][0]), np.ones(3))


def python_2_object(content: bytes) -> bytes:
    """The array of one object around a pickle by Python 2."""
    kind = b"cnumpy\ndtype\n(U\x02O4K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
    return b"\x80\x02" + ARRAY + b"(K\x01)" + kind + b"K?tb\x89](" + content[2:-1] + b"etb."


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(6))
def test_harm_is_refused(protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "harmed"
    array = np.zeros(3, np.float32)
    for value in (
        Harm(marker),
        {"a": array, "b": [Harm(marker)]},
        {"a": (array, {"b": Harm(marker)})},
    ):
        content = pickle.dumps(value, protocol)
        assert does_harm(content, marker)
        with pytest.raises(
            RefusedPickle,
            match=r"x was refused: (it names \w+\.system|protocol 5|instruction (INT|DICT))",
        ):
            load(content, "x")
        assert not marker.exists()
    objects = np.empty(2, object)
    objects[:] = [Harm(marker), 1]
    with pytest.raises(RefusedPickle, match=r"^x was refused"):
        load(pickle.dumps(objects, protocol), "x")
    with pytest.raises(RefusedPickle, match=r"names (posix|nt)\.system"):
        load_npy(npy({"conv1": [array, Harm(marker)]}), "x")
    assert not marker.exists()


NAMES = [
    "os system", "posix system", "builtins eval", "builtins exec", "builtins getattr",
    "builtins __import__", "__builtin__ eval", "subprocess Popen", "numpy load", "numpy fromfile",
    "numpy.testing._private.utils runstring", "numpy.core.multiarray fromfile", "numpy matrix",
    "numpy.core.multiarray scalar", "torch load", "pickle loads", "collections OrderedDict",
    "copyreg _reconstructor", "_codecs decode", "numpy ndarray.tofile", "numpy",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_other_than_an_arrays_parts_are_refused(name: str) -> None:
    module, _, what = name.partition(" ")
    called = b"c" + module.encode() + b"\n" + what.encode() + b"\n(U\x01xtR."
    texts = [b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, what)]
    through_stack = b"\x80\x04" + texts[0] + texts[1] + b"\x93\x8c\x01x\x85R."
    remembered = b"\x80\x04" + texts[0] + b"\x94" + texts[1] + b"\x94h\x00h\x01\x93)R."
    for content in (called, through_stack, remembered):
        with pytest.raises(RefusedPickle, match=r"^x was refused: it names "):
            load(content, "x")


def test_the_program_is_read_before_it_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad name at the end stops what stands before it, too."""
    run = []
    monkeypatch.setattr(Stored, "__init__", lambda self: run.append(self))
    with pytest.raises(RefusedPickle, match=r"names os\.system"):
        load(b"\x80\x02(" + ARRAY + b"cos\nsystem\nt.", "x")
    assert not run


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"(U\x04echoios\nsystem\n.", "instruction INST"),
        (b"(cnumpy\nndarray\no.", "instruction OBJ"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "instruction NEWOBJ"),
        (b"\x80\x04cnumpy\nndarray\n)}\x92.", "instruction NEWOBJ_EX"),
        (b"\x82\x01.", "instruction EXT1"),
        (b"P1\n.", "instruction PERSID"),
        (b"U\x011Q.", "instruction BINPERSID"),
        (b"I1\n.", "instruction INT"),
        (b"\x80\x05\x96" + struct.pack("<Q", 1) + b"x.", "protocol 5|instruction BYTEARRAY8"),
        (b"\x80\x05N.", "protocol 5 is not known"),
        (b"\x80\x02Nq\x02.", "BINPUT at byte 3 remembers number 2"),
        (b"\x80\x02Nr" + struct.pack("<I", 1 << 20) + b".", "remembers number 1048576"),
        # Names may not be changed,
        (b"cnumpy\nndarray\n}(U\x01aK\x01ub.", "sets the state of a name"),
        (b"cnumpy\ndtype\n(N}U\x0c__defaults__(tstb.", "sets the state of a name"),
        # nor called with what they are not for.
        (b"cnumpy\nndarray\n(K\x01tR.", "not callable"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\nK\x00U\x01btR.", "another class"),
        (b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00utf-8tR.", "encodes something"),
        (b"(K\x01K\x02t)R.", "not callable"),
    ],
)
def test_other_instructions_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(RefusedPickle, match=message):
        load(content, "x")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([{}, 1]), "array of objects"),
        (np.array([None], object), "array of objects"),
        (np.array(["a"]), "type 'U1', not of numbers"),
        (np.array([b"a"]), "type 'S1', not of numbers"),
        (np.array([1j]), "type 'c16', not of numbers"),
        (np.array(["2020"], "M8[Y]"), "type 'M8', not of numbers"),
        (np.zeros(1, [("a", "f4")]), "type 'V4', not of numbers"),
        (np.zeros(1, np.dtype("f4", metadata={"a": 1})), "structured type"),
        (np.ma.masked_array([1.0]), "names numpy.ma"),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(RefusedPickle, match=message):
        load(pickle.dumps({"a": array}, 4), "x")


def array_of_state(shape: bytes, raw: bytes = b"U\x04abcd", code: bytes = b"f4") -> bytes:
    kind = b"cnumpy\ndtype\n(U" + bytes([len(code)]) + code + b"K\x00K\x01tR"
    return b"\x80\x02" + ARRAY + b"(K\x01" + shape + kind + b"\x89" + raw + b"tb."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (array_of_state(b"(K\x02t"), "2 values of 4 bytes, made of 4 bytes"),
        (array_of_state(b"(J\xff\xff\xff\xffJ\xff\xff\xff\xfft"), "whose shape is none"),
        (array_of_state(b"(\x88t"), "whose shape is none"),
        (array_of_state(b"](K\x01e"), "whose shape is none"),
        (array_of_state(b"(" + 33 * b"K\x01" + b"t"), "whose shape is none"),
        (array_of_state(b"(K\x01t", raw=b"](K\x01e"), "made of list"),
        (array_of_state(b"(K\x01t", raw=b"X\x04\x00\x00\x00abcd"), "made of str"),
        (b"\x80\x02" + ARRAY + b"(K\x01(K\x01tU\x02f4\x89U\x04abcdtb.", "whose type is none"),
        (b"\x80\x02" + ARRAY + b"K\x01b.", "without shape, type and values"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(RefusedPickle, match=message):
        load(content, "x")
    assert array_of(load(array_of_state(b"(K\x01t"), "x")).nbytes == 4


HUGE = struct.pack("<Q", 1 << 40)


@pytest.mark.parametrize(
    "content",
    [
        array_of_state(b"(\x8a\x06" + (1 << 40).to_bytes(6, "little") + b"t"),
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(\x8a\x05\0\0\0\0\x01t"
        b"U\x01btR.",
        array_of_state(b"(t", code=b"S1000000000"),
        b"\x80\x02Nr\xff\xff\xff\x7f.",  # would grow the reader's memory to 2**31 places
        b"\x80\x04\x8e" + HUGE + b"abc.",
        b"\x80\x04\x8d" + HUGE + b"abc.",
        b"\x80\x04\x95" + HUGE + b"N.",
        b"\x80\x02T\xff\xff\xff\x7fabc.",
    ],
)
def test_no_file_asks_for_more_memory_than_its_size(content: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(RefusedPickle):
            load(content, "x")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_damage_is_refused() -> None:
    content = pickle.dumps({"a": np.arange(3.0), "b": [1, "x"]}, 4)
    for end in range(len(content)):
        with pytest.raises(RefusedPickle, match=r"x (is damaged|was refused)"):
            load(content[:end], "x")
    with pytest.raises(RefusedPickle, match="2 bytes follow its end"):
        load(content + b"N.", "x")


def test_whatever_bytes_there_are() -> None:
    """Changed at random, a pickle is read or refused, and nothing else."""
    random = np.random.default_rng(0)
    good = [
        pickle.dumps({"a": np.arange(3.0), "b": (1, "x")}, 4),
        pickle.dumps(np.arange(3, dtype=np.uint8), 2),
        python_2({b"data": np.arange(4, dtype=np.uint8), b"labels": [3, 1]}),
    ]
    refused = 0
    for number in range(3000):
        content = bytearray(good[number % len(good)])
        for _ in range(random.integers(1, 4)):
            content[random.integers(len(content))] = random.integers(256)
        try:
            load(bytes(content), "x")
        except RefusedPickle:
            refused += 1
    assert 1000 < refused < 3000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda good: b"", "damaged, or no .npy file"),
        (lambda good: b"PK" + good[2:], "damaged, or no .npy file"),
        (lambda good: good[:6] + b"\x03" + good[7:], r"version \(3, 0\) of the format"),
        (lambda good: good[:40], "damaged, or no .npy file"),
        (lambda good: good[:-1], "is damaged"),
        (lambda good: good.replace(b"()", b"9,"), "damaged, or no .npy file"),
        (lambda good: good.replace(b"(), }  ", b"(2,), }"), r"must hold one object, got an array"),
        (lambda good: good.replace(b"'|O'", b"'<f4'"), "must hold one object|damaged"),
        (lambda good: good[:128] + pickle.dumps(np.ones(2), 4), "got another pickle"),
        (lambda good: good[:128] + pickle.dumps([1], 4), "got another pickle"),
    ],
)
def test_damaged_npy_files_are_refused(change: object, message: str) -> None:
    good = npy({"a": np.ones(2)})
    assert good[127:128] == b"\n"
    with pytest.raises(RefusedPickle, match=message):
        load_npy(change(good), "x")  # type: ignore[operator]
