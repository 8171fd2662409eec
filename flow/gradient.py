"""Temporal gradients: how much each pixel changes from one frame to the next, a motion cue that costs next to nothing.

    python -m flow.gradient --videos videos/ --out flow/thumos-gradient.h5 --workers 8

Chunks already in the store are skipped: to resume an interrupted run, repeat the command. Gradients are exact
differences of 8-bit frames, kept as int16; `extract.motion --cue gradient` makes them on the fly and needs no store.
Read them with `flow.store.open(path, cue="gradient")`.
"""

import argparse
import sys
from pathlib import Path


def main(argv: list[str] | None = None) -> int:
    from features.dashes import parse_args
    from features.store import StoreError
    from flow.parameters import FlowError
    from flow.plan import add_arguments, run
    from flow.settings import Settings
    from flow.video import VideoError

    parser = argparse.ArgumentParser(
        prog="python -m flow.gradient", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="the store to write, e.g. flow/x-gradient.h5")
    add_arguments(parser)
    args = parse_args(parser, argv)
    try:
        settings = Settings(
            "gradient", args.size, args.crop, decoder=args.decoder, min_decoded=args.min_decoded, fps=args.fps
        )
        report = run(args, settings, args.out, "flow.gradient")
    except (FlowError, StoreError, VideoError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    print(report)
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
