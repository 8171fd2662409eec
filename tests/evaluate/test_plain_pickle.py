"""Pickles are read as data: what pickle writes comes back, and no file runs code, crashes or fills the memory."""

import collections
import contextlib
import pickle
import pickletools
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from command.plain_pickle import PickleError, read_plain

ROOT = Path(__file__).resolve().parents[2]
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def actionformers() -> dict:
    """What ActionFormer's eval.py dumps."""
    return {
        "video-id": ["v1", "v1", "v2"],
        "t-start": np.array([0.5, 3.0, 0.0], np.float32),
        "t-end": np.array([1.5, 4.25, 2.0], np.float32),
        "label": np.array([2, 0, 1]),
        "score": np.array([0.5, 0.25, 0.75], np.float32),
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_and_plain_values_come_back_as_lists(protocol):
    table = actionformers()
    back = read_plain(pickle.dumps(table, protocol))
    assert back == {name: np.asarray(column).tolist() for name, column in table.items()}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.arange(4, dtype=">i4"), [0, 1, 2, 3]),
        (np.array([0.5, 2.0], ">f8"), [0.5, 2.0]),
        (np.float16(0.5), 0.5),
        (np.int64(-3), -3),
        (np.array([True, False]), [True, False]),
        (np.array(["a", "bcd"]), ["a", "bcd"]),
        (np.array(["Ä", "反手"], ">U2"), ["Ä", "反手"]),
        (np.array(["a", None, 3], object), ["a", None, 3]),
        (np.asfortranarray(np.arange(6).reshape(2, 3)), [[0, 1, 2], [3, 4, 5]]),
        (np.arange(10)[::3], [0, 3, 6, 9]),
        (np.zeros(0), []),
        (np.zeros((0, 2)), []),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
        (collections.OrderedDict(a=1.5), {"a": 1.5}),
        ([None, True, 10**30, -1, "é", b"\xff", b"", (), (1, (2,))],
         [None, True, 10**30, -1, "é", b"\xff", b"", (), (1, (2,))]),
    ],
    ids=lambda value: None if isinstance(value, list | dict) else f"{type(value).__name__}",
)  # fmt: skip
def test_what_other_programs_write_comes_back(value, plain, protocol):
    assert read_plain(pickle.dumps([value, value], protocol)) == [plain, plain]


def test_numpy_1_and_2_name_their_functions_differently_and_both_are_read():
    old = pickle.dumps(actionformers(), 2)
    assert b"numpy._core.multiarray" in old
    for written in (old, old.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")):
        assert read_plain(written)["label"] == [2, 0, 1]


def test_a_value_in_two_places_is_one_value_again():
    shared = [1, 2]
    first, second = read_plain(pickle.dumps([shared, shared]))
    assert first is second


POINTERS = (  # an array of "objects" whose pointers are bytes of the file: numpy follows them
    b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
    b"(K\x01K\x04\x85cnumpy\ndtype\n(X\x02\x00\x00\x00O8K\x00K\x01tR(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ"
    b"\xff\xff\xff\xffK\x00tb\x89C\x20" + b"\x41" * 32 + b"tb"
)


def test_a_file_that_crashes_the_interpreter_through_numpy_is_refused(tmp_path):
    """Read in a process of its own, which lives."""
    path = tmp_path / "crafted.pkl"
    columns = (b"X" + struct.pack("<I", len(name)) + name.encode() + POINTERS for name in actionformers())
    path.write_bytes(b"\x80\x04}(" + b"".join(columns) + b"u.")
    code = (
        "import sys; from evaluate.files.formats import read_any_detections\n"
        "from evaluate.files.detections import DetectionError\n"
        "try: read_any_detections(sys.argv[1], ('a',))\n"
        "except DetectionError as error: print('refused:', error)"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "not a pickle of detections: an array of objects that is not one list" in ran.stdout


class Runs:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (print, ("it ran",)),
        (eval, ("print('it ran')",)),
        (getattr, (1, "real")),
        (bytearray, (10**10,)),
        (np.zeros, (9,)),
    ],
)
def test_nothing_that_a_pickle_names_is_called(function, arguments, protocol, capsys):
    with pytest.raises(PickleError, match="it holds "):
        read_plain(pickle.dumps({"a": Runs(function, *arguments)}, protocol))
    assert "it ran" not in capsys.readouterr().out


def test_tables_of_pandas_and_tensors_are_refused_with_the_line_that_converts_them():
    with pytest.raises(PickleError, match=r"pandas.core.frame.DataFrame \(write the table as .csv: table.to_csv"):
        read_plain(b"cpandas.core.frame\nDataFrame\n)R.")
    with pytest.raises(PickleError, match=r"tensor.cpu\(\).numpy\(\)"):
        read_plain(b"ctorch._utils\n_rebuild_tensor_v2\n)R.")


def array(of: bytes, shape: tuple[int, ...], raw: bytes) -> bytes:
    """A pickle of one array with any type, shape and bytes."""
    sizes = b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", size) for size in shape) + b"t"
    kind = b"cnumpy\ndtype\n(X" + struct.pack("<I", len(of)) + of + b"K\x00K\x01tR"
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
    return empty + b"(K\x01" + sizes + kind + b"\x89B" + struct.pack("<I", len(raw)) + raw + b"tb."


@pytest.mark.parametrize(
    ("of", "shape", "raw", "said"),
    [
        (b"f8", (3,), b"\0" * 16, "3 values of 8 bytes in 16 bytes"),
        (b"f8", (-1,), b"\0" * 8, "whole numbers"),
        (b"f8", (2**62, 4), b"", "bytes in 0 bytes"),
        (b"f8", (1, 1, 1), b"\0" * 8, "two axes"),
        (b"U0", (2**40,), b"", "an array of type 'U0'"),
        (b"c16", (1,), b"\0" * 16, "an array of type 'c16'"),
        (b"V8", (1,), b"\0" * 8, "an array of type 'V8'"),
        (b"f16", (1,), b"\0" * 16, "an array of type 'f16'"),
        (b"U1", (1,), b"\xff" * 4, "damaged"),
    ],
)
def test_an_array_whose_type_shape_and_bytes_disagree_is_refused(of, shape, raw, said):
    with pytest.raises(PickleError, match=said):
        read_plain(array(of, shape, raw))


def test_the_same_bytes_used_over_and_over_do_not_fill_the_memory():
    once = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR(K\x01M\x00\x40\x85"
    kind = b"cnumpy\ndtype\n(X\x02\x00\x00\x00b1K\x00K\x01tR"
    first = b"](" + once + kind + b"q\x01\x89B\x00\x40\x00\x00" + b"\1" * 0x4000 + b"q\x02tb"
    again = once + b"h\x01\x89h\x02tb"
    assert len(read_plain(first + b"e.")[0]) == 0x4000
    with pytest.raises(PickleError, match="more values than it has bytes"):
        read_plain(first + again * 500 + b"e.")


def test_deep_and_circular_pickles_end_well():
    assert read_plain(b"]" * 100_000 + b"a" * 99_999 + b".") is not None
    circle = read_plain(b"]q\x00h\x00a.")
    assert circle[0] is circle


def read_or_refuse(content: bytes) -> None:
    with contextlib.suppress(PickleError):
        read_plain(content)


@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(content):
    read_or_refuse(content)


OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]


@given(st.lists(st.one_of(st.sampled_from(OPCODES), st.binary(max_size=6)), max_size=40).map(b"".join))
def test_random_opcodes_are_read_or_refused(content):
    read_or_refuse(content)


@settings(max_examples=300)
@given(
    st.integers(0, 5),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=5),
    st.data(),
)
def test_damaged_pickles_are_read_or_refused(protocol, changes, data):
    content = bytearray(pickle.dumps(actionformers(), protocol))
    for place, value in changes:
        content[place % len(content)] = value
    cut = data.draw(st.integers(0, len(content)))
    read_or_refuse(bytes(content))
    read_or_refuse(bytes(content[:cut]))
