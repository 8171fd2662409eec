"""The command: what it prints, what it writes, what it refuses."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from evaluate.files.detections import write_detections
from evaluate.run import main


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Two test videos with three actions, found but for one; a training video; the same found better."""
    rows = {
        "v1": [("Dive", 0, 10), ("Jump", 20, 30)],
        "v2": [("Dive", 5, 15)],
        "t1": [("Dive", 0, 4)],
    }
    database = {
        video: {
            "subset": "Training" if video == "t1" else "Test",
            "duration": 100.0,
            "annotations": [{"label": label, "segment": [start, end]} for label, start, end in entries],
        }
        for video, entries in rows.items()
    }
    (tmp_path / "truth.json").write_text(json.dumps({"database": database}))
    write_detections(tmp_path / "found.json", {"v1": ([[0, 10]], [0.9], ["Dive"]), "v2": ([[5, 15]], [0.8], ["Dive"])})
    better = {"v1": ([[0, 10], [20, 30]], [0.9, 0.7], ["Dive", "Jump"]), "v2": ([[5, 15]], [0.8], ["Dive"])}
    write_detections(tmp_path / "better.json", better)
    return {name: tmp_path / f"{name}.json" for name in ("truth", "found", "better", "out")}


def call(files: dict[str, Path], *more: str, found: str = "found") -> int:
    arguments = ["--detections", str(files[found]), "--annotations", str(files["truth"]), "--subset", "Test"]
    return main([*arguments, *more])


def test_table_and_json_hold_the_same_numbers(files, capsys):
    assert call(files, "--tiou", "0.3:0.1:0.7", "--json", str(files["out"])) == 0
    out = json.loads(files["out"].read_text())
    assert out["tiou"] == np.linspace(0.3, 0.7, 5).tolist()
    assert out["mAP"] == [0.5] * 5
    assert out["average_mAP"] == 0.5
    assert out["per_class"] == {"Dive": [1.0] * 5, "Jump": [0.0] * 5}
    assert (out["protocol"], out["rule"], out["subset"]) == ("own", "activitynet", "Test")
    assert (out["counts"]["videos"], out["counts"]["segments"], out["counts"]["detections"]) == (2, 3, 2)
    printed = capsys.readouterr().out
    assert "protocol own" in printed and "rule activitynet" in printed
    assert "mAP                  3   50.00   50.00   50.00   50.00   50.00   50.00" in printed


def test_a_file_compared_with_a_better_one_says_so_in_a_sentence(files, capsys):
    assert call(files, "--compare", str(files["better"]), "--resamples", "50", "--json", str(files["out"])) == 0
    assert "better.json is better than" in capsys.readouterr().out
    comparison = json.loads(files["out"].read_text())["comparison"]
    assert comparison["difference"] == 0.5
    assert comparison["per_class"]["Jump"][0] == 1.0


def test_recall_and_interval_are_added_on_request(files, capsys):
    assert call(files, "--recall", "1,2", "--bootstrap", "--resamples", "20", "--json", str(files["out"])) == 0
    out = json.loads(files["out"].read_text())
    assert out["recall"]["average_recall"] == pytest.approx([2 / 3, 2 / 3])
    assert out["interval"]["resamples"] == 20
    printed = capsys.readouterr().out
    assert "AR@1 66.67" in printed and "95 % interval" in printed


def with_detections(files: dict[str, Path], results: dict) -> None:
    files["found"].write_text(json.dumps({"results": results}))


DIVE = {"label": "Dive", "score": 0.9, "segment": [0, 10]}


def test_a_video_without_detections_is_said_and_refused_when_strict(files, capsys):
    with_detections(files, {"v1": [DIVE]})
    assert call(files) == 0
    assert (
        "note: 1 of 2 annotated videos have no detections (1 are not in the file; first: v2)" in capsys.readouterr().err
    )
    assert call(files, "--strict") == 2
    assert "DetectionError: " in capsys.readouterr().err
    assert call(files, "--strict", found="better") == 0


def test_detections_outside_the_subset_are_false_unless_asked_otherwise_and_said_either_way(files, capsys):
    high = {"label": "Dive", "score": 0.99, "segment": [0, 4]}
    with_detections(files, {"t1": [high], "v1": [DIVE], "v2": [{**DIVE, "segment": [5, 15]}], "zz": [high]})
    assert call(files, "--json", str(files["out"])) == 0
    assert "2 detections in 2 videos outside subset 'Test' (1 annotated in another" in capsys.readouterr().err
    false = json.loads(files["out"].read_text())
    assert false["per_class"]["Dive"][0] == pytest.approx(0.5)
    assert false["counts"]["detections_in_unknown_videos"] == 2
    assert call(files, "--unknown-videos", "ignore", "--json", str(files["out"])) == 0
    assert "left out" in capsys.readouterr().err
    assert json.loads(files["out"].read_text())["per_class"]["Dive"][0] == 1


def test_degenerate_detections_are_refused_and_with_lenient_dropped_and_counted(files, capsys):
    bad = [DIVE, {**DIVE, "score": float("nan")}, {**DIVE, "segment": [9, 3]}]
    with_detections(files, {"v1": bad, "v2": []})
    assert call(files) == 2
    assert "found.json: video 'v1', entry 1: a score that is not a number" in capsys.readouterr().err
    assert call(files, "--lenient", "--json", str(files["out"])) == 0
    said = capsys.readouterr().err
    assert "note: 1 detections dropped: a score that is not a number" in said
    assert "note: 1 detections dropped: a segment that ends before it starts" in said
    assert json.loads(files["out"].read_text())["counts"]["detections_dropped"] == 2
    assert call(files, "--keep-degenerate") == 0


def test_other_peoples_labels_are_ignored_and_said_and_refused_if_there_are_no_others(files, capsys):
    with_detections(files, {"v1": [DIVE, {**DIVE, "label": "Swim"}], "v2": [DIVE]})
    assert call(files) == 0
    assert "1 detections ignored: not a class of the annotations: Swim" in capsys.readouterr().err
    with_detections(files, {"v1": [{**DIVE, "label": "Swim"}]})
    assert call(files) == 2
    assert "none of its labels is a class" in capsys.readouterr().err


def test_a_detector_that_saw_nothing_scores_nought(files, capsys):
    with_detections(files, {})
    assert call(files, "--bootstrap", "--resamples", "10", "--recall", "5", "--json", str(files["out"])) == 0
    assert json.loads(files["out"].read_text())["average_mAP"] == 0
    assert "2 of 2 annotated videos have no detections (2 are not in the file" in capsys.readouterr().err


def test_files_about_different_videos_are_refused_with_a_hint(files, capsys):
    with_detections(files, {"t1": [DIVE]})
    assert call(files) == 2
    error = capsys.readouterr().err
    assert "none of its videos is annotated in subset 'Test'" in error
    assert "'t1' is annotated in subset 'Training'" in error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--subset", "Validation"], "AnnotationError: .*no video of subset 'Validation'.*'Test', 'Training'"),
        (["--tiou", "0.7:0.1:0.3"], "ProtocolError: tIoU thresholds '0.7:0.1:0.3'"),
        (["--detections", "nowhere.json"], "DetectionError: nowhere.json: no such file"),
        (["--annotations", "nowhere.json"], "AnnotationError: nowhere.json: no such file"),
        (["--recall", "ten"], "ProtocolError: --recall 'ten'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_and_exit_code_two(files, capsys, arguments, said):
    assert call(files, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.match(said, captured.err)
    assert captured.err.count("\n") == 1


def test_bad_truth_is_refused_and_repaired_on_request(files, capsys):
    root = json.loads(files["truth"].read_text())
    root["database"]["v1"]["annotations"].append({"label": "Jump", "segment": [99, 120]})
    files["truth"].write_text(json.dumps(root))
    assert call(files) == 2
    assert "annotation 2 ('Jump'): the segment 99 to 120 s reaches outside the video" in capsys.readouterr().err
    for repair, said in (("clip", "clipped"), ("drop", "dropped"), ("keep", "kept")):
        assert call(files, "--repair", repair) == 0
        assert f"note: truth: 1 segment {said}" in capsys.readouterr().err


def test_labels_are_held_to_a_given_class_list(files, tmp_path, capsys):
    (tmp_path / "classes.json").write_text('["Dive"]')
    assert call(files, "--classes", str(tmp_path / "classes.json")) == 2
    assert "label 'Jump' is not among the 1 classes" in capsys.readouterr().err


def test_the_subset_must_be_named_where_there_are_several(files, capsys):
    assert main(["--detections", str(files["found"]), "--annotations", str(files["truth"])]) == 2
    assert "name the subset to evaluate with --subset; there are 'Test', 'Training'" in capsys.readouterr().err


def test_scnn_by_the_command_of_the_documentation(shared_data, tmp_path, capsys):
    folder = shared_data / "eval_cases" / "r1_scnn_c3d"
    arguments = ["--detections", str(folder / "det_tiou0.5.txt"), "--annotations", str(shared_data / "thumos14.json")]
    kit = ["--rule", "thumos15", "--tiou", "0.5", "--json", str(tmp_path / "out.json")]
    explicit = ["--protocol", "thumos14-213", "--ambiguous", str(shared_data / "thumos14_ambiguous.json")]
    for more in (explicit, []):  # the set and the file beside the annotations are found without being named
        assert main([*arguments, *kit, *more]) == 0
        assert json.loads((tmp_path / "out.json").read_text())["average_mAP"] == pytest.approx(0.18970081, abs=1e-6)
    captured = capsys.readouterr()
    assert "protocol thumos14-213" in captured.out
    assert "truth: 26 segments kept" in captured.err


def test_activitynets_sample_by_the_shortest_command(shared_data, capsys):
    sample = shared_data / "eval_cases" / "r4_anet_sample" / "predictions.json"
    assert main(["--detections", str(sample), "--annotations", str(shared_data / "activitynet13.json")]) == 0
    captured = capsys.readouterr()
    assert "protocol activitynet13" in captured.out
    assert captured.out.splitlines()[-1].split()[-1] == "100.00"
    assert "19 segments kept: each repeats another one" in captured.err


def test_videos_that_a_protocol_leaves_out_take_their_detections_with_them(shared_data, tmp_path, capsys):
    found = shared_data / "eval_cases" / "c12_perfect" / "predictions.json"
    arguments = ["--detections", str(found), "--annotations", str(shared_data / "thumos14.json")]
    assert main([*arguments, "--protocol", "thumos14-210", "--json", str(tmp_path / "out.json"), "--strict"]) == 0
    out = json.loads((tmp_path / "out.json").read_text())
    assert out["average_mAP"] == 1
    assert (out["counts"]["videos"], out["counts"]["segments"]) == (210, 3311)
    assert "47 detections left out: protocol thumos14-210 has no such video" in capsys.readouterr().err
