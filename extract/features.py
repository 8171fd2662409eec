"""Extract clip features of several cues of videos in one pass: one decoding, the clips of all cues at the same times.

    python -m extract.features --cues rgb,flow,gradient --videos demo/videos --features features/demo.h5 --backbone nano
    python -m extract.features --cues rgb,flow --videos videos/ --features features/thumos.h5 \\
        --weights rgb=rgb_imagenet.pt flow=flow_imagenet.pt

What it writes is what extract.rgb and extract.motion would, to the byte; each cue has a network of its own, and a twin
(extract.distill --twin) as weights of rgb gives the streams rgb and rgb_motion. Of a video only those streams are made
that are not in the store yet: to resume an interrupted run, repeat the command.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from command.runner import run_command
from extract.cues.cue import CUES, RGB
from extract.pipeline.of_flow import add_motion, made_of, refuse_flow_of_none
from extract.pipeline.plan import add_arguments, run, settings_from
from extract.pipeline.settings import ClipSettings, SettingsError
from features.files.dashes import parse_args


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m extract.features", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cues", required=True, metavar="CUE,CUE", help=f"of {', '.join(CUES)}, with commas between")
    parser.add_argument(
        "--weights",
        nargs="+",
        default=[],
        metavar="CUE=FILE",
        help="checkpoint of a cue's network, or CUE=DEFAULT for what the backbone's library publishes (default: what "
        "ships, else random)",
    )
    add_motion(parser)
    add_arguments(parser, weights=False)
    return parse_args(parser, argv)


def work(args: argparse.Namespace) -> int:
    cues = args.cues.split(",")
    weights = dict(map(_cue_and_file, args.weights))
    if unknown := [cue for cue in cues if cue not in CUES]:
        raise SettingsError(f"--cues {args.cues}: {', '.join(unknown)} unknown: expected {', '.join(CUES)}")
    if len(set(cues)) != len(cues):
        raise SettingsError(f"--cues {args.cues}: names a cue twice")
    if unasked := weights.keys() - set(cues):
        raise SettingsError(f"--weights {unasked.pop()}=...: is not among --cues {args.cues}")
    refuse_flow_of_none(args, cues)
    streams: list[ClipSettings] = []
    for cue in cues:
        first_layer = "" if cue == RGB.name else args.first_layer
        of_cue = argparse.Namespace(**{**vars(args), "weights": weights.get(cue)})
        streams += settings_from(of_cue, cue, first_layer=first_layer, **made_of(args, cue))
    report = run(args, streams, "extract.features")
    print(report)
    return report.exit_code


def _cue_and_file(word: str) -> tuple[str, Path]:
    cue, equals, file = word.partition("=")
    if not equals or not file:
        raise SettingsError(f"--weights {word}: expected a cue and its file, such as rgb=rgb_imagenet.pt")
    return cue, Path(file)


if __name__ == "__main__":
    sys.exit(main())
