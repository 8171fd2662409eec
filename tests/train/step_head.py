"""A toy second member of the heads: one prediction per step, no pyramid, other names for everything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detect.heads.base import Assignment, Candidates, Croppable, Head, Predictions, Targets


@dataclass(frozen=True)
class StepHeadConfig:
    width: int = 16


class StepHead(Head, Croppable):
    """Predictions: scores (B, T, C) as logits, reach (B, T, 2) >= 0 in steps, valid (B, T)."""

    Config: ClassVar[type] = StepHeadConfig

    def __init__(self, in_channels: int, num_classes: int, config: StepHeadConfig) -> None:
        super().__init__(in_channels, num_classes, config)
        self.output = nn.Linear(in_channels, num_classes + 2)

    def forward(self, features: Tensor, mask: Tensor) -> Predictions:
        scores, reach = self.output(features.transpose(1, 2)).split([self.num_classes, 2], dim=2)
        return {"scores": scores, "reach": F.softplus(reach), "valid": mask}

    def assign(self, predictions: Predictions, targets: Sequence[Targets]) -> Assignment:
        valid = predictions["valid"]
        classes, reach = torch.zeros_like(predictions["scores"]), torch.zeros_like(predictions["reach"])
        at = torch.arange(valid.shape[1])
        for row, known in enumerate(targets):
            for (start, end), label in zip(known.segments, known.labels, strict=True):
                inside = (at > start) & (at < end) & valid[row]
                classes[row, inside, label] = 1.0
                reach[row, inside] = torch.stack([at - start, end - at], dim=1)[inside]
        return {"classes": classes, "reach": reach, "positive": classes.amax(2) > 0}

    def num_positives(self, assignment: Assignment) -> int:
        return int(assignment["positive"].sum())

    def loss(self, predictions: Predictions, assignment: Assignment, normaliser: float) -> dict[str, Tensor]:
        wrong = F.binary_cross_entropy_with_logits(predictions["scores"], assignment["classes"], reduction="none")
        apart = (predictions["reach"] - assignment["reach"]).abs().sum(2)
        return {
            "class": (wrong * predictions["valid"][:, :, None]).sum() / normaliser,
            "offset": (apart * assignment["positive"]).sum() / normaliser,
        }

    def distill(self, student: Predictions, teacher: Predictions) -> dict[str, Tensor]:
        keep = (student["valid"] & teacher["valid"])[:, :, None]
        apart = {name: (student[name] - teacher[name]).square() * keep for name in ("scores", "reach")}
        return {"class": apart["scores"].sum() / keep.sum(), "offset": apart["reach"].sum() / keep.sum()}

    def decode(self, predictions: Predictions) -> list[Candidates]:
        at = torch.arange(predictions["valid"].shape[1])
        return [
            Candidates(torch.stack([at - reach[:, 0], at + reach[:, 1]], 1), *scores.sigmoid().max(1))
            for scores, reach in zip(predictions["scores"], predictions["reach"], strict=True)
        ]

    def crop(self, predictions: Mapping[str, Tensor], start: int, stop: int) -> Predictions:
        return {name: value[:, start:stop] for name, value in predictions.items()}

    def stack(self, predictions: Sequence[Mapping[str, Tensor]], length: int) -> Predictions:
        def lengthen(x: Tensor) -> Tensor:
            return F.pad(x, (0, 0) * (x.ndim - 2) + (0, length - x.shape[1]))

        return {name: torch.cat([lengthen(p[name]) for p in predictions]) for name in predictions[0]}
