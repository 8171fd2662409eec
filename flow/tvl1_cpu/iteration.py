"""The inner iteration of TV-L1: Zach, Pock and Bischof 2007, as Sanchez, Meinhardt-Llopis and Facciolo write it down.

With v held, u minimises |grad u| + 1/(2 theta) (u - v)²; with u held, v minimises lambda |rho(v)| beside the same
coupling. One iteration is

    v = u + TH(u)                                             thresholding
    u = v + theta div p                                       primal step, both components of the flow
    p = (p + tau/theta grad u) / (1 + tau/theta |grad u|)     dual step, p = p1 for u1 and p2 for u2

    rho(u) = I1(x + u0) + grad I1(x + u0) · (u - u0) - I0(x)
    TH(u)  = clamp(-rho(u) / |grad I1|², -lambda theta, lambda theta) grad I1         all three cases of the paper

div takes backward differences (nothing left of column 0 or above row 0), grad forward ones (zero in the last column and
row). `rho`, below, holds the part of rho(u) that does not change: I1(x + u0) - grad I1 · u0 - I0.

One pass does both steps in place: new u in row y needs p of rows y and y-1; then p of row y-1 needs u of rows y-1
and y, and everything is at hand. The next iteration may start on row y-1 at once. `sweep` runs several like that,
each one row behind the one before, while the rows are still in the cache.
"""

from typing import Any

import numpy as np

from flow.tvl1_cpu.jit import LANES, compiled, inlined
from flow.tvl1_cpu.layout import (
    GX,
    GY,
    INVERSE,
    P11,
    P12,
    P21,
    P22,
    RECORD,
    RHO,
    SIXTEENTHS,
    SUMS,
    U1,
    U2,
    first_columns,
    steps_of,
)
from flow.tvl1_cpu.simd import (
    fma,
    larger,
    load,
    one_lane_ahead,
    one_lane_back,
    smaller,
    splat,
    square_root,
    store,
    where_below,
)


@compiled
def primal_step(
    state: np.ndarray, here: int, above: int, steps: int, threshold: float, theta: float, squares: np.ndarray
) -> None:
    """u of the row at `here`; adds the squared change to `squares`, a sum for each sixteenth of the row."""
    zero = splat(np.float32(0))
    most, least, theta_ = splat(threshold), splat(-threshold), splat(theta)
    end = here + (steps - 1) * RECORD
    p11_left, p21_left = one_lane_back(zero, load(state, end + P11)), one_lane_back(zero, load(state, end + P21))
    for sixteenth in range(SIXTEENTHS):
        changed1, changed2 = load(squares, sixteenth * LANES), zero
        for v in range(sixteenth * steps // SIXTEENTHS, (sixteenth + 1) * steps // SIXTEENTHS):
            i, j = here + v * RECORD, above + v * RECORD
            u1, u2 = load(state, i + U1), load(state, i + U2)
            gx, gy = load(state, i + GX), load(state, i + GY)
            rho = fma(gx, u1, fma(gy, u2, load(state, i + RHO)))
            along = larger(least, smaller(most, rho * load(state, i + INVERSE)))
            p11, p21 = load(state, i + P11), load(state, i + P21)
            div_p1 = (p11 - p11_left) + (load(state, i + P12) - load(state, j + P12))
            div_p2 = (p21 - p21_left) + (load(state, i + P22) - load(state, j + P22))
            p11_left, p21_left = p11, p21
            change1, change2 = fma(along, gx, theta_ * div_p1), fma(along, gy, theta_ * div_p2)
            store(state, i + U1, u1 + change1)
            store(state, i + U2, u2 + change2)
            changed1, changed2 = fma(change1, change1, changed1), fma(change2, change2, changed2)
        store(squares, sixteenth * LANES, changed1 + changed2)


@inlined
def dual_update(state: np.ndarray, i: int, u1x: Any, u1y: Any, u2x: Any, u2y: Any, tau: Any, one: Any) -> None:
    """p of the record at i. One division serves both fields."""
    d1 = fma(tau, square_root(fma(u1x, u1x, u1y * u1y)), one)
    d2 = fma(tau, square_root(fma(u2x, u2x, u2y * u2y)), one)
    both = one / (d1 * d2)
    s1, s2 = both * d2, both * d1
    store(state, i + P11, fma(tau, u1x, load(state, i + P11)) * s1)
    store(state, i + P12, fma(tau, u1y, load(state, i + P12)) * s1)
    store(state, i + P21, fma(tau, u2x, load(state, i + P21)) * s2)
    store(state, i + P22, fma(tau, u2y, load(state, i + P22)) * s2)


@compiled
def dual_span(state: np.ndarray, here: int, below: int, start: int, stop: int, step_size: float) -> None:
    """p of vectors start .. stop - 1 of a row, none of which is the last or holds the last column."""
    one, tau = splat(np.float32(1)), splat(step_size)
    u1, u2 = load(state, here + start * RECORD + U1), load(state, here + start * RECORD + U2)
    for v in range(start, stop):
        i, j = here + v * RECORD, below + v * RECORD
        right1, right2 = load(state, i + RECORD + U1), load(state, i + RECORD + U2)
        dual_update(state, i, right1 - u1, load(state, j + U1) - u1, right2 - u2, load(state, j + U2) - u2, tau, one)
        u1, u2 = right1, right2


@compiled
def dual_end(state: np.ndarray, here: int, below: int, v: int, steps: int, width: int, step_size: float) -> None:
    """p of a vector that is the last of its row, or holds the last column, or both."""
    i, j = here + v * RECORD, below + v * RECORD
    u1, u2 = load(state, i + U1), load(state, i + U2)
    if v < steps - 1:
        right1, right2 = load(state, i + RECORD + U1), load(state, i + RECORD + U2)
    else:
        zero = splat(np.float32(0))
        right1, right2 = one_lane_ahead(load(state, here + U1), zero), one_lane_ahead(load(state, here + U2), zero)
    x, last = first_columns(steps) + splat(np.float32(v)), splat(np.float32(width - 1))
    u1x, u2x = where_below(x, last, right1 - u1), where_below(x, last, right2 - u2)
    dual_update(
        state, i, u1x, load(state, j + U1) - u1, u2x, load(state, j + U2) - u2, splat(step_size), splat(np.float32(1))
    )


@compiled
def dual_step(state: np.ndarray, here: int, below: int, steps: int, width: int, step_size: float) -> None:
    """p of the row at `here`."""
    last_column = (width - 1) % steps
    dual_span(state, here, below, 0, last_column, step_size)
    dual_end(state, here, below, last_column, steps, width, step_size)
    if last_column < steps - 1:
        dual_span(state, here, below, last_column + 1, steps - 1, step_size)
        dual_end(state, here, below, steps - 1, steps, width, step_size)


@compiled
def sweep(
    state: np.ndarray,
    width: int,
    height: int,
    iterations: int,
    threshold: float,
    theta: float,
    step_size: float,
    errors: np.ndarray,
) -> None:
    """Runs `iterations` over the whole level; errors[k] becomes the sum of the squared change of u in iteration k.

    state: records of row -1 (all zero), rows 0 .. height - 1, and one row to spare.
    """
    steps = steps_of(width)
    row = steps * RECORD
    squares = np.zeros(iterations * SUMS, np.float32)
    for front in range(height + iterations):
        for k in range(max(0, front - height), min(iterations, front + 1)):
            y = front - k
            here = (y + 1) * row
            if y < height:
                primal_step(state, here, here - row, steps, threshold, theta, squares[k * SUMS : (k + 1) * SUMS])
            if y > 0:
                below = here if y < height else here - row  # no difference across the last row
                dual_step(state, here - row, below, steps, width, step_size)
    for k in range(iterations):
        errors[k] = _sum_in_fixed_order(squares, k * SUMS)


@compiled
def _sum_in_fixed_order(squares: np.ndarray, start: int) -> float:
    """Over the sixteenths of a row, from left to right."""
    total = 0.0
    for lane in range(LANES):
        for sixteenth in range(SIXTEENTHS):
            total += squares[start + sixteenth * LANES + lane]
    return total
