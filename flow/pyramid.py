"""The image pyramid of TV-L1: bilinear resizing by OpenCV's rule, and the sizes of the levels.

Ours and not cv2.resize because that one differs between releases and processors in the last bit, and the flow with it.
"""

import math

import numpy as np

from flow.jit import compiled

SMALLEST = 16  # pixels: no level is narrower or lower


def level_sizes(height: int, width: int, scales: int, scale_step: float) -> list[tuple[int, int]]:
    """(height, width) from the finest level to the coarsest; fewer than `scales` where the next would be too small."""
    sizes = [(height, width)]
    while len(sizes) < scales:
        height, width = round(height * scale_step), round(width * scale_step)
        if min(height, width) < SMALLEST:
            break
        sizes.append((height, width))
    return sizes


@compiled
def taps(from_size: int, to_size: int, ratio: float, index: np.ndarray, weight: np.ndarray) -> None:
    """Pixel i of the result lies between index[i] and the next, weight[i] of the way; pixel centres at .5."""
    for i in range(to_size):
        place = np.float32((i + 0.5) * ratio - 0.5)
        left = math.floor(place)
        part = np.float32(place - np.float32(left))
        if left < 0:
            left, part = 0, np.float32(0)
        if left >= from_size - 1:
            left, part = from_size - 1, np.float32(0)
        index[i], weight[i] = left, part


@compiled
def resize(
    source: np.ndarray,
    height: int,
    width: int,
    target: np.ndarray,
    to_height: int,
    to_width: int,
    ratio_y: float,
    ratio_x: float,
    gain: float,
) -> None:
    """Bilinear, no blur before shrinking; `ratio` is source pixels per target pixel. Values are multiplied by gain."""
    columns, part_x = np.empty(to_width, np.int64), np.empty(to_width, np.float32)
    rows, part_y = np.empty(to_height, np.int64), np.empty(to_height, np.float32)
    taps(width, to_width, ratio_x, columns, part_x)
    taps(height, to_height, ratio_y, rows, part_y)
    one = np.float32(1)
    lines = np.empty((2, to_width), np.float32)  # the two source rows in use, already resized along x
    held = -1
    for y in range(to_height):
        upper = rows[y]
        lower = min(upper + 1, height - 1)
        if upper != held:
            resize_row(source, upper * width, width, columns, part_x, lines[0])
            resize_row(source, lower * width, width, columns, part_x, lines[1])
            held = upper
        b = part_y[y]
        for x in range(to_width):
            target[y * to_width + x] = (lines[0, x] * (one - b) + lines[1, x] * b) * gain


@compiled
def resize_row(
    source: np.ndarray, start: int, width: int, columns: np.ndarray, part: np.ndarray, line: np.ndarray
) -> None:
    """One source row, resized along x."""
    one = np.float32(1)
    for x in range(columns.size):
        left = columns[x]
        right = min(left + 1, width - 1)
        line[x] = source[start + left] * (one - part[x]) + source[start + right] * part[x]
