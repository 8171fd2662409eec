"""Videos as a run plans them: probed and hashed once, known again by size, time and inode, and read as planned.

A job's payload holds what planning found out, so that nothing is found out twice.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from features.files.known import FileChanged, FileState, Known, file_state, unchanged
from features.files.layout import cache_folder
from flow.decode.video import VideoError, VideoInfo, sha256

THREADS = 8  # reading and hashing, most of it outside the interpreter, and waiting for the disk
Probe = Callable[[Path], VideoInfo]
Outcome = tuple[str, "Planned | VideoError"]


class Planned(NamedTuple):
    """A video and the state in which its file was when it was probed."""

    info: VideoInfo
    state: FileState

    @property
    def payload(self) -> dict[str, Any]:
        """What a job must say of its video."""
        values = {name: value for name, value in vars(self.info).items() if name != "path"}
        return {
            "path": str(self.info.path.absolute()),
            "sha256": self.info.sha256,
            "info": values,
            "state": list(self.state),
        }


def plan_video(path: Path, probe: Probe) -> Planned:
    """Probes one video. VideoError if it cannot be read, or changes meanwhile."""
    try:
        before = file_state(path) if path.exists() else None
        info = probe(path)  # which says what is wrong with a path where nothing is
        if before is None or file_state(path) != before:
            raise VideoError(f"{path}: the file is being written. Repeat the command when it is complete")
    except OSError as error:
        raise VideoError(f"{path}: cannot be read: {error.strerror or error}. Repair that, or leave it out") from error
    return Planned(info, before)


def plan_videos(
    videos: Mapping[str, Path], probe: Probe, asked: str, store: Path
) -> tuple[dict[str, Planned], list[dict[str, str]]]:
    """Probes the videos, those that have changed since they were last planned for this store, in threads.

    asked: what beside the file decides what probe gives (decoder, rate). Returns what is planned by id, in order, and
    the failures of the others as jobs.run takes them.
    """
    known = Known(cache_folder(store) / "videos.json")
    planned = {video: plan for video, path in videos.items() if (plan := _remembered(known, asked, path)) is not None}
    failures = []
    unknown = {video: path for video, path in videos.items() if video not in planned}

    def attempt(path: Path) -> Planned | VideoError:
        try:
            return plan_video(path, probe)
        except VideoError as error:
            return error

    try:
        with ThreadPoolExecutor(THREADS) as pool:
            outcomes = zip(unknown, pool.map(attempt, unknown.values()), strict=True)
            for video, outcome in _progress(outcomes, len(unknown)):
                if isinstance(outcome, VideoError):
                    failures.append({"video": video, "cause": "VideoError", "message": str(outcome)})
                    continue
                planned[video] = outcome
                known.put_settled(_key(asked, unknown[video]), outcome.state, outcome.payload["info"])
    finally:
        known.save()
    return {video: planned[video] for video in videos if video in planned}, failures


@contextmanager
def as_planned(payload: Mapping[str, Any], beat: Callable[[int], None]) -> Iterator[VideoInfo]:
    """The video of a job; VideoError unless its file is the planned one while it is read within the block."""
    state = FileState(*payload["state"])
    try:
        with unchanged(Path(payload["path"]), state, payload["sha256"], lambda path: sha256(path, beat)):
            yield video_of(payload)
    except FileChanged as error:
        raise VideoError(str(error)) from error


def video_of(payload: Mapping[str, Any]) -> VideoInfo:
    """The video of a job, as planned."""
    return VideoInfo(path=Path(payload["path"]), **payload["info"])


def _progress(outcomes: Iterable[Outcome], total: int) -> Iterable[Outcome]:
    every_s = 0.2 if sys.stderr.isatty() else 30.0  # a log file needs a line now and then, not a moving bar
    return tqdm(outcomes, "plan", total, unit=" videos", mininterval=every_s, disable=total < 50, file=sys.stderr)


def _key(asked: str, path: Path) -> str:
    return f"{path.absolute()}\n{asked}"


def _remembered(known: Known, asked: str, path: Path) -> Planned | None:
    try:
        state = file_state(path)
        values = known.get(_key(asked, path), state)
        return None if values is None else Planned(VideoInfo(path=path, **values), state)
    except (OSError, TypeError):  # not there, or remembered by another version
        return None
