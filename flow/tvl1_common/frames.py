"""The two gray frames that every solver takes: checked, and as gray levels."""

import numpy as np

from flow.tvl1_common.parameters import FlowError
from flow.tvl1_common.pyramid import SMALLEST


def check_frames(frame0: np.ndarray, frame1: np.ndarray) -> None:
    """FlowError for anything but two gray frames of one size."""
    for name, frame in (("frame0", frame0), ("frame1", frame1)):
        if frame.ndim != 2:
            raise FlowError(
                f"{name}: shape {frame.shape}, but TV-L1 takes gray frames (H, W): cv2.cvtColor to gray first"
            )
        if frame.dtype != np.uint8 and not np.issubdtype(frame.dtype, np.floating):
            raise FlowError(f"{name}: {frame.dtype}, expected uint8, or float in 0..1")
    if frame0.shape != frame1.shape:
        raise FlowError(f"frame0 is {frame0.shape} and frame1 {frame1.shape}: resize both to one size")
    if min(frame0.shape) < SMALLEST:
        raise FlowError(f"frames of {frame0.shape}: TV-L1 needs at least {SMALLEST} x {SMALLEST} pixels; enlarge them")


def to_gray_levels(frame: np.ndarray, name: str) -> np.ndarray:
    """(H, W) float32 in 0..255."""
    if frame.dtype == np.uint8:
        return frame.astype(np.float32)
    least, most = float(frame.min()), float(frame.max())
    if not (least >= 0 and most <= 1):  # also true of NaN
        problem = "holds NaN" if np.isnan(frame).any() else f"goes from {least:g} to {most:g}"
        raise FlowError(
            f"{name}: {problem}, but float frames lie in 0..1; divide by their largest value, or give uint8"
        )
    return frame.astype(np.float32) * np.float32(255)
