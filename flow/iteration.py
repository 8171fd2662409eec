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

import numpy as np

from flow.jit import LANES, compiled
from flow.layout import FOLD, GX, GY, INVERSE, P11, P12, P21, P22, PARTS, RECORD, RHO, U1, U2, first_columns, steps_of
from flow.simd import fma, larger, load, one_lane_ahead, one_lane_back, smaller, splat, square_root, store, where_below


@compiled
def primal_step(
    state: np.ndarray, here: int, above: int, part: int, steps: int, threshold: float, theta: float, squares: np.ndarray
) -> None:
    """u of one part of the row at `here`; adds the squared change to `squares`, a sum per lane."""
    zero = splat(np.float32(0))
    most, least, theta_ = splat(threshold), splat(-threshold), splat(theta)
    changed = load(squares, part * LANES)
    before1, before2 = zero, zero
    if part > 0:
        before1, before2 = load(state, here - RECORD + P11), load(state, here - RECORD + P21)
    end = here + (steps - 1) * RECORD
    p11_left = one_lane_back(before1, load(state, end + P11))
    p21_left = one_lane_back(before2, load(state, end + P21))
    for v in range(steps):
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
        changed = fma(change1, change1, fma(change2, change2, changed))
    store(squares, part * LANES, changed)


@compiled
def dual_step(state: np.ndarray, here: int, below: int, part: int, steps: int, width: int, step_size: float) -> None:
    """p of one part of the row at `here`."""
    zero, one, tau_ = splat(np.float32(0)), splat(np.float32(1)), splat(step_size)
    after1, after2 = zero, zero
    if part < PARTS - 1:
        after1, after2 = load(state, here + steps * RECORD + U1), load(state, here + steps * RECORD + U2)
    u1, u2 = load(state, here + U1), load(state, here + U2)
    after1, after2 = one_lane_ahead(u1, after1), one_lane_ahead(u2, after2)
    last_column = (width - 1) % steps
    x = first_columns(part, steps) + splat(np.float32(last_column))
    for v in range(steps):
        i, j = here + v * RECORD, below + v * RECORD
        right1, right2 = after1, after2
        if v < steps - 1:
            right1, right2 = load(state, i + RECORD + U1), load(state, i + RECORD + U2)
        u1x, u2x, u1y, u2y = right1 - u1, right2 - u2, load(state, j + U1) - u1, load(state, j + U2) - u2
        if v == last_column:
            u1x, u2x = (
                where_below(x, splat(np.float32(width - 1)), u1x),
                where_below(x, splat(np.float32(width - 1)), u2x),
            )
        d1 = fma(tau_, square_root(fma(u1x, u1x, u1y * u1y)), one)
        d2 = fma(tau_, square_root(fma(u2x, u2x, u2y * u2y)), one)
        both = one / (d1 * d2)
        s1, s2 = both * d2, both * d1
        store(state, i + P11, fma(tau_, u1x, load(state, i + P11)) * s1)
        store(state, i + P12, fma(tau_, u1y, load(state, i + P12)) * s1)
        store(state, i + P21, fma(tau_, u2x, load(state, i + P21)) * s2)
        store(state, i + P22, fma(tau_, u2y, load(state, i + P22)) * s2)
        u1, u2 = right1, right2


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
    row = PARTS * steps * RECORD
    squares = np.zeros(iterations * FOLD, np.float32)
    for front in range(height + iterations):
        for k in range(max(0, front - height), min(iterations, front + 1)):
            y = front - k
            here = (y + 1) * row
            if y < height:
                for part in range(PARTS):
                    at = here + part * steps * RECORD
                    primal_step(state, at, at - row, part, steps, threshold, theta, squares[k * FOLD : (k + 1) * FOLD])
            if y > 0:
                for part in range(PARTS):
                    at = here - row + part * steps * RECORD
                    below = at + row if y < height else at  # no difference across the last row
                    dual_step(state, at, below, part, steps, width, step_size)
    for k in range(iterations):
        errors[k] = _sum_in_fixed_order(squares, k * FOLD)


@compiled
def _sum_in_fixed_order(values: np.ndarray, start: int) -> float:
    total = 0.0
    for k in range(FOLD):
        total += values[start + k]
    return total
