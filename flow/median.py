"""The 5x5 median that TV-L1 in OpenCV runs over the flow before its inner iterations, with the border replicated.

Each column of five is sorted once and shared by the five outputs that see it; of the sorted columns' 25 values most can
be ruled out as the median by their rank alone, and a short network of exchanges picks the 7th of the 13 that remain.
Exact: equal to cv2.medianBlur bit for bit.
"""

from typing import Any

import numpy as np

from flow.jit import LANES, compiled, inlined
from flow.layout import FOLD, PARTS, RECORD, count_steps, first_columns, steps_of
from flow.simd import larger, load, one_lane_ahead, one_lane_back, smaller, splat, store, where_below

EDGE = 2  # columns of the border on either side, in vectors


@inlined
def exchange(a: Any, b: Any) -> Any:
    """Smaller first."""
    return smaller(a, b), larger(a, b)


@inlined
def sorted_five(a: Any, b: Any, c: Any, d: Any, e: Any) -> Any:
    """Nine exchanges, the fewest that sort five numbers."""
    a, d = exchange(a, d)
    b, e = exchange(b, e)
    a, c = exchange(a, c)
    b, d = exchange(b, d)
    a, b = exchange(a, b)
    c, e = exchange(c, e)
    b, c = exchange(b, c)
    d, e = exchange(d, e)
    c, d = exchange(c, d)
    return a, b, c, d, e


@compiled
def sort_columns(
    ring: np.ndarray, row0: int, row1: int, row2: int, row3: int, row4: int, steps: int, columns: np.ndarray, line: int
) -> None:
    """Sorts each column of five kept rows; rank k goes to line k of `columns`, behind room for the border."""
    for part in range(PARTS):
        for v in range(steps):
            at = (part * steps + v) * LANES
            a, b, c, d, e = sorted_five(
                load(ring, row0 + at),
                load(ring, row1 + at),
                load(ring, row2 + at),
                load(ring, row3 + at),
                load(ring, row4 + at),
            )
            to = (part * (steps + 2 * EDGE) + EDGE + v) * LANES
            store(columns, to, a)
            store(columns, to + line, b)
            store(columns, to + 2 * line, c)
            store(columns, to + 3 * line, d)
            store(columns, to + 4 * line, e)


@compiled
def position(x: int, steps: int) -> int:
    """Where pixel x lies in a line of sorted columns; pixels right of the fold lie in the border of its last lane."""
    k = min(x // steps, FOLD - 1)
    return ((k // LANES) * (steps + 2 * EDGE) + EDGE + x - k * steps) * LANES + k % LANES


@compiled
def extend_border(columns: np.ndarray, start: int, width: int, steps: int) -> None:
    """Gives one line its border: between lanes the neighbouring lane's pixels, at the ends the last pixel again."""
    part_size = (steps + 2 * EDGE) * LANES
    first, last = columns[start + position(0, steps)], columns[start + position(width - 1, steps)]
    for extra in range(EDGE):  # padding, or border of the last lane where the row fills the fold
        if width + extra < FOLD * steps:
            columns[start + position(width + extra, steps)] = last
    for part in range(PARTS):
        here = start + part * part_size
        for extra in range(EDGE):
            before, after = splat(first), splat(last)
            if part > 0:
                before = load(columns, here - part_size + (steps + extra) * LANES)
            if part < PARTS - 1:
                after = load(columns, here + part_size + (EDGE + extra) * LANES)
            store(columns, here + extra * LANES, one_lane_back(before, load(columns, here + (steps + extra) * LANES)))
            store(
                columns,
                here + (EDGE + steps + extra) * LANES,
                one_lane_ahead(load(columns, here + (EDGE + extra) * LANES), after),
            )


@inlined
def sorted_neighbours(columns: np.ndarray, x: int) -> Any:
    """The pixels two to the left ... two to the right, in order of size. x: where the leftmost lies."""
    return sorted_five(
        load(columns, x),
        load(columns, x + LANES),
        load(columns, x + 2 * LANES),
        load(columns, x + 3 * LANES),
        load(columns, x + 4 * LANES),
    )


@inlined
def seventh_of_thirteen(
    a3: Any, a4: Any, b2: Any, b3: Any, b4: Any, c1: Any, c2: Any, c3: Any, d0: Any, d1: Any, d2: Any, e0: Any, e1: Any
) -> Any:
    """Drops the smallest and the largest of those at hand, lets another join, and so on until three are left."""
    # The smallest is among a3 b2 c1 d0 and the largest among b4 c3 d2 e1.
    a3, b2 = exchange(a3, b2)
    c1, d0 = exchange(c1, d0)
    c1 = larger(a3, c1)
    b4, c3 = exchange(b4, c3)
    d2, e1 = exchange(d2, e1)
    e1 = smaller(c3, e1)
    # Seven of the eleven left; the median of the eleven can be neither end of them.
    p0, p1 = exchange(b2, d0)
    p2, p3 = exchange(c1, b4)
    p4, p5 = exchange(d2, e1)
    p0, p2 = exchange(p0, p2)
    p1, p3 = exchange(p1, p3)
    p0, p4 = exchange(p0, p4)
    p3, p5 = exchange(p3, p5)
    p6 = smaller(larger(p0, a4), p5)
    # e0 joins: six
    p0, p1 = exchange(e0, p1)
    p2, p3 = exchange(p2, p3)
    p4, p6 = exchange(p4, p6)
    p0, p2 = exchange(p0, p2)
    p4 = larger(p0, p4)
    p1, p3 = exchange(p1, p3)
    p3 = smaller(p3, p6)
    # b3 joins: five
    p0, p1 = exchange(b3, p1)
    p2, p3 = exchange(p2, p3)
    p0, p2 = exchange(p0, p2)
    p1, p3 = exchange(p1, p3)
    p4 = smaller(larger(p0, p4), p3)
    # d1 joins: four
    p0, p1 = exchange(d1, p1)
    p2, p4 = exchange(p2, p4)
    p2 = larger(p0, p2)
    p1 = smaller(p1, p4)
    return larger(smaller(p1, p2), smaller(larger(p1, p2), c2))


@compiled
def median_of_columns(
    columns: np.ndarray, line: int, part: int, steps: int, width: int, state: np.ndarray, to: int
) -> None:
    """Medians of one part of a row, from the sorted columns around each pixel.

    a ... e: the values of rank 0 ... 4 in the five columns around a pixel; the digit: their place among the five.
    """
    x0, limit = first_columns(part, steps), splat(np.float32(width))
    for v in range(steps):
        x = (part * (steps + 2 * EDGE) + v) * LANES
        _, _, _, a3, a4 = sorted_neighbours(columns, x)
        x += line
        _, _, b2, b3, b4 = sorted_neighbours(columns, x)
        x += line
        _, c1, c2, c3, _ = sorted_neighbours(columns, x)
        x += line
        d0, d1, d2, _, _ = sorted_neighbours(columns, x)
        x += line
        e0, e1, _, _, _ = sorted_neighbours(columns, x)
        middle = seventh_of_thirteen(a3, a4, b2, b3, b4, c1, c2, c3, d0, d1, d2, e0, e1)
        store(state, to + v * RECORD, where_below(x0 + splat(np.float32(v)), limit, middle))


@compiled
def median(state: np.ndarray, plane: int, width: int, height: int, ring: np.ndarray, columns: np.ndarray) -> None:
    """Replaces one plane (U1 or U2) by its median, in place: a ring keeps the original rows until no output needs them.

    state as in `iteration.sweep`. ring, columns: room for `ring_size(width)` and `columns_size(width)` floats.
    """
    steps = steps_of(width)
    row = PARTS * steps * RECORD
    kept = PARTS * steps * LANES
    line = PARTS * (steps + 2 * EDGE) * LANES
    for y in range(height + 2):
        if y < height:
            for v in range(PARTS * steps):
                store(ring, (y % 5) * kept + v * LANES, load(state, (y + 1) * row + v * RECORD + plane))
        centre = y - 2
        if centre >= 0:
            sort_columns(
                ring,
                (max(centre - 2, 0) % 5) * kept,
                (max(centre - 1, 0) % 5) * kept,
                (centre % 5) * kept,
                (min(centre + 1, height - 1) % 5) * kept,
                (min(centre + 2, height - 1) % 5) * kept,
                steps,
                columns,
                line,
            )
            for rank in range(5):
                extend_border(columns, rank * line, width, steps)
            for part in range(PARTS):
                median_of_columns(
                    columns, line, part, steps, width, state, (centre + 1) * row + part * steps * RECORD + plane
                )


def ring_size(width: int) -> int:
    """Floats: five rows of one plane."""
    return 5 * FOLD * count_steps(width)


def columns_size(width: int) -> int:
    """Floats: five lines of sorted columns, with their border."""
    return 5 * FOLD * (count_steps(width) + 2 * EDGE)
