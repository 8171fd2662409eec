"""What the numbers of features give away: zero, constant, NaN, repeated, swapped, of another width."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np

from features.storage.store import Store, StoreError
from train.checks.finding import ERROR, WARNING, Finding
from train.checks.names import imported
from train.checks.spans import features_of

PROFILE_MARGIN = 0.3  # of correlation, by which a swapped video fits the other cue better
PADDED = 0.2  # share of steps that are zero


@dataclass
class _Seen:
    """What was noticed, (stream -> videos) by kind."""

    kinds: dict[str, dict[str, list[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    widths: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    digests: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    profiles: dict[str, dict[str, np.ndarray]] = field(default_factory=lambda: defaultdict(dict))
    unreadable: dict[str, str] = field(default_factory=dict)


def check_arrays(store: Store, videos: Sequence[str]) -> Iterator[Finding]:
    """Reads the features of these videos."""
    seen = _Seen()
    for video in videos:
        same: dict[bytes, str] = {}
        for row in features_of(store, video):
            try:
                array = np.asarray(store.array(video, row.stream, "features"), np.float32)
            except StoreError as error:
                seen.unreadable[video] = str(error)
                continue
            digest = sha256(array.tobytes()).digest()
            if digest in same:
                seen.kinds["cues-alike"][f"{same[digest]} and {row.stream}"].append(video)
            same[digest] = row.stream
            _look(seen, video, row.stream, array, digest)
            _look_at_name(store, seen, video, row.stream)
    source = (
        "Repair the files they come from and import them again"
        if imported(store)
        else ("Extract these videos anew: delete their parts, then repeat the command that made them")
    )
    yield from _told(seen, source)
    yield from _swapped(seen, imported(store))


def _look(seen: _Seen, video: str, stream: str, array: np.ndarray, digest: bytes) -> None:
    seen.widths[stream][video] = array.shape[1]
    finite = np.isfinite(array)
    if not finite.all():
        seen.kinds["nan"][stream].append(video)
        return
    zero = ~array.any(axis=1)
    if zero.all():
        seen.kinds["all-zero"][stream].append(video)
        return
    if len(array) >= 3 and (array == array[0]).all():
        seen.kinds["constant"][stream].append(video)
        return
    if zero.mean() > PADDED:
        seen.kinds["zero-steps"][stream].append(video)
    elif len(array) >= 4 and (array[1:] == array[:-1]).all(axis=1).mean() > 0.4:
        seen.kinds["steps-repeated"][stream].append(video)
    if np.abs(array).max() > 1e4:
        seen.kinds["huge"][stream].append(video)
    seen.digests[stream, digest.hex()].append(video)
    seen.profiles[stream][video] = array.mean(axis=0)


def _look_at_name(store: Store, seen: _Seen, video: str, stream: str) -> None:
    """A file in a folder called flow that is read as rgb, or the other way round."""
    try:
        source = str(store.attributes(video, stream).get("imported_from", "")).lower()
    except StoreError:
        return
    words = set(source.replace("\\", "/").replace(".", "/").replace("_", "/").split("/")[-4:])
    other = {"rgb": "flow", "flow": "rgb"}.get(stream)
    if other in words and stream not in words:
        seen.kinds["named-other-cue"][stream].append(video)


TEXTS = {  # kind -> severity, what is said of n videos and stream s, remedy (None: by where features come from)
    "nan": (ERROR, "{n} videos hold NaN or infinity in {s}", None),
    "all-zero": (ERROR, "{s} of {n} videos is zero throughout", None),
    "constant": (ERROR, "{s} of {n} videos is the same at every step", None),
    "zero-steps": (WARNING, "{s} of {n} videos is zero at many steps: padded?", "Store them without their padding"),
    "steps-repeated": (
        WARNING,
        "{s} of {n} videos repeats its steps: stretched?",
        "Take the features as they were extracted, and their own stride",
    ),
    "huge": (
        WARNING,
        "{s} of {n} videos holds numbers above 10,000",
        "Are these features, before any layer that classifies? Take the pooled ones",
    ),
    "cues-alike": (
        ERROR,
        "{s} are the same numbers in {n} videos",
        "One was saved as the other: bring in the right files",
    ),
    "named-other-cue": (
        ERROR,
        "{s} of {n} videos comes from files that are called after the other cue",
        "Import them as what they are: --columns flow=0:1024 (or rgb=0:1024)",
    ),
}


def _told(seen: _Seen, source: str) -> Iterator[Finding]:
    if seen.unreadable:
        first = next(iter(seen.unreadable.values())).rstrip(".")
        what = f"{len(seen.unreadable)} videos cannot be read: {first}"
        yield Finding("unreadable", ERROR, what, "features.verify lists all of them", tuple(seen.unreadable))
    for kind, streams in seen.kinds.items():
        severity, what, remedy = TEXTS[kind]
        for stream, videos in streams.items():
            yield Finding(kind, severity, what.format(s=stream, n=len(videos)), remedy or source, tuple(videos))
    for stream, widths in seen.widths.items():
        usual = Counter(widths.values()).most_common(1)[0][0]
        if odd := tuple(video for video, width in widths.items() if width != usual):
            turned = len(odd) >= 2 and len(set(widths.values())) > 2
            look = "The arrays look transposed, (D, T): features.importer --layout DT turns them"
            what = f"{stream} of {len(odd)} videos has another width than {usual}, such as {widths[odd[0]]}"
            yield Finding("width-differs", ERROR, what, look if turned else source, odd)
    copies: dict[str, set[str]] = defaultdict(set)
    for (stream, _), videos in seen.digests.items():
        if len(videos) > 1:
            copies[stream].update(videos)
    for stream, twice in copies.items():
        what = f"{len(twice)} videos have the very features of another one in {stream}"
        remedy = "Were they saved under the wrong name, or is it one video twice? Keep one of each"
        yield Finding("features-repeated", WARNING, what, remedy, tuple(sorted(twice)))


def _swapped(seen: _Seen, made_elsewhere: bool) -> Iterator[Finding]:
    """Videos whose rgb looks as flow does in most videos, and the other way round: halves in the other order.

    Where all videos are swapped alike, numbers alone cannot tell.
    """
    rgb, flow = seen.profiles.get("rgb", {}), seen.profiles.get("flow", {})
    both = [v for v in rgb if v in flow and rgb[v].shape == flow[v].shape]
    widths = Counter(rgb[video].shape for video in both)
    both = [video for video in both if rgb[video].shape == widths.most_common(1)[0][0]]
    if len(both) < 4:
        return
    usual_rgb = np.median([rgb[video] for video in both], axis=0)
    usual_flow = np.median([flow[video] for video in both], axis=0)
    odd = []
    for video in both:
        straight = _alike(rgb[video], usual_rgb) + _alike(flow[video], usual_flow)
        crossed = _alike(rgb[video], usual_flow) + _alike(flow[video], usual_rgb)
        if crossed > straight + 2 * PROFILE_MARGIN:
            odd.append(video)
    if odd:
        remedy = "Import these with --columns flow=0:1024,rgb=1024:2048" if made_elsewhere else "Extract these anew"
        yield Finding(
            "halves-swapped",
            ERROR,
            f"rgb and flow of {len(odd)} videos are the other way round than in the others",
            remedy,
            tuple(odd),
        )


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / size if size else 0.0
