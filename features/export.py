"""Write a feature store as a directory of .npy files, as ActionFormer, OpenTAD and others read them.

    python -m features.export features/demo.h5 --out npy/                      # (T, D) float32, "rgb" then "flow"
    python -m features.export features/demo.h5 --out npy/ --streams rgb

One <video>.npy per video; the streams stand side by side in the order given. grid.json tells features.open and
features.importer window, stride and frame rates; times of videos with a variable frame rate cannot be told in this
layout and are named.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

import features
from command.runner import run_command
from command.writing import whole_file
from features.files.found import walk
from features.files.grid_file import write_grid_file
from features.running.options import add_verify
from features.storage.grid import ClipGrid
from features.storage.store import Store, StoreError


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m features.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path, help="feature store: index or single file")
    parser.add_argument("--out", type=Path, required=True, help="directory to write")
    parser.add_argument("--streams", help='by comma, side by side in this order (default: "rgb,flow" as far as there)')
    add_verify(parser)
    return parser.parse_args(argv)


def work(args: argparse.Namespace) -> int:
    store = features.open(args.store, verify=args.verify)
    there = {row.stream for row in store.rows}
    streams = args.streams.split(",") if args.streams else [name for name in ("rgb", "flow") if name in there]
    uneven = export(store, args.out, streams)
    print(f"{args.out}: {len(store.videos)} videos, {' then '.join(streams)}")
    if uneven:
        print(f"uneven frame rate, times lost in {len(uneven)} videos: {', '.join(uneven[:10])}", file=sys.stderr)
    return 0


def export(store: Store, out: Path, streams: list[str]) -> list[str]:
    """Writes the files; returns the videos whose clip times are not those of a constant frame rate."""
    window, stride, rates = _check(store, out, streams)
    uneven = []
    for video in tqdm(store.videos, desc="export", unit=" videos"):
        joined = np.concatenate([store.read(video, stream) for stream in streams], axis=1).astype(np.float32)
        t_center = store.grid(video, streams[0]).t_center
        regular = ClipGrid.regular(len(joined), rates[video], window, stride).t_center
        if np.abs(t_center - regular).max() > 0.5 / rates[video]:
            uneven.append(video)
        with whole_file(out / f"{video}.npy") as temporary, temporary.open("wb") as file:
            np.save(file, joined)
    write_grid_file(out, window, stride, rates)
    return uneven


def _check(store: Store, out: Path, streams: list[str]) -> tuple[int, int, dict[str, float]]:
    """Window, stride and rates of what can be written as one directory; StoreError before anything is written."""
    if not streams:
        raise StoreError(f"{store.path}: no stream rgb or flow to export; name others with --streams")
    if out.resolve() == store.path.resolve() or store.path.resolve() in out.resolve().parents:
        raise StoreError(f"{out}: lies in what would be read, {store.path}. Name another directory with --out")
    if out.exists() and not out.is_dir():
        raise StoreError(f"{out}: is a file. Name a directory with --out")
    store.check(store.videos, streams)
    made: dict[tuple[int, int], str] = {}
    rates = {}
    for video in store.videos:
        if not (out / f"{video}.npy").resolve().is_relative_to(out.resolve()):
            raise StoreError(f"{store.path}: video {video!r} would be written outside {out}")
        attributes = store.attributes(video, streams[0])
        if missing := [name for name in ("window", "stride", "fps") if name not in attributes]:
            lacks = " and no ".join(missing)
            raise StoreError(f"{store.path}: {streams[0]} of video {video!r} has no {lacks}, which grid.json tells")
        made.setdefault((int(attributes["window"]), int(attributes["stride"])), video)
        rates[video] = float(attributes["fps"])
    if len(made) > 1:
        shown = ", ".join(f"{clips} e.g. {video}" for clips, video in made.items())
        raise StoreError(f"{store.path}: videos differ in (window, stride): {shown}; one directory holds one")
    ours = {(out / f"{video}.npy").resolve() for video in store.videos}
    if out.is_dir() and (
        others := [file for file in walk(out) if file.suffix == ".npy" and file.resolve() not in ours]
    ):
        raise StoreError(
            f"{out}: {len(others)} other .npy files lie there, e.g. {others[0].name}, and would be read with the "
            "export. Name an empty directory with --out"
        )
    ((window, stride),) = made
    return window, stride, rates


if __name__ == "__main__":
    sys.exit(main())
