"""Detect actions in the videos of a feature store.

    python -m detect.run --detector runs/decomposed/detector.pt --features features/demo.h5 --out detections.json
    python -m detect.run --detector runs/decomposed/detector.pt --features features/demo.h5 --out detections.json \\
        --annotations demo/annotations.json --subset Test

Writes detections in ActivityNet's results JSON, and beside them a report of what each video cost: seconds of compute
for reading and for the detector. Reads only the cues that the detector was made for. Videos without features, and
features made otherwise than those of training, are refused. Exit code 3: some videos could not be read.
"""

import argparse
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from detect.detector import Detector, DetectorError
from detect.inference import check_store, detect_video
from evaluate.annotations import AnnotationError, Annotations, read_annotations
from evaluate.detections import DetectionError, write_detections
from features.dashes import parse_args
from features.rates import note_of_many, rates_of
from features.report import write_report
from features.store import Store, StoreError
from features.store import open as open_store


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    torch.set_num_threads(args.threads)
    try:
        annotations = read_annotations(args.annotations, strict=False) if args.annotations else None
        if annotations is not None and args.subset:
            annotations = annotations.subset(args.subset)
        detector = Detector.load(args.detector, args.device)
        store = open_features(args, annotations)
        videos = choose_videos(args, store, annotations)
        failed = run(args, detector, store, videos, annotations)
    except (DetectorError, StoreError, AnnotationError, DetectionError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 74
    except KeyboardInterrupt:
        print("interrupted: nothing was written; repeat the command", file=sys.stderr)
        return 75
    return 3 if failed else 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m detect.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--detector", type=Path, required=True, help="detector.pt of a training run")
    parser.add_argument("--features", type=Path, required=True, help="feature store, or a directory of .npy files")
    parser.add_argument("--out", type=Path, required=True, help="detections to write (JSON)")
    parser.add_argument(
        "--videos", nargs="+", action="extend", help="ids of the videos (default: all of --subset, or of the store)"
    )
    parser.add_argument("--annotations", type=Path, help="annotations that know --subset, and the fps of .npy files")
    parser.add_argument("--subset", help="videos of this subset of --annotations")
    parser.add_argument("--fps", type=float, help="frames per second of .npy files (default: by --annotations)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: auto)")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default: 1, as every worker has)")
    args = parse_args(parser, argv, ids=True)
    if args.threads < 1:
        parser.error(f"--threads {args.threads}: expected 1 or more")
    if args.subset and not args.annotations:
        parser.error("--subset needs --annotations")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch sees no CUDA device here; take --device cpu")
    if args.device == "auto":
        args.device = "cuda" if torch.cuda.is_available() else "cpu"
    return args


def open_features(args: argparse.Namespace, annotations: Annotations | None) -> Store:
    """The store; .npy files know no frame rate, so it comes from --fps or the annotations."""
    fps: Any = args.fps
    if fps is None and annotations is not None:
        fps = {video: truth.fps for video, truth in annotations.videos.items() if truth.fps is not None}
    return open_store(args.features, fps=fps or None)


def choose_videos(args: argparse.Namespace, store: Store, annotations: Annotations | None) -> list[str]:
    if args.videos:
        return list(dict.fromkeys(args.videos))
    if args.subset and annotations is not None:
        return list(annotations.videos)
    return list(store.videos)


def run(
    args: argparse.Namespace, detector: Detector, store: Store, videos: list[str], annotations: Annotations | None
) -> int:
    """Detects, writes detections and report; returns how many videos failed."""
    check_store(detector, store, videos)
    if remark := note_of_many(
        rates_of(store, videos, detector.cues[0], detector.config.stride), detector.config.steps_per_s
    ):
        print(f"note: {remark}", file=sys.stderr)
    truths = annotations.videos if annotations is not None else {}
    durations_s = {video: truth.duration_s for video, truth in truths.items() if truth.duration_s > 0}
    detections, records, failures = {}, {}, []
    for video in tqdm(videos, unit="video", desc="detect"):
        try:
            found, seconds = detect_video(detector, store, video, durations_s.get(video))
        except StoreError as error:  # such as NaN, which is seen only when the features are read
            failures.append({"video": video, "cause": "StoreError", "message": str(error)})
            continue
        names = [detector.config.classes[label] for label in found.labels]
        detections[video] = (found.segments, found.scores, names)
        records[video] = {
            "duration_s": durations_s.get(video) or store.duration_s(video),
            "frames": int(store.attributes(video, detector.cues[0]).get("num_frames", 0)),
            "seconds": seconds,
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "device": args.device,
            "threads": torch.get_num_threads(),
        }
    if failures and not detections:  # one reason for all, such as no frame rate: no file is better than an empty one
        raise StoreError(failures[0]["message"])
    config = detector.config
    note = {"detector": str(args.detector), "features": str(args.features), "cues": detector.cues, "head": config.head}
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
