"""Motions: what their names promise, in pixels and radians."""

import math

import numpy as np
import pytest

from extract.world.motions import ACTIONS, MOTIONS, OTHER_MOTIONS, SHEAR, SIZE, TURN, X, Y, perform, wander

NUM_FRAMES = 60


def performances(name: str) -> np.ndarray:
    """(20, 60, 5): twenty of them."""
    return np.stack([perform(np.random.default_rng(seed), name, NUM_FRAMES) for seed in range(20)])


MOVED_AXES = {
    "shake": {X}, "bounce": {Y}, "spin_clockwise": {TURN}, "spin_counterclockwise": {TURN}, "pulse": {SIZE},
    "orbit": {X, Y}, "right": {X}, "left": {X}, "up": {Y}, "down": {Y}, "shake_diagonally": {X, Y},
    "shake_upright": {Y}, "swing": {TURN}, "grow": {SIZE}, "shrink": {SIZE}, "figure_eight": {X, Y}, "still": set(),
    "jitter": {X, Y},
}  # fmt: skip


@pytest.mark.parametrize("name", MOTIONS)
def test_a_motion_moves_the_axes_it_should_and_no_other(name: str) -> None:
    reach = np.abs(performances(name)).max((0, 1))
    assert {axis for axis in (X, Y, TURN, SIZE, SHEAR) if reach[axis] > 1e-3} == MOVED_AXES[name]


def test_pretraining_never_sees_an_action() -> None:
    assert not set(ACTIONS) & set(OTHER_MOTIONS)
    assert len(OTHER_MOTIONS) == 12


def test_straight_motions_go_one_to_two_pixels_a_frame_where_they_say() -> None:
    for name, axis, sign in (("right", X, 1), ("left", X, -1), ("down", Y, 1), ("up", Y, -1)):
        steps = sign * np.diff(performances(name)[:, 3:-3, axis], axis=1)  # without the fade
        assert steps.min() >= 0.99 and steps.max() <= 2.21


def test_spins_turn_opposite_ways_at_a_quarter_radian_a_frame() -> None:
    for name, sign in (("spin_clockwise", 1), ("spin_counterclockwise", -1)):
        steps = sign * np.diff(performances(name)[:, 3:-3, TURN], axis=1)
        assert steps.min() >= 0.219 and steps.max() <= 0.381


def test_a_bounce_leaves_the_ground_and_comes_back_to_it() -> None:
    height = -performances("bounce")[..., Y]  # y points down
    assert height.min() >= 0
    assert (height.max(1) > 5).all()
    assert all(
        (np.diff(np.sign(np.diff(path))) > 0).sum() >= 3 for path in height
    )  # touches the ground at least thrice


def test_an_orbit_is_a_circle_of_four_to_seven_pixels() -> None:
    radius = np.hypot(*np.moveaxis(performances("orbit")[:, 3:-3, [X, Y]], -1, 0))
    np.testing.assert_allclose(radius, radius[:, :1] * np.ones((1, NUM_FRAMES - 6)), rtol=1e-4)
    assert radius.min() >= 3.99 and radius.max() <= 7.01


def test_a_shake_repeats_every_8_to_13_frames() -> None:
    for path in performances("shake")[:, 3:-3, X]:
        rises = np.flatnonzero((path[:-1] < 0) & (path[1:] >= 0))
        periods = (rises[-1] - rises[0]) / (len(rises) - 1)
        assert 7.5 <= periods <= 13.5


def test_motions_fade_in_and_out_over_three_frames() -> None:
    rng = np.random.default_rng(0)
    path = perform(rng, "right", NUM_FRAMES)[:, X]
    speed = np.diff(path, prepend=0)
    np.testing.assert_allclose(speed[[0, 1, 2, 30, -2, -1]] / speed[30], [1 / 3, 2 / 3, 1, 1, 2 / 3, 1 / 3], rtol=1e-4)


def test_wandering_is_as_wide_and_as_smooth_as_asked() -> None:
    walks = np.stack([wander(np.random.default_rng(seed), 4000, 20.0, 6.0) for seed in range(10)])
    assert walks.std() == pytest.approx(6.0, rel=0.1)
    step = np.diff(walks, axis=1).std()
    assert step == pytest.approx(6.0 / (math.sqrt(2) * 20), rel=0.1)  # derivative of noise blurred by a Gaussian
