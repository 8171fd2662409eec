"""Trimmed clips of the same world with other motions: a stand-in for Kinetics, to pretrain backbones on.

A clip shows one of twelve motions, none of which is an action of the untrimmed videos. With chance `bias` the hue of
its scene, and again that of its object, tells the class: a network that sees colours learns looks before motion.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from extract.world.looks import Look
from extract.world.motions import OTHER_MOTIONS, TURN, X, Y, perform
from extract.world.scene import SIDE, Scene, Thing, flicker, hand_held, render
from extract.world.untrimmed import SCENE_HUES

CLIP_CLASSES = tuple(OTHER_MOTIONS)


def stage_clip(rng: np.random.Generator, label: int, bias: float, num_frames: int = 20) -> Scene:
    """Draws a clip of class `label`, which indexes CLIP_CLASSES."""
    scene_label, object_label = (
        label if rng.random() < bias else int(rng.integers(len(CLIP_CLASSES))) for _ in range(2)
    )
    path = perform(rng, CLIP_CLASSES[label], num_frames)
    path[:, [X, Y]] += SIDE / 2 + rng.uniform(-8, 8, 2) - path[:, [X, Y]].mean(0)
    path[:, TURN] += rng.uniform(-3, 3)
    visible = np.ones(num_frames, bool)
    main = Thing(_look(rng, 30.0 * object_label + rng.uniform(-12, 12)), 40, rng.uniform(0.6, 0.95), path, visible)
    things = [main]
    if rng.random() < 0.4:
        things.insert(0, _passer_by(rng, visible))
    return Scene(
        background=_look(rng, SCENE_HUES[(7 * scene_label + 3) % len(SCENE_HUES)]),
        camera=hand_held(rng, num_frames, pan=4.0, shake=0.35, sigma=25.0),
        light=flicker(rng, num_frames),
        things=tuple(things),
        grain=3.0,
        seed=int(rng.integers(2**32)),
    )


def render_clip(rng: np.random.Generator, label: int, bias: float) -> Iterator[NDArray[np.uint8]]:
    return render(stage_clip(rng, label, bias))


def _look(rng: np.random.Generator, hue: float) -> Look:
    return Look(hue, int(rng.integers(2**32)))


def _passer_by(rng: np.random.Generator, visible: NDArray[np.bool_]) -> Thing:
    track = np.zeros((len(visible), 5), np.float32)
    track[:, X] = rng.uniform(8, SIDE - 8) + np.arange(len(visible)) * rng.uniform(-0.6, 0.6)
    track[:, Y] = rng.choice([12, SIDE - 12])
    return Thing(_look(rng, rng.uniform(0, 360)), 30, rng.uniform(0.4, 0.7), track, visible)
