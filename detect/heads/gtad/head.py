"""G-TAD: every segment of a sample, by its start and its duration, says how much of an action it holds.

Source: Xu et al., CVPR 2020, arXiv:1911.11462. Equal to the published implementation on samples without padding;
departures in docs/papers.md. Which action it is the head does not say (`detect.model.named`).
Segment (d, s) of the map covers the steps s to s + d; `targets.py` says where that is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detect.heads.base import Assignment, Candidates, Head, Predictions, Targets
from detect.heads.best import best_of
from detect.heads.gtad.align import alignment
from detect.heads.gtad.graph import GraphBlock, nearest
from detect.heads.gtad.losses import (
    MARGIN,
    balanced_entropy,
    mimicry,
    overlap_error,
    overlap_mimicry,
    overlap_weights,
)
from detect.heads.gtad.targets import nearness, overlap_map, segment_grid, valid_segments
from detect.precision import exactly
from detect.suppress import Suppression
from detect.windows import SampleRule

OVERLAP, CLASS = 0, 1  # channels of the map: the IoU with an action; whether it is one


@dataclass(frozen=True)
class GTADConfig:
    """Defaults are for THUMOS'14 at 4 frames a step (OpenTAD's, on the features that all heads share)."""

    width: int = 256  # channels of a step
    length: int = 256  # steps of a sample; longer videos are seen in windows
    durations: int = 64  # the longest segment, in steps; 8.5 s, which 12 % of THUMOS'14's actions exceed
    training_overlap: float | None = None  # of windows in training, which sets how many samples of a video an epoch has
    resize: int | None = None  # steps that every video is resized to (ActivityNet: 100); None: as many as it has
    groups: int = 32  # of the convolutions in the middle of a graph block, 4 channels each
    neighbours: int = 3  # of a step in the graph, itself included
    bins: int = 16  # that a segment, with half its length on either side, is seen in
    hidden: int = 512  # channels of a segment out of its bins
    map_width: int = 128  # channels of the map
    kernel: int = 3  # of the map's convolutions; 1 for ActivityNet
    positive_overlap: float = 0.9  # IoU with an action from which a segment is one
    class_weight: float = 1.0  # of the map's classification loss; the authors' code has 10 here and 1 below
    overlap_weight: float = 10.0  # of the map's regression loss, ½ Σ w (p − IoU)² / Σ w
    boundary_weight: float = 1.0  # of the losses of starts and of ends
    peaks: bool = True  # detect only segments from a likely start to a likely end (OpenTAD); else all of them
    min_score: float = 0.0001  # segments below are not detected
    max_candidates: int = 2000  # of a sample, the best

    def __post_init__(self) -> None:
        for name in ("width", "durations", "groups", "neighbours", "bins", "hidden", "map_width", "max_candidates"):
            if getattr(self, name) < 1:
                raise ValueError(f"GTADConfig: {name} = {getattr(self, name)}: expected at least 1")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"GTADConfig: kernel = {self.kernel}: expected an odd number")
        if self.resize is not None and self.resize > self.length:
            raise ValueError(f"GTADConfig: resize {self.resize} is more than length {self.length}: give both alike")
        GTAD.sample_rule(self)  # refuses what is no number of steps


class Boundary(nn.Module):
    """Whether an action starts, or ends, at a step: a graph block and one output."""

    def __init__(self, config: GTADConfig) -> None:
        super().__init__()
        self.graph = GraphBlock(config.width, config.groups, config.neighbours)
        self.output = nn.Linear(config.width, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, D). Returns logits (B, T)."""
        logits: Tensor = exactly(self.output, self.graph(x, mask))[..., 0]
        return logits


class SegmentMap(nn.Module):
    """Features of steps to logits of all segments: sub-graph alignment, then convolutions over starts and durations."""

    def __init__(self, config: GTADConfig) -> None:
        super().__init__()
        self.config = config
        # columns: channel · 2 · bins + bin, the second half of the bins for the neighbours' means
        self.entry = nn.Linear(2 * config.bins * config.width, config.hidden)
        self.narrow = nn.Linear(config.hidden, config.map_width)
        self.first, self.second = (
            nn.Conv2d(config.map_width, config.map_width, config.kernel, padding=config.kernel // 2) for _ in range(2)
        )
        self.output = nn.Conv2d(config.map_width, 2, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, D), zero under mask (B, T). Returns logits (B, 2, durations, T)."""
        context = nearest(x, mask, self.config.neighbours).mean(x) * mask[:, :, None]
        bins = self.in_bins(torch.cat([x, context], dim=2))  # (B, T, bins · hidden)
        samples = zip(bins, mask.sum(1).tolist(), strict=True)
        narrow = torch.stack([self.narrowed(row, length) for row, length in samples])
        segments = narrow.permute(0, 3, 1, 2)  # (B, map_width, durations, T), zero behind the sample
        keep = mask[:, None, None].to(x.dtype)
        segments = F.relu(self.first(segments)) * keep
        logits = exactly(self.output, F.relu(self.second(segments)))
        return logits

    def in_bins(self, x: Tensor) -> Tensor:
        """The first layer, without its bias, of every step of x (B, T, 2D) as if it lay in each of the bins."""
        weight = self.entry.weight.view(self.config.hidden, self.config.width, 2, self.config.bins)
        return F.linear(x, weight.permute(3, 0, 2, 1).reshape(-1, x.shape[2]))

    def narrowed(self, bins: Tensor, length: int) -> Tensor:
        """One sample's steps in bins (T, bins · hidden), `length` of them real, to its segments (durations, T,
        map_width)."""
        config, steps = self.config, len(bins)
        if length == 0:
            return bins.new_zeros(config.durations, steps, config.map_width)
        operator = alignment(steps, config.durations, config.bins, bins.device)
        sums, beyond = (F.relu(x + self.entry.bias) for x in exactly(operator, bins, length))
        segments = F.relu(self.narrow(sums)).view(config.durations, steps, config.map_width)
        start = torch.arange(steps, device=bins.device)
        ends = start + torch.arange(config.durations, device=bins.device)[:, None]
        segments = torch.where((ends < length)[:, :, None], segments, F.relu(self.narrow(beyond)))
        return segments * (start < length)[:, None].to(bins.dtype)


class GTAD(Head):
    """Predictions: logits start, end (B, T) and map (B, 2, D, T), and valid (B, D, T): segments within the sample."""

    not_exported = "what a sample takes part in depends on its number of steps, and the alignment is a sparse matrix"
    Config: ClassVar[type] = GTADConfig
    of_training: ClassVar[frozenset[str]] = frozenset(
        {"positive_overlap", "class_weight", "overlap_weight", "boundary_weight", "training_overlap"}
    )
    suppression: ClassVar[Suppression] = Suppression(sigma=0.3, min_score=0.0001, voting=0.95)  # OpenTAD, THUMOS'14
    optimiser: ClassVar[Mapping[str, Any]] = {"weight_decay": 1e-4}  # OpenTAD and the authors
    names_classes = False

    def __init__(self, in_channels: int, num_classes: int, config: GTADConfig) -> None:
        super().__init__(in_channels, num_classes, config)
        groups = 4 if in_channels % 4 == 0 and config.width % 4 == 0 else 1
        self.entry = nn.Conv1d(in_channels, config.width, 3, padding=1, groups=groups)
        self.base = GraphBlock(config.width, config.groups, config.neighbours)
        self.start, self.end = Boundary(config), Boundary(config)
        self.graph = GraphBlock(config.width, config.groups, config.neighbours)
        self.map = SegmentMap(config)

    @classmethod
    def sample_rule(cls, config: GTADConfig) -> SampleRule:
        return SampleRule(resize=config.resize, length=config.length, training_overlap=config.training_overlap)

    def forward(self, features: Tensor, mask: Tensor) -> Predictions:
        """Padded steps are nobody's neighbours and count as zero: a sample says the same however far it is padded."""
        keep = mask[:, None].to(features.dtype)
        x = (F.relu(self.entry(features * keep)) * keep).transpose(1, 2)
        base = self.base(x, mask)
        return {
            "start": self.start(base, mask),
            "end": self.end(base, mask),
            "map": self.map(self.graph(base, mask), mask),
            "valid": valid_segments(mask, self.config.durations),
        }

    # ---- targets and losses

    @torch.no_grad()
    def assign(self, predictions: Predictions, targets: Sequence[Targets]) -> Assignment:
        """overlap (B, D, T): IoU of every segment with its action; start, end (B, T) bool: near one of an action."""
        valid = predictions["valid"]
        near = [nearness(valid[:, 0], [t.segments[:, side] for t in targets]) > 0.5 for side in (0, 1)]
        return {"overlap": overlap_map(valid, targets), "start": near[0], "end": near[1]}

    def num_positives(self, assignment: Assignment) -> int:
        return int((assignment["overlap"] > self.config.positive_overlap).sum())

    def loss(self, predictions: Predictions, assignment: Assignment, normaliser: float) -> dict[str, Tensor]:
        """Means over the batch in which either kind counts half: the normaliser plays no part."""
        config, valid, overlap = self.config, predictions["valid"], assignment["overlap"]
        is_action = overlap > config.positive_overlap
        classes, overlaps = (predictions["map"][:, channel].float() for channel in (CLASS, OVERLAP))
        sides = {
            side: config.boundary_weight
            * balanced_entropy(predictions[side].float(), assignment[side], valid[:, 0], whole=self.whole)
            for side in ("start", "end")
        }  # fmt: skip
        return {
            "class": config.class_weight * balanced_entropy(classes, is_action, valid, MARGIN, self.whole),
            "overlap": config.overlap_weight
            * overlap_error(overlaps, overlap, overlap_weights(overlap, valid, self.whole), self.whole),
            **sides,
        }

    def distill(self, student: Predictions, teacher: Predictions) -> dict[str, Tensor]:
        """The same four, with the teacher's probabilities in place of labels."""
        config, valid = self.config, student["valid"] & teacher["valid"]
        ours, theirs = student["map"].float(), teacher["map"].float()
        sides = {
            side: config.boundary_weight
            * mimicry(student[side].float(), teacher[side].float(), valid[:, 0], whole=self.whole)
            for side in ("start", "end")
        }
        return {
            "class": config.class_weight * mimicry(ours[:, CLASS], theirs[:, CLASS], valid, MARGIN, self.whole),
            "overlap": config.overlap_weight * overlap_mimicry(ours[:, OVERLAP], theirs[:, OVERLAP], valid, self.whole),
            **sides,
        }

    # ---- detections

    @torch.no_grad()
    def decode(self, predictions: Predictions) -> list[Candidates]:
        """The best segments of every sample, scored by both channels of the map multiplied; of no class."""
        valid, steps = predictions["valid"], predictions["valid"][:, 0]
        scores = predictions["map"].float().sigmoid().prod(1)  # (B, D, T)
        allowed = valid & (scores >= self.config.min_score)
        if self.config.peaks:
            starts = likely(predictions["start"], steps) | first(steps)
            ends = likely(predictions["end"], steps) | last(steps)
            allowed &= starts[:, None] & ended_by(ends, self.config.durations)
        grid = segment_grid(valid.shape[1], valid.shape[2], valid.device)
        return [self._best(*sample, grid) for sample in zip(scores, allowed, strict=True)]

    def _best(self, scores: Tensor, allowed: Tensor, grid: Tensor) -> Candidates:
        """Candidates of one sample: scores and allowed (D, T), grid (D, T, 2)."""
        scores = scores.flatten()
        best = best_of(scores, allowed.flatten(), self.config.max_candidates)
        return Candidates(grid.flatten(0, 1)[best], scores[best], None)


def likely(logits: Tensor, steps: Tensor) -> Tensor:
    """(B, T): steps as likely as half the likeliest one, or likelier than both their neighbours."""
    p = logits.float().sigmoid() * steps
    peak = p == F.max_pool1d(p[:, None], 3, stride=1, padding=1)[:, 0]
    return ((p > 0.5 * p.amax(1, keepdim=True)) | peak) & steps


def first(steps: Tensor) -> Tensor:
    """(B, T): the first step, for actions that were under way before the sample."""
    return steps & (torch.arange(steps.shape[1], device=steps.device) == 0)


def last(steps: Tensor) -> Tensor:
    """(B, T): the last real step, for actions that go on behind the sample."""
    return steps & (steps.sum(1, keepdim=True) - 1 == torch.arange(steps.shape[1], device=steps.device))


def ended_by(ends: Tensor, durations: int) -> Tensor:
    """(B, D, T): whether the last step s + d of every segment is among `ends` (B, T)."""
    return F.pad(ends, (0, durations - 1)).unfold(1, durations, 1).transpose(1, 2)
