"""Augmented RGB: one RGB branch whose steps, channels and changes are distilled from the motion teacher's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from detect.model.detector import Detector
from train.data.dataset import Batch
from train.methods.base import Method, assign, rgb_alone, taught_by_joint_teacher, under
from train.methods.distill import atomic_contrast, boundary_saliency, contextual_relation


@dataclass(frozen=True)
class AugmentedRGBOptions:
    """Weights bring the three terms to the size of a detection loss; the paper's own are for another detector."""

    atomic_weight: float = 0.3
    relation_weight: float = 10.0  # correlations differ by a few hundredths
    boundary_weight: float = 0.5
    temperature: float = 0.1  # of the contrast between steps
    joint_weight: float = 1.0  # of a joint teacher's predictions, where there is one


class AugmentedRGB(Method):
    """loss = joint(x) against ground truth + what A(x) shares with the teacher's features.

    A is a map D -> D for training alone: the branch must hold what the teacher knows, not look like it.

    Source: Dai et al., ICCV 2021, arXiv:2108.03619: atomic level (a contrast per snippet), sequence level (global
    contextual relations, boundary saliency).
    """

    Options: ClassVar[type] = AugmentedRGBOptions
    needs_teacher: ClassVar[bool] = True
    needs_teacher_features: ClassVar[bool] = True

    def __init__(self, detector: Detector, options: AugmentedRGBOptions) -> None:
        super().__init__(detector, options)
        self.adapter = nn.Linear(detector.config.width, detector.config.width)

    @classmethod
    def branches(cls, cues: Sequence[str]) -> tuple[str, ...]:
        return rgb_alone(cues, 1)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        head = self.detector.head
        [features] = self.detector.branch_features(batch.cues, batch.mask)
        joint = self.detector.predict_from([features], batch.mask)
        known, assignment, positives = assign(head, joint, batch)
        losses = head.loss(known, assignment, self.normalised_by(positives))
        return {
            **under("joint", losses),
            **under("distill", self.taught_by_teacher(features, batch)),
            **taught_by_joint_teacher(head, joint, batch, self.options.joint_weight),
        }

    def taught_by_teacher(self, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """features (B, D, T) of the branch against the teacher's, on all rows; terms of weight 0 are left out."""
        options, teacher, mask = self.options, batch.teachers["motion"].features, batch.mask
        assert teacher is not None
        mapped = self.adapter(features.transpose(1, 2)).transpose(1, 2) * mask[:, None]
        terms: dict[str, Tensor] = {}
        if options.atomic_weight > 0:
            terms["atomic"] = options.atomic_weight * atomic_contrast(
                mapped, teacher, mask, options.temperature, self.ranks.rows
            )
        if options.relation_weight > 0:
            terms["relation"] = options.relation_weight * contextual_relation(mapped, teacher, mask, self.ranks.sum)
        if options.boundary_weight > 0:
            terms["boundary"] = options.boundary_weight * boundary_saliency(mapped, teacher, mask, self.ranks.sum)
        return terms
