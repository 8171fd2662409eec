"""What annotations say by themselves: flaws, subsets, classes that are never seen in training or in testing."""

from collections import Counter
from collections.abc import Iterator

from evaluate.files.annotations import FLAWS, Annotations
from evaluate.files.names import class_key, twins
from evaluate.files.subsets import usual_subset
from train.checks.finding import ERROR, NOTE, WARNING, Finding

FEW = 5  # instances of a class in training, below which nobody learns much
SURELY_OTHER_UNIT = 0.5  # of the actions lie outside their video: the times are no seconds


def check_labels(truth: Annotations, train_subset: str | None = None) -> Iterator[Finding]:
    """truth: read with strict=False, so that flaws stand in it."""
    yield from _flaws(truth)
    if not truth.num_segments:
        yield Finding("no-actions", ERROR, f"{truth.source} holds no action", "Annotate some, or name another file")
        return
    yield from _subsets(truth, train_subset)
    for one, other in twins(truth.classes):
        remedy = f"If they are one, give both the same label in {truth.source}"
        yield Finding(
            "class-twins", WARNING, f"the classes {one!r} and {other!r} differ only by how they are written", remedy
        )
    unknown = tuple(video for video, one in truth.videos.items() if one.duration_s != one.duration_s)
    if unknown:
        yield Finding(
            "no-duration",
            NOTE,
            f"{len(unknown)} videos have no duration in the annotations",
            "Texts of THUMOS'14 tell none; the annotations' JSON does",
            unknown,
        )


def _flaws(truth: Annotations) -> Iterator[Finding]:
    outside = [flaw for flaw in truth.flaws if flaw.kind == "outside"]
    total = truth.num_segments + sum(flaw.action == "dropped" for flaw in truth.flaws)
    for kind, meaning in FLAWS.items():
        found = [flaw for flaw in truth.flaws if flaw.kind == kind]
        if not found:
            continue
        videos = tuple(dict.fromkeys(flaw.video for flaw in found))
        start, end = found[0].segment
        remedy = "Correct the file; or let them be cut or left out: --repair clip (or drop) of evaluate.run"
        if kind == "outside" and len(outside) > SURELY_OTHER_UNIT * total:
            remedy = _unit(truth, outside[0].video, end)
        severity = NOTE if truth.dataset else ERROR
        if truth.dataset:
            remedy = f"{truth.dataset} is published so: nothing to do"
        yield Finding(
            f"segment-{kind}",
            severity,
            f"{len(found)} of {total} actions: each {meaning}, the first from {start:g} to {end:g}",
            remedy,
            videos,
        )


def _unit(truth: Annotations, video: str, end: float) -> str:
    one = truth.videos[video]
    if one.fps and end / one.fps <= one.duration_s * 1.05:
        return f"These look like frames: divide by the frame rate ({one.fps:g}); segments are in seconds"
    if end / 1000 <= one.duration_s * 1.05:
        return "These look like milliseconds: segments are in seconds"
    return "Most actions lie outside their videos: segments are in seconds; check them, and the durations"


def _subsets(truth: Annotations, train_subset: str | None) -> Iterator[Finding]:
    names = truth.subsets
    wanted = train_subset or usual_subset(truth)
    training = [name for name in names if name.lower() == wanted.lower()]
    there = ", ".join(repr(name) for name in names)
    spelt: dict[str, set[str]] = {}
    for name in names:
        spelt.setdefault(class_key(name), set()).add(name)
    for written in spelt.values():
        if len(written) > 1:
            yield Finding(
                "subset-twins",
                WARNING,
                f"subsets are written in several ways: {sorted(written)}",
                "Write them alike: upper and lower case are the same, blanks are not",
            )
    if not training:
        likely = next((name for name in names if name.lower().startswith(("train", "dev"))), names[0])
        yield Finding(
            "no-training-subset",
            ERROR,
            f"no subset is called {wanted.capitalize()!r}; there are {there}",
            f"Say which to learn from: train.run --train-subset {likely!r}",
        )
        return
    if len(names) == len(training):
        yield Finding(
            "no-test-subset",
            WARNING,
            f"all videos are of the subset {there}",
            "Set some aside to test on: flowless.annotations --split .7/.1/.2 makes subsets",
        )
        return
    counts = {name: _instances(truth, name) for name in names}
    learnt: Counter[str] = sum((counts[name] for name in training), Counter())
    tested: Counter[str] = sum((counts[name] for name in names if name not in training), Counter())
    if lost := sorted(set(tested) - set(learnt)):
        yield Finding(
            "class-never-learnt",
            WARNING,
            f"{len(lost)} classes are tested and never seen in training: {_listed(lost)}; their AP is 0",
            "Split anew so that each class is in both (flowless.annotations "
            "--split), or correct the spelling of labels",
        )
    if lost := sorted(set(learnt) - set(tested)):
        yield Finding(
            "class-never-tested",
            NOTE,
            f"{len(lost)} classes are learnt and never tested: {_listed(lost)}",
            "mAP leaves them out; nothing to do, or split anew",
        )
    if rare := sorted(name for name, count in learnt.items() if count < FEW):
        yield Finding(
            "class-rare",
            NOTE,
            f"{len(rare)} classes have fewer than {FEW} actions to learn from: {_listed(rare)}",
            "Annotate more of them, or join classes",
        )


def _instances(truth: Annotations, subset: str) -> Counter[str]:
    rows = [one for one in truth.videos.values() if one.subset == subset]
    return Counter(truth.classes[label] for one in rows for label in one.labels)


def _listed(names: list[str], shown: int = 5) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
