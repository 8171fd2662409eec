"""Extract clip features of a motion cue, optical flow or temporal gradients, into a feature store.

    python -m extract.motion --cue flow --videos videos/ --features features/thumos.h5 --weights flow_imagenet.pt
    python -m extract.motion --cue flow --flow flow/thumos.h5 --videos videos/ --features features/thumos.h5
    python -m extract.motion --cue gradient --videos demo/videos --features features/demo.h5 --backbone nano

Flow comes from the store that flow.tvl1 wrote (--flow), or is computed on the fly and rounded alike: the features are
the same. Gradients cost next to nothing and are always computed. Clips lie at the same times as those of extract.rgb.
Videos already in the store are skipped: to resume an interrupted run, repeat the command.
"""

import argparse
import sys
from collections.abc import Sequence

from command.runner import run_command
from extract.cues.cue import MOTION_CUES
from extract.pipeline.of_flow import add_motion, made_of, refuse_flow_of_none
from extract.pipeline.plan import add_arguments, run, settings_from
from features.files.dashes import parse_args


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m extract.motion", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cue", choices=MOTION_CUES, required=True)
    add_motion(parser)
    add_arguments(parser)
    return parse_args(parser, argv)


def work(args: argparse.Namespace) -> int:
    refuse_flow_of_none(args, [args.cue])
    settings = settings_from(args, args.cue, first_layer=args.first_layer, **made_of(args, args.cue))
    report = run(args, settings, f"extract.motion.{args.cue}")
    print(report)
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
