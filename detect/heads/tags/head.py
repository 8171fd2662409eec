"""TAGS: no proposals; every step names its class and draws the mask of its action over the whole sample.

Source: Nag et al., ECCV 2022, arXiv:2207.06580. The forward pass is that of the published code (ActivityNet-1.3);
departures in docs/papers.md. For THUMOS'14 no code was ever released: what is done there is ours.
A sample has exactly `length` steps, because position p of a mask is its step p. Shorter videos are padded, longer ones
cut into windows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from detect.heads.base import Assignment, Candidates, Head, Predictions, Targets
from detect.heads.best import best_of
from detect.heads.positions import sinusoids
from detect.heads.tags import losses
from detect.heads.tags.network import MaskTower, SnippetEmbedding
from detect.heads.tags.runs import Runs, means, means_of_blocks, runs_of, runs_through, segments_of
from detect.heads.tags.targets import assign_steps
from detect.losses import bernoulli_divergence
from detect.precision import exactly
from detect.suppress import Suppression
from detect.windows import SampleRule


@dataclass(frozen=True)
class TAGSConfig:
    """Defaults are ours for THUMOS'14, which nobody published; weights of the loss are the published ones."""

    width: int = 512  # channels; published 2048, those of its features
    length: int = 256  # steps of a sample, of THUMOS'14 34 s; ActivityNet: 100
    resize: int | None = None  # steps that every video is resized to (ActivityNet: 100); None: as many as it has
    overlap: float = 0.5  # share of a window that the next one sees too
    training_overlap: float | None = None  # likewise in training, which sets how many samples of a video an epoch has
    heads: int = 4  # of the attention
    head_width: int = 128  # channels of each; published 2048
    layers: int = 1  # attentions
    positions: bool = True  # sines of the position are added to the features. Published without: two like steps of a
    # sample then draw like masks, wherever they are
    relative: bool = True  # masks are drawn from the step's own place, as distances; published: in places of the sample
    tower: tuple[int, ...] = (512, 512, 256)  # channels of the mask's convolutions; published (1024, 512, 256)
    dropout: float = 0.3
    attention_dropout: float = 0.1
    shrink: int = 1  # steps left out at either end of an action, so that neighbours have a gap between them
    class_weight: float = 0.6  # of the focal term of the class loss; the rest of the ranking term
    mask_weight: float = 0.4  # of the cross-entropy of the mask loss; the rest of Dice
    hard_classes: float = 0.6  # share of the classes whose false ones are pushed down at a step
    min_score: float = 0.001  # candidates below are not decoded
    max_candidates: int = 1000  # of a sample
    min_run: int = 1  # steps of a mask; ActivityNet: 4, more than 2 % of a video
    mask_thresholds: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.7)  # published 0, .2, .4, .6, .8
    class_thresholds: tuple[float, ...] = ()  # of runs of the class scores alone, published .1, .2, ... .9; they cost
    # 3 points of mAP on the study world

    def __post_init__(self) -> None:
        for name in ("tower", "mask_thresholds", "class_thresholds"):  # lists as read from JSON
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.tower or not self.mask_thresholds or self.layers < 1 or self.min_run < 1 or self.shrink < 0:
            raise ValueError(
                "TAGSConfig: layers, min_run, tower and mask_thresholds must be at least 1, shrink at least 0"
            )
        if not all(0.0 <= t < 1.0 for t in self.mask_thresholds + self.class_thresholds):
            raise ValueError("TAGSConfig: thresholds of masks and classes must be in [0, 1)")
        TAGS.sample_rule(self)  # refuses what is no number of steps


class TAGS(Head):
    """Predictions: logits (B, T, C + 1), the last of background; masks (B, T, T) as logits, [b, t, p] of step p in the
    mask of step t (the published code has them the other way round); valid (B, T)."""

    Config: ClassVar[type] = TAGSConfig
    suppression: ClassVar[Suppression] = Suppression(sigma=0.1)  # exp(-10·IoU²), as published
    of_training: ClassVar[frozenset[str]] = frozenset(
        {"class_weight", "mask_weight", "hard_classes", "dropout", "attention_dropout"}
        | {"overlap", "training_overlap"}  # and of decoding:
        | {"min_score", "max_candidates", "min_run", "mask_thresholds", "class_thresholds"}
    )

    def __init__(self, in_channels: int, num_classes: int, config: TAGSConfig) -> None:
        super().__init__(in_channels, num_classes, config)
        # Two branches joined are wider than the head: a 1x1 convolution takes them to its width (ours).
        self.entry = nn.Linear(in_channels, config.width) if in_channels != config.width else nn.Identity()
        self.embeddings = nn.ModuleList(
            SnippetEmbedding(config.width, config.heads, config.head_width, config.dropout, config.attention_dropout)
            for _ in range(config.layers)
        )
        self.classifier = nn.Linear(config.width, num_classes + 1)
        self.tower = MaskTower(config.width, config.tower, config.length, config.relative)

    @classmethod
    def sample_rule(cls, config: TAGSConfig) -> SampleRule:
        return SampleRule(
            resize=config.resize,
            length=config.length,
            overlap=config.overlap,
            training_overlap=config.training_overlap,
        )

    def forward(self, features: Tensor, mask: Tensor) -> Predictions:
        if features.shape[2] != self.config.length:
            raise ValueError(f"TAGS: {features.shape[2]} steps: its masks take exactly {self.config.length}")
        keep = mask[:, :, None].to(features.dtype)
        x = self.entry(features.transpose(1, 2))
        if self.config.positions:
            x = x + sinusoids(torch.arange(x.shape[1], device=x.device), self.config.width).to(x.dtype)
        x = x * keep
        for embedding in self.embeddings:
            x = embedding(x, mask) * keep
        masks = self.tower(x, keep)
        return {
            "logits": exactly(self.classifier, x) * keep,
            "masks": masks * keep * keep.transpose(1, 2),
            "valid": mask,
        }

    # ---- ground truth

    @torch.no_grad()
    def assign(self, predictions: Predictions, targets: Sequence[Targets]) -> Assignment:
        """likely, classes (B, T, C + 1), masks (B, T, T) and foreground (B, T): see `assign_steps`."""
        return assign_steps(predictions["valid"], targets, self.num_classes, self.config.shrink)

    def num_positives(self, assignment: Assignment) -> int:
        return int(assignment["foreground"].sum())

    def loss(self, predictions: Predictions, assignment: Assignment, normaliser: float) -> dict[str, Tensor]:
        """class: focal and ranking terms; mask: cross-entropy of all cells and Dice; redundancy: of foreground masks.

        All are means, over real steps or cells of the batch, of which `normaliser` has no say.
        """
        config, valid = self.config, predictions["valid"]
        logits, masks = predictions["logits"].float(), predictions["masks"].float()
        cells = (valid[:, :, None] & valid[:, None]).float()
        drawn = masks.sigmoid() * cells
        hard = max(int(self.num_classes * config.hard_classes), 1)
        focal = losses.step_focal(logits, assignment["likely"], valid, whole=self.whole)
        ranking = losses.label_ranking(logits, assignment["classes"], valid, hard, whole=self.whole)
        balanced = losses.balanced_cross_entropy(masks, assignment["masks"], cells, self.whole)
        dice = losses.squared_dice(drawn, assignment["masks"], self.whole)
        return {
            "class": config.class_weight * focal + (1 - config.class_weight) * ranking,
            "mask": config.mask_weight * balanced + (1 - config.mask_weight) * dice,
            "redundancy": losses.foreground_error(
                drawn, assignment["masks"], assignment["foreground"], valid, self.whole
            ),
        }

    def distill(self, student: Predictions, teacher: Predictions) -> dict[str, Tensor]:
        """class: KL of a step's classes, mean over real steps; mask: KL of cells, mean over those of foreground steps.

        Foreground is what the teacher calls so with more than a half, and weighs as much as it is sure of it: the mask
        of a background step is what ground truth never made it draw.
        """
        valid = student["valid"] & teacher["valid"]
        said, example = (p["logits"].float().log_softmax(2) for p in (student, teacher))
        example = example.detach()
        apart = (example.exp() * (example - said)).sum(2)  # (B, T)
        sure = 1 - example[:, :, -1].exp()
        weight = (sure * (sure > 0.5) * valid)[:, :, None] * valid[:, None]  # (B, T, T)
        cells = bernoulli_divergence(student["masks"].float(), teacher["masks"].float())
        return {
            "class": (apart * valid).sum() / self.whole(valid.sum()).clamp(min=1),
            "mask": (cells * weight).sum() / self.whole(weight.sum()).clamp(min=1),
        }

    # ---- detections

    @torch.no_grad()
    def decode(self, predictions: Predictions) -> list[Candidates]:
        """Of every step the connected run of its mask through it, at every threshold, in each of the step's classes;
        where `class_thresholds` are given, of every class the runs of its probability as well. The best
        `max_candidates` above `min_score`."""
        valid = predictions["valid"]
        classes = predictions["logits"].float().softmax(2)[:, :, :-1] * valid[:, :, None]  # (B, T, C)
        masks = predictions["masks"].float().sigmoid() * (valid[:, :, None] & valid[:, None])
        return [self._candidates(c, m) for c, m in zip(classes, masks, strict=True)]

    def _candidates(self, classes: Tensor, masks: Tensor) -> Candidates:
        """Of one sample: classes (T, C), masks (T, T). A segment that several steps or thresholds found is one
        candidate, with its best score."""
        config, length = self.config, len(masks)
        said: list[tuple[Runs, Tensor]] = []  # runs, and their scores in every class (n, C)
        for threshold in config.mask_thresholds:
            runs = runs_through(masks, threshold)
            said.append((runs, classes[runs.which] * means(masks, runs)[:, None]))
        for threshold in config.class_thresholds:
            runs = runs_of(classes.T.contiguous(), threshold)
            score = means(classes.T, runs) * means_of_blocks(masks, runs)
            said.append((runs, score[:, None] * nn.functional.one_hot(runs.which, self.num_classes)))
        first, last = (torch.cat([getattr(runs, name) for runs, _ in said]) for name in ("first", "last"))
        scores = torch.cat([score for _, score in said]) * (last - first + 1 >= config.min_run)[:, None]
        found, row = (first * length + last).unique(return_inverse=True)
        best = classes.new_zeros(len(found), self.num_classes)
        best.scatter_reduce_(0, row[:, None].expand_as(scores), scores, "amax")
        best = best.flatten()
        kept = best_of(best, best > config.min_score, config.max_candidates)
        where = found[kept // self.num_classes]
        segments = segments_of(Runs(where // length, where % length, kept), config.shrink)
        return Candidates(segments, best[kept], kept % self.num_classes)
