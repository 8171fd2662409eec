"""TV-L1 on one level of the pyramid: warps, medians and inner iterations, and when to stop them."""

import numpy as np

from flow.tvl1_cpu.iteration import sweep
from flow.tvl1_cpu.jit import LANES, compiled
from flow.tvl1_cpu.layout import RECORD, U1, U2, aligned, count_steps, fold, steps_of, unfold
from flow.tvl1_cpu.median import five_rows, median
from flow.tvl1_cpu.warp import interleave, row_size, samples_size, warp


class Workspace:
    """Memory for a level of at most height x width; levels of one pair use it in turn."""

    def __init__(self, height: int, width: int) -> None:
        self.state = aligned((height + 2) * count_steps(width) * RECORD)
        self.samples = aligned(samples_size(width, height))
        self.frame0 = aligned(height * LANES * count_steps(width))
        self.ring, self.columns, self.pairs = (aligned(five_rows(width)) for _ in range(3))
        self.weights_x, self.weights_y = aligned(row_size(width)), aligned(row_size(width))
        self.warped = aligned(row_size(width))
        self.corners = np.zeros(LANES * count_steps(width), np.int32)

    def buffers(self) -> tuple[np.ndarray, ...]:
        """In the order in which `solve_level` takes them."""
        return (
            self.state,
            self.samples,
            self.frame0,
            self.ring,
            self.columns,
            self.pairs,
            self.corners,
            self.weights_x,
            self.weights_y,
            self.warped,
        )


@compiled
def next_block(error: float, before: float, goal: float, block: int) -> int:
    """How many iterations to run before looking again, if the change goes on shrinking as in the last one.

    The decay slows down, so 7/10 of the forecast seldom overshoots.
    """
    if not error < before:
        return block
    forecast, change = 0, error
    while change > goal and forecast < 2 * block:
        change *= error / before
        forecast += 1
    return min(block, max(1, 7 * forecast // 10))


@compiled
def iterate(
    state: np.ndarray,
    width: int,
    height: int,
    goal: float,
    inner: int,
    outer: int,
    use_median: bool,
    block: int,
    lt: float,
    theta: float,
    step: float,
    ring: np.ndarray,
    columns: np.ndarray,
    pairs: np.ndarray,
    errors: np.ndarray,
) -> int:
    """All iterations after one warp. Returns their number.

    goal: sum of the squared change of u at which to stop; lt: lambda theta; step: tau / theta.
    """
    error, total, rounds = np.inf, 0, 0
    while error > goal and rounds < outer:
        if use_median:
            median(state, U1, width, height, ring, columns, pairs)
            median(state, U2, width, height, ring, columns, pairs)
        rounds += 1
        done, ahead = 0, 1  # the first iteration alone: now and then it is the last
        while error > goal and done < inner:
            ahead = min(ahead, inner - done)
            sweep(state, width, height, ahead, lt, theta, step, errors)
            before = errors[ahead - 2] if ahead > 1 else error if done > 0 else np.inf
            done += ahead
            error = errors[ahead - 1]
            for k in range(ahead):
                if errors[k] <= goal:  # one of the block's iterations would have been the last
                    error = min(error, goal)
            ahead = next_block(error, before, goal, block)
        total += done
    return total


@compiled
def solve_level(
    picture0: np.ndarray,
    picture1: np.ndarray,
    u1: np.ndarray,
    u2: np.ndarray,
    width: int,
    height: int,
    lt: float,
    theta: float,
    step: float,
    epsilon: float,
    warps: int,
    inner: int,
    outer: int,
    use_median: bool,
    block: int,
    iterations: np.ndarray,
    state: np.ndarray,
    samples: np.ndarray,
    frame0: np.ndarray,
    ring: np.ndarray,
    columns: np.ndarray,
    pairs: np.ndarray,
    corners: np.ndarray,
    weights_x: np.ndarray,
    weights_y: np.ndarray,
    warped: np.ndarray,
) -> None:
    """Improves the flow (u1, u2), both height x width, in place. iterations[w]: how many the warp took."""
    row = steps_of(width) * RECORD
    state[: (height + 2) * row] = np.float32(0)  # p starts at zero on every level and is kept from warp to warp
    samples[: samples_size_of(width, height)] = np.float32(0)
    interleave(picture1, width, height, samples)
    fold(picture0, width, height, frame0, 0, LANES)
    rows = state[row:]
    fold(u1, width, height, rows, U1, RECORD)
    fold(u2, width, height, rows, U2, RECORD)
    errors = np.zeros(block)
    goal = np.float64(np.float32(epsilon * epsilon * height * width))
    for w in range(warps):
        warp(samples, frame0, state, width, height, corners, weights_x, weights_y, warped)
        iterations[w] = iterate(
            state, width, height, goal, inner, outer, use_median, block, lt, theta, step, ring, columns, pairs, errors
        )
    unfold(rows, U1, width, height, u1)
    unfold(rows, U2, width, height, u2)


samples_size_of = compiled(samples_size)
