"""How things look: colours of a stated brightness, patterns, shapes, and the textures made of them.

Looks carry the static cues of the world, and optical flow must not see them. So hue never changes brightness (flow is
computed on the gray image), and the pattern is drawn independently of the hue (a pattern shows in the noise of flow).
"""

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from extract.world.photographs import cut_out

Image = NDArray[np.float32]
LUMA = np.array([0.299, 0.587, 0.114])  # gray = LUMA · RGB, as cv2.COLOR_RGB2GRAY


@dataclass(frozen=True)
class Look:
    """Everything that decides how one object or one scene is painted."""

    hue: float  # degrees on the colour wheel: 0 red, 120 green, 240 blue
    seed: int  # of pattern, shape and shades


def luma_matched(hue: float, saturation: float, luma: float) -> NDArray[np.float64]:
    """RGB colour (3,) of this hue whose gray value is `luma`; paler than asked where it would leave 0..255."""
    colour = np.array(colorsys.hsv_to_rgb(hue / 360 % 1, saturation, 1.0))
    colour *= luma / (LUMA @ colour)
    if colour.max() > 255:
        colour = luma + (colour - luma) * (255 - luma) / (colour.max() - luma)
    return colour


def paint_object(look: Look, size: int) -> tuple[Image, Image]:
    """Texture (size, size, 3) of 0..255 and mask (size, size) of 0..1 of one object."""
    rng = np.random.default_rng(look.seed)
    mask = SHAPES[rng.integers(len(SHAPES))](size)
    return _two_tones(rng, look.hue, size, saturation=(0.47, 0.86), dark=(40, 75), bright=(120, 170)), mask


def paint_scene(look: Look, size: int) -> Image:
    """Background (size, size, 3) of 0..255: a pattern in the hue, blended with a cut-out of some photograph."""
    rng = np.random.default_rng(look.seed)
    texture = _two_tones(rng, look.hue, size, saturation=(0.3, 0.55), dark=(50, 100), bright=(130, 200))
    share = rng.uniform(0.25, 0.5)
    return (texture * (1 - share) + cut_out(rng, size) * share).astype(np.float32)


def _two_tones(
    rng: np.random.Generator,
    hue: float,
    size: int,
    *,
    saturation: tuple[float, float],
    dark: tuple[float, float],
    bright: tuple[float, float],
) -> Image:
    """A random pattern between a dark and a bright shade of the hue."""
    pattern = PATTERNS[rng.integers(len(PATTERNS))](rng, size)
    weight = (0.8 * pattern + 0.2 * _noise(rng, size, 1.0))[..., None]
    depth = rng.uniform(*saturation)
    low = luma_matched(hue + rng.uniform(-12, 12), depth, rng.uniform(*dark))
    high = luma_matched(hue + rng.uniform(-24, 24), depth, rng.uniform(*bright))
    return (low * (1 - weight) + high * weight).astype(np.float32)


def _noise(rng: np.random.Generator, size: int, sigma: float) -> Image:
    """Smooth noise (size, size) stretched to 0..1."""
    values = gaussian_filter(rng.standard_normal((size, size)).astype(np.float32), sigma)
    return (values - values.min()) / (np.ptp(values) + 1e-6)


def _waves(rng: np.random.Generator, size: int) -> tuple[Image, Image]:
    """Two crossing sine waves (size, size) at a random angle, 5 to 10 pixels long."""
    row, column = np.mgrid[0:size, 0:size].astype(np.float32)
    angle, period = rng.uniform(0, math.pi), rng.uniform(5, 10)
    along = column * math.cos(angle) + row * math.sin(angle)
    across = row * math.cos(angle) - column * math.sin(angle)
    return np.sin(2 * math.pi / period * along), np.sin(2 * math.pi / period * across)


def clouds(rng: np.random.Generator, size: int) -> Image:
    return 0.5 * _noise(rng, size, 1.5) + 0.5 * _noise(rng, size, 5.0)


def stripes(rng: np.random.Generator, size: int) -> Image:
    return 0.5 + 0.5 * _waves(rng, size)[0]


def checks(rng: np.random.Generator, size: int) -> Image:
    along, across = _waves(rng, size)
    return 0.5 + 0.5 * np.sign(along * across)


def dots(rng: np.random.Generator, size: int) -> Image:
    along, across = _waves(rng, size)
    return (along + across > 0.9).astype(np.float32)


def cells(rng: np.random.Generator, size: int) -> Image:
    """A Voronoi tiling of about 90 pixels a cell, each cell of one shade."""
    centres = rng.uniform(0, size, (size * size // 90, 2))
    shades = rng.uniform(size=len(centres)).astype(np.float32)
    pixels = np.indices((size, size)).transpose(1, 2, 0).reshape(-1, 2)
    return shades[cKDTree(centres).query(pixels)[1]].reshape(size, size)


def contours(rng: np.random.Generator, size: int) -> Image:
    return _noise(rng, size, 2.5) * 6 % 1


PATTERNS: tuple[Callable[[np.random.Generator, int], Image], ...] = (clouds, stripes, checks, dots, cells, contours)


def ellipse(size: int) -> Image:
    mask, centre, radius = np.zeros((size, size), np.float32), size // 2, size * 0.36
    cv2.ellipse(mask, (centre, centre), (int(radius), int(radius * 0.7)), 0, 0, 360, 1, -1)
    return gaussian_filter(mask, 0.7)


def box(size: int) -> Image:
    mask, centre, radius = np.zeros((size, size), np.float32), size / 2, size * 0.36
    low, high = (int(centre - radius), int(centre - 0.65 * radius)), (int(centre + radius), int(centre + 0.65 * radius))
    cv2.rectangle(mask, low, high, 1, -1)
    return gaussian_filter(mask, 0.7)


def star(size: int, points: int) -> Image:
    mask = np.zeros((size, size), np.float32)
    angles = math.pi / points * np.arange(2 * points)
    radii = size * 0.36 * np.where(np.arange(2 * points) % 2 == 0, 1.1, 0.55)
    outline = size // 2 + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    cv2.fillPoly(mask, [outline.astype(np.int32)], 1)
    return gaussian_filter(mask, 0.7)


SHAPES: tuple[Callable[[int], Image], ...] = (
    ellipse,
    box,
    lambda size: star(size, 3),
    lambda size: star(size, 4),
    lambda size: star(size, 5),
)
