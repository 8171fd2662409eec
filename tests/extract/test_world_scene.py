"""Rendering: what a track says is where the pixels go."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from extract.world.looks import Look
from extract.world.motions import SIZE, TURN, X, Y
from extract.world.scene import MARGIN, PARALLAX, SIDE, Scene, Thing, hand_held, render

NUM_FRAMES = 6


def scene_with(track: np.ndarray, camera: np.ndarray | None = None, seed: int = 3) -> Scene:
    """One object, a still camera unless given, an even light and no grain."""
    thing = Thing(Look(120.0, seed), 40, 0.8, track, np.ones(len(track), bool))
    return Scene(
        background=Look(0.0, 5),
        camera=np.zeros((len(track), 2)) if camera is None else camera,
        light=np.ones(len(track)),
        things=(thing,),
        grain=0.0,
        seed=0,
    )


def resting() -> np.ndarray:
    track = np.zeros((NUM_FRAMES, 5), np.float32)
    track[:, [X, Y]] = SIDE / 2
    return track


def frames_of(scene: Scene) -> np.ndarray:
    return np.stack(list(render(scene))).astype(np.float32)


def alone(scene: Scene) -> np.ndarray:
    """Where the object lies: frames minus the empty scene, in gray levels, (F, 64, 64)."""
    return np.abs(frames_of(scene) - frames_of(replace(scene, things=()))).mean(-1)


def centroid(weight: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(weight.shape)
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("shift", [(3.0, 0.0), (0.0, -2.0), (-4.0, 5.0)])
def test_a_track_that_moves_three_pixels_moves_the_object_three_pixels(shift: tuple[float, float]) -> None:
    track = resting()
    track[1, [X, Y]] += shift
    before, after = frames_of(scene_with(track))[:2]
    object_before = alone(scene_with(track))[0] > 8
    moved = np.roll(before, (int(shift[1]), int(shift[0])), (0, 1))  # whole pixels: no interpolation
    inside = cv2.erode(np.roll(object_before, (int(shift[1]), int(shift[0])), (0, 1)).astype(np.uint8), np.ones((5, 5)))
    assert inside.sum() > 50
    assert np.abs(moved - after)[inside > 0].max() <= 1
    assert np.abs(before - after)[inside > 0].mean() > 5  # a picture that stood still would fail
    outside = (alone(scene_with(track))[:2] == 0).all(0)
    np.testing.assert_array_equal(before[outside], after[outside])  # and nothing else moves


def test_a_fraction_of_a_pixel_counts_too() -> None:
    track = resting()
    track[1, X] += 1.5
    cover = alone(scene_with(track))
    assert centroid(cover[1])[0] - centroid(cover[0])[0] == pytest.approx(1.5, abs=0.25)


def test_a_quarter_turn_is_clockwise_on_the_screen() -> None:
    track = resting()
    track[1, TURN] = math.pi / 2
    scene = scene_with(track)
    before, after = frames_of(scene)[:2]
    # Frames have a pixel at (32, 32), the centre of the turn; np.rot90 turns about 31.5: cut the first row and column.
    expected = np.rot90(before[1:, 1:], k=-1)
    inside = cv2.erode((alone(scene)[1] > 8).astype(np.uint8), np.ones((5, 5)))[1:, 1:] > 0
    assert np.abs(expected - after[1:, 1:])[inside].mean() < 2
    assert np.abs(np.rot90(before[1:, 1:], k=1) - after[1:, 1:])[inside].mean() > 5


def test_an_object_that_doubles_covers_four_times_the_pixels() -> None:
    track = resting()
    track[:, SIZE] = math.log(0.5)
    track[1, SIZE] = 0.0
    cover = (alone(scene_with(track)) > 8).sum((1, 2))
    assert cover[1] / cover[0] == pytest.approx(4.0, rel=0.2)


def test_the_camera_shifts_the_background_and_objects_half_as_far() -> None:
    camera = np.zeros((NUM_FRAMES, 2))
    camera[1] = (4.0, -2.0)
    scene = scene_with(resting(), camera)
    empty = frames_of(replace(scene, things=()))
    np.testing.assert_allclose(empty[1][2:, :-4], empty[0][:-2, 4:], atol=1)
    cover = alone(scene)
    shift = centroid(cover[1]) - centroid(cover[0])
    np.testing.assert_allclose(shift, -PARALLAX * camera[1], atol=0.5)


def test_an_invisible_thing_leaves_no_trace() -> None:
    scene = scene_with(resting())
    thing = scene.things[0]
    visible = np.arange(NUM_FRAMES) != 2
    hidden = replace(scene, things=(replace(thing, visible=visible),))
    assert [cover.any() for cover in alone(hidden)] == visible.tolist()


def test_grain_is_gray_and_as_strong_as_asked() -> None:
    scene = scene_with(resting())
    grain = frames_of(replace(scene, grain=3.0)) - frames_of(scene)
    assert grain.std() == pytest.approx(3.0, rel=0.05)
    assert np.abs(grain - grain.mean(-1, keepdims=True)).max() <= 1  # the same in every channel, up to rounding


def test_the_camera_never_leaves_the_painted_background() -> None:
    track = hand_held(np.random.default_rng(0), 2000, pan=30.0, shake=1.0, sigma=20.0)
    assert np.abs(track).max() == MARGIN - 2


def test_the_same_scene_renders_to_the_same_frames() -> None:
    scene = replace(scene_with(resting()), grain=3.0)
    np.testing.assert_array_equal(frames_of(scene), frames_of(scene))
