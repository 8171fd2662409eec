"""The frozen teacher, run once per video: what it made of a whole video is cached; training samples are cut from that.

The cache is a stream "teacher-<fingerprint>" of the feature store, or a store of its own in the run folder where the
features cannot be written to (a directory of .npy, a single file, a read-only disk).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import features
from detect.detector import Detector, DetectorConfig
from detect.heads.base import Predictions
from features.store import Part, Store, build_index, fingerprint, is_done, write_part
from train.config import TrainingError
from train.memory import Memory
from train.videos import read_steps

LAYOUT = 1  # of a cached part: raised when its arrays change their meaning


class CachedTeacher:
    """video -> branch features (D, T) and predictions (B = 1) of the whole video, from the cache."""

    def __init__(self, store: Store, stream: str, memory: Memory) -> None:
        self.store, self.stream, self.memory = store, stream, memory

    def __call__(self, video: str) -> tuple[Tensor, Predictions]:
        arrays = self.memory.keep((self.stream, video), lambda: self.store.arrays(video, self.stream))
        predictions = {
            name.removeprefix("prediction."): torch.from_numpy(array)
            for name, array in arrays.items()
            if name.startswith("prediction.")
        }
        return torch.from_numpy(arrays["branch"]), predictions


def cache_teacher(
    path: Path,
    detector: Detector,
    store: Store,
    videos: Sequence[str],
    folder: Path,
    memory: Memory,
    device: torch.device,
) -> CachedTeacher:
    """Run the teacher on the videos that have no cached answer yet. `path` is its detector.pt, `folder` the run's."""
    [cue] = detector.config.branches
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    stream = f"teacher-{digest[:16]}"
    target = cache_of(store, folder)
    wanted = {
        video: fingerprint(
            {"teacher": digest, "layout": LAYOUT, "features": store.attributes(video, cue)["fingerprint"]}
        )
        for video in videos
    }
    missing = [video for video in videos if not is_done(target, video, stream, wanted[video])]
    detector = detector.to(device).eval().requires_grad_(False)
    for video in tqdm(missing, desc="teacher", unit="video", mininterval=1.0, disable=not missing):
        arrays = answer(detector, read_steps(store, video, cue, detector.config.resize), device)
        write_part(target, Part(video, stream, arrays, {"fingerprint": wanted[video], "teacher": str(path)}))
    if missing:
        build_index(target)
    return CachedTeacher(features.open(target), stream, memory)


@torch.no_grad()
def answer(detector: Detector, x: np.ndarray, device: torch.device) -> dict[str, np.ndarray]:
    """Branch features, rounded to float16 (a thousandth of their size), and predictions for a video's (T, D_in)."""
    [cue] = detector.config.branches
    mask = torch.ones(1, len(x), dtype=torch.bool, device=device)
    cues = {cue: torch.from_numpy(x.astype(np.float32)).T[None].to(device)}  # (1, D_in, T)
    [branch] = detector.branch_features(cues, mask)
    predictions = detector.predict_from([branch], mask)
    arrays = {f"prediction.{name}": value.cpu().numpy() for name, value in predictions.items()}
    return {"branch": branch[0].cpu().numpy().astype(np.float16), **arrays}


def cache_of(store: Store, folder: Path) -> Path:
    """The store itself where it is an index that can be added to, else a store of the run's own."""
    path = Path(store.path)
    if path.is_file() and path.with_suffix(".parts").is_dir() and os.access(path.parent, os.W_OK):
        return path
    return folder / "teacher.h5"


def check_teacher(path: Path, teacher: DetectorConfig, student: DetectorConfig, store: Store) -> None:
    """Refuse a teacher that the student cannot be held to, with the command that makes one it can."""
    cue = teacher.branches[-1]
    remedy = (
        f"Train one: python -m train.run --method supervised --cues {cue} --head {student.head} ... --out runs/{cue}"
    )
    if len(teacher.branches) > 1:
        raise TrainingError(f"{path}: watches {' and '.join(teacher.branches)}; a teacher watches one cue. {remedy}")
    for what, theirs, ours in (
        ("classes", tuple(teacher.classes), tuple(student.classes)),
        ("head", teacher.head, student.head),
        ("settings of the head", *only_differing(teacher.head_config, student.head_config)),
        ("resize", teacher.resize, student.resize),
        ("width", teacher.width, student.width),
    ):
        if theirs != ours:
            raise TrainingError(
                f"{path}: teacher and student differ in {what}: {theirs} and {ours}. They must agree to be compared "
                f"step by step: give the student the teacher's settings, or the teacher the student's. {remedy}"
            )
    expected, found = teacher.feature_ids.get(cue), store.feature_id(cue)
    if expected and found and expected != found:
        raise TrainingError(
            f"{path}: learned from {cue} features {expected}, the store holds {found}, made otherwise. {remedy}"
        )


def only_differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Both without what they agree on."""
    names = [name for name in {**one, **other} if (name in one, one.get(name)) != (name in other, other.get(name))]
    return [{name: values[name] for name in names if name in values} for values in (one, other)]
