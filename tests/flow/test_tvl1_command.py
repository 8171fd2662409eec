"""flow.tvl1 and flow.gradient as commands: videos in, a store out, resumed and split as one likes."""

import json
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from pictures import write_video

import flow.gradient
import flow.pipeline.store
import flow.tvl1
import flow.view
from flow.decode.video import read_frames
from flow.pipeline.difference import temporal_gradient
from flow.pipeline.quantised import dequantise, quantise
from flow.pipeline.store import CHUNK
from flow.solver import TVL1

SMALL = ["--size", "32", "--crop", "24"]


def run(video: Path, store: Path, *more: str) -> int:
    return flow.tvl1.main(["--videos", str(video), "--out", str(store), *SMALL, *more])


def test_the_stored_flow_is_the_solvers_on_the_whole_frame_cropped_and_rounded(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mkv", 4)
    assert run(video, tmp_path / "f.h5") == 0
    stored = flow.pipeline.store.open(tmp_path / "f.h5").read("v")
    gray = [cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY) for frame in read_frames(video)]
    expected = quantise(TVL1()(gray[1], gray[2])[4:28, 12:36].transpose(2, 0, 1))
    assert stored.shape == (3, 2, 24, 24)
    assert np.array_equal(stored[1], expected)
    assert np.median(dequantise(stored[:, 0])) == pytest.approx(1.0, abs=0.16)  # it moves one pixel to the right


def test_attributes_say_where_the_flow_comes_from(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mkv", 3)
    assert run(video, tmp_path / "f.h5", "--preset", "fast", "--bound", "10", "--warps", "2") == 0
    attributes = flow.pipeline.store.open(tmp_path / "f.h5").attributes("v")
    assert attributes["geometry"] == "short32-crop24-linear/1"
    assert attributes["bound"] == 10
    assert json.loads(attributes["parameters"])["warps"] == 2
    assert json.loads(attributes["parameters"])["scale_step"] == 0.65


def test_repeating_the_command_does_nothing_and_other_parameters_do_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, store = write_video(tmp_path / "v.mkv", 3), tmp_path / "f.h5"
    run(video, store)
    capsys.readouterr()
    run(video, store)
    assert "0 done, 1 skipped" in capsys.readouterr().out
    run(video, store, "--lambda", "0.2")
    assert "1 done, 0 skipped" in capsys.readouterr().out


@pytest.mark.slow
def test_two_workers_on_a_long_video_write_the_same_bytes_as_one(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mkv", CHUNK + 20)
    assert run(video, tmp_path / "one.h5") == 0
    assert run(video, tmp_path / "two.h5", "--workers", "2") == 0
    assert flow.pipeline.store.open(tmp_path / "two.h5").num_pairs("v") == CHUNK + 19
    for part in (tmp_path / "one.parts").rglob("*.h5"):
        assert part.read_bytes() == (tmp_path / "two.parts" / part.relative_to(tmp_path / "one.parts")).read_bytes()
    frames = [cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY) for frame in read_frames(video, start=CHUNK - 1)]
    seam = flow.pipeline.store.open(tmp_path / "two.h5").read("v", CHUNK - 1, CHUNK + 1)  # on both sides of the seam
    for k in range(2):
        whole = quantise(TVL1()(frames[k], frames[k + 1]))
        assert np.array_equal(seam[k], whole[4:28, 12:36].transpose(2, 0, 1))


def test_a_video_of_two_frames_has_one_pair(tmp_path: Path) -> None:
    assert run(write_video(tmp_path / "v.mkv", 2), tmp_path / "f.h5") == 0
    store = flow.pipeline.store.open(tmp_path / "f.h5")
    assert store.num_pairs("v") == 1
    assert store.read("v").shape == (1, 2, 24, 24)


@pytest.mark.parametrize("command", [flow.tvl1, flow.gradient])
def test_a_video_of_one_frame_has_no_motion_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: ModuleType
) -> None:
    video = write_video(tmp_path / "v.mkv", 1)
    assert command.main(["--videos", str(video), "--out", str(tmp_path / "f.h5"), *SMALL]) == 3
    assert "v.mkv: one frame has no motion: it takes two" in capsys.readouterr().err


def test_a_broken_video_costs_itself_and_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_video(tmp_path / "in" / "good.mkv", 3)
    (tmp_path / "in" / "bad.mp4").write_text("no video at all")
    assert run(tmp_path / "in", tmp_path / "f.h5") == 3
    assert flow.pipeline.store.open(tmp_path / "f.h5").videos == ("good",)
    report = json.loads((tmp_path / "f.reports" / "flow.tvl1.json").read_text())
    assert [failure["video"] for failure in report["failures"]] == ["bad"]
    assert report["videos"]["good"]["frames"] == 3
    assert {"decode", "flow", "write"} <= set(report["videos"]["good"]["seconds"])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--tau", "0.5"], r"FlowError: TV-L1: tau=0\.5"),
        (["--bound", "0"], "FlowError: --bound"),
        (["--crop", "40"], "FlowError: geometry"),
    ],
)
def test_impossible_settings_are_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    import re

    assert run(tmp_path / "v.mkv", tmp_path / "f.h5", *more) == 2
    assert re.search(words, capsys.readouterr().err)


def test_a_missing_video_is_refused_with_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "nowhere.mkv", tmp_path / "f.h5") == 2
    assert "VideoError" in capsys.readouterr().err


def test_warmup_needs_no_videos(capsys: pytest.CaptureFixture[str]) -> None:
    assert flow.tvl1.main(["--warmup"]) == 0
    assert "ready" in capsys.readouterr().out


def test_the_gradient_is_the_second_frame_less_the_first() -> None:
    before, after = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert (temporal_gradient(before, after) == 255).all()
    assert (temporal_gradient(after, before) == -255).all()  # not 1, as bytes would have it
    with pytest.raises(ValueError, match="one size"):
        temporal_gradient(before, after[:1])


def test_the_gradient_command_stores_exact_differences(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mkv", 4)
    store = tmp_path / "g.h5"
    assert flow.gradient.main(["--videos", str(video), "--out", str(store), *SMALL]) == 0
    stored = flow.pipeline.store.open(store, cue="gradient").read("v")
    rgb = [frame.rgb.astype(int) for frame in read_frames(video)]
    assert stored.dtype == np.int16
    assert np.array_equal(stored[2].transpose(1, 2, 0), (rgb[3] - rgb[2])[4:28, 12:36])


def test_the_view_shows_motion_to_the_right_in_red(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mkv", 3, step=2)
    out = tmp_path / "v.png"
    assert flow.view.main(["--video", str(video), "--out", str(out), "--size", "32", "--full", "2"]) == 0
    picture = cv2.cvtColor(cv2.imread(str(out)), cv2.COLOR_BGR2RGB)
    assert picture.shape == (32, 3 * 48, 3)
    red, green, blue = np.median(picture[8:24, 56:88].reshape(-1, 3), axis=0)
    assert red > 200
    assert max(green, blue) < 90


def test_the_view_of_a_stretch_is_a_video_of_it(tmp_path: Path) -> None:
    video, out = write_video(tmp_path / "v.mkv", 5), tmp_path / "v.mp4"
    assert (
        flow.view.main(["--video", str(video), "--out", str(out), "--size", "32", "--start", "1", "--stop", "3"]) == 0
    )
    assert sum(1 for _ in read_frames(out)) == 2


def test_the_view_never_takes_the_place_of_the_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = write_video(tmp_path / "v.mkv", 3)
    before = video.read_bytes()
    (tmp_path / "link.mkv").symlink_to(video)
    for out in (video, tmp_path / "link.mkv"):
        assert flow.view.main(["--video", str(video), "--out", str(out), "--size", "32"]) == 2
        assert "would be written over" in capsys.readouterr().err
    assert video.read_bytes() == before
