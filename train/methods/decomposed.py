"""Decomposed cross-modal distillation: two branches from RGB, ground truth teaches one, a motion teacher the other."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from detect.losses import masked_mse
from detect.model.detector import Detector
from train.data.dataset import Batch
from train.methods.base import Method, assign, rgb_alone, split, taught_by_joint_teacher, under
from train.methods.stretches import check_share, draw_stretches

TWIN_STREAMS = ("rgb_twin", "rgb_twin_motion")  # of the twin that ships, an RGB network that gives both at once
MOTION_STREAM = "rgb_motion"  # features of a motion student: an RGB network taught to see what a motion network sees


@dataclass(frozen=True)
class DecomposedOptions:
    """Who teaches which branch, and how much. Weights were chosen on the built-in benchmark; the paper gives none."""

    feature_weight: float = 5.0  # of the motion branch's features mimicking the teacher's; helps up to here
    prediction_weight: float = 1.0  # of its predictions mimicking the teacher's
    appearance_weight: float = 1.0  # of ground truth on the appearance branch
    shared_head: bool = True  # one head judges both branches, so that their difference must lie in their features
    motion_ground_truth: bool = False  # ground truth on the motion branch as well; the paper keeps it from there
    joint_weight: float = 1.0  # of a joint teacher's predictions, where there is one
    judged: float = 1.0  # share of the steps of samples on which the branches' predictions are judged, drawn anew each
    # step; .375 makes a step 1.9 times that of RGB alone instead of 2.9
    detach: bool = False  # keep the joint loss out of the motion branch; costs 2-3 points of mAP


class Decomposed(Method):
    """loss = joint(fuse(appearance, motion)) + branch(appearance)  against ground truth, on labelled rows
           + mimic(motion, teacher) + distill(branch(motion), teacher)  against the frozen motion teacher
          (+ distill(joint(fuse(appearance, motion)), joint teacher)  where there is one, ours).

    The branch head sees both branches and is dropped after training. Ground truth does not reach the motion branch
    through it; through the fusion the joint loss does.

    Source: Lee et al., CVPR 2023, arXiv:2303.17285: asymmetric objectives, shared detection head, local attentive
    fusion (detect/model/fusion.py).
    """

    Options: ClassVar[type] = DecomposedOptions
    needs_teacher: ClassVar[bool] = True

    def __init__(self, detector: Detector, options: DecomposedOptions) -> None:
        super().__init__(detector, options)
        check_share(options.judged, detector.head)
        self.branch_head = detector.new_head(detector.config.width)
        self.motion_head = self.branch_head if options.shared_head else detector.new_head(detector.config.width)

    @classmethod
    def branches(cls, cues: Sequence[str]) -> tuple[str, ...]:
        """One stream for both branches, or the appearance branch's and the motion branch's."""
        streams = rgb_alone(cues, 2)
        return streams if len(streams) == 2 else streams * 2

    @classmethod
    def usual_cues(cls, streams: Collection[str]) -> tuple[str, ...]:
        """A motion student's features for the motion branch where there are some: frozen RGB features lost motion."""
        if MOTION_STREAM in streams:
            return ("rgb", MOTION_STREAM)
        return TWIN_STREAMS if set(TWIN_STREAMS) <= set(streams) else ("rgb",)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        appearance, motion = self.detector.branch_features(batch.cues, batch.mask)
        fused = motion.detach() if self.options.detach else motion
        joint = self.detector.predict_from([appearance, fused], batch.mask)
        known, assignment, positives = assign(self.detector.head, joint, batch)
        normaliser = self.normalised_by(positives)
        part, share = batch, 1.0
        judged = [appearance, motion]
        if self.options.judged < 1.0:
            where = draw_stretches(batch.mask, self.options.judged, self.detector.head.sample.multiple)
            part, judged = where.batch(batch, self.detector.head), [where.of(x) for x in judged]
            share = self.share_of(part.mask, batch.mask)
        from_appearance, from_motion = self.judge(judged[0], judged[1], part.mask)
        return {
            **under("joint", self.detector.head.loss(known, assignment, normaliser)),
            **self.taught_by_truth(from_appearance, from_motion, part, normaliser * share),
            **self.mimicked(motion, batch),
            **self.taught_by_teacher(from_motion, part),
            **taught_by_joint_teacher(self.detector.head, joint, batch, self.options.joint_weight),
        }

    def judge(self, appearance: Tensor, motion: Tensor, mask: Tensor) -> list[dict[str, Tensor]]:
        """What each branch alone would predict; one call where they share the head."""
        if self.motion_head is self.branch_head:
            return split(self.branch_head(torch.cat([appearance, motion]), mask.repeat(2, 1)), 2)
        return [self.branch_head(appearance, mask), self.motion_head(motion, mask)]

    def taught_by_truth(
        self, appearance: dict[str, Tensor], motion: dict[str, Tensor], batch: Batch, normaliser: float
    ) -> dict[str, Tensor]:
        """Predictions of either branch against ground truth, on labelled rows; the motion branch only if asked."""
        known, assignment, _ = assign(self.branch_head, appearance, batch)
        weight = self.options.appearance_weight
        losses = under("appearance", self.branch_head.loss(known, assignment, normaliser), weight)
        if self.options.motion_ground_truth:
            known, assignment, _ = assign(self.motion_head, motion, batch)
            losses |= under("motion", self.motion_head.loss(known, assignment, normaliser), weight)
        return losses

    def mimicked(self, motion: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Features (B, D, T) of the motion branch against the teacher's, on all rows."""
        weight, theirs = self.options.feature_weight, batch.teachers["motion"].features
        if weight == 0 or theirs is None:
            return {}
        return {"distill/feature": weight * masked_mse(motion, theirs, batch.mask, self.ranks.sum)}

    def taught_by_teacher(self, predictions: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Predictions of the motion branch against the teacher's, on all rows."""
        weight = self.options.prediction_weight
        if weight == 0:
            return {}
        return under("distill", self.motion_head.distill(predictions, batch.teachers["motion"].predictions), weight)

    def share_of(self, part: Tensor, whole: Tensor) -> float:
        """Of the real steps of the batch, of all ranks, those that are judged."""
        judged, steps = self.ranks.sum(torch.stack([part.sum(), whole.sum()])).tolist()
        return float(judged / max(steps, 1))
