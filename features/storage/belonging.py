"""Whether the streams of some videos are there and belong together, and what to do if they do not.

What to do depends on the user: features were extracted here, or made elsewhere and imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from features.files.layout import StoreError
from features.files.naming import suggestion
from features.storage.table import TableRow

_SHOWN = 10  # problems listed in one message


class Streams(Protocol):
    """As much of a store as is looked at here."""

    @property
    def path(self) -> Path: ...
    @property
    def videos(self) -> tuple[str, ...]: ...
    def streams(self, video: str) -> tuple[str, ...]: ...
    def row(self, video: str, stream: str) -> TableRow: ...
    def is_imported(self, video: str, stream: str) -> bool: ...


def check(store: Streams, videos: Sequence[str], streams: Sequence[str]) -> None:
    """StoreError that names every video whose streams are missing or do not belong together; reads the table alone."""
    there = set(store.videos)
    if videos and there and there.isdisjoint(videos):
        raise StoreError(_other_names(store, videos))
    problems: list[str] = []
    lacking = False
    uneven: list[TableRow] = []
    videos_of: dict[str, dict[str, list[str]]] = {stream: {} for stream in streams}
    for video in videos:
        has = store.streams(video) if video in there else ()
        missing = [stream for stream in streams if stream not in has]
        rows = [store.row(video, stream) for stream in streams if stream not in missing]
        if missing:
            lacking = True
            problems.append(f"{video}: no {' and no '.join(missing)}")
        for row in rows[1:]:
            if problem := mismatch(rows[0], row):
                problems.append(f"{video}: {problem}")
                uneven += [one for one in (rows[0], row) if rows[0].num_steps != row.num_steps]
        for row in rows:
            videos_of[row.stream].setdefault(row.feature_id, []).append(video)
    problems += [mixed(stream, made) for stream, made in videos_of.items() if len(made) > 1]
    if problems:
        more = f"\n  ... and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise StoreError(
            f"{store.path}: {len(problems)} problem(s) with {' and '.join(streams)} of {len(videos)} videos:\n  "
            + "\n  ".join(problems[:_SHOWN])
            + f"{more}\n{_remedy(store, uneven, lacking)}"
        )


def mismatch(one: TableRow, other: TableRow) -> str:
    """What keeps two streams of a video from being used side by side; empty if nothing does."""
    pair = f"{one.stream} and {other.stream}"
    if one.num_steps != other.num_steps:
        return f"{pair} differ in length: {one.num_steps} and {other.num_steps} steps"
    if one.video_sha256 != other.video_sha256 and one.video_sha256 and other.video_sha256:
        return f"{pair} come from different video files (sha256 {one.video_sha256[:12]}, {other.video_sha256[:12]})"
    if one.geometry != other.geometry and one.geometry and other.geometry:
        return f"{pair} see different pictures: {one.geometry} and {other.geometry}"
    if one.grid != other.grid:
        return f"{pair} have the same number of clips at different times (window, stride or frame rate differ)"
    return ""


def mixed(stream: str, videos_of: Mapping[str, list[str]]) -> str:
    made = ", ".join(f"{key or 'none'} ({len(videos)} videos, e.g. {videos[0]})" for key, videos in videos_of.items())
    return f"{stream} was made in {len(videos_of)} ways, which cannot be mixed: {made}"


def _remedy(store: Streams, uneven: Sequence[TableRow], lacking: bool) -> str:
    """What to do, by where the features come from."""
    leave_out = "or take these videos out of the annotations."
    if any(store.is_imported(row.video, row.stream) for row in uneven):
        return f"Cut the longer of the cues to the shorter: {_import(store, ' --trim')}, {leave_out}"
    if not _imported(store):
        again = "Repeat the commands that made these streams with one set of settings (what is right is skipped)"
        return f"{again}, {leave_out}"
    if lacking:
        return f"Import the missing files as well, with the settings of the others, {leave_out}"
    return f"Import all of them with one set of settings: {_import(store)}, {leave_out}"


def _other_names(store: Streams, videos: Sequence[str]) -> str:
    """That no video asked for is in the store, and which names would be."""
    text = (
        f"{store.path}: none of {len(videos)} videos asked for is in the store: the store holds {store.videos[0]!r}; "
        f"annotated is {videos[0]!r}."
    )
    naming = suggestion(store.videos, set(videos))
    if _imported(store):
        options = naming.options if naming is not None and naming.options else "--prefix, --suffix or --strip-folders"
        return f"{text} Change the names on the way into a store: {_import(store, f' {options}', anew=True)}"
    folder = store.videos[0].rpartition("/")[0]
    if folder and naming is not None and (naming.strip_folders or naming.prefix == f"{folder}/"):
        return (
            f"{text} Ids are paths below the folder given to --videos: extract from the folder that holds the videos "
            f"themselves, --videos .../{folder}, into a store of its own"
        )
    return f"{text} Write the ids the same way in both: rename the videos in the annotations, or the files"


def _imported(store: Streams) -> bool:
    """Whether the first video was imported; a store is imported as a whole, or extracted."""
    return bool(store.videos) and any(store.is_imported(store.videos[0], s) for s in store.streams(store.videos[0]))


def _import(store: Streams, options: str = "", anew: bool = False) -> str:
    """The command that brings these features in, with options; anew: into a store of its own."""
    if store.path.is_dir():
        return f"python -m features.importer --npy {store.path} --features {store.path.name}.h5{options}"
    return f"repeat features.importer{options}" + (" --features ANOTHER.h5" if anew else "")
