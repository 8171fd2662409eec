"""Detect actions in video files, from RGB alone.

    python -m detect.video --detector demo/runs/seed0/decomposed/detector.pt --out out/ demo/videos/test_0000.mp4
    python -m detect.video --detector runs/thumos/detector.pt --weights rgb_imagenet.pt --out out/ --burn videos/

Writes out/detections.json (ActivityNet's results format, every detection) and out/index.html, a page to watch the
videos with what was detected in them, and with --annotations the truth: open it in a browser; it links the videos where
they are. For each video it writes what is likely (at least --min-score): a table VIDEO.csv, a picture of the timeline
VIDEO.png and, with --burn, a copy VIDEO.mp4 with the labels written into it. Frames are streamed: memory does not grow
with the video. A video that cannot be read costs itself and the exit code (3); Ctrl-C or SIGTERM (75) and a full disk
(74) leave what is finished and nothing half-written. Nothing that is read is ever written over.

A detector knows how many steps a second of its training videos held. Where a video gives another number, a note says
so: --fps takes frames at the rate of training. With it, a folder of numbered pictures is a video too.

    from detect.video import detect_actions

    for action in detect_actions("video.mp4", "runs/decomposed/detector.pt"):
        print(f"{action.start_s:.1f}-{action.end_s:.1f} s  {action.label}  {action.score:.2f}")
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from command.exit_codes import ExitCode
from command.outputs import refuse_overwriting
from command.runner import run_command
from command.writing import DISK_ERRORS
from detect.deployed.detectors import load_detector
from detect.inference import detect
from detect.model.detector import Detector, DetectorError
from detect.precision import set_precision
from detect.shown import PAGE, Action, Page, actions_of, browsers_play, tell, write_shown
from evaluate.files.annotation_files import truth_files
from evaluate.files.annotations import read_annotations
from evaluate.files.detections import write_detections
from extract.burn import burn_labels
from extract.pipeline.new_videos import Embedder
from extract.pipeline.onnx_networks import OnnxEmbedder, beside
from extract.pipeline.settings import SettingsError
from features.computing.onnx_files import SUFFIX
from features.computing.precision import add_precision, choose_precision
from features.files.dashes import parse_args
from features.files.streams import shows
from features.running.devices import OF_EXTRACTION, add_device, choose_device
from features.running.report import write_report
from features.running.stopwatch import Stopwatch
from features.storage.grid import ClipGrid
from features.storage.rates import note_of_a_video
from flow.decode.video import MIN_DECODED, VideoError, list_videos, probe

MIN_SCORE = 0.3  # of what people are shown; the JSON keeps everything
NOTES = 3  # about frame rates, told one by one
RUNTIMES = ("torch", "onnx")


def detect_actions(
    video: Path | str,
    detector: "Detector | Path | str",
    weights: Path | str | Sequence[Path | str] | None = None,
    min_score: float = 0.0,
    device: str = "auto",
    fps: float | None = None,
    own: Sequence[str] = (),
) -> list[Action]:
    """The actions of one video file, best first. weights: files of the backbones that do not ship with the package.

    fps: frames at this rate, and the rate of a folder of pictures; None: as they come. own: backbones of one's own, as
    package.module:Class, that may be imported.
    Raises VideoError, DetectorError, DeviceError, SettingsError or WeightsError, each saying what to do; warns where
    the frame rate is not that of training.
    """
    networks = None
    if not isinstance(detector, Detector):
        networks = onnx_backbone(Path(detector))
        detector = load_detector(Path(detector), choose_device(device, OF_EXTRACTION))
    files = [weights] if isinstance(weights, str | Path) else list(weights or [])
    embedder = make_embedder(detector, [Path(file) for file in files], fps=fps, own=own, networks=networks)
    actions, record = detect_file(Path(video), detector, embedder)
    if record["note"]:
        warnings.warn(record["note"], stacklevel=2)
    return [action for action in actions if action.score >= min_score]


def make_embedder(
    detector: Detector,
    weights: Sequence[Path] = (),
    batch: int = 0,
    fps: float | None = None,
    min_decoded: float = MIN_DECODED,
    own: Sequence[str] = (),
    networks: Path | None = None,
) -> Embedder:
    """The backbones that a detector was trained behind, or those of a file of ONNX; DetectorError where others would
    answer."""
    if not all(shows(cue, "rgb") for cue in detector.cues):
        raise DetectorError(
            f"this detector reads {' and '.join(detector.cues)}; detect.video detects from RGB alone. Extract the "
            "features with extract.rgb and extract.motion and use detect.run"
        )
    config = detector.config
    feature_ids = {cue: config.feature_ids.get(cue) or "" for cue in detector.cues}
    if not all(feature_ids.values()):
        raise DetectorError("this detector does not say which features it was trained on: use detect.run")
    if networks is not None:
        return onnx_embedder(networks, detector, batch=batch, fps=fps, min_decoded=min_decoded)
    device = str(detector.device)
    try:
        return Embedder(feature_ids, config.window, config.stride, weights, device, batch, fps, min_decoded, own)
    except SettingsError as error:
        raise DetectorError(f"this detector was trained on features that no video gives here: {error}") from None


def onnx_backbone(detector: Path) -> Path | None:
    """The file of ONNX beside a detector's, where detect.export wrote one."""
    file = beside(detector)
    return file if detector.suffix == SUFFIX and file.is_file() else None


def onnx_embedder(networks: Path, detector: Detector, **options: Any) -> Embedder:
    """The networks of a file, which must be those behind this detector."""
    embedder, config = OnnxEmbedder(networks, **options), detector.config
    made = ({cue: embedder.streams.get(cue) for cue in detector.cues}, embedder.window, embedder.stride)
    if made != ({cue: config.feature_ids[cue] for cue in detector.cues}, config.window, config.stride):
        raise DetectorError(
            f"{networks}: gives features {made[0]} (window {made[1]}, stride {made[2]}), but the detector was trained "
            f"on {config.feature_ids} ({config.window}, {config.stride}): export both with one detect.export --backbone"
        )
    return embedder


def detect_file(video: Path, detector: Detector, embedder: Embedder) -> tuple[list[Action], dict[str, Any]]:
    """The actions of one file, best first; what they cost, with a note on the frame rate or "", and the codec."""
    config = detector.config
    info = probe(video, fps=embedder.settings.fps)
    rate = info.fps / config.stride
    note = note_of_a_video(video.name, rate, config.steps_per_s, config.stride, of_pictures=video.is_dir())
    watch = Stopwatch(str(detector.device))
    with tqdm(total=info.num_frames, desc=video.name, unit=" frames", unit_scale=True, leave=False) as bar:
        made = embedder(video, watch, lambda frames: bar.update(frames - bar.n))
    with watch("detector"):
        grid = ClipGrid(made.t_center, config.stride / info.fps)
        found = detect(detector, made.features, grid, info.duration_s)
    actions = actions_of(found, config.classes)
    record = {"duration_s": info.duration_s, "frames": made.num_frames, "seconds": watch.seconds, "note": note}
    record |= {"device": embedder.settings.device, "precision": detector.head.precision, "codec": info.codec}
    return actions, {**record, "threads": torch.get_num_threads()}


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv, again="Finished videos are written. Repeat the command")


def work(args: argparse.Namespace) -> int:
    videos = list_videos(args.videos, fps=args.fps)
    lists = [Path(given) for given in args.videos if Path(given).is_file()]
    truth = truth_files(args.annotations) if args.annotations else []
    refuse_overwriting(
        outputs(args, videos),
        [*videos.values(), args.detector, *args.weights, *lists, *truth, beside(args.detector)],
        "Give --out a folder of its own; nothing was begun",
    )
    annotations = read_annotations(args.annotations, repair="keep") if args.annotations else None
    device = choose_device(args.device, OF_EXTRACTION)
    detector = load_detector(args.detector, device)
    if args.detector.suffix != SUFFIX:
        set_precision(detector, choose_precision(args.precision, device, detector.config.precision))
    networks = onnx_backbone(args.detector)
    embedder = make_embedder(detector, args.weights, args.batch, args.fps, args.min_decoded, args.backbone, networks)
    page = Page(args.out, args.min_score, annotations)
    try:
        return run(args, videos, detector, embedder, page)
    except KeyboardInterrupt:
        page.write()
        raise


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m detect.video", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="files, folders, globs or .txt lists of paths")
    parser.add_argument(
        "--detector", type=Path, required=True, help="detector.pt of a training run, or detect.export's"
    )
    parser.add_argument(
        "--runtime",
        choices=RUNTIMES,
        help="what runs the networks (default: onnx for a detector FILE.onnx, else torch)",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="of a backbone, as extract.rgb was given it for training; repeat it for a second one, in any order",
    )
    parser.add_argument(
        "--backbone",
        action="append",
        default=[],
        metavar="MODULE:CLASS",
        help="a backbone of your own that the detector was trained behind, to be imported; may be repeated",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--fps", type=float, metavar="N", help="frames at this rate (default: as they come)")
    parser.add_argument(
        "--min-decoded", type=float, default=MIN_DECODED, help="share of a file's frames that must decode (%(default)s)"
    )
    parser.add_argument("--min-score", type=float, default=MIN_SCORE, help="of what is shown (default: %(default)s)")
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="the truth, shown beside the detections")
    parser.add_argument("--burn", action="store_true", help="write copies of the videos with the labels in them")
    parser.add_argument(
        "--batch", type=int, default=0, help="clips embedded at a time (default: the backbone's choice)"
    )
    add_device(parser, OF_EXTRACTION)
    add_precision(parser, "as the detector was trained, where the device computes in it itself")
    args: argparse.Namespace = parse_args(parser, argv)
    if args.detector.suffix == SUFFIX and args.precision == "bfloat16":
        parser.error(f"--precision bfloat16: {args.detector} computes as it was exported; give detector.pt")
    if args.runtime and (args.runtime == "onnx") is not (args.detector.suffix == SUFFIX):
        parser.error(
            f"--runtime {args.runtime}: onnx runs FILE.onnx, which detect.export writes, and torch detector.pt; this "
            f"is {args.detector}"
        )
    return args


def outputs(args: argparse.Namespace, videos: dict[str, Path]) -> list[Path]:
    """Everything that this command may write."""
    suffixes = (".csv", ".png", ".mp4") if args.burn else (".csv", ".png")
    of_videos = [args.out / f"{name}{suffix}" for name in videos for suffix in suffixes]
    return [args.out / "detections.json", args.out / "report.json", args.out / PAGE, *of_videos]


def run(args: argparse.Namespace, videos: dict[str, Path], detector: Detector, embedder: Embedder, page: Page) -> int:
    """One video after the other; the JSON is whole after each."""
    args.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    records: dict[str, dict[str, Any]] = {}
    failures, notes, unplayed = [], [], []
    source = {"detector": str(args.detector), "cues": list(detector.cues), "feature_ids": detector.config.feature_ids}
    for name, path in videos.items():
        try:
            actions, record = detect_file(path, detector, embedder)
            notes += [note] if (note := record.pop("note")) else []
            codec = record.pop("codec")
            unplayed += [] if args.burn or browsers_play(path, codec) else [f"{codec} in {path.suffix or 'a folder'}"]
            if note and len(notes) <= NOTES:
                tqdm.write(f"note: {note}", file=sys.stderr)
            shown = [action for action in actions if action.score >= args.min_score]
            for remark in write_shown(args.out, name, shown, record["duration_s"], args.min_score):
                tqdm.write(f"note: {remark}", file=sys.stderr)
            if args.burn:
                classes, target = detector.config.classes, args.out / f"{name}.mp4"
                burn_labels(path, target, shown, classes, record["duration_s"], args.fps, args.min_decoded)
        except (VideoError, OSError) as error:
            if isinstance(error, OSError) and error.errno in DISK_ERRORS:
                raise
            failures.append({"video": name, "cause": type(error).__name__, "message": str(error)})
            tqdm.write(f"{type(error).__name__}: {error}", file=sys.stderr)
            continue
        records[name] = record
        results[name] = ([action[:2] for action in actions], [a.score for a in actions], [a.label for a in actions])
        write_detections(args.out / "detections.json", results, source)
        page.add(name, path, actions, record["duration_s"], args.out / f"{name}.mp4" if args.burn else None)
        page.write(due=True)
        tell(name, shown)
    if len(notes) > NOTES:
        print(f"note: {len(notes)} of {len(videos)} videos have another frame rate than training", file=sys.stderr)
    for note in page.finish():
        print(f"note: {note}", file=sys.stderr)
    report = args.out / "report.json"
    write_report(report, "detect.video", records, failures, device=embedder.settings.device)
    print(f"{len(results)} of {len(videos)} videos; {args.out / 'detections.json'}, cost in {report}", file=sys.stderr)
    if unplayed:
        what = ", ".join(dict.fromkeys(unplayed))
        told = f"note: browsers do not play {len(unplayed)} of {len(videos)} videos ({what})"
        print(f"{told}: with --burn they get copies that the page plays", file=sys.stderr)
    if results:
        print(f"to watch them: open {page.path.absolute().as_uri()} in a browser", file=sys.stderr)
    return ExitCode.FAILURES if failures else ExitCode.DONE
