"""Why does it not learn? Features, annotations and videos compared with each other, and what to do about each finding.

    python -m flowless.doctor --features features/demo.h5 --annotations demo/annotations.json
    python -m flowless.doctor --features npy/ --annotations annotations.json --videos videos/
    python -m flowless.doctor --features features/mine.h5 --annotations annotations.json --all --json doctor.json

Looks for names that differ, missing features and videos, durations, frame rates and steps that disagree, subsets and
classes that are never seen, actions shorter than a step or longer than a sample, and features that are zero, constant,
NaN, repeated, transposed, swapped or of several kinds. The arrays of 100 videos are read, and the packets of 20 video
files; --all reads all. Whether rgb and flow are swapped in *every* video cannot be told from numbers.

error: a run would stop, or learn nothing; warning: it would learn less; note: worth knowing. Exit code 0 if there are
at most notes, 3 with errors or warnings, 2 if it could not begin.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import features
from command.errors import told_apart
from command.exit_codes import ExitCode
from command.outputs import check_outputs
from command.runner import run_command
from command.writing import write_json
from evaluate.files.annotation_files import truth_files
from evaluate.files.annotations import Annotations, read_annotations
from features.files.layout import StoreError
from features.storage.store import Store
from flow.decode.video import list_videos
from flowless.seen import Seen, look_at
from train.checks.examine import SAMPLE, SPAN, examine, ordered, sampled
from train.checks.finding import ERROR, NOTE, SEVERITIES, WARNING, Finding
from train.checks.labels import check_labels
from train.checks.names import check_files, match
from train.checks.spans import evenly, other_durations, other_rates

FILES = 20  # video files that are opened without --all


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m flowless.doctor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--features", type=Path, required=True, help="feature store, or directory of .npy files")
    add("--annotations", type=Path, required=True, help="annotation JSON, or folder of THUMOS'14 text")
    add("--videos", nargs="+", action="extend", metavar="PATH", help="the videos as well: files, folders, globs, lists")
    add("--train-subset", metavar="NAME", help="subset to learn from (default: Training; of THUMOS'14 Validation)")
    add("--span", type=int, default=SPAN, help="steps of the longest training sample (default: %(default)s)")
    add("--fps", type=float, help="frames per second of .npy files (default: as annotated, or in their grid.json)")
    add("--all", action="store_true", help="read all arrays and open all videos")
    add("--json", type=Path, metavar="OUT", help="write the findings as JSON, with the names of all videos")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def work(args: argparse.Namespace) -> int:
    began = time.perf_counter()
    videos = list_videos(args.videos) if args.videos else {}
    check_outputs({"--json": args.json}, [args.features, *truth_files(args.annotations), *videos.values()])
    truth = read_annotations(args.annotations, strict=False, repair="clip")
    sample = None if args.all else SAMPLE
    store, findings = opened(args.features, truth, args.fps)
    if store is None:
        findings += check_labels(truth, args.train_subset)
    else:
        findings += examine(store, truth, train_subset=args.train_subset, span=args.span, sample=sample)
    if videos:
        findings += check_videos(truth, videos, None if args.all else FILES)
    findings = ordered(findings)
    for one in findings:
        print(one)
    read = len(sampled(store, truth, sample)) if store is not None else 0
    counts = Counter(one.severity for one in findings)
    there = len(store.videos) if store is not None else 0
    whole = "" if args.all or read == there else "; --all reads the rest"
    print(
        f"{args.features}: {counts[ERROR]} errors, {counts[WARNING]} warnings, {counts[NOTE]} notes; "
        f"{len(truth.videos)} annotated videos, arrays of {read} of {there} read{whole}"
    )
    if args.json:
        summary = {
            "schema": "flowless/doctor/1",
            "features": str(args.features),
            "annotations": str(args.annotations),
            "counts": {severity: counts[severity] for severity in SEVERITIES},
            "arrays_read": read,
            "seconds": round(time.perf_counter() - began, 2),
            "findings": [one.to_json() for one in findings],
        }
        write_json(args.json, summary)
    return ExitCode.FAILURES if counts[ERROR] + counts[WARNING] else ExitCode.DONE


def opened(path: Path, truth: Annotations, fps: float | None) -> tuple[Store | None, list[Finding]]:
    """The store; or none and why, where files are there and cannot be taken as they are.

    Frame rates of .npy files are those annotated, as in train.run.
    """
    if not path.exists() or path.is_file():
        return features.open(path, verify=False), []
    rates: float | Mapping[str, float] | None = fps or {v: one.fps for v, one in truth.videos.items() if one.fps}
    found: list[Finding] = []
    for given in (rates, None):
        try:
            store = features.open(path, fps=given or None, verify=False)
            remarks = [Finding("clips-unknown", NOTE, one.rstrip("."), "grid.json beside the files tells them, or "
                               "features.importer --window --stride") for one in store.remarks]  # fmt: skip
            return store, found + remarks
        except StoreError as error:
            what, remedy = told_apart(str(error), "Repair or remove these files")
            found.append(Finding(_kind(what), ERROR, what, remedy))
            if found[-1].kind != "fps-differs":
                break
    return None, found


def _kind(what: str) -> str:
    told = (("transposed", "transposed"), ("fps of video", "fps-differs"), ("directory without", "no-features"))
    return next((kind for words, kind in told if words in what), "features-unreadable")


def check_videos(truth: Annotations, videos: Mapping[str, Path], most: int | None) -> Iterator[Finding]:
    """Files against annotations; of `most` of them the packets are read, of all if it is None."""
    matched = match(truth, videos)
    yield from check_files(truth, matched)
    names = {video: matched.pairs.get(video, video) for video in truth.videos}
    there = [video for video in names if names[video] in videos]
    chosen = there if most is None else evenly(there, most)
    opened_files = look_at({names[video]: videos[names[video]] for video in chosen})
    seen = {video: opened_files[names[video]] for video in chosen}
    bad = {video: one for video, one in seen.items() if one.problem}
    if bad:
        what, remedy = told_apart(next(iter(bad.values())).problem, "Repair the files")
        yield Finding("video-damaged", WARNING, f"{len(bad)} of {len(seen)} videos opened cannot be read whole: {what}",
                      f"{remedy}; flowless.probe lists all", tuple(bad))  # fmt: skip
    yield from _times(truth, {video: one for video, one in seen.items() if one.readable})


def _times(truth: Annotations, seen: Mapping[str, Seen]) -> Iterator[Finding]:
    """Durations and frame rates of files against those annotated."""
    lengths = other_durations(truth, {video: one.duration_s for video, one in seen.items()})
    if lengths:
        video, (file, told) = next(iter(lengths.items()))
        yield Finding("video-duration-differs", WARNING, f"{len(lengths)} of {len(seen)} videos opened last otherwise "
                      f"than is annotated: {video!r} {file:.1f} s, annotated {told:.1f} s", "Another cut of the video, "
                      "or cut short: fetch those that were annotated", tuple(lengths))  # fmt: skip
    rates = other_rates(truth, {video: one.fps for video, one in seen.items()})
    if rates:
        video, (fps, told) = next(iter(rates.items()))
        yield Finding("video-fps-differs", WARNING, f"{len(rates)} of {len(seen)} videos opened have another frame "
                      f"rate than is annotated: {video!r} {fps:.4g}, annotated {told:.4g}", "Correct 'fps' in the "
                      "annotations; imported features take their times from it", tuple(rates))  # fmt: skip
    if varying := tuple(video for video, one in seen.items() if one.is_vfr):
        yield Finding("video-variable-rate", NOTE, f"{len(varying)} of {len(seen)} videos opened have a variable frame "
                      "rate", "Times of frames are taken from the file; features made elsewhere may have ignored them",
                      varying)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
