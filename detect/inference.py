"""A video's features in, its actions out: the detector, the way back to seconds, suppression.

detector = Detector.load("runs/decomposed/detector.pt")
found = detect(detector, {"rgb": features}, grid, duration_s)
for (start_s, end_s), score, label in zip(*found):
    print(detector.config.classes[label], start_s, end_s, score)

Short videos are seen together, `detect_several`: of small networks most of the time goes into starting operations.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from detect.heads.base import Candidates
from detect.model.detector import Detector, DetectorError
from detect.naming import named, scores_of_candidates
from detect.suppress import suppress
from detect.windows import Found, Window, in_batches, join
from features.running.stopwatch import Stopwatch
from features.storage.grid import ClipGrid
from features.storage.store import Store

AT_ONCE = 16  # windows, of a video or of several, that the detector sees in one call
STEPS_AT_ONCE = 4096  # of these windows, padding included; a longer window is seen alone


class Video(NamedTuple):
    """What a detector is given of a whole video."""

    features: Mapping[str, NDArray[np.floating]]  # (T, D_in) by cue
    grid: ClipGrid  # of T steps
    duration_s: float
    class_scores: NDArray[np.floating] | None = None  # (C,) in [0, 1], in place of the detector's own classifier


class Detected(NamedTuple):
    """What happens when, best first."""

    segments: NDArray[np.floating]  # (n, 2) seconds within the video
    scores: NDArray[np.floating]  # (n,)
    labels: NDArray[np.signedinteger]  # (n,) index into the detector's classes


def detect(
    detector: Detector,
    features: Mapping[str, NDArray[np.floating]],
    grid: ClipGrid,
    duration_s: float,
    class_scores: NDArray[np.floating] | None = None,
) -> Detected:
    """Actions of one whole video: features (T, D_in) by cue, grid of T steps.

    class_scores: (C,) in [0, 1] of the whole video, in place of the detector's own classifier, where its head finds
    actions without naming them.
    The video is seen in the windows that the head needs (`head.sample`), and what is found in them joined. Candidates
    become seconds by the grid, are cut to the video, suppressed class by class, and the best are kept.
    """
    return detect_several(detector, [Video(features, grid, duration_s, class_scores)])[0]


def detect_several(detector: Detector, videos: Sequence[Video]) -> list[Detected]:
    """The same of several videos, short ones together: equal to rounding, and in a fraction of the time."""
    for video in videos:
        lengths = {cue: len(video.features[cue]) for cue in detector.cues}
        if set(lengths.values()) != {len(video.grid)}:
            raise DetectorError(
                f"features of {lengths} steps on a grid of {len(video.grid)}: expected as many steps as the grid has"
            )
    rule = detector.head.sample
    sequences = [{cue: rule.sequence(video.features[cue]) for cue in detector.cues} for video in videos]
    grids = [rule.grid(video.grid) for video in videos]
    found = candidates(detector, sequences, [rule.windows(len(grid)) for grid in grids])
    return [_detected(detector, *each) for each in zip(videos, grids, found, strict=True)]


def _detected(detector: Detector, video: Video, grid: ClipGrid, found: Found) -> Detected:
    """Candidates in steps of the grid as what happens in the video."""
    found = with_classes(detector, found, video.class_scores)
    assert found.labels is not None
    segments = grid.to_seconds(found.segments).clip(0, video.duration_s)
    inside = segments[:, 1] > segments[:, 0]
    kept = suppress(segments[inside], found.scores[inside], found.labels[inside], detector.suppression)
    return Detected(kept.segments, kept.scores, kept.labels)


def candidates(
    detector: Detector, sequences: Sequence[Mapping[str, NDArray[np.floating]]], windows: Sequence[Sequence[Window]]
) -> list[Found]:
    """What the head finds in the windows of each of several sequences (T, D_in) by cue, joined; in grid steps, not
    suppressed.

    The detector is in evaluation mode meanwhile.
    """
    device = detector.device
    training = detector.training
    detector.eval()
    found: list[Found] = []
    pieces = [(x, window) for x, each in zip(sequences, windows, strict=True) for window in each]
    with torch.inference_mode():
        for cues, mask in in_batches(pieces, detector.head.sample, AT_ONCE, STEPS_AT_ONCE):
            predictions = detector({cue: x.to(device) for cue, x in cues.items()}, mask.to(device))
            found += map(as_found, detector.head.decode(predictions))
    detector.train(training)
    settings = detector.suppression
    once = settings.iou if settings.kind == "none" else None
    pieces_found = iter(found)
    return [join([next(pieces_found) for _ in each], each, once) for each in windows]


def as_found(found: Candidates) -> Found:
    """Candidates of a head, from whatever device, as arrays."""
    labels = None if found.labels is None else found.labels.cpu().numpy()
    classes = None if found.classes is None else found.classes.cpu().numpy()
    return Found(found.segments.cpu().numpy(), found.scores.cpu().numpy(), labels, classes)


def with_classes(detector: Detector, found: Found, class_scores: NDArray[np.floating] | None) -> Found:
    """Candidates with the labels that the head gave them, or with the classes that class_scores say, or the detector's
    own classifier, where the head gives none.

    DetectorError for labels, or scores of classes, where the head's are not expected to be.
    """
    name, says = detector.config.head, detector.head.names_classes
    if (found.labels is not None) is not says:
        found_some, declared = ("none", "names") if says else ("some", "does not name")
        raise DetectorError(f"the head {name!r} declares that it {declared} classes, but its labels are {found_some}")
    if class_scores is not None:
        check_class_scores(detector)
        if np.shape(class_scores) != (len(detector.config.classes),):
            raise DetectorError(
                f"class_scores of shape {np.shape(class_scores)}: expected one for each of the detector's "
                f"{len(detector.config.classes)} classes"
            )
        return named(found, np.asarray(class_scores))
    if says:
        return found
    assert found.classes is not None, "a detector has a classifier beside a head that names no classes"
    return named(found, scores_of_candidates(found.segments, found.classes))


def check_class_scores(detector: Detector) -> None:
    """Refuses scores of classes for a head that names classes itself."""
    if detector.head.names_classes:
        remedy = ""
        if hasattr(detector.head.config, "names_classes"):
            remedy = "; a detector trained with --set head.names_classes=false takes them"
        raise DetectorError(
            f"the head {detector.config.head!r} names classes itself: scores of classes are not expected{remedy}"
        )


def check_store(detector: Detector, store: Store, videos: Sequence[str]) -> None:
    """Refuses, before any work, videos without features and features made otherwise than those of training."""
    store.check(videos, detector.cues)
    imported = bool(videos) and all(store.is_imported(videos[0], cue) for cue in detector.cues)
    detector.check_features({cue: store.feature_id(cue) for cue in detector.cues}, str(store.path), imported)


def read_video(
    detector: Detector,
    store: Store,
    video: str,
    duration_s: float | None = None,
    class_scores: NDArray[np.floating] | None = None,
) -> Video:
    """A video of a store as the detector is given it.

    duration_s: of a video whose store doesn't know it; class_scores: as of `detect`.
    """
    features = {cue: store.read(video, cue) for cue in detector.cues}
    return Video(features, store.grid(video, detector.cues[0]), duration_s or store.duration_s(video), class_scores)


def detect_video(detector: Detector, store: Store, video: str) -> tuple[Detected, dict[str, float]]:
    """Detections of a video of a store, and the seconds of compute that reading and the detector took."""
    watch = Stopwatch(str(detector.device))
    with watch("read"):
        given = read_video(detector, store, video)
    with watch("detector"):
        [found] = detect_several(detector, [given])
    return found, watch.seconds
