"""Detecting in the videos of a store, by this process or by several: the same answers in the same order."""

import pickle
import resource
import tempfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import psutil
import torch
from joblib.externals.loky import get_reusable_executor
from numpy.typing import NDArray

from detect.deployed.detectors import load_detector
from detect.inference import Detected, detect_video
from detect.model.detector import Detector, DetectorError
from detect.model.stretches import STRETCH
from features.storage.store import Store, StoreError

COSTS_ONE_VIDEO = (StoreError, DetectorError, OSError, ValueError, LookupError, RuntimeError)
LARGE = 1e9  # bytes for one video from which on people are told


class Question(NamedTuple):
    """A video to be searched."""

    video: str
    duration_s: float | None = None  # of one whose store doesn't know it
    class_scores: NDArray[np.floating] | None = None


class Answer(NamedTuple):
    """What was found in a video and what that cost, or why nothing could be."""

    video: str
    found: Detected | None
    record: dict[str, Any]  # of the report
    failure: dict[str, str] | None = None


class Opening(NamedTuple):
    """How a worker process comes by a detector and a store."""

    detector: Path
    device: str
    precision: str
    threads: int
    store: Path  # pickled


def ask(detector: Detector, store: Store, question: Question) -> Answer:
    """One video; what is wrong with it is part of the answer."""
    video, duration_s, class_scores = question
    try:
        found, seconds = detect_video(detector, store, video, duration_s, class_scores)
        record = {
            "duration_s": duration_s or store.duration_s(video),
            "frames": int(store.attributes(video, detector.cues[0]).get("num_frames", 0)),
            "seconds": seconds,
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "device": str(detector.device),
            "threads": torch.get_num_threads(),
            "precision": detector.head.precision,
        }
    except COSTS_ONE_VIDEO as error:  # such as NaN or a damaged part, seen only when the features are read
        return Answer(video, None, {}, {"video": video, "cause": type(error).__name__, "message": str(error)})
    return Answer(video, found, record)


def ask_all(detector: Detector, store: Store, questions: Sequence[Question]) -> Iterator[Answer]:
    """All in this process."""
    return (ask(detector, store, question) for question in questions)


def ask_workers(
    workers: int, detector: Path, store: Store, questions: Sequence[Question], device: str, precision: str, threads: int
) -> Iterator[Answer]:
    """All by so many processes, each with a detector of its own; they end when the iterator does."""
    with tempfile.TemporaryDirectory() as folder:
        pickled = Path(folder) / "store"
        pickled.write_bytes(pickle.dumps(store))
        opening = Opening(detector.absolute(), device, precision, threads, pickled)
        parallel = joblib.Parallel(
            workers, backend="loky", return_as="generator", batch_size=1, pre_dispatch=2 * workers
        )
        try:
            yield from parallel(joblib.delayed(_work)(opening, question) for question in questions)
        finally:
            get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _work(opening: Opening, question: Question) -> Answer:
    return ask(*_opened(opening), question)


@lru_cache(maxsize=1)
def _opened(opening: Opening) -> tuple[Detector, Store]:
    torch.set_num_threads(opening.threads)
    store: Store = pickle.loads(opening.store.read_bytes())  # written by the process that started this one
    return load_detector(opening.detector, opening.device, opening.precision), store


def memory_of(detector: Detector, steps: int) -> float:
    """Bytes that a video of so many steps takes at most beside the detector, roughly: features, the widths of the
    branches and of the levels, and one stretch at work. Heads that see windows take those of a few windows."""
    config, rule = detector.config, detector.head.sample
    steps = min(rule.num_steps(steps), 16 * rule.length if rule.length else steps)
    channels = sum(config.feature_dims[cue] for cue in detector.cues)
    kept = channels + config.width * (7 + len(config.branches))
    return 4.0 * (steps * kept + min(steps, 2 * STRETCH) * 24 * config.width)


def note_of_memory(detector: Detector, store: Store, videos: Sequence[str], workers: int = 1) -> str:
    """A sentence on the longest video where it takes much memory; "" else."""
    steps = {video: store.row(video, detector.cues[0]).num_steps for video in videos}
    if not steps or detector.device.type != "cpu":
        return ""
    longest = max(steps, key=steps.__getitem__)
    needed, free = memory_of(detector, steps[longest]), psutil.virtual_memory().available
    if needed < LARGE:
        return ""
    at_once = f", in each of {workers} workers" if workers > 1 else ""
    told = f"{longest} has {steps[longest]:,} steps: about {needed / 1e9:.1f} GB of memory{at_once}"
    if needed * workers <= free:
        return f"{told}; {free / 1e9:.1f} GB are free"
    return f"{told}, but {free / 1e9:.1f} GB are free. Fewer --workers, or features of a larger --stride, take less"
