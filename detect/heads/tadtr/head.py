"""TadTR: a set of queries that read a sample and each say one action, or none.

Source: Liu et al., TIP 2022, arXiv:2106.10271. Equal to the published implementation; departures in docs/papers.md.
A sample is cut to one length. Inside, segments are centre and width as shares of the sample's real steps, and what
padding holds is never read. Every layer of the decoder predicts and is taught; the last is what is detected.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from detect.heads.base import Assignment, Candidates, Head, Predictions, Targets
from detect.heads.padding import pad_rows
from detect.heads.tadtr.matching import (
    Costs,
    Pairs,
    apart,
    class_cost,
    iou,
    match,
    to_centre,
    to_ends,
)
from detect.heads.tadtr.regions import region_weights
from detect.heads.tadtr.transformer import Decoder, Encoder, MaskedGroupNorm
from detect.losses import sigmoid_focal, soft_cross_entropy
from detect.precision import exactly
from detect.suppress import Suppression
from detect.windows import SampleRule

GROUPS = 32  # of the GroupNorm before the encoder, or as many as the width allows


@dataclass(frozen=True)
class TadTRConfig:
    """Defaults are the published ones for THUMOS'14 unless a line says otherwise."""

    width: int = 256
    heads: int = 8
    points: int = 4  # places that a head reads
    encoder: int = 4  # layers
    decoder: int = 4
    mlp_ratio: int = 4
    dropout: float = 0.1
    queries: int = 40  # actions of a sample that can be found; THUMOS'14 has up to 31 in 34 s
    length: int = 256  # steps of a sample, 34 s at stride 4 (OpenTAD)
    overlap: float = 0.75  # of neighbouring windows when detecting (OpenTAD; .25 in the first release)
    training_overlap: float = 0.25  # likewise when training (OpenTAD)
    resize: int | None = None  # steps that every video is resized to; None: as many as it has
    bins: int = 16  # of the region that actionness is judged from
    enlarge: float = 1.5  # how much longer than the segment that region is
    prior: float = 0.01  # probability of every class before training
    class_cost: float = 6.0  # when queries are matched with actions
    offset_cost: float = 5.0
    iou_cost: float = 2.0
    class_weight: float = 2.0  # of the losses
    offset_weight: float = 5.0
    iou_weight: float = 2.0
    actionness_weight: float = 4.0
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    max_candidates: int = 200  # of a sample, the best are decoded (OpenTAD; 100 in the first release)

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width % self.heads or self.width % 2:
            raise ValueError(f"TadTRConfig: width {self.width} must be even and a multiple of heads {self.heads}")
        for name in ("points", "encoder", "decoder", "mlp_ratio", "queries", "bins", "max_candidates"):
            if getattr(self, name) < 1:
                raise ValueError(f"TadTRConfig: {name} must be at least 1, got {getattr(self, name)}")
        if not 0.0 <= self.dropout < 1.0 or not 0.0 < self.prior < 1.0 or not self.enlarge > 0:
            raise ValueError("TadTRConfig: dropout must be in [0, 1), prior in (0, 1), enlarge above 0")
        TadTR.sample_rule(self)  # refuses what is no number of steps

    @property
    def costs(self) -> Costs:
        return Costs(self.class_cost, self.offset_cost, self.iou_cost)


class TadTR(Head):
    """Predictions: logits (B, L, Q, C) and segments (B, L, Q, 2), centre and width as shares of the sample, of every
    layer; actionness (B, Q) in (0, 1), the IoU that the last layer's segment is thought to have; steps (B,), real ones.
    """

    not_exported = "its attention reads the sequence by torch.nn.functional.embedding_bag, which ONNX does not have"
    Config: ClassVar[type] = TadTRConfig
    of_training: ClassVar[frozenset[str]] = frozenset(
        {"dropout", "overlap", "training_overlap", "prior", "class_cost", "offset_cost", "iou_cost"}
        | {"class_weight", "offset_weight", "iou_weight", "actionness_weight", "focal_alpha", "focal_gamma"}
        | {"max_candidates"}
    )
    suppression: ClassVar[Suppression] = Suppression(sigma=0.4)  # OpenTAD
    optimiser: ClassVar[Mapping[str, Any]] = {
        "learning_rate": 2e-4,
        "weight_decay": 1e-4,
        "clip_norm": 0.1,
        "ema": 0.0,  # none
    }
    learning_rates: ClassVar[Mapping[str, float]] = {"reference": 0.1, "offsets": 0.1}  # what places depend on

    def __init__(self, in_channels: int, num_classes: int, config: TadTRConfig) -> None:
        super().__init__(in_channels, num_classes, config)
        width, shape = config.width, (config.width, config.heads, config.points, config.mlp_ratio, config.dropout)
        self.entry = nn.Linear(in_channels, width)
        self.entry_norm = MaskedGroupNorm(math.gcd(GROUPS, width), width)
        self.encoder = Encoder(config.encoder, *shape)
        self.decoder = Decoder(config.queries, config.decoder, *shape)
        self.classifiers = nn.ModuleList(nn.Linear(width, num_classes) for _ in range(config.decoder))
        self.actionness = nn.Sequential(
            nn.Linear(config.bins * width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )
        nn.init.xavier_uniform_(self.entry.weight)
        nn.init.zeros_(self.entry.bias)
        for classifier in self.classifiers:
            nn.init.constant_(classifier.bias, -math.log(1 / config.prior - 1))  # type: ignore[arg-type]

    @classmethod
    def sample_rule(cls, config: TadTRConfig) -> SampleRule:
        return SampleRule(
            resize=config.resize,
            length=config.length,
            overlap=config.overlap,
            training_overlap=config.training_overlap,
        )

    def forward(self, features: Tensor, mask: Tensor) -> Predictions:
        x = features.transpose(1, 2) * mask[:, :, None].to(features.dtype)
        memory = self.encoder(exactly(self.entry_norm, self.entry(x), mask), mask)
        queries, segments = self.decoder(memory, mask)  # (B, L, Q, D), (B, L, Q, 2)
        logits = torch.stack([exactly(c, queries[:, layer]) for layer, c in enumerate(self.classifiers)], dim=1)
        steps = mask.sum(1)
        return {
            "logits": logits,
            "segments": segments,
            "actionness": self._actionness(memory, segments[:, -1], steps),
            "steps": steps.to(logits.dtype),
        }

    def _actionness(self, memory: Tensor, segments: Tensor, steps: Tensor) -> Tensor:
        """(B, Q) in (0, 1), from the memory (B, T, D) in and around the segments; these get no gradient from here."""
        wide = to_ends(segments.detach() * segments.new_tensor([1.0, self.config.enlarge])).clamp(0, 1)
        weights = region_weights(wide * steps[:, None, None], steps, self.config.bins, memory.shape[1])
        bins = exactly(torch.matmul, weights.flatten(1, 2), memory)  # (B, Q·bins, D)
        return exactly(self.actionness, bins.unflatten(1, (-1, self.config.bins)).flatten(2)).sigmoid()[..., 0]

    @torch.no_grad()
    def assign(self, predictions: Predictions, targets: Sequence[Targets]) -> Assignment:
        """By the cheapest matching of each layer's queries with the actions: classes (B, L, Q, C), segments
        (B, L, Q, 2), positive (B, L, Q). Of the last layer's segments, the largest IoU with an action of their own
        sample: iou (B, Q). And the number of actions (B,).

        An action of two labels is two actions: two queries say it. Of more actions than queries some are left out.
        """
        logits, segments = predictions["logits"].float(), predictions["segments"].float()
        layers = logits.shape[1]
        known = [to_centre(t.segments.to(segments)) / s for t, s in zip(targets, predictions["steps"], strict=True)]
        truth, labels = pad_rows(known), pad_rows([t.labels.to(logits.device) for t in targets])  # (B, M, 2), (B, M)
        saying = class_cost(logits, self.config.focal_alpha, self.config.focal_gamma)
        saying = saying.gather(3, labels[:, None, None].expand(*logits.shape[:3], -1))  # (B, L, Q, M)
        cost = self.config.class_cost * saying + apart(segments, truth[:, None], self.config.costs)
        counts = [len(t.labels) for t in targets]
        sample, query, action = match(cost.flatten(0, 1), [count for count in counts for _ in range(layers)])
        layer, sample = sample % layers, sample // layers
        assignment = {
            "classes": torch.zeros_like(logits),
            "segments": torch.zeros_like(segments),
            "positive": torch.zeros(logits.shape[:3], dtype=torch.bool, device=logits.device),
            "iou": iou(segments[:, -1, :, None], truth[:, None]).amax(2),  # 0 with the empty rows added
            "actions": torch.tensor(counts, device=logits.device),
        }
        assignment["classes"][sample, layer, query, labels[sample, action]] = 1.0
        assignment["segments"][sample, layer, query] = truth[sample, action]
        assignment["positive"][sample, layer, query] = True
        return assignment

    def num_positives(self, assignment: Assignment) -> int:
        return int(assignment["actions"].sum())

    # ---- losses

    def loss(self, predictions: Predictions, assignment: Assignment, normaliser: float) -> dict[str, Tensor]:
        """Sums over layers of the focal loss of all queries, of |centre| + |width| and of 1 - IoU of the matched ones,
        over `normaliser`; and how far actionness is from the IoU that a segment has, the mean over all queries."""
        config, positive = self.config, assignment["positive"]
        focal = sigmoid_focal(
            predictions["logits"].float(), assignment["classes"], config.focal_alpha, config.focal_gamma
        )
        segments, truth = predictions["segments"].float()[positive], assignment["segments"][positive]
        wrong = (predictions["actionness"].float() - assignment["iou"]).abs()
        queries = self.whole(torch.tensor(wrong.numel(), device=wrong.device))
        return {
            "class": config.class_weight * focal.sum() / normaliser,
            "offset": config.offset_weight * (segments - truth).abs().sum() / normaliser,
            "iou": config.iou_weight * (1 - iou(segments, truth)).sum() / normaliser,
            "actionness": config.actionness_weight * wrong.sum() / queries.clamp(min=1),
        }

    def distill(self, student: Predictions, teacher: Predictions) -> dict[str, Tensor]:
        """The losses with the teacher's predictions as truth, each weighed by how sure the teacher is of it.

        Queries are a set: those of student and teacher are matched once, by what the last layers say, where the
        teacher is sure; then every layer of one mimics that layer of the other. class: |q - p| · KL(teacher ‖ student)
        over all queries and classes; offset, iou and actionness: as in `loss`, times the confidence, which is the
        largest class probability times actionness. All are divided by the sum of confidences (at least 1).
        """
        config = self.config
        logits, segments, actionness = (teacher[k].detach().float() for k in ("logits", "segments", "actionness"))
        sure = logits[:, -1].sigmoid().amax(2) * actionness  # (B, Q)
        pairs = self._same(student, logits[:, -1], segments[:, -1], sure)
        total, sure = self.whole(sure.sum()).clamp(min=1), sure[pairs.row, pairs.second]  # (pairs,)
        ours = {k: student[k].float()[pairs.row, :, pairs.first] for k in ("logits", "segments")}  # (pairs, L, ...)
        logits, segments = (x[pairs.row, :, pairs.second] for x in (logits, segments))
        mimic = soft_cross_entropy(ours["logits"], logits)
        offset = (ours["segments"] - segments).abs().sum(2)  # (pairs, L)
        missed = 1 - iou(ours["segments"], segments)
        differ = student["actionness"].float()[pairs.row, pairs.first] - actionness[pairs.row, pairs.second]
        return {
            "class": config.class_weight * mimic.sum() / total,
            "offset": config.offset_weight * (sure[:, None] * offset).sum() / total,
            "iou": config.iou_weight * (sure[:, None] * missed).sum() / total,
            "actionness": config.actionness_weight * (sure * differ.abs()).sum() / total,
        }

    @torch.no_grad()
    def _same(self, student: Predictions, logits: Tensor, segments: Tensor, sure: Tensor) -> Pairs:
        """Pairs of student and teacher queries of a sample, by the last layers. Where the teacher is not sure, it
        hardly matters which student's query it is."""
        saying = class_cost(student["logits"][:, -1].float(), self.config.focal_alpha, self.config.focal_gamma)
        said = logits.sigmoid()  # (B, Q, C)
        said = said / said.sum(2, keepdim=True).clamp(min=1e-6)
        cost = self.config.class_cost * saying @ said.transpose(1, 2)
        cost = cost + apart(student["segments"][:, -1].float(), segments, self.config.costs)
        return match(cost * sure[:, None], [cost.shape[2]] * len(cost))

    # ---- detections

    @torch.no_grad()
    def decode(self, predictions: Predictions) -> list[Candidates]:
        """The best `max_candidates` of queries and classes of the last layer: class probability times actionness."""
        scores = predictions["logits"][:, -1].float().sigmoid() * predictions["actionness"].float()[..., None]
        segments = to_ends(predictions["segments"][:, -1].float()) * predictions["steps"][:, None, None]
        best = scores.flatten(1).topk(min(self.config.max_candidates, scores[0].numel()), dim=1)
        return [
            Candidates(where[index // self.num_classes], score, index % self.num_classes)
            for where, score, index in zip(segments, best.values, best.indices, strict=True)
        ]
