"""Bring features made elsewhere into a feature store.

    python -m features.importer --npy i3d_features/ --features features/thumos.h5 --annotations thumos14.json
    python -m features.importer --npy i3d_features/ --features features/mine.h5 --fps 30 --window 64 --stride 64
    python -m features.importer --npy npy/ --features features/demo2.h5 --annotations demo/annotations.json
    python -m features.importer --csv anet_features/ --features features/anet.h5 --annotations anet.json --stretch

--npy: one (T, D) array per video in .npy, .npz, .pkl or .pt files; 2048 columns are RGB then flow, others RGB, unless
--columns says what they are. Folders rgb/ and flow/, and the files of video_features (VIDEO_rgb.npy, VIDEO_flow.npy,
VIDEO_fps.npy, VIDEO_timestamps_ms.npy), are streams of one video, with the rate and times of the files.
--file: files that hold many videos each: HDF5 (G-TAD's rgb_val.h5 and flow_val.h5, P-GCN's, ActivityNet's), .npz, .pkl,
.pt. Nothing in a .pkl or .pt is run: arrays (tensors) and dictionaries of them are read, anything else is refused.
--convention: clips, rate and order of features that many people use, by name.
--csv: one row of numbers per step under a header line, as mmaction2 and BSN publish them.
Frame rates and durations come from --annotations (ActivityNet's layout or mmaction2's), or one --fps serves all; window
and stride from the grid.json that features.export leaves, or from --window and --stride.
--stretch: the steps share the duration of the video evenly, whatever their number (features resized to 100 steps).
Videos already in the store are skipped; one that cannot be read costs itself and the exit code (3).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from command.exit_codes import ExitCode
from command.runner import run_command
from features.files.layout import StoreError
from features.files.naming import Naming
from features.importing.annotated import read_annotated
from features.importing.conventions import CONVENTIONS, Convention
from features.importing.folder import import_all
from features.importing.provenance import refuse_target
from features.importing.survey import OPTIONS, Columns, ImportOutcome, Request, printable
from features.importing.trim import USUAL, trim
from features.storage.store import build_index


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def work(args: argparse.Namespace) -> int:
    outcome = run(requested(args), args.trim)
    print(f"{args.features}: indexed; {len(outcome.videos)} videos imported, {len(outcome.failures)} files failed")
    return ExitCode.FAILURES if outcome.failures else ExitCode.DONE


def run(request: Request, trim_steps: int | None) -> ImportOutcome:
    """Imports, indexes and trims; notes go to stderr."""
    refuse_target(request.store, request.folder, request.annotations)
    outcome = import_all(request)
    build_index(request.store)
    if trim_steps is not None:
        trimmed = trim(request.store, outcome.videos, trim_steps)
        build_index(request.store)
        outcome.failures += trimmed.problems
        outcome.notes += [f"{video}: {problem}" for video, problem in trimmed.problems.items()]
        if trimmed.cut:
            outcome.notes.append(f"trimmed {len(trimmed.cut)} streams, e.g. {trimmed.cut[0]} steps")
    for note in outcome.notes:
        print(printable(f"{request.store}: {note}"), file=sys.stderr)
    return outcome


def requested(args: argparse.Namespace) -> Request:
    known = read_annotated(args.annotations) if args.annotations else {}
    usual = CONVENTIONS[args.convention] if args.convention else Convention("")
    fps, stretch = args.fps, args.stretch or usual.stretch
    if usual.resampled and not fps:
        fps, known = usual.resampled, {video: one._replace(fps=None) for video, one in known.items()}
    return Request(
        folder=args.npy or args.csv or one_folder(args.file),
        files=tuple(args.file or ()),
        every=args.every or usual.every,
        resampled=bool(usual.resampled and not args.fps),
        store=args.features,
        suffixes=tuple(suffix for suffix, option in OPTIONS.items() if option == ("--npy" if args.npy else "--csv")),
        fps=fps,
        window=args.window or usual.window,
        stride=args.stride or usual.stride,
        stretch=stretch,
        annotations=args.annotations,
        known=known,
        naming=Naming(args.strip_folders, args.prefix, args.suffix, args.add_prefix, args.ignore_case),
        columns=args.columns,
        array=args.array,
        transposed=args.layout == "DT",
        backbone=args.backbone,
        replace=args.replace,
    )


def one_folder(files: Sequence[Path]) -> Path:
    """The folder of files of many videos; StoreError where they have several."""
    folders = list(dict.fromkeys(file.parent for file in files))
    if len(folders) > 1:
        raise StoreError(f"{folders[0]} and {folders[1]}: --file takes files of one folder. Import folder by folder")
    return folders[0]


def parse_columns(text: str) -> Columns:
    """ "flow=0:1024,rgb=1024:2048" -> slices."""
    columns = {}
    for item in text.split(","):
        stream, _, span = item.partition("=")
        start, _, stop = span.partition(":")
        if not (stream and start.isdecimal() and stop.isdecimal() and int(start) < int(stop)):
            raise argparse.ArgumentTypeError(f"{item!r}: expected stream=start:stop, e.g. rgb=0:1024")
        if stream in columns:
            raise argparse.ArgumentTypeError(f"{stream!r} stands twice")
        columns[stream] = slice(int(start), int(stop))
    return columns


def parse_rate(text: str) -> float:
    rate = float(text)
    if not (math.isfinite(rate) and rate > 0):
        raise argparse.ArgumentTypeError(f"{text}: expected frames per second above 0")
    return rate


def parse_frames(text: str) -> int:
    frames = int(text)
    if frames < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a number of frames from 1")
    return frames


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m features.importer", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--npy", type=Path, metavar="DIR", help="directory of .npy, .npz, .pkl or .pt files")
    where.add_argument("--csv", type=Path, metavar="DIR", help="directory of .csv files")
    where.add_argument("--file", type=Path, nargs="+", help="HDF5, .npz, .pkl or .pt files that hold many videos each")
    add("--convention", choices=list(CONVENTIONS), help="; ".join(f"{n}: {c.what}" for n, c in CONVENTIONS.items()))
    add("--features", type=Path, required=True, help="feature store to write, e.g. features/thumos.h5")
    add("--annotations", type=Path, help="annotation JSON with the fps and duration of each video")
    add("--fps", type=parse_rate, help="frame rate of videos that the annotations do not know")
    add("--window", type=parse_frames, help="frames seen by one clip (default: by grid.json or the files, else 16)")
    add("--stride", type=parse_frames, help="frames between clip starts (default: by grid.json or the files, else 4)")
    add("--every", type=parse_frames, metavar="N", help="take each Nth row alone: rows of single frames")
    add("--stretch", action="store_true", help="steps share the duration evenly")
    add("--columns", type=parse_columns, help="which columns are which stream: flow=0:1024,rgb=1024:2048")
    add("--array", metavar="NAME", help="array in .npz files (default: feats, features, arr_0 or the only one)")
    add("--layout", choices=("TD", "DT"), default="TD", help="DT: arrays lie (D, T) and are transposed (default: TD)")
    add("--prefix", default="", help='taken off the file names, e.g. "v_" (default: none)')
    add("--suffix", default="", help='taken off the file names, e.g. "_rgb" (default: none)')
    add("--strip-folders", action="store_true", help="leave folders out of the ids: train/v1.npy is v1")
    add("--add-prefix", default="", metavar="PREFIX", help='put before the file names, e.g. "v_" (default: none)')
    add("--ignore-case", action="store_true", help="take the ids as the annotations write them")
    trim_help = f"cut the longer of a video's cues to the shorter, by at most STEPS (default: {USUAL})"
    add("--trim", type=parse_frames, nargs="?", const=USUAL, metavar="STEPS", help=trim_help)
    add("--replace", action="store_true", help="overwrite features of these videos that came from elsewhere")
    add("--backbone", default="unknown", help="what made the features (default: unknown)")
    args = parser.parse_args(argv)
    if args.stretch and (args.window or args.stride or args.fps):
        parser.error("--stretch takes the times from the durations: leave --fps, --window and --stride away")
    return args


if __name__ == "__main__":
    sys.exit(main())
