"""Extract RGB clip features of videos into a feature store.

    python -m extract.rgb --videos videos/ --features features/thumos.h5 --weights rgb_imagenet.pt --workers 8
    python -m extract.rgb --videos demo/videos --features features/demo.h5 --backbone nano    # has weights of its own

Videos already in the store are skipped, so an interrupted run is resumed by repeating the command; changed settings,
weights or videos are done anew. A video that fails costs itself and the exit code (3), not the run; the report beside
the store (features/thumos.reports/extract.rgb.json) names it. --weights takes I3D checkpoints as published by piergiaj
(rgb_imagenet.pt), hassony2 (model_rgb.pth) or video_features (i3d_rgb.pt).

--convention actionformer makes the clips of the features that ActionFormer published, and others of others.

A second network's features of the same frames go into a stream of their own, such as those of a motion student
(extract.distill), which a detector reads beside rgb:

    python -m extract.rgb --videos videos/ --features features/thumos.h5 --stream rgb_motion --weights motion.pt

A twin (extract.distill --twin) gives both in one pass over the clips: --weights twin.pt writes the streams rgb and
rgb_motion, or NAME and NAME_motion with --stream NAME.
"""

import argparse
import sys
from collections.abc import Sequence

from command.runner import run_command
from extract.cues.cue import RGB
from extract.pipeline.plan import add_arguments, run, settings_from
from features.files.dashes import parse_args


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m extract.rgb", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument(
        "--stream",
        default=RGB.name,
        help="to store them as: rgb, or rgb_NAME (default: rgb); a twin's motion: STREAM_motion",
    )
    return parse_args(parser, argv)


def work(args: argparse.Namespace) -> int:
    report = run(args, settings_from(args, RGB.name, stream=args.stream), command_of(args.stream))
    print(report)
    return report.exit_code


def command_of(stream: str) -> str:
    """The name of the report: one for every stream of a store."""
    return "extract.rgb" if stream == RGB.name else f"extract.rgb.{stream}"


if __name__ == "__main__":
    sys.exit(main())
