"""Frames of a video, exact or a clear error: generated files whose truth is known, and real files with their traps."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from flow.decode.video import Frame, VideoError, probe, read_frames


def grey(digit: int) -> int:
    """The grey level that stands for a digit; neighbours differ by more than a codec blurs."""
    return 30 + 20 * digit


def write_video(
    path: Path,
    num_frames: int = 60,
    fps: int = 25,
    size: tuple[int, int] = (96, 64),
    times: Sequence[int] | None = None,  # in 1/1000 s
    codec: str = "libx264",
    rotation: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """A video that shows its frame numbers: the left half is the tens, the right half the ones; the corner is white."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            codec, rate=fps, options=options or {"g": "12"}
        )  # keyframes; B-frames are the default
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for index in range(num_frames):
            image = np.full((size[1], size[0], 3), grey(index // 10 % 10), np.uint8)
            image[:, size[0] // 2 :] = grey(index % 10)
            image[: size[1] // 4, : size[0] // 4] = 255
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def numbers(frames: Sequence[Frame]) -> list[int]:
    """The frame numbers that frames show."""
    halves = [(frame.rgb[-8:, 4:40].mean(), frame.rgb[-8:, -40:-4].mean()) for frame in frames]
    return [10 * round((tens - 30) / 20) + round((ones - 30) / 20) for tens, ones in halves]


def assert_same(ours: Sequence[Frame], theirs: Sequence[Frame]) -> None:
    assert [frame[:3] for frame in ours] == [frame[:3] for frame in theirs]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.rgb, b.rgb)


@pytest.mark.parametrize("decoder", ["av", "opencv", "decord"])
def test_every_decoder_gives_every_frame_once_in_order_with_its_time(tmp_path: Path, decoder: str) -> None:
    pytest.importorskip({"av": "av", "opencv": "cv2", "decord": "decord"}[decoder])
    path = write_video(tmp_path / "v.mp4", num_frames=60, fps=25)
    frames = list(read_frames(path, decoder=decoder))
    assert [frame.index for frame in frames] == list(range(60))
    assert numbers(frames) == list(range(60))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(60) / 25, atol=1e-6)
    np.testing.assert_allclose([frame.duration_s for frame in frames], 1 / 25, atol=1e-6)
    assert frames[0].rgb.shape == (64, 96, 3) and frames[0].rgb.dtype == np.uint8


def test_channels_are_red_green_blue(tmp_path: Path) -> None:
    path = tmp_path / "red.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        image = np.zeros((64, 64, 3), np.uint8)
        image[..., 0] = 255
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    for decoder in ("av", "opencv"):
        red, green, blue = next(iter(read_frames(path, decoder=decoder))).rgb.mean(axis=(0, 1))
        assert red > 200 and green < 50 and blue < 50


def test_a_video_is_probed_without_decoding(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", num_frames=50, fps=20)
    info = probe(path)
    assert (info.width, info.height, info.num_frames, info.num_frames_header) == (96, 64, 50, 50)
    assert info.fps == 20 and info.duration_s == pytest.approx(2.5)
    assert info.codec == "h264" and not info.is_vfr and info.size == path.stat().st_size
    assert len(info.sha256) == 64


def test_any_chunk_equals_the_same_part_of_the_whole(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", num_frames=100)
    whole = list(read_frames(path))
    for start, stop in ((0, 5), (1, 2), (47, 53), (60, 61), (71, 90), (95, None), (99, 100), (40, 40), (90, 400)):
        assert_same(list(read_frames(path, start=start, stop=stop)), whole[start:stop])


def test_times_follow_the_file_where_frames_come_at_a_variable_rate(tmp_path: Path) -> None:
    times = np.cumsum([40, 40, 120, 40, 200] * 6) - 40
    path = write_video(tmp_path / "v.mkv", num_frames=30, times=times.tolist())
    frames = list(read_frames(path))
    np.testing.assert_allclose([frame.time_s for frame in frames], times / 1000, atol=1e-9)
    np.testing.assert_allclose([frame.duration_s for frame in frames[:-1]], np.diff(times) / 1000, atol=1e-9)
    assert probe(path).is_vfr


def test_times_count_from_the_first_frame_even_if_the_file_starts_later(tmp_path: Path) -> None:
    times = 500 + 40 * np.arange(30)
    path = write_video(tmp_path / "late.mkv", num_frames=30, times=times.tolist())
    frames = list(read_frames(path))
    assert frames[0].time_s == 0.0
    assert frames[29].time_s == pytest.approx(29 * 0.04)
    assert [frame.time_s for frame in read_frames(path, start=20)] == [frame.time_s for frame in frames[20:]]
    assert probe(path).start_s == pytest.approx(0.5)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_phone_video_stands_upright_whatever_decodes_it(tmp_path: Path, rotation: int) -> None:
    path = write_video(tmp_path / "phone.mp4", num_frames=5, rotation=rotation)
    ours, theirs = list(read_frames(path)), list(read_frames(path, decoder="opencv"))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.rgb, b.rgb)
    info = probe(path)
    assert (info.height, info.width) == ours[0].rgb.shape[:2]
    assert info.rotation == rotation
    corner = {90: (-4, 4), 180: (-4, -4), 270: (4, -4)}[rotation]  # where the upper left goes, counterclockwise
    assert ours[0].rgb[corner].min() > 200


def test_avi_without_time_stamps_counts_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.avi", num_frames=40, codec="mpeg4")
    frames = list(read_frames(path))
    assert numbers(frames) == list(range(40))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(40) / 25, atol=1e-9)


def truncated(path: Path, keep: float) -> Path:
    cut = path.with_name(f"cut{path.suffix}")
    cut.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    return cut


def write_noise(path: Path, num_frames: int = 60) -> Path:
    """A video that does not compress, header first, so that a cut falls among its frames."""
    random = np.random.default_rng(0)
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "12"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(num_frames):
            image = random.integers(0, 256, (64, 96, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_file_cut_short_is_an_error_that_says_where(tmp_path: Path, suffix: str) -> None:
    path = truncated(write_noise(tmp_path / f"v{suffix}"), keep=0.6)
    with pytest.raises(VideoError, match=r"cut\.m..: decoding stopped at frame 3\d of (60|59|61), 1\.\d s in"):
        list(read_frames(path))


def test_the_silent_truncation_of_opencv_is_an_error_too(tmp_path: Path) -> None:
    path = truncated(write_noise(tmp_path / "v.mp4"), keep=0.6)
    with pytest.raises(VideoError, match=r"decoding stopped at frame 3\d of 60"):
        list(read_frames(path, decoder="opencv"))


def test_a_cut_file_can_be_accepted_as_it_is(tmp_path: Path) -> None:
    path = truncated(write_noise(tmp_path / "v.mp4"), keep=0.6)
    assert 30 <= len(list(read_frames(path, min_decoded=0.4))) < 40


def test_garbage_in_the_middle_is_an_error_and_not_a_shorter_video(tmp_path: Path) -> None:
    path = write_noise(tmp_path / "v.mp4")
    damaged = bytearray(path.read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 20_000] = b"\xff" * 20_000
    path.write_bytes(bytes(damaged))
    with pytest.raises(VideoError, match=r"decoding stopped at frame \d+ of 60"):
        list(read_frames(path))


def test_what_is_no_video_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video\n" * 100)
    write_noise(tmp_path / "v.mp4")
    (tmp_path / "headless.mp4").write_bytes((tmp_path / "v.mp4").read_bytes()[-20_000:])
    with pytest.raises(VideoError, match=r"empty\.mp4: the file is empty \(0 bytes\)"):
        probe(tmp_path / "empty.mp4")
    for name in ("text", "headless"):
        for read in (probe, lambda path: list(read_frames(path))):
            with pytest.raises(VideoError, match=rf"{name}\.mp4: this is not a video that can be opened"):
                read(tmp_path / f"{name}.mp4")
    with pytest.raises(VideoError, match=r"nowhere\.mp4: no such file"):
        list(read_frames(tmp_path / "nowhere.mp4"))
    with pytest.raises(VideoError, match="this is a folder"):
        probe(tmp_path)


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match=r"sound\.mkv: .*no video stream"):
        probe(path)


def test_an_unknown_decoder_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="'ffmpeg' is unknown: expected auto, av, opencv, decord"):
        list(read_frames(write_video(tmp_path / "v.mp4", 2), decoder="ffmpeg"))


def test_reading_stops_when_nobody_asks_for_more(tmp_path: Path) -> None:
    path = truncated(write_noise(tmp_path / "v.mp4"), keep=0.6)
    assert len(list(islice(read_frames(path), 5))) == 5  # the damage lies beyond
    assert len(list(read_frames(path, start=2, stop=7))) == 5


# Real files


def test_real_videos_give_the_frames_they_are_known_to_hold(shared_data: Path) -> None:
    known = {  # counted by decoding with three libraries
        "bbformer_highjump.mp4": 726,  # the header says 727; an edit list hides one
        "mmaction2_demo.mp4": 280,
        "v_GGSY1Qvo990.mp4": 355,
        "edge/cve_vid1.mp4": 56,  # the header says 74; an edit list hides the first 18
        "edge/decord_flipping_a_pancake.mkv": 310,
        "edge/rc3d_UCF-101_Rowing_g16_c03.avi": 135,
        "edge/torchcodec_nasa_13013.mp4": 390,  # the larger of two streams
        "edge/ucf101_v_ApplyEyeMakeup_g01_c01.avi": 164,
        "edge/v_CricketShot_g04_c01_rgb.gif": 79,
    }
    for name, count in known.items():
        path = shared_data / "videos" / name
        times = np.array([frame.time_s for frame in read_frames(path)])
        assert len(times) == probe(path).num_frames == count, name
        assert times[0] == 0 and (np.diff(times) > 0).all(), name


def test_chunks_of_real_videos_equal_the_whole(shared_data: Path) -> None:
    for name in (
        "v_GGSY1Qvo990.mp4",
        "mmaction2_demo.mp4",
        "edge/cve_vid1.mp4",
        "edge/decord_flipping_a_pancake.mkv",
        "edge/ucf101_v_ApplyEyeMakeup_g01_c01.avi",
        "edge/v_CricketShot_g04_c01_flow.gif",
    ):
        path = shared_data / "videos" / name
        whole = list(read_frames(path))
        middle = len(whole) // 2
        for start, stop in ((middle, middle + 9), (len(whole) - 3, None), (1, 4), (middle + 17, middle + 18)):
            assert_same(list(read_frames(path, start=start, stop=stop)), whole[start:stop])


def test_pyav_and_opencv_agree_to_the_bit_on_real_videos(shared_data: Path) -> None:
    for name in ("v_GGSY1Qvo990.mp4", "edge/rc3d_UCF-101_Rowing_g16_c03.avi"):
        path = shared_data / "videos" / name
        ours, theirs = read_frames(path), read_frames(path, decoder="opencv")
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a.rgb, b.rgb)
            assert a.time_s == pytest.approx(b.time_s, abs=1e-6)


def test_a_real_corrupted_video_says_where_it_breaks(shared_data: Path) -> None:
    with pytest.raises(VideoError, match=r"decord_corrupted\.mp4: decoding stopped at frame 28 of 50, 2\.8 s in"):
        list(read_frames(shared_data / "videos" / "edge" / "decord_corrupted.mp4"))
