"""Train a detector on cached features: from ground truth alone, or from a motion teacher as well.

    python -m train.run --features features/demo.h5 --annotations demo/annotations.json \\
        --method supervised --cues flow --out runs/flow
    python -m train.run --features features/demo.h5 --annotations demo/annotations.json \\
        --method decomposed --teacher runs/flow/detector.pt --out runs/decomposed

methods   supervised   ground truth; reads --cues rgb, flow, gradient, or two of them ("rgb,flow": two-stream)
          direct       one RGB branch, whose features and predictions mimic the teacher's
          decomposed   two RGB branches: ground truth teaches appearance, the teacher motion; fused for detection.
                       Both read rgb, or the second rgb_motion where the store holds it (--cues rgb,rgb_motion)
          augmented_rgb  one RGB branch, taught how the teacher's steps, channels and changes relate

The last three, which distil, also learn from videos without labels (--unlabelled, --unlabelled-subset); give them a
detector that watches RGB and motion as --joint-teacher then: it tells the deployed head what happens there.

The run folder holds config.json, log.csv, TensorBoard events, last.pt to go on from, and detector.pt to detect with.
Ctrl-C keeps last.pt and exits with 75; the same command with --resume goes on, bit for bit on a CPU.
--precision bfloat16 takes about half the time where the processor computes in it; see docs/training.md.
Any setting can be changed: --set optimiser.learning_rate=1e-3 --set head.width=256 --set method.detach=true.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from command.runner import run_command
from detect.heads import HEADS
from detect.missing import MISSING
from features.computing.compiling import add_compile
from features.computing.precision import add_precision
from features.running.devices import EVERYWHERE, add_device, choose_device
from features.running.options import add_verify
from features.running.ranks import Ranks, joined
from train.assemble import Material, check_members, open_material, without_missing
from train.checks.beforehand import tell_beforehand
from train.config import Config, Data, TrainingError
from train.methods import METHODS
from train.recipes.choosing import by_recipe, for_epochs
from train.recipes.recipe import NAMES
from train.settings import reasons_left, set_values
from train.whole_run import Ready, carry_out, make_ready, with_usual_cues


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, train, argv, again="Repeat the command with --resume")


def train(args: argparse.Namespace) -> int:
    with joined() as ranks, told_by_first(ranks):
        return train_among(ranks, args)


def train_among(ranks: Ranks, args: argparse.Namespace) -> int:
    ready = ranks.together(lambda: prepare(ranks, args))
    if ready is None:
        return 0
    carry_out(ready, args.out, ranks, args.stop_after, args.compile)
    if ranks.first:
        print(f"{args.out / 'detector.pt'}: {ready.config.method}, {ready.run.step} steps")
    return 0


def prepare(ranks: Ranks, args: argparse.Namespace) -> Ready | None:
    """None where the run is finished."""
    with ranks.first_before_others():  # it lists missing videos in the run folder
        config, material = configure(args)
    return make_ready(config, material, args.out, ranks, args.resume, args.overwrite)


@contextlib.contextmanager
def told_by_first(ranks: Ranks) -> Iterator[None]:
    """What other ranks would print is printed already."""
    with contextlib.ExitStack() as stack:
        if not ranks.first:
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123
            stack.enter_context(contextlib.redirect_stdout(nowhere))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        yield


def configure(args: argparse.Namespace) -> tuple[Config, Material]:
    """The run's configuration: a recipe or a config.json, then options, then --set, in this order."""
    saved = args.config or (args.out / "config.json" if args.resume and not args.features else None)
    started = config = Config.read(saved) if saved else Config()
    config = replace(config, data=chosen(config.data, args), **options(args))
    choose_device(config.device)  # before anything is read for one that is not there
    for name in ("features", "annotations"):
        if not getattr(config.data, name):
            raise TrainingError(f"--{name} is missing (or --config with the config.json of a run)")
    config = replace(config, data=set_values(config, [s for s in args.set if s.startswith("data.")]).data)
    material = open_material(config.data)
    if not saved and not args.cues:
        config = with_usual_cues(config, material)
    many = (len(material.truth.videos), material.num_steps, material.truth.dataset)
    if not saved or args.recipe:
        config = by_recipe(config, args.recipe or "auto", args.head or config.model.head, *many)
    elif args.head and args.head != config.model.head:  # settings of one head are none of another's
        print(f"{saved}: is for the head {config.model.head}; {args.head} starts from its recipe", file=sys.stderr)
        config = by_recipe(config, config.recipe or "auto", args.head, *many)
    config = for_epochs(config, args.epochs)
    if args.precision:
        config = replace(config, precision=args.precision)
    config = set_values(config, args.set)
    config = replace(config, reasons=reasons_left(started, config))
    check_members(config)
    if not args.resume and material.whole is not None:
        subset = next(iter(material.truth.videos.values())).subset
        tell_beforehand(material.store, material.truth, material.whole, subset, config.sampling.max_length)
    return config, without_missing(config, material, args.out)


def chosen(data: Data, args: argparse.Namespace) -> Data:
    names = {"features": "features", "annotations": "annotations", "subset": "train_subset", "fps": "fps"}
    names |= {name: name for name in ("train_videos", "missing", "verify")}
    names |= {name: name for name in ("unlabelled", "unlabelled_subset", "unlabelled_videos")}
    given = {field: getattr(args, name) for field, name in names.items() if getattr(args, name) is not None}
    return replace(data, **given, repair=args.repair or data.repair, strict=args.strict or data.strict)


def options(args: argparse.Namespace) -> dict:
    """Options that were given, by the name of their field."""
    given = {name: getattr(args, name) for name in ("method", "cue", "teacher", "joint_teacher", "seed", "device")}
    cues = tuple(args.cues.split(",")) if args.cues else None
    if args.method == "supervised" and args.cue and not cues:
        raise TrainingError(
            f"--cue names what a teacher watches, and supervised has none. For a detector that watches {args.cue} "
            f"say --cues {args.cue}, for one that watches RGB --cues rgb"
        )
    return {name: value for name, value in {**given, "cues": cues}.items() if value is not None}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m train.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, help="run folder")
    add("--features", help="feature store, or a directory of .npy files")
    add("--annotations", help="annotation JSON, or a folder of THUMOS'14 text files")
    add("--train-subset", help="subset to learn from (default: Training; of THUMOS'14 Validation)")
    add("--train-videos", metavar="FILE_OR_COUNT", help="of this subset: so many, by name, or those listed in a file")
    add(
        "--unlabelled",
        metavar="STORE",
        help="feature store whose videos a distilling method learns from without labels",
    )
    add("--unlabelled-subset", metavar="NAME", help="the same from --features: a subset, less the labelled videos")
    add("--unlabelled-videos", metavar="FILE_OR_COUNT", help="of these: so many, by name, or those listed in a file")
    add("--method", choices=list(METHODS), help="default: supervised")
    add("--cues", metavar="STREAM[,STREAM]", help="what is read, one branch each (default: rgb; see above)")
    add("--teacher", metavar="DETECTOR.PT", help="motion detector that a distilling method learns from")
    add("--joint-teacher", metavar="DETECTOR.PT", help="detector whose predictions the student's mimic as well")
    add("--cue", choices=["flow", "gradient"], help="what the teacher must watch (default: whatever it does)")
    add("--head", choices=list(HEADS), help="default: actionformer")
    add("--recipe", choices=["auto", *NAMES], help="settings to start from (default: auto, by the amount of data)")
    add("--config", type=Path, help="config.json of a run, to start from instead of a recipe")
    add("--epochs", type=int, help="default: the recipe's")
    add("--seed", type=int, help="default: 0")
    add("--set", action="append", default=[], metavar="PATH=VALUE", help="any field of config.json; may be repeated")
    add("--fps", type=float, help="of the videos behind .npy files (default: from the annotations)")
    add("--repair", choices=["clip", "drop"], help="take annotations with flawed segments, and what to do with these")
    add("--strict", action="store_true", help="refuse even the known flaws of published annotations")
    add_verify(parser, default=None)
    add("--missing", choices=MISSING, help="videos without features: refuse (default), or skip them")
    add("--resume", action="store_true", help="go on with the run in --out, if there is one")
    add("--overwrite", action="store_true", help="start the run in --out again")
    add("--stop-after", type=int, metavar="EPOCHS", help="stop here as Ctrl-C would; --resume goes on")
    add_device(parser, EVERYWHERE, default=None)
    add_precision(parser, "bfloat16 where the device computes in it itself (default: the recipe's)", default=None)
    add_compile(parser, "parts of the network")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
