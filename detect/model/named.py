"""A head that finds actions without naming them, with a classifier beside it that does.

The classifier reads the same features and says of every step which classes are there; `detect.naming` takes from that
what the class of a candidate is. It is trained from the same annotations and distilled like the rest of the head, so
that whatever detects still needs one file and the streams of the detector.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from detect.heads.base import Assignment, Candidates, Croppable, Head, Predictions, Rearranging, Targets
from detect.heads.normaliser import Normaliser
from detect.losses import sigmoid_focal, soft_cross_entropy
from detect.model.branches import ConvolutionLayer
from detect.precision import exactly
from detect.windows import SampleRule

PRIOR = 0.01  # probability of every class at every step before training
OWN = ("names", "steps")  # predictions of the classifier, beside those of the head


class StepClassifier(nn.Module):
    """Which classes there are at a step: a convolution over 3 steps, LayerNorm, ReLU, one output per class."""

    compiles = True

    def __init__(self, in_channels: int, width: int, num_classes: int) -> None:
        super().__init__()
        self.layer = ConvolutionLayer(in_channels, width)
        self.output = nn.Linear(width, num_classes)
        nn.init.constant_(self.output.bias, -math.log(1 / PRIOR - 1))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """features (B, in_channels, T), mask (B, T). Returns logits (B, T, C)."""
        logits: Tensor = exactly(self.output, self.layer(features.transpose(1, 2), mask[:, :, None].to(features.dtype)))
        return logits


class NamedHead(Head):
    """Predictions: those of the head, and beside them logits names (B, T, C) and steps (B, T), True on real ones.

    Candidates have no labels; with them comes how likely every class is at every step of the sample.
    """

    names_classes = False

    def __init__(self, finder: Head, num_classes: int) -> None:
        super().__init__(finder.in_channels, num_classes, finder.config)
        self.finder = finder
        self.not_exported, self.exported_multiple = finder.not_exported, finder.exported_multiple
        self.suppression = finder.suppression  # type: ignore[misc]  # of what it wraps, which no class can know
        self.classifier = StepClassifier(finder.in_channels, finder.config.width, num_classes)

    @property
    def sample(self) -> SampleRule:
        return self.finder.sample

    def new_normaliser(self) -> Normaliser:
        return self.finder.new_normaliser()

    def forward(self, features: Tensor, mask: Tensor) -> Predictions:
        return {**self.finder(features, mask), "names": self.classifier(features, mask), "steps": mask}

    @torch.no_grad()
    def assign(self, predictions: Predictions, targets: Sequence[Targets]) -> Assignment:
        """What the head assigns, and names (B, T, C): 1 where a clip meets an action of the class."""
        names = torch.zeros_like(predictions["names"])
        at = torch.arange(names.shape[1], device=names.device)
        for row, known in enumerate(targets):
            for (start, end), label in zip(known.segments.to(names), known.labels.tolist(), strict=True):
                names[row, (at >= start - 0.5) & (at <= end + 0.5), label] = 1.0
        names *= predictions["steps"][:, :, None]
        return {**self.finder.assign(found_by_head(predictions), targets), "names": names}

    def num_positives(self, assignment: Assignment) -> int:
        return self.finder.num_positives(assignment)

    def loss(self, predictions: Predictions, assignment: Assignment, normaliser: float) -> dict[str, Tensor]:
        """The head's, and "label": the focal loss of all steps and classes over the steps with an action."""
        losses = self.finder.loss(found_by_head(predictions), assignment, normaliser)
        focal = sigmoid_focal(predictions["names"].float(), assignment["names"]) * predictions["steps"][:, :, None]
        return {**losses, "label": focal.sum() / self.whole(assignment["names"].sum()).clamp(min=1)}

    def distill(self, student: Predictions, teacher: Predictions) -> dict[str, Tensor]:
        """The head's, and "label": |q − p| · KL(teacher ‖ student) over the sum of the teacher's confidences."""
        losses = self.finder.distill(found_by_head(student), found_by_head(teacher))
        steps = student["steps"] & teacher["steps"]
        theirs = teacher["names"].detach().float()
        mimic = soft_cross_entropy(student["names"].float(), theirs) * steps[:, :, None]
        confidence = theirs.amax(2).sigmoid() * steps
        return {**losses, "label": mimic.sum() / self.whole(confidence.sum()).clamp(min=1)}

    def for_student(self, predictions: Predictions) -> Predictions:
        own = {name: predictions[name] for name in OWN}
        return {**self.finder.for_student(found_by_head(predictions)), **own}

    @torch.no_grad()
    def decode(self, predictions: Predictions) -> list[Candidates]:
        """Candidates without labels; their `classes` are (T, C), 0 on padded steps."""
        classes = predictions["names"].float().sigmoid() * predictions["steps"][:, :, None]
        found = self.finder.decode(found_by_head(predictions))
        return [one._replace(classes=likely) for one, likely in zip(found, classes, strict=True)]


class CroppableNamedHead(NamedHead, Croppable):
    """The same around a head whose predictions about a whole video can be cut."""

    def crop(self, predictions: Mapping[str, Tensor], start: int, stop: int) -> Predictions:
        assert isinstance(self.finder, Croppable)
        found = self.finder.crop(found_by_head(predictions), start, stop)
        return found | {name: predictions[name][:, start:stop] for name in OWN}

    def stack(self, predictions: Sequence[Mapping[str, Tensor]], length: int) -> Predictions:
        assert isinstance(self.finder, Croppable)
        found = self.finder.stack([found_by_head(one) for one in predictions], length)
        for name in OWN:
            rows = [one[name] for one in predictions]
            found[name] = torch.cat([lengthened(row, self.sample.padded(length)) for row in rows])
        return found


def with_names(head: Head, num_classes: int) -> Head:
    """The head itself where it names classes, else the head and a classifier.

    NotImplementedError for a head that would name none and learn from rearranged samples: nobody has one.
    """
    if head.names_classes:
        return head
    if isinstance(head, Rearranging):
        raise NotImplementedError(f"{type(head).__name__}: names no classes and rearranges samples")
    return (CroppableNamedHead if isinstance(head, Croppable) else NamedHead)(head, num_classes)


def found_by_head(predictions: Mapping[str, Tensor]) -> Predictions:
    """The predictions without those of the classifier."""
    return {name: value for name, value in predictions.items() if name not in OWN}


def lengthened(x: Tensor, steps: int) -> Tensor:
    """(1, T, ...) padded with zeros to (1, steps, ...)."""
    return torch.cat([x, x.new_zeros(1, steps - x.shape[1], *x.shape[2:])], dim=1)
