"""AFSD: every point of a pyramid proposes a segment, and what is seen at the proposal's boundaries refines it.

Source: Lin et al., CVPR 2021, arXiv:2103.13137; the version on cached features is OpenTAD's. Equal to the published
implementation; departures in docs/papers.md.
Points: level l of the pyramid has one point in the middle of every 2^l steps. Distances are in steps, frames a finer
axis of `frames` to a step. Proposals and their refinement can be had apart: `forward` refines a head's own proposals,
`refine` those that it is given.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from detect.heads.afsd import losses
from detect.heads.afsd.config import AFSDConfig
from detect.heads.afsd.consistency import cut_action
from detect.heads.afsd.layers import axis_of, single
from detect.heads.afsd.network import FrameMap, Output, Pyramid, Refinement, Regions, Tower
from detect.heads.afsd.targets import Points, assign_points, assign_proposals, boundary_maps, points_of
from detect.heads.base import Assignment, Candidates, Head, Predictions, Rearranged, Rearranging, Targets
from detect.heads.levels import first_level, level_sizes, with_gaps
from detect.losses import mean_of_samples
from detect.suppress import Suppression
from detect.windows import SampleRule

MAPS = ("frame_map", "location_map", "class_map")
FARTHEST = 12.0  # of the exponent of a distance: e^12 units are beyond any sample


class AFSD(Head, Rearranging):
    """Predictions, N points of all levels, F = frames · T:

    logits (B, N, C + 1), background last; distances (B, N, 2) > 0 in steps to start and end; valid (B, N).
    refined_logits, refined_offsets (B, N, 2) in half lengths of the proposal; quality (B, N), a logit of the IoU.
    boundaries (B, F, 2), step_boundaries (B, T, 4): starts and ends in [0, 1), in frames and in the first level.
    frame_map (B, F, D), location_map, class_map (B, N + levels, D): what `refine` reads.
    """

    not_exported = "how often its pooling compares steps depends on the proposals"
    Config: ClassVar[type] = AFSDConfig
    suppression: ClassVar[Suppression] = Suppression(max_per_video=2000)  # OpenTAD; the authors: 5000
    of_training: ClassVar[frozenset[str]] = frozenset(
        {"min_iou", "refine_best", "smooth", "ranges", "offset_weight", "map_weight", "consistency_weight"}
        | {"focal_alpha", "focal_gamma", "min_score", "overlap", "training_overlap"}
    )

    def __init__(self, in_channels: int, num_classes: int, config: AFSDConfig) -> None:
        super().__init__(in_channels, num_classes, config)
        width, groups = config.width, config.groups
        self.pyramid = Pyramid(in_channels, width, config.levels, groups)
        self.frame_map = FrameMap(width, config.frames, groups)
        self.location = Tower(width, config.tower, groups)
        self.classes = Tower(width, config.tower, groups)
        self.distances = Output(width, 2, 3)
        self.scales = nn.Parameter(torch.ones(config.levels))  # of the exponents of distances
        self.classifier = Output(width, num_classes + 1, 3)
        self.location_refinement = Refinement(width, groups)
        self.class_refinement = Refinement(width, groups)
        self.refined_offsets = Output(width, 2, 1)
        self.refined_classifier = Output(width, num_classes + 1, 1)
        self.quality = Output(width, 1, 3)

    @classmethod
    def sample_rule(cls, config: AFSDConfig) -> SampleRule:
        return config.sample_rule

    def forward(self, features: Tensor, mask: Tensor) -> Predictions:
        config = self.config
        if features.shape[2] % 2 ** (config.levels - 1):
            raise ValueError(f"AFSD: {features.shape[2]} steps: expected a multiple of {2 ** (config.levels - 1)}")
        axis = axis_of(mask, config.levels, features.dtype)
        keep = axis.keep
        pyramid = self.pyramid(features.transpose(1, 2) * mask[:, :, None].to(features.dtype), mask)
        maps = {
            "valid": axis.real[:, axis.points],
            "frame_map": self.frame_map(pyramid[:, : mask.shape[1]], mask),
            "location_map": self.location(pyramid, axis, keep),
            "class_map": self.classes(pyramid, axis, keep),
        }
        exponents = self.distances(maps["location_map"], keep) * self.scales[axis.level, None]
        units = config.unit * 2.0**axis.level if config.unit_doubles else config.unit * torch.ones_like(self.scales[:1])
        distances = exponents.clamp(max=FARTHEST).exp() * units[:, None]
        coarse = {"logits": self.classifier(maps["class_map"], keep), "distances": distances}
        predictions = {**maps, **{name: value[:, axis.points] for name, value in coarse.items()}}
        return {**predictions, **self.refine(predictions, predictions["distances"])}

    def refine(self, predictions: Predictions, distances: Tensor) -> Predictions:
        """What the boundaries of proposals with these distances (B, N, 2) say, in the maps of `predictions`.

        The proposals may be those of another detector on the same samples. They get no gradient.
        """
        mask = self.mask_of(predictions)
        sizes = level_sizes(mask.shape[1], self.config.levels)
        axis = axis_of(mask, self.config.levels, distances.dtype)
        keep = axis.keep
        regions = Regions(with_gaps(distances.detach().split(sizes, dim=1)), axis, mask.sum(1), self.config.frames)
        frame_map = predictions["frame_map"]
        seen = regions.in_frames(frame_map)
        location, by_location = self.location_refinement(predictions["location_map"], seen, regions, axis, keep)
        classes, by_class = self.class_refinement(predictions["class_map"], seen, regions, axis, keep)
        steps = torch.cat([by_location[:, : mask.shape[1]], by_class[:, : mask.shape[1]]], dim=2)
        return {
            "refined_logits": self.refined_classifier(classes, keep)[:, axis.points],
            "refined_offsets": self.refined_offsets(location, keep)[:, axis.points],
            "quality": self.quality(location, keep)[:, axis.points, 0],
            "boundaries": torch.stack([half.tanh().mean(2) for half in frame_map.chunk(2, dim=2)], dim=2),
            "step_boundaries": torch.stack([half.tanh().mean(2) for half in steps.chunk(4, dim=2)], dim=2),
        }

    def mask_of(self, predictions: Predictions) -> Tensor:
        """The mask (B, T) of the samples that were predicted: that of the first level."""
        valid = predictions["valid"]
        return valid[:, : first_level(valid.shape[1], self.config.levels)]

    def points(self, steps: int, device: torch.device) -> Points:
        return points_of(steps, self.config.ranges or [(-1.0, math.inf)] * self.config.levels, device)

    # ---- targets and losses

    @torch.no_grad()
    def assign(self, predictions: Predictions, targets: Sequence[Targets]) -> Assignment:
        """Of points, and of the proposals that the predictions made of them; see `targets.py`."""
        config, mask = self.config, self.mask_of(predictions)
        points = self.points(mask.shape[1], mask.device)
        coarse = assign_points(points, predictions["valid"], targets, self.num_classes)
        proposals = assign_proposals(coarse, predictions["distances"].float(), config.min_iou, config.refine_best)
        return {**coarse, **proposals, "boundaries": boundary_maps(targets, mask, config.frames)}

    def num_positives(self, assignment: Assignment) -> int:
        return int(assignment["positive"].sum())

    def loss(self, predictions: Predictions, assignment: Assignment, normaliser: float) -> dict[str, Tensor]:
        """class, offset, quality over points, divided by `normaliser`; refined_class, refined_offset divided by the
        proposals refined; start and end means over frames."""
        return losses.of_truth(predictions, assignment, self.mask_of(predictions), normaliser, self.config, self.whole)

    def distill(self, student: Predictions, teacher: Predictions) -> dict[str, Tensor]:
        """The student refines the teacher's proposals, so that both say what they see at the same places."""
        common = self.refine(student, teacher["distances"])
        return losses.of_teacher({**student, **common}, teacher, self.mask_of(student), self.config, self.whole)

    def for_student(self, predictions: Predictions) -> Predictions:
        """Without the maps: the student reads its own."""
        return {name: value for name, value in predictions.items() if name not in MAPS}

    # ---- boundary consistency

    @property
    def rearranges(self) -> bool:
        return self.config.consistency_weight > 0

    def rearrange(self, targets: Targets, num_steps: int, generator: np.random.Generator) -> Rearranged | None:
        """An action cut in two by a stretch of background from elsewhere in the sample."""
        return cut_action(targets, num_steps, self.config.frames, generator)

    def rearranged_loss(self, features: Tensor, mask: Tensor, places: Tensor) -> dict[str, Tensor]:
        """places (B, 3, 2): first part, second part and inserted background, in cells."""
        if len(places) == 0:
            return {"consistency": mean_of_samples(features.sum((1, 2)), self.whole)}  # 0
        axis = single(mask, features.dtype)
        keep = axis.keep
        x = self.pyramid.entry(features.transpose(1, 2) * keep, axis, keep) * keep
        location = self.location_refinement.around(self.location(x, axis, keep), axis, keep)
        classes = self.class_refinement.around(self.classes(x, axis, keep), axis, keep)
        frame_map, frames = self.frame_map(x, mask), self.config.frames
        consistency = losses.of_cut_action([frame_map, location, classes], places, mask.sum(1), frames, self.whole)
        return {"consistency": self.config.consistency_weight * consistency}

    # ---- detections

    @torch.no_grad()
    def decode(self, predictions: Predictions) -> list[Candidates]:
        """Every point and class above `min_score`: ½ (coarse + refined probability) · quality."""
        distances = predictions["distances"].float()
        both = predictions["logits"].float().softmax(2) + predictions["refined_logits"].float().softmax(2)
        scores = 0.5 * both[..., :-1] * predictions["quality"].float().sigmoid()[:, :, None]
        scores = scores * predictions["valid"][:, :, None]
        refined = distances + 0.5 * distances.sum(2, keepdim=True) * predictions["refined_offsets"].float()
        at = self.points(self.mask_of(predictions).shape[1], scores.device).at - 0.5  # grid steps
        segments = torch.stack([at - refined[..., 0], at + refined[..., 1]], dim=2)
        scores = scores.masked_fill((segments[..., 1] <= segments[..., 0])[:, :, None], 0.0)
        found = []
        for sample, places in zip(scores, segments, strict=True):
            point, label = (sample > self.config.min_score).nonzero(as_tuple=True)
            found.append(Candidates(places[point], sample[point, label], label))
        return found
