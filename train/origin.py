"""What a run was made from, in fingerprints: it goes on with the very classes, actions, features and teachers it had.

Paths and settings say where these come from; a file may change in its place. Kept in last.pt, and as one fingerprint of
the annotations in detector.pt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluate.files.annotations import Annotations
from features.storage.store import Store, fingerprint
from train.settings import TrainingError, from_dict

SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Origin:
    """Fingerprints by name, videos in the order they are learnt from; that order draws the samples."""

    classes: tuple[str, ...]
    actions: Mapping[str, Any]  # by labelled video
    features: Mapping[str, Any]  # by video
    teachers: Mapping[str, Any]  # by path

    @classmethod
    def read(cls, values: Any, where: str) -> Origin:
        return from_dict(cls, values, where)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def differences(self, now: Origin) -> list[str]:
        """How what there is now differs from what there was, as sentences."""
        found = []
        if self.classes != now.classes:  # the actions then differ by their names alone
            found.append(f"classes were {', '.join(self.classes)}, are {', '.join(now.classes)}")
        else:
            found += changed("the annotations", self.actions, now.actions)
        found += changed("the features", self.features, now.features)
        found += [
            f"the teacher {path} was made anew"
            for path, made in self.teachers.items()
            if now.teachers.get(path) != made
        ]
        return found


def origin_of(
    truth: Annotations, stores: Sequence[tuple[Store, Iterable[str]]], cues: Sequence[str], teachers: Sequence[str]
) -> Origin:
    """stores: each with the videos that are learnt from; teachers: paths of detector.pt files."""
    features = {  # two stores may call different videos alike
        video if not n else f"{store.path}: {video}": features_of(store, video, cues)
        for n, (store, videos) in enumerate(stores)
        for video in videos
    }
    return Origin(truth.classes, actions_of(truth), features, {path: digest_of_file(path) for path in teachers})


def actions_of(truth: Annotations) -> dict[str, str]:
    """By video, a fingerprint of its actions with the names of their classes, and of the frame rate told with them."""
    found = {}
    for video, known in truth.videos.items():
        labels = [truth.classes[label] for label in known.labels.tolist()]
        found[video] = fingerprint({"fps": known.fps, "segments": known.segments.tolist(), "labels": labels})
    return found


def annotations_id(truth: Annotations) -> str:
    """One fingerprint of all that is annotated: classes, videos, actions."""
    return fingerprint({"classes": truth.classes, "actions": list(actions_of(truth).items())})


def features_of(store: Store, video: str, cues: Sequence[str]) -> str:
    """Changes with what made the features and, where the store knows their digest, with each of their bytes."""
    there = set(store.streams(video))
    rows = [store.row(video, cue) for cue in cues if cue in there]
    return fingerprint({"made": [[row.stream, row.fingerprint, row.digest, row.num_steps] for row in rows]})


def digest_of_file(path: str) -> str:
    """sha256; TrainingError where it cannot be read."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise TrainingError(
            f"{path}: cannot be read: {error.strerror}. Expected the detector.pt of a teacher"
        ) from None


def changed(what: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Sentences on the videos in which two mappings differ."""
    found = []
    for which, videos in (
        ("are gone", [video for video in before if video not in now]),
        ("are new", [video for video in now if video not in before]),
        ("differ", [video for video in now if video in before and before[video] != now[video]]),
    ):
        if videos:
            more = " ..." if len(videos) > SHOWN else ""
            found.append(f"{what} of {len(videos)} videos {which} ({', '.join(videos[:SHOWN])}{more})")
    if not found and list(before) != list(now):
        found.append(f"{what} are in another order")
    return found
