"""Pictures whose motion is known, made of nothing but integer arithmetic: the same on every machine."""

from pathlib import Path

import av
import numpy as np


def texture(height: int, width: int, shift_x: int = 0, shift_y: int = 0) -> np.ndarray:
    """Smooth uint8 blobs on an endless plane, seen through a window that has moved by (shift_x, shift_y)."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    x, y = x - shift_x + 4096, y - shift_y + 4096
    total = np.zeros((height, width), np.int64)
    for cell, weight in ((32, 4), (16, 2), (8, 1)):  # three octaves of value noise, interpolated linearly
        fx, fy, ix, iy = x % cell, y % cell, x // cell, y // cell
        top = _noise(ix, iy) * (cell - fx) + _noise(ix + 1, iy) * fx
        bottom = _noise(ix, iy + 1) * (cell - fx) + _noise(ix + 1, iy + 1) * fx
        total += weight * (top * (cell - fy) + bottom * fy) // (cell * cell)
    return (total // 7).astype(np.uint8)


def _noise(ix: np.ndarray, iy: np.ndarray) -> np.ndarray:
    """0..255 from the corner of a cell."""
    mixed = (ix * 73856093) ^ (iy * 19349663)
    return (mixed * (mixed * mixed % 65521 + 789221) % 2147483647) >> 9 & 255


def write_video(path: Path, num_frames: int, height: int = 32, width: int = 48, step: int = 1) -> Path:
    """Texture that moves `step` pixels to the right with each frame, losslessly coded."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "bgr0"
        for k in range(num_frames):
            frame = np.repeat(texture(height, width, k * step)[..., None], 3, axis=2)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path
