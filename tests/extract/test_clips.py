"""Clips of a stream of frames: which, when, and how much is held."""

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from extract.cues import motion_views
from extract.cues.clips import batches, cut
from extract.cues.cue import show_rgb
from extract.cues.motion_views import BatchedFlowView, FlowView, GradientView
from extract.pipeline.settings import ClipSettings
from features.running.stopwatch import Stopwatch
from features.storage.grid import num_clips
from flow.decode.geometry import Geometry
from flow.decode.video import Frame
from flow.solver import make_solver


def film(num_frames: int, fps: float = 25.0) -> Iterator[Frame]:
    """Frame i is filled with i."""
    for index in range(num_frames):
        yield Frame(index, index / fps, 1 / fps, np.full((4, 6, 3), index % 256, np.uint8))


def first(previous: Frame, frame: Frame) -> np.ndarray:
    return previous.rgb


def pair(previous: Frame, frame: Frame) -> np.ndarray:
    return np.array([[[previous.index, frame.index]]])


@pytest.mark.parametrize(("num_frames", "clips"), [(16, 0), (17, 1), (20, 1), (21, 2), (100, 21)])
def test_a_clip_of_16_needs_17_frames_for_every_cue(num_frames: int, clips: int) -> None:
    assert len(list(cut(film(num_frames), first, 16, 4))) == clips
    assert len(list(cut(film(num_frames), pair, 16, 4))) == clips
    assert num_clips(num_frames, 16, 4) == clips


def test_rgb_and_motion_see_the_same_frames() -> None:
    for rgb, motion in zip(cut(film(40), first, 8, 5), cut(film(40), pair, 8, 5), strict=True):
        np.testing.assert_array_equal(rgb.steps[:, 0, 0, 0], motion.steps[:, 0, 0, 0])
        np.testing.assert_array_equal(motion.steps[:, 0, 0, 1], motion.steps[:, 0, 0, 0] + 1)
        assert rgb.t_center == motion.t_center
    starts = [int(clip.steps[0, 0, 0, 0]) for clip in cut(film(40), first, 8, 5)]
    assert starts == [0, 5, 10, 15, 20, 25, 30]  # 30 + 8 is the last frame but one


def test_clips_further_apart_than_they_are_long_leave_frames_out() -> None:
    looked_at = []

    def view(previous: Frame, frame: Frame) -> np.ndarray:
        looked_at.append(previous.index)
        return previous.rgb

    clips = list(cut(film(26), view, 4, 10))
    assert [clip.steps[:, 0, 0, 0].tolist() for clip in clips] == [[0, 1, 2, 3], [10, 11, 12, 13], [20, 21, 22, 23]]
    assert looked_at == [0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23]  # no flow is computed for nobody


def test_steps_that_no_clip_reads_are_not_looked_at() -> None:
    looked_at = []

    def view(previous: Frame, frame: Frame) -> np.ndarray:
        looked_at.append(previous.index)
        return previous.rgb

    clips = list(cut(film(26), view, 16, 4, reads=[0, 4, 8, 12]))
    assert [clip.steps[:, 0, 0, 0].tolist() for clip in clips] == [[0, 4, 8, 12], [4, 8, 12, 16], [8, 12, 16, 20]]
    assert looked_at == [0, 4, 8, 12, 16, 20, 24]
    assert [clip.t_center for clip in clips] == [clip.t_center for clip in cut(film(26), first, 16, 4)]


def test_centres_are_those_of_a_regular_grid() -> None:
    times = [clip.t_center for clip in cut(film(40, fps=20), first, 16, 4)]
    np.testing.assert_allclose(times, (np.arange(6) * 4 + 8) / 20)


def test_centres_follow_the_frames_where_they_come_unevenly() -> None:
    times = [0.0, 0.1, 0.2, 0.9, 1.0, 1.1]
    frames = [Frame(i, t, 0.1, np.zeros((1, 1, 3), np.uint8)) for i, t in enumerate(times)]
    assert [clip.t_center for clip in cut(frames, first, 2, 1)] == pytest.approx([0.1, 0.5, 0.6, 1.0])


def test_only_a_window_of_frames_is_held_however_long_the_video() -> None:
    seen: list[weakref.ref[np.ndarray]] = []

    def counted() -> Iterator[Frame]:
        for frame in film(300):
            seen.append(weakref.ref(frame.rgb))
            yield frame

    most = 0
    for _ in cut(counted(), first, 16, 4):
        most = max(most, sum(reference() is not None for reference in seen))
    assert most <= 16 + 2


def test_batches_keep_every_clip_once() -> None:
    sizes = [len(batch) for batch in batches(cut(film(60), first, 16, 4), 4)]
    assert sizes == [4, 4, 3]


# Views


def frames_of(*images: np.ndarray) -> list[Frame]:
    return [Frame(index, index / 25, 1 / 25, image) for index, image in enumerate(images)]


def test_the_views_of_all_cues_are_the_same_square() -> None:
    frames = frames_of(np.zeros((64, 90, 3), np.uint8), np.full((64, 90, 3), 200, np.uint8))
    frames[0].rgb[:, 13] = 7  # the first column of the crop: (90 - 64) / 2
    geometry, watch = Geometry(64, 64), Stopwatch()
    rgb = show_rgb(geometry)(*frames)
    assert rgb.shape == (64, 64, 3) and (rgb[:, 0] == 7).all() and (rgb[:, 1:] == 0).all()
    gradient = GradientView(geometry, watch)(*frames)
    assert gradient.dtype == np.int16 and (gradient[:, 0] == 193).all() and (gradient[:, 1:] == 200).all()
    assert FlowView(geometry, watch)(*frames).shape == (64, 64, 2)


def test_flow_solved_in_batches_ahead_of_the_frames_is_that_of_pair_by_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnCPU:
        sizes: ClassVar[list[int]] = []

        def solve(self, frames0: np.ndarray, frames1: np.ndarray) -> torch.Tensor:
            self.sizes.append(len(frames0))
            solve = make_solver("cpu", "fast")
            return torch.from_numpy(np.stack([solve(*pair) for pair in zip(frames0, frames1, strict=True)]))

    solvers = {"cuda": OnCPU, "cpu": lambda: make_solver("cpu", "fast")}
    monkeypatch.setattr(motion_views, "make_solver", lambda backend, preset: solvers[backend]())
    monkeypatch.setattr(motion_views, "BLOCK", 4)
    images = np.random.default_rng(0).integers(0, 256, (11, 16, 20, 3), dtype=np.uint8)
    geometry, watch = Geometry(16, 16), Stopwatch()
    batched, plain = BatchedFlowView(geometry, watch), FlowView(geometry, watch, "cpu", "fast")
    window, stride = 2, 3  # every third step is in no clip
    made = list(cut(batched.solved(frames_of(*images)), batched, window, stride))
    expected = list(cut(frames_of(*images), plain, window, stride))
    assert OnCPU.sizes == [4, 4, 2]
    assert len(made) == len(expected) == 3
    for one, other in zip(made, expected, strict=True):
        assert one.t_center == other.t_center
        assert np.array_equal(one.steps, other.steps)
    assert list(batched.solved([])) == []


def test_flow_is_in_pixels_and_rounded_as_a_store_rounds_it() -> None:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (12, 18), dtype=np.uint8)
    texture = np.kron(coarse, np.ones((8, 8), np.uint8)).astype(np.float32)
    for axis in (0, 1):
        texture = sum(np.roll(texture, shift, axis) for shift in range(-3, 4)) / 7
    image = np.repeat(texture.astype(np.uint8)[..., None], 3, axis=-1)
    frames = frames_of(image[:64, :90], np.roll(image, 3, axis=1)[:64, :90])  # moves 3 pixels to the right
    shown = FlowView(Geometry(64, 64), Stopwatch())(*frames)
    middle = shown[16:48, 16:48]
    assert np.median(middle[..., 0]) == pytest.approx(3, abs=0.2)
    assert np.median(middle[..., 1]) == pytest.approx(0, abs=0.2)
    levels = (shown + 20) / 40 * 255
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-3)


# Settings


def test_features_are_told_apart_by_everything_that_changes_them() -> None:
    settings = ClipSettings("rgb", weights_sha256="a")
    same = [
        ClipSettings("rgb", weights_sha256="a", batch=9),
        ClipSettings("rgb", weights_sha256="a", weights=Path("b.pt")),
    ]
    other = [
        ClipSettings("flow", weights_sha256="a"),
        ClipSettings("rgb", weights_sha256="b"),
        ClipSettings("rgb", weights_sha256="a", stride=8),
        ClipSettings("rgb", weights_sha256="a", window=32),
        ClipSettings("rgb", weights_sha256="a", precision="bfloat16"),
        ClipSettings("rgb", weights_sha256="a", backbone="nano"),
    ]
    assert {one.feature_id for one in same} == {settings.feature_id}
    assert len({one.feature_id for one in [settings, *other]}) == 7
    assert settings.fingerprint("video 1") != settings.fingerprint("video 2")
    assert ClipSettings.from_json(same[1].to_json()) == same[1]
