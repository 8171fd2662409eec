"""Altered video files: frames or a VideoError, never anything else, and never without end."""

from pathlib import Path

import numpy as np
import pytest
from test_video import write_video

from flow.decode.video import VideoError, probe, read_frames

KINDS = [("v.mp4", "libx264"), ("v.mkv", "libx264"), ("v.avi", "mpeg4"), ("v.ts", "mpeg2video"), ("v.mov", "mpeg4")]


@pytest.mark.parametrize(("name", "codec"), KINDS)
def test_an_altered_file_gives_frames_or_a_video_error(tmp_path: Path, name: str, codec: str) -> None:
    path = write_video(tmp_path / name, num_frames=20, codec=codec)
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for turn in range(40):
        data = bytearray(whole if turn % 3 else whole[: random.integers(1, len(whole))])
        reach = len(data) if turn % 2 else min(len(data), 800)  # every second time the header
        for place in random.integers(reach, size=8):
            data[place] = random.choice([0, 1, 127, 128, 255])
        path.write_bytes(bytes(data))
        for more in ({}, {"start": 5, "stop": 9}, {"fps": 7.0}):
            try:
                probe(path, fps=more.get("fps"))
                assert sum(1 for _ in read_frames(path, **more)) < 25_000
            except VideoError as error:
                assert str(error).startswith(str(path))


def test_a_codec_that_nobody_knows_is_told(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", 5)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(VideoError, match="of a codec that is not known here"):
        probe(path)


def test_a_time_stamp_hours_away_does_not_repeat_a_frame_for_hours(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", num_frames=3, times=[0, 40, 10_000_000])
    with pytest.raises(VideoError, match=r"3 frames in .* s by its time stamps, which are probably damaged"):
        list(read_frames(path, fps=15))
    assert len(list(read_frames(path))) == 3
