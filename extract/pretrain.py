"""Pretrain the small backbone on trimmed clips of the synthetic world, a stand-in for Kinetics.

    python -m extract.pretrain --cue rgb --out extract/weights/nano_rgb.pt --seed 0

renders 2,400 clips of twelve motions, none of them an action of the untrimmed videos, trains for a few minutes on one
core, and writes the weights in half precision, 1.3 MB. The weights that ship with the package were made this way:
docs/world.md has their hashes and accuracies.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from command.outputs import refuse_no_place
from command.runner import run_command
from extract.cues.cue import CUES
from extract.world.pretraining import PretrainingRecipe, pretrain, write_weights


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def work(args: argparse.Namespace) -> int:
    refuse_no_place("--out", args.out)
    recipe = PretrainingRecipe(args.cue, args.seed, args.clips, epochs=args.epochs)
    backbone, accuracy = pretrain(recipe)
    write_weights(backbone, args.out)
    digest = hashlib.sha256(args.out.read_bytes()).hexdigest()
    print(f"{args.out}: accuracy {accuracy:.3f} on clips without bias, sha256 {digest}")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m extract.pretrain", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cue", choices=list(CUES), required=True, help="what the backbone watches")
    parser.add_argument("--out", type=Path, required=True, help="file to write, such as extract/weights/nano_rgb.pt")
    parser.add_argument("--seed", type=int, default=0, help="of the clips and of the training (default: 0)")
    parser.add_argument("--clips", type=int, default=2400, help="to train on (default: 2400)")
    parser.add_argument("--epochs", type=int, default=8, help="over the clips (default: 8)")
    args = parser.parse_args(argv)
    for name, least in (("seed", 0), ("clips", 32), ("epochs", 1)):
        if (value := getattr(args, name)) < least:
            parser.error(f"--{name} {value}: expected {least} or more")
    return args


if __name__ == "__main__":
    sys.exit(main())
