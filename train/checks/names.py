"""Videos that are annotated and not there, or there and not annotated, with the name that is likely meant."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from evaluate.files.annotations import Annotations
from evaluate.files.names import VIDEO_KEYS, same_name
from features.files.naming import suggestion
from features.storage.store import Store
from train.checks.finding import ERROR, NOTE, WARNING, Finding

CLOSE = 2000  # names among which one that is nearly right is looked for
SUFFIXED = ("_rgb", "_flow", "_i3d", "_features", ".mp4", ".avi", ".mkv", ".webm")


def check_names(store: Store, truth: Annotations) -> Iterator[Finding]:
    """Annotated videos against those of the store; reads the table alone."""
    pairs, gone, strangers, extra = match(truth, store.videos)
    if pairs:
        ours, theirs = next(iter(pairs.items()))
        yield Finding(
            "names-differ",
            ERROR,
            f"{len(pairs)} annotated videos have features under another name: {ours!r} is called {theirs!r} there",
            rename(store, truth, list(pairs.values())),
            tuple(pairs),
        )
    if gone and len(gone) == len(truth.videos):
        yield Finding(
            "no-video-in-common",
            ERROR,
            f"none of {len(gone)} annotated videos has features: annotated is "
            f"{gone[0]!r}, the store holds {store.videos[0]!r}",
            "Are these features of another data set, or ids of another kind? Write both alike",
            gone,
        )
    elif gone:
        yield Finding(
            "features-missing",
            ERROR,
            f"{len(gone)} of {len(truth.videos)} annotated videos have no features{_close(gone, extra)}",
            supply(store),
            gone,
        )
    if strangers and len(strangers) < len(store.videos):
        yield Finding(
            "not-annotated",
            NOTE,
            f"{len(strangers)} videos of the store are not annotated",
            "They are left out; with train.run --unlabelled some methods learn from them",
            strangers,
        )


class Match(NamedTuple):
    """Annotated videos beside those that are there, by their names."""

    pairs: dict[str, str]  # annotated -> there under another name, likely
    gone: tuple[str, ...]  # annotated, and there under no name
    strangers: tuple[str, ...]  # there, and annotated under no name
    extra: tuple[str, ...]  # there under names that are not annotated, those in pairs among them


def match(truth: Annotations, there: Iterable[str]) -> Match:
    """there: names of features or files."""
    names = dict.fromkeys(there)
    missing = [video for video in truth.videos if video not in names]
    extra = tuple(video for video in names if video not in truth.videos)
    pairs = likely(missing, extra)
    taken = set(pairs.values())
    return Match(
        pairs,
        tuple(video for video in missing if video not in pairs),
        tuple(video for video in extra if video not in taken),
        extra,
    )


def likely(missing: Sequence[str], extra: Sequence[str]) -> dict[str, str]:
    """Annotated -> name in the store that differs by folder, ending, v_, case or a usual suffix alone."""
    pairs = same_name(missing, extra, VIDEO_KEYS, alone=True)
    by_stem = {stem: name for name in extra for end in SUFFIXED if (stem := name.removesuffix(end)) != name}
    taken = set(pairs.values())
    for video in missing:
        if video not in pairs and by_stem.get(video, video) not in taken and video in by_stem:
            pairs[video] = by_stem[video]
    return pairs


def rename(store: Store, truth: Annotations, theirs: Sequence[str]) -> str:
    """What brings names together, for this user."""
    naming = suggestion(theirs, truth.videos.keys())
    options = naming.options if naming is not None else ""
    if store.path.is_dir() and options:
        return f"{import_folder(store)} {options}"
    if imported(store) and options:
        return f"Import them into a store of its own: repeat features.importer {options} --features ANOTHER.h5"
    return "Write the ids alike: rename the videos in the annotations (an id is the path below --videos, no ending)"


def supply(store: Store) -> str:
    """What makes features that lack, for this user."""
    on = "or go on without them: --missing skip of train.run and detect.run"
    if store.path.is_dir():
        return f"Put their .npy files into {store.path}, {on}"
    if imported(store):
        return f"Import their files as well, with the settings of the others, {on}"
    return f"Repeat the command that made the others with these videos in --videos (what is done is skipped), {on}"


def import_folder(store: Store) -> str:
    """The command that makes a store of a folder of .npy files; options may follow."""
    return f"python -m features.importer --npy {store.path} --features {store.path.name}.h5"


def imported(store: Store) -> bool:
    """Whether the features were made elsewhere; a store is imported as a whole, or extracted."""
    return bool(store.videos) and any(store.is_imported(store.videos[0], s) for s in store.streams(store.videos[0]))


def check_files(truth: Annotations, files: Match) -> Iterator[Finding]:
    """Annotated videos against files of videos, by their ids."""
    pairs, gone, strangers, extra = files
    if pairs:
        ours, theirs = next(iter(pairs.items()))
        yield Finding(
            "video-names-differ",
            WARNING,
            f"{len(pairs)} annotated videos have a file under another name: {ours!r} is called {theirs!r}",
            "Rename the files, or give --videos the folder that holds them itself",
            tuple(pairs),
        )
    if gone:
        yield Finding(
            "video-missing",
            WARNING,
            f"{len(gone)} of {len(truth.videos)} annotated videos have no file{_close(gone, extra)}",
            "Fetch them, or leave them out: --missing skip of train.run and detect.run",
            gone,
        )
    if strangers:
        yield Finding(
            "video-not-annotated",
            NOTE,
            f"{len(strangers)} videos are not annotated",
            "Annotate them, or leave them: no run needs them",
            strangers,
        )


def _close(gone: Sequence[str], extra: Sequence[str]) -> str:
    near = get_close_matches(gone[0], list(extra)[:CLOSE], n=1, cutoff=0.8)
    return f"; {gone[0]!r} may be {near[0]!r}" if near else ""
