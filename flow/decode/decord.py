"""decord as a decoder: the last choice.

An idle reader decodes ahead into memory without bound, so blocks are read and consumed at once.
"""

from collections.abc import Iterator
from pathlib import Path

import decord
import numpy as np

from flow.decode.decoder import DecodingStopped, Header, RawFrame, is_variable

BLOCK = 32  # frames


def _open(path: Path) -> "decord.VideoReader":
    decord.logging.set_level(decord.logging.QUIET)
    try:
        return decord.VideoReader(str(path.absolute()), num_threads=1)
    except (decord.DECORDError, RuntimeError) as error:
        raise DecodingStopped(0, f"decord cannot open it: {str(error).splitlines()[0]}") from error


def _times(reader: "decord.VideoReader", fps: float) -> np.ndarray:
    """Seconds since the first frame; i / fps where the file's own times do not ascend (AVI)."""
    times_s = np.asarray(reader.get_frame_timestamp(range(len(reader))), dtype=np.float64)[:, 0]
    if not np.isfinite(times_s).all() or (times_s < 0).any() or (np.diff(times_s) <= 0).any():
        return np.arange(len(reader)) / fps
    return times_s - times_s[0]


def header(path: Path) -> Header:
    """Size, rate, number of frames as decord's index counts them."""
    reader = _open(path)
    fps = float(reader.get_avg_fps()) or 25.0
    times_s = _times(reader, fps)
    height, width = reader[0].shape[:2]
    return Header(
        width=width,
        height=height,
        codec="",
        fps=fps,
        num_frames=len(reader),
        num_frames_header=len(reader),
        duration_s=float(times_s[-1]) + 1 / fps,
        start_s=0.0,
        is_vfr=is_variable(times_s, 1e-6),
        rotation=0,
        sample_aspect=1.0,
        pixels="",
    )


def frames(path: Path, start: int) -> Iterator[RawFrame]:
    """Frames from number `start` on, in blocks read one after another from the beginning of the block."""
    reader = _open(path)
    fps = float(reader.get_avg_fps()) or 25.0
    times_s = _times(reader, fps)
    ends_s = np.append(times_s[1:], times_s[-1] + 1 / fps)
    for first in range(start, len(reader), BLOCK):
        numbers = range(first, min(first + BLOCK, len(reader)))
        try:
            block = reader.get_batch(numbers).asnumpy()
        except (decord.DECORDError, RuntimeError) as error:
            raise DecodingStopped(first, f"decord says: {str(error).splitlines()[0]}") from error
        for number, rgb in zip(numbers, block, strict=True):
            yield RawFrame(float(times_s[number]), float(ends_s[number] - times_s[number]), rgb)
