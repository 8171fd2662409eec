"""Which videos a run learns from with their labels, and which without.

Labels are used of the training subset, or of as many of its videos as are asked for. Videos without labels come from a
store of their own or from a subset of the annotations; what is used with its labels is never among them. A video of the
training subset without actions is background; a video without labels is not: what happens there is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import features
from detect.heads.base import Targets
from detect.windows import SampleRule
from evaluate.files.annotations import Annotations
from features.storage.store import Store
from train.config import Data, TrainingError
from train.data.videos import Pool, Video

PLACES = {"--train-videos": "--train-subset", "--unlabelled-videos": "--unlabelled or --unlabelled-subset"}


@dataclass(frozen=True)
class Unlabelled:
    """Videos without labels and the store of their features."""

    store: Store
    videos: tuple[str, ...]
    remark: str = ""


def labelled_part(truth: Annotations, train_videos: str) -> Annotations:
    """The first so many videos of the training subset by name, or those that a text file lists; "" is all."""
    if not train_videos:
        return truth
    return truth.only(asked_for(train_videos, sorted(truth.videos), "--train-videos", "the training subset"))


def asked_for(asked: str, there: Sequence[str], option: str, where: str) -> list[str]:
    """The first so many of the videos of `where`, or those that a text file lists, in its order."""
    if asked.isdecimal():
        count = int(asked)
        if not 1 <= count <= len(there):
            raise TrainingError(f"{option} {count}: expected 1 to {len(there)}, as many videos as {where} has")
        return list(there[:count])
    try:
        names = [line.strip() for line in Path(asked).read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise TrainingError(f"{option}: {error}. Expected a number, or a file with one video a line") from error
    chosen = list(dict.fromkeys(name for name in names if name))
    if unknown := sorted(set(chosen) - set(there), key=chosen.index):
        raise TrainingError(
            f"{asked}: {len(unknown)} of {len(chosen)} videos are not in {where}, the first is "
            f"{unknown[0]!r}. Take them off the list, or name where they are: {PLACES[option]}"
        )
    if not chosen:
        raise TrainingError(f"{asked}: lists no video. Expected one name a line")
    return chosen


def find_unlabelled(data: Data, everything: Annotations, labelled: Annotations, store: Store) -> Unlabelled | None:
    """The videos without labels that were asked for; None where none were, an error where there are none."""
    if data.unlabelled:
        where = data.unlabelled
        window, stride = data.window or None, data.stride or None
        source = features.open(where, fps=data.fps or None, window=window, stride=stride, verify=data.verify)
        known = annotated_twins(source, store, everything)
        videos = tuple(video for video in source.videos if known[video] not in labelled.videos)
    elif data.unlabelled_subset:
        where, source, known = f"subset {data.unlabelled_subset!r}", store, {}
        subset = everything.subset(data.unlabelled_subset)
        videos = tuple(video for video in subset.videos if video not in labelled.videos)
    else:
        return None
    if not videos:
        raise TrainingError(
            f"{where}: every video there is learnt from with its labels, none is left to learn from without. "
            f"Name other videos, or fewer with labels (--train-videos)"
        )
    if data.unlabelled_videos:
        videos = tuple(asked_for(data.unlabelled_videos, sorted(videos), "--unlabelled-videos", "the unlabelled part"))
    remark = f"{len(labelled.videos)} videos with labels, {len(videos)} without ({where})"
    subsets = [everything.videos[twin].subset for video in videos if (twin := known.get(video))]
    others = [name for name in dict.fromkeys(subsets) if name not in labelled.subsets]
    if others:
        parts = ", ".join(f"{subsets.count(name)} of subset {name!r}" for name in others)
        remark += f"; among them {parts}: scores there are no longer those of unseen videos"
    return Unlabelled(source, videos, remark)


def annotated_twins(source: Store, store: Store, everything: Annotations) -> dict[str, str | None]:
    """Which annotated video of `store` each video of `source` is, by the digest of its file; None if it is none.

    Names tell where a store does not know the files. Two data sets may call different videos alike.
    """
    files = {video: file_of(store, video) for video in store.videos if video in everything.videos}
    by_file = {file: video for video, file in files.items() if file}
    twins: dict[str, str | None] = {}
    for video in source.videos:
        file = file_of(source, video)
        by_name = video if video in everything.videos and not (file and files.get(video)) else None
        twins[video] = by_file.get(file, by_name)
    return twins


def file_of(store: Store, video: str) -> str:
    """sha256 of the video file behind the features, "" where the store does not know it."""
    return next((sha for s in store.streams(video) if (sha := store.row(video, s).video_sha256)), "")


def unlabelled_pool(
    found: Unlabelled, store: Store, labelled: Sequence[str], cues: Sequence[str], rule: SampleRule
) -> Pool:
    """The videos without labels, checked: all streams there, made as those of the labelled videos of `store`."""
    found.store.check(found.videos, cues)
    for cue in cues:
        here, there = store.row(labelled[0], cue).feature_id, found.store.row(found.videos[0], cue).feature_id
        if here != there and here and there:
            raise TrainingError(
                f"{found.store.path}: {cue} of the unlabelled videos was made as {there}, that of the labelled ones "
                f"as {here}. Extract both with one backbone, its weights, window and stride"
            )
    nothing = Targets(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))
    lengths = {video: rule.num_steps(found.store.row(video, cues[0]).num_steps) for video in found.videos}
    return Pool(found.store, [Video(video, length, nothing, slack=0.0) for video, length in lengths.items()])
