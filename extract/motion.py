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
from pathlib import Path

from command.runner import run_command
from extract.backbones.checkpoints import FIRST_LAYER
from extract.cues.cue import CUES, MOTION_CUES
from extract.pipeline.plan import add_arguments, computed_motion, run, settings_from, stored_motion
from extract.pipeline.settings import SettingsError
from features.files.dashes import parse_args
from flow.decode.video import list_videos
from flow.solver import choose_backend, warm_up
from flow.tvl1_common.parameters import PRESETS


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m extract.motion", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cue", choices=MOTION_CUES, required=True)
    parser.add_argument(
        "--flow", type=Path, metavar="STORE", help="flow computed by flow.tvl1; default: compute it here"
    )
    parser.add_argument(
        "--backend", choices=["auto", "cpu", "cuda", "opencv"], default="auto", help="of flow made here"
    )
    parser.add_argument("--preset", choices=sorted(PRESETS), default="compat", help="of flow made here")
    parser.add_argument(
        "--first-layer",
        choices=sorted(FIRST_LAYER),
        default="",
        help="the weights are of RGB: every channel of the first layer becomes the mean of its three",
    )
    add_arguments(parser)
    return parse_args(parser, argv)


def work(args: argparse.Namespace) -> int:
    more = made_of(args)
    report = run(
        args, settings_from(args, args.cue, first_layer=args.first_layer, **more), f"extract.motion.{args.cue}"
    )
    print(report)
    return report.exit_code


def made_of(args: argparse.Namespace) -> dict[str, object]:
    """The settings that say where flow comes from; none for a cue that is not made of it."""
    if not CUES[args.cue].of_flow:
        if args.flow is not None:
            raise SettingsError(f"--flow {args.flow}: {args.cue} is computed from frames alone. Leave the option out")
        return {}
    if args.flow is not None:
        motion = stored_motion(args.flow, list(list_videos(args.videos, fps=args.fps, remarks=[])))
        return {"flow_store": args.flow.absolute(), "motion": motion}
    backend = choose_backend(args.backend)
    motion = computed_motion(args.backbone, args.preset, backend)
    if not args.dry_run:
        warm_up(backend)  # here, once: workers that start at the same time would each compile for themselves
    return {"flow_backend": backend, "flow_preset": args.preset, "motion": motion}


if __name__ == "__main__":
    sys.exit(main())
