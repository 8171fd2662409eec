# mypy: allow-untyped-defs, allow-incomplete-defs
"""The warp of TV-L1 as a Triton kernel: frame 1 and its gradient through the flow, and the linearised residual."""

import triton
import triton.language as tl


@triton.jit
def cubic_weights(t):
    """Keys' kernel with a = -0.75 at the pixels -1, 0, 1 and 2 around a sample at t."""
    s, r = t + 1.0, 1.0 - t
    before = ((-0.75 * s + 3.75) * s - 6.0) * s + 3.0
    at = (1.25 * t - 2.25) * t * t + 1.0
    after = (1.25 * r - 2.25) * r * r + 1.0
    return before, at, after, 1.0 - before - at - after


@triton.jit
def row_of_taps(plane, y, x, w0, w1, w2, w3, H, W):
    """Four neighbours along x, weighted; zero outside the picture."""
    row = (y >= 0) & (y < H)
    at = plane + y * W + x
    total = w0 * tl.load(at - 1, row & (x >= 1) & (x <= W), 0.0)
    total += w1 * tl.load(at, row & (x >= 0) & (x < W), 0.0)
    total += w2 * tl.load(at + 1, row & (x >= -1) & (x < W - 1), 0.0)
    total += w3 * tl.load(at + 2, row & (x >= -2) & (x < W - 2), 0.0)
    return total


@triton.jit
def sample(plane, y, x, v0, v1, v2, v3, w0, w1, w2, w3, H, W):
    """One bicubic sample."""
    total = v0 * row_of_taps(plane, y - 1, x, w0, w1, w2, w3, H, W)
    total += v1 * row_of_taps(plane, y, x, w0, w1, w2, w3, H, W)
    total += v2 * row_of_taps(plane, y + 1, x, w0, w1, w2, w3, H, W)
    total += v3 * row_of_taps(plane, y + 2, x, w0, w1, w2, w3, H, W)
    return total


@triton.jit
def warp(frame0, frame1, state, constants, H, W, FLAT: tl.constexpr, BLOCK: tl.constexpr):
    """Fills constants (B, 4, H, W). frame0: (B, H, W); frame1: (B, 3, H, W), the picture and its two derivatives."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    image = tl.program_id(1)
    area = H * W
    inside = at < area
    u1 = tl.load(state + image * 6 * area + at, inside, 0.0)
    u2 = tl.load(state + (image * 6 + 1) * area + at, inside, 0.0)
    # Samples far outside see only zeros, wherever they are: hold them where indices stay small.
    place_x = tl.minimum(tl.maximum((at % W).to(tl.float32) + u1, -4.0), W + 1.0)
    place_y = tl.minimum(tl.maximum((at // W).to(tl.float32) + u2, -4.0), H + 1.0)
    floor_x, floor_y = tl.floor(place_x), tl.floor(place_y)
    w0, w1, w2, w3 = cubic_weights(place_x - floor_x)
    v0, v1, v2, v3 = cubic_weights(place_y - floor_y)
    x, y = floor_x.to(tl.int32), floor_y.to(tl.int32)
    plane = frame1 + image * 3 * area
    value = sample(plane, y, x, v0, v1, v2, v3, w0, w1, w2, w3, H, W)
    gx = sample(plane + area, y, x, v0, v1, v2, v3, w0, w1, w2, w3, H, W)
    gy = sample(plane + 2 * area, y, x, v0, v1, v2, v3, w0, w1, w2, w3, H, W)
    rho = value - gx * u1 - gy * u2 - tl.load(frame0 + image * area + at, inside, 0.0)
    to = constants + image * 4 * area + at
    tl.store(to, gx, inside)
    tl.store(to + area, gy, inside)
    tl.store(to + 2 * area, rho, inside)
    tl.store(to + 3 * area, -1.0 / tl.maximum(gx * gx + gy * gy, FLAT), inside)
