"""TV-L1 by OpenCV (opencv-contrib): the reference, and the stand-in where numba is missing."""

from typing import Any

import cv2
import numpy as np

from flow.tvl1_common.frames import check_frames, to_gray_levels
from flow.tvl1_common.parameters import FlowError, choose_parameters


class OpenCVTVL1:
    """The same call as `flow.solver.TVL1`, one thread. `block` has no meaning here: every iteration checks the stop."""

    def __init__(self, preset: str = "compat", **parameters: float) -> None:
        if not hasattr(cv2, "optflow"):
            raise FlowError("this OpenCV has no optflow module: pip install opencv-contrib-python-headless")
        cv2.setNumThreads(1)
        self.parameters = choose_parameters(preset, parameters)

    def __call__(self, frame0: np.ndarray, frame1: np.ndarray) -> np.ndarray:
        """(H, W) twice -> (H, W, 2) float32."""
        frame0, frame1 = np.asarray(frame0), np.asarray(frame1)
        check_frames(frame0, frame1)
        p = self.parameters
        # A fresh object for every pair: one that met a small frame keeps its shortened pyramid for good.
        create: Any = cv2.optflow.DualTVL1OpticalFlow_create  # type: ignore[attr-defined]
        solver = create(
            tau=p.tau, lambda_=p.lambda_, theta=p.theta, nscales=p.scales, warps=p.warps, epsilon=p.epsilon,
            innnerIterations=p.inner_iterations, outerIterations=p.outer_iterations, scaleStep=p.scale_step,
            medianFiltering=5 if p.median else 1,
        )  # fmt: skip
        scaled = (to_gray_levels(f, n) / 255 for f, n in ((frame0, "frame0"), (frame1, "frame1")))
        if frame0.dtype == np.uint8 and frame1.dtype == np.uint8:
            return solver.calc(np.ascontiguousarray(frame0), np.ascontiguousarray(frame1), None)
        return solver.calc(*(np.ascontiguousarray(f, dtype=np.float32) for f in scaled), None)
