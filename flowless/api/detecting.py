"""Actions detected in features that lie in memory; those in a video file are found by `detect.video.detect_actions`."""

from __future__ import annotations

from pathlib import Path

from detect import inference
from detect.model.detector import Detector, DetectorError
from detect.shown import Action, actions_of
from features.running.devices import choose_device
from flowless.api.arrays import VideoFeatures


def detect(
    features: VideoFeatures, detector: Detector | Path | str, *, min_score: float = 0.0, device: str = "auto"
) -> list[Action]:
    """The actions of one video, best first: (start_s, end_s, label, score), score in 0 to 1.

    detector: what `train` gave, or the path of a detector.pt, which is loaded to `device`.
    DetectorError where it reads streams that are not there, or of another width or making.
    """
    if not isinstance(detector, Detector):
        detector = Detector.load(detector, choose_device(device))
    for cue in detector.cues:
        if cue not in features:
            raise DetectorError(f"this detector reads {' and '.join(detector.cues)}; there are {', '.join(features)}")
        if (width := features[cue].shape[1]) != (wanted := detector.config.feature_dims[cue]):
            raise DetectorError(f"{cue}: {width} numbers a step; the detector was trained on {wanted}")
    known = {cue: made for cue in detector.cues if (made := features.feature_ids.get(cue))}
    if len(known) == len(detector.cues):
        detector.check_features(known, "these features")
    found = inference.detect(detector, features, features.grid, features.duration_s)
    return [action for action in actions_of(found, detector.config.classes) if action.score >= min_score]
