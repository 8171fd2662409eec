"""Bring features made elsewhere into a feature store.

    python -m features.importer --npy i3d_features/ --features features/thumos.h5 --annotations thumos14.json
    python -m features.importer --npy i3d_features/ --features features/mine.h5 --fps 30 --window 64 --stride 64
    python -m features.importer --csv anet_features/ --features features/anet.h5 --annotations anet.json --stretch

--npy: one (T, D) array per video; 2048 columns are RGB then flow, others RGB, unless --columns says what they are.
--csv: one row of numbers per step under a header line, as mmaction2 and BSN publish them.
Frame rates and durations come from --annotations (database -> video -> fps, duration), or one --fps serves all.
--stretch: the steps share the duration of the video evenly, whatever their number (features resized to 100 steps).
Videos already in the store are skipped; one that cannot be read costs itself and the exit code (3).
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from features.commit import DISK_ERRORS
from features.grid import ClipGrid
from features.index import refuse_single
from features.layout import IMPORTED
from features.npy import TWO_STREAM
from features.parts import array_digest
from features.store import Part, StoreError, build_index, fingerprint, is_done, write_part

Columns = dict[str, slice]


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    try:
        timing = Timing(args.fps, args.window, args.stride, args.stretch, read_videos(args.annotations))
        failures = import_all(args.npy or args.csv, args.features, timing, args.columns, args.backbone, args.prefix)
        build_index(args.features)
    except StoreError as error:
        print(f"StoreError: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{args.features}: not written: {error}", file=sys.stderr)
        return 74
    print(f"{args.features}: indexed; {len(failures)} videos failed")
    return 3 if failures else 0


@dataclass(frozen=True)
class Timing:
    """Where the steps of imported features lie in time."""

    fps: float | None
    window: int
    stride: int
    stretch: bool
    videos: dict[str, dict[str, Any]]  # of the annotations: duration and fps

    def place(self, video: str, num_steps: int) -> tuple[ClipGrid, dict[str, Any]]:
        """The grid of a video, and the attributes that say the same."""
        known = self.videos.get(video, {})
        duration_s, fps = known.get("duration"), known.get("fps") or self.fps
        if self.stretch:
            if not duration_s:
                raise StoreError(f"video {video!r}: --stretch needs its duration from --annotations")
            fps = num_steps / float(duration_s)
            grid = ClipGrid.regular(num_steps, fps, 1, 1)
            return grid, {"window": 1, "stride": 1, "fps": fps, "duration_s": float(duration_s)}
        if not fps:
            raise StoreError(f"video {video!r}: no frame rate: give --fps, or --annotations that have it")
        grid = ClipGrid.regular(num_steps, float(fps), self.window, self.stride)
        duration_s = float(duration_s or (num_steps * self.stride + self.window) / fps)
        return grid, {"window": self.window, "stride": self.stride, "fps": float(fps), "duration_s": duration_s}


def import_all(
    folder: Path, store: Path, timing: Timing, columns: Columns | None, backbone: str, prefix: str
) -> list[str]:
    """Writes a part per video and stream; returns the videos that could not be read, each said on stderr."""
    files = sorted([*folder.rglob("*.npy"), *folder.rglob("*.csv")])
    if not files:
        raise StoreError(f"{folder}: no .npy or .csv files here")
    refuse_single(store)
    failures = []
    for file in tqdm(files, desc="import", unit=" videos"):
        video = file.relative_to(folder).with_suffix("").as_posix().removeprefix(prefix)
        try:
            _import_video(file, video, store, timing, columns, backbone)
        except (StoreError, ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno in DISK_ERRORS:
                raise
            tqdm.write(f"{file}: {error}", file=sys.stderr)
            failures.append(video)
    if len(failures) == len(files):
        raise StoreError(f"{folder}: none of {len(files)} files could be imported; the reasons stand above")
    return failures


def _import_video(file: Path, video: str, store: Path, timing: Timing, columns: Columns | None, backbone: str) -> None:
    array = np.load(file) if file.suffix == ".npy" else np.loadtxt(file, delimiter=",", skiprows=1, ndmin=2)
    if array.ndim != 2 or array.dtype.kind != "f":
        raise StoreError(f"expected a (T, D) array of floats, got {array.shape} {array.dtype}")
    grid, attributes = timing.place(video, len(array))
    for stream, chosen in (columns or default_columns(array.shape[1])).items():
        features = array[:, chosen]
        if features.shape[1] != chosen.stop - chosen.start:
            raise StoreError(f"{array.shape[1]} columns, but {stream} should be {chosen.start}:{chosen.stop}")
        settings = {
            "imported": file.suffix[1:],
            "backbone": backbone,
            "columns": [chosen.start, chosen.stop],
            "clips": "stretched" if timing.stretch else [timing.window, timing.stride],
        }
        made = fingerprint({**settings, **attributes, "data": array_digest(features)})
        if is_done(store, video, stream, made):
            continue
        identity = {"fingerprint": made, "feature_id": fingerprint(settings), "backbone": backbone}
        arrays = {"features": features, "t_center": grid.t_center}
        origin = {"origin": IMPORTED, "imported_from": file.name}
        write_part(store, Part(video, stream, arrays, {**attributes, **identity, **origin}))


def default_columns(width: int) -> Columns:
    if width == TWO_STREAM:
        return {"rgb": slice(0, TWO_STREAM // 2), "flow": slice(TWO_STREAM // 2, TWO_STREAM)}
    return {"rgb": slice(0, width)}


def read_videos(path: Path | None) -> dict[str, dict[str, Any]]:
    """The database of an ActivityNet-style annotation file; only durations and frame rates are used."""
    if path is None:
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["database"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: not an annotation file with a database of videos ({error!r})") from error


def parse_columns(text: str) -> Columns:
    """ "flow=0:1024,rgb=1024:2048" -> slices."""
    columns = {}
    for item in text.split(","):
        stream, _, span = item.partition("=")
        start, _, stop = span.partition(":")
        if not (stream and start.isdigit() and stop.isdigit() and int(start) < int(stop)):
            raise argparse.ArgumentTypeError(f"{item!r}: expected stream=start:stop, e.g. rgb=0:1024")
        columns[stream] = slice(int(start), int(stop))
    return columns


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="features.importer", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--npy", type=Path, metavar="DIR", help="directory of .npy files")
    where.add_argument("--csv", type=Path, metavar="DIR", help="directory of .csv files")
    parser.add_argument("--features", type=Path, required=True, help="feature store to write, e.g. features/thumos.h5")
    parser.add_argument("--annotations", type=Path, help="annotation JSON with the fps and duration of each video")
    parser.add_argument("--fps", type=float, help="frame rate of videos that the annotations do not know")
    parser.add_argument("--window", type=int, default=16, help="frames seen by one clip (default: 16)")
    parser.add_argument("--stride", type=int, default=4, help="frames between clip starts (default: 4)")
    parser.add_argument("--stretch", action="store_true", help="steps share the duration evenly")
    parser.add_argument(
        "--columns", type=parse_columns, help="which columns are which stream: flow=0:1024,rgb=1024:2048"
    )
    parser.add_argument("--prefix", default="", help='taken off the file names, e.g. "v_" (default: none)')
    parser.add_argument("--backbone", default="unknown", help="what made the features (default: unknown)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
