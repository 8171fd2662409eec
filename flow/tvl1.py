"""Compute TV-L1 optical flow of videos into a flow store.

    python -m flow.tvl1 --videos demo/videos --out flow/demo.h5 --size 64 --crop 64 --workers 2
    python -m flow.tvl1 --videos videos/ --out flow/thumos.h5 --workers 32
    python -m flow.tvl1 --videos videos/ --out flow/thumos.h5 --preset fast --size 256 --crop 224
    python -m flow.tvl1 --warmup                 # compile the solver once, e.g. while an image is built

Frames are resized, made gray and solved whole; flow is cropped, clipped to ±bound pixels and stored as bytes. Work is
dealt out in chunks of 128 frame pairs, so that a single long video keeps all workers busy. Chunks already in the store
are skipped: to resume an interrupted run, repeat the command. Other parameters make other flow and compute it anew.

Presets: exact stops every iteration where OpenCV's DualTVL1OpticalFlow does, compat looks every second time (0.02 px
from OpenCV), fast uses a deeper pyramid and fewer warps: twice the speed, and better where motion is large.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from command.runner import run_command
from features.files.dashes import parse_args
from flow.pipeline.plan import add_arguments, geometry_from, run
from flow.pipeline.quantised import BOUND
from flow.pipeline.settings import CODECS, FlowSettings
from flow.solver import choose_backend, warm_up
from flow.tvl1_common.parameters import PRESETS, Parameters, choose_parameters


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def work(args: argparse.Namespace) -> int:
    changes = {f.name: getattr(args, f.name) for f in fields(Parameters) if getattr(args, f.name) is not None}
    parameters = choose_parameters(args.preset, changes)
    backend = choose_backend(args.backend)
    if args.warmup or not args.dry_run:
        warm_up(backend)  # here, once: workers that start at the same time would each compile for themselves
    if args.warmup:
        print(f"flow.tvl1: {backend} is ready")
        return 0
    settings = FlowSettings(
        "flow", codec=args.store, bound=args.bound, parameters=parameters, backend=backend, decoder=args.decoder,
        min_decoded=args.min_decoded, fps=args.fps, **geometry_from(args),
    )  # fmt: skip
    report = run(args, settings, args.out, "flow.tvl1")
    print(report)
    return report.exit_code


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m flow.tvl1", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    warmup = "--warmup" in (sys.argv[1:] if argv is None else argv)
    parser.add_argument("--out", type=Path, required=not warmup, help="the flow store to write, e.g. flow/x.h5")
    parser.add_argument("--preset", choices=list(PRESETS), default="compat", help="of the parameters (default: compat)")
    parser.add_argument(
        "--backend", choices=["auto", "cpu", "cuda", "opencv"], default="auto",
        help="auto: cpu, or opencv without numba (default: auto)",
    )  # fmt: skip
    parser.add_argument("--bound", type=float, default=BOUND, metavar="PX", help="clip to ±bound (default: 20)")
    parser.add_argument("--store", choices=CODECS, default="u8", help="how flow is kept (default: u8, lossless gzip)")
    parser.add_argument("--warmup", action="store_true", help="compile and leave; needs no videos")
    add_arguments(parser)
    for action in parser._actions:
        action.required = action.required and not warmup
    group = parser.add_argument_group("parameters of TV-L1 (default: the preset's)")
    for parameter in fields(Parameters):
        kind: Any = _truth if isinstance(parameter.default, bool) else type(parameter.default)
        option = f"--{parameter.name.rstrip('_').replace('_', '-')}"
        group.add_argument(option, dest=parameter.name, type=kind, help=f"compat: {parameter.default}")
    return parse_args(parser, argv)


def _truth(text: str) -> bool:
    if text.lower() not in {"true", "false", "1", "0", "yes", "no"}:
        raise argparse.ArgumentTypeError(f"{text!r}: expected true or false")
    return text.lower() in {"true", "1", "yes"}


if __name__ == "__main__":
    sys.exit(main())
