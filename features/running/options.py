"""Options that many commands share: of those that work through many videos, and of those that read stores."""

from __future__ import annotations

import argparse
from typing import Any

from features.running.engines import ENGINES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options; options(args) hands them to features.running.jobs.run."""
    group = parser.add_argument_group("running many videos")
    group.add_argument(
        "--workers", type=_positive, default=1, metavar="N", help="videos worked on at a time (default: 1)"
    )
    group.add_argument("--engine", choices=sorted(ENGINES), help="default: serial, or loky when N > 1")
    group.add_argument("--scheduler", help="of --engine dask: tcp://host:port or its JSON file; default: this machine")
    group.add_argument("--shard", type=parse_shard, metavar="I/N", help="only the I-th of N equal shares, I from 0")
    group.add_argument("--threads", type=_positive, default=1, help="threads of one worker (default: 1)")
    group.add_argument(
        "--hang-s", type=float, default=120.0, help="give a video up after so long without progress (120)"
    )
    group.add_argument(
        "--max-memory-gb", type=float, default=0.0, help="give a video up beyond this resident memory (0: no limit)"
    )
    group.add_argument(
        "--retries", type=int, default=0, help="new attempts after a crash, hang or overrun (default: 0)"
    )
    group.add_argument("--skip-failed", action="store_true", help="leave out what the last report lists as failed")
    group.add_argument("--dry-run", action="store_true", help="print what would be done, then stop")


def add_verify(parser: argparse.ArgumentParser, default: bool | None = True) -> None:
    """Adds --no-verify of commands that read stores: features.open(..., verify=args.verify).

    default: of args.verify where the option is not given; None where a configuration file may say otherwise.
    """
    parser.add_argument(
        "--no-verify",
        dest="verify",
        action="store_const",
        const=False,
        default=default,
        help="do not compare features with their sha256 when they are first read",
    )


def options(args: argparse.Namespace) -> dict[str, Any]:
    """The keywords of run that add_arguments asked for."""
    names = ("workers", "engine", "scheduler", "shard", "threads", "hang_s", "max_memory_gb", "retries", "skip_failed")
    return {**{name: getattr(args, name) for name in names}, "dry_run": args.dry_run}


def parse_shard(text: str) -> tuple[int, int]:
    """ "3/64" -> (3, 64)."""
    index, slash, count = text.partition("/")
    if not (slash and index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected I/N with I from 0 to N - 1, e.g. 0/8")
    return int(index), int(count)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1")
    return int(text)
