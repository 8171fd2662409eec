"""Commands that see every package, and what `import flowless` offers to Python: of the packages none imports this one.

    import flowless
    detector = flowless.train(features, annotations)         # of arrays in memory
    actions = flowless.detect_video("video.mp4", detector)

A name is loaded when it is first used: the import itself takes no library. docs/python.md shows each.
"""

import importlib
from typing import TYPE_CHECKING, Any

import command.loading  # noqa: F401

if TYPE_CHECKING:
    from command.errors import FlowlessError
    from detect.model.detector import Detector
    from detect.shown import Action
    from evaluate.files.annotations import read_annotations
    from evaluate.metrics.scores import Score
    from features.storage.store import open as open_features
    from flowless.api.arrays import VideoFeatures, read_features
    from flowless.api.detecting import detect
    from flowless.api.drawing import plot_timeline
    from flowless.api.scoring import score
    from flowless.api.training import train
    from flowless.deployment.video import detect_actions as detect_video

_PLACES = {  # name -> where it lies, and what it is called there
    "Action": ("detect.shown", "Action"),
    "Detector": ("detect.model.detector", "Detector"),
    "FlowlessError": ("command.errors", "FlowlessError"),
    "Score": ("evaluate.metrics.scores", "Score"),
    "VideoFeatures": ("flowless.api.arrays", "VideoFeatures"),
    "detect": ("flowless.api.detecting", "detect"),
    "detect_video": ("flowless.deployment.video", "detect_actions"),
    "open_features": ("features.storage.store", "open"),
    "plot_timeline": ("flowless.api.drawing", "plot_timeline"),
    "read_annotations": ("evaluate.files.annotations", "read_annotations"),
    "read_features": ("flowless.api.arrays", "read_features"),
    "score": ("flowless.api.scoring", "score"),
    "train": ("flowless.api.training", "train"),
}

__all__ = [
    "Action",
    "Detector",
    "FlowlessError",
    "Score",
    "VideoFeatures",
    "detect",
    "detect_video",
    "open_features",
    "plot_timeline",
    "read_annotations",
    "read_features",
    "score",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'flowless' has no attribute {name!r}")
    module, there = _PLACES[name]
    found = globals()[name] = getattr(importlib.import_module(module), there)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
