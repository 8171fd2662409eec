"""Clips whose motion alone tells their target: what a student can learn in seconds."""

import numpy as np

from extract.backbones.nano import Nano
from extract.learning.batches import ClipArrays


def moving_bars(count: int, seed: int = 0) -> ClipArrays:
    """Bars that move to the left or right in any colour; the target tells which way, in every channel and cell."""
    rng = np.random.default_rng(seed)
    clips = np.zeros((count, 16, 64, 64, 3), np.uint8)
    ways = rng.choice([-1, 1], count)
    for clip, way in zip(clips, ways, strict=True):
        clip[:] = rng.integers(0, 100, 3)
        start, colour = rng.integers(16, 48), rng.integers(120, 255, 3)
        for k in range(16):
            clip[k, :, np.arange(start, start + 6) % 64] = colour
            start = (start + 2 * way) % 64
    return ClipArrays(clips, np.repeat(ways[:, None], Nano.dim, 1).astype(np.float32), seed)
