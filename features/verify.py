"""Read a whole feature store again and compare every array with the sha256 written beside it.

    python -m features.verify features/demo.h5

Also looked for: parts the index points to that are missing or unreadable, parts made anew after the index was written,
parts the index does not know, features that are not finite, streams of a video that do not belong together.
Exit code 0: all is well; 3: problems were found (each is printed with its remedy).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

import features
from command.exit_codes import ExitCode
from command.runner import run_command
from features.files.layout import parts_folder
from features.storage.store import Store, StoreError
from features.storage.table import read_rows


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m features.verify", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path, help="feature store: index, single file or directory of .npy files")
    return parser.parse_args(argv)


def work(args: argparse.Namespace) -> int:
    store = features.open(args.store)
    problems = verify(store)
    for problem in problems:
        print(problem)
    arrays = sum(len(store.streams(video)) for video in store.videos)
    print(f"{args.store}: {arrays} streams of {len(store.videos)} videos read, {len(problems)} problem(s)")
    return ExitCode.FAILURES if problems else ExitCode.DONE


def verify(store: Store) -> list[str]:
    """Everything that is wrong with a store, a line each; reads all of it."""
    problems = []
    pairs = [(video, stream) for video in store.videos for stream in store.streams(video)]
    for video, stream in tqdm(pairs, desc="verify", unit=" streams", disable=len(pairs) < 20):
        try:
            problems += _problems_of(store, video, stream)
        except StoreError as error:
            problems.append(str(error))
    problems += _misfits(store)
    problems += _unknown_parts(store)
    return problems


def _problems_of(store: Store, video: str, stream: str) -> list[str]:
    """Reads everything; the store compares it with its sha256, and refuses features that are not finite."""
    if store.row(video, stream).num_steps >= 0:
        store.read(video, stream)
    store.arrays(video, stream)
    return []


def _misfits(store: Store) -> list[str]:
    """Videos whose cues differ in length, video file, geometry or times."""
    problems = []
    for video in store.videos:
        cues = [stream for stream in store.streams(video) if store.row(video, stream).num_steps >= 0]
        try:
            store.check([video], cues)
        except StoreError as error:
            problems.append(str(error))
    return problems


def _unknown_parts(store: Store) -> list[str]:
    known = {(row.video, row.stream, row.fingerprint) for row in store.rows}
    problems = []
    for path in sorted(parts_folder(store.path).glob("*/*.h5")) if store.path.is_file() else []:
        try:
            rows = read_rows(path)
        except StoreError as error:
            problems.append(str(error))
            continue
        for row in rows:
            if (row.video, row.stream, row.fingerprint) not in known:
                problems.append(
                    f"{path}: not in the index. Write it again: python -m features.pack {store.path} --index"
                )
    return problems


if __name__ == "__main__":
    sys.exit(main())
