"""Is motion worth it on my data, and does distillation bring it to RGB? From videos and annotations to the answer.

    python -m flowless.compare --videos videos/ --annotations annotations.json --out compare/ --workers 8 --dry-run
    python -m flowless.compare --videos videos/ --annotations annotations.json --out compare/ --workers 8
    python -m flowless.compare --features features/demo.h5 --annotations demo/annotations.json --out out --dry-run

Makes flow, the features of RGB and motion, a student that learns motion from RGB, detectors by every method with every
head and seed, their detections on the test subset, scores and cost; writes compare/report.html, accuracy.png (accuracy
against cost), table.md (rewritten as runs end) and results.json. Every step is a command of this project, whose output
stands in compare/jobs. What is done is recognised and left alone: to go on after an interruption, or to add a method, a
head or a seed, repeat the command.
--dry-run prints the commands that are left, with hours and bytes.

methods   motion-only, rgb-only, two-stream, decomposed, direct (default), and augmented-rgb, decomposed-frozen,
          student-alone, student-no-teacher, rgb-twice; of a second cue two-stream-gradient. Teachers are made as well
student   shipped (with the backbone), distill (a second network), twin (in one with the RGB network), none, or weights

Exit code 3: some runs failed; the others are in the report. On a cluster: --shard I/N (docs/cluster.md).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import features
from command.exit_codes import ExitCode
from command.outputs import check_outputs
from command.runner import run_command
from detect.heads import HEADS
from detect.missing import MISSING
from evaluate.files.annotation_files import truth_files
from evaluate.files.annotations import Annotations, read_annotations
from extract.cues.cue import MOTION_CUES
from extract.world.worlds import PRESETS
from features.running.options import parse_shard
from features.storage.store import StoreError
from flow.decode.listing import list_videos
from flowless.comparing.asked import (
    DISTILL,
    STUDENTS,
    TWIN,
    Asked,
    CompareError,
    Network,
    check_weights,
    choose_student,
    choose_subsets,
    student_of,
    without_file,
)
from flowless.comparing.estimate import FPS, Estimate
from flowless.comparing.methods import NAMES, chosen
from flowless.comparing.plan import plan, training_folder
from flowless.comparing.running import dry_run, link_videos, make_world, report, run_all
from train.recipes.recipe import NAMES as RECIPES


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def work(args: argparse.Namespace) -> int:
    shard, shards = args.shard or (0, 1)
    if args.preset is not None and not make_world(args, shard):
        return ExitCode.DONE if args.dry_run else ExitCode.FAILURES
    check_outputs({"--out": args.out / "table.md"}, truth_files(args.annotations))
    truth = read_annotations(args.annotations, strict=False, repair="clip")
    asked, lacking = ask(args, truth, shards)
    estimate = estimate_of(asked, truth)
    graph = plan(asked, estimate)
    if args.dry_run:
        return dry_run(asked, graph)
    if asked.student in (DISTILL, TWIN) and asked.videos:
        link_videos(training_folder(asked.out), {v: asked.listed[v] for v in estimate.train_videos})
    runner = run_all(asked, graph, shard)
    return report(asked, runner, truth, lacking)


def ask(args: argparse.Namespace, truth: Annotations, shards: int) -> tuple[Asked, list[str]]:
    """What is to be compared, checked; and the annotated videos that have no file."""
    listed = list_videos(args.videos) if args.videos else {}
    network = network_of(args)
    cues = tuple(dict.fromkeys(args.cues))
    streams: set[str] = set()
    if listed:
        check_weights(network, cues)
    else:
        streams = streams_of(args.features)
    own = args.student if args.student not in (None, *STUDENTS) else None
    if own is not None and not Path(own).is_file():
        raise CompareError(f"--student {own}: no such file; expected {', '.join(STUDENTS)}, or weights of a student")
    student = own or choose_student(args.student, network, streams, bool(listed))
    try:
        methods = chosen(args.methods, cues, student_of(DISTILL if own else student))
    except KeyError as error:
        named = [*NAMES, *(f"{name}-{cue}" for cue in cues[1:] for name in NAMES)]
        raise CompareError(f"--methods {error.args[0]}: there are {', '.join(named)}") from None
    train, test = choose_subsets(truth, args.train_subset, args.subset)
    used = [video for video, one in truth.videos.items() if one.subset in (train, test)]
    lacking = without_file(truth.only(used), listed, args.missing) if listed else []
    more = [word for each in args.set for word in ("--set", each)]
    more += ["--recipe", args.recipe] if args.recipe else []
    more += ["--epochs", str(args.epochs)] if args.epochs is not None else []
    asked = Asked(
        args.annotations, args.out, args.features or args.out / "features.h5", args.flow or args.out / "flow.h5",
        tuple(methods), tuple(dict.fromkeys(args.heads)), tuple(dict.fromkeys(args.seeds)), cues, train, test,
        tuple(args.videos or ()), listed, network, student, tuple(more), args.tiou, args.missing, args.device,
        args.workers, shards,
    )  # fmt: skip
    return asked, lacking


def network_of(args: argparse.Namespace) -> Network:
    given = {"rgb": args.rgb_weights, "flow": args.flow_weights, "gradient": args.gradient_weights}
    return Network(args.backbone, {cue: path for cue, path in given.items() if path is not None})


def streams_of(path: Path | None) -> set[str]:
    """Of a store that is there."""
    if path is None:
        raise CompareError("give --videos to make features of, or --features that are there, or --preset demo")
    store = features.open(path)
    if not store.videos:
        raise StoreError(f"{path}: holds no videos")
    return {stream for video in store.videos for stream in store.streams(video)}


def estimate_of(asked: Asked, truth: Annotations) -> Estimate:
    """From the durations that the annotations tell; videos that are not annotated count as the others do."""
    known = {v: one.duration_s for v, one in truth.videos.items() if one.duration_s > 0}
    there = list(asked.listed) or [
        v for v, one in truth.videos.items() if one.subset in (asked.train_subset, asked.subset)
    ]
    mean = sum(known.values()) / len(known) if known else 0.0
    seconds = {video: known.get(video, mean) for video in there}
    frames = {
        video: s * ((truth.videos[video].fps or FPS) if video in truth.videos else FPS) for video, s in seconds.items()
    }
    train = [v for v in truth.subset(asked.train_subset).videos if not asked.listed or v in asked.listed]
    test = list(truth.subset(asked.subset).videos)
    share = sum(frames.get(v, 0.0) for v in train) / (sum(frames.values()) or 1.0)
    minutes = sum(seconds.get(v, 0.0) for v in train) / 60
    return Estimate(train, test, minutes, sum(frames.values()), share, asked.network.kind if asked.videos else None)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m flowless.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder for the runs, the table and the report")
    add("--videos", nargs="+", action="extend", metavar="PATH", help="files, folders, globs or .txt lists of paths")
    add("--annotations", type=Path, help="annotation JSON, or a folder of THUMOS'14 text")
    add("--preset", choices=list(PRESETS), help="instead of both: the synthetic world of this name, made in --out")
    add("--methods", nargs="+", metavar="METHOD", help="see above (default: the first five, and of a second cue "
        "motion-only and two-stream)")  # fmt: skip
    add("--heads", nargs="+", choices=sorted(HEADS), default=["actionformer"], metavar="HEAD", help="of "
        f"{', '.join(sorted(HEADS))} (default: actionformer)")  # fmt: skip
    add("--seeds", nargs="+", type=int, default=[0], metavar="N", help="of the trainings (default: 0)")
    add("--cues", nargs="+", choices=MOTION_CUES, default=["flow"], help="motion whose features are made (flow); the "
        "first teaches")  # fmt: skip
    group = parser.add_argument_group("features")
    group.add_argument("--features", type=Path, help="feature store: to write, or without --videos to read "
                       "(default: OUT/features.h5)")  # fmt: skip
    group.add_argument("--flow", type=Path, help="flow store to write (default: OUT/flow.h5)")
    group.add_argument("--backbone", help="network that sees the clips (default: i3d_inception; of a preset: nano)")
    for cue in ("rgb", *MOTION_CUES):
        group.add_argument(f"--{cue}-weights", type=Path, metavar="FILE", help=f"checkpoint for {cue}")
    group.add_argument("--student", metavar="KIND", help="see above (default: shipped where there is one, else twin)")
    group = parser.add_argument_group("training and judging")
    group.add_argument("--train-subset", help="default: Training; of THUMOS'14 Validation")
    group.add_argument("--subset", help="to detect in and judge on (default: the protocol's, Test, or Validation)")
    group.add_argument("--tiou", help="thresholds, as of evaluate.run (default: the protocol's)")
    group.add_argument("--recipe", choices=["auto", *RECIPES], help="of train.run (default: auto)")
    group.add_argument("--epochs", type=int, help="of the trainings (default: the recipe's)")
    group.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", help="as of train.run; may be repeated"
    )
    group.add_argument("--missing", choices=MISSING, default="refuse", help="videos without file or features: "
                       "refuse (default), or skip them: not learnt from, and their actions missed")  # fmt: skip
    group = parser.add_argument_group("running")
    group.add_argument("--workers", type=int, default=1, help="jobs, or videos of one job, at a time (default: 1)")
    group.add_argument("--shard", type=parse_shard, metavar="I/N", help="do the I-th of N shares, I from 0")
    group.add_argument("--device", help="of networks and detectors: auto, cpu, cuda ... (default: each command's own)")
    group.add_argument(
        "--dry-run", action="store_true", help="print what is done and what is left, with hours and bytes"
    )
    args = parser.parse_args(argv)
    if args.workers < 1:
        parser.error(f"--workers {args.workers}: expected 1 or more")
    if args.preset is not None:
        if args.videos or args.annotations:
            parser.error("--preset makes videos and annotations; leave --videos and --annotations out")
        args.videos, args.annotations = [str(args.out / "videos")], args.out / "annotations.json"
    elif args.annotations is None:
        parser.error("--annotations is missing (flowless.annotations makes them of a table), or --preset demo")
    args.backbone = args.backbone or ("nano" if args.preset else "i3d_inception")
    return args


if __name__ == "__main__":
    sys.exit(main())
