"""TV-L1 optical flow of two frames. The CPU solver, and the choice among the backends.

    from flow.solver import TVL1
    solve = TVL1(preset="compat")
    flow = solve(frame0, frame1)      # (H, W, 2) float32: x then y, in pixels from frame0 to frame1

Frames are gray, (H, W), uint8 or float in 0..1, at least 16 x 16. The result is the same, bit for bit, on every run and
every machine with fused multiply-add. A solver owns its scratch memory: one per thread.
"""

import importlib.util
import sys
from itertools import pairwise
from typing import Protocol

import numpy as np

from flow.tvl1_common.frames import check_frames, to_gray_levels
from flow.tvl1_common.parameters import FlowError, Parameters, choose_parameters
from flow.tvl1_common.pyramid import SMALLEST, level_sizes, taps

BACKENDS = ("auto", "cpu", "cuda", "opencv")


class Solver(Protocol):
    """What every backend is."""

    def __call__(self, frame0: np.ndarray, frame1: np.ndarray) -> np.ndarray:
        """(H, W) twice -> (H, W, 2) float32."""


class TVL1:
    """TV-L1 on one CPU core. `parameters` are the fields of `flow.tvl1_common.parameters.Parameters`."""

    def __init__(self, preset: str = "compat", **parameters: float) -> None:
        from flow.tvl1_cpu import level, resize

        self._level, self._resize = level, resize.resize
        self.parameters: Parameters = choose_parameters(preset, parameters)
        self.iterations: list[list[int]] = []  # of the last pair: per level, coarse to fine, and per warp
        self._sizes: list[tuple[int, int]] = []

    def __call__(self, frame0: np.ndarray, frame1: np.ndarray) -> np.ndarray:
        """(H, W) twice -> (H, W, 2) float32."""
        frame0, frame1 = np.asarray(frame0), np.asarray(frame1)
        check_frames(frame0, frame1)
        self._plan(*frame0.shape)
        self._build_pyramid(self._pictures0, to_gray_levels(frame0, "frame0"))
        self._build_pyramid(self._pictures1, to_gray_levels(frame1, "frame1"))
        self.iterations = []
        for s in reversed(range(len(self._sizes))):
            self._start(s)
            self._solve(s)
        height, width = frame0.shape
        flow = np.empty((height, width, 2), np.float32)
        flow[..., 0] = self._u1[0].reshape(height, width)
        flow[..., 1] = self._u2[0].reshape(height, width)
        return flow

    def _plan(self, height: int, width: int) -> None:
        """Memory for frames of this size, unless it is there."""
        if self._sizes and self._sizes[0] == (height, width):
            return
        step = self.parameters.scale_step
        self._sizes = level_sizes(height, width, self.parameters.scales, step)
        areas = [h * w for h, w in self._sizes]
        self._pictures0, self._pictures1 = ([np.zeros(area, np.float32) for area in areas] for _ in range(2))
        self._u1, self._u2 = ([np.zeros(area, np.float32) for area in areas] for _ in range(2))
        self._buffers = self._level.Workspace(height, width).buffers()
        self._count = np.zeros(self.parameters.warps, np.int64)
        self._down, self._up = [], []  # from level s to s + 1, and back: (columns, weights, rows, weights)
        for (h, w), (less_h, less_w) in pairwise(self._sizes):
            self._down.append((*taps(w, less_w, 1 / step), *taps(h, less_h, 1 / step)))
            self._up.append((*taps(less_w, w, less_w / w), *taps(less_h, h, less_h / h)))

    def _build_pyramid(self, pictures: list[np.ndarray], frame: np.ndarray) -> None:
        """Each level from the one above it, without a blur, as OpenCV does."""
        pictures[0][:] = frame.ravel()
        for s, down in enumerate(self._down):
            self._resize(pictures[s], self._sizes[s][1], *down, np.float32(1), pictures[s + 1])

    def _start(self, s: int) -> None:
        """Zero flow on the coarsest level, elsewhere the flow of the coarser one, enlarged."""
        for u in (self._u1, self._u2):
            if s == len(self._sizes) - 1:
                u[s][:] = 0
            else:
                gain = np.float32(1 / self.parameters.scale_step)
                self._resize(u[s + 1], self._sizes[s + 1][1], *self._up[s], gain, u[s])

    def _solve(self, s: int) -> None:
        p = self.parameters
        height, width = self._sizes[s]
        self._level.solve_level(
            self._pictures0[s], self._pictures1[s], self._u1[s], self._u2[s], width, height,
            np.float32(p.lambda_ * p.theta), np.float32(p.theta), np.float32(p.tau / p.theta), p.epsilon,
            p.warps, p.inner_iterations, p.outer_iterations, p.median, p.block, self._count, *self._buffers,
        )  # fmt: skip
        self.iterations.append(self._count.tolist())


def choose_backend(backend: str = "auto") -> str:
    """auto: cpu where numba is installed, otherwise opencv, with a warning that it is 30 to 50 times slower."""
    if backend not in BACKENDS:
        raise FlowError(f"no backend {backend!r}; there are {', '.join(BACKENDS)}")
    if backend == "cpu" and not importlib.util.find_spec("numba"):
        raise FlowError("backend cpu needs numba: pip install 'flowless[flow]', or take backend opencv")
    if backend != "auto":
        return backend
    if importlib.util.find_spec("numba"):
        return "cpu"
    print(
        "flow: no numba here: TV-L1 runs in OpenCV, 30 to 50 times slower. pip install 'flowless[flow]'",
        file=sys.stderr,
    )
    return "opencv"


def make_solver(backend: str = "auto", preset: str = "compat", **parameters: float) -> Solver:
    """The solver of a backend: auto, cpu, cuda or opencv."""
    backend = choose_backend(backend)
    if backend == "cpu":
        return TVL1(preset, **parameters)
    if backend == "opencv":
        from flow.solver_opencv import OpenCVTVL1

        return OpenCVTVL1(preset, **parameters)
    from flow.tvl1_cuda.solver import CudaTVL1

    return CudaTVL1(preset, None, **parameters)


def warm_up(backend: str = "cpu") -> None:
    """Compiles what the backend needs, or loads it from the cache; about 15 s the first time on a machine."""
    blank = np.zeros((SMALLEST, SMALLEST), np.uint8)
    make_solver(backend)(blank, blank)
