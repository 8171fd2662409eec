"""What flow.tvl1 and flow.gradient do to one chunk of a video, in the child process that a watchdog looks after."""

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Any

import cv2

from flow.pipeline.chunk import Chunk
from flow.pipeline.motions import MOTIONS, PairTask
from flow.pipeline.settings import FlowSettings


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
    return MOTIONS[settings.cue].task(settings)
