"""Where the numbers of one pyramid level lie in memory while TV-L1 iterates.

A row of `width` pixels is folded over the lanes: with `steps` vectors to a row, lane k of vector v holds

    x = k * steps + v.

The neighbours x-1 and x+1 then sit in the same lane of vectors v-1 and v+1, and derivatives along x need no shuffle but
at the two ends of the row, where lane k goes on in lane k+1. Pixels at x >= width are padding: zero, and kept zero.

Sums over pixels are kept for each sixteenth of a folded row, which is one lane of 16 or half a lane of 8, so that they
are added in the same order on every machine.

All planes of LANES pixels lie together in one record, [row][vector][plane][lane], because an inner iteration reads them
all: it streams through memory once, front to back, instead of following ten streams.
"""

from typing import Any

import numpy as np

from flow.tvl1_cpu.jit import LANES, compiled
from flow.tvl1_cpu.simd import gather, lane_numbers, splat, store

SUMS = 16  # kept of a row, whatever the machine
SIXTEENTHS = SUMS // LANES  # in a lane

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
    """Vectors of a row; at least two, so that the pixel two to the right is at most one lane away."""
    return SIXTEENTHS * max(2, -(-width // SUMS))


steps_of = compiled(count_steps)


@compiled
def fold(picture: np.ndarray, width: int, height: int, target: np.ndarray, plane: int, stride: int) -> None:
    """Copies height x width floats, row by row, into every stride-th float vector of `target`, from float `plane` on.

    The stride of a plane of the records is RECORD; LANES makes a plane of its own.
    """
    steps = steps_of(width)
    for y in range(height):
        for v in range(steps):
            inside = min(LANES, (width - v + steps - 1) // steps)  # lanes; the others are padding
            to = (y * steps + v) * stride + plane
            if inside == LANES:
                store(target, to, gather(picture, y * width + v, steps))
            else:
                for k in range(inside):
                    target[to + k] = picture[y * width + v + k * steps]


@compiled
def unfold(state: np.ndarray, plane: int, width: int, height: int, picture: np.ndarray) -> None:
    """The way back from the records."""
    steps = steps_of(width)
    for y in range(height):
        for v in range(steps):
            inside = min(LANES, (width - v + steps - 1) // steps)
            at = (y * steps + v) * RECORD + plane
            for k in range(inside):
                picture[y * width + v + k * steps] = state[at + k]


@compiled
def first_columns(steps: int) -> Any:
    """x of the pixels in vector 0 of a row; those of vector v are v further to the right."""
    return lane_numbers() * splat(np.float32(steps))
