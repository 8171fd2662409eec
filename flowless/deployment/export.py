"""Write a detector as a file of ONNX, which onnxruntime runs without PyTorch's networks, and its backbone as another.

    python -m detect.export --detector demo/runs/seed0/decomposed/detector.pt --onnx out/detector.onnx
    python -m detect.export --detector runs/thumos/detector.pt --onnx detector.onnx \\
        --backbone i3d_inception --weights rgb_imagenet.pt
    python -m detect.video --runtime onnx --detector detector.onnx --out out/ video.mp4

Both files are compared with PyTorch before they are written, on made-up inputs of several lengths: every number within
1e-4, or nothing is written. With --backbone NAME the networks behind the detector's features go into
detector.backbone.onnx beside it, and detect.video finds them there. A detector that reads motion is refused: what has
to be computed for every video is what it should do without.

--int8 keeps the weights of matrix products in 8 bits: a quarter of the size, other numbers; the command says by how
much. What that costs in accuracy is measured in docs/deployment.md; measure it on your own videos too.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from command.outputs import check_outputs
from command.runner import run_command
from command.writing import write_whole
from detect.deployed.detectors import check_exportable, image_of
from detect.model.detector import Detector, DetectorError
from extract.backbones import BACKBONES, identity_of
from extract.pipeline import onnx_networks
from extract.pipeline.new_videos import Embedder
from extract.pipeline.settings import SettingsError
from features.computing.onnx_files import SUFFIX
from features.files.dashes import parse_args


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m detect.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--detector", type=Path, required=True, help="detector.pt of a training run")
    parser.add_argument("--onnx", type=Path, required=True, metavar="FILE", help="file to write, FILE.onnx")
    parser.add_argument("--backbone", metavar="NAME", help="write the backbone too: as extract.rgb was told it")
    parser.add_argument("--weights", type=Path, action="append", default=[], metavar="FILE",
                        help="of the backbone, as extract.rgb was given it; may be repeated")  # fmt: skip
    parser.add_argument("--int8", action="store_true", help="weights of matrix products in 8 bits")
    parser.add_argument("--with-motion", action="store_true", help="export a detector that reads motion all the same")
    args = parse_args(parser, argv)
    if args.onnx.suffix != SUFFIX:
        parser.error(f"--onnx {args.onnx}: expected a name that ends in {SUFFIX}")
    if args.weights and not args.backbone:
        parser.error("--weights needs --backbone: the detector's own weights are in its file")
    return args


def work(args: argparse.Namespace) -> int:
    backbone = onnx_networks.beside(args.onnx) if args.backbone else None
    check_outputs({"--onnx": args.onnx, "--backbone": backbone}, [args.detector, *args.weights])
    detector = Detector.load(args.detector)
    check_exportable(detector, args.with_motion)
    embedder = embedder_of(args, detector) if backbone else None  # refused before minutes of work
    precision = "int8" if args.int8 else "float32"
    write(args.onnx, *image_of(detector, precision))
    if backbone and embedder:
        write(backbone, *onnx_networks.image_of(embedder, precision))
    return 0


def embedder_of(args: argparse.Namespace, detector: Detector) -> Embedder:
    """The networks behind the detector's features; DetectorError where others would answer."""
    config = detector.config
    ids = {cue: config.feature_ids.get(cue) or "" for cue in detector.cues}
    if not all(ids.values()):
        raise DetectorError("this detector does not say which features it was trained on: leave --backbone out")
    own = [] if args.backbone in BACKBONES else [args.backbone]
    try:
        embedder = Embedder(ids, config.window, config.stride, args.weights, own=own, packed=False)
    except SettingsError as error:
        raise DetectorError(f"this detector was trained on features that no video gives here: {error}") from None
    for network in embedder.networks:
        if network.settings.backbone != args.backbone:
            raise DetectorError(
                f"--backbone {args.backbone}: the features {network.settings.stream} of this detector come from "
                f"{identity_of(network.settings.backbone)}"
            )
    return embedder


def write(path: Path, image: bytes, differences: dict[str, float]) -> None:
    write_whole(path, image)
    worst = max(differences.values())
    print(f"{path}: {len(image) / 1e6:.1f} MB, within {worst:.1e} of PyTorch", file=sys.stderr)
