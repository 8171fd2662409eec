"""Temporal gradients: how much each pixel changes from one frame to the next, a motion cue that costs next to nothing.

    python -m flow.gradient --videos videos/ --out flow/thumos-gradient.h5 --workers 8

Chunks already in the store are skipped: to resume an interrupted run, repeat the command. Gradients are exact
differences of 8-bit frames, kept as int16; `extract.motion --cue gradient` makes them on the fly and needs no store.
Read them with `flow.store.open(path, cue="gradient")`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np


def temporal_gradient(frame0: np.ndarray, frame1: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) twice -> int16 (H, W, 3): frame1 - frame0, in -255..255."""
    if frame0.shape != frame1.shape or frame0.dtype != np.uint8 or frame1.dtype != np.uint8:
        raise ValueError(
            f"temporal gradient of {frame0.shape} {frame0.dtype} and {frame1.shape} {frame1.dtype}: expected two uint8 "
            "frames of one size"
        )
    return np.subtract(frame1, frame0, dtype=np.int16)


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
