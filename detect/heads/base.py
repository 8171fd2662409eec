"""What every detection head offers: predictions, their targets, losses, distillation and decoding.

A head turns (B, D, T) features into class and time predictions. Its steps are separate so that one head can be called
on several feature maps of a training step (appearance, motion, joint): no method changes state, and none draws random
numbers but dropout.

    predictions = head(features, mask)                  # dict of tensors, batch first
    assignment = head.assign(predictions, targets)      # what each prediction should have said
    losses = head.loss(predictions, assignment, normaliser)
    losses = head.distill(student, teacher)             # predictions that mimic predictions
    candidates = head.decode(predictions)               # segments in grid steps, before suppression

Several processes may have a share of a batch each. A loss is the sum over the share, divided by what `head.whole` makes
of the share's count: the count of the whole batch. So the losses of the shares add up to the loss of the batch.

What a head needs of a sample is its `sample`; what the loss remembers from step to step is its `new_normaliser()`;
heads whose predictions about a whole video can be cut are `Croppable`; heads that also learn from samples in another
order of time are `Rearranging`. Nobody asks which head it is.

Time is counted in grid steps throughout: step k is the centre of clip k, and segments lie on the same axis.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from detect.heads.normaliser import Normaliser
from detect.losses import Whole, as_counted
from detect.precision import Network
from detect.suppress import Suppression
from detect.windows import ANY_LENGTH, SampleRule

Predictions = dict[str, Tensor]  # named by the head, leading dimension B; what lies on no real step is marked there
Assignment = dict[str, Tensor]


@dataclass(frozen=True)
class Targets:
    """Labelled segments of one training sample; none at all is legal (a video of background)."""

    segments: Tensor  # (N, 2) float, grid steps, start < end; may reach a little beyond the sample
    labels: Tensor  # (N,) int64 in [0, num_classes); an action with two labels is two rows

    def __post_init__(self) -> None:
        if self.segments.ndim != 2 or self.segments.shape[1] != 2 or self.labels.shape != self.segments.shape[:1]:
            shapes = f"{tuple(self.segments.shape)} and {tuple(self.labels.shape)}"
            raise ValueError(f"Targets: expected segments (N, 2) and labels (N,), got {shapes}")
        if self.labels.device.type == "cpu" and len(self.labels) and int(self.labels.min()) < 0:
            raise ValueError(f"Targets: label {int(self.labels.min())}: expected a class from 0 on")  # -1 is the last

    def to(self, device: torch.device | str) -> "Targets":
        """The same on a device."""
        return Targets(self.segments.to(device), self.labels.to(device))


class Candidates(NamedTuple):
    """Detections of one sample before suppression, on the device of the predictions."""

    segments: Tensor  # (n, 2) grid steps
    scores: Tensor  # (n,) in (0, 1)
    labels: Tensor | None  # (n,) int64; None from a head that finds actions without naming them
    classes: Tensor | None = None  # (T, C) in [0, 1], how likely each is at each step; beside candidates without labels


class Head(Network, ABC):
    """A detection head. Members of the family live in one folder each and are listed in `detect.heads.HEADS`."""

    Config: ClassVar[type]  # frozen dataclass of JSON values with a field `width`
    of_training: ClassVar[frozenset[str]] = frozenset()  # fields of it that predictions don't depend on
    suppression: ClassVar[Suppression] = Suppression()  # of its candidates, unless the configuration says otherwise
    optimiser: ClassVar[Mapping[str, Any]] = {}  # what it wants otherwise than train.config.Optimiser; recipes prevail
    learning_rates: ClassVar[Mapping[str, float]] = {}  # as shares of the run's, by a module's or parameter's name
    not_exported: str = ""  # why its network cannot be a graph of ONNX; "": it can
    exported_multiple: int = 1  # of the steps that such a graph takes, where it takes any number
    names_classes: bool = True  # False: its candidates have no labels; a detector has a classifier beside such a head

    def __init__(self, in_channels: int, num_classes: int, config: Any) -> None:
        super().__init__()
        self.in_channels, self.num_classes, self.config = in_channels, num_classes, config
        self.whole: Whole = as_counted  # same calls in the same order, whatever the share holds

    @classmethod
    def sample_rule(cls, config: Any) -> SampleRule:
        """What a head of this configuration needs of a sample."""
        return ANY_LENGTH

    @property
    def sample(self) -> SampleRule:
        """What this head needs of a sample: any length, a multiple, exactly T, resized."""
        return self.sample_rule(self.config)

    def new_normaliser(self) -> Normaliser:
        """What its losses are divided by, from the positives of each step; the method that trains it keeps it."""
        return Normaliser()

    @abstractmethod
    def forward(self, features: Tensor, mask: Tensor) -> Predictions:
        """features (B, in_channels, T), mask (B, T) bool, True on real steps. Pure."""

    @abstractmethod
    def assign(self, predictions: Predictions, targets: Sequence[Targets]) -> Assignment:
        """What each prediction is to learn, without gradient; may depend on the predictions."""

    @abstractmethod
    def num_positives(self, assignment: Assignment) -> int:
        """How many predictions answer for an action: what the normaliser counts."""

    @abstractmethod
    def loss(self, predictions: Predictions, assignment: Assignment, normaliser: float) -> dict[str, Tensor]:
        """Scalars by name ("class", "offset", ...), sums over the batch divided by `normaliser`."""

    @abstractmethod
    def distill(self, student: Predictions, teacher: Predictions) -> dict[str, Tensor]:
        """Scalars by name: how far the student's predictions are from the teacher's, where the teacher is sure of
        them.

        A head that looks again where it first found something lets the student look where the teacher did: the
        student's predictions carry what that takes.
        """

    def for_student(self, predictions: Predictions) -> Predictions:
        """Of a teacher's predictions those that `distill` reads; the others are neither kept nor cached."""
        return predictions

    @abstractmethod
    def decode(self, predictions: Predictions) -> list[Candidates]:
        """Candidates of each sample of the batch, unsuppressed."""


class Croppable(ABC):
    """A head that takes samples of any length and whose predictions about a whole video hold for every stretch of it.

    A frozen teacher with such a head is asked once per video and its answers are cached; one without is run on each
    training sample.
    """

    @abstractmethod
    def crop(self, predictions: Mapping[str, Tensor], start: int, stop: int) -> Predictions:
        """Predictions of one whole video (B = 1) for its steps [start, stop); start is a multiple of
        `sample.multiple`."""

    @abstractmethod
    def stack(self, predictions: Sequence[Mapping[str, Tensor]], length: int) -> Predictions:
        """Cropped predictions (B = 1 each) as the batch that `forward` gives for samples padded to `length` steps."""


class Rearranged(NamedTuple):
    """A training sample in another order of time, and what the head will ask about it."""

    order: Tensor  # (T,) int64, as many steps as the sample has: which of its steps comes when
    places: Tensor  # of a shape that the head chose, the same for every sample


class Rearranging(ABC):
    """A head that may learn from samples whose steps have been put in another order as well."""

    @property
    def rearranges(self) -> bool:
        """Whether it is set to do so."""
        return True

    @abstractmethod
    def rearrange(self, targets: Targets, num_steps: int, generator: np.random.Generator) -> Rearranged | None:
        """A labelled sample of so many steps rearranged; None where that cannot be."""

    @abstractmethod
    def rearranged_loss(self, features: Tensor, mask: Tensor, places: Tensor) -> dict[str, Tensor]:
        """Scalars by name, means over samples: features (B, in_channels, T) and mask (B, T) of rearranged samples,
        their places stacked. The same names, of value 0, where B is 0."""
