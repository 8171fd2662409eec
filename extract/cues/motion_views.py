"""What the motion cues show of two neighbouring frames; RGB, which needs none of this, is in `embedding`."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from torch import Tensor

import flow.pipeline.store
from features.running.stopwatch import Stopwatch
from flow.decode.geometry import Geometry
from flow.decode.video import Frame, VideoError
from flow.pipeline.difference import temporal_gradient
from flow.pipeline.quantised import dequantise, quantise
from flow.solver import make_solver

BLOCK = 64  # pairs read from a flow store, or solved on a GPU, at a time


class PairsSolver(Protocol):
    """What flow.tvl1_cuda.solver.CudaTVL1 can do beside one pair."""

    def solve(self, frames0: np.ndarray, frames1: np.ndarray) -> Tensor:
        """(B, H, W) gray twice -> (B, H, W, 2)."""


class GradientView:
    """The difference of the two, int16."""

    def __init__(self, geometry: Geometry, watch: Stopwatch) -> None:
        self.geometry, self.watch = geometry, watch

    def __call__(self, previous: Frame, frame: Frame) -> np.ndarray:
        with self.watch("gradient"):
            return temporal_gradient(self.geometry.crop_center(previous.rgb), self.geometry.crop_center(frame.rgb))


class FlowView:
    """TV-L1 between the whole resized frames in pixels, rounded as a flow store rounds it."""

    def __init__(self, geometry: Geometry, watch: Stopwatch, backend: str = "auto", preset: str = "compat") -> None:
        self.geometry, self.watch = geometry, watch
        self.solve = make_solver(backend, preset)
        self.gray: tuple[int, np.ndarray] | None = None  # of the frame seen last, by its index

    def __call__(self, previous: Frame, frame: Frame) -> np.ndarray:
        with self.watch("flow"):
            before = self.gray[1] if self.gray and self.gray[0] == previous.index else _gray(previous)
            after = _gray(frame)
            self.gray = (frame.index, after)
            return _rounded(self.solve(before, after), self.geometry)


class BatchedFlowView:
    """The same on a GPU, which wants many pairs at once: `solved` reads frames ahead and hands them on with flow."""

    def __init__(self, geometry: Geometry, watch: Stopwatch, preset: str = "compat") -> None:
        self.geometry, self.watch = geometry, watch
        self.solver: PairsSolver = make_solver("cuda", preset)  # type: ignore[assignment]
        self.flows: dict[int, np.ndarray] = {}  # by the index of the pair's first frame

    def solved(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """The same frames, each no sooner than the flow that ends with it is there."""
        source = iter(frames)
        previous = next(source, None)
        if previous is None:
            return
        yield previous
        while batch := list(islice(source, BLOCK)):
            with self.watch("flow"):
                grays = [_gray(frame) for frame in (previous, *batch)]
                flows = self.solver.solve(np.stack(grays[:-1]), np.stack(grays[1:])).cpu().numpy()
                for first, flow in zip((previous, *batch), flows, strict=False):
                    self.flows[first.index] = _rounded(flow, self.geometry)
            yield from batch
            previous = batch[-1]

    def __call__(self, previous: Frame, frame: Frame) -> np.ndarray:
        for index in [known for known in self.flows if known < previous.index]:
            del self.flows[index]  # between two clips: nobody asked
        return self.flows[previous.index]


class StoredFlowView:
    """The same flow, computed before by flow.tvl1 and read from its store."""

    def __init__(self, watch: Stopwatch, path: Path, video: str) -> None:
        self.watch, self.path, self.video = watch, path, video
        self.store = flow.pipeline.store.open(path)
        self.num_pairs = self.store.num_pairs(video)
        self.first = 0
        self.block = np.zeros((0, 2, 1, 1), np.float32)

    def __call__(self, previous: Frame, frame: Frame) -> np.ndarray:
        with self.watch("read"):
            pair = previous.index
            if pair >= self.num_pairs:
                raise VideoError(
                    f"{self.video}: {self.path} holds flow of {self.num_pairs} frame pairs, the video has more. "
                    "Repeat flow.tvl1 on this video"
                )
            if not self.first <= pair < self.first + len(self.block):
                self.first = pair
                self.block = self.store.read_pixels(self.video, pair, min(pair + BLOCK, self.num_pairs))
            return np.moveaxis(self.block[pair - self.first], 0, -1)


def _gray(frame: Frame) -> np.ndarray:
    return cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY)


def _rounded(flow: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The crop of a whole frame's flow, as it would come back from a store."""
    return dequantise(quantise(geometry.crop_center(flow)))
