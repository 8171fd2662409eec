"""What a step says of itself: losses and the norm of the gradient, left on their device and read now and then.

Reading waits for the device. On a CPU there is nothing to wait for and each step is read at once, before its gradient
is applied; elsewhere every `READ_EVERY` steps and at the end of an epoch, before anything is written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from train.ranks import ALONE, Ranks
from train.settings import TrainingError

READ_EVERY = 50  # steps, of an accelerator


@dataclass
class Values:
    """Of the steps since they were last read; all steps have the same losses."""

    every: int = 1
    ranks: Ranks = ALONE
    steps: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)  # and the videos of this rank
    kept: list[Tensor] = field(default_factory=list)  # (losses,) each
    norms: list[Tensor] = field(default_factory=list)
    names: tuple[str, ...] = ()

    def keep(
        self, step: int, losses: dict[str, Tensor], norm: Tensor, videos: tuple[str, ...], sums: dict[str, float]
    ) -> None:
        """losses: of this rank's share of the batch; norm: of the whole batch's gradient."""
        self.names = tuple(losses)
        self.steps.append((step, videos))
        self.kept.append(torch.stack([value.detach() for value in losses.values()]))
        self.norms.append(norm.detach())
        if len(self.steps) >= self.every:
            self.read(sums)

    def read(self, sums: dict[str, float]) -> None:
        """Adds what was kept to the sums of the epoch, of all ranks; TrainingError names the first step that is not
        finite."""
        if not self.steps:
            return
        losses = self.ranks.sum(torch.stack(self.kept))
        rows = torch.cat([losses, torch.stack(self.norms)[:, None].to(losses)], dim=1).tolist()
        steps, self.steps, self.kept, self.norms = self.steps, [], [], []
        for (step, videos), row in zip(steps, rows, strict=True):
            found = dict(zip((*self.names, "gradient_norm"), row, strict=True))
            if not math.isfinite(found["loss"] + found["gradient_norm"]):
                raise TrainingError(diverged(step, found, videos))
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + value


def values_of(device: torch.device, ranks: Ranks) -> Values:
    return Values(1 if device.type == "cpu" else READ_EVERY, ranks)


def diverged(step: int, found: dict[str, float], videos: tuple[str, ...]) -> str:
    terms = ", ".join(f"{name} = {value:.4g}" for name, value in found.items() if name not in ("loss", "gradient_norm"))
    return (
        f"step {step}: {terms}, gradient norm = {found['gradient_norm']:.4g} on {list(videos)}. "
        f"Lower the learning rate (--set optimiser.learning_rate=...) or look at the features of these videos"
    )
