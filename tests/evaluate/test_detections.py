"""Detection files: what goes out comes back, what cannot be evaluated is refused by name."""

import json
from pathlib import Path

import numpy as np
import pytest

from evaluate.files.annotations import read_annotations
from evaluate.files.detections import (
    WITHOUT_FEATURES,
    DetectionError,
    make_detections,
    read_detections,
    write_detections,
)
from evaluate.files.formats import detections_for
from evaluate.metrics.scores import judge


def file_with(folder: Path, *entries) -> Path:
    path = folder / "detections.json"
    first = {"label": "Dive", "score": 0.5, "segment": [0.0, 1.0]}
    path.write_text(json.dumps({"results": {"v1": [first], "v2": [first, *entries]}}))
    return path


def test_what_is_written_is_read_back_bit_for_bit(tmp_path):
    path = tmp_path / "deep" / "detections.json"
    segments = np.array([[0.1, 1 / 3], [2.0, 4.0]])
    write_detections(path, {"v1": (segments, [0.9, 1e-3], ["a", "b"]), "v2": (np.zeros((0, 2)), [], [])}, {"run": 1})
    back = read_detections(path)
    assert back.videos == ("v1", "v2")
    assert back.labels == ("a", "b")
    assert np.array_equal(back.segments, segments)
    assert back.scores.tolist() == [0.9, 1e-3]
    assert back.video.tolist() == [0, 0]
    assert back.label.tolist() == [0, 1]
    assert json.loads(path.read_text())["note"] == {"run": 1}


def test_float32_scores_are_written_as_numbers(tmp_path):
    path = tmp_path / "d.json"
    write_detections(path, {"v": (np.array([[0, 1]], np.float32), np.array([0.1], np.float32), ["a"])})
    assert read_detections(path).scores[0] == np.float32(0.1)


def test_a_writer_that_fails_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "d.json"
    write_detections(path, {"v": ([[0, 1]], [0.5], ["a"])})
    before = path.read_bytes()
    with pytest.raises(DetectionError, match="video 'v': 1 segments, 2 scores and 1 labels"):
        write_detections(path, {"v": ([[0, 1]], [0.5, 0.6], ["a"])})
    with pytest.raises(DetectionError, match=r"video 'v', detection 1: segment \[1.0, nan\].*not written"):
        write_detections(path, {"v": ([[0, 1], [1, np.nan]], [0.5, 0.6], ["a", "a"])})
    with pytest.raises(TypeError):
        write_detections(path, {"v": ([[0, 1]], [0.5], ["a"])}, {"run": object()})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"label": "a", "score": float("nan"), "segment": [0, 1]}, "a score that is not a number"),
        ({"label": "a", "score": 0.5, "segment": [3, 1]}, r"ends before it starts \(score 0.5, segment 3 to 1\)"),
        ({"label": "a", "score": 0.5, "segment": [0, float("inf")]}, "a segment that is not finite"),
    ],
)
def test_degenerate_entries_are_refused_by_name_dropped_on_request_or_kept(tmp_path, entry, said):
    path = file_with(tmp_path, entry)
    with pytest.raises(DetectionError, match=rf"detections.json: video 'v2', entry 1: .*{said}.*1 of 3.*--lenient"):
        read_detections(path)
    lenient = read_detections(path, degenerate="drop")
    assert len(lenient) == 2
    assert sum(lenient.dropped.values()) == 1
    assert len(read_detections(path, degenerate="keep")) == 3


def test_empty_segments_and_times_outside_the_video_pass(tmp_path):
    entries = [{"label": "a", "score": 0.5, "segment": segment} for segment in ([1, 1], [-3, 2], [5, 1e6])]
    assert len(read_detections(file_with(tmp_path, *entries))) == 5


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"label": "a", "segment": [0, 1]}, "entry 1: missing 'score'"),
        ({"label": "a", "score": "high", "segment": [0, 1]}, "entry 1: score must be a number, found 'high'"),
        ({"label": "a", "score": 0.5, "segment": [0]}, r"entry 1: 'segment' must be \[start, end\] in seconds, found"),
        ("a", "entry 1: expected an object"),
    ],
)
def test_entries_that_are_no_detections_are_told_apart(tmp_path, entry, said):
    with pytest.raises(DetectionError, match=rf"detections.json: video 'v2', {said}"):
        read_detections(file_with(tmp_path, entry))


def test_files_that_are_no_detections_are_told_apart(tmp_path):
    path = tmp_path / "d.json"
    with pytest.raises(DetectionError, match="no such file"):
        read_detections(path)
    with pytest.raises(DetectionError, match="cannot be read: Is a directory"):
        read_detections(tmp_path)
    path.write_text('{"results": {"v": [}')
    with pytest.raises(DetectionError, match=r"not valid JSON: .* line 1, column 20"):
        read_detections(path)
    path.write_text('{"database": {}}')
    with pytest.raises(DetectionError, match="with 'results' -> video"):
        read_detections(path)
    path.write_text('{"results": {"v": 3}}')
    with pytest.raises(DetectionError, match="video 'v': expected a list"):
        read_detections(path)


def test_nothing_detected_is_a_valid_file(tmp_path):
    path = tmp_path / "d.json"
    write_detections(path, {"v": (np.zeros((0, 2)), [], [])})
    empty = read_detections(path)
    assert len(empty) == 0
    assert empty.relabel(["a"]).tolist() == []


def test_labels_and_videos_are_renumbered_and_strangers_marked():
    found = make_detections([("v1", "a", 0, 1, 0.5), ("v2", "b", 0, 1, 0.4)])
    assert found.relabel(["b"]).tolist() == [-1, 0]
    assert found.rehome(["v2", "v1"]).tolist() == [1, 0]
    assert found.select(found.scores < 0.45).scores.tolist() == [0.4]


def test_videos_that_a_detector_was_never_shown_are_told_and_their_actions_missed(tmp_path):
    truth = {name: {"subset": "Test", "duration": 9.0, "annotations": [{"label": "Dive", "segment": [1.0, 2.0]}]}
             for name in ("v1", "v2")}  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps({"database": truth}))
    found = {"v1": ([[1.0, 2.0]], [0.9], ["Dive"])}
    write_detections(tmp_path / "d.json", found, {WITHOUT_FEATURES: ["v2"]})
    annotations = read_annotations(tmp_path / "a.json")
    score = judge(annotations, detections_for(annotations, tmp_path / "d.json"))
    assert score.result.average_mAP == pytest.approx(0.5)  # one of two actions found, the other stays in the truth
    assert any(
        "1 video had no features and never reached the detector (--missing skip): v2" in r for r in score.remarks
    )
