"""Clips cut from longer videos without encoding them anew, and damaged videos that are read as far as they go."""

from pathlib import Path

import av
import numpy as np
import pytest
from test_video import numbers, write_noise, write_video

import features
import flow.gradient
import flow.pipeline.store
from extract import motion, rgb
from flow.decode.video import VideoError, probe, read_frames

OPEN_GROUPS = {  # every 12 frames a keyframe, and pictures before it in time that refer beyond it
    "libx265": {"x265-params": "keyint=12:min-keyint=12:open-gop=1:bframes=3:pools=none:log-level=none"},
    "libx264": {"x264-params": "keyint=12:min-keyint=12:open-gop=1:bframes=3:scenecut=0:mbtree=0"},
    "mpeg2video": {"g": "12", "bf": "2", "sc_threshold": "1000000000", "b": "8000000"},
}


def cut(source: Path, target: Path, keyframe: int = 0, packet: int = 0) -> Path:
    """Copies the packets from a keyframe on, as ffmpeg -ss ... -c copy does, or from any packet on."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as clip:
        stream = whole.streams.video[0]
        copied = clip.add_stream_from_template(stream)
        keys, first = -1, 0
        for place, one in enumerate(whole.demux(stream)):
            if one.size == 0 or one.dts is None or one.pts is None:
                continue
            keys += one.is_keyframe
            if keys < keyframe or place < packet:
                continue
            first = first or one.dts
            one.pts, one.dts, one.stream = one.pts - first, one.dts - first, copied
            clip.mux(one)
    return target


@pytest.mark.parametrize("codec", OPEN_GROUPS)
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_pictures_that_refer_to_what_was_cut_away_are_not_promised(tmp_path: Path, codec: str, suffix: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    long = write_video(tmp_path / "long.mp4", num_frames=42, codec=codec, options=OPEN_GROUPS[codec])
    clip = cut(long, tmp_path / f"clip{suffix}", keyframe=2)
    frames = list(read_frames(clip, min_decoded=1.0))
    assert numbers(frames) == list(range(24, 42))
    assert probe(clip).num_frames == 18
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(18) / 25, atol=1e-3)
    (one,) = read_frames(clip, start=15, stop=16)
    assert numbers([one]) == [39] and one.time_s == frames[15].time_s


@pytest.mark.parametrize("codec", OPEN_GROUPS)
def test_a_clip_that_begins_between_keyframes_begins_with_the_first_of_them(tmp_path: Path, codec: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    long = write_video(tmp_path / "long.mp4", num_frames=42, codec=codec, options=OPEN_GROUPS[codec])
    clip = cut(long, tmp_path / "clip.mkv", packet=7)
    frames = list(read_frames(clip, min_decoded=1.0))
    assert numbers(frames) == list(range(12, 42)) and frames[0].time_s == 0.0


def damaged(path: Path) -> Path:
    """A video of 300 frames with garbage in the second of its three chunks, and good frames after it."""
    write_noise(path, num_frames=300)
    data = bytearray(path.read_bytes())
    place = len(data) * 2 // 3
    data[place : place + 30_000] = b"\xff" * 30_000
    path.write_bytes(bytes(data))
    return path


def test_a_damaged_video_names_the_option_that_takes_what_comes_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the option works in all commands, which all end the video at one place."""
    path = damaged(tmp_path / "v.mp4")
    with pytest.raises(
        VideoError, match=r"stopped at frame \d+ of 300.* go on with what comes before: --min-deco"
    ) as e:
        list(read_frames(path))
    option = str(e.value).partition("--min-decoded ")[2].split(",")[0]
    whole = len(list(read_frames(path, min_decoded=float(option))))
    assert 128 < whole < 256

    store = tmp_path / "g.h5"
    command = ["--videos", str(path), "--out", str(store), "--size", "64", "--crop", "64"]
    assert flow.gradient.main(command) == 3
    assert flow.gradient.main([*command, "--min-decoded", option]) == 0
    assert flow.pipeline.store.open(store, cue="gradient").num_pairs("v") == whole - 1
    assert flow.pipeline.store.open(store, cue="gradient").read("v").shape[0] == whole - 1

    extract = ["--videos", str(path), "--features", str(tmp_path / "f.h5"), "--backbone", "nano", "--device", "cpu"]
    assert rgb.main(extract) == 3
    assert f"--min-decoded {option}" in capsys.readouterr().err
    assert rgb.main([*extract, "--min-decoded", option]) == 0
    assert motion.main(["--cue", "gradient", *extract, "--min-decoded", option]) == 0
    features.open(tmp_path / "f.h5").check(["v"], ["rgb", "gradient"])
    assert features.open(tmp_path / "f.h5").attributes("v", "rgb")["num_frames"] == whole
