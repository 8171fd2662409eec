"""The labelled videos of a command line: the training subset, with actions and the times of frames.

No other video is opened, and no other video's actions are looked at.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from evaluate.files.annotations import Annotations, read_annotations
from evaluate.files.subsets import training_subset
from extract.learning.actions import LabelledVideo
from extract.pipeline.settings import SettingsError
from flow.decode.frame_times import frame_times
from flow.decode.video import list_videos, probe


def training_truth(path: Path, subset: str) -> Annotations:
    """The annotations of the subset to learn from; what was repaired in them is said."""
    everything = read_annotations(path)
    truth = everything.subset(training_subset(everything, subset))
    for remark in truth.remarks:
        print(f"{path}: {remark}", file=sys.stderr)
    if not truth.num_segments:
        raise SettingsError(f"{path}: the {len(truth.videos)} videos to learn from hold no action. Annotate some")
    return truth


def labelled_videos(truth: Annotations, paths: Sequence[str], decoder: str, fps: float | None) -> list[LabelledVideo]:
    """Those of the annotated videos that are there; those that are not are said. VideoError for one that is broken."""
    listed = list_videos(paths, fps=fps)
    there = [name for name in listed if name in truth.videos]
    if not there:
        raise SettingsError(
            f"{truth.source}: none of its {len(truth.videos)} videos to learn from is among these {len(listed)} (the "
            f"first is {next(iter(listed))!r}, annotated is {next(iter(truth.videos))!r}). An id is the path below "
            "--videos without ending: give the folder that the annotations mean"
        )
    if missing := len(truth.videos) - len(there):
        print(f"{missing} of {len(truth.videos)} videos to learn from have no file and are left out", file=sys.stderr)
    made = []
    for name in tqdm(there, desc="look", unit="video", mininterval=1.0, disable=len(there) < 100):
        info = probe(listed[name], decoder=decoder, fps=fps)
        one = truth.videos[name]
        ambiguous = truth.ambiguous.get(name, one.segments[:0])
        made.append(LabelledVideo(name, info.path, info.sha256, frame_times(info), one.segments, one.labels, ambiguous))
    return made


def groups_of(truth: Annotations, videos: Sequence[str], pattern: str | None) -> dict[str, str]:
    """Video -> group, by a regular expression on its id or as annotated, else each is its own. SettingsError."""
    if pattern is None:
        return {video: truth.videos[video].group or f"video {video}" for video in videos}
    try:
        found = {video: re.search(pattern, video) for video in videos}
    except re.error as error:
        raise SettingsError(f"--group {pattern}: no regular expression ({error})") from None
    strangers = [video for video, match in found.items() if match is None]
    if strangers:
        raise SettingsError(
            f"--group {pattern}: is not found in {len(strangers)} of {len(videos)} videos, such as {strangers[0]!r}. "
            "Expected a regular expression on the id, whose first group counts: '(.*)-cam\\d'"
        )
    return {video: (m[1] if m.re.groups else m[0]) or m[0] for video, m in found.items() if m is not None}
