"""Detect actions in the videos of a feature store.

    python -m detect.run --detector demo/runs/seed0/decomposed/detector.pt --features features/demo.h5 --out all.json
    python -m detect.run --detector demo/runs/seed0/decomposed/detector.pt --features features/demo.h5 \\
        --annotations demo/annotations.json --subset Test --out test.json

Writes detections in ActivityNet's results JSON, and beside them a report of what each video cost: seconds of compute
for reading and for the detector. Reads only the cues that the detector was made for. Videos without features are
refused, or left out with --missing skip; features made otherwise than those of training are refused. Exit code 3: some
videos could not be read.

Heads that find actions without naming them have a classifier beside them in the detector. --class-scores takes scores
of the videos' classes from elsewhere in its place, {"video": {"class": 0.9, ...}, ...}, as published results do.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from command.exit_codes import ExitCode
from command.outputs import refuse_no_place
from command.runner import run_command
from detect.class_scores import WARNING, check_videos, read_class_scores
from detect.deployed.detectors import load_detector
from detect.deployed.workers import Answer, Question, ask_all, ask_workers, note_of_memory, together
from detect.inference import check_class_scores, check_store
from detect.missing import MISSING, REFUSE, with_features
from detect.model.detector import Detector
from evaluate.files.annotations import Annotations, read_annotations
from evaluate.files.detections import WITHOUT_FEATURES, write_detections
from features.computing.allocation import keep_freed_memory
from features.computing.compiling import add_compile
from features.computing.precision import add_precision
from features.files.dashes import parse_args
from features.running.devices import EVERYWHERE, add_device, choose_device
from features.running.options import add_verify
from features.running.report import write_report
from features.storage.rates import note_of_many, rates_of
from features.storage.store import Store, StoreError
from features.storage.store import open as open_store


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def work(args: argparse.Namespace) -> int:
    refuse_no_place("--out", args.out)
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    args.device = str(choose_device(args.device))
    detector = load_detector(args.detector, args.device, args.precision, args.compile and args.workers == 1)
    annotations = read_annotations(args.annotations, strict=False) if args.annotations else None
    if annotations is not None and args.subset:
        annotations = annotations.subset(args.subset)
    store = open_features(args, detector, annotations)
    asked = asked_videos(args, store, annotations)
    videos = with_features(store, asked, detector.cues, args.missing, missing_list(args.out))
    left_out = sorted(set(asked) - set(videos))
    failed = run(args, detector, store, videos, annotations, left_out)
    return ExitCode.FAILURES if failed else ExitCode.DONE


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m detect.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--detector", type=Path, required=True, help="detector.pt of a training run, or detect.export's"
    )
    parser.add_argument("--features", type=Path, required=True, help="feature store, or a directory of .npy files")
    parser.add_argument("--out", type=Path, required=True, help="detections to write (JSON)")
    parser.add_argument(
        "--videos", nargs="+", action="extend", help="ids of the videos (default: all of --subset, or of the store)"
    )
    parser.add_argument("--annotations", type=Path, help="annotations that know --subset, and the fps of .npy files")
    parser.add_argument("--subset", help="videos of this subset of --annotations")
    parser.add_argument("--fps", type=float, help="frames per second of .npy files (default: by --annotations)")
    parser.add_argument("--class-scores", type=Path, help="JSON of video -> class -> score in [0, 1], in place of the "
                        "detector's own classifier, for a head that names no classes")  # fmt: skip
    add_verify(parser)
    parser.add_argument("--missing", choices=MISSING, default=REFUSE,
                        help="videos without features: refuse (default), or skip them")  # fmt: skip
    add_device(parser, EVERYWHERE)
    add_precision(parser, "as the detector was trained, where the device computes in it itself")
    add_compile(parser, "parts of the detector")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU, in each process (default: 1)")
    parser.add_argument(
        "--workers", type=int, default=1, help="processes, each with a detector of its own (default: 1)"
    )
    args = parse_args(parser, argv, ids=True)
    for name in ("threads", "workers"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} {getattr(args, name)}: expected 1 or more")
    for out in (args.out, missing_list(args.out), args.out.with_name(f"{args.out.stem}.report.json")):
        for read in (args.detector, args.features, args.annotations, args.class_scores):
            if read is not None and out.resolve() == read.resolve():
                parser.error(f"--out {args.out}: would write over {read}, which is read; name another file")
    if args.subset and not args.annotations:
        parser.error("--subset needs --annotations")
    return args


def open_features(args: argparse.Namespace, detector: Detector, annotations: Annotations | None) -> Store:
    """The store; .npy files are opened with the window and stride that the detector was trained with.

    Their frame rates are those of --fps, the annotations or a grid.json beside the files, else those of training.
    """
    config = detector.config
    fps: dict[str, float] | float | None = args.fps
    if fps is None and annotations is not None:
        fps = {video: truth.fps for video, truth in annotations.videos.items() if truth.fps is not None} or None
    clips = {"window": config.window, "stride": config.stride}
    store = open_store(args.features, fps=fps, verify=args.verify, **clips)
    unknown = [row.video for row in store.rows if row.num_steps >= 0 and not row.fps > 0]
    if not unknown or not config.steps_per_s or not args.features.is_dir():
        return store
    rate = config.steps_per_s * config.stride
    print(f"{args.features}: the frame rate of {len(set(unknown))} videos is not known; taken for that of training, "
          f"{rate:g} per second (--fps says another)", file=sys.stderr)  # fmt: skip
    known = {row.video: row.fps for row in store.rows if row.fps > 0}
    return open_store(args.features, fps=dict.fromkeys(unknown, rate) | known, verify=args.verify, **clips)


def asked_videos(args: argparse.Namespace, store: Store, annotations: Annotations | None) -> list[str]:
    """The videos asked for, with features or without."""
    if args.videos:
        return list(dict.fromkeys(args.videos))
    if args.subset and annotations is not None:
        return list(annotations.videos)
    return list(store.videos)


def missing_list(out: Path) -> Path:
    """Beside the detections: the names of the videos without features."""
    return out.with_name(f"{out.stem}.missing.txt")


def told_classes(args: argparse.Namespace, detector: Detector, videos: list[str]) -> dict[str, NDArray[np.float64]]:
    """The scores of --class-scores by video, for the detector's classes; none without the option."""
    if args.class_scores is None:
        return {}
    check_class_scores(detector)
    scores = read_class_scores(args.class_scores, detector.config.classes)
    check_videos(args.class_scores, scores, videos)
    print(f"note: {args.class_scores}: {WARNING}", file=sys.stderr)
    return scores


def answers(
    args: argparse.Namespace, detector: Detector, store: Store, questions: Sequence[Question]
) -> Iterator[Answer]:
    """By this process, or by --workers of them: never more than there are videos."""
    groups = together(detector, store, questions)
    workers = min(args.workers, len(groups))
    if workers <= 1:
        return ask_all(detector, store, groups)
    opening = (args.detector, args.device, args.precision, args.compile, args.threads)
    return ask_workers(workers, *opening, store, groups)


def run(
    args: argparse.Namespace,
    detector: Detector,
    store: Store,
    videos: list[str],
    annotations: Annotations | None,
    left_out: list[str],
) -> int:
    """Detects, writes detections and report; returns how many videos failed. left_out: those without features."""
    check_store(detector, store, videos)
    told = told_classes(args, detector, videos)
    if remark := note_of_many(
        rates_of(store, videos, detector.cues[0], detector.config.stride), detector.config.steps_per_s
    ):
        print(f"note: {remark}", file=sys.stderr)
    truths = annotations.videos if annotations is not None else {}
    durations_s = {video: truth.duration_s for video, truth in truths.items() if truth.duration_s > 0}
    if remark := note_of_memory(detector, store, videos, args.workers):
        print(f"note: {remark}", file=sys.stderr)
    questions = [Question(video, durations_s.get(video), told.get(video)) for video in videos]
    detections, records, failures = {}, {}, []
    making = tqdm(answers(args, detector, store, questions), total=len(videos), unit="video", desc="detect")
    made = {answer.video: answer for answer in making}
    for answer in map(made.__getitem__, videos):
        if answer.found is None:
            failures += [answer.failure] if answer.failure else []
            continue
        names = [detector.config.classes[label] for label in answer.found.labels]
        detections[answer.video] = (answer.found.segments, answer.found.scores, names)
        records[answer.video] = answer.record
    if failures and not detections:  # one reason for all, such as no frame rate: no file is better than an empty one
        raise StoreError(failures[0]["message"])
    config = detector.config
    note = {"detector": str(args.detector), "features": str(args.features), "cues": detector.cues, "head": config.head}
    if left_out:
        note[WITHOUT_FEATURES] = left_out
    if args.class_scores:
        note["class_scores"] = str(args.class_scores)
    write_detections(args.out, detections, {**note, "feature_ids": config.feature_ids})
    report = args.out.with_name(f"{args.out.stem}.report.json")
    write_report(report, "detect.run", records, failures, device=args.device, threads=torch.get_num_threads())
    count = sum(len(scores) for _, scores, _ in detections.values())
    print(f"{args.out}: {count:,} detections in {len(detections)} videos; cost in {report}", file=sys.stderr)
    for failure in failures:
        print(f"not detected: {failure['video']}: {failure['message']}", file=sys.stderr)
    return len(failures)


if __name__ == "__main__":
    sys.exit(main())
