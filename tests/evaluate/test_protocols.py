"""Named test sets and thresholds."""

import json

import numpy as np
import pytest

from evaluate.files.annotations import read_annotations
from evaluate.metrics.protocols import PROTOCOLS, ProtocolError, parse_tiou, protocol_for


def test_thresholds_are_those_of_linspace_and_not_the_decimal_numbers():
    assert np.array_equal(parse_tiou("0.1:0.1:0.9"), np.linspace(0.1, 0.9, 9))
    assert parse_tiou("0.1:0.1:0.9")[2] > 0.3
    assert np.array_equal(parse_tiou("0.5:0.05:0.95"), np.linspace(0.5, 0.95, 10))
    assert parse_tiou("0.5").tolist() == [0.5]
    assert parse_tiou("0.5,0.75").tolist() == [0.5, 0.75]


@pytest.mark.parametrize("text", ["", "a", "0.3:0.1", "0.3:0:0.7", "0.7:0.1:0.3", "0.3:0.15:0.7", "0", "1.5", "50"])
def test_thresholds_that_make_no_sense_are_refused_with_an_example(text):
    with pytest.raises(ProtocolError, match=r"such as 0.3:0.1:0.7"):
        parse_tiou(text)


def test_the_four_thumos_sets_hold_what_the_literature_counts(shared_data):
    annotations = read_annotations(shared_data / "thumos14.json", repair="keep")
    for name in ("thumos14", "thumos14-213", "thumos14-212", "thumos14-211", "thumos14-210"):
        protocol = PROTOCOLS[name]
        assert protocol.differences(protocol.apply(annotations, "Test")) == (), name
    assert PROTOCOLS["thumos14-210"].apply(annotations, "Test").num_segments == 3311
    assert len(PROTOCOLS["thumos14-213"].apply(annotations, "Test").videos) == 213
    assert len(PROTOCOLS["thumos14-211"].apply(annotations, "test").videos) == 211


def test_a_protocol_says_when_the_annotations_are_not_its_own(shared_data):
    validation = read_annotations(shared_data / "thumos14.json", repair="keep").subset("Validation")
    said = PROTOCOLS["thumos14"].differences(validation)
    assert said[0] == "protocol thumos14 stands for 212 videos, these annotations hold 200"
    assert "3358 segments" in said[1]


@pytest.mark.parametrize("name", ["thumos14", "multithumos", "activitynet13"])
def test_published_sets_are_recognised_and_whole(shared_data, name):
    annotations = read_annotations(shared_data / f"{name}.json", repair="keep")
    protocol = protocol_for(annotations)
    assert protocol.name == name
    assert protocol.differences(annotations.subset(protocol.subset)) == ()


def part_of_thumos(shared_data, folder, keep, rename=lambda video: video):
    root = json.loads((shared_data / "thumos14.json").read_text())
    videos = {}
    for video, row in root["database"].items():
        row["annotations"] = [each for each in row["annotations"] if each["label"] in keep]
        if row["annotations"]:
            videos[rename(video)] = row
    path = folder / "part.json"
    path.write_text(json.dumps({"database": videos}))
    return path


def test_some_classes_of_thumos_in_its_own_videos_are_thumos_and_it_is_said(shared_data, tmp_path):
    path = part_of_thumos(shared_data, tmp_path, ("Diving", "LongJump", "CricketBowling"))
    annotations = read_annotations(path, repair="keep")
    assert annotations.dataset == "thumos14"
    assert annotations.flaws  # those that THUMOS'14 is known for are let through
    assert protocol_for(annotations).name == "thumos14"
    said = protocol_for(annotations).differences(annotations.subset("Test"))
    assert said[-1] == "protocol thumos14 stands for 20 classes, these annotations hold 3 of them"


def test_its_class_names_in_other_videos_are_not_thumos(shared_data, tmp_path):
    path = part_of_thumos(shared_data, tmp_path, ("Billiards", "TennisSwing"), lambda video: f"own_{video}")
    assert read_annotations(path, strict=False).dataset is None


def test_its_videos_with_other_classes_are_not_thumos(shared_data, tmp_path):
    root = json.loads(part_of_thumos(shared_data, tmp_path, ("Billiards",)).read_text())
    next(iter(root["database"].values()))["annotations"][0]["label"] = "Snooker"
    (tmp_path / "part.json").write_text(json.dumps(root))
    assert read_annotations(tmp_path / "part.json").dataset is None


def test_other_annotations_get_no_famous_name(shared_data):
    gym = read_annotations(shared_data / "features" / "gym_i3d" / "annotations.json")
    assert protocol_for(gym).name == "own"
