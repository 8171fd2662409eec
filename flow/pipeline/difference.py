"""The difference of two neighbouring frames, the motion cue that costs next to nothing."""

import numpy as np


def temporal_gradient(frame0: np.ndarray, frame1: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) twice -> int16 (H, W, 3): frame1 - frame0, in -255..255."""
    if frame0.shape != frame1.shape or frame0.dtype != np.uint8 or frame1.dtype != np.uint8:
        raise ValueError(
            f"temporal gradient of {frame0.shape} {frame0.dtype} and {frame1.shape} {frame1.dtype}: expected two uint8 "
            "frames of one size"
        )
    return np.subtract(frame1, frame0, dtype=np.int16)
