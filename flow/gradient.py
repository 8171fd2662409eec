"""Temporal gradients: how much each pixel changes from one frame to the next, a motion cue that costs next to nothing.

    python -m flow.gradient --videos demo/videos --out flow/demo-gradient.h5 --workers 2

Chunks already in the store are skipped: to resume an interrupted run, repeat the command. Gradients are exact
differences of 8-bit frames, kept as int16; `extract.motion --cue gradient` makes them on the fly and needs no store.
Read them with `flow.pipeline.store.open(path, cue="gradient")`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from command.runner import run_command
from features.files.dashes import parse_args
from flow.pipeline.plan import add_arguments, geometry_from, run
from flow.pipeline.settings import FlowSettings


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m flow.gradient", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="the store to write, e.g. flow/x-gradient.h5")
    add_arguments(parser)
    return parse_args(parser, argv)


def work(args: argparse.Namespace) -> int:
    settings = FlowSettings(
        "gradient", decoder=args.decoder, min_decoded=args.min_decoded, fps=args.fps, **geometry_from(args)
    )
    report = run(args, settings, args.out, "flow.gradient")
    print(report)
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
