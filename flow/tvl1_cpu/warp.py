"""Frame 1 and its gradient seen through the flow, and the residual linearised there.

    rho(u) = I1(x + u0) + grad I1(x + u0) · (u - u0) - I0(x)        u0: the flow at the time of the warp

Sampling is bicubic with OpenCV's kernel (a = -0.75), zero outside the picture. Frame 1 and both derivatives lie
interleaved, four floats to a pixel, so that one weight serves all three and the 4 x 4 neighbours of a sample are four
short runs of memory.
"""

from typing import Any

import numpy as np

from flow.tvl1_cpu.jit import LANES, compiled, inlined
from flow.tvl1_cpu.layout import GX, GY, INVERSE, RECORD, RHO, U1, U2, count_steps, first_columns, steps_of
from flow.tvl1_cpu.quads import (
    element0,
    element1,
    element2,
    element3,
    load_channel0,
    load_channel1,
    load_channel2,
    load_quad,
    spread0,
    spread2,
    store_quads,
    store_sum_of_groups,
)
from flow.tvl1_cpu.simd import floor, fma, larger, load, smaller, splat, store, store_places, where_below

MARGIN = 5  # zero pixels around the picture: a sample clamped to [-4, width + 1] reads columns -5 .. width + 3
FLAT = np.float32(1.1920929e-07)  # a squared gradient below this pulls nowhere; OpenCV draws the same line


@compiled
def interleave(picture: np.ndarray, width: int, height: int, samples: np.ndarray) -> None:
    """Writes (I, dI/dx, dI/dy, 0) of every pixel into the middle of `samples`, whose margin is zero.

    Centred differences; at the border the missing neighbour is the pixel itself, and the half stays (as in OpenCV).
    """
    half = np.float32(0.5)
    for y in range(height):
        above, below = max(y - 1, 0) * width, min(y + 1, height - 1) * width
        to = ((y + MARGIN) * (width + 2 * MARGIN) + MARGIN) * 4
        for x in range(width):
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            samples[to] = picture[y * width + x]
            samples[to + 1] = half * (picture[y * width + right] - picture[y * width + left])
            samples[to + 2] = half * (picture[below + x] - picture[above + x])
            to += 4


@inlined
def cubic_weights(t: Any) -> Any:
    """Weights of the pixels at -1, 0, 1 and 2 for a sample at t in [0, 1). Keys' kernel with a = -0.75."""
    one = splat(np.float32(1))
    s, r = t + one, one - t
    before = fma(
        fma(fma(splat(np.float32(-0.75)), s, splat(np.float32(3.75))), s, splat(np.float32(-6))),
        s,
        splat(np.float32(3)),
    )
    at = fma(fma(splat(np.float32(1.25)), t, splat(np.float32(-2.25))) * t, t, one)
    after = fma(fma(splat(np.float32(1.25)), r, splat(np.float32(-2.25))) * r, r, one)
    return before, at, after, ((one - before) - at) - after


@compiled
def aim(
    state: np.ndarray,
    here: int,
    steps: int,
    width: int,
    height: int,
    y: int,
    corners: np.ndarray,
    weights_x: np.ndarray,
    weights_y: np.ndarray,
) -> None:
    """For a row: which pixel each sample's 4 x 4 neighbours begin at, and their weights."""
    left, right = splat(np.float32(1 - MARGIN)), splat(np.float32(width + 1))
    top, bottom = splat(np.float32(1 - MARGIN)), splat(np.float32(height + 1))
    before = splat(np.float32(MARGIN - 1))
    line = np.int32(width + 2 * MARGIN)
    x0, row = first_columns(steps), splat(np.float32(y))
    for v in range(steps):
        x = (x0 + splat(np.float32(v))) + load(state, here + v * RECORD + U1)
        down = row + load(state, here + v * RECORD + U2)
        x, down = larger(left, smaller(right, x)), larger(top, smaller(bottom, down))
        column, line_number = floor(x), floor(down)
        a, b, c, d = cubic_weights(x - column)
        store_quads(weights_x, v * LANES * 4, a, b, c, d)
        a, b, c, d = cubic_weights(down - line_number)
        store_quads(weights_y, v * LANES * 4, a, b, c, d)
        store_places(corners, v * LANES, line_number + before, column + before, line)


@inlined
def sum_of_rows(samples: np.ndarray, at: int, line: int, weights: Any) -> Any:
    """LANES / 4 pixels of each of the four rows, weighted along y."""
    total = element0(weights) * load(samples, at)
    total = fma(element1(weights), load(samples, at + line), total)
    total = fma(element2(weights), load(samples, at + 2 * line), total)
    return fma(element3(weights), load(samples, at + 3 * line), total)


@compiled
def sample(
    samples: np.ndarray,
    line: int,
    steps: int,
    corners: np.ndarray,
    weights_x: np.ndarray,
    weights_y: np.ndarray,
    warped: np.ndarray,
) -> None:
    """Bicubic samples of all four channels for a row."""
    for v in range(steps):
        for lane in range(LANES):
            quad = (4 * v + lane % 4) * LANES + lane // 4 * 4
            corner = 4 * np.int64(corners[v * LANES + lane])
            y, x = load_quad(weights_y, quad), load_quad(weights_x, quad)
            total = sum_of_rows(samples, corner, line, y) * spread0(x)
            if LANES == 8:  # four pixels of four channels are 16 floats: one vector or two
                total = total + sum_of_rows(samples, corner + LANES, line, y) * spread2(x)
            store_sum_of_groups(warped, quad, total)


@compiled
def linearise(
    warped: np.ndarray, frame0: np.ndarray, offset: int, state: np.ndarray, here: int, steps: int, width: int
) -> None:
    """The four constants of the inner iterations for a row; zero in the padding. frame0 is folded."""
    flat, minus_one = splat(FLAT), splat(np.float32(-1))
    x0, limit = first_columns(steps), splat(np.float32(width))
    for v in range(steps):
        i, k = here + v * RECORD, v * LANES * 4
        gx, gy = load_channel1(warped, k), load_channel2(warped, k)
        rho = load_channel0(warped, k) - gx * load(state, i + U1) - gy * load(state, i + U2)
        rho = rho - load(frame0, offset + v * LANES)
        inverse = minus_one / larger(flat, fma(gx, gx, gy * gy))
        x = x0 + splat(np.float32(v))
        store(state, i + GX, where_below(x, limit, gx))
        store(state, i + GY, where_below(x, limit, gy))
        store(state, i + RHO, where_below(x, limit, rho))
        store(state, i + INVERSE, where_below(x, limit, inverse))


@compiled
def warp(
    samples: np.ndarray,
    frame0: np.ndarray,
    state: np.ndarray,
    width: int,
    height: int,
    corners: np.ndarray,
    weights_x: np.ndarray,
    weights_y: np.ndarray,
    warped: np.ndarray,
) -> None:
    """Prepares the records for the inner iterations. state as in `iteration.sweep`."""
    steps = steps_of(width)
    for y in range(height):
        here = (y + 1) * steps * RECORD
        aim(state, here, steps, width, height, y, corners, weights_x, weights_y)
        sample(samples, 4 * (width + 2 * MARGIN), steps, corners, weights_x, weights_y, warped)
        linearise(warped, frame0, y * steps * LANES, state, here, steps, width)


def samples_size(width: int, height: int) -> int:
    """Floats: the interleaved picture with its margin, and a vector to spare."""
    return 4 * (width + 2 * MARGIN) * (height + 2 * MARGIN) + 16


def row_size(width: int) -> int:
    """Floats: four per pixel of a folded row."""
    return 4 * LANES * count_steps(width)
