"""The run folder: whether a run in it may be gone on with, and what a new one may take away.

Nothing here is deleted without --overwrite, and with it nothing before the new run has all it needs.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from detect.model.detector import Detector, DetectorError
from features.computing.precision import AUTO
from train import checkpoint
from train.checkpoint import Run
from train.config import Config, TrainingError
from train.origin import Origin
from train.settings import difference, from_dict, moved, parse_json

MADE_BY_A_RUN = ("last.pt", "detector.pt", "log.csv")


def run_to_resume(out: Path, config: Config, origin: Origin, resume: bool, overwrite: bool) -> dict[str, Any] | None:
    """What last.pt of the run in `out` holds, None where a new run is to begin; TrainingError where neither may be."""
    if out.exists() and not out.is_dir():
        raise TrainingError(f"{out}: is a file. Name a folder for the run with --out")
    refuse_inputs(out, config)
    if overwrite:
        return None
    there = [name for name in MADE_BY_A_RUN if (out / name).exists()]
    if not there:
        refuse_foreign(out / "config.json")
        return None
    again = "--overwrite starts it again; or name another --out"
    if not resume:
        raise TrainingError(f"{out}: holds a run. --resume goes on with it, {again}")
    if "last.pt" not in there:
        raise TrainingError(
            f"{out}: holds {' and '.join(there)}, but no last.pt to go on from; nothing was touched. "
            f"Put last.pt back, or: {again}"
        )
    saved = checkpoint.read(out / "last.pt")
    where = f"{out / 'last.pt'}"
    before = from_dict(Config, moved(parse_json(saved["config"], where)), where)
    if config.precision == AUTO:
        config = replace(config, precision=before.precision)
    changes = difference(before, config) + Origin.read(saved["origin"], where).differences(origin)
    if changes:
        raise TrainingError(
            f"{out}: cannot resume with other settings or data than the run began with: {'; '.join(changes)}. "
            f"Repeat the first command with --resume and the data it had, or start anew with another --out"
        )
    return saved


def refuse_inputs(out: Path, config: Config) -> None:
    """What is read is never written over, not even with --overwrite."""
    written = {(out / name).resolve() for name in (*MADE_BY_A_RUN, "config.json", "missing.txt")}
    for path in (config.data.features, config.data.annotations, config.teacher, config.joint_teacher):
        if path and Path(path).resolve() in written:
            raise TrainingError(f"{path}: is read by this run, which would write over it. Name another --out")


def refuse_foreign(path: Path) -> None:
    """A config.json that no run of ours has written is someone's, and not ours to replace."""
    if path.exists():
        try:
            Config.read(path)
        except TrainingError as error:
            raise TrainingError(f"{error}. It would be replaced: move it away, or name another --out") from None


def is_finished(out: Path, saved: dict[str, Any]) -> bool:
    """Whether nothing is left to do; a detector.pt that is lost or damaged is written again."""
    if saved["epoch"] < saved["epochs"]:
        return False
    try:
        Detector.load(out / "detector.pt")
    except DetectorError as error:
        print(f"{error}: written again from last.pt", file=sys.stderr)
        return False
    return True


def begin(out: Path, config: Config, run: Run) -> None:
    """The first checkpoint of a new run and its config.json, then what an older run left is taken away."""
    out.mkdir(parents=True, exist_ok=True)
    checkpoint.save(out / "last.pt", run)
    config.write(out / "config.json")
    for path in (out / "detector.pt", out / "log.csv", *out.glob("events.out.tfevents.*")):
        path.unlink(missing_ok=True)
