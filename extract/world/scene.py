"""A scene and its rendering: a background, a hand-held camera, and objects that follow their tracks."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from extract.world.looks import Image, Look, paint_object, paint_scene
from extract.world.motions import SHEAR, SIZE, TURN, Track, X, Y, wander

SIDE = 64  # pixels of a frame
MARGIN = 32  # pixels of background around the frame, for the camera to pan over
PARALLAX = 0.5  # objects stand nearer than the background and yet follow the hand: they shift half as far as it


@dataclass(frozen=True)
class Thing:
    """One object in the scene."""

    look: Look
    canvas: int  # pixels of the square it is painted on; it fills about 0.72 of it
    scale: float  # on the screen, of the canvas
    track: Track  # (F, 5): position on the screen in pixels, turn, logarithm of the size, shear
    visible: NDArray[np.bool_]  # (F,)


@dataclass(frozen=True)
class Scene:
    """All that is needed to render a video, and cheap to draw: nothing is painted yet."""

    background: Look
    camera: NDArray[np.float64]  # (F, 2) pixels right and down
    light: NDArray[np.float64]  # (F,) factor on the brightness
    things: tuple[Thing, ...]  # the last one lies on top
    grain: float  # gray levels of sensor noise
    seed: int  # of the grain

    @property
    def num_frames(self) -> int:
        return len(self.camera)


def hand_held(
    rng: np.random.Generator, num_frames: int, *, pan: float, shake: float, sigma: float
) -> NDArray[np.float64]:
    """A camera track (F, 2) in pixels: a slow pan, smooth over `sigma` frames, and a quick shake."""
    track = [wander(rng, num_frames, sigma, pan) + wander(rng, num_frames, 3.0, shake) for _ in range(2)]
    return np.clip(np.stack(track, 1), 2 - MARGIN, MARGIN - 2)


def flicker(rng: np.random.Generator, num_frames: int) -> NDArray[np.float64]:
    return 1 + wander(rng, num_frames, 30.0, 0.04)


def render(scene: Scene) -> Iterator[NDArray[np.uint8]]:
    """Frames, RGB uint8 (64, 64, 3)."""
    background = paint_scene(scene.background, SIDE + 2 * MARGIN)
    painted = [paint_object(thing.look, thing.canvas) for thing in scene.things]
    noise = np.random.default_rng(scene.seed)
    for frame in range(scene.num_frames):
        pan = scene.camera[frame]
        view = np.array([[1, 0, -MARGIN - pan[0]], [0, 1, -MARGIN - pan[1]]])
        image = _warp(background, view, cv2.BORDER_REFLECT)
        for thing, (texture, mask) in zip(scene.things, painted, strict=True):
            if thing.visible[frame]:
                _paint(image, texture, mask, placement(thing, frame, pan))
        image *= np.float32(scene.light[frame])
        if scene.grain:
            image += scene.grain * noise.standard_normal((SIDE, SIDE, 1), dtype=np.float32)
        yield np.clip(np.rint(image), 0, 255).astype(np.uint8)


def placement(thing: Thing, frame: int, pan: NDArray[np.float64]) -> NDArray[np.float64]:
    """The affine map (2, 3) from canvas to screen pixels at one frame."""
    pose = thing.track[frame].astype(np.float64)
    cosine, sine = math.cos(pose[TURN]), math.sin(pose[TURN])
    turned = np.array([[cosine, -sine], [sine, cosine]]) @ np.array([[1, pose[SHEAR]], [0, 1]])
    linear = thing.scale * math.exp(pose[SIZE]) * turned
    centre = pose[[X, Y]] - PARALLAX * pan
    return np.column_stack([linear, centre - linear @ np.full(2, thing.canvas / 2)])


def _paint(image: Image, texture: Image, mask: Image, place: NDArray[np.float64]) -> None:
    cover = _warp(mask, place, cv2.BORDER_CONSTANT)[..., None]
    image += cover * (_warp(texture, place, cv2.BORDER_REPLICATE) - image)


def _warp(canvas: Image, place: NDArray[np.float64], border: int) -> Image:
    return np.asarray(cv2.warpAffine(canvas, place, (SIDE, SIDE), borderMode=border), np.float32)
