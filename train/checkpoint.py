"""Everything a run needs to go on as if it had never stopped, in one file that appears whole or not at all."""

from __future__ import annotations

import hashlib
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detect.model.sealed import DamagedError, check_seal, first_line, read_unsealed, write_sealed
from features.running.ranks import ALONE, Ranks
from train.config import TrainingError
from train.methods.base import Method
from train.optimiser import Average

SCHEMA = "flowless-run/1"


@dataclass
class Run:
    """A run at the border of two steps."""

    method: Method
    average: Average
    optimiser: torch.optim.Optimizer
    config: str = ""  # the run's config.json
    origin: dict[str, Any] = field(default_factory=dict)  # what it is made from, see train/origin.py
    epochs: int = 0  # of the whole run
    epoch: int = 0  # the one in progress
    position: int = 0  # steps of it that are done
    step: int = 0  # steps done in all
    sums: dict[str, float] = field(default_factory=dict)  # of what is logged, over the epoch in progress

    def deployable(self, path: Path) -> None:
        """Write the student alone, with the exponential moving average of its weights."""
        detector = self.method.detector
        learning = {name: value.clone() for name, value in detector.state_dict().items()}
        detector.load_state_dict(self.average.state)
        try:
            detector.save(path)
        finally:
            detector.load_state_dict(learning)


def save(path: Path, run: Run, ranks: Ranks = ALONE) -> None:
    """Written by the first rank; the states of all ranks' generators are in it."""
    first, *others = ranks.all(random_state())
    if ranks.first:
        write_sealed(path, contents(run, first, others))


def contents(run: Run, first: dict[str, Any], others: list[dict[str, Any]]) -> dict[str, Any]:
    """first, others: the states of the generators of the first rank, and of the others where there are some."""
    return {
        "schema": SCHEMA,
        "config": run.config,
        "origin": run.origin,
        "method": run.method.state_dict(),
        "average": run.average.state,
        "optimiser": run.optimiser.state_dict(),
        "epochs": run.epochs,
        "epoch": run.epoch,
        "position": run.position,
        "step": run.step,
        "sums": run.sums,
        "random": first,
    } | ({"random_of_others": others} if others else {})


def read(path: Path) -> dict[str, Any]:
    """What `save` wrote, whole; TrainingError where the file is anything else."""
    try:
        saved = read_unsealed(path)
        if saved.get("schema") != SCHEMA:
            raise DamagedError(f"expected schema {SCHEMA}, found {saved.get('schema', 'none')!r:.60}")
        check_seal(saved)
    except (DamagedError, OSError) as error:
        raise TrainingError(
            f"{path}: cannot go on from here ({error}). It is damaged or of another version: "
            f"start again with another --out, or with --overwrite"
        ) from None
    return saved


def restore(saved: dict[str, Any], run: Run, where: Path, ranks: Ranks = ALONE) -> None:
    """Put what `read` gave back into a run built from the same configuration.

    Of other ranks than there were each goes on with random numbers of its own, which is said.
    """
    try:
        run.method.load_state_dict(saved["method"])
        run.average.state = {name: value.to(run.average.state[name].device) for name, value in saved["average"].items()}
        run.optimiser.load_state_dict(saved["optimiser"])
        run.epoch, run.position, run.step, run.sums = (saved[name] for name in ("epoch", "position", "step", "sums"))
        states = [saved["random"], *saved.get("random_of_others", [])]
        if len(states) == ranks.size:
            set_random_state(states[ranks.rank])
        else:
            torch.manual_seed(generator_seed(states[0], run.step, ranks))
            if ranks.first:
                print(f"{where}: of {len(states)} processes, goes on in {ranks.size}: samples are the same, what "
                      f"dropout draws is not", file=sys.stderr)  # fmt: skip
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise TrainingError(
            f"{where}: cannot go on from here ({first_line(error)}). It belongs to another configuration: "
            f"start again with another --out, or with --overwrite"
        ) from error


def generator_seed(state: dict[str, Any], step: int, ranks: Ranks) -> int:
    """For a rank that has no generator to go on with: from the first one's, the step and the rank."""
    digest = hashlib.sha256(f"{state['torch'].sum()} {step} {ranks.rank} {ranks.size}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def random_state() -> dict[str, Any]:
    """Of the generators of Python, NumPy and torch, on the CPU and every CUDA device."""
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002  (the global generator, whoever draws from it)
    return {
        "python": random.getstate(),
        "numpy": [str(name), keys.tolist(), *rest],  # type: ignore[union-attr]
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Puts back what `random_state` gave; CUDA's only where there is a device."""
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
