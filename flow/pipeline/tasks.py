"""What flow.tvl1 and flow.gradient do to one chunk of a video, in the child process that a watchdog looks after."""

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from flow.pipeline.chunk import Chunk
from flow.pipeline.difference import temporal_gradient
from flow.pipeline.settings import FlowSettings
from flow.pipeline.store import quantise
from flow.solver import make_solver

PairTask = Callable[[np.ndarray, np.ndarray], np.ndarray]  # two resized frames -> the planes to be stored (P, H, W)


def compute_chunk(payload: dict[str, Any], beat: Callable[[int], None]) -> dict[str, Any]:
    """Computes and commits the pairs of one chunk, pair by pair; payload and record are those of `Chunk`."""
    cv2.setNumThreads(1)
    chunk = Chunk(payload)
    for before, after in pairwise(chunk.watch.iterate("decode", chunk.frames(beat))):
        with chunk.watch(chunk.settings.cue):
            chunk.add(_pair_task(payload["settings"])(before, after))
        beat(chunk.count)
    return chunk.commit()


@lru_cache(maxsize=1)
def _pair_task(settings_json: str) -> PairTask:
    """Made once per process: a solver keeps its memory from pair to pair."""
    settings = FlowSettings.from_json(settings_json)
    if settings.cue == "gradient":
        return lambda before, after: temporal_gradient(before, after).transpose(2, 0, 1)
    solve = make_solver(settings.backend, **settings.solver_options)
    geometry = settings.geometry

    def flow_of(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        # The whole frame is solved and then cropped, so that the border of the crop has real neighbours.
        planes = geometry.crop_center(solve(before, after)).transpose(2, 0, 1)
        return planes.astype(np.float16) if settings.codec == "float16" else quantise(planes, settings.bound)

    return flow_of
