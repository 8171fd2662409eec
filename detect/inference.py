"""A video's features in, its actions out: the detector, the way back to seconds, suppression.

detector = Detector.load("runs/decomposed/detector.pt")
found = detect(detector, {"rgb": features}, grid, duration_s)
for (start_s, end_s), score, label in zip(*found):
    print(detector.config.classes[label], start_s, end_s, score)
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from detect.detector import Detector, DetectorError
from detect.suppress import suppress
from features.grid import ClipGrid
from features.stopwatch import Stopwatch
from features.store import Store


class Detected(NamedTuple):
    """What happens when, best first."""

    segments: NDArray[np.floating]  # (n, 2) seconds within the video
    scores: NDArray[np.floating]  # (n,)
    labels: NDArray[np.signedinteger]  # (n,) index into the detector's classes


def detect(
    detector: Detector, features: Mapping[str, NDArray[np.floating]], grid: ClipGrid, duration_s: float
) -> Detected:
    """Actions of one whole video: features (T, D_in) by cue, grid of T steps.

    Candidates become seconds by the grid, are cut to the video, suppressed class by class, and the best are kept.
    """
    lengths = {cue: len(features[cue]) for cue in detector.cues}
    if set(lengths.values()) != {len(grid)}:
        raise DetectorError(
            f"features of {lengths} steps on a grid of {len(grid)}: expected as many steps as the grid has"
        )
    if (num_steps := detector.config.resize) is not None:
        features, grid = {cue: resize_steps(x, num_steps) for cue, x in features.items()}, grid.resized(num_steps)
    segments, scores, labels = _candidates(detector, features, len(grid))
    segments = grid.to_seconds(segments).clip(0, duration_s)
    inside = segments[:, 1] > segments[:, 0]
    settings = detector.config.suppression
    if not detector.head.suppress:
        settings = dataclasses.replace(settings, kind="none")
    kept = suppress(segments[inside], scores[inside], labels[inside], settings)
    return Detected(kept.segments, kept.scores, kept.labels)


def _candidates(
    detector: Detector, features: Mapping[str, NDArray[np.floating]], num_steps: int
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.signedinteger]]:
    """Segments in grid steps, scores and labels, unsuppressed; the detector is in evaluation mode meanwhile."""
    device = next(detector.parameters()).device
    training = detector.training
    detector.eval()
    with torch.inference_mode():
        cues = {cue: torch.from_numpy(np.asarray(features[cue], np.float32)).to(device) for cue in detector.cues}
        mask = torch.ones(1, num_steps, dtype=torch.bool, device=device)
        [found] = detector.head.decode(detector({cue: x.T[None] for cue, x in cues.items()}, mask))
    detector.train(training)
    return found.segments.cpu().numpy(), found.scores.cpu().numpy(), found.labels.cpu().numpy()


def check_store(detector: Detector, store: Store, videos: Sequence[str]) -> None:
    """Refuses, before any work, videos without features and features made otherwise than those of training."""
    store.check(videos, detector.cues)
    imported = bool(videos) and all(store.is_imported(videos[0], cue) for cue in detector.cues)
    detector.check_features({cue: store.feature_id(cue) for cue in detector.cues}, str(store.path), imported)


def detect_video(
    detector: Detector, store: Store, video: str, duration_s: float | None = None
) -> tuple[Detected, dict[str, float]]:
    """Detections of a video of a store, and the seconds of compute that reading and the detector took.

    duration_s: of a video whose store doesn't know it.
    """
    watch = Stopwatch(str(next(detector.parameters()).device))
    with watch("read"):
        features = {cue: store.read(video, cue) for cue in detector.cues}
        grid = store.grid(video, detector.cues[0])
        duration_s = duration_s or store.duration_s(video)
    with watch("detector"):
        found = detect(detector, features, grid, duration_s)
    return found, watch.seconds


def resize_steps(features: NDArray[np.floating], num_steps: int) -> NDArray[np.float32]:
    """A (T, D) sequence linearly resized to num_steps, half-pixel centres, as ClipGrid.resized has it (ActivityNet)."""
    x = torch.from_numpy(np.asarray(features, np.float32)).T[None]
    return F.interpolate(x, size=num_steps, mode="linear", align_corners=False)[0].T.numpy()
