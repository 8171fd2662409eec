"""Detect actions in video files, from RGB alone.

    python -m detect.video --detector runs/decomposed/detector.pt --out out/ video.mp4
    python -m detect.video --detector runs/thumos/detector.pt --weights rgb_imagenet.pt --out out/ --burn videos/

Writes out/detections.json (ActivityNet's results format, every detection), and for each video what is likely (at least
--min-score): a table VIDEO.csv, a picture of the timeline VIDEO.png and, with --burn, a copy VIDEO.mp4 with the labels
written into it. Frames are streamed: memory does not grow with the video. A video that cannot be read costs itself and
the exit code (3); Ctrl-C (75) leaves what is finished and nothing half-written.

    from detect.video import detect_actions

    for action in detect_actions("video.mp4", "runs/decomposed/detector.pt"):
        print(f"{action.start_s:.1f}-{action.end_s:.1f} s  {action.label}  {action.score:.2f}")
"""

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from detect.detector import Detector, DetectorError
from detect.inference import detect
from evaluate.detections import DetectionError, write_detections
from evaluate.strips import Strip, make_row
from evaluate.timeline import draw_timeline
from extract.burn import burn_labels
from extract.checkpoints import WeightsError
from extract.embedder import Embedder
from extract.settings import SettingsError
from features.commit import write_whole
from features.grid import ClipGrid
from features.report import write_report
from features.stopwatch import Stopwatch
from flow.video import VideoError, list_videos, probe

MIN_SCORE = 0.3  # of what people are shown; the JSON keeps everything
INTERRUPTED = 75


class Action(NamedTuple):
    """One detected action."""

    start_s: float
    end_s: float
    label: str
    score: float


def detect_actions(
    video: Path | str,
    detector: "Detector | Path | str",
    weights: Path | str | None = None,
    min_score: float = 0.0,
    device: str = "auto",
) -> list[Action]:
    """The actions of one video file, best first. weights: of the backbone, if it does not ship with any.

    Raises VideoError, DetectorError or WeightsError, each saying what to do.
    """
    detector = detector if isinstance(detector, Detector) else Detector.load(detector, choose_device(device))
    embedder = make_embedder(detector, None if weights is None else Path(weights))
    actions, _ = detect_file(Path(video), detector, embedder)
    return [action for action in actions if action.score >= min_score]


def make_embedder(detector: Detector, weights: Path | None, batch: int = 0) -> Embedder:
    """The backbone that a detector was trained behind; DetectorError where another one would answer."""
    if detector.cues != ("rgb",):
        raise DetectorError(
            f"this detector reads {' and '.join(detector.cues)}; detect.video detects from RGB alone. Extract the "
            "features with extract.rgb and extract.motion and use detect.run"
        )
    config = detector.config
    feature_id = config.feature_ids.get("rgb")
    if feature_id is None:
        raise DetectorError("this detector does not say which features it was trained on: use detect.run")
    device = str(next(detector.parameters()).device)
    try:
        embedder = Embedder(feature_id, config.window, config.stride, weights, device, batch)
    except SettingsError as error:
        raise DetectorError(f"this detector was trained on features that no video gives here: {error}") from None
    if embedder.feature_id != feature_id:
        raise DetectorError(
            f"this detector was trained on features {feature_id}; with "
            f"{weights or 'no --weights'} they would be {embedder.feature_id}. Give the very file of weights "
            "that extract.rgb was given for training with --weights"
        )
    return embedder


def detect_file(video: Path, detector: Detector, embedder: Embedder) -> tuple[list[Action], dict[str, Any]]:
    """The actions of one file, best first, and the record of what they cost."""
    info = probe(video)
    watch = Stopwatch(str(next(detector.parameters()).device))
    with tqdm(total=info.num_frames, desc=video.name, unit=" frames", unit_scale=True, leave=False) as bar:
        made = embedder(video, watch, lambda frames: bar.update(frames - bar.n))
    with watch("detector"):
        grid = ClipGrid(made.t_center, detector.config.stride / info.fps)
        found = detect(detector, {"rgb": made.features}, grid, info.duration_s)
    names = [detector.config.classes[label] for label in found.labels]
    rows = zip(found.segments.tolist(), names, found.scores.tolist(), strict=True)
    actions = [Action(start, end, label, score) for (start, end), label, score in rows]
    record = {"duration_s": info.duration_s, "frames": made.num_frames, "seconds": watch.seconds}
    return actions, {**record, "device": embedder.settings.device, "threads": torch.get_num_threads()}


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    try:
        videos = list_videos(args.videos)
        detector = Detector.load(args.detector, choose_device(args.device))
        embedder = make_embedder(detector, args.weights, args.batch)
        return run(args, videos, detector, embedder)
    except (DetectorError, DetectionError, VideoError, WeightsError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        for leftover in args.out.rglob("*.part"):
            leftover.unlink(missing_ok=True)
        print("interrupted: finished videos are written, nothing is half-written", file=sys.stderr)
        return INTERRUPTED


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m detect.video", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="files, folders, globs or .txt lists of paths")
    parser.add_argument("--detector", type=Path, required=True, help="detector.pt of a training run")
    parser.add_argument("--weights", type=Path, help="of the backbone, as extract.rgb was given them for training")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--min-score", type=float, default=MIN_SCORE, help="of what is shown (default: %(default)s)")
    parser.add_argument("--burn", action="store_true", help="write copies of the videos with the labels in them")
    parser.add_argument(
        "--batch", type=int, default=0, help="clips embedded at a time (default: the backbone's choice)"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: auto)")
    return parser.parse_args(argv)


def choose_device(asked: str) -> str:
    return asked if asked != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def run(args: argparse.Namespace, videos: dict[str, Path], detector: Detector, embedder: Embedder) -> int:
    """One video after the other; the JSON is whole after each."""
    results: dict[str, Any] = {}
    records: dict[str, dict[str, Any]] = {}
    failures = []
    note = {"detector": str(args.detector), "cues": list(detector.cues), "feature_ids": detector.config.feature_ids}
    for name, path in videos.items():
        try:
            actions, records[name] = detect_file(path, detector, embedder)
            shown = [action for action in actions if action.score >= args.min_score]
            write_shown(args.out, name, shown, records[name]["duration_s"], args.min_score)
            if args.burn:
                duration_s = records[name]["duration_s"]
                burn_labels(path, args.out / f"{name}.mp4", shown, detector.config.classes, duration_s)
        except VideoError as error:
            failures.append({"video": name, "cause": "VideoError", "message": str(error)})
            tqdm.write(f"VideoError: {error}", file=sys.stderr)
            continue
        results[name] = ([action[:2] for action in actions], [a.score for a in actions], [a.label for a in actions])
        write_detections(args.out / "detections.json", results, note)
        tell(name, shown)
    report = args.out / "report.json"
    write_report(report, "detect.video", records, failures, device=embedder.settings.device)
    print(f"{len(results)} of {len(videos)} videos; {args.out / 'detections.json'}, cost in {report}", file=sys.stderr)
    return 3 if failures else 0


def write_shown(out: Path, name: str, actions: Sequence[Action], duration_s: float, min_score: float) -> None:
    """Table and timeline of one video; a slash in its name is a folder."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["start_s", "end_s", "label", "score"])
    for action in sorted(actions):
        writer.writerow([f"{action.start_s:.3f}", f"{action.end_s:.3f}", action.label, f"{action.score:.4f}"])
    write_whole(out / f"{name}.csv", table.getvalue().encode())
    labels = sorted({action.label for action in actions})
    rows = [
        make_row(
            label,
            [action[:2] for action in actions if action.label == label],
            [label] * sum(action.label == label for action in actions),
            [action.score for action in actions if action.label == label],
            least=min_score,
            best=1.0,
        )
        for label in labels
    ]
    draw_timeline([Strip(name, duration_s, tuple(rows or [make_row("nothing found", [], [], [], least=min_score)]))],
                  out / f"{name}.png")  # fmt: skip


def tell(name: str, actions: Sequence[Action]) -> None:
    """What a person wants to read first."""
    print(f"{name}: {len(actions)} actions")
    for action in sorted(actions)[:20]:
        print(f"  {action.start_s:8.2f} - {action.end_s:8.2f} s  {action.score:.2f}  {action.label}")
    if len(actions) > 20:
        print(f"  ... and {len(actions) - 20} more in the table")


if __name__ == "__main__":
    sys.exit(main())
