"""Cues: what a clip can show, as values. A stream of a store (rgb, rgb_motion, flow) shows one of them.

    CUES["flow"].channels                      # 2
    source = CUES["flow"].source(SourceOptions("video_1", geometry, watch))
    step = source.view(frame_k, frame_k_plus_1)    # (H, W, 2)

A cue of one frame can be had from any video; a motion cue needs two, and flow costs more than any network. The code
that computes motion is imported when a motion cue is looked at: detecting from RGB loads no code of optical flow.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from extract.cues.clips import View
from features.files.streams import shows
from features.running.stopwatch import Stopwatch
from flow.decode.geometry import Geometry
from flow.decode.video import Frame

FLOW_BOUND = 20.0  # pixels; flow is stored clipped to it
Scale = Callable[[Tensor], Tensor]  # float values as decoded -> as a network was trained on


class SourceOptions(NamedTuple):
    """What a source needs to know: which video, cut out how, and where flow comes from."""

    video: str  # id
    geometry: Geometry
    watch: Stopwatch
    flow_store: Path | None = None  # None: compute flow
    flow_backend: str = "auto"
    flow_preset: str = "compat"


class Source(NamedTuple):
    """How a clip of a cue is seen from two frames, and what must pass over the frames before."""

    view: View
    ahead: Callable[[Iterable[Frame]], Iterable[Frame]] = iter


@dataclass(frozen=True)
class Cue:
    """What a clip shows."""

    name: str
    channels: int
    dtype: type[np.generic]  # as decoded
    scale: Scale  # to [-1, 1], as I3D was trained
    source: Callable[[SourceOptions], Source]
    of_two_frames: bool = False  # motion
    of_flow: bool = False  # TV-L1 is behind it

    def names(self, stream: str) -> bool:
        """Whether a stream has a name of this cue: "rgb" and "rgb_motion" are streams of the cue rgb."""
        return shows(stream, self.name)

    def last(self, view: View) -> View:
        """What the step of a video's last frame shows, of the frame before and itself: its last motion once more."""
        return view if self.of_two_frames else lambda before, last: view(last, last)


def show_rgb(geometry: Geometry) -> View:
    """RGB shows the first of two neighbouring frames."""
    return lambda previous, frame: geometry.crop_center(previous.rgb)


def _gradient(options: SourceOptions) -> Source:
    from extract.cues.motion_views import GradientView

    return Source(GradientView(options.geometry, options.watch))


def _flow(options: SourceOptions) -> Source:
    """From a store, from a GPU that solves many pairs at once, or pair by pair: the same values."""
    from extract.cues.motion_views import BatchedFlowView, FlowView, StoredFlowView

    if options.flow_store is not None:
        return Source(StoredFlowView(options.watch, options.flow_store, options.video))
    if options.flow_backend == "cuda":
        batched = BatchedFlowView(options.geometry, options.watch, options.flow_preset)
        return Source(batched, batched.solved)
    return Source(FlowView(options.geometry, options.watch, options.flow_backend, options.flow_preset))


RGB = Cue("rgb", 3, np.uint8, lambda x: x * (2 / 255) - 1, lambda options: Source(show_rgb(options.geometry)))
FLOW = Cue("flow", 2, np.float32, lambda x: x / FLOW_BOUND, _flow, of_two_frames=True, of_flow=True)
GRADIENT = Cue("gradient", 3, np.int16, lambda x: x / 255.0, _gradient, of_two_frames=True)
CUES: dict[str, Cue] = {cue.name: cue for cue in (RGB, FLOW, GRADIENT)}
MOTION_CUES = tuple(name for name, cue in CUES.items() if cue.of_two_frames)
