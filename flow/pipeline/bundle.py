"""TV-L1 on a GPU: many chunks at once. Their pairs, of whatever videos, fill its batches while a thread decodes ahead.

A bundle is one job to `features.running` and many in its report: a chunk is committed as soon as its last pair is
solved, and what goes wrong with a video costs the chunks of that video alone.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from features.running.ahead import ahead
from flow.pipeline.chunk import Chunk, is_there
from flow.pipeline.settings import FlowSettings
from flow.tvl1_common.frames import check_frames
from flow.tvl1_cuda.solver import CudaTVL1

BATCH = 64  # pairs solved together; 200 MB of the GPU at 224 x 224


class BundledChunk(Chunk):
    """A chunk among others, and how far it is."""

    def __init__(self, key: str, payload: dict[str, Any]) -> None:
        super().__init__(payload)
        self.key = key
        self.waiting = 0  # pairs that are read and not solved
        self.all_read = False
        self.error: Exception | None = None  # that ended the reading


class Pair(NamedTuple):
    """Two gray frames of a chunk; its end has none."""

    chunk: BundledChunk
    frames: tuple[np.ndarray, np.ndarray] | None


def compute_bundle(payload: dict[str, Any], beat: Callable[[int], None]) -> dict[str, Any]:
    """Computes and commits those of payload["chunks"] (payloads of `Chunk` by job key) that are not there yet."""
    cv2.setNumThreads(1)
    chunks = [BundledChunk(key, one) for key, one in payload["chunks"].items() if not is_there(one)]
    outcomes, solved = [], 0
    for batch, ended in batches(ahead(_pairs(chunks), 4 * BATCH), BATCH):
        if batch:
            solve_batch(batch)
            solved += len(batch)
            beat(solved)
        outcomes += [_end(chunk) for chunk in ended]
    return {"jobs": outcomes}


def _end(chunk: BundledChunk) -> dict[str, Any]:
    """The outcome of a chunk whose pairs are all solved."""
    outcome = {"key": chunk.key, "video": chunk.payload["video"]}
    if chunk.error is None:
        return {**outcome, "record": {**chunk.commit(), "device": "cuda"}}
    return {**outcome, "cause": type(chunk.error).__name__, "message": str(chunk.error)}


def _pairs(chunks: Iterable[BundledChunk]) -> Iterator[Pair]:
    """All pairs of all chunks; a chunk that cannot be read ends early and keeps the error."""
    for chunk in chunks:
        began = time.thread_time()
        try:
            for frames in pairwise(chunk.frames()):
                check_frames(*frames)
                yield Pair(chunk, frames)
        except Exception as error:
            chunk.error = error
        chunk.watch.seconds["decode"] = time.thread_time() - began
        yield Pair(chunk, None)


def solve_batch(batch: Sequence[Pair]) -> None:
    """Adds their flow to the chunks. All frames are of one size."""
    settings = batch[0].chunk.settings
    began = time.perf_counter()
    frames = [pair.frames for pair in batch if pair.frames is not None]
    flows = _solver(batch[0].chunk.payload["settings"]).solve(
        np.stack([before for before, _ in frames]), np.stack([after for _, after in frames])
    )
    stored = as_stored(flows, settings)
    share = (time.perf_counter() - began) / len(batch)
    for pair, planes in zip(batch, stored, strict=True):
        pair.chunk.add(planes)
        seconds = pair.chunk.watch.seconds
        seconds["flow"] = seconds.get("flow", 0.0) + share


def as_stored(flows: Tensor, settings: FlowSettings) -> np.ndarray:
    """(B, H, W, 2) pixels -> (B, 2, crop, crop) as `flow.pipeline.quantised.quantise` would, where the tensor lies."""
    planes = settings.geometry.crop_center(flows, axes=(1, 2)).permute(0, 3, 1, 2)  # type: ignore[type-var]
    if settings.codec == "float16":
        return planes.half().cpu().numpy()
    bound = settings.bound
    return ((planes.clamp(-bound, bound) + bound) * (255.0 / (2 * bound))).round().to(torch.uint8).cpu().numpy()


def batches(pairs: Iterable[Pair], size: int) -> Iterator[tuple[list[Pair], list[BundledChunk]]]:
    """Pairs by `size`, of frames of one shape, and the chunks that are complete once these are solved."""
    waiting: dict[tuple[int, ...], list[Pair]] = defaultdict(list)
    for chunk, frames in pairs:
        if frames is None:
            chunk.all_read = True
            if chunk.waiting == 0:
                yield [], [chunk]
            continue
        chunk.waiting += 1
        waiting[frames[0].shape].append(Pair(chunk, frames))
        if len(waiting[frames[0].shape]) == size:
            yield _counted(waiting.pop(frames[0].shape))
    for batch in waiting.values():
        yield _counted(batch)


def _counted(batch: list[Pair]) -> tuple[list[Pair], list[BundledChunk]]:
    """The batch, and its chunks of which nothing waits any more and nothing is to come."""
    for pair in batch:
        pair.chunk.waiting -= 1
    chunks = {pair.chunk.key: pair.chunk for pair in batch}
    return batch, [chunk for chunk in chunks.values() if chunk.all_read and chunk.waiting == 0]


@lru_cache(maxsize=1)
def _solver(settings_json: str) -> CudaTVL1:
    settings = FlowSettings.from_json(settings_json)
    return CudaTVL1(**settings.solver_options)
