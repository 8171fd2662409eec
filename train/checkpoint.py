"""Everything a run needs to go on as if it had never stopped, in one file that appears whole or not at all."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from features.commit import whole_file
from train.config import TrainingError
from train.methods.base import Method
from train.optimiser import Average


@dataclass
class Run:
    """A run at the border of two steps."""

    method: Method
    average: Average
    optimiser: torch.optim.Optimizer
    epoch: int = 0  # the one in progress
    position: int = 0  # steps of it that are done
    step: int = 0  # steps done in all
    sums: dict[str, float] = field(default_factory=dict)  # of what is logged, over the epoch in progress

    def deployable(self, path: Path) -> None:
        """Write the student alone, with its averaged weights."""
        detector = self.method.detector
        learning = {name: value.clone() for name, value in detector.state_dict().items()}
        detector.load_state_dict(self.average.state)
        try:
            detector.save(path)
        finally:
            detector.load_state_dict(learning)


def save(path: Path, run: Run) -> None:
    state = {
        "method": run.method.state_dict(),
        "average": run.average.state,
        "optimiser": run.optimiser.state_dict(),
        "epoch": run.epoch,
        "position": run.position,
        "step": run.step,
        "sums": run.sums,
        "random": random_state(),
    }
    with whole_file(path) as part:
        torch.save(state, part)


def load(path: Path, run: Run) -> None:
    """Put what `save` wrote back into a run built from the same configuration."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        run.method.load_state_dict(state["method"])
        run.average.state = {name: value.to(run.average.state[name].device) for name, value in state["average"].items()}
        run.optimiser.load_state_dict(state["optimiser"])
    except (OSError, RuntimeError, KeyError, ValueError, EOFError) as error:
        raise TrainingError(
            f"{path}: cannot go on from here ({error}). It belongs to another configuration or is damaged: "
            f"start again with another --out, or with --overwrite"
        ) from error
    run.epoch, run.position, run.step, run.sums = state["epoch"], state["position"], state["step"], state["sums"]
    set_random_state(state["random"])


def random_state() -> dict[str, Any]:
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002  (the global generator, whoever draws from it)
    return {
        "python": random.getstate(),
        "numpy": [str(name), keys.tolist(), *rest],  # type: ignore[union-attr]
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
