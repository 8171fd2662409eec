"""Features at another frame rate are those of a video filmed at it, and are kept apart from others."""

from pathlib import Path

import av
import numpy as np
import pytest

import features
from extract import motion, rgb
from flow import tvl1

Said = pytest.CaptureFixture[str]


def write_video(path: Path, fps: int, steps: range) -> Path:
    """Texture that moves with the steps, 96 x 64, losslessly coded."""
    texture = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    image = np.kron(texture, np.ones((4, 4, 1), np.uint8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "bgr0"
        for step in steps:
            shifted = np.ascontiguousarray(np.roll(image, step, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shifted, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def fast(tmp_path: Path) -> Path:
    (tmp_path / "60").mkdir()
    return write_video(tmp_path / "60" / "v.avi", 60, range(96))


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    (tmp_path / "15").mkdir()
    return write_video(tmp_path / "15" / "v.avi", 15, range(0, 96, 4))


def options(video: Path, store: str, *more: str) -> list[str]:
    target = video.parents[1] / store
    return ["--videos", str(video), "--features", str(target), "--backbone", "nano", "--device", "cpu", *more]


def test_a_video_taken_at_15_gives_the_features_of_one_filmed_at_15(fast: Path, slow: Path, tmp_path: Path) -> None:
    small = ["--size", "64", "--crop", "64", "--out", str(tmp_path / "flow.h5")]
    assert tvl1.main(["--videos", str(fast), "--fps", "15", *small]) == 0
    stored = ["--cue", "flow", "--flow", str(tmp_path / "flow.h5")]
    for video, store, more in ((fast, "fast.h5", ["--fps", "15"]), (slow, "slow.h5", [])):
        assert rgb.main(options(video, store, *more)) == 0
        assert motion.main(["--cue", "gradient", *options(video, store, *more)]) == 0
        assert motion.main([*(stored if more else ["--cue", "flow"]), *options(video, store, *more)]) == 0
    ours, theirs = features.open(tmp_path / "fast.h5"), features.open(tmp_path / "slow.h5")
    for cue in ("rgb", "gradient", "flow"):
        np.testing.assert_array_equal(ours.read("v", cue), theirs.read("v", cue))
        np.testing.assert_allclose(ours.grid("v", cue).t_center, theirs.grid("v", cue).t_center)
        assert ours.grid("v", cue).step_s == pytest.approx(4 / 15)
        assert ours.feature_id(cue) == theirs.feature_id(cue)
    said = ours.attributes("v", "rgb")
    assert (said["fps"], said["num_frames"]) == (15, 24) and said["fps_file"] == pytest.approx(60)


def test_another_rate_makes_a_part_anew_and_the_same_one_does_not(fast: Path, capsys: Said) -> None:
    said = []
    for more in ([], ["--fps", "30"], ["--fps", "30"], ["--fps", "20"], []):
        assert rgb.main(options(fast, "f.h5", *more)) == 0
        said.append(capsys.readouterr().out.split(" failed")[0])
    assert ["1 done" in one for one in said] == [True, True, False, True, True]


def test_flow_made_at_another_rate_is_refused(fast: Path, tmp_path: Path, capsys: Said) -> None:
    small = ["--size", "64", "--crop", "64", "--out", str(tmp_path / "flow.h5")]
    assert tvl1.main(["--videos", str(fast), "--fps", "10", *small]) == 0
    stored = ["--cue", "flow", "--flow", str(tmp_path / "flow.h5")]
    assert motion.main([*stored, *options(fast, "f.h5", "--fps", "15")]) == 3
    assert "was made at 10 frames a second, here it would be 15" in capsys.readouterr().err


@pytest.mark.parametrize("fps", ["0", "-5", "nan", "inf"])
def test_rates_that_are_none_are_refused_before_any_work(fast: Path, capsys: Said, fps: str) -> None:
    assert rgb.main(options(fast, "f.h5", "--fps", fps)) == 2
    assert "expected frames per second, more than 0" in capsys.readouterr().err
