"""What every training method is: a student to deploy, and losses that make it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from detect.detector import Detector
from detect.heads.base import Assignment, Head, Predictions, Targets
from train.config import TrainingError
from train.dataset import Batch


class Normaliser(nn.Module):
    """The running mean of positives per step, which detection losses are divided by.

    N <- momentum · N + (1 − momentum) · max(positives, 1), once per step and before use. A buffer, so that a resumed
    run goes on with its own. Source: ActionFormer, where it is a Python number and starts again at 100.
    """

    mean: Tensor

    def __init__(self, start: float, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.tensor(float(start), dtype=torch.float64))

    @torch.no_grad()
    def update(self, positives: int) -> float:
        self.mean.mul_(self.momentum).add_((1.0 - self.momentum) * max(positives, 1))
        return float(self.mean)


class Method(nn.Module, ABC):
    """Owns the student; `losses` is all that the loop knows of it.

    A member says what its branches read (`branches`) and whether it needs a teacher; its `Options` dataclass, beside
    it, holds what may be varied. Whatever it owns besides `detector` is for training alone and is not deployed.
    """

    Options: ClassVar[type]
    needs_teacher: ClassVar[bool] = False

    def __init__(self, detector: Detector, options: Any, normaliser: Normaliser) -> None:
        super().__init__()
        self.detector = detector
        self.options = options
        self.normaliser = normaliser

    @classmethod
    @abstractmethod
    def branches(cls, cues: Sequence[str]) -> tuple[str, ...]:
        """The cue that each branch of the student reads; `cues` is what the run asked for."""

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Weighted terms under path names such as "joint/class"; the loop adds them up. Called once per step."""


def assign(head: Head, predictions: Predictions, targets: Sequence[Targets]) -> tuple[Assignment, int]:
    assignment = head.assign(predictions, targets)
    return assignment, head.num_positives(assignment)


def under(path: str, losses: dict[str, Tensor], weight: float = 1.0) -> dict[str, Tensor]:
    """{"class": x} under "joint" is {"joint/class": weight · x}."""
    return {f"{path}/{name}": weight * value for name, value in losses.items()}


def rgb_alone(cues: Sequence[str], branches: int) -> tuple[str, ...]:
    """The branches of a student that reads RGB and nothing else, as every distilling method's does."""
    if set(cues) != {"rgb"}:
        raise TrainingError(f"--cues {','.join(cues)}: this method reads rgb alone. What its teacher watches is --cue")
    return ("rgb",) * branches


def split(predictions: Predictions, parts: int) -> list[Predictions]:
    """Predictions of a batch that was several batches in a row, apart again."""
    pieces = {name: value.chunk(parts) for name, value in predictions.items()}
    return [{name: pieces[name][part] for name in predictions} for part in range(parts)]
