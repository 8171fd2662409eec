"""Which file of a foreign folder holds which stream of which video: read from their names, in three layouts.

The first is ActionFormer's; streams are told by the number of columns (features/storage/npy.py). The second has a
folder for each cue, as CoLA has, at any depth. The third is video_features'; a file of the frame rate and one of times,
either of which may lack, stand beside the features.

    VIDEO.npy
    rgb/VIDEO.npy, flow/VIDEO.npy
    VIDEO_rgb.npy, VIDEO_flow.npy, VIDEO_fps.npy (a number), VIDEO_timestamps_ms.npy (T,)
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from features.files.layout import StoreError

CUE_NAMES = ("rgb", "flow")
RATE, TIMES = "fps", "timestamps_ms"  # what video_features calls them


class Found(NamedTuple):
    """One file of features."""

    file: Path
    video: str
    stream: str | None = None  # None: its columns say
    rate: Path | None = None  # the file of its frame rate
    times: Path | None = None  # the file of its times
    member: str | None = None  # the array in a file of many videos

    @property
    def of_video_features(self) -> bool:
        """Whether the file says rate or times itself, as those of video_features do."""
        return self.rate is not None or self.times is not None


def find(folder: Path, suffixes: Sequence[str]) -> list[Found]:
    """The files of features below a folder, in order; linked folders are followed."""
    files = sorted(file for file in walk(folder) if file.suffix in suffixes)
    stems = {file.with_suffix("").relative_to(folder).as_posix(): file for file in files}
    keyed = {stem.rpartition("_")[0] for stem in stems if not _companion_of(stem)}
    found = []
    for file in files:
        stem = file.with_suffix("").relative_to(folder).as_posix()
        if _companion_of(stem) and _companion_of(stem) in keyed:
            continue  # it is found with the features it speaks of
        found.append(_found(file, stem, stems))
    return found


def _found(file: Path, stem: str, stems: Mapping[str, Path]) -> Found:
    base, _, key = stem.rpartition("_")
    rate, times = stems.get(f"{base}_{RATE}"), stems.get(f"{base}_{TIMES}")
    both = key in CUE_NAMES and all(f"{base}_{cue}" in stems for cue in CUE_NAMES)
    if base and (rate or times or both):
        return Found(file, base, "flow" if key == "flow" else "rgb", rate, times)
    *above, name = stem.split("/")
    if above and above[-1].lower() in CUE_NAMES:
        return Found(file, "/".join([*above[:-1], name]), above[-1].lower())
    return Found(file, stem)


def _companion_of(stem: str) -> str:
    """What NAME_fps and NAME_timestamps_ms speak of; empty for other files."""
    return next((stem.removesuffix(f"_{key}") for key in (RATE, TIMES) if stem.endswith(f"_{key}")), "")


def refuse_twice(found: Sequence[tuple[str, str, Path]]) -> None:
    """StoreError if two files hold one stream of one video; (video, stream, file) each."""
    known: dict[tuple[str, str], Path] = {}
    for video, stream, file in found:
        if (video, stream) in known:
            raise StoreError(
                f"{known[video, stream]} and {file} are both {stream} of video {video!r}. Keep one of the two"
            )
        known[video, stream] = file


def walk(folder: Path) -> Iterator[Path]:
    """All files below a folder, each real folder once."""
    seen: set[Path] = set()
    for above, folders, names in os.walk(folder, followlinks=True):
        real = Path(above).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (Path(above) / name for name in names)
