"""Whether features reach as far as their videos last: what gives away a wrong stride, rate or axis.

    fit.remark([Span("v1", num_steps=60, width=32, window=16, stride=4, fps=25.0, duration_s=19.8)], "--stride")

No error: some features do end early. But T steps that end at half of the annotated duration are nearly always half as
far apart as they should be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from features.files.layout import StoreError
from features.storage.store import Store

EARLY, LATE = 0.75, 1.25  # of the duration


class Span(NamedTuple):
    """Where the features of a video end, and where the video does."""

    video: str
    num_steps: int
    width: int  # columns: the number of steps if the array is transposed
    window: int
    stride: int
    fps: float
    duration_s: float

    def end_s(self, num_steps: int) -> float:
        """The end of the last clip."""
        return ((num_steps - 1) * self.stride + self.window) / self.fps

    def fits(self, num_steps: int) -> bool:
        """Whether so many steps reach about as far as the video; one clip more or less is nobody's error."""
        clip_s = (self.stride + self.window) / self.fps
        end_s = self.end_s(num_steps)
        early = end_s < EARLY * self.duration_s and self.duration_s - end_s > clip_s
        late = end_s > LATE * self.duration_s and end_s - self.duration_s > clip_s
        return not (early or late)


def remark(spans: Sequence[Span], options: str = "--stride or --fps") -> str:
    """One sentence on the videos whose features do not fit their duration, with what would; empty without such.

    options: what sets stride and rate where the sentence is printed.
    """
    wrong = [span for span in spans if not span.fits(span.num_steps)]
    if not wrong:
        return ""
    first = wrong[0]
    text = (
        f"{len(wrong)} of {len(spans)} videos: features end at {first.end_s(first.num_steps):.1f} s of "
        f"{first.duration_s:.1f} s ({first.video})"
    )
    if len(wrong) > 1 and 2 * len(wrong) > len(spans) and all(span.fits(span.width) for span in wrong):
        return (
            f"{text}: they look transposed, expected (T, D). features.importer --layout DT turns them. Else: wrong "
            f"{options}?"
        )
    strides = [(s.duration_s * s.fps - s.window) / (s.num_steps - 1) for s in wrong if s.num_steps > 1]
    hint = ""
    if 2 * len(wrong) > len(spans) and strides:
        stride = max(1, round(float(np.median(strides))))
        if all(span._replace(stride=stride).fits(span.num_steps) for span in wrong):
            hint = f" A stride of {stride} frames would fit."
    return f"{text}: wrong {options}?{hint}"


def misfit(store: Store, durations: Mapping[str, float], stream: str = "rgb", options: str = "stride or fps") -> str:
    """The remark on the videos of a store whose durations are known (seconds); empty if all fit or none can be told."""
    spans = []
    for video, duration_s in durations.items():
        if video not in store.videos or stream not in store.streams(video) or not duration_s > 0:
            continue
        try:
            row, attributes = store.row(video, stream), store.attributes(video, stream)
            if not {"window", "stride", "fps"} <= set(attributes):
                continue
            width = store.array(video, stream, "features", 0, 1).shape[1]
        except StoreError:
            continue  # whoever reads this video will say so
        clips = int(attributes["window"]), int(attributes["stride"]), float(attributes["fps"])
        spans.append(Span(video, row.num_steps, width, *clips, duration_s))
    return remark(spans, options)
