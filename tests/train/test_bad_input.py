"""What cannot be trained on is refused in words that say what, where and what to do."""

import json
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TinyWorld, write_features

import features
from detect.heads.base import Targets
from evaluate.files.annotations import read_annotations
from features.storage.store import Part, build_index, part_path, write_part
from train.config import TrainingError
from train.data.videos import videos_of
from train.run import main


def edited(world: TinyWorld, edit: Callable[[dict], object]) -> None:
    content = json.loads(world.annotations.read_text())
    edit(content["database"])
    world.annotations.write_text(json.dumps(content))


def complaint(world: TinyWorld, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert main(world.arguments("--epochs", "1", *more)) == 2
    assert not (world.runs / "run/detector.pt").exists()
    return capsys.readouterr().err


def test_an_annotated_video_without_features(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    edited(world, lambda videos: videos.update(lost={**videos["v00"]}, gone={**videos["v01"]}))
    said = complaint(world, capsys)
    assert "StoreError" in said and "lost: no rgb" in said and "gone: no rgb" in said


def test_a_cue_that_was_not_extracted(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    part_path(world.features, "v03", "flow").unlink()
    build_index(world.features)
    assert "v03: no flow" in complaint(world, capsys, "--cues", "rgb,flow")


def test_rgb_and_motion_of_different_length(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    x = features.open(world.features).read("v02", "flow")
    write_features(world.features, "v02", "flow", x[:-1])
    build_index(world.features)
    assert "v02: rgb and flow differ in length" in complaint(world, capsys, "--cues", "rgb,flow")


def test_rgb_and_motion_of_different_videos(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    x = features.open(world.features).read("v02", "flow")
    write_features(world.features, "v02", "flow", x, video_sha256="another")
    build_index(world.features)
    assert "v02: rgb and flow come from different video files" in complaint(world, capsys, "--cues", "rgb,flow")


def test_features_made_in_two_ways(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    x = features.open(world.features).read("v02", "rgb")
    write_features(world.features, "v02", "rgb", x, feature_id="other-weights")
    build_index(world.features)
    assert "rgb was made in 2 ways" in complaint(world, capsys)


def test_nan_in_features(world: TinyWorld, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    x = features.open(world.features).read("v04", "rgb")
    x[7, 3] = np.nan
    monkeypatch.setattr(
        "features.storage.parts._checked", lambda part, target: dict(part.arrays)
    )  # our own writer refuses it
    write_features(world.features, "v04", "rgb", x)
    build_index(world.features)
    for setting in ("true", "false"):
        said = complaint(world, capsys, "--set", f"model.normalise={setting}", "--set", "sampling.crop_ratio=[1,1]")
        assert "rgb of video 'v04' is NaN" in said and "step 7" in said


def test_a_subset_that_is_not_there(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    said = complaint(world, capsys, "--train-subset", "val")
    assert "subsets there: 'Training', 'Test'. Say which to learn from with --train-subset" in said


def test_the_case_of_a_subset_does_not_matter(world: TinyWorld) -> None:
    assert main(world.arguments("--train-subset", "training", "--epochs", "1")) == 0


def test_a_segment_beyond_its_video_is_refused_clipped_or_dropped_as_told(
    world: TinyWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    edited(world, lambda videos: videos["v01"]["annotations"].append({"label": "left", "segment": [1.0, 999.0]}))
    assert "the segment 1 to 999 s reaches outside the video" in complaint(world, capsys)
    for repair, action in (("clip", "clipped"), ("drop", "dropped")):
        assert main(world.arguments("--repair", repair, "--epochs", "1", out=repair)) == 0
        assert f"1 segment {action}: each reaches outside the video (first: v01" in capsys.readouterr().err


def test_strict_refuses_what_repair_would_mend(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    edited(world, lambda videos: videos["v01"]["annotations"].append({"label": "left", "segment": [1.0, 999.0]}))
    assert "1 segment clipped" in complaint(world, capsys, "--repair", "clip", "--strict")


@pytest.mark.parametrize("segment", [[3.0, 3.0], [5.0, 4.0]])
def test_empty_and_reversed_segments(
    world: TinyWorld, capsys: pytest.CaptureFixture[str], segment: list[float]
) -> None:
    edited(world, lambda videos: videos["v01"]["annotations"].append({"label": "left", "segment": segment}))
    assert "AnnotationError" in complaint(world, capsys)


def test_actions_outside_the_features_are_counted(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    def longer(videos: dict) -> None:
        videos["v01"]["duration"] = 99.0
        videos["v01"]["annotations"].append({"label": "left", "segment": [90.0, 95.0]})

    edited(world, longer)
    assert main(world.arguments("--epochs", "1")) == 0
    assert "1 action lies outside the features of its video (first: v01, 90 to 95 s)" in capsys.readouterr().err


def test_a_video_without_actions_is_legal(world: TinyWorld) -> None:
    edited(world, lambda videos: videos["v01"].update(annotations=[]))
    assert main(world.arguments("--epochs", "1")) == 0


def test_a_loss_that_is_not_a_number_stops_the_run_and_names_step_terms_and_videos(
    world: TinyWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    for video in features.open(world.features).videos:  # finite in the store, infinite in the network
        x = features.open(world.features).read(video, "rgb")
        x[5] = 60000.0
        write_features(world.features, video, "rgb", x)
    build_index(world.features)
    said = complaint(
        world, capsys, "--set", "model.normalise=false", "--set", "optimiser.learning_rate=1e30", "--epochs", "40"
    )
    assert "TrainingError: step " in said and "joint/class = " in said and "'v0" in said


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--set", "optimiser.learning_rat=1"], "unknown learning_rat. It may hold: epochs"),
        (["--set", "optimizer.learning_rate=1"], "no such section. There are: head, method, data, sampling"),
        (["--set", "head.levels"], "expected path=value"),
        (["--set", "head.level=3"], "head_config does not fit the head 'actionformer'"),
        (["--set", "method.feature_weight=2"], "method supervised: unknown feature_weight. It may hold: branch_weight"),
        (["--set", "optimiser.learning_rate=fast"], "learning_rate = 'fast': expected a float such as 0.0001"),
        (["--set", "sampling.batch_size=0"], "sampling.batch_size = 0: expected a value above zero"),
        (["--set", "optimiser.warmup_epochs=9"], "expected fewer than there are"),
        (["--set", "model.fusion=sum", "--cues", "rgb,flow"], "expected one of gate, residual, concat"),
        (["--method", "supervised", "--cue", "flow"], "say --cues flow"),
        (["--cues", "rgb,flow,gradient"], "one or two branches"),
        (["--cues", "depth"], "no depth"),
    ],
)
def test_settings_that_make_no_sense(
    world: TinyWorld, capsys: pytest.CaptureFixture[str], options: list[str], expected: str
) -> None:
    assert expected in complaint(world, capsys, *options)


def test_a_missing_option_is_named(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--annotations", str(world.annotations), "--out", str(world.runs / "run")]) == 2
    assert "--features is missing" in capsys.readouterr().err


def test_a_part_that_is_no_feature_stream_does_no_harm(world: TinyWorld) -> None:
    write_part(world.features, Part("v00", "flow-images", {"flow": np.zeros((3, 2))}, {"fingerprint": "x"}))
    build_index(world.features)
    assert main(world.arguments("--epochs", "1")) == 0


# ---- videos without features, and names that do not match


def test_videos_without_features_may_be_left_out(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    edited(world, lambda videos: videos.update(lost={**videos["v00"]}, gone={**videos["v01"]}))
    assert main(world.arguments("--epochs", "1", "--missing", "skip")) == 0
    assert "2 of 10 videos have no features (rgb) and are left out: lost, gone" in capsys.readouterr().err
    assert (world.runs / "run/missing.txt").read_text() == "lost\ngone\n"
    assert main(world.arguments("--epochs", "1", "--missing", "skip", "--resume")) == 0
    assert main(["--out", str(world.runs / "run"), "--resume"]) == 0  # config.json remembers what was asked


def test_all_names_are_written_where_a_message_shows_few(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    lost = [f"lost{n:02d}" for n in range(40)]
    edited(world, lambda videos: videos.update({name: {**videos["v00"]} for name in lost}))
    said = complaint(world, capsys)
    assert "lost00: no rgb" in said and "lost39" not in said and "--missing skip" in said
    assert (world.runs / "run/missing.txt").read_text().split() == lost


def test_a_cue_that_no_video_has_is_told_as_such(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    said = complaint(world, capsys, "--cues", "depth", "--missing", "skip")
    assert "No video here has depth; there is flow, gradient, rgb" in said and "--missing skip" not in said


@pytest.mark.parametrize(
    ("rename", "remedy"),
    [
        (lambda v: f"v_{v}", "--prefix v_"),
        (lambda v: f"{v}_rgb25", "--suffix _rgb25"),
        (lambda v: f"train/{v}", "--prefix train/"),
        (lambda v: v.upper(), "--ignore-case"),
    ],
)
def test_names_that_differ_are_shown_with_the_remedy(
    world: TinyWorld, capsys: pytest.CaptureFixture[str], rename: Callable[[str], str], remedy: str
) -> None:
    store = features.open(world.features)
    npy = world.features.parent / "npy"
    for video in store.videos:
        path = npy / f"{rename(video)}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, store.read(video, "rgb").astype(np.float32))
    said = complaint(world, capsys, "--features", str(npy))
    assert f"the store holds {rename('v00')!r}; annotated is 'v00'" in said and remedy in said


# ---- nothing to learn from


def test_annotations_without_an_action_are_refused(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    def emptied(videos: dict) -> None:
        for name in list(videos)[:8]:
            videos[name]["annotations"] = []

    edited(world, emptied)
    said = complaint(world, capsys)
    assert "no action of the training subset lies within the features: check fps, stride, subset" in said
    assert "none of 8 videos has one" in said and not (world.runs / "run").exists()


def test_a_slip_in_the_frame_rate_is_refused_or_said(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    store = features.open(world.features)
    npy = world.features.parent / "npy"
    npy.mkdir()
    for video in store.videos:
        np.save(npy / f"{video}.npy", store.read(video, "rgb").astype(np.float32))
    said = complaint(world, capsys, "--features", str(npy), "--fps", "900")
    assert "no action of the training subset lies within the features" in said and "the features of v00 end at" in said
    assert main(world.arguments("--features", str(npy), "--fps", "30", "--epochs", "1")) == 0
    assert re.search(r"8 of 8 videos: features end at \d+\.\d s of \d+\.\d s", capsys.readouterr().err)


# ---- which subset is learnt from


@pytest.mark.parametrize(
    ("renamed", "chosen"),
    [
        ({"Training": "Validation"}, "Validation"),  # some classes of THUMOS'14
        ({"Training": "val"}, "val"),
        ({"Training": "train-split-1", "Test": "testing"}, "train-split-1"),
    ],
)
def test_what_is_there_is_learnt_from_and_said(
    world: TinyWorld, capsys: pytest.CaptureFixture[str], renamed: dict[str, str], chosen: str
) -> None:
    def rename(videos: dict) -> None:
        for video in videos.values():
            video["subset"] = renamed.get(video["subset"], video["subset"])

    edited(world, rename)
    assert main(world.arguments("--epochs", "1")) == 0
    assert f"no subset 'Training'; learning from {chosen!r}, the only one that is not for testing" in (
        capsys.readouterr().err
    )


def test_between_two_subsets_nobody_chooses(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    def rename(videos: dict) -> None:
        for n, video in enumerate(videos.values()):
            video["subset"] = ["fold1", "fold2", "test"][n % 3]

    edited(world, rename)
    assert "subsets there: 'fold1', 'fold2', 'test'. Say which" in complaint(world, capsys)


def test_a_label_below_zero_is_no_class() -> None:
    with pytest.raises(ValueError, match="label -1: expected a class from 0 on"):
        Targets(torch.zeros(1, 2), torch.tensor([-1]))


def test_a_label_beyond_the_classes_is_refused(world: TinyWorld) -> None:
    truth = read_annotations(world.annotations).subset("Training")
    for label in (-1, 2):
        video = replace(truth.videos["v02"], labels=np.full_like(truth.videos["v02"].labels, label))
        with pytest.raises(TrainingError, match=f"video 'v02': labels {label} to {label}, but the classes are 0 to 1"):
            videos_of(features.open(world.features), replace(truth, videos={**truth.videos, "v02": video}), ["rgb"])
