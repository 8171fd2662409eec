"""Where features lie in time against what is annotated: durations, rates, actions too short or too long."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from evaluate.files.annotations import Annotations
from features.importing.fit import Span, remark
from features.storage import belonging
from features.storage.rates import alike, usual_rate
from features.storage.store import Store, StoreError
from features.storage.table import TableRow
from train.checks.finding import ERROR, NOTE, WARNING, Finding
from train.checks.names import import_folder, imported

LOOKED_AT = 8  # videos whose width is read
FEW_STEPS = 8  # a feature pyramid has nothing to look at below
MANY = 0.1  # of the actions: more than this is no accident


class Clips(NamedTuple):
    """Frames of a clip, and between the starts of two."""

    window: int
    stride: int


def check_spans(store: Store, truth: Annotations, span: int) -> Iterator[Finding]:
    """span: steps of the longest training sample."""
    there = set(store.videos)
    rows = {video: features_of(store, video) for video in truth.videos if video in there}
    rows = {video: found for video, found in rows.items() if found}
    if not rows:
        return
    yield from _streams(store, rows)
    first = {video: found[0] for video, found in rows.items()}
    clips = clips_of(store, next(iter(first.values())))
    made_elsewhere = imported(store)
    yield from _rates(store, truth, first, made_elsewhere)
    yield from _ends(store, truth, first, clips, made_elsewhere)
    few = tuple(video for video, row in first.items() if row.num_steps < FEW_STEPS)
    if few:
        remedy = "A smaller stride gives more" if not made_elsewhere else "Are they cut short, or transposed (D, T)?"
        yield Finding(
            "few-steps",
            WARNING,
            f"{len(few)} videos have fewer than {FEW_STEPS} steps",
            f"{remedy}; videos shorter than a clip cannot be learnt from: leave them out",
            few,
        )
    if clips is not None:
        yield from _actions(truth, first, clips, span, made_elsewhere)


def features_of(store: Store, video: str) -> list[TableRow]:
    """The rows of features of a video; chunks of flow and caches are none."""
    found = [store.row(video, stream) for stream in store.streams(video)]
    return sorted((row for row in found if row.num_steps >= 0), key=lambda row: (row.stream != "rgb", row.stream))


def clips_of(store: Store, row: TableRow) -> Clips | None:
    """None where the store does not tell, or cannot be read."""
    try:
        attributes = store.attributes(row.video, row.stream)
        return Clips(int(attributes["window"]), int(attributes["stride"]))
    except (StoreError, KeyError):
        return None


def _streams(store: Store, rows: dict[str, list[TableRow]]) -> Iterator[Finding]:
    """Streams that lack, do not belong together, or were made in several ways."""
    made_elsewhere = imported(store)
    again = "Repeat the commands that made them with one set of settings (what is right is skipped)"
    again = "Import all of them with one set of settings" if made_elsewhere else again
    usual = {
        stream
        for stream, n in Counter(row.stream for found in rows.values() for row in found).items()
        if 2 * n >= len(rows)
    }
    for stream in sorted(usual):
        if lacking := tuple(video for video, found in rows.items() if stream not in {row.stream for row in found}):
            yield Finding(
                "stream-missing",
                ERROR,
                f"{len(lacking)} videos have no {stream}",
                f"{'Import' if made_elsewhere else 'Make'} it, or go on without them: --missing skip",
                lacking,
            )
    uneven: dict[str, list[str]] = defaultdict(list)
    for video, found in rows.items():
        for row in found[1:]:
            if problem := belonging.mismatch(found[0], row):
                kind = "length" if found[0].num_steps != row.num_steps else "origin"
                uneven[kind].append(f"{video}: {problem}")
    for kind, problems in uneven.items():
        remedy = again
        if kind == "length" and made_elsewhere:
            command = import_folder(store) if store.path.is_dir() else "python -m features.importer as before"
            remedy = f"Cut the longer cue: {command} --trim"
        yield Finding(
            f"cues-differ-in-{kind}",
            ERROR,
            f"{len(problems)} videos: {problems[0].partition(': ')[2]}",
            remedy,
            tuple(problem.partition(": ")[0] for problem in problems),
        )
    made: dict[str, Counter[str]] = defaultdict(Counter)
    for found in rows.values():
        for row in found:
            made[row.stream][row.feature_id] += 1
    for stream, ways in made.items():
        if len(ways) > 1:
            rare = min(ways, key=lambda way: (ways[way], way))
            odd = tuple(v for v, found in rows.items() for r in found if r.stream == stream and r.feature_id == rare)
            yield Finding(
                "mixed-settings", ERROR, f"{stream} was made in {len(ways)} ways, which cannot be mixed", again, odd
            )
    copies: dict[str, list[str]] = defaultdict(list)
    for video, found in rows.items():
        if found[0].video_sha256:
            copies[found[0].video_sha256].append(video)
    if twice := tuple(video for videos in copies.values() if len(videos) > 1 for video in videos):
        yield Finding(
            "same-video-twice",
            WARNING,
            f"{len(twice)} videos are made from the bytes of another one",
            "Keep one of each, above all where they are of different subsets",
            twice,
        )


def _rates(store: Store, truth: Annotations, first: dict[str, TableRow], made_elsewhere: bool) -> Iterator[Finding]:
    unknown = tuple(video for video, row in first.items() if not row.fps > 0)
    if unknown:
        yield Finding(
            "fps-unknown",
            ERROR,
            f"the frame rate of {len(unknown)} videos is not known, so nor is time",
            f"Write 'fps' into {truth.source}, or import them with features.importer --fps N",
            unknown,
        )
    wrong = other_rates(truth, {video: row.fps for video, row in first.items() if row.fps > 0})
    if wrong and made_elsewhere and not _resampled(store, next(iter(wrong)), first):
        video, (ours, theirs) = next(iter(wrong.items()))
        yield Finding(
            "fps-differs",
            ERROR,
            f"{len(wrong)} videos were imported at another rate than is annotated: "
            f"{video!r} at {ours:.4g}, annotated {theirs:.4g}",
            "All times are wrong by this. Import again "
            f"with --annotations {truth.source} and without --fps, or correct 'fps' there",
            tuple(wrong),
        )
    usual = usual_rate({video: row.fps for video, row in first.items()})
    if usual and (others := tuple(video for video, row in first.items() if not alike(row.fps, usual))):
        remedy = (
            "extract.rgb and extract.motion --fps give all one rate"
            if not made_elsewhere
            else ("Have them extracted anew at one rate, if you can; else expect less of these videos")
        )
        yield Finding(
            "rates-differ",
            WARNING,
            f"the usual video has {usual:.4g} frames a second, {len(others)} have "
            "others: their clips show another stretch of time",
            remedy,
            others,
        )


def _resampled(store: Store, video: str, first: Mapping[str, TableRow]) -> bool:
    """Whether the videos were brought to another rate before features were made of them (features.importer)."""
    try:
        return bool(store.attributes(video, first[video].stream).get("resampled", False))
    except StoreError:
        return False


def _ends(
    store: Store, truth: Annotations, first: dict[str, TableRow], clips: Clips | None, made_elsewhere: bool
) -> Iterator[Finding]:
    """Durations: of the features' video against the annotated, and where the last clip ends."""
    known = {video: row for video, row in first.items() if truth.videos[video].duration_s > 0 and row.fps > 0}
    if clips is not None:
        spans = [
            Span(v, row.num_steps, row.num_steps, *clips, row.fps, truth.videos[v].duration_s)
            for v, row in known.items()
        ]
        wrong = tuple(one.video for one in spans if not one.fits(one.num_steps))
        if len(wrong) > 1 and 2 * len(wrong) > len(spans) and _are_turned(store, first, spans, wrong):
            yield Finding(
                "transposed",
                ERROR,
                f"{len(wrong)} videos have as many steps as features should have channels, and the other way round",
                f"Turn (D, T) to (T, D): {_import_again(store)} --layout DT",
                wrong,
            )
        elif said := remark(spans, "stride or rate"):
            remedy = (
                f"{_import_again(store)} --stride and --window as they were extracted with"
                if made_elsewhere
                else "Were they extracted from other files? Compare the videos with the annotations"
            )
            yield Finding("features-end-elsewhere", ERROR, said.rstrip("."), remedy, wrong)
    if not made_elsewhere:
        apart = other_durations(truth, {video: row.duration_s for video, row in known.items()})
        if apart:
            video, (ours, theirs) = next(iter(apart.items()))
            yield Finding(
                "duration-differs",
                WARNING,
                f"{len(apart)} videos last otherwise than is annotated: "
                f"{video!r} {ours:.1f} s, annotated {theirs:.1f} s",
                "Is it another cut of the video? Annotate these files, or fetch those that were annotated",
                tuple(apart),
            )


def other_rates(truth: Annotations, fps: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """video -> (its frame rate, the annotated one), of the videos where these are more than 1 % apart."""
    told = {video: (rate, truth.videos[video].fps or 0.0) for video, rate in fps.items()}
    return {
        video: (ours, theirs) for video, (ours, theirs) in told.items() if theirs and abs(ours - theirs) > 0.01 * theirs
    }


def other_durations(truth: Annotations, duration_s: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """video -> (how long it lasts, as annotated), of the videos where these are more than 1 s and 2 % apart."""
    told = {video: (length_s, truth.videos[video].duration_s) for video, length_s in duration_s.items()}
    return {video: pair for video, pair in told.items() if abs(pair[0] - pair[1]) > max(1.0, 0.02 * pair[0])}


def _are_turned(store: Store, first: Mapping[str, TableRow], spans: Sequence[Span], wrong: Sequence[str]) -> bool:
    """Whether the width of a few of the wrong ones would be the right number of steps."""
    known = {span.video: span for span in spans}
    try:
        widths = {v: store.array(v, first[v].stream, "features", 0, 1).shape[1] for v in evenly(wrong, LOOKED_AT)}
    except StoreError:
        return False
    return all(known[video].fits(width) for video, width in widths.items())


def _import_again(store: Store) -> str:
    if store.path.is_dir():
        return import_folder(store)
    return "repeat features.importer with --replace and"


def _actions(
    truth: Annotations, first: dict[str, TableRow], clips: Clips, span: int, made_elsewhere: bool
) -> Iterator[Finding]:
    short, long, beyond = Counter[str](), Counter[str](), Counter[str]()
    total = 0
    for video, row in first.items():
        segments = truth.videos[video].segments
        if not len(segments) or not row.fps > 0:
            continue
        total += len(segments)
        step_s = clips.stride / row.fps
        lengths = segments[:, 1] - segments[:, 0]
        short[video] += int((lengths < step_s).sum())
        long[video] += int((lengths > span * step_s).sum())
        end_s = ((row.num_steps - 1) * clips.stride + clips.window) / row.fps
        beyond[video] += int((segments[:, 0] > end_s).sum())
    finer = "Import features of a smaller stride" if made_elsewhere else "Extract with a smaller --stride"
    for kind, counts, what, remedy in (
        ("action-shorter-than-step", short, f"are shorter than a step of {clips.stride} frames", finer),
        (
            "action-longer-than-span",
            long,
            f"are longer than a sample of {span} steps",
            "Raise --set sampling.max_length, or use features of a larger stride",
        ),
        (
            "action-after-features",
            beyond,
            "begin after the last clip: no feature sees them",
            "Check stride, rate and durations; or are the features cut short?",
        ),
    ):
        count = sum(counts.values())
        if count:
            severity = WARNING if count > MANY * total or kind == "action-after-features" else NOTE
            concerned = tuple(video for video in counts if counts[video])
            yield Finding(
                kind,
                severity,
                f"{count} of {total} actions {what}",
                remedy,
                concerned,
            )


def evenly(names: Sequence[str], count: int) -> list[str]:
    """So many of the names, evenly spread."""
    if len(names) <= count:
        return list(names)
    return [names[int(place)] for place in np.linspace(0, len(names) - 1, count)]
