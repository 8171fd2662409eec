"""Pack the parts of a feature store into shards, or into one self-contained file.

    python -m features.pack features/demo.h5 --shards 16                  # index -> 16 shards, parts kept
    python -m features.pack features/demo.h5 --shards 16 --remove-parts   # ... and deleted once the shards stand
    python -m features.pack features/demo.h5 --single demo_all.h5       # one file to send around
    python -m features.pack features/demo.h5 --index                      # only write the index again

Every array is hashed on the way. A packed store is read and resumed like any other.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from command.exit_codes import ExitCode
from command.runner import run_command
from features.files.layout import DamagedParts
from features.storage.index import build_index
from features.storage.shards import write_shards, write_single


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def work(args: argparse.Namespace) -> int:
    if args.index:
        return write_index(args.store)
    try:
        if args.single:
            written = [write_single(args.store, args.single)]
        else:
            written = write_shards(args.store, args.shards, keep_parts=not args.remove_parts)
    except RuntimeError as error:  # HDF5 may fail on closing, too
        raise OSError(f"{args.store}: {error}") from error
    for path in written:
        tell(path)
    return ExitCode.DONE


def write_index(store: Path) -> int:
    """The index of what can be read; parts that cannot are told, and set the exit code."""
    try:
        tell(build_index(store))
    except DamagedParts as error:
        print(f"StoreError: {error}", file=sys.stderr)
        return ExitCode.FAILURES
    return ExitCode.DONE


def tell(path: Path) -> None:
    print(f"{path}  {path.stat().st_size / 1e6:,.1f} MB")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m features.pack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path, help="index of the feature store")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--shards", type=int, metavar="N", help="pack into N files behind the same index")
    what.add_argument("--single", type=Path, metavar="OUT", help="copy everything into one file")
    what.add_argument("--index", action="store_true", help="write the index of parts and shards again")
    parser.add_argument("--remove-parts", action="store_true", help="with --shards: delete the parts that were packed")
    args = parser.parse_args(argv)
    if args.shards is not None and args.shards < 1:
        parser.error(f"--shards {args.shards}: expected a number from 1")
    return args


if __name__ == "__main__":
    sys.exit(main())
