"""The image pyramid of TV-L1: the sizes of its levels, and what each pixel of a resized picture is made of.

Bilinear by OpenCV's rule, without a blur. Ours and not cv2.resize, because that one differs between releases and
processors in the last bit, and the flow with it.
"""

import numpy as np

SMALLEST = 16  # pixels: no level is narrower or lower


def level_sizes(height: int, width: int, scales: int, scale_step: float) -> list[tuple[int, int]]:
    """(height, width) from the finest level to the coarsest; fewer than `scales` where the next would be too small."""
    sizes = [(height, width)]
    while len(sizes) < scales:
        height, width = round(height * scale_step), round(width * scale_step)
        if min(height, width) < SMALLEST:
            break
        sizes.append((height, width))
    return sizes


def taps(from_size: int, to_size: int, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Pixel i of the result lies between pixels index[i] and index[i] + 1, weight[i] of the way.

    ratio: source pixels per pixel of the result; pixel centres lie at .5. Returns int64 and float32.
    """
    place = ((np.arange(to_size) + 0.5) * ratio - 0.5).astype(np.float32)
    index = np.floor(place).astype(np.int64)
    weight = place - index.astype(np.float32)
    outside = (index < 0) | (index >= from_size - 1)
    return np.clip(index, 0, from_size - 1), np.where(outside, np.float32(0), weight).astype(np.float32)
