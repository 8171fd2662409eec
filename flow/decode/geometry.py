"""Geometry: how a decoded frame becomes the square that solvers and networks see.

Every cue uses the same geometry, so that a pixel of RGB and a pixel of flow are the same place: the whole frame is
resized, by default until its short side is `short_side`, then the centre square of `crop` is cut out. Flow is computed
between the two steps (on the resized, uncropped frame), which gives it real neighbours at the border of the crop.

How pixels are mixed and halves are rounded is a `Rule`: libraries differ in it, and a network sees what it was trained
on only if its library's is followed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import cv2
import numpy as np

Array = TypeVar("Array", bound=np.ndarray)


class Rule(NamedTuple):
    """How a frame is resized and cropped, to the pixel."""

    resize: Callable[[np.ndarray, int, int], np.ndarray]  # uint8 (H, W) or (H, W, C), height, width -> uint8
    long_side: Callable[[int, int, int], int]  # of a frame's short and long side and the short side wanted
    offset: Callable[[int], int]  # of the crop, from what is to spare in its direction


def _linear(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)


def _linear_in_floats(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """As torchvision resizes tensors: halves go to the even grey level, OpenCV's fixed point differs in one of ten."""
    return np.rint(_linear(frame.astype(np.float32), height, width)).astype(np.uint8)


def _antialiased(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    from PIL import Image  # only where a geometry asks for it

    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR))


def _rounded_half_up(short: int, long: int, wanted: int) -> int:
    return (2 * long * wanted + short) // (2 * short)


def _rounded_down(short: int, long: int, wanted: int) -> int:
    return int(wanted * long / short)  # in floats, as both libraries have it


def _half(spare: int) -> int:
    return spare // 2  # rounds down, towards the top left


def _half_to_even(spare: int) -> int:
    return round(spare / 2)


LINEAR = "linear/1"
RULES = {  # by name; the number changes when the rule does
    LINEAR: Rule(_linear, _rounded_half_up, _half),
    "torchvision/1": Rule(_linear_in_floats, _rounded_down, _half_to_even),  # of tensors
    "antialiased/1": Rule(_antialiased, _rounded_down, _half),  # Pillow's, and so the image processors of transformers
    "pillow/1": Rule(_antialiased, _rounded_down, _half_to_even),  # torchvision's of Pillow's images
}


@dataclass(frozen=True)
class Geometry:
    """Resize the short side, aspect kept, or both; then crop the centre."""

    short_side: int = 256  # pixels; I3D's published preprocessing
    crop: int = 224  # pixels
    width: int = 0  # pixels; 0: by the frame's aspect. Else frames become short_side high and this wide
    rule: str = LINEAR  # one of RULES

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"geometry: rule {self.rule!r} is unknown: expected one of {', '.join(RULES)}")
        if not 0 < self.crop <= self.short_side:
            raise ValueError(f"geometry: crop {self.crop} must be positive and at most short_side {self.short_side}")
        if self.width and not self.crop <= self.width:
            raise ValueError(f"geometry: crop {self.crop} must be at most width {self.width}")

    @property
    def name(self) -> str:
        """The rule as stored beside everything made with it: short256-crop224-linear/1, size128x171-crop112-..."""
        size = f"size{self.short_side}x{self.width}" if self.width else f"short{self.short_side}"
        return f"{size}-crop{self.crop}-{self.rule}"

    @classmethod
    def named(cls, name: str) -> "Geometry":
        """The geometry whose `name` is given; ValueError if no rule of ours has that name."""
        match = re.fullmatch(r"(?:short(\d+)|size(\d+)x(\d+))-crop(\d+)-(\w+/\d+)", name)
        if match is None or match[5] not in RULES:
            raise ValueError(f"geometry {name!r} is unknown: expected a name such as {cls().name!r}")
        return cls(int(match[1] or match[2]), int(match[4]), int(match[3] or 0), match[5])

    def resized_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after the resize."""
        if self.width:
            return self.short_side, self.width
        short, long = min(height, width), max(height, width)
        scaled = RULES[self.rule].long_side(short, long, self.short_side)
        return (self.short_side, scaled) if height <= width else (scaled, self.short_side)

    def resize(self, frame: np.ndarray) -> np.ndarray:
        """A frame (H, W) or (H, W, C) resized; the same array when nothing is to do."""
        height, width = self.resized_size(*frame.shape[:2])
        if frame.shape[:2] == (height, width):
            return frame
        return RULES[self.rule].resize(frame, height, width)

    def crop_center(self, array: Array, axes: tuple[int, int] = (0, 1)) -> Array:
        """The centre square as a view; `axes` are those of height and width: (-2, -1) for planar (..., H, W) arrays."""
        index: list[slice] = [slice(None)] * array.ndim
        for axis in axes:
            spare = array.shape[axis] - self.crop
            if spare < 0:
                raise ValueError(f"an array {array.shape} is too small for a crop of {self.crop}: resize it first")
            start = RULES[self.rule].offset(spare)
            index[axis] = slice(start, start + self.crop)
        return array[tuple(index)]  # type: ignore[return-value]
