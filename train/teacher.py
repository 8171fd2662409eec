"""Frozen teachers, asked about the very samples that a student learns from.

Where its head can be cropped a teacher is run once per video: its answer to the whole of it is cached, and training
samples are cut from that. Else it is run on every training sample.

A motion teacher is mimicked by its motion branch and its predictions, a joint teacher by its predictions.
The cache is a stream "teacher-<fingerprint>" of the feature store, or a store of its own in the run folder where the
features cannot be written to (a directory of .npy, a single file, a read-only disk).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import features
from detect.heads import HEADS
from detect.model.detector import Detector, DetectorConfig, settings_of
from features.storage.store import Part, Store, build_index, fingerprint, is_done, write_part
from train.config import TrainingError
from train.data.dataset import TeacherView
from train.data.memory import Memory
from train.data.videos import Answer, read_steps

LAYOUT = 2  # of a cached part: raised when its arrays change their meaning
ROLES = {"motion": "teacher", "joint": "joint_teacher"}  # and the field of the configuration that names its detector


class CachedTeacher:
    """video -> branch features (D, T) and predictions (B = 1) of the whole video, from the cache.

    Without `mimicked` there are no features: a joint teacher's branches are nobody's example.
    """

    def __init__(self, store: Store, stream: str, memory: Memory, mimicked: bool) -> None:
        self.store, self.stream, self.memory, self.mimicked = store, stream, memory, mimicked

    def __call__(self, video: str) -> Answer:
        key = (str(self.store.path), self.stream, video)
        arrays = self.memory.keep(key, lambda: self.store.arrays(video, self.stream))
        predictions = {
            name.removeprefix("prediction."): torch.from_numpy(array)
            for name, array in arrays.items()
            if name.startswith("prediction.")
        }
        return torch.from_numpy(arrays["branch"]) if self.mimicked else None, predictions


class LiveTeacher:
    """Cues (B, D_in, T) and mask of training samples -> what a frozen teacher makes of them, run each time.

    `role` as of a cached one: a joint teacher's branches are nobody's example.
    """

    def __init__(self, detector: Detector, device: torch.device, role: str = "motion") -> None:
        self.detector = detector.to(device).eval().requires_grad_(False)
        self.device, self.cues = device, detector.cues
        self.branch = motion_branch(detector.config.branches) if role == "motion" else None

    @torch.no_grad()
    def __call__(self, cues: Mapping[str, Tensor], mask: Tensor) -> TeacherView:
        mask = mask.to(self.device)
        branches = self.detector.branch_features({cue: x.to(self.device) for cue, x in cues.items()}, mask)
        features = None if self.branch is None else branches[self.branch]
        predictions = self.detector.head.for_student(self.detector.predict_from(branches, mask))
        return TeacherView(features, predictions)


def motion_branch(branches: Sequence[str]) -> int | None:
    """Which branch of a teacher a student can mimic: the only one, or the only one that does not read plain RGB."""
    motion = [place for place, stream in enumerate(branches) if stream != "rgb"]
    if len(branches) == 1:
        return 0
    return motion[0] if len(motion) == 1 else None


def cache_teacher(
    path: Path,
    detector: Detector,
    store: Store,
    videos: Sequence[str],
    cache: Path,
    memory: Memory,
    device: torch.device,
    role: str = "motion",
) -> CachedTeacher:
    """Run a teacher on the videos without a cached answer. `path` is its detector.pt, `cache` from `cache_of`."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    stream = f"teacher-{digest[:16]}"
    wanted = {video: answer_id(digest, store, video, detector.cues) for video in videos}
    missing = [video for video in videos if not is_done(cache, video, stream, wanted[video])]
    detector = detector.to(device).eval().requires_grad_(False)
    for video in tqdm(missing, desc=f"{role} teacher", unit="video", mininterval=1.0, disable=not missing):
        read = {cue: read_steps(store, video, cue, detector.head.sample) for cue in detector.cues}
        arrays = answer(detector, read, device)
        write_part(cache, Part(video, stream, arrays, {"fingerprint": wanted[video], "teacher": str(path)}))
    if missing:
        build_index(cache)
    mimicked = role == "motion" and motion_branch(detector.config.branches) is not None
    return CachedTeacher(features.open(cache), stream, memory, mimicked)


def answer_id(digest: str, store: Store, video: str, cues: Sequence[str]) -> str:
    """Changes with the teacher's file and with the features it is shown."""
    shown = [store.attributes(video, cue)["fingerprint"] for cue in cues]
    return fingerprint({"teacher": digest, "layout": LAYOUT, "features": shown})


@torch.no_grad()
def answer(detector: Detector, read: Mapping[str, np.ndarray], device: torch.device) -> dict[str, np.ndarray]:
    """Predictions for a video's features (T, D_in) by stream, and those of the motion branch where there is one.

    These are rounded to float16 (a thousandth of their size).
    """
    cues = {cue: torch.from_numpy(x.astype(np.float32)).T[None].to(device) for cue, x in read.items()}  # (1, D_in, T)
    mask = torch.ones(1, len(read[detector.cues[0]]), dtype=torch.bool, device=device)
    branches: list[Tensor] = detector.branch_features(cues, mask)
    predictions = detector.head.for_student(detector.predict_from(branches, mask))
    arrays = {f"prediction.{name}": value.cpu().numpy() for name, value in predictions.items()}
    which = motion_branch(detector.config.branches)
    return arrays if which is None else {"branch": branches[which][0].cpu().numpy().astype(np.float16), **arrays}


def cache_of(store: Store, folder: Path, name: str = "teacher") -> Path:
    """The store itself where it is an index that can be added to, else a store of the run's own."""
    path = Path(store.path)
    if path.is_file() and path.with_suffix(".parts").is_dir() and os.access(path.parent, os.W_OK):
        return path
    return folder / f"{name}.h5"


def check_teacher(
    path: Path, teacher: DetectorConfig, student: DetectorConfig, store: Store, role: str = "motion"
) -> None:
    """Refuse a teacher that the student cannot be compared with, with the command that makes one it can."""
    cues = tuple(dict.fromkeys(teacher.branches))
    remedy = (
        f"Train one: python -m train.run --method supervised --cues {','.join(cues)} --head {student.head} ... "
        f"--out runs/{'-'.join(cues)}"
    )
    mimicked = role == "motion" and motion_branch(teacher.branches) is not None
    for what, theirs, ours in (
        ("classes", tuple(teacher.classes), tuple(student.classes)),
        ("head", teacher.head, student.head),
        ("settings of the head", *differing_settings(teacher, student)),
        ("width", teacher.width if mimicked else student.width, student.width),
    ):
        if theirs != ours:
            raise TrainingError(
                f"{path}: teacher and student differ in {what}: {theirs} and {ours}. They must agree to be compared "
                f"step by step: give the student the teacher's settings, or the teacher the student's. {remedy}"
            )
    for cue in cues:
        expected, found = teacher.feature_ids.get(cue), store.feature_id(cue)
        if expected and found and expected != found:
            raise TrainingError(
                f"{path}: learned from {cue} features {expected}, the store holds {found}, made otherwise. {remedy}"
            )


def differing_settings(one: DetectorConfig, other: DetectorConfig) -> list[dict[str, Any]]:
    """What the heads of two detectors are set to, without what they agree on and what predictions don't depend on."""
    if one.head != other.head:
        return [{}, {}]
    apart = HEADS[one.head].of_training | {"width"}
    settings = [asdict(settings_of(config, config.head_config)) for config in (one, other)]
    names = [name for name in settings[0] if name not in apart and settings[0][name] != settings[1][name]]
    return [{name: values[name] for name in names} for values in settings]
