"""What the commands that teach a network from clips have in common: options, what they print, the log."""

import argparse
import csv
import hashlib
import io
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from command.outputs import refuse_no_place
from command.signals import StopSignal
from command.writing import write_whole
from extract.backbones.base import Backbone
from extract.backbones.checkpoints import write_state
from extract.learning.streaming import VideoClips
from extract.learning.training import Epoch, Recipe, Training, train_to_end
from extract.pipeline.settings import SettingsError
from features.computing.compiling import add_compile, compile_parts
from features.computing.precision import computes_bfloat16
from features.running.devices import OF_EXTRACTION, add_device

LEAST = {"epochs": 1, "batch": 2, "workers": 1, "threads": 0, "seed": 0, "patience": 0}  # of options


def add_training(parser: argparse.ArgumentParser, recipe: Recipe, patience: int, measure: str) -> None:
    """The options that every training has. measure: what patience waits for, and videos are held out for."""
    add = parser.add_argument
    add("--epochs", type=int, default=recipe.epochs, help="over all clips (default: %(default)s)")
    add("--batch", type=int, default=recipe.batch, help="clips a step (default: %(default)s)")
    add("--learning-rate", type=float, default=recipe.learning_rate, help="at its peak (default: %(default)s)")
    add("--patience", type=int, default=patience, help=f"epochs without a better {measure} before the end; 0: never "
        "ends (default: %(default)s)")  # fmt: skip
    add("--held-out", type=float, default=0.1, help=f"share of the videos to measure {measure} on (default: "
        "%(default)s)")  # fmt: skip
    add("--memory-gb", type=float, default=2.0, help="of decoded frames held at a time (default: %(default)s)")
    add("--workers", type=int, default=1, help="threads that decode (default: %(default)s)")
    add(
        "--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="auto: bfloat16 where it is native"
    )
    add_compile(parser, "the network")
    add("--threads", type=int, default=0, help="of the CPU that train; 0: as PyTorch chooses. 1 for a small network")
    add_device(parser, OF_EXTRACTION)
    add("--seed", type=int, default=0)
    add(
        "--half",
        action="store_true",
        help="write the weights in 16 bits: half the size, features alike to three digits",
    )
    add("--overwrite", action="store_true", help="train anew, whatever is there")


def check_training(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends the command where a number is out of its range."""
    for name, least in LEAST.items():
        if (value := getattr(args, name)) < least:
            parser.error(f"--{name} {value}: expected {least} or more")
    if not 0 <= args.held_out < 1:
        parser.error(f"--held-out {args.held_out}: expected a share from 0 to below 1")


def refuse_what_is_there(args: argparse.Namespace) -> None:
    """SettingsError where --out is there already, or has no place."""
    if args.out.exists() and not args.overwrite:
        raise SettingsError(f"{args.out}: exists. --overwrite trains a new one, or name another --out")
    refuse_no_place("--out", args.out)


def uses_bfloat16(precision: str, device: str) -> bool:
    """auto: where the processor computes in it."""
    native = device != "cpu" or computes_bfloat16()
    if precision == "bfloat16" and not native:
        raise SettingsError("--precision bfloat16: this CPU only emulates it. Leave the option away, or say float32")
    return native if precision == "auto" else precision == "bfloat16"


def go_through(
    training: Training, held_out: VideoClips | None, source: VideoClips, args: argparse.Namespace
) -> Backbone:
    """Trains to the end, from where OUT.training.pt stands unless anew; the log is OUT.log.csv. Gives the best."""
    state, log = Path(f"{args.out}.training.pt"), Path(f"{args.out}.log.csv")
    if state.exists() and not args.overwrite:
        training.load(state)
    if training.ranks.first:
        print(summary(source, held_out, training), file=sys.stderr)
    if args.compile:
        compile_parts(training.network, training.device)
    with StopSignal() as stop:
        return train_to_end(training, held_out, state, lambda: stop.asked, lambda _: write_log(log, training.history))


def write_weights(args: argparse.Namespace, kept: Backbone, record: Mapping[str, Any], told: str) -> None:
    """The checkpoint with its record, and a line that says so; the file to go on from has done its work."""
    write_state(args.out, kept.state_dict(), json.dumps(record), args.half)
    Path(f"{args.out}.training.pt").unlink(missing_ok=True)
    print(f"{args.out}: {told}sha256 {hashlib.sha256(args.out.read_bytes()).hexdigest()}")


def summary(source: VideoClips, held_out: VideoClips | None, training: Training) -> str:
    rounds = "decoded once" if source.fits else "decoded anew in every epoch, --memory-gb would have to hold them"
    apart = f", {held_out.num_clips:,} clips held out" if held_out else ""
    going_on = f"; going on after step {training.step:,}" if training.step else ""
    frames = f"{source.bytes_needed / 2**30:.1f} GiB of frames, {rounds}"
    return f"{source.num_clips_of_all:,} clips ({frames}){apart}{going_on}"


def write_log(path: Path, history: list[Epoch]) -> None:
    """A CSV, a row for each epoch; it appears whole or not at all."""
    table = io.StringIO()
    rows = [{name: value for name, value in asdict(one).items() if name not in one.left_out} for one in history]
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, table.getvalue().encode())
