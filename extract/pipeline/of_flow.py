"""Where flow comes from, and what weights of RGB become: the options of motion cues."""

import argparse
from pathlib import Path

from extract.backbones.checkpoints import FIRST_LAYER
from extract.cues.cue import CUES
from extract.pipeline.conventions import clips_of
from extract.pipeline.plan import computed_motion, stored_motion
from extract.pipeline.settings import SettingsError
from flow.decode.video import list_videos
from flow.solver import choose_backend, warm_up
from flow.tvl1_common.parameters import PRESETS


def add_motion(parser: argparse.ArgumentParser) -> None:
    """The options of the cues that need two frames."""
    parser.add_argument(
        "--flow", type=Path, metavar="STORE", help="flow computed by flow.tvl1; default: compute it here"
    )
    parser.add_argument(
        "--backend", choices=["auto", "cpu", "cuda", "opencv"], default="auto", help="of flow made here"
    )
    parser.add_argument("--preset", choices=sorted(PRESETS), default="compat", help="of flow made here")
    add_first_layer(parser)


def add_first_layer(parser: argparse.ArgumentParser) -> None:
    """The option for weights of RGB where another cue is seen."""
    parser.add_argument(
        "--first-layer",
        choices=sorted(FIRST_LAYER),
        default="",
        help="the weights are of RGB: every channel of the first layer becomes the mean of its three",
    )


def made_of(args: argparse.Namespace, cue: str) -> dict[str, object]:
    """The settings that say where flow comes from; none for a cue that is not made of it."""
    if not CUES[cue].of_flow:
        return {}
    if args.flow is not None:
        motion = stored_motion(args.flow, list(list_videos(args.videos, fps=args.fps, remarks=[])))
        return {"flow_store": args.flow.absolute(), "motion": motion}
    backend = choose_backend(args.backend)
    clips = clips_of(args, cue)
    motion = computed_motion(clips["backbone"], args.preset, backend, clips["geometry"])
    if not args.dry_run:
        warm_up(backend)  # here, once: workers that start at the same time would each compile for themselves
    return {"flow_backend": backend, "flow_preset": args.preset, "motion": motion}


def refuse_flow_of_none(args: argparse.Namespace, cues: list[str]) -> None:
    """SettingsError for a store of flow that none of the cues reads."""
    if args.flow is not None and not any(CUES[cue].of_flow for cue in cues):
        raise SettingsError(
            f"--flow {args.flow}: {' and '.join(cues)} is computed from frames alone. Leave the option out"
        )
