"""What train.run says of its data before it begins, and who is named for the rest."""

import json

import pytest
from conftest import write_features

import features
from features.storage.store import build_index
from train import run

FEW = ("--epochs", "1")


def test_a_class_that_is_never_learnt_is_told_before_the_run_and_the_doctor_named(
    world, capsys: pytest.CaptureFixture[str]
) -> None:
    held = json.loads(world.annotations.read_text())
    tested = next(one for one in held["database"].values() if one["subset"] != "Training")
    tested["annotations"].append({"label": "unheard of", "segment": [0.5, 2.0]})
    changed = world.runs / "changed.json"
    changed.parent.mkdir(exist_ok=True, parents=True)
    changed.write_text(json.dumps(held))
    arguments = [str(changed) if word == str(world.annotations) else word for word in world.arguments(*FEW)]
    assert run.main(arguments) == 0
    told = capsys.readouterr().err
    assert "class-never-learnt" in told
    assert f"python -m flowless.doctor --features {world.features} --annotations {changed}" in told


def test_features_of_test_videos_that_know_their_labels_are_told_in_one_line(
    world, capsys: pytest.CaptureFixture[str]
) -> None:
    subsets = {video: row["subset"] for video, row in json.loads(world.annotations.read_text())["database"].items()}
    store = features.open(world.features)
    for video in subsets:
        write_features(world.features, video, "rgb", store.read(video, "rgb"), labels_seen=subsets[video] == "Test")
    build_index(world.features)
    assert run.main(world.arguments(*FEW)) == 0
    [told] = [line for line in capsys.readouterr().err.splitlines() if "labels-seen" in line]
    assert told.startswith("warning: labels-seen: 2 of 2 videos that are not for training have rgb features")


def test_sound_data_begins_without_a_word_of_the_doctor(world, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(world.arguments(*FEW)) == 0
    assert "flowless.doctor" not in capsys.readouterr().err
