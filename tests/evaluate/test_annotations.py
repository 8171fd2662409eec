"""Reading ground truth: what is refused and how it is said, what is repaired, and the data sets as published."""

import json
from pathlib import Path

import numpy as np
import pytest

from evaluate.files.annotation_files import read_ambiguous, read_classes
from evaluate.files.annotations import AnnotationError, read_annotations


def file_with(folder: Path, *segments, duration=10.0, label="Dive", **more) -> Path:
    """An annotation file with one video `v1` of 10 s that holds these segments, and `v2` that holds one."""
    rows = [{"label": label, "segment": list(segment)} for segment in segments]
    videos = {
        "v1": {"subset": "Test", "duration": duration, "fps": 25.0, "annotations": rows},
        "v2": {"subset": "Training", "duration": 5, "annotations": [{"label": "Jump", "segment": [1, 2]}]},
    }
    path = folder / "annotations.json"
    path.write_text(json.dumps({"database": videos, **more}))
    return path


def test_segments_labels_and_classes_are_read_in_file_order(tmp_path):
    annotations = read_annotations(file_with(tmp_path, (4, 6), (1, 2)))
    assert annotations.classes == ("Dive", "Jump")
    truth = annotations.videos["v1"]
    assert truth.segments.tolist() == [[4, 6], [1, 2]]
    assert truth.labels.tolist() == [0, 0]
    assert (truth.subset, truth.duration_s, truth.fps) == ("Test", 10.0, 25.0)
    assert annotations.videos["v2"].fps is None
    assert annotations.remarks == ()


def test_mmaction2s_files_are_read_and_their_names_tell_the_subset(tmp_path):
    row = {"duration_second": 10.0, "duration_frame": 300, "fps": 30.0, "feature_frame": 290}
    videos = {
        "v_a": {**row, "annotations": [{"segment": [1.5, 4.0], "label": "Dive"}]},
        "v_b": {**row, "annotations": []},
    }
    path = tmp_path / "anet_anno_val.json"
    path.write_text(json.dumps(videos))
    truth = read_annotations(path).subset("validation").videos
    assert list(truth) == ["v_a", "v_b"]
    assert truth["v_a"].segments.tolist() == [[1.5, 4.0]]
    assert (truth["v_a"].duration_s, truth["v_a"].fps) == (10.0, 30.0)
    path.write_text(json.dumps({**videos, "v_c": {"annotations": []}}))
    with pytest.raises(AnnotationError, match="database"):
        read_annotations(path)


def test_classes_follow_label_ids_where_every_annotation_has_one(tmp_path):
    rows = [{"label": "Zoo", "label_id": 0, "segment": [0, 1]}, {"label": "Ant", "label_id": 1, "segment": [1, 2]}]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"database": {"v": {"subset": "x", "duration": 3, "annotations": rows}}}))
    assert read_annotations(path).classes == ("Zoo", "Ant")


def test_subsets_are_found_whatever_their_case_and_keep_the_classes_of_the_file(tmp_path):
    test = read_annotations(file_with(tmp_path, (1, 2))).subset("test")
    assert list(test.videos) == ["v1"]
    assert test.classes == ("Dive", "Jump")
    assert test.num_segments == 1


def test_an_unknown_subset_is_answered_with_those_there_are(tmp_path):
    with pytest.raises(AnnotationError, match=r"no video of subset 'val'.*'Test', 'Training'"):
        read_annotations(file_with(tmp_path, (1, 2))).subset("val")


@pytest.mark.parametrize(
    ("segment", "said"),
    [((3, 3), "is empty"), ((5, 4), "ends before it starts"), ((8, 12), "reaches outside"), ((-1, 2), "outside")],
)
def test_a_segment_that_contradicts_its_file_is_refused_by_name_with_a_remedy_that_works(tmp_path, segment, said):
    path = file_with(tmp_path, (1, 2), segment)
    with pytest.raises(AnnotationError, match=rf"annotations.json: video 'v1', annotation 1 .*{said}.*--repair clip"):
        read_annotations(path)
    assert read_annotations(path, strict=False).videos["v1"].segments[0].tolist() == [1, 2]


def test_clipping_cuts_segments_to_their_video_and_counts_them(tmp_path):
    path = file_with(tmp_path, (8, 12), (11, 12), (3, 3), (5, 4), (1, 2), (1, 2), (-1, 2))
    annotations = read_annotations(path, strict=False, repair="clip")
    assert annotations.videos["v1"].segments.tolist() == [[8, 10], [1, 2], [0, 2]]
    said = " / ".join(annotations.remarks)
    assert "2 segments clipped: each reaches outside the video (first: v1, 8 to 12 s)" in said
    for kind in ("1 segment dropped: each is empty", "ends before it starts", "repeats another one"):
        assert kind in said
    assert annotations.subset("Training").remarks == ()


def test_dropping_takes_out_every_flawed_segment(tmp_path):
    annotations = read_annotations(file_with(tmp_path, (8, 12), (3, 3), (1, 2)), strict=False, repair="drop")
    assert annotations.videos["v1"].segments.tolist() == [[1, 2]]


def test_a_rounding_error_beyond_the_end_is_no_ones_fault(tmp_path):
    path = file_with(tmp_path, (8, 10.0004))
    assert read_annotations(path).videos["v1"].segments.tolist() == [[8, 10]]
    assert read_annotations(path, repair="keep").videos["v1"].segments.tolist() == [[8, 10.0004]]


def test_a_label_outside_the_class_list_is_refused_with_the_nearest_one(tmp_path):
    path = file_with(tmp_path, (1, 2), label="Divee")
    with pytest.raises(AnnotationError, match=r"'Divee' is not among the 2 classes; the nearest is 'Dive'"):
        read_annotations(path, classes=["Jump", "Dive"])


def test_the_given_class_list_decides_the_numbers(tmp_path):
    annotations = read_annotations(file_with(tmp_path, (1, 2)), classes=["Run", "Jump", "Dive"])
    assert annotations.videos["v1"].labels.tolist() == [2]


def test_a_video_that_is_not_annotated_is_refused_with_the_nearest_one(tmp_path):
    annotations = read_annotations(file_with(tmp_path, (1, 2)))
    assert list(annotations.only(["v2"]).videos) == ["v2"]
    with pytest.raises(AnnotationError, match=r"1 of 2 videos asked for are not annotated, the first is 'v11'.*'v1'"):
        annotations.only(["v1", "v11"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"database": {\n "v": }', "not valid JSON: .* at line 2, column 7"),
        ('{"videos": {}}', "expected a JSON object with 'database'.*found the keys 'videos'"),
        ('{"database": {"v": {"subset": "Test", "annotations": []}}}', "video 'v': missing 'duration'"),
        ('{"database": {"v": {"subset": "T", "duration": 0, "annotations": []}}}', "'duration' is 0 s"),
        ('{"database": {"v": {"subset": "T", "duration": "9", "annotations": []}}}', "'duration' must be a number"),
        (
            '{"database": {"v": {"subset": "T", "duration": 9, "annotations": [{"label": "a"}]}}}',
            "annotation 0.*segment",
        ),
        (
            '{"database": {"v": {"subset": "T", "duration": 9, "annotations": [{"label": "a", "segment": [1, NaN]}]}}}',
            "annotation 0: end must be a number of seconds, found nan",
        ),
        (
            '{"database": {"v": {"subset": "T", "duration": 9, "annotations": [{"label": "a", "segment": [1]}]}}}',
            "start",
        ),
    ],
)
def test_malformed_files_are_told_apart(tmp_path, text, said):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=rf"broken.json: .*{said}"):
        read_annotations(path)


def test_a_missing_file_and_one_that_is_no_text_are_told_apart(tmp_path):
    with pytest.raises(AnnotationError, match="no such file"):
        read_annotations(tmp_path / "none.json")
    (tmp_path / "image.json").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(AnnotationError, match="not a text file"):
        read_annotations(tmp_path / "image.json")


def test_thumos_text_folders_are_read_with_ambiguous_kept_apart(tmp_path):
    (tmp_path / "Diving_test.txt").write_text("video_test_0000002  1.5 2.5\nvideo_test_0000001  3 4\n\n")
    (tmp_path / "Billiards_val.txt").write_text("video_validation_0000009 0.1 9.9\n")
    (tmp_path / "Ambiguous_test.txt").write_text("video_test_0000001 7 8\n")
    annotations = read_annotations(tmp_path)
    assert annotations.classes == ("Billiards", "Diving")
    assert annotations.subsets == ("Test", "Validation")
    assert list(annotations.subset("Test").videos) == ["video_test_0000001", "video_test_0000002"]
    assert annotations.videos["video_test_0000001"].segments.tolist() == [[3, 4]]
    assert np.isnan(annotations.videos["video_test_0000001"].duration_s)
    assert annotations.ambiguous["video_test_0000001"].tolist() == [[7, 8]]
    (tmp_path / "Diving_test.txt").write_text("video_test_0000002  1.5\n")
    with pytest.raises(AnnotationError, match=r"Diving_test.txt: line 1: expected 'video start end'"):
        read_annotations(tmp_path)


def test_class_lists_are_read_from_json_and_from_lines(tmp_path):
    (tmp_path / "ids.json").write_text('{"b": 0, "a": 1}')
    (tmp_path / "names.json").write_text('["b", "a"]')
    (tmp_path / "lines.txt").write_text("b\na\n")
    for name in ("ids.json", "names.json", "lines.txt"):
        assert read_classes(tmp_path / name) == ("b", "a")


def test_thumos_is_read_as_published(shared_data):
    annotations = read_annotations(shared_data / "thumos14.json", repair="keep")
    test, validation = annotations.subset("test"), annotations.subset("Validation")
    assert annotations.dataset == "thumos14"
    assert annotations.classes == read_classes(shared_data / "thumos14_classes.json")
    assert (len(test.videos), test.num_segments) == (212, 3358)
    assert (len(validation.videos), validation.num_segments) == (200, 3007)
    assert "30 segments kept: each reaches outside the video" in annotations.remarks[0]
    diving, cliff = (annotations.classes.index(name) for name in ("Diving", "CliffDiving"))
    for truth in annotations.videos.values():  # one instance, two labels: no duplicate
        rows = [set(map(tuple, truth.segments[truth.labels == label].tolist())) for label in (diving, cliff)]
        assert rows[1] <= rows[0]


def test_for_training_the_impossible_instances_of_thumos_are_dropped_and_said(shared_data):
    annotations = read_annotations(shared_data / "thumos14.json").subset("Validation")
    assert annotations.num_segments == 3003
    assert "4 segments dropped" in annotations.remarks[0]
    assert all((truth.segments[:, 1] <= truth.duration_s).all() for truth in annotations.videos.values())


def test_activitynet_is_read_as_published(shared_data):
    kept = read_annotations(shared_data / "activitynet13.json", repair="keep")
    assert [len(kept.subset(name).videos) for name in ("training", "validation", "testing")] == [10024, 4926, 5044]
    assert kept.num_segments == 15410 + 7654
    said = " / ".join(kept.remarks)
    assert "289 segments kept: each reaches outside" in said
    assert "49 segments kept: each repeats another" in said
    assert "12 segments kept: each is empty" in said
    clipped = read_annotations(shared_data / "activitynet13.json")
    assert clipped.num_segments == 23064 - 49 - 12
    for truth in clipped.videos.values():
        assert (truth.segments[:, 1] > truth.segments[:, 0]).all() and (truth.segments[:, 1] <= truth.duration_s).all()


def test_multithumos_is_read_as_published(shared_data):
    kept = read_annotations(shared_data / "multithumos.json", repair="keep")
    assert (len(kept.classes), len(kept.videos), kept.num_segments) == (65, 413, 38690)
    assert len(kept.flaws) == 65 + 7
    assert read_annotations(shared_data / "multithumos.json").num_segments < 38690


def test_a_flaw_that_a_published_set_is_not_known_for_is_refused(shared_data, tmp_path):
    root = json.loads((shared_data / "thumos14.json").read_text())
    root["database"]["video_test_0000004"]["annotations"][0]["segment"] = [2.0, 2.0]
    path = tmp_path / "thumos14.json"
    path.write_text(json.dumps(root))
    with pytest.raises(AnnotationError, match=r"video_test_0000004.*is empty"):
        read_annotations(path, repair="keep")


def test_real_gym_clips_and_ambiguous_intervals_are_read(shared_data):
    assert len(read_annotations(shared_data / "features" / "gym_i3d" / "annotations.json").videos) == 505
    ambiguous = read_ambiguous(shared_data / "thumos14_ambiguous.json")
    assert sum(len(rows) for rows in ambiguous.values()) == 188
