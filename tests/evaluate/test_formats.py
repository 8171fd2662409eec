"""Detections of other codebases say the same thing, whatever file they come in."""

import csv
import json
import pickle

import numpy as np
import pytest

from evaluate import diagnose, report, run
from evaluate.files.detections import DetectionError
from evaluate.files.formats import read_any_detections

CLASSES = ("Run", "Dive", "Jump")
ROWS = [("v1", 2, 0.5, 1.5, 0.9), ("v1", 0, 3.0, 4.25, 0.8), ("v2", 1, 0.0, 2.0, 0.7)]


def as_rows(found):
    return [
        (found.videos[v], CLASSES.index(found.labels[label]), *segment, score)
        for v, label, segment, score in zip(
            found.video, found.label, found.segments.tolist(), found.scores.tolist(), strict=True
        )
    ]


def columns():
    video, label, start, end, score = zip(*ROWS, strict=True)
    arrays = {"t-start": np.array(start), "t-end": np.array(end), "label": np.array(label), "score": np.array(score)}
    return {"video-id": list(video), **arrays}


def test_actionformers_pickle(tmp_path):
    path = tmp_path / "eval_results.pkl"
    path.write_bytes(pickle.dumps(columns()))
    assert as_rows(read_any_detections(path, CLASSES)) == ROWS


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("it ran",))

    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"video-id": Evil()}))
    with pytest.raises(DetectionError, match=r"evil.pkl: not a pickle of detections: it holds builtins.print"):
        read_any_detections(path, CLASSES)
    path.write_bytes(b"no pickle")
    with pytest.raises(DetectionError, match="not a pickle of detections"):
        read_any_detections(path, CLASSES)


def test_csv_by_its_column_names_in_any_order(tmp_path):
    path = tmp_path / "d.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["score", "label", "xmin", "xmax", "video"])
        table.writerows([[score, CLASSES[label], start, end, v + ".mp4"] for v, label, start, end, score in ROWS])
    assert as_rows(read_any_detections(path, CLASSES)) == ROWS
    path.write_text("video,label,score\nv,a,1\n")
    with pytest.raises(DetectionError, match=r"d.csv: no column 't-start'; it has video, label, score"):
        read_any_detections(path, CLASSES)
    path.write_text("video,label,score,start,end\nv,a,1,0,1\nv,a,high,0,1\n")
    with pytest.raises(
        DetectionError, match=r"d.csv: line 3: start, end and score must be numbers, found '0', '1', 'h"
    ):
        read_any_detections(path, CLASSES)


def test_actionformers_json(tmp_path):
    database = {}
    for v, label, start, end, score in ROWS:
        database.setdefault(v, []).append({"label_id": label, "scores": score, "segment": [start, end]})
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"database": database}))
    assert as_rows(read_any_detections(path, CLASSES)) == ROWS


def test_results_json_with_ids_instead_of_names(tmp_path):
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"results": {"v1": [{"label": 2, "score": 0.9, "segment": [0.5, 1.5]}]}}))
    assert as_rows(read_any_detections(path, CLASSES)) == ROWS[:1]
    path.write_text(json.dumps({"results": {"v1": [{"label": 7, "score": 0.9, "segment": [0.5, 1.5]}]}}))
    with pytest.raises(DetectionError, match="class id 7 is outside 0 to 2, the ids of the 3 annotated classes"):
        read_any_detections(path, CLASSES)


def test_text_of_the_matlab_kits_counts_classes_from_one(tmp_path):
    path = tmp_path / "d.txt"
    path.write_text("\n".join(f"{v} {start} {end} {label + 1} {score}" for v, label, start, end, score in ROWS))
    assert as_rows(read_any_detections(path, CLASSES)) == ROWS
    path.write_text("v1 0 1 2\n")
    with pytest.raises(DetectionError, match=r"d.txt: line 1: expected 'video start end class score'"):
        read_any_detections(path, CLASSES)


def test_thumos_numbers_among_101_classes_are_known(tmp_path, shared_data):
    names = sorted(json.loads((shared_data / "thumos14_classes.json").read_text()))
    path = tmp_path / "d.txt"
    path.write_text("video_test_0000004 0.2 1.1 23 0.9\nvideo_test_0000004 0.2 1.1 97 0.9\n")
    assert read_any_detections(path, names).labels == ("CricketBowling", "VolleyballSpiking")


@pytest.mark.parametrize("order", ["<", ">"])
def test_arrays_of_any_byte_order_and_width_and_times_before_the_video(tmp_path, order):
    table = columns()
    for name, kind in (("t-start", "f8"), ("t-end", "f8"), ("score", "f8"), ("label", "i2")):
        table[name] = table[name].astype(order + kind)
    path = tmp_path / "d.PKL"
    path.write_bytes(pickle.dumps(table))
    assert as_rows(read_any_detections(path, CLASSES)) == ROWS
    path.write_bytes(pickle.dumps({**table, "t-start": np.array([-1, 3, 0], f"{order}i4")}))
    assert read_any_detections(path, CLASSES).segments[0].tolist() == [-1, 1.5]
    path.write_bytes(pickle.dumps({**table, "t-start": np.array([9, 3, 0], f"{order}u2")}))
    with pytest.raises(DetectionError, match=r"video 'v1', entry 0: a segment that ends before it starts .* --lenient"):
        read_any_detections(path, CLASSES)
    path.write_bytes(pickle.dumps({**table, "score": np.array([1j, 1, 1])}))
    with pytest.raises(DetectionError, match="an array of type 'c16', not of numbers or text"):
        read_any_detections(path, CLASSES)


def test_dumps_of_mmaction2_as_dicts_and_as_lists(tmp_path):
    entries = {}
    for v, label, start, end, score in ROWS:
        entry = {"label": CLASSES[label], "score": np.float32(score), "segment": np.array([start, end])}
        entries.setdefault(v, []).append(entry)
    listed = [{"video_name": v, "results": each} for v, each in entries.items()]
    rows = [{"video": v, "start": s, "end": e, "label": label, "score": p} for v, label, s, e, p in ROWS]
    path = tmp_path / "result.pkl"
    for content in (entries, {"results": entries, "version": "1"}, listed, tuple(listed), rows):
        path.write_bytes(pickle.dumps(content))
        found = as_rows(read_any_detections(path, CLASSES))
        assert [row[:4] for row in found] == [row[:4] for row in ROWS]
        assert [row[4] for row in found] == pytest.approx([row[4] for row in ROWS])


def test_annotations_given_as_detections_are_told(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"database": {"v": {"subset": "Test", "duration": 9, "annotations": []}}}))
    with pytest.raises(DetectionError, match=r"a.json: this is a file of annotations, not of detections"):
        read_any_detections(path, CLASSES)


@pytest.mark.parametrize("ending", ["pkl", "csv", "txt", "json"])
def test_every_command_reads_every_format(tmp_path, monkeypatch, capsys, ending):
    monkeypatch.chdir(tmp_path)
    videos = {}
    for v, label, start, end, _ in ROWS:
        video = videos.setdefault(v, {"subset": "Test", "duration": 9, "annotations": []})
        video["annotations"].append({"label": CLASSES[label], "segment": [start, end], "label_id": label})
    (tmp_path / "a.json").write_text(json.dumps({"database": videos}))
    name = f"d.{ending}"
    lines = [[v, start, end, label, score] for v, label, start, end, score in ROWS]
    if ending == "pkl":
        (tmp_path / name).write_bytes(pickle.dumps(columns()))
    elif ending == "json":
        results = [{"video-id": v, "t-start": s, "t-end": e, "label": label, "score": p} for v, s, e, label, p in lines]
        (tmp_path / name).write_text(json.dumps(results))
    else:
        head = "video,start,end,label,score\n" if ending == "csv" else ""
        blank = "," if ending == "csv" else " "
        (tmp_path / name).write_text(head + "\n".join(blank.join(map(str, line)) for line in lines))
    assert run.main(["--detections", name, "--annotations", "a.json"]) == 0
    assert run.main(["--detections", name, "--compare", name, "--annotations", "a.json", "--resamples", "5"]) == 0
    assert diagnose.main(["--runs", f"one={name}", f"two={name}", "--annotations", "a.json"]) == 0
    assert report.main(["--runs", f"one={name}", "--annotations", "a.json", "--out", "r.html", "--resamples", "0"]) == 0
    said = capsys.readouterr().out
    assert "average mAP 100.00 %" in said and "have the same average mAP, 100.00" in said
