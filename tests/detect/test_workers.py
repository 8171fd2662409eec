"""detect.run by several processes: the answers of one, in its order."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from drifting import SMALL
from test_inference import annotate, command, detector, make_store

import features
from detect.deployed import workers
from detect.deployed.workers import Question, ask_all, together
from detect.heads import HEADS
from detect.inference import Video, detect, detect_several
from detect.model.detector import Detector, DetectorConfig
from evaluate.files.detections import read_detections
from features.storage.grid import ClipGrid
from features.storage.store import Part, build_index, part_path, write_part


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_store(tmp_path)
    annotate(tmp_path)
    detector().save(tmp_path / "detector.pt")
    return tmp_path


def test_two_workers_find_what_one_finds_and_a_bad_video_costs_itself(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "AT_ONCE", 1)  # else the two short videos are one job
    assert command(folder, "--videos", "v2", "v1") == 0
    alone = json.loads((folder / "found.json").read_text())
    assert command(folder, "--videos", "v2", "v1", "--workers", "2") == 0
    assert json.loads((folder / "found.json").read_text()) == alone and list(alone["results"]) == ["v2", "v1"]
    part = part_path(folder / "demo.h5", "v1", "rgb")
    part.write_bytes(part.read_bytes()[:-100])
    capsys.readouterr()
    assert command(folder, "--videos", "v2", "v1", "--workers", "2") == 3
    assert read_detections(folder / "found.json").videos == ("v2",)
    assert "not detected: v1: " in capsys.readouterr().err


@pytest.mark.parametrize("head", list(HEADS))
def test_videos_that_are_seen_together_have_the_detections_of_each_alone(head: str) -> None:
    torch.manual_seed(0)
    config = DetectorConfig(classes=("jump", "spin"), feature_dims={"rgb": 6}, width=16, head=head,
                            head_config=SMALL[head])  # fmt: skip
    model, random = Detector(config).eval(), np.random.default_rng(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("_path.scale"):
                parameter.fill_(1.0)  # blocks begin as the identity
    videos = [
        Video({"rgb": random.normal(size=(steps, 6))}, ClipGrid.regular(steps, 30, 16, 4), steps / 7.5 + 1)
        for steps in (1, 40, 9, 16, 33)
    ]
    for found, video in zip(detect_several(model, videos), videos, strict=True):
        alone = detect(model, *video)
        assert len(found.scores) == len(alone.scores) > 0
        np.testing.assert_allclose(found.scores, alone.scores, atol=1e-5)
        for segment, score, label in zip(*alone, strict=True):  # equal scores may change places
            here = (np.abs(found.scores - score) <= 1e-5) & (found.labels == label)
            assert np.abs(found.segments[here] - segment).max(1).min(initial=np.inf) <= 1e-3


def store_of(folder: Path, **steps: int) -> features.Store:
    for video, count in steps.items():
        arrays = {"features": np.ones((count, 6), np.float16)}
        told = {"fingerprint": video, "feature_id": "a1b2", "window": 16, "stride": 4, "fps": 30.0, "duration_s": 9.0}
        grid = ClipGrid.regular(count, 30, 16, 4)
        write_part(folder / "f.h5", Part(video, "rgb", {**arrays, "t_center": grid.t_center}, told))
    return features.open(build_index(folder / "f.h5"))


def test_short_videos_are_seen_together_and_long_ones_alone(tmp_path: Path) -> None:
    store = store_of(tmp_path, a=100, b=5000, c=120, d=2100, e=90, f=2000)
    groups = together(detector(), store, [Question(video) for video in "abcdef"])
    assert [[each.video for each in group] for group in groups] == [["b"], ["d"], ["f", "c"], ["a", "e"]]


def test_a_video_that_cannot_be_seen_costs_itself_and_not_those_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, model = store_of(tmp_path, a=10, b=11, c=12), detector()
    ours = workers.detect_several

    def refusing(model: Detector, videos: list[Video]) -> list:
        if any(len(video.grid) == 11 for video in videos):
            raise ValueError("eleven")
        return ours(model, videos)

    monkeypatch.setattr(workers, "detect_several", refusing)
    answers = {answer.video: answer for answer in ask_all(model, store, [[Question(video) for video in "abc"]])}
    assert [video for video, answer in answers.items() if answer.found is None] == ["b"]
    assert answers["b"].failure == {"video": "b", "cause": "ValueError", "message": "eleven"}


def test_no_worker_is_no_number_of_workers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command(folder, "--workers", "0")
    assert "--workers 0: expected 1 or more" in capsys.readouterr().err
