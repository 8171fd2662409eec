"""Frames into mp4 files, and back.

One encoder, one thread, no clock in the file: the same frames give the same bytes wherever the same FFmpeg is
installed, and the same decoded frames wherever libx264 is the same.
"""

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from command.writing import whole_file
from extract.world.photographs import WorldError

CODEC = "libx264"
# crf 18: about 42 dB, compressed as videos are. Without mbtree: libx264 computes the macroblock tree in floating point,
# and with AVX-512 the same frames then give other bytes from run to run.
OPTIONS = {"crf": "18", "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}


def encode(frames: Iterable[NDArray[np.uint8]], target: BinaryIO, fps: int, comment: str = "") -> None:
    """Writes frames (H, W, 3) RGB as an mp4 video; the comment is kept in the file's metadata."""
    if CODEC not in av.codecs_available:
        raise WorldError(
            f"this PyAV has no {CODEC} encoder. The wheels on PyPI have it: pip install --force-reinstall av"
        )
    with av.open(target, "w", format="mp4") as container:
        container.metadata["comment"] = comment
        stream = cast(VideoStream, container.add_stream(CODEC, rate=fps, options=OPTIONS))
        stream.pix_fmt = "yuv420p"
        for index, pixels in enumerate(frames):
            if index == 0:
                stream.height, stream.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write(frames: Iterable[NDArray[np.uint8]], path: Path, fps: int, comment: str = "") -> None:
    """Writes an mp4 file that appears whole or not at all."""
    with whole_file(path) as temporary, temporary.open("wb") as target:
        encode(frames, target, fps, comment)


def decode(source: BinaryIO) -> Iterator[NDArray[np.uint8]]:
    """Frames of an mp4 video, RGB uint8 (H, W, 3)."""
    with av.open(source, "r") as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def through_codec(frames: Iterable[NDArray[np.uint8]], fps: int) -> NDArray[np.uint8]:
    """What a decoder would make of these frames once they were written to a file: (F, H, W, 3)."""
    film = io.BytesIO()
    encode(frames, film, fps)
    film.seek(0)
    return np.stack(list(decode(film)))
