"""Detecting in the videos of a store, by this process or by several: the same answers in the same order.

Short videos are seen together; which ones, the videos alone decide, and not how many processes there are.
"""

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
from detect.inference import AT_ONCE, STEPS_AT_ONCE, Detected, Video, detect_several, read_video
from detect.model.detector import Detector, DetectorError
from detect.model.stretches import STRETCH
from detect.windows import Window, grouped
from features.running.stopwatch import Stopwatch
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


class Reading(NamedTuple):
    """A video that was read."""

    name: str
    video: Video
    frames: int
    seconds: float  # that reading took


class Opening(NamedTuple):
    """How a worker process comes by a detector and a store."""

    detector: Path
    device: str
    precision: str
    compiled: bool
    threads: int
    store: Path  # pickled


def together(detector: Detector, store: Store, questions: Sequence[Question]) -> list[list[Question]]:
    """Groups of videos that the detector sees at once: the longest first, neighbours of about one length."""
    rule = detector.head.sample
    steps = {each.video: store.row(each.video, detector.cues[0]).num_steps for each in questions}

    def windows(question: Question) -> list[Window]:
        known = steps[question.video]
        return rule.windows(rule.num_steps(known)) if known > 0 else [Window(0, STEPS_AT_ONCE)]  # alone

    ordered = sorted(questions, key=lambda question: -steps[question.video])
    return grouped(ordered, windows, AT_ONCE, STEPS_AT_ONCE)


def ask(detector: Detector, store: Store, questions: Sequence[Question]) -> list[Answer]:
    """Videos that are seen together; what is wrong with one is its answer, and no other's."""
    readings = [read(detector, store, question) for question in questions]
    given = [reading for reading in readings if isinstance(reading, Reading)]
    watch = Stopwatch(str(detector.device))
    try:
        with watch("detector"):
            found = detect_several(detector, [reading.video for reading in given])
    except COSTS_ONE_VIDEO as error:
        if len(given) == 1:
            return [each if isinstance(each, Answer) else no_answer(each.name, error) for each in readings]
        return [answer for question in questions for answer in ask(detector, store, [question])]
    steps = sum(len(reading.video.grid) for reading in given)
    same = {
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "device": str(detector.device),
        "threads": torch.get_num_threads(),
        "precision": detector.head.precision,
    }
    answers = {}
    for reading, detected in zip(given, found, strict=True):
        share = watch.seconds["detector"] * len(reading.video.grid) / steps
        cost = {"seconds": {"read": reading.seconds, "detector": share}, **same}
        known = {"duration_s": reading.video.duration_s, "frames": reading.frames}
        answers[reading.name] = Answer(reading.name, detected, known | cost)
    return [each if isinstance(each, Answer) else answers[each.name] for each in readings]


def read(detector: Detector, store: Store, question: Question) -> Reading | Answer:
    """What the detector is given of a video, or why it cannot be."""
    watch = Stopwatch(str(detector.device))
    try:
        with watch("read"):
            video = read_video(detector, store, *question)
        frames = int(store.attributes(question.video, detector.cues[0]).get("num_frames", 0))
    except COSTS_ONE_VIDEO as error:  # such as NaN or a damaged part, seen only when the features are read
        return no_answer(question.video, error)
    return Reading(question.video, video, frames, watch.seconds["read"])


def no_answer(video: str, error: Exception) -> Answer:
    return Answer(video, None, {}, {"video": video, "cause": type(error).__name__, "message": str(error)})


def ask_all(detector: Detector, store: Store, groups: Sequence[Sequence[Question]]) -> Iterator[Answer]:
    """All in this process."""
    for group in groups:
        yield from ask(detector, store, group)


def ask_workers(
    workers: int,
    detector: Path,
    device: str,
    precision: str,
    compiled: bool,
    threads: int,
    store: Store,
    groups: Sequence[Sequence[Question]],
) -> Iterator[Answer]:
    """All by so many processes, each with a detector of its own; they end when the iterator does."""
    with tempfile.TemporaryDirectory() as folder:
        pickled = Path(folder) / "store"
        pickled.write_bytes(pickle.dumps(store))
        opening = Opening(detector.absolute(), device, precision, compiled, threads, pickled)
        parallel = joblib.Parallel(
            workers, backend="loky", return_as="generator", batch_size=1, pre_dispatch=2 * workers
        )
        try:
            for answers in parallel(joblib.delayed(_work)(opening, group) for group in groups):
                yield from answers
        finally:
            get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _work(opening: Opening, group: Sequence[Question]) -> list[Answer]:
    return ask(*_opened(opening), group)


@lru_cache(maxsize=1)
def _opened(opening: Opening) -> tuple[Detector, Store]:
    torch.set_num_threads(opening.threads)
    store: Store = pickle.loads(opening.store.read_bytes())  # written by the process that started this one
    return load_detector(opening.detector, opening.device, opening.precision, opening.compiled), store


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
