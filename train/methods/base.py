"""What every training method is: a student to deploy, and losses that make it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from detect.heads.base import Assignment, Head, Predictions, Rearranging
from detect.model.detector import Detector
from features.files.streams import shows
from features.running.ranks import ALONE, Ranks
from train.config import TrainingError
from train.data.dataset import Batch


class Method(nn.Module, ABC):
    """Owns the student; its losses are all that the loop knows of it.

    A member says what its branches read (`branches`) and whether it needs a teacher; its `Options` dataclass, beside
    it, holds what may be varied. Whatever it owns besides `detector` is for training alone and is not deployed.
    """

    Options: ClassVar[type]
    needs_teacher: ClassVar[bool] = False  # a motion teacher; only with one may there be a joint teacher, or videos
    # without labels
    needs_teacher_features: ClassVar[bool] = False  # its predictions alone would teach nothing

    def __init__(self, detector: Detector, options: Any) -> None:
        super().__init__()
        self.detector = detector
        self.options = options
        self.normaliser = detector.head.new_normaliser()
        self.ranks = ALONE

    @classmethod
    @abstractmethod
    def branches(cls, cues: Sequence[str]) -> tuple[str, ...]:
        """The stream that each branch of the student reads; `cues` is what the run asked for."""

    def among(self, ranks: Ranks) -> None:
        """Learn from shares of batches, whose counts its heads and losses then sum over the ranks."""
        self.ranks = ranks
        for module in self.modules():
            if isinstance(module, Head):
                module.whole = ranks.sum

    def normalised_by(self, positives: int) -> float:
        """What ground truth's losses are divided by, from the positives of the whole batch; once per step."""
        return self.normaliser.update(int(self.ranks.sum(torch.tensor(positives))))

    @classmethod
    def usual_cues(cls, streams: Collection[str]) -> tuple[str, ...]:
        """What a run reads that was not told, from a store that holds these streams."""
        return ("rgb",)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The losses: what the loop calls, so that wrappers such as DistributedDataParallel see it."""
        return {**self.losses(batch), **of_rearranged(self.detector, batch)}

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Weighted terms under path names such as "joint/class"; the loop adds them up. Called once per step."""


def assign(head: Head, predictions: Predictions, batch: Batch) -> tuple[Predictions, Assignment, int]:
    """What ground truth says of a batch's predictions: those of the labelled rows, their assignment, its positives.

    Rows without labels are taken out before the head sees any target: as background they would be taught falsely.
    """
    rows = batch.labelled.nonzero()[:, 0]
    targets = [t for t, known in zip(batch.targets, batch.labelled.tolist(), strict=True) if known and t is not None]
    if len(targets) != len(rows):
        raise ValueError("a row of the batch is marked as labelled and has no targets")
    if len(targets) < len(batch.targets):
        predictions = {name: value[rows] for name, value in predictions.items()}
    assignment = head.assign(predictions, targets)
    return predictions, assignment, head.num_positives(assignment)


def taught_by_joint_teacher(head: Head, joint: Predictions, batch: Batch, weight: float) -> dict[str, Tensor]:
    """The deployed detector's predictions against those of the joint teacher, on all rows; nothing without one."""
    if "joint" not in batch.teachers or weight == 0:
        return {}
    return under("distill_joint", head.distill(joint, batch.teachers["joint"].predictions), weight)


def of_rearranged(detector: Detector, batch: Batch) -> dict[str, Tensor]:
    """What the deployed head says of samples in another order of time; nothing from a head that asks for none."""
    view, head = batch.rearranged, detector.head
    if view is None or not isinstance(head, Rearranging):
        return {}
    mask = batch.mask[view.rows]
    branches = detector.branch_features({cue: view.of(batch.cues[cue]) for cue in detector.cues}, mask)
    return under("joint", head.rearranged_loss(detector.joint_features(branches, mask), mask, view.places))


def under(path: str, losses: dict[str, Tensor], weight: float = 1.0) -> dict[str, Tensor]:
    """{"class": x} under "joint" is {"joint/class": weight · x}."""
    return {f"{path}/{name}": weight * value for name, value in losses.items()}


def rgb_alone(cues: Sequence[str], most: int) -> tuple[str, ...]:
    """`cues` of a student that reads at most so many streams, all made from RGB, as every distilling method's does."""
    if not all(shows(cue, "rgb") for cue in cues):
        raise TrainingError(
            f"--cues {','.join(cues)}: this method reads rgb alone, streams such as rgb or rgb_motion. "
            f"What its teacher watches is --cue"
        )
    if not 1 <= len(cues) <= most:
        raise TrainingError(f"--cues {','.join(cues)}: this method reads at most {most} stream{'s' * (most > 1)}")
    return tuple(cues)


def split(predictions: Predictions, parts: int) -> list[Predictions]:
    """Predictions of a batch that was several batches in a row, apart again."""
    pieces = {name: value.chunk(parts) for name, value in predictions.items()}
    return [{name: pieces[name][part] for name in predictions} for part in range(parts)]
