"""Resizing one plane of the pyramid, compiled. What goes where is said by `flow.tvl1_common.pyramid.taps`."""

import numpy as np

from flow.tvl1_cpu.jit import compiled


@compiled
def resize(
    source: np.ndarray,
    width: int,
    columns: np.ndarray,
    part_x: np.ndarray,
    rows: np.ndarray,
    part_y: np.ndarray,
    gain: float,
    target: np.ndarray,
) -> None:
    """source: flat, `width` wide; target: flat, as many columns and rows as there are taps. Values are times gain."""
    height = source.size // width
    one = np.float32(1)
    lines = np.empty((2, columns.size), np.float32)  # resized source rows: row r, if it is there, in line r % 2
    held = np.full(2, -1, np.int64)
    for y in range(rows.size):
        upper, lower = rows[y], min(rows[y] + 1, height - 1)
        for row in (upper, lower):
            if held[row % 2] != row:
                held[row % 2] = row
                resize_row(source, row * width, width, columns, part_x, lines[row % 2])
        above, below = lines[upper % 2], lines[lower % 2]
        b, a = part_y[y] * gain, (one - part_y[y]) * gain
        for x in range(columns.size):
            target[y * columns.size + x] = above[x] * a + below[x] * b


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
