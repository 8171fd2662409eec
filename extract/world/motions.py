"""How things move: every motion is a track of poses over frames.

A track is (F, 5) float32: shift right and down in pixels, turn in radians (clockwise on the screen), logarithm of the
size, and shear. Tracks are offsets from wherever the object rests, so they add up; motions fade in and out over three
frames.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

Track = NDArray[np.float32]
X, Y, TURN, SIZE, SHEAR = range(5)
FADE = 3  # frames


@dataclass(frozen=True)
class Rhythm:
    """What every performance of a motion draws anew."""

    time: NDArray[np.float64]  # (F,) frames
    fade: NDArray[np.float64]  # (F,) 0..1: rises over the first three frames and falls over the last three
    rate: float  # radians a frame; one cycle takes 8 to 13 frames
    phase: float  # radians
    reach: float  # pixels, 4 to 7

    @property
    def wave(self) -> NDArray[np.float64]:
        return np.sin(self.rate * self.time + self.phase) * self.fade

    @property
    def cowave(self) -> NDArray[np.float64]:
        return np.cos(self.rate * self.time + self.phase) * self.fade


Motion = Callable[[np.random.Generator, Rhythm], dict[int, NDArray[np.float64]]]  # axis of the pose -> (F,)


def perform(rng: np.random.Generator, name: str, num_frames: int) -> Track:
    """One performance of a motion, (num_frames, 5)."""
    time = np.arange(num_frames, dtype=np.float64)
    fade = np.clip(np.minimum(time + 1, num_frames - time) / FADE, 0, 1)
    rhythm = Rhythm(time, fade, 2 * math.pi / rng.uniform(8, 13), rng.uniform(0, 2 * math.pi), rng.uniform(4, 7))
    track = np.zeros((num_frames, 5), np.float32)
    for axis, values in MOTIONS[name](rng, rhythm).items():
        track[:, axis] = values
    return track


def wander(rng: np.random.Generator, num_frames: int, sigma: float, amplitude: float) -> NDArray[np.float64]:
    """Random movement (num_frames,) around 0, smooth over `sigma` frames; `amplitude` is its standard deviation."""
    margin = int(4 * sigma)
    values = gaussian_filter1d(rng.standard_normal(num_frames + 2 * margin), sigma)
    values = (values - values.mean()) / (values.std() + 1e-9)
    return amplitude * values[margin : margin + num_frames]


# Actions of the untrimmed videos.


def shake(rng: np.random.Generator, rhythm: Rhythm) -> dict[int, NDArray[np.float64]]:
    return {X: rhythm.reach * rhythm.wave}


def bounce(rng: np.random.Generator, rhythm: Rhythm) -> dict[int, NDArray[np.float64]]:
    return {Y: -1.6 * rhythm.reach * np.abs(np.sin(rhythm.rate * rhythm.time / 2)) * rhythm.fade}


def spin_clockwise(rng: np.random.Generator, rhythm: Rhythm) -> dict[int, NDArray[np.float64]]:
    return {TURN: np.cumsum(rng.uniform(0.22, 0.38) * rhythm.fade)}


def spin_counterclockwise(rng: np.random.Generator, rhythm: Rhythm) -> dict[int, NDArray[np.float64]]:
    return {TURN: -np.cumsum(rng.uniform(0.22, 0.38) * rhythm.fade)}


def pulse(rng: np.random.Generator, rhythm: Rhythm) -> dict[int, NDArray[np.float64]]:
    return {SIZE: rng.uniform(0.22, 0.34) * rhythm.wave}


def orbit(rng: np.random.Generator, rhythm: Rhythm) -> dict[int, NDArray[np.float64]]:
    return {X: rhythm.reach * rhythm.wave, Y: rhythm.reach * rhythm.cowave}


# Other motions: classes of the trimmed clips, and what objects do between actions.


def still(rng: np.random.Generator, rhythm: Rhythm) -> dict[int, NDArray[np.float64]]:
    return {}


def straight(degrees: float) -> Motion:
    """A motion along a straight line; 0 degrees is to the right, 90 down."""
    right, down = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def motion(rng: np.random.Generator, rhythm: Rhythm) -> dict[int, NDArray[np.float64]]:
        path = np.cumsum(rng.uniform(1.0, 2.2) * rhythm.fade)  # pixels
        return {X: right * path, Y: down * path}

    return motion


def shake_upright(rng: np.random.Generator, rhythm: Rhythm) -> dict[int, NDArray[np.float64]]:
    return {Y: rhythm.reach * rhythm.wave}


def shake_diagonally(rng: np.random.Generator, rhythm: Rhythm) -> dict[int, NDArray[np.float64]]:
    path = 0.75 * rhythm.reach * rhythm.wave
    return {X: path, Y: rng.choice([-1, 1]) * path}


def swing(rng: np.random.Generator, rhythm: Rhythm) -> dict[int, NDArray[np.float64]]:
    return {TURN: rng.uniform(0.6, 0.9) * rhythm.wave}


def figure_eight(rng: np.random.Generator, rhythm: Rhythm) -> dict[int, NDArray[np.float64]]:
    angle = 0.7 * rhythm.rate * rhythm.time + rhythm.phase
    return {X: rhythm.reach * np.sin(angle) * rhythm.fade, Y: 0.7 * rhythm.reach * np.sin(2 * angle) * rhythm.fade}


def grow(rng: np.random.Generator, rhythm: Rhythm) -> dict[int, NDArray[np.float64]]:
    return {SIZE: np.cumsum(rng.uniform(0.015, 0.035) * rhythm.fade)}


def shrink(rng: np.random.Generator, rhythm: Rhythm) -> dict[int, NDArray[np.float64]]:
    return {SIZE: -np.cumsum(rng.uniform(0.015, 0.035) * rhythm.fade)}


def jitter(rng: np.random.Generator, rhythm: Rhythm) -> dict[int, NDArray[np.float64]]:
    right, down = rng.normal(0, 1.3, (2, len(rhythm.time))) * rhythm.fade
    return {X: right, Y: down}


ACTIONS: dict[str, Motion] = {
    "shake": shake,
    "bounce": bounce,
    "spin_clockwise": spin_clockwise,
    "spin_counterclockwise": spin_counterclockwise,
    "pulse": pulse,
    "orbit": orbit,
}
OTHER_MOTIONS: dict[str, Motion] = {
    "right": straight(0),
    "down": straight(90),
    "left": straight(180),
    "up": straight(270),
    "shake_diagonally": shake_diagonally,
    "shake_upright": shake_upright,
    "swing": swing,
    "grow": grow,
    "shrink": shrink,
    "figure_eight": figure_eight,
    "still": still,
    "jitter": jitter,
}
MOTIONS: dict[str, Motion] = {**ACTIONS, **OTHER_MOTIONS}
