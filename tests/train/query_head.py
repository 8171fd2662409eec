"""A toy head as unlike ActionFormer as may be: a set of queries that each say one action, samples of exactly T steps.

What a query should have said depends on what it said (Hungarian matching), there are no points, nothing can be cropped.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from detect.heads.base import Assignment, Candidates, Head, Predictions, Targets
from detect.suppress import Suppression
from detect.windows import SampleRule


@dataclass(frozen=True)
class QueryHeadConfig:
    width: int = 16
    length: int = 32
    queries: int = 6
    resize: int | None = None
    training_overlap: float | None = None


class QueryHead(Head):
    """Predictions: logits (B, Q, C), segments (B, Q, 2) in steps of the sample; a set, in no order of time."""

    Config: ClassVar[type] = QueryHeadConfig
    suppression: ClassVar[Suppression] = Suppression(kind="none", iou=0.4)
    optimiser: ClassVar[Mapping[str, Any]] = {"clip_norm": 0.1}
    of_training: ClassVar[frozenset[str]] = frozenset({"training_overlap"})

    def __init__(self, in_channels: int, num_classes: int, config: QueryHeadConfig) -> None:
        super().__init__(in_channels, num_classes, config)
        self.entry = nn.Linear(in_channels, config.width)
        self.queries = nn.Parameter(torch.randn(config.queries, config.width))
        self.classifier = nn.Linear(config.width, num_classes)
        self.regressor = nn.Linear(config.width, 2)

    @classmethod
    def sample_rule(cls, config: QueryHeadConfig) -> SampleRule:
        return SampleRule(resize=config.resize, length=config.length, training_overlap=config.training_overlap)

    def forward(self, features: Tensor, mask: Tensor) -> Predictions:
        if features.shape[2] != self.config.length:
            raise ValueError(f"QueryHead: {features.shape[2]} steps: expected exactly {self.config.length}")
        x = self.entry(features.transpose(1, 2))  # (B, T, D)
        looks = self.queries @ x.transpose(1, 2) / math.sqrt(self.config.width)  # (B, Q, T)
        looks = looks.masked_fill(~mask[:, None], -math.inf).softmax(2)
        seen, at = looks @ x, looks @ torch.arange(x.shape[1], dtype=x.dtype, device=x.device)  # (B, Q, D), (B, Q)
        moved, length = self.regressor(seen).unbind(2)
        centre, half = at + moved, F.softplus(length + 2.0)
        return {"logits": self.classifier(seen), "segments": torch.stack([centre - half, centre + half], 2)}

    @torch.no_grad()
    def assign(self, predictions: Predictions, targets: Sequence[Targets]) -> Assignment:
        """Of each query: classes (B, Q, C), segments (B, Q, 2), positive (B, Q), by the cheapest matching."""
        classes = torch.zeros_like(predictions["logits"])
        segments = torch.zeros_like(predictions["segments"])
        for row, known in enumerate(targets):
            unlikely = -predictions["logits"][row].sigmoid()[:, known.labels]  # (Q, N)
            apart = (predictions["segments"][row][:, None] - known.segments.to(segments)).abs().sum(2)
            which, of = linear_sum_assignment((unlikely + 0.1 * apart).cpu().numpy())
            classes[row, which, known.labels[of]] = 1.0
            segments[row, which] = known.segments[of].to(segments)
        return {"classes": classes, "segments": segments, "positive": classes.amax(2) > 0}

    def num_positives(self, assignment: Assignment) -> int:
        return int(assignment["positive"].sum())

    def loss(self, predictions: Predictions, assignment: Assignment, normaliser: float) -> dict[str, Tensor]:
        wrong = F.binary_cross_entropy_with_logits(predictions["logits"], assignment["classes"], reduction="none")
        apart = (predictions["segments"] - assignment["segments"]).abs().sum(2)
        return {"class": wrong.sum() / normaliser, "offset": (apart * assignment["positive"]).sum() / normaliser}

    def distill(self, student: Predictions, teacher: Predictions) -> dict[str, Tensor]:
        """Each query against the teacher's query that is nearest to it, one to one."""
        terms: dict[str, list[Tensor]] = {"class": [], "offset": []}
        for row in range(len(student["logits"])):
            apart = torch.cdist(student["segments"][row], teacher["segments"][row], p=1)
            which, of = linear_sum_assignment(apart.detach().cpu().numpy())
            mimic = student["logits"][row, which] - teacher["logits"][row, of].detach()
            sure = teacher["logits"][row, of].detach().sigmoid().amax(1)
            terms["class"].append(mimic.square().mean())
            terms["offset"].append((apart[which, of] * sure).mean())
        return {name: torch.stack(values).mean() for name, values in terms.items()}

    def decode(self, predictions: Predictions) -> list[Candidates]:
        best = predictions["logits"].sigmoid().max(2)
        return [Candidates(*found) for found in zip(predictions["segments"], best.values, best.indices, strict=True)]


class NamelessQueryHead(QueryHead):
    """Finds actions without naming them: every class is the one class "action"."""

    names_classes = False

    def __init__(self, in_channels: int, num_classes: int, config: QueryHeadConfig) -> None:
        super().__init__(in_channels, 1, config)

    def assign(self, predictions: Predictions, targets: Sequence[Targets]) -> Assignment:
        return super().assign(predictions, [Targets(t.segments, torch.zeros_like(t.labels)) for t in targets])

    def decode(self, predictions: Predictions) -> list[Candidates]:
        return [Candidates(found.segments, found.scores, None) for found in super().decode(predictions)]
