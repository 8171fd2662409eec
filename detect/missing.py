"""Videos that are asked for and have no features: refused, or left out where that is asked for; never in silence.

Either way all of their names are written into a file, one a line, as lists of blocked videos are.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from command.writing import write_whole
from features.storage.store import Store, StoreError

REFUSE, SKIP = "refuse", "skip"
MISSING = (REFUSE, SKIP)
SHOWN = 5  # names in a remark


def with_features(store: Store, videos: Sequence[str], streams: Sequence[str], missing: str, names: Path) -> list[str]:
    """The videos that have all streams. missing: what to do about others, "refuse" (StoreError) or "skip".

    names: the file that their names go into.
    """
    there = {video: set(store.streams(video)) for video in store.videos}
    lacking = [video for video in videos if not there.get(video, set()).issuperset(streams)]
    if not lacking:
        return list(videos)
    write_whole(names, "".join(f"{video}\n" for video in lacking).encode())
    if missing != SKIP or len(lacking) == len(videos):
        raise StoreError(refusal(store, videos, lacking, streams, names))
    shown = ", ".join(lacking[:SHOWN]) + (" ..." if len(lacking) > SHOWN else "")
    print(
        f"{store.path}: {len(lacking)} of {len(videos)} videos have no features ({' and '.join(streams)}) and are left "
        f"out: {shown}; all their names are in {names}",
        file=sys.stderr,
    )
    gone = set(lacking)
    return [video for video in videos if video not in gone]


def refusal(store: Store, videos: Sequence[str], lacking: Sequence[str], streams: Sequence[str], names: Path) -> str:
    """What the store says about it, where all names are, and the way on that there is."""
    try:
        store.check(videos, streams)
        said = f"{store.path}: no features of {len(lacking)} videos"
    except StoreError as error:
        said = str(error)
    known = {stream for video in store.videos for stream in store.streams(video)}
    if absent := [stream for stream in streams if stream not in known]:
        said += f"\nNo video here has {' or '.join(absent)}; there is {', '.join(sorted(known)) or 'nothing'}."
    if len(lacking) == len(videos):
        return said
    return f"{said}\nAll {len(lacking)} names are in {names}. To go on without these videos: --missing skip"
