"""Where the numbers of one pyramid level lie in memory while TV-L1 iterates.

A row of `width` pixels is folded over 16 lanes: with steps = ceil(width / 16), lane k of vector v holds

    x = k * steps + v.

The neighbours x-1 and x+1 then sit in the same lane of vectors v-1 and v+1, and derivatives along x need no shuffle but
at the two ends of the row, where lane k goes on in lane k+1. Pixels at x >= width are padding: zero, and kept zero.
Where LANES is 8, a row is two parts, lanes 0-7 and then 8-15, so that sums over lanes are the same on every machine.

All planes of LANES pixels lie together in one record, [row][part][vector][plane][lane], because an inner iteration
reads them all: it streams through memory once, front to back, instead of following ten streams.
"""

from typing import Any

import numpy as np

from flow.jit import LANES, compiled
from flow.simd import lane_numbers, splat

FOLD = 16  # lanes that a row is folded over, whatever the machine
PARTS = FOLD // LANES

# Planes of a record: the flow u = (u1, u2), the dual fields p1 = (p11, p12) of u1 and p2 = (p21, p22) of u2,
# the gradient (gx, gy) of the warped frame 1, the constant part of the residual, and -1 / |gradient|².
U1, U2, P11, P12, P21, P22, GX, GY, RHO, INVERSE = (plane * LANES for plane in range(10))
RECORD = 10 * LANES  # floats


def aligned(size: int) -> np.ndarray:
    """Float32 zeros on a 64-byte border: a vector load that straddles two cache lines costs a fifth of the speed."""
    raw = np.zeros(size + 16, np.float32)
    start = -(raw.ctypes.data // 4) % 16
    return raw[start : start + size]


def count_steps(width: int) -> int:
    """Vectors per part of a row; at least two, so that the pixel two to the right is at most one lane away."""
    return max(2, -(-width // FOLD))


steps_of = compiled(count_steps)


@compiled
def fold(picture: np.ndarray, width: int, height: int, state: np.ndarray, plane: int) -> None:
    """Copies height x width floats, row by row, into one plane of the records."""
    steps = steps_of(width)
    for y in range(height):
        row = y * PARTS * steps * RECORD + plane
        for k in range(FOLD):
            lane = row + (k // LANES) * steps * RECORD + k % LANES
            for v in range(min(steps, max(0, width - k * steps))):
                state[lane + v * RECORD] = picture[y * width + k * steps + v]


@compiled
def unfold(state: np.ndarray, plane: int, width: int, height: int, picture: np.ndarray) -> None:
    """The way back."""
    steps = steps_of(width)
    for y in range(height):
        row = y * PARTS * steps * RECORD + plane
        for k in range(FOLD):
            lane = row + (k // LANES) * steps * RECORD + k % LANES
            for v in range(min(steps, max(0, width - k * steps))):
                picture[y * width + k * steps + v] = state[lane + v * RECORD]


@compiled
def first_columns(part: int, steps: int) -> Any:
    """x of the pixels in vector 0 of a part; those of vector v are v further to the right."""
    return (lane_numbers() + splat(np.float32(part * LANES))) * splat(np.float32(steps))
