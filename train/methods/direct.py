"""Conventional distillation: the RGB features themselves mimic the motion teacher's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from detect.losses import masked_mse
from train.data.dataset import Batch
from train.methods.base import Method, assign, rgb_alone, taught_by_joint_teacher, under


@dataclass(frozen=True)
class DirectOptions:
    """Weights of what the one branch is distilled from."""

    feature_weight: float = 1.0  # more hurts: what the teacher cannot see, this branch must forget
    prediction_weight: float = 1.0
    joint_weight: float = 1.0  # of a joint teacher's predictions, where there is one


class Direct(Method):
    """loss = joint(x) + distillation of the same features x and the same predictions (+ those of a joint teacher).

    Source: the MARS-like baseline of Lee et al., CVPR 2023 (Crasto et al., CVPR 2019, with predictions as well).
    """

    Options: ClassVar[type] = DirectOptions
    needs_teacher: ClassVar[bool] = True

    @classmethod
    def branches(cls, cues: Sequence[str]) -> tuple[str, ...]:
        return rgb_alone(cues, 1)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        head, options, teacher = self.detector.head, self.options, batch.teachers["motion"]
        [features] = self.detector.branch_features(batch.cues, batch.mask)
        joint = self.detector.predict_from([features], batch.mask)
        known, assignment, positives = assign(head, joint, batch)
        losses = under("joint", head.loss(known, assignment, self.normalised_by(positives)))
        if options.feature_weight > 0 and teacher.features is not None:
            losses["distill/feature"] = options.feature_weight * masked_mse(
                features, teacher.features, batch.mask, self.ranks.sum
            )
        if options.prediction_weight > 0:
            losses |= under("distill", head.distill(joint, teacher.predictions), options.prediction_weight)
        return losses | taught_by_joint_teacher(head, joint, batch, options.joint_weight)
