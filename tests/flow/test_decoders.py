"""Decoders agree to the bit where that is claimed, on 8-bit 4:2:0 video, and are told apart where they do not."""

from pathlib import Path

import av
import numpy as np
import pytest
from test_video import write_video

from extract.pipeline.settings import ClipSettings
from flow.decode.video import probe, read_frames
from flow.pipeline.settings import FlowSettings

pytest.importorskip("cv2")
OTHERS = ["opencv", "decord"]


def write_coded(path: Path, codec: str, pixels: str, size: tuple[int, int] = (98, 66)) -> Path:
    """Coloured texture that drifts, of a size that is no multiple of 16."""
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    texture = np.random.default_rng(0).integers(0, 256, (11, 14, 3), dtype=np.uint8)
    image = np.kron(texture, np.ones((6, 7, 1), np.uint8))[: size[1], : size[0]]
    quiet = {"x265-params": "log-level=none:pools=none"} if codec == "libx265" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"g": "5", **quiet})
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        for index in range(12):
            shifted = np.ascontiguousarray(np.roll(image, index, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shifted, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("decoder", OTHERS)
@pytest.mark.parametrize(
    ("codec", "name"),
    [("libx264", "v.mp4"), ("libx264", "v.mkv"), ("libx265", "v.mp4"), ("mpeg4", "v.avi"), ("mpeg2video", "v.mkv")],
)
def test_decoders_agree_to_the_bit_on_8_bit_420(tmp_path: Path, decoder: str, codec: str, name: str) -> None:
    pytest.importorskip({"opencv": "cv2", "decord": "decord"}[decoder])
    path = write_coded(tmp_path / name, codec, "yuv420p")
    ours, theirs = list(read_frames(path)), list(read_frames(path, decoder=decoder))
    assert len(ours) == len(theirs) == 12
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.rgb, other.rgb)
    assert probe(path).decoded_by == ""


@pytest.mark.parametrize("decoder", OTHERS)
@pytest.mark.parametrize(
    "name", ["v_ZNVhz7ctTq0.mp4", "cuhk_plastering.avi", "mmaction2_demo.mp4", "edge/decord_flipping_a_pancake.mkv"]
)
def test_decoders_agree_to_the_bit_on_real_videos(shared_data: Path, decoder: str, name: str) -> None:
    pytest.importorskip({"opencv": "cv2", "decord": "decord"}[decoder])
    path = shared_data / "videos" / name
    assert probe(path).decoded_by == ""
    ours, theirs = read_frames(path, stop=120), read_frames(path, stop=120, decoder=decoder)
    assert sum(np.array_equal(one.rgb, other.rgb) for one, other in zip(ours, theirs, strict=True)) == 120


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_ten_bits_are_another_video_to_another_decoder(tmp_path: Path, codec: str) -> None:
    """They are turned to 8 bits by rules of the decoder's own: parts made with one are no part made with the other."""
    path = write_coded(tmp_path / "v.mkv", codec, "yuv420p10le")
    by = {decoder: probe(path, decoder=decoder).decoded_by for decoder in ("av", "opencv")}
    assert by == {"av": "av", "opencv": "opencv"}
    for settings in (ClipSettings("rgb", "nano"), FlowSettings("flow"), FlowSettings("gradient")):
        assert len({settings.fingerprint("sha", one) for one in ("", *by.values())}) == 3


def test_what_a_decoder_cannot_tell_counts_as_its_own(tmp_path: Path) -> None:
    pytest.importorskip("decord")
    path = write_video(tmp_path / "v.mp4", 5)
    assert [probe(path, decoder=decoder).decoded_by for decoder in ("av", "opencv", "decord")] == ["", "", "decord"]


def test_a_frame_rate_makes_another_part_of_the_same_kind_of_features() -> None:
    """So a phone's video taken at the rate of training may be used with those that were filmed so."""
    plain, asked = ClipSettings("rgb", "nano"), ClipSettings("rgb", "nano", fps=15.0)
    assert plain.fingerprint("sha") != asked.fingerprint("sha")
    assert plain.feature_id == asked.feature_id
