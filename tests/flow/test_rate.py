"""Frames at another rate: those that a viewer sees at each moment, at exact times, the same in whole and in part."""

from pathlib import Path

import numpy as np
import pytest
from test_video import assert_same, numbers, write_video

from flow.decode.video import probe, read_frames


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])  # mkv rounds times to milliseconds
@pytest.mark.parametrize("decoder", ["av", "opencv"])
def test_every_fourth_frame_of_60_makes_15(tmp_path: Path, suffix: str, decoder: str) -> None:
    path = write_video(tmp_path / f"v{suffix}", num_frames=61, fps=60)
    frames = list(read_frames(path, fps=15, decoder=decoder))
    assert numbers(frames) == list(range(0, 61, 4))
    assert [frame.time_s for frame in frames] == [k / 15 for k in range(16)]
    info = probe(path, fps=15, decoder=decoder)
    assert (info.num_frames, info.fps, info.is_vfr) == (16, 15, False)
    assert info.fps_file == pytest.approx(60) and info.duration_s == pytest.approx(61 / 60, abs=2e-3)


def test_the_files_own_rate_changes_nothing(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", num_frames=40, fps=25)
    plain, asked = list(read_frames(path)), list(read_frames(path, fps=25))
    assert len(plain) == len(asked) == probe(path, fps=25).num_frames
    for one, other in zip(plain, asked, strict=True):
        assert np.array_equal(one.rgb, other.rgb) and one.time_s == pytest.approx(other.time_s)


def test_frames_are_repeated_where_there_are_too_few(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", num_frames=4, fps=10)
    assert numbers(list(read_frames(path, fps=25))) == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]


def test_a_frame_that_lasts_is_seen_as_long_as_it_lasts(tmp_path: Path) -> None:
    times = [0, 100, 200, 700, 800]  # ms
    path = write_video(tmp_path / "v.mkv", num_frames=5, times=times)
    assert numbers(list(read_frames(path, fps=10)))[:9] == [0, 1, 2, 2, 2, 2, 2, 3, 4]


@pytest.mark.parametrize("decoder", ["av", "opencv"])
@pytest.mark.parametrize("fps", [7.0, 29.97, 15.0])
def test_any_part_equals_the_same_part_of_the_whole(tmp_path: Path, fps: float, decoder: str) -> None:
    path = write_video(tmp_path / "v.mkv", num_frames=90, fps=30)
    whole = list(read_frames(path, fps=fps, decoder=decoder))
    assert len(whole) == probe(path, fps=fps, decoder=decoder).num_frames
    for start, stop in ((0, 5), (1, 2), (17, 19), (len(whole) - 2, None), (5, 5), (10, 400)):
        assert_same(list(read_frames(path, start=start, stop=stop, fps=fps, decoder=decoder)), whole[start:stop])
