"""Geometry: how a decoded frame becomes the square that solvers and networks see.

Every cue uses the same rule, so that a pixel of RGB and a pixel of flow are the same place: the whole frame is resized
until its short side is `short_side`, then the centre square of `crop` is cut out. Flow is computed between the two
steps (on the resized, uncropped frame), which gives it real neighbours at the border of the crop.
"""

import re
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np

Array = TypeVar("Array", bound=np.ndarray)


@dataclass(frozen=True)
class Geometry:
    """Resize the short side with cv2.INTER_LINEAR (no antialiasing), aspect kept, then crop the centre."""

    short_side: int = 256  # pixels; I3D's published preprocessing
    crop: int = 224  # pixels

    def __post_init__(self) -> None:
        if not 0 < self.crop <= self.short_side:
            raise ValueError(f"geometry: crop {self.crop} must be positive and at most short_side {self.short_side}")

    @property
    def name(self) -> str:
        """The rule as stored beside everything made with it; the number after the slash changes when the rule does."""
        return f"short{self.short_side}-crop{self.crop}-linear/1"

    @classmethod
    def named(cls, name: str) -> "Geometry":
        """The geometry whose `name` is given; ValueError if no rule of ours has that name."""
        match = re.fullmatch(r"short(\d+)-crop(\d+)-linear/1", name)
        if match is None:
            raise ValueError(f"geometry {name!r} is unknown: expected a name such as {cls().name!r}")
        return cls(int(match[1]), int(match[2]))

    def resized_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after the resize: the short side exact, the long side rounded half up."""
        short, long = min(height, width), max(height, width)
        scaled = (2 * long * self.short_side + short) // (2 * short)
        return (self.short_side, scaled) if height <= width else (scaled, self.short_side)

    def resize(self, frame: np.ndarray) -> np.ndarray:
        """A frame (H, W) or (H, W, C) with its short side resized; the same array when nothing is to do."""
        height, width = self.resized_size(*frame.shape[:2])
        if frame.shape[:2] == (height, width):
            return frame
        return cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)

    def crop_center(self, array: Array, axes: tuple[int, int] = (0, 1)) -> Array:
        """The centre square as a view; `axes` are those of height and width: (-2, -1) for planar (..., H, W) arrays."""
        index: list[slice] = [slice(None)] * array.ndim
        for axis in axes:
            start = (array.shape[axis] - self.crop) // 2  # rounds down, towards the top left
            if start < 0:
                raise ValueError(f"an array {array.shape} is too small for a crop of {self.crop}: resize it first")
            index[axis] = slice(start, start + self.crop)
        return array[tuple(index)]  # type: ignore[return-value]
