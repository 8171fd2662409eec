# mypy: allow-untyped-defs, allow-incomplete-defs
"""The steps of TV-L1 as Triton kernels: one inner iteration, the stop, the median and the warp, for a batch of images.

The algorithm and its names are those of `iteration`, `median` and `warp` in `flow.tvl1_cpu`. Layout: state (B, 6, H, W)
holds u1 u2 p11 p12 p21 p22, constants (B, 4, H, W) holds gx gy rho -1/|gradient|². Programs never add into one place,
so sums are the same on every run: each writes its part of the error, and whoever reads adds the parts in one order.
"""

import triton
import triton.language as tl

ROWS = (
    8  # rows of an image that one program of `iterate` works through from top to bottom; their seams are computed twice
)


@triton.jit
def error_of(partial, slot, image, NUM_PARTS: tl.constexpr, PARTS: tl.constexpr):
    """Sum of the squared change of u in the iteration that wrote this slot of partial (B, 2, NUM_PARTS)."""
    part = tl.arange(0, PARTS)
    at = partial + (image * 2 + slot) * NUM_PARTS + part
    return tl.sum(tl.load(at, mask=part < NUM_PARTS, other=0.0), axis=0)


@triton.jit
def primal(state, constants, image, y, x, H, W, threshold, theta):
    """New u at (y, x) from the old state, its change, and the dual variables there."""
    area = H * W
    at = y * W + x
    inside = (x < W) & (y < H)
    left, above = inside & (x > 0), inside & (y > 0)
    s, c = state + image * 6 * area, constants + image * 4 * area
    u1, u2 = tl.load(s + at, inside, 0.0), tl.load(s + area + at, inside, 0.0)
    p11, p12 = tl.load(s + 2 * area + at, inside, 0.0), tl.load(s + 3 * area + at, inside, 0.0)
    p21, p22 = tl.load(s + 4 * area + at, inside, 0.0), tl.load(s + 5 * area + at, inside, 0.0)
    div_p1 = p11 - tl.load(s + 2 * area + at - 1, left, 0.0) + (p12 - tl.load(s + 3 * area + at - W, above, 0.0))
    div_p2 = p21 - tl.load(s + 4 * area + at - 1, left, 0.0) + (p22 - tl.load(s + 5 * area + at - W, above, 0.0))
    gx, gy = tl.load(c + at, inside, 0.0), tl.load(c + area + at, inside, 0.0)
    rho = tl.load(c + 2 * area + at, inside, 0.0) + gx * u1 + gy * u2
    along = rho * tl.load(c + 3 * area + at, inside, 0.0)
    along = tl.minimum(tl.maximum(along, -threshold), threshold)
    change1, change2 = along * gx + theta * div_p1, along * gy + theta * div_p2
    return u1 + change1, u2 + change2, change1, change2, p11, p12, p21, p22


@triton.jit
def iterate(
    state, result, constants, partial, count, number, goal, H, W, threshold, theta, step_size,
    NUM_PARTS: tl.constexpr, PARTS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Inner iteration `number` of every image that has not converged: state -> result.

    count[image] becomes number + 1 where the image took part; so result and state have swapped roles count times.
    """
    strip, image = tl.program_id(0), tl.program_id(1)
    slot = number % 2
    mine = partial + image * 2 * NUM_PARTS + strip
    if error_of(partial, slot, image, NUM_PARTS, PARTS) <= goal:
        tl.store(mine + (1 - slot) * NUM_PARTS, tl.load(mine + slot * NUM_PARTS))
    else:
        x = tl.arange(0, COLUMNS)
        area = H * W
        to = result + image * 6 * area
        first = strip * ROWS + x * 0
        u1, u2, change1, change2, p11, p12, p21, p22 = primal(state, constants, image, first, x, H, W, threshold, theta)
        right1, right2, _, _, _, _, _, _ = primal(state, constants, image, first, x + 1, H, W, threshold, theta)
        changed = tl.zeros([COLUMNS], tl.float32)
        for k in range(ROWS):
            y = first + k
            inside = (x < W) & (y < H)
            changed += tl.where(inside, change1 * change1 + change2 * change2, 0.0)
            below1, below2, next1, next2, q11, q12, q21, q22 = primal(
                state, constants, image, y + 1, x, H, W, threshold, theta
            )
            corner1, corner2, _, _, _, _, _, _ = primal(state, constants, image, y + 1, x + 1, H, W, threshold, theta)
            u1x, u2x = tl.where(x < W - 1, right1 - u1, 0.0), tl.where(x < W - 1, right2 - u2, 0.0)
            u1y, u2y = tl.where(y < H - 1, below1 - u1, 0.0), tl.where(y < H - 1, below2 - u2, 0.0)
            d1 = 1.0 / (1.0 + step_size * tl.sqrt(u1x * u1x + u1y * u1y))
            d2 = 1.0 / (1.0 + step_size * tl.sqrt(u2x * u2x + u2y * u2y))
            at = y * W + x
            tl.store(to + at, u1, inside)
            tl.store(to + area + at, u2, inside)
            tl.store(to + 2 * area + at, (p11 + step_size * u1x) * d1, inside)
            tl.store(to + 3 * area + at, (p12 + step_size * u1y) * d1, inside)
            tl.store(to + 4 * area + at, (p21 + step_size * u2x) * d2, inside)
            tl.store(to + 5 * area + at, (p22 + step_size * u2y) * d2, inside)
            u1, u2, right1, right2, change1, change2 = below1, below2, corner1, corner2, next1, next2
            p11, p12, p21, p22 = q11, q12, q21, q22
        tl.store(mine + (1 - slot) * NUM_PARTS, tl.sum(changed, axis=0))
        if strip == 0:
            tl.store(count + image, number + 1)


@triton.jit
def judge(partial, slot, active, goal, NUM_PARTS: tl.constexpr, PARTS: tl.constexpr):
    """active[image]: whether the last iteration still changed u by more than the goal."""
    image = tl.program_id(0)
    error = error_of(partial, slot, image, NUM_PARTS, PARTS)
    tl.store(active + image, (error > goal).to(tl.int32))


@triton.jit
def exchange(a, b):
    """Smaller first."""
    return tl.minimum(a, b), tl.maximum(a, b)


@triton.jit
def sorted_five(a, b, c, d, e):
    """Nine exchanges."""
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


@triton.jit
def sorted_column(plane, y, x, H, W, inside):
    """The pixels two above ... two below in order of size; the border is replicated."""
    x = tl.minimum(tl.maximum(x, 0), W - 1)
    return sorted_five(
        tl.load(plane + tl.maximum(y - 2, 0) * W + x, inside, 0.0),
        tl.load(plane + tl.maximum(y - 1, 0) * W + x, inside, 0.0),
        tl.load(plane + y * W + x, inside, 0.0),
        tl.load(plane + tl.minimum(y + 1, H - 1) * W + x, inside, 0.0),
        tl.load(plane + tl.minimum(y + 2, H - 1) * W + x, inside, 0.0),
    )


@triton.jit
def median(state, result, active, H, W, BLOCK: tl.constexpr):
    """5x5 median of u1 (program axis 1 is 2 image) and u2 (2 image + 1): state -> result; a copy where not active."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    image, component = tl.program_id(1) // 2, tl.program_id(1) % 2
    area = H * W
    inside = at < area
    y, x = at // W, at % W
    plane = state + (image * 6 + component) * area
    to = result + (image * 2 + component) * area + at
    if tl.load(active + image) == 0:
        tl.store(to, tl.load(plane + at, inside, 0.0), inside)
    else:
        a0, b0, c0, d0, e0 = sorted_column(plane, y, x - 2, H, W, inside)
        a1, b1, c1, d1, e1 = sorted_column(plane, y, x - 1, H, W, inside)
        a2, b2, c2, d2, e2 = sorted_column(plane, y, x, H, W, inside)
        a3, b3, c3, d3, e3 = sorted_column(plane, y, x + 1, H, W, inside)
        a4, b4, c4, d4, e4 = sorted_column(plane, y, x + 2, H, W, inside)
        _, _, _, a3, a4 = sorted_five(a0, a1, a2, a3, a4)
        _, _, b2, b3, b4 = sorted_five(b0, b1, b2, b3, b4)
        _, c1, c2, c3, _ = sorted_five(c0, c1, c2, c3, c4)
        d0, d1, d2, _, _ = sorted_five(d0, d1, d2, d3, d4)
        e0, e1, _, _, _ = sorted_five(e0, e1, e2, e3, e4)
        tl.store(to, seventh_of_thirteen(a3, a4, b2, b3, b4, c1, c2, c3, d0, d1, d2, e0, e1), inside)


@triton.jit
def seventh_of_thirteen(a3, a4, b2, b3, b4, c1, c2, c3, d0, d1, d2, e0, e1):
    """As in flow.tvl1_cpu.median."""
    a3, b2 = exchange(a3, b2)
    c1, d0 = exchange(c1, d0)
    c1 = tl.maximum(a3, c1)
    b4, c3 = exchange(b4, c3)
    d2, e1 = exchange(d2, e1)
    e1 = tl.minimum(c3, e1)
    p0, p1 = exchange(b2, d0)
    p2, p3 = exchange(c1, b4)
    p4, p5 = exchange(d2, e1)
    p0, p2 = exchange(p0, p2)
    p1, p3 = exchange(p1, p3)
    p0, p4 = exchange(p0, p4)
    p3, p5 = exchange(p3, p5)
    p6 = tl.minimum(tl.maximum(p0, a4), p5)
    p0, p1 = exchange(e0, p1)
    p2, p3 = exchange(p2, p3)
    p4, p6 = exchange(p4, p6)
    p0, p2 = exchange(p0, p2)
    p4 = tl.maximum(p0, p4)
    p1, p3 = exchange(p1, p3)
    p3 = tl.minimum(p3, p6)
    p0, p1 = exchange(b3, p1)
    p2, p3 = exchange(p2, p3)
    p0, p2 = exchange(p0, p2)
    p1, p3 = exchange(p1, p3)
    p4 = tl.minimum(tl.maximum(p0, p4), p3)
    p0, p1 = exchange(d1, p1)
    p2, p4 = exchange(p2, p4)
    p2 = tl.maximum(p0, p2)
    p1 = tl.minimum(p1, p4)
    return tl.maximum(tl.minimum(p1, p2), tl.minimum(tl.maximum(p1, p2), c2))
