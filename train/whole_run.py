"""A run from its configuration and what there is to learn from to detector.pt, for the command and for Python alike."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from command.signals import StopSignal
from features.computing.allocation import keep_freed_memory
from features.computing.compiling import compile_parts
from features.computing.precision import AUTO, choose_precision
from features.running.devices import choose_device
from features.running.ranks import ALONE, Ranks
from train import checkpoint
from train.assemble import Material, assemble, origin_for
from train.checkpoint import Run
from train.config import Config
from train.data.dataset import Samples
from train.folder import begin, is_finished, run_to_resume
from train.log import open_log
from train.loop import fit
from train.methods import METHODS


class Ready(NamedTuple):
    """A run that can begin, or go on."""

    run: Run
    samples: Samples
    config: Config
    saved: dict[str, Any] | None  # what last.pt held, of one that goes on


def with_usual_cues(config: Config, material: Material) -> Config:
    """The streams that the method reads where nobody says which; more than plain RGB is said."""
    cues = METHODS[config.method].usual_cues(material.streams)
    if cues != config.cues:
        print(
            f"{config.method}: reads {' and '.join(cues)}, which the store holds; for {config.cues[0]} alone say "
            f"--cues {config.cues[0]}",
            file=sys.stderr,
        )
    return replace(config, cues=cues)


def make_ready(
    config: Config, material: Material, out: Path, ranks: Ranks = ALONE, resume: bool = False, overwrite: bool = False
) -> Ready | None:
    """The run of this configuration in the folder `out`; None where it is finished.

    TrainingError where the folder holds another run, or one that may not be gone on with.
    """
    origin = origin_for(config, material)
    saved = run_to_resume(out, config, origin, resume, overwrite)
    if saved is not None and is_finished(out, saved):
        print(f"{out / 'detector.pt'}: {config.method}, finished before, after {saved['step']} steps; left alone")
        return None
    config = with_precision(config, saved)
    run, samples = assemble(config, material, out, ranks)
    run.config, run.origin = config.to_json(), origin.to_dict()
    if saved is not None:
        checkpoint.restore(saved, run, out / "last.pt", ranks)
        if ranks.first and not (out / "config.json").exists():
            config.write(out / "config.json")
    return Ready(run, samples, config, saved)


def with_precision(config: Config, saved: dict[str, Any] | None) -> Config:
    """Which of them "auto" is: of a run that goes on the one it began with, else by the device."""
    before = AUTO if saved is None else json.loads(saved["config"]).get("precision", config.precision)
    name = before if config.precision == AUTO else config.precision
    chosen = choose_precision(name, choose_device(config.device))
    if name == AUTO and chosen == "bfloat16":
        print("large products in bfloat16 (--precision float32 for the other)", file=sys.stderr)
    return replace(config, precision=chosen)


def carry_out(
    ready: Ready, out: Path, ranks: Ranks = ALONE, stop_after: int | None = None, compiled: bool = False
) -> None:
    """Trains to the end and writes detector.pt. compiled: by torch.compile, where it can be.

    Raises Interrupted at a signal, or where `stop_after` epochs are done before the end; last.pt is whole then.
    """
    run, samples, config, saved = ready
    keep_freed_memory()
    if saved is None and ranks.first:
        begin(out, config, run)
    if compiled:
        compile_parts(run.method, choose_device(config.device))
    last = math.inf if stop_after is None else stop_after
    with open_log(out, run.epoch, ranks) as log, StopSignal() as stop:
        fit(run, samples, config, out, log, lambda run: stop.asked or run.epoch >= last, ranks)
