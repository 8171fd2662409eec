"""Readers of files that others made: whatever the bytes, an array or one clear error."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import features
from features import StoreError
from features.files.array_file import native, read_array, shape_of
from features.files.grid_file import GRID_FILE, GridFile, read_grid_file
from features.importing.annotated import Known, read_annotated

ARRAY = np.arange(12, dtype=np.float32).reshape(4, 3)
fuzz = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # the stubs know no keywords of arrays
    return file.getvalue()


def headed(header: str, body: bytes = bytes(64)) -> bytes:
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


@pytest.mark.parametrize("kind", [">f4", "<f8", "<f2", ">f8", "<f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_float_in_any_order_of_bytes_and_axes_is_read_as_tensors_need_it(
    tmp_path: Path, kind: str, order: Any
) -> None:
    np.save(tmp_path / "a.npy", np.asarray(ARRAY, dtype=kind, order=order))
    read = features.open(tmp_path, fps=25.0, window=16, stride=4).read("a", "rgb", 1, 3)
    np.testing.assert_array_equal(read, ARRAY[1:3])
    assert read.dtype.isnative
    assert read.flags["C_CONTIGUOUS"]
    assert read.dtype.itemsize == int(kind[-1])


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(5, np.float32), r"got \(5,\) float32\. For a video of one step: np\.save\(new_file, .*\[None\]\)"),
        (np.zeros((4, 7, 7, 3), np.float32), r"got \(4, 7, 7, 3\) float32\. Take the mean over the axes"),
        (np.zeros((4, 3), np.int64), r"holds int64 \(4, 3\), not floats: labels or pictures\?"),
        (np.zeros((0, 3), np.float32), r"got \(0, 3\) float32"),
        (np.array(3.0), r"got \(\) float64"),
        (np.zeros((4, 3), np.complex64), r"got \(4, 3\) complex64"),
        (np.array([["a", "b"]]), r"expected a \(T, D\) array of floats"),
    ],
)
def test_what_is_no_sequence_of_features_is_named_with_a_remedy(tmp_path: Path, array: np.ndarray, words: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(StoreError, match=words):
        read_array(tmp_path / "a.npy")
    with pytest.raises(StoreError, match=words):
        shape_of(tmp_path / "a.npy")


@pytest.mark.parametrize("shape", [(4, 1, 3), (1, 4, 3), (4, 3, 1, 1)])
def test_axes_of_length_one_are_taken_away(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", ARRAY.reshape(shape))
    assert shape_of(tmp_path / "a.npy") == (4, 3)
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy"), ARRAY)


def test_a_file_of_no_bytes_and_half_a_file_were_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    file.write_bytes(b"")
    with pytest.raises(StoreError, match=r"a\.npy: it has 0 bytes"):
        read_array(file)
    file.write_bytes(npy(ARRAY)[:-20])
    with pytest.raises(StoreError, match=r"48 bytes of \(4, 3\) float32 announced, 28 are there"):
        read_array(file)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 9999999999), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-4, -3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1" + "0" * 400 + ", 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 3)",
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': (4, 3), }",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4, 3), }",
        "(" * 5000,
        "{'descr': '<f4', 'fortran_order': False, 'shape': ((4, 3),), }",
        "{1: 2}",
        "'unfinished",
        "\x00" * 20,
    ],
)
def test_a_crafted_header_is_an_error_of_this_file(tmp_path: Path, header: str) -> None:
    (tmp_path / "a.npy").write_bytes(headed(header))
    with pytest.raises(StoreError, match=r"a\.npy"):
        read_array(tmp_path / "a.npy")


def test_objects_are_never_unpickled_and_the_command_that_frees_them_works(tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    np.save(file, np.array({"rgb": ARRAY, "fps": 25.0}, dtype=object), allow_pickle=True)
    with pytest.raises(StoreError, match="holds Python objects, not an array: save the") as caught:
        read_array(file)
    command = str(caught.value).partition("arrays: ")[2].partition("  and import")[0]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, env=environment)
    np.testing.assert_array_equal(read_array(tmp_path / "arrays" / "a.npz", "rgb"), ARRAY)


@pytest.mark.parametrize("name", ["feats", "features", "arr_0", "anything"])
def test_the_features_of_an_npz_file_are_found_by_their_usual_names_or_as_the_only_array(
    tmp_path: Path, name: str
) -> None:
    others = {} if name == "anything" else {"label": np.zeros(3)}
    (tmp_path / "a.npz").write_bytes(npz(**{name: ARRAY, **others}))
    assert shape_of(tmp_path / "a.npz") == (4, 3)
    np.testing.assert_array_equal(read_array(tmp_path / "a.npz"), ARRAY)


def test_an_npz_file_of_several_arrays_asks_which(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(npz(one=ARRAY, two=2 * ARRAY))
    with pytest.raises(StoreError, match=r"its arrays are 'one', 'two'\. Say which holds the features with --array"):
        read_array(tmp_path / "a.npz")
    np.testing.assert_array_equal(read_array(tmp_path / "a.npz", "two"), 2 * ARRAY)


@pytest.mark.parametrize(
    "text",
    [
        "f0,f1,f2\n0,1,2\n3,4,5\n",  # mmaction2
        "0,1,2\n0,1,2\n3,4,5\n",  # pandas without names
        ",0,1,2\n0,0,1,2\n1,3,4,5\n",  # pandas with its index
        "0.0,1,2\r\n3,4,5\r\n",  # no header
        "\ufefff0;f1;f2\n0;1;2\n3;4;5\n",  # a spreadsheet
        '"f0"\t"f1"\t"f2"\n0\t1\t2\n\n3\t4\t5\n',
    ],
)
def test_csv_is_read_with_and_without_header_and_row_numbers(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8", newline="")
    assert shape_of(tmp_path / "a.csv") == (2, 3)
    np.testing.assert_array_equal(read_array(tmp_path / "a.csv"), [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it has no line"),
        (b"f0,f1\n", "a header and no step"),
        (b"f0,f1\n1,2\n3\n", "expected a row of numbers for every step"),
        (b"f0,f1\n1,2\n3,x\n", "expected a row of numbers for every step"),
        ("f0,f1\n1,2\n".encode("utf-16"), "expected text in UTF-8 .UTF-16, by its byte order mark"),
        (b"f0,f1 \xe9\n1,2\n", "expected text in UTF-8"),
    ],
)
def test_csv_that_holds_no_features_says_why(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(StoreError, match=words):
        read_array(tmp_path / "a.csv")


def readable(read: Any, path: Path) -> None:
    try:
        read(path)
    except StoreError as error:
        assert str(path) in str(error)


@fuzz
@given(data=st.data())
def test_altered_npy_files_are_arrays_or_errors(tmp_path: Path, data: st.DataObject) -> None:
    altered(tmp_path / "a.npy", npy(ARRAY), data)


@fuzz
@given(data=st.data())
def test_altered_npz_files_are_arrays_or_errors(tmp_path: Path, data: st.DataObject) -> None:
    altered(tmp_path / "a.npz", npz(feats=ARRAY), data)


@fuzz
@given(data=st.data())
def test_altered_csv_files_are_arrays_or_errors(tmp_path: Path, data: st.DataObject) -> None:
    altered(tmp_path / "a.csv", b"f0,f1,f2\n0,1,2\n3,4,5\n", data)


def altered(path: Path, whole: bytes, data: st.DataObject) -> None:
    content = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=4)):
        if place < len(content):
            content[place] = value
    path.write_bytes(content + data.draw(st.binary(max_size=20)))
    readable(shape_of, path)
    readable(lambda file: native(read_array(file)), path)
    readable(lambda file: read_array(file, sequence=False), path)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def keyed(*names: str) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(names), json_values, max_size=len(names)) | json_values


@fuzz
@given(value=keyed("window", "stride", "fps"))
def test_any_json_is_a_grid_file_or_an_error(tmp_path: Path, value: Any) -> None:
    (tmp_path / GRID_FILE).write_text(json.dumps(value))
    readable(lambda path: read_grid_file(path.parent), tmp_path / GRID_FILE)


@fuzz
@given(
    value=st.dictionaries(
        st.just("database"), st.dictionaries(st.text(max_size=3), keyed("duration", "fps"), max_size=2)
    )
    | st.dictionaries(st.text(max_size=3), keyed("duration_second", "duration_frame", "fps"), max_size=2)
    | json_values
)
def test_any_json_is_an_annotation_file_or_an_error(tmp_path: Path, value: Any) -> None:
    (tmp_path / "a.json").write_text(json.dumps(value))
    readable(read_annotated, tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "not valid JSON: Expecting value at line 1"),
        (b"[" * 100_000, "lie too deep in each other"),
        (b'{"database": {"v": {"duration": ' + b"9" * 5000 + b"}}}", "not valid JSON: Exceeds the limit"),
        (b'{"database": {"v": {"duration": 1' + b"0" * 400 + b"}}}", "'v': duration is a huge integer"),
        (b'{"database": {"v": {"duration": NaN}}}', "'v': duration is nan; expected a number above 0"),
        (b'{"database": {"v": {"fps": "25"}}}', "'v': fps is '25'; expected a number above 0"),
        (b'{"database": {"v": {"fps": true}}}', "'v': fps is True"),
        (b'{"database": {"v": {}, "v": {}}}', "the key 'v' stands twice"),
        (b'{"database": {"v": []}}', "'v': expected an object"),
        (b'{"results": {}}', "found the keys 'results'"),
        (b"[]", "expected annotations"),
        ("{}".encode("utf-16"), "expected text in UTF-8"),
    ],
)
def test_annotations_that_cannot_be_right_are_refused_in_one_line(tmp_path: Path, text: bytes, words: str) -> None:
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(StoreError, match=words) as caught:
        read_annotated(tmp_path / "a.json")
    assert str(tmp_path / "a.json") in str(caught.value)


def test_durations_and_rates_are_read_from_both_layouts(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(
        '\ufeff{"database": {"v": {"duration": 8, "fps": 25.0}, "w": {"duration": null}}}', encoding="utf-8"
    )
    assert read_annotated(path) == {"v": Known(8.0, 25.0), "w": Known(None, None)}
    path.write_text(json.dumps({"v": {"duration_second": 8.0, "duration_frame": 240}}))
    assert read_annotated(path) == {"v": Known(8.0, 30.0)}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "expected an object"),
        ({"window": 0}, "window is 0; expected a number above 0"),
        ({"stride": 4.5}, "stride is 4.5; expected a whole number"),
        ({"fps": {"v": -1}}, "fps of video 'v' is -1"),
        ({"fps": "25"}, "fps is '25'"),
    ],
)
def test_a_grid_file_that_cannot_be_right_is_refused(tmp_path: Path, value: Any, words: str) -> None:
    (tmp_path / GRID_FILE).write_text(json.dumps(value))
    np.save(tmp_path / "a.npy", ARRAY)
    with pytest.raises(StoreError, match=words):
        features.open(tmp_path)


def test_a_grid_file_may_leave_out_what_it_does_not_know(tmp_path: Path) -> None:
    assert read_grid_file(tmp_path) == GridFile()
    (tmp_path / GRID_FILE).write_text('{"fps": 25}')
    assert read_grid_file(tmp_path).rate("any") == 25.0


def test_a_zip_bomb_of_a_header_does_not_ask_for_memory(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr(
            "feats.npy", headed("{'descr': '<f4', 'fortran_order': False, 'shape': (999999999, 999999), }")
        )
    with pytest.raises(StoreError, match="announced, 64 are there"):
        read_array(tmp_path / "a.npz")
