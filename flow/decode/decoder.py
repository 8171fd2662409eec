"""What every decoder gives: a header, frames in order, and the place where decoding stopped."""

import os
import unicodedata
from typing import NamedTuple

import numpy as np

from command.errors import FlowlessError


class VideoError(FlowlessError):
    """A video that cannot be read as promised. What cannot be printed of a file's name is told as an escape."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class DecodingStopped(Exception):
    """Frame `index` and all later ones cannot be had, for `reason`."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"frame {index}: {reason}")
        self.index = index
        self.reason = reason


class Header(NamedTuple):
    """What a file says about its video before any frame is trusted."""

    width: int  # before rotation
    height: int
    codec: str
    fps: float  # average
    num_frames: int  # to expect when decoding
    num_frames_header: int | None  # as written in the file
    duration_s: float
    start_s: float  # time stamp of the first frame
    is_vfr: bool
    rotation: int  # degrees counterclockwise to turn a decoded frame by
    sample_aspect: float  # pixel width / height; recorded, not applied
    pixels: str  # FFmpeg's name of the pixel format; empty where the decoder does not tell

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as a viewer sees them, after rotation."""
        return (self.height, self.width) if self.rotation in (90, 270) else (self.width, self.height)


class RawFrame(NamedTuple):
    """One frame: seconds since the first frame, seconds until the next, uint8 (H, W, 3) in the viewer's orientation."""

    time_s: float
    duration_s: float
    rgb: np.ndarray


def is_variable(times_s: np.ndarray, tick_s: float) -> bool:
    """Whether the spacing of frames varies by more than 10 % and more than the rounding of the time base explains."""
    if len(times_s) < 3:
        return False
    spacing = np.diff(times_s)
    return bool(np.ptp(spacing) > max(0.1 * np.median(spacing), 1.5 * tick_s))


def printable(text: str, control: bool = False) -> str:
    """The text with bytes that are not UTF-8 written as \\xe9, and with `control` also line ends and the like."""
    try:
        text = os.fsencode(text).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # lone surrogates that no file name has
        text = text.encode("utf-8", "backslashreplace").decode()
    if not control or text.isprintable():
        return text
    unseen = {"Cc", "Zl", "Zp"}
    return "".join(
        one.encode("unicode_escape").decode() if unicodedata.category(one) in unseen else one for one in text
    )
