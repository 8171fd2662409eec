"""Ground truth alone: RGB-only, motion-only (the teacher to be) and two-stream, which differ in the cues they read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from detect.model.detector import Detector
from train.data.dataset import Batch
from train.methods.base import Method, assign, split, under


@dataclass(frozen=True)
class SupervisedOptions:
    """What a supervised detector of two branches may vary."""

    branch_weight: float = 1.0  # of ground truth on each single branch, through a head they share; 0: joint head alone


class Supervised(Method):
    """loss = joint(fused) + Σ over branches branch_head(branch), against ground truth; one branch has no second term.

    The branch terms keep either stream of a two-stream detector able to detect alone, as in the decomposed student;
    with `--cues rgb,rgb` it is that student without a teacher, the control for its capacity.
    """

    Options: ClassVar[type] = SupervisedOptions

    def __init__(self, detector: Detector, options: SupervisedOptions) -> None:
        super().__init__(detector, options)
        self.names = branch_names(detector.config.branches)
        two = len(self.names) > 1 and options.branch_weight > 0
        self.branch_head = detector.new_head(detector.config.width) if two else None

    @classmethod
    def branches(cls, cues: Sequence[str]) -> tuple[str, ...]:
        return tuple(cues)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        features = self.detector.branch_features(batch.cues, batch.mask)
        joint = self.detector.predict_from(features, batch.mask)
        known, assignment, positives = assign(self.detector.head, joint, batch)
        normaliser = self.normalised_by(positives)
        losses = under("joint", self.detector.head.loss(known, assignment, normaliser))
        if self.branch_head is not None:
            masks = batch.mask.repeat(len(features), 1)
            alone = split(self.branch_head(torch.cat(features), masks), len(features))
            for name, predictions in zip(self.names, alone, strict=True):
                known, assignment, _ = assign(self.branch_head, predictions, batch)
                terms = self.branch_head.loss(known, assignment, normaliser)
                losses |= under(name, terms, self.options.branch_weight)
        return losses


def branch_names(branches: Sequence[str]) -> list[str]:
    """The first branch is the appearance branch, a second one the motion branch, whatever they read."""
    return ["appearance", "motion"][: len(branches)]
