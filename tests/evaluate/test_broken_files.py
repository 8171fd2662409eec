"""Whatever stands in a file, its reader returns or refuses it by name: no traceback, no guess."""

import contextlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluate.files.annotation_files import AnnotationError, read_ambiguous, read_class_ids, read_classes
from evaluate.files.annotations import read_annotations
from evaluate.files.detections import DetectionError, read_detections
from evaluate.files.formats import read_any_detections
from evaluate.reporting.cost_records import CostError, compare_cost, read_reports
from evaluate.run import main

# Each example overwrites its file in the one folder of the test.
FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
REFUSALS = (AnnotationError, DetectionError, CostError)
CLASSES = ("Dive", "Jump")

DETECTION = {"label": "Dive", "score": 0.5, "segment": [0.0, 1.0]}
ANNOTATION = {"label": "Dive", "label_id": 3, "segment": [0.0, 1.0]}
VIDEO = {"subset": "Test", "duration": 9.0, "fps": 25.0, "annotations": [ANNOTATION]}
RECORD = {"duration_s": 60.0, "seconds": {"decode": 1.0, "rgb_network": 2.0}, "peak_memory_bytes": 9}
REPORT = {"schema": "flowless/report/1", "command": "extract.rgb", "machine": {"threads": 2}, "videos": {"v": RECORD}}
COLUMNS = {"video-id": ["v"], "t-start": [0.0], "t-end": [1.0], "label": [0], "score": [0.5]}


def detections(path: Path) -> object:
    return read_any_detections(path, CLASSES)


READERS: dict[str, tuple[Callable[[Path], object], str, object]] = {
    "annotations": (read_annotations, ".json", {"database": {"v": VIDEO}}),
    "annotations of mmaction2": (read_annotations, ".json", {"v": {**VIDEO, "duration_second": 9.0}}),
    "class list": (lambda path: (read_classes(path), read_class_ids(path)), ".json", {"Dive": 0, "Jump": 1}),
    "Ambiguous": (read_ambiguous, ".json", {"v": [[0, 1]]}),
    "results": (detections, ".json", {"results": {"v": [DETECTION]}}),
    "results of ours": (read_detections, ".json", {"results": {"v": [DETECTION]}}),
    "ActionFormer's JSON": (detections, ".json", {"database": {"v": [{**DETECTION, "label_id": 1, "scores": 0.5}]}}),
    "columns": (detections, ".json", COLUMNS),
    "rows": (detections, ".json", [{name: column[0] for name, column in COLUMNS.items()}]),
    "mmaction2's list": (detections, ".json", [{"video_name": "v", "results": [DETECTION]}]),
    "cost report": (lambda path: compare_cost(read_reports([str(path), str(path.parent)])), ".json", REPORT),
}

STRANGE = [
    None, True, "", "high", "\ud800", -1, 0.5, 10**400, 2**70, float("nan"), float("inf"), [], {}, [[]], {"a": []},
    [1, 2, 3], ["0", "1"], {"0": 1}, [None, None], [True, False],
]  # fmt: skip


def places(value: object, path: tuple = ()):
    """The paths to every value within a value, itself included."""
    yield path
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(part, (*path, key))


def put(value: object, path: tuple, new: object) -> object:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(copy[path[0]], path[1:], new)
    return copy


def read_or_refuse(reader: Callable[[Path], object], path: Path) -> None:
    with contextlib.suppress(*REFUSALS):
        reader(path)


def mentions(reader: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(REFUSALS) as error:
        reader(path)
    assert path.name in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", READERS)
def test_any_value_in_any_place_is_read_or_refused(name, tmp_path):
    reader, ending, good = READERS[name]
    path = tmp_path / f"file{ending}"
    for place in places(good):
        for strange in STRANGE:
            content = put(good, place, strange)
            path.write_text(json.dumps(content))
            read_or_refuse(reader, path)
            if reader is detections:
                pickled = tmp_path / "file.pkl"
                pickled.write_bytes(pickle.dumps(content))
                read_or_refuse(reader, pickled)


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_no_json_is_refused_by_name(name, tmp_path):
    reader, ending, good = READERS[name]
    path = tmp_path / f"file{ending}"
    said = {}
    contents = {
        "empty": b"", "blank": b" \n", "deep": b"[" * 100_000, "deep object": b'{"a":' * 100_000,
        "cut": json.dumps(good).encode()[:-3],
        "long": b'{"a": ' + b"9" * 5000 + b"}", "latin-1": '{"é": 1}'.encode("latin-1"), "binary": bytes(range(256)),
        "utf-16": json.dumps(good).encode("utf-16"), "utf-16 unmarked": json.dumps(good).encode("utf-16-le"),
    }  # fmt: skip
    for what, content in contents.items():
        path.write_bytes(content)
        said[what] = mentions(reader, path)
    assert "expected JSON" in said["empty"] and "expected JSON" in said["blank"]
    assert "nested too deeply" in said["deep"] and "nested too deeply" in said["deep object"]
    assert "line 1, column" in said["cut"]
    assert "digits" in said["long"]
    assert "UTF-8 (byte 0xe9" in said["latin-1"]
    for what in ("utf-16", "utf-16 unmarked"):
        assert "it looks like UTF-16" in said[what]


@pytest.mark.parametrize("name", READERS)
def test_a_mark_before_the_text_does_no_harm(name, tmp_path):
    reader, ending, good = READERS[name]
    if reader is READERS["cost report"][0]:
        reader = lambda path: read_reports([str(path)])  # noqa: E731
    path = tmp_path / f"file{ending}"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(good).encode())
    reader(path)


@pytest.mark.parametrize("name", READERS)
def test_a_name_that_stands_twice_is_refused(name, tmp_path):
    reader, ending, good = READERS[name]
    path = tmp_path / f"file{ending}"
    if isinstance(good, list):
        good = good[0]
    first = next(iter(good))
    path.write_text(json.dumps(good)[:-1] + f", {json.dumps(first)}: {json.dumps(good[first])}}}")
    assert f"names '{first}' twice" in mentions(reader, path)


@pytest.mark.parametrize("strange", ["0.5", True, None, [0.5], {"a": 1}, 10**400])
@pytest.mark.parametrize("ending", [".json", ".pkl"])
def test_a_score_that_is_no_number_is_refused_with_its_place(strange, ending, tmp_path):
    path = tmp_path / f"d{ending}"
    write = json.dumps if ending == ".json" else pickle.dumps
    for content, place in (
        (
            {"results": {"v": [DETECTION, {**DETECTION, "score": strange}]}},
            "video 'v', entry 1: score must be a number",
        ),
        ({**COLUMNS, "score": [strange]}, "row 0: start, end and score must be numbers"),
    ):
        written = write(content)
        path.write_bytes(written.encode() if isinstance(written, str) else written)
        assert place in mentions(detections, path)


@pytest.mark.parametrize("strange", [True, None, 0.5, ["Dive"]])
def test_a_label_that_is_no_name_is_refused_with_its_place(strange, tmp_path):
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"results": {"v": [{**DETECTION, "label": strange}]}}))
    assert "video 'v', entry 0: label must be a name or a class id" in mentions(detections, path)
    path.write_text(json.dumps({"database": {"v": {**VIDEO, "annotations": [{**ANNOTATION, "label": strange}]}}}))
    assert "video 'v', annotation 0: 'label' must be text" in mentions(read_annotations, path)


@pytest.mark.parametrize(
    "key", [10**5000, 1.5, float("nan"), True, 0, "\ud800", ""], ids=lambda key: type(key).__name__
)
def test_strange_keys_in_pickles_are_read_or_refused(key, tmp_path):
    path = tmp_path / "d.pkl"
    for content in (
        {key: 1}, {**COLUMNS, key: []}, {"results": {key: [DETECTION]}}, {"database": {"v": [{**DETECTION, key: 1}]}},
        [{key: 1}], [{"video_name": key, "results": []}], {key: [{**DETECTION, key: 1}]},
        {"results": {"v": [{key: 1}]}},
    ):  # fmt: skip
        path.write_bytes(pickle.dumps(content))
        read_or_refuse(detections, path)


def test_columns_of_different_lengths_are_told_with_their_lengths(tmp_path):
    path = tmp_path / "d.pkl"
    path.write_bytes(pickle.dumps({**COLUMNS, "score": [0.5, 0.4]}))
    assert "columns of different lengths: 'video-id' 1" in mentions(detections, path)


def test_proposals_without_classes_are_told(tmp_path):
    path = tmp_path / "d.pkl"
    path.write_bytes(pickle.dumps([{"video_name": "v", "proposal_list": [{"score": 0.5, "segment": [0, 1]}]}]))
    assert "proposals without a 'label'" in mentions(detections, path)


TEXT = st.one_of(st.text(max_size=120), st.text(alphabet="v01.,;\t \"'\n\r-=e", max_size=120))


@FILES
@given(text=TEXT, header=st.booleans(), delimiter=st.sampled_from(",;\t|"))
def test_any_text_as_a_table_is_read_or_refused(tmp_path, text, header, delimiter):
    names = delimiter.join(("video", "start", "end", "label", "score")) + "\n"
    for ending in (".csv", ".tsv", ".txt"):
        path = tmp_path / f"d{ending}"
        path.write_text(names * header + text, encoding="utf-8", errors="replace", newline="")
        read_or_refuse(detections, path)
    folder = tmp_path / "thumos"
    folder.mkdir(exist_ok=True)
    (folder / "Dive_test.txt").write_text(text, encoding="utf-8", errors="replace", newline="")
    read_or_refuse(read_annotations, folder)
    read_or_refuse(read_ambiguous, folder / "Dive_test.txt")


@FILES
@given(content=st.binary(max_size=120), ending=st.sampled_from([".json", ".csv", ".txt", ".pkl", ""]))
def test_any_bytes_are_read_or_refused(tmp_path, content, ending):
    path = tmp_path / f"d{ending}"
    path.write_bytes(content)
    read_or_refuse(detections, path)
    read_or_refuse(read_annotations, path)
    read_or_refuse(lambda path: read_reports([str(path)]), path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tiou", "nan"], ["--tiou", "inf:1:2"], ["--tiou", "0.3:1e-9:0.7"], ["--recall", "²"], ["--recall", "0"],
        ["--recall", "9" * 5000], ["--bootstrap", "--resamples", "0"], ["--bootstrap", "--seed", "-1"],
        ["--json", "."], ["--classes", "nowhere.txt"], ["--compare", "nowhere.json"], ["--subset", ""],
    ],
    ids=str,
)  # fmt: skip
def test_options_that_make_no_sense_are_refused_in_a_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("a.json").write_text(json.dumps({"database": {"v": VIDEO, "w": {**VIDEO, "subset": "Training"}}}))
    Path("d.json").write_text(json.dumps({"results": {"v": [DETECTION]}}))
    assert main(["--detections", "d.json", "--annotations", "a.json", "--subset", "Test", *arguments]) == 2
    assert "Error: " in capsys.readouterr().err
