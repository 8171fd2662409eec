"""Scores of classes from elsewhere, one per video, for detectors whose head finds actions without naming them.

    {"video_test_0000004": {"BaseballPitch": 0.93, "GolfSwing": 0.02}, ...}

Classes that a video doesn't list score 0 there. Published detectors of this kind take such scores from classifiers like
UntrimmedNet, which watched optical flow too: what is detected with them isn't detected from RGB alone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from command.errors import shown
from detect.model.detector import DetectorError
from evaluate.files.reading import is_number, json_of

NAMED = 5  # videos or classes in a message
WARNING = (
    "scores of classes from elsewhere often come from classifiers that saw optical flow; if these do, what is detected "
    "with them is not detected from RGB alone"
)


def read_class_scores(path: Path, classes: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """(C,) of every video of the file, in the order of `classes`.

    DetectorError, naming file, video and class, for what is no score in [0, 1], and for a class that no video lists:
    under another name it would never be detected.
    """
    said = json_of(path, DetectorError)
    if not isinstance(said, dict) or not all(isinstance(scores, dict) for scores in said.values()):
        raise DetectorError(f'{path}: expected {{"video": {{"class": score, ...}}, ...}}')
    for video, scores in said.items():
        for name, score in scores.items():
            if not is_number(score) or not 0 <= score <= 1:
                raise DetectorError(f"{path}: {video}: {name}: {shown(score)} is no score: expected 0 to 1")
    listed = {name for scores in said.values() for name in scores}
    if unlisted := [name for name in classes if name not in listed]:
        raise DetectorError(
            f"{path}: lists no score for {_some(unlisted)} of the detector's classes; name them as the detector does, "
            f"and write 0 where a class is in no video. The file names {_some(sorted(listed))}"
        )
    return {video: np.array([float(scores.get(name, 0)) for name in classes]) for video, scores in said.items()}


def check_videos(path: Path, scores: Mapping[str, NDArray[np.float64]], videos: Sequence[str]) -> None:
    """Refuses, before any work, videos without scores."""
    if without := [video for video in videos if video not in scores]:
        raise DetectorError(
            f"{path}: {len(without)} of {len(videos)} videos have no scores of classes: {_some(without)}. Add them, "
            "name the others with --videos, or leave --class-scores out: the detector has a classifier of its own"
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
