"""ActionFormer: every point of a feature pyramid says which actions it lies in, and how far away their ends are.

Source: Zhang et al., ECCV 2022, arXiv:2202.07925. Equal to the published implementation; departures in docs/papers.md.
Points: level l of the pyramid has one point every 2^l steps, point i at step i·2^l. All levels lie one after the other
in one axis N; `targets.py` says where they are and what they should say.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detect.heads.actionformer.targets import Points, assign_points, points_of
from detect.heads.actionformer.transformer import Pyramid
from detect.heads.base import Assignment, Candidates, Croppable, Head, Predictions, Targets
from detect.heads.best import best_of
from detect.heads.levels import first_level, level_sizes, per_level, with_gaps
from detect.heads.normaliser import Normaliser, RunningNormaliser
from detect.heads.positions import sinusoids, stretched
from detect.losses import diou_1d, iou_1d, sigmoid_focal, soft_cross_entropy
from detect.model.branches import ConvolutionLayer, convolve_steps
from detect.model.products import Linear
from detect.model.stretches import in_stretches, is_long
from detect.precision import exactly
from detect.windows import SampleRule
from features.computing.exporting import exporting


@dataclass(frozen=True)
class ActionFormerConfig:
    """Defaults are the published ones for THUMOS'14 unless a line says otherwise."""

    width: int = 512  # channels; 64 does for the small world
    heads: int = 4
    window: int | tuple[int, ...] = 19  # steps that attention sees, the query in the middle; one per level if a tuple
    levels: int = 6  # of the pyramid; 64 steps and more per segment end at the last
    stem: int = 2  # blocks before the first halving
    mlp_ratio: int = 4
    drop_path: float = 0.1
    dropout: float = 0.0
    tower: int = 2  # convolutions before either output
    prior: float = 0.01  # probability of every class at every point before training
    first_range: float = (
        4.0  # grid steps: level 0 regresses up to this far, each next level twice as far, the last any length
    )
    radius: float = 1.5  # points within this many strides of the centre are positive
    label_smoothing: float = 0.0  # 0.1 for ActivityNet
    offset_weight: float = 1.0  # of the DIoU loss beside the focal loss; 2 for ActivityNet
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    min_score: float = 0.001  # candidates below are not decoded
    max_candidates: int = 2000  # per level, the best are decoded
    min_length: float = 0.05  # grid steps; shorter candidates are dropped
    resize: int | None = None  # steps that every video is resized to (ActivityNet: 192); None: as many as it has
    positions: int | None = None  # steps whose sines are added to the features, and stretched over longer sequences
    # (ActivityNet: 192); None: nothing is added
    names_classes: bool = True  # False: candidates have no labels; a classifier beside the head names them, or scores
    # from outside (published for ActivityNet)
    normaliser: float = 100.0  # positives a step is first taken to have; then their running mean
    normaliser_momentum: float = 0.9

    def __post_init__(self) -> None:
        if isinstance(self.window, list):  # as read from JSON
            object.__setattr__(self, "window", tuple(self.window))
        if self.width % self.heads:
            raise ValueError(f"ActionFormerConfig: width {self.width} must be a multiple of heads {self.heads}")
        if len(self.windows) != self.levels or any(w < 1 or w % 2 == 0 for w in self.windows):
            raise ValueError(
                f"ActionFormerConfig: window must be odd, or odd for each of {self.levels}, got {self.window}"
            )
        if self.levels < 1 or self.stem < 1 or self.tower < 0:
            raise ValueError("ActionFormerConfig: levels and stem must be at least 1, tower at least 0")
        if self.positions is not None and not (type(self.positions) is int and self.positions > 0):
            raise ValueError(f"ActionFormerConfig: positions must be a number of steps, got {self.positions!r:.60}")
        if type(self.names_classes) is not bool:
            raise ValueError(f"ActionFormerConfig: names_classes must be true or false, got {self.names_classes!r:.60}")
        if not self.normaliser > 0 or not 0.0 <= self.normaliser_momentum < 1.0:
            raise ValueError("ActionFormerConfig: normaliser must be positive, normaliser_momentum in [0, 1)")
        ActionFormer.sample_rule(self)  # refuses what is no number of steps

    @property
    def windows(self) -> tuple[int, ...]:
        return self.window if isinstance(self.window, tuple) else (self.window,) * self.levels

    @property
    def ranges(self) -> list[tuple[float, float]]:
        """Distances to the farther end that each level regresses, both included: [0, 4], [4, 8], ... [64, 1e4]."""
        edges = [0.0] + [self.first_range * 2**level for level in range(self.levels - 1)] + [1e4]
        return list(itertools.pairwise(edges))


class Tower(nn.Module):
    """Convolutions, each with LayerNorm and ReLU, then a convolution to the output; shared by all levels."""

    compiles = True

    def __init__(self, width: int, outputs: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ConvolutionLayer(width, width) for _ in range(depth))
        self.output = nn.Conv1d(width, outputs, 3, padding=1)
        nn.init.zeros_(self.output.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """x (B, T, D) and keep (B, T, 1). Returns (B, T, outputs), zero where keep is."""
        if is_long(x):
            return in_stretches(self._through, (x, keep), len(self.layers) + 1)
        return self._through(x, keep)

    def _through(self, x: Tensor, keep: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, keep)
        return exactly(convolve_steps, x, keep, self.output.weight, self.output.bias) * keep


class ActionFormer(Head, Croppable):
    """Predictions: logits (B, N, C); offsets (B, N, 2) >= 0 to start and end, in strides of the point; valid (B, N).

    C is 1, "an action", where the head names no classes.
    """

    Config: ClassVar[type] = ActionFormerConfig
    of_training: ClassVar[frozenset[str]] = frozenset({"normaliser", "normaliser_momentum"})

    def __init__(self, in_channels: int, num_classes: int, config: ActionFormerConfig) -> None:
        super().__init__(in_channels, num_classes if config.names_classes else 1, config)
        self.names_classes = config.names_classes
        self.alignment = self.sample.multiple  # of the sequence, so that every level has whole points
        # Two branches joined are wider than the head: a 1x1 convolution takes them to its width (ours).
        self.entry = Linear(in_channels, config.width) if in_channels != config.width else nn.Identity()
        self.pyramid = Pyramid(
            config.width, config.heads, config.windows, config.stem,
            mlp_ratio=config.mlp_ratio, drop_path=config.drop_path, dropout=config.dropout,
        )  # fmt: skip
        self.exported_multiple = self.pyramid.whole
        if config.positions is not None:
            waves = sinusoids(torch.arange(config.positions), config.width) / math.sqrt(config.width)
            self.register_buffer("waves", waves, persistent=False)  # no weights: files are the same without
        self.classifier = Tower(config.width, self.num_classes, config.tower)
        self.regressor = Tower(config.width, 2, config.tower)
        self.scales = nn.Parameter(torch.ones(config.levels))  # of the offsets, one per level
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        nn.init.constant_(self.classifier.output.bias, -math.log(1 / config.prior - 1))  # type: ignore[arg-type]

    @classmethod
    def sample_rule(cls, config: ActionFormerConfig) -> SampleRule:
        return SampleRule(resize=config.resize, multiple=2 ** (config.levels - 1))

    def new_normaliser(self) -> Normaliser:
        return RunningNormaliser(self.config.normaliser, self.config.normaliser_momentum)

    def forward(self, features: Tensor, mask: Tensor) -> Predictions:
        """Any T: padded here to a multiple of `alignment`, N = (2 - 1 / alignment) · that. An exported network is given
        a multiple of `exported_multiple`."""
        if not exporting():
            short = -features.shape[2] % self.alignment
            features, mask = F.pad(features, (0, short)), F.pad(mask, (0, short))
        x = self.entry(features.transpose(1, 2)) * mask[:, :, None].to(features.dtype)
        if self.config.positions is not None:
            x = x + stretched(self.get_buffer("waves"), mask).to(x.dtype) * mask[:, :, None]
        levels, masks = self.pyramid(x, mask)
        # The towers see all levels in one sequence with a zero step between neighbours: same numbers, fewer calls.
        x = with_gaps(levels)
        keep = with_gaps(masks)[:, :, None].to(x.dtype)
        sizes = [m.shape[1] + 1 for m in masks]
        logits = _without_gaps(self.classifier(x, keep), sizes)
        offsets = _without_gaps(self.regressor(x, keep), sizes)
        offsets = (offsets * per_level(self.scales, [m.shape[1] for m in masks])[:, None]).relu()
        return {"logits": logits, "offsets": offsets, "valid": torch.cat(masks, dim=1)}

    def points(self, steps: int, device: torch.device | str = "cpu") -> Points:
        """The points for a sequence of `steps`, a multiple of `alignment`."""
        return points_of(level_sizes(steps, self.config.levels), self.config.ranges, device)

    def levels_of(self, points: int) -> list[int]:
        """Points of each level where there are so many in all; the first has as many as the sequence has steps."""
        return level_sizes(first_level(points, self.config.levels), self.config.levels)

    @torch.no_grad()
    def assign(self, predictions: Predictions, targets: Sequence[Targets]) -> Assignment:
        """classes (B, N, C) multi-hot; offsets (B, N, 2) in strides, 0 off the positives; positive (B, N)."""
        valid = predictions["valid"]
        points = self.points(self.levels_of(valid.shape[1])[0], valid.device)
        if not self.names_classes:
            targets = [Targets(t.segments, torch.zeros_like(t.labels)) for t in targets]
        return assign_points(points, valid, targets, self.num_classes, self.config.radius)

    def num_positives(self, assignment: Assignment) -> int:
        return int(assignment["positive"].sum())

    # ---- losses

    def loss(self, predictions: Predictions, assignment: Assignment, normaliser: float) -> dict[str, Tensor]:
        """Focal loss over valid points and classes, DIoU over positive points, both sums over `normaliser`.

        The normaliser is the running mean of the positives of a step, which moves once per step: a shared head may be
        judged several times in one.
        """
        valid, positive = predictions["valid"], assignment["positive"]
        smoothing = self.config.label_smoothing
        labels = assignment["classes"] * (1 - smoothing) + smoothing / (self.num_classes + 1)
        focal = sigmoid_focal(predictions["logits"].float(), labels, self.config.focal_alpha, self.config.focal_gamma)
        diou = diou_1d(predictions["offsets"].float(), assignment["offsets"])
        return {
            "class": (focal * valid[:, :, None]).sum() / normaliser,
            "offset": self.config.offset_weight * torch.where(positive, diou, 0.0).sum() / normaliser,
        }

    def distill(self, student: Predictions, teacher: Predictions) -> dict[str, Tensor]:
        """class: |q - p| · KL(teacher ‖ student) over points and classes; offset: 1 - IoU times the confidence.

        The confidence of a point is the teacher's largest class probability; both sums are divided by the sum of
        confidences (at least 1), as detection losses are by the number of positives. Only valid points count: under the
        mask logits are 0, which would say "50 %".
        """
        valid = student["valid"] & teacher["valid"]
        teacher_logits, teacher_offsets = teacher["logits"].detach().float(), teacher["offsets"].detach().float()
        confidence = teacher_logits.amax(2).sigmoid() * valid  # (B, N)
        total = self.whole(confidence.sum()).clamp(min=1)
        mimic = soft_cross_entropy(student["logits"].float(), teacher_logits) * valid[:, :, None]
        apart = 1 - iou_1d(student["offsets"].float(), teacher_offsets)
        return {"class": mimic.sum() / total, "offset": (confidence * apart).sum() / total}

    # ---- detections

    @torch.no_grad()
    def decode(self, predictions: Predictions) -> list[Candidates]:
        """Every point and class above `min_score`, the best `max_candidates` of each level."""
        sizes = self.levels_of(predictions["valid"].shape[1])
        at, strides, _ = self.points(sizes[0], predictions["valid"].device)
        scores = predictions["logits"].float().sigmoid() * predictions["valid"][:, :, None]  # (B, N, C)
        reach = predictions["offsets"].float() * strides[:, None]
        segments = torch.stack([at - reach[..., 0], at + reach[..., 1]], dim=-1)  # (B, N, 2)
        long_enough = segments[..., 1] - segments[..., 0] > self.config.min_length
        return [self._best(*sample, sizes) for sample in zip(scores, segments, long_enough, strict=True)]

    def _best(self, scores: Tensor, segments: Tensor, long_enough: Tensor, sizes: list[int]) -> Candidates:
        """Candidates of one sample: scores (N, C), segments (N, 2), long_enough (N,)."""
        chosen, first = [], 0
        for size in sizes:
            level = scores[first : first + size].flatten()
            best = best_of(level, level > self.config.min_score, self.config.max_candidates)
            chosen.append(best + first * self.num_classes)
            first += size
        index = torch.cat(chosen)
        point = index // self.num_classes
        index, point = index[long_enough[point]], point[long_enough[point]]
        labels = index % self.num_classes if self.names_classes else None
        return Candidates(segments[point], scores.flatten()[index], labels)

    # ---- cached predictions

    def crop(self, predictions: Mapping[str, Tensor], start: int, stop: int) -> Predictions:
        if start % self.alignment:
            raise ValueError(f"ActionFormer.crop: start {start} is not a multiple of the alignment {self.alignment}")
        sizes = self.levels_of(predictions["valid"].shape[1])
        cropped: dict[str, list[Tensor]] = {name: [] for name in predictions}
        for level, parts in enumerate(zip(*(p.split(sizes, dim=1) for p in predictions.values()), strict=True)):
            size = (-(-(stop - start) // self.alignment) * self.alignment) >> level
            for name, part in zip(predictions, parts, strict=True):
                part = part[:, start >> level : (start >> level) + size]
                part = F.pad(part, (0, 0) * (part.ndim - 2) + (0, size - part.shape[1]))
                if name == "valid":  # steps from `stop` on belong to nobody
                    part = part & (torch.arange(size, device=part.device) < -(-(stop - start) >> level))
                cropped[name].append(part)
        return {name: torch.cat(parts, dim=1) for name, parts in cropped.items()}

    def stack(self, predictions: Sequence[Mapping[str, Tensor]], length: int) -> Predictions:
        sizes = level_sizes(self.sample.padded(length), self.config.levels)
        return {name: torch.cat([self._lengthen(p[name], sizes) for p in predictions]) for name in predictions[0]}

    def _lengthen(self, values: Tensor, sizes: list[int]) -> Tensor:
        """(1, N, ...) with every level padded with zeros to its size."""
        parts = values.split(self.levels_of(values.shape[1]), dim=1)
        pairs = zip(parts, sizes, strict=True)
        return torch.cat([F.pad(p, (0, 0) * (p.ndim - 2) + (0, s - p.shape[1])) for p, s in pairs], dim=1)


def _without_gaps(x: Tensor, sizes: list[int]) -> Tensor:
    """Drops the last step of each of the consecutive pieces of (B, sum(sizes), ...)."""
    return torch.cat([piece[:, :-1] for piece in x.split(sizes, dim=1)], dim=1)
