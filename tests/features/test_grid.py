"""Where the steps of a feature sequence sit in time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import ClipGrid
from features.storage.grid import num_clips


def test_the_centre_of_a_clip_is_the_middle_of_its_window() -> None:
    grid = ClipGrid.regular(num_steps=3, fps=30.0, window=16, stride=4)
    np.testing.assert_allclose(grid.t_center, [8 / 30, 12 / 30, 16 / 30])
    assert grid.step_s == 4 / 30


def test_a_clip_needs_one_frame_more_than_its_window() -> None:
    # Motion lives between frames: 16 pairs need 17 frames.
    assert [num_clips(n, window=16, stride=4) for n in (0, 16, 17, 20, 21, 25)] == [0, 0, 1, 1, 2, 3]


def test_a_known_thumos_video_has_the_published_number_of_clips() -> None:
    # video_validation_0000051 has 5091 frames and 1269 published features; 5092 frames are where the two rules differ.
    assert num_clips(5091, window=16, stride=4) == 1269
    assert num_clips(5092, window=16, stride=4) == 1269 == (5092 - 16) // 4


def test_times_between_centres_are_interpolated_and_outside_them_continued() -> None:
    grid = ClipGrid(np.array([1.0, 2.0, 4.0]), step_s=1.5)
    np.testing.assert_allclose(grid.to_seconds(np.array([0.5, 1.5, -1.0, 4.0])), [1.5, 3.0, -0.5, 7.0])
    np.testing.assert_allclose(grid.to_steps(np.array([1.5, 3.0, -0.5, 7.0])), [0.5, 1.5, -1.0, 4.0])


def test_the_regular_grid_agrees_with_the_actionformer_formula() -> None:
    # Their segment grid is seconds * fps / stride - window / (2 * stride).
    grid = ClipGrid.regular(200, fps=25.0, window=16, stride=4)
    seconds = np.array([0.0, 3.21, 14.0, 33.3])
    np.testing.assert_allclose(grid.to_steps(seconds), seconds * 25 / 4 - 2, atol=1e-9)


def test_a_single_clip_still_places_seconds() -> None:
    grid = ClipGrid.regular(1, fps=10.0, window=16, stride=4)
    assert grid.to_steps(0.8) == 0.0
    assert grid.to_steps(1.2) == pytest.approx(1.0)
    assert grid.to_seconds(-2.0) == pytest.approx(0.0)


def test_a_slice_of_the_grid_keeps_the_times_of_the_video() -> None:
    grid = ClipGrid.regular(10, fps=30.0, window=16, stride=4)
    part = grid[4:8]
    assert part.num_steps == 4
    assert part.to_seconds(0.0) == grid.to_seconds(4.0)


def test_a_resized_grid_shares_the_video_out_evenly() -> None:
    # 4 steps a second apart, half as many: each new step stands for two old ones.
    resized = ClipGrid(np.arange(4.0), step_s=1.0).resized(2)
    np.testing.assert_allclose(resized.t_center, [0.5, 2.5])
    assert resized.step_s == 2.0
    np.testing.assert_allclose(ClipGrid(np.arange(2.0), 1.0).resized(4).t_center, [-0.25, 0.25, 0.75, 1.25])


@given(
    gaps=st.lists(st.floats(1e-3, 100.0), min_size=0, max_size=50),
    start=st.floats(0.0, 1e4),
    step_s=st.floats(1e-3, 100.0),
    seconds=st.floats(-1e4, 1e5),
)
def test_seconds_survive_the_round_trip_through_the_grid(
    gaps: list[float], start: float, step_s: float, seconds: float
) -> None:
    grid = ClipGrid(np.cumsum([start, *gaps]), step_s)
    assert grid.to_seconds(grid.to_steps(seconds)) == pytest.approx(seconds, rel=1e-9, abs=1e-6)


@given(num_steps=st.integers(1, 3000), fps=st.floats(1.0, 120.0), stride=st.integers(1, 64), step=st.floats(-10, 4000))
def test_steps_survive_the_round_trip_through_seconds(num_steps: int, fps: float, stride: int, step: float) -> None:
    grid = ClipGrid.regular(num_steps, fps, window=16, stride=stride)
    assert grid.to_steps(grid.to_seconds(step)) == pytest.approx(step, abs=1e-6)


@pytest.mark.parametrize("times", [[], [1.0, 1.0], [2.0, 1.0], [0.0, np.nan]])
def test_a_grid_of_times_that_do_not_increase_is_refused(times: list[float]) -> None:
    with pytest.raises(ValueError, match="clip grid"):
        ClipGrid(np.array(times), 1.0)
