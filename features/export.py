"""Write a feature store as a directory of .npy files, as ActionFormer, OpenTAD and their kin read them.

    python -m features.export features/thumos.h5 --out npy/                      # (T, D) float32, "rgb" then "flow"
    python -m features.export features/thumos.h5 --out npy/ --streams rgb

One <video>.npy per video; the streams stand side by side in the order given. grid.json tells features.open and
features.importer window, stride and frame rates; times of videos with a variable frame rate cannot be told in this
layout and are named.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

import features
from features.commit import whole_file
from features.grid import ClipGrid
from features.grid_file import write_grid_file
from features.store import Store, StoreError


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="features.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path, help="feature store: index or single file")
    parser.add_argument("--out", type=Path, required=True, help="directory to write")
    parser.add_argument("--streams", help='by comma, side by side in this order (default: "rgb,flow" as far as there)')
    args = parser.parse_args(argv)
    try:
        store = features.open(args.store)
        there = {row.stream for row in store.rows}
        streams = args.streams.split(",") if args.streams else [name for name in ("rgb", "flow") if name in there]
        uneven = export(store, args.out, streams)
    except StoreError as error:
        print(f"StoreError: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{args.out}: not written: {error}", file=sys.stderr)
        return 74
    print(f"{args.out}: {len(store.videos)} videos, {' then '.join(streams)}")
    if uneven:
        print(f"uneven frame rate, times lost in {len(uneven)} videos: {', '.join(uneven[:10])}", file=sys.stderr)
    return 0


def export(store: Store, out: Path, streams: list[str]) -> list[str]:
    """Writes the files; returns the videos whose clip times are not those of a constant frame rate."""
    if not streams:
        raise StoreError(f"{store.path}: no stream rgb or flow to export; name others with --streams")
    store.check(store.videos, streams)
    made, rates, uneven = set(), {}, []
    for video in tqdm(store.videos, desc="export", unit=" videos"):
        target = out / f"{video}.npy"
        if not target.resolve().is_relative_to(out.resolve()):
            raise StoreError(f"{store.path}: video {video!r} would be written outside {out}")
        joined = np.concatenate([store.read(video, stream) for stream in streams], axis=1).astype(np.float32)
        attributes = store.attributes(video, streams[0])
        window, stride, fps = attributes["window"], attributes["stride"], attributes["fps"]
        made.add((window, stride))
        rates[video] = fps
        grid = store.grid(video, streams[0])
        if np.abs(grid.t_center - ClipGrid.regular(len(joined), fps, window, stride).t_center).max() > 0.5 / fps:
            uneven.append(video)
        with whole_file(target) as temporary, temporary.open("wb") as file:
            np.save(file, joined)
    if len(made) > 1:
        raise StoreError(f"{store.path}: videos differ in (window, stride): {sorted(made)}; one directory holds one")
    ((window, stride),) = made
    write_grid_file(out, window, stride, rates)
    return uneven


if __name__ == "__main__":
    sys.exit(main())
