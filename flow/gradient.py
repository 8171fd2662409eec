"""Temporal gradients: how much each pixel changes from one frame to the next, a motion cue that costs next to nothing.

    python -m flow.gradient --videos videos/ --gradient flow/thumos-gradient.h5 --workers 8

Chunks already in the store are skipped: to resume an interrupted run, repeat the command. Gradients are exact
differences of 8-bit frames, kept as int16; `extract.motion --cue gradient` makes them on the fly and needs no store.
"""

import numpy as np


def temporal_gradient(frame0: np.ndarray, frame1: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) twice -> int16 (H, W, 3): frame1 - frame0, in -255..255."""
    if frame0.shape != frame1.shape or frame0.dtype != np.uint8 or frame1.dtype != np.uint8:
        raise ValueError(
            f"temporal gradient of {frame0.shape} {frame0.dtype} and {frame1.shape} {frame1.dtype}: expected two uint8 "
            "frames of one size"
        )
    return frame1.astype(np.int16) - frame0.astype(np.int16)
