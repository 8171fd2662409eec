"""The 5x5 median that TV-L1 in OpenCV runs over the flow before its inner iterations, with the border replicated.

Sorting is shared. Each column of five is sorted once for the five outputs that see it. The sorted columns are merged in
pairs, each of which serves four outputs. Two neighbouring outputs have two pairs, 20 values, in common: of these only
the middle six can be a median, and with the one column that an output has for itself they make it out.

    columns    x-2  x-1   x   x+1  x+2  x+3
    output x    |    [pair]  [ pair ]
    output x+1       [pair]  [ pair ]    |

Exact: equal to cv2.medianBlur in every value.
"""

from typing import Any

import numpy as np

from flow.tvl1_cpu.jit import LANES, compiled, inlined
from flow.tvl1_cpu.layout import RECORD, count_steps, first_columns, steps_of
from flow.tvl1_cpu.simd import (
    greater,
    lesser,
    load,
    one_lane_ahead,
    one_lane_back,
    ordered,
    splat,
    store,
    where_below,
)

EDGE = 2  # columns of the border on either side, in vectors


# ---- networks


@inlined
def exchange(a: Any, b: Any) -> Any:
    """Smaller first."""
    return lesser(a, b), greater(a, b)


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


@inlined
def merged_twos(a0: Any, a1: Any, b0: Any, b1: Any) -> Any:
    """Two sorted pairs as one sorted four: Batcher's odd-even merge, like the two below."""
    low, b0 = exchange(a0, b0)
    a1, high = exchange(a1, b1)
    a1, b0 = exchange(a1, b0)
    return low, a1, b0, high


@inlined
def merged_threes(a0: Any, a1: Any, a2: Any, b0: Any, b1: Any, b2: Any) -> Any:
    """Evens with evens, odds with odds, and neighbours exchanged."""
    e0, e1, e2, e3 = merged_twos(a0, a2, b0, b2)
    o0, o1 = exchange(a1, b1)
    o0, e1 = exchange(o0, e1)
    o1, e2 = exchange(o1, e2)
    return e0, o0, e1, o1, e2, e3


@inlined
def merged_fives(a0: Any, a1: Any, a2: Any, a3: Any, a4: Any, b0: Any, b1: Any, b2: Any, b3: Any, b4: Any) -> Any:
    """Two sorted columns as ten sorted numbers."""
    e0, e1, e2, e3, e4, e5 = merged_threes(a0, a2, a4, b0, b2, b4)
    o0, o1, o2, o3 = merged_twos(a1, a3, b1, b3)
    o0, e1 = exchange(o0, e1)
    o1, e2 = exchange(o1, e2)
    o2, e3 = exchange(o2, e3)
    o3, e4 = exchange(o3, e4)
    return e0, o0, e1, o1, e2, o2, e3, o3, e4, e5


@inlined
def sixth_of_eleven(
    a0: Any, a1: Any, a2: Any, a3: Any, a4: Any, a5: Any, b0: Any, b1: Any, b2: Any, b3: Any, b4: Any
) -> Any:
    """Of six and five sorted numbers. With i of the six and 6 - i of the five, the largest is never below it."""
    low = lesser(lesser(a5, greater(a4, b0)), greater(a3, b1))
    high = lesser(lesser(greater(a2, b2), greater(a1, b3)), greater(a0, b4))
    return lesser(low, high)


# ---- rows


def count_places(steps: int) -> int:
    """Columns of a row with its border; one to spare, as the last pair of outputs may look a column too far."""
    return steps + 2 * EDGE + 1


places = compiled(count_places)


@compiled
def position(x: int, steps: int) -> int:
    """Where pixel x lies in a row with borders; pixels right of the fold lie in the border of its last lane."""
    k = min(x // steps, LANES - 1)
    return (EDGE + x - k * steps) * LANES + k


@compiled
def keep_row(state: np.ndarray, start: int, width: int, steps: int, ring: np.ndarray, to: int) -> None:
    """Copies one row of a plane and gives it its border: between lanes the neighbour's pixels, at the ends the last."""
    for v in range(steps):
        store(ring, to + (EDGE + v) * LANES, ordered(load(state, start + v * RECORD)))
    first, last = ring[to + position(0, steps)], ring[to + position(width - 1, steps)]
    for extra in range(EDGE):  # padding, or border of the last lane where the row fills the fold
        if width + extra < LANES * steps:
            ring[to + position(width + extra, steps)] = last
    for extra in range(EDGE):
        before, after = to + extra * LANES, to + (EDGE + steps + extra) * LANES
        store(ring, before, one_lane_back(splat(first), load(ring, before + steps * LANES)))
        store(ring, after, one_lane_ahead(load(ring, after - steps * LANES), splat(last)))


@compiled
def sort_columns(
    ring: np.ndarray, row0: int, row1: int, row2: int, row3: int, row4: int, count: int, columns: np.ndarray
) -> None:
    """Sorts each column of five kept rows; its five vectors come to lie together."""
    for place in range(count):
        at, to = place * LANES, place * 5 * LANES
        a, b, c, d, e = sorted_five(
            load(ring, row0 + at),
            load(ring, row1 + at),
            load(ring, row2 + at),
            load(ring, row3 + at),
            load(ring, row4 + at),
        )
        store(columns, to, a)
        store(columns, to + LANES, b)
        store(columns, to + 2 * LANES, c)
        store(columns, to + 3 * LANES, d)
        store(columns, to + 4 * LANES, e)


@inlined
def load_five(columns: np.ndarray, at: int) -> Any:
    """A sorted column, or half a pair."""
    return (
        load(columns, at),
        load(columns, at + LANES),
        load(columns, at + 2 * LANES),
        load(columns, at + 3 * LANES),
        load(columns, at + 4 * LANES),
    )


@compiled
def merge_pairs(columns: np.ndarray, count: int, pairs: np.ndarray) -> None:
    """Columns 1 and 2, 3 and 4, ... of a row: ten sorted vectors each, at the place of the first."""
    for place in range(1, count - 1, 2):
        at = place * 5 * LANES
        a0, a1, a2, a3, a4 = load_five(columns, at)
        b0, b1, b2, b3, b4 = load_five(columns, at + 5 * LANES)
        p0, p1, p2, p3, p4, p5, p6, p7, p8, p9 = merged_fives(a0, a1, a2, a3, a4, b0, b1, b2, b3, b4)
        store(pairs, at, p0)
        store(pairs, at + LANES, p1)
        store(pairs, at + 2 * LANES, p2)
        store(pairs, at + 3 * LANES, p3)
        store(pairs, at + 4 * LANES, p4)
        store(pairs, at + 5 * LANES, p5)
        store(pairs, at + 6 * LANES, p6)
        store(pairs, at + 7 * LANES, p7)
        store(pairs, at + 8 * LANES, p8)
        store(pairs, at + 9 * LANES, p9)


@compiled
def two_medians(columns: np.ndarray, pairs: np.ndarray, steps: int, width: int, state: np.ndarray, to: int) -> None:
    """The medians of a row, two at a time."""
    x0, limit = first_columns(steps), splat(np.float32(width))
    for v in range(0, steps, 2):
        leftmost = v * 5 * LANES  # column v - 2
        left, right = leftmost + 5 * LANES, leftmost + 15 * LANES
        a0, a1, a2, a3, a4 = load_five(pairs, left)
        a5, a6, a7, a8, a9 = load_five(pairs, left + 5 * LANES)
        b0, b1, b2, b3, b4 = load_five(pairs, right)
        b5, b6, b7, b8, b9 = load_five(pairs, right + 5 * LANES)
        # The last step of one more odd-even merge, as far as the middle six of the twenty go.
        _, _, _, _, e4, e5, e6, _, _, _ = merged_fives(a0, a2, a4, a6, a8, b0, b2, b4, b6, b8)
        _, _, _, o3, o4, o5, _, _, _, _ = merged_fives(a1, a3, a5, a7, a9, b1, b3, b5, b7, b9)
        m0, m1 = exchange(o3, e4)
        m2, m3 = exchange(o4, e5)
        m4, m5 = exchange(o5, e6)
        c0, c1, c2, c3, c4 = load_five(columns, leftmost)
        middle = ordered(sixth_of_eleven(m0, m1, m2, m3, m4, m5, c0, c1, c2, c3, c4))
        x = x0 + splat(np.float32(v))
        store(state, to + v * RECORD, where_below(x, limit, middle))
        if v + 1 < steps:
            c0, c1, c2, c3, c4 = load_five(columns, leftmost + 25 * LANES)
            middle = ordered(sixth_of_eleven(m0, m1, m2, m3, m4, m5, c0, c1, c2, c3, c4))
            store(state, to + (v + 1) * RECORD, where_below(x + splat(np.float32(1)), limit, middle))


@compiled
def median(
    state: np.ndarray,
    plane: int,
    width: int,
    height: int,
    ring: np.ndarray,
    columns: np.ndarray,
    pairs: np.ndarray,
) -> None:
    """Replaces one plane (U1 or U2) by its median, in place: a ring keeps the original rows until no output needs them.

    state as in `iteration.sweep`. ring, columns, pairs: `five_rows(width)` floats each.
    """
    steps = steps_of(width)
    row = steps * RECORD
    count = places(steps)
    kept = count * LANES
    for y in range(height + 2):
        if y < height:
            keep_row(state, (y + 1) * row + plane, width, steps, ring, (y % 5) * kept)
        centre = y - 2
        if centre >= 0:
            sort_columns(
                ring,
                (max(centre - 2, 0) % 5) * kept,
                (max(centre - 1, 0) % 5) * kept,
                (centre % 5) * kept,
                (min(centre + 1, height - 1) % 5) * kept,
                (min(centre + 2, height - 1) % 5) * kept,
                count,
                columns,
            )
            merge_pairs(columns, count, pairs)
            two_medians(columns, pairs, steps, width, state, (centre + 1) * row + plane)


def five_rows(width: int) -> int:
    """Floats: five rows of one plane, with their border."""
    return 5 * LANES * count_places(count_steps(width))
