"""What a run of neighbouring steps of a video shows, whatever the cue: decoded, or read from a flow store."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np

import flow.pipeline.store
from extract.cues.cue import RGB, Cue, SourceOptions
from features.running.stopwatch import Stopwatch
from flow.decode.geometry import Geometry
from flow.decode.video import MIN_DECODED, VideoError, read_frames


class Steps(Protocol):
    """Where the steps of videos come from."""

    @property
    def bytes_of_one(self) -> int:
        """Of a step in memory."""

    def __call__(self, video: str, path: Path, start: int, count: int) -> np.ndarray:
        """Steps [start, start + count) of a video: (count, H, W, channels) as the cue decodes them; VideoError."""


@dataclass(frozen=True)
class DecodedSteps:
    """Steps as extraction sees them, from the frames; flow is computed."""

    geometry: Geometry
    cue: Cue = RGB
    decoder: str = "auto"
    min_decoded: float = MIN_DECODED
    fps: float | None = None
    flow_backend: str = "auto"
    flow_preset: str = "compat"

    @property
    def bytes_of_one(self) -> int:
        return bytes_of_a_step(self.cue, self.geometry)

    def __call__(self, video: str, path: Path, start: int, count: int) -> np.ndarray:
        options = SourceOptions(
            video, self.geometry, Stopwatch(), flow_backend=self.flow_backend, flow_preset=self.flow_preset
        )
        view, ahead = self.cue.source(options)
        more = int(self.cue.of_two_frames)
        read = read_frames(
            path,
            start=start,
            stop=start + count + more,
            decoder=self.decoder,
            min_decoded=self.min_decoded,
            fps=self.fps,
        )
        frames = ahead(frame._replace(rgb=self.geometry.resize(frame.rgb)) for frame in read)
        pairs = pairwise(frames) if more else ((frame, frame) for frame in frames)
        made = [view(frame, following) for frame, following in pairs]
        if len(made) < count:
            raise VideoError(
                f"{path}: ended at frame {start + len(made) + more}, but the clips to be learnt from go on until frame "
                f"{start + count + more}. Is it the file that they were counted in? Fetch it again, or leave it out"
            )
        return np.stack(made)


@dataclass(frozen=True)
class StoredFlow:
    """Flow that flow.tvl1 computed, in the geometry of the store; no frame is decoded."""

    store: flow.pipeline.store.FlowStore
    bytes_of_one: int

    def __call__(self, video: str, path: Path, start: int, count: int) -> np.ndarray:
        made = self.store.read_pixels(video, start, start + count)  # StoreError where the video is longer
        return np.ascontiguousarray(np.moveaxis(made, 1, -1))


def bytes_of_a_step(cue: Cue, geometry: Geometry) -> int:
    return cue.channels * np.dtype(cue.dtype).itemsize * geometry.crop**2
