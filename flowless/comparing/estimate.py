"""How long the jobs of a comparison take and how much they write: guesses, and what finished jobs say.

The guesses are seconds of one thread of an AMD EPYC with AVX2 (docs/benchmarks.md); a GPU is much faster. As soon as
one job of a kind has ended, the others of its kind are expected to take as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from extract.backbones.base import Backbone
from flowless.graph.job import Job
from flowless.graph.ledger import Ledger

FLOW_S_PER_PIXEL = 1.2e-6  # of a frame: TV-L1, preset compat
FLOW_BYTES_PER_PIXEL = 0.24  # after gzip
DECODE_S = 0.001  # of a frame
CLIP_S_PER_PIXEL = {"nano": 7e-8}  # of all frames of a clip
USUAL_CLIP_S_PER_PIXEL = 1.25e-6  # I3D: a clip of 16 frames of 224x224 in a second
LEARNING = 3.0  # times the forward pass
STUDENT_EPOCHS = 6
RUN_S, RUN_S_PER_MINUTE = 45.0, 1.5  # of a training with its detections: in all, and of each minute of video
RUN_BYTES = 8e6
FPS = 25.0  # of videos that do not say
MOST_MINUTES = 2000.0  # longer sets are not walked through more often


@dataclass(frozen=True)
class Estimate:
    """train_videos, test_videos: names; minutes, frames: of all videos together."""

    train_videos: Sequence[str] = ()
    test_videos: Sequence[str] = ()
    minutes: float = 0.0
    frames: float = 0.0
    training_share: float = 1.0
    backbone: type[Backbone] | None = field(default=None)

    def of_features(self, kind: str) -> tuple[float, float]:
        """(seconds, bytes) of a command over all videos."""
        assert self.backbone is not None
        geometry, window = self.backbone.geometry, self.backbone.window
        if kind == "tvl1":
            solved = geometry.short_side**2 * 4 / 3  # the whole frame, of usual proportions
            return self.frames * solved * FLOW_S_PER_PIXEL, self.frames * geometry.crop**2 * FLOW_BYTES_PER_PIXEL
        clips = self.frames / self.backbone.stride
        networks = 1.35 if kind == "student" else 1.0
        return (
            self.frames * DECODE_S + clips * networks * self._clip_s(window),
            clips * self.backbone.dim * 2 * (2 if kind == "student" else 1),
        )

    def of_student(self) -> tuple[float, float]:
        assert self.backbone is not None
        clips = self.training_share * self.frames / self.backbone.stride
        return clips * STUDENT_EPOCHS * LEARNING * self._clip_s(self.backbone.window), 50e6

    def of_run(self, head: str) -> tuple[float, float]:
        return RUN_S + RUN_S_PER_MINUTE * min(self.minutes, MOST_MINUTES), RUN_BYTES

    def _clip_s(self, window: int) -> float:
        assert self.backbone is not None
        per_pixel = CLIP_S_PER_PIXEL.get(self.backbone.name, USUAL_CLIP_S_PER_PIXEL)
        return window * self.backbone.geometry.crop**2 * per_pixel


def seconds_left(ledger: Ledger, jobs: Iterable[Job]) -> float:
    """Of these jobs, one after the other: as long as others of their kind took, else as guessed."""
    took: dict[str, list[float]] = {}
    for job in ledger.graph.jobs.values():
        if (seconds := ledger.seconds(job)) is not None:
            took.setdefault(job.kind, []).append(seconds)
    means = {kind: sum(values) / len(values) for kind, values in took.items()}
    return sum(means.get(job.kind, job.seconds) for job in jobs)


def in_words(seconds: float) -> str:
    """ "12 s", "8 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
