"""Resizing one plane of the pyramid, compiled. What goes where is said by `flow.pyramid.taps`."""

import numpy as np

from flow.jit import compiled


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
    upper_line, lower_line = np.empty(columns.size, np.float32), np.empty(columns.size, np.float32)
    held = -1  # the source row that upper_line was made of
    for y in range(rows.size):
        if rows[y] != held:
            held = rows[y]
            resize_row(source, held * width, width, columns, part_x, upper_line)
            resize_row(source, min(held + 1, height - 1) * width, width, columns, part_x, lower_line)
        b = part_y[y]
        for x in range(columns.size):
            target[y * columns.size + x] = (upper_line[x] * (one - b) + lower_line[x] * b) * gain


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
