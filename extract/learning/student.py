"""A student backbone learns, without labels, what a motion network says of a clip from the clip's RGB frames alone.

    loss = mean over channels and cells of ( W · student(augment(rgb)) − normalised(teacher(motion)) )²

W is one linear map over channels, the same in every cell of the feature map, and is dropped after training: the
student's features are those of its backbone, as of any other. Each channel of the teacher is normalised to zero mean
and unit variance over the training clips, so that none is learned for its size. Colours are changed at random, since
motion does not depend on them.

A twin (extract.backbones.base) learns a second thing with its other last layers: to go on giving the features of the
RGB network that it began as, of the same frames with the same changed colours, while the layers before, which both
share, learn from both:

    loss + appearance_weight · mean ( ( appearance(augment(rgb)) − original(augment(rgb)) ) / spread )²

Sources: modality hallucination (Hoffman et al., CVPR 2016) and MARS (Crasto et al., CVPR 2019), there with labels.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from extract.backbones.base import APPEARANCE, MOTION, SINGLE, Backbone
from extract.backbones.checkpoints import WeightsError
from extract.learning.batches import ClipSource
from extract.learning.training import Recipe, device_type


@dataclass(frozen=True)
class StudentRecipe(Recipe):
    """How a student is trained."""

    appearance_weight: float = 1.0  # of a twin's appearance beside its motion
    patience: int = 3  # epochs without a better R2 on held-out videos before training ends; 0: never


class Channels(nn.Module):
    """The mean and spread of every channel of the teacher's features, and features without them."""

    mean: Tensor
    spread: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("spread", torch.ones(channels))

    def measure(self, pieces: Iterable[Tensor]) -> None:
        """Takes them from features (n, D), piece by piece."""
        count, total, square = 0, torch.zeros(len(self.mean)).double(), torch.zeros(len(self.mean)).double()
        for piece in pieces:
            values = piece.cpu().double().unflatten(1, (len(self.mean), -1))
            count += values[:, 0].numel()
            total += values.sum((0, 2))
            square += values.square().sum((0, 2))
        mean = total / count
        self.mean.copy_(mean)
        self.spread.copy_((square / count - mean.square()).clamp(min=0).sqrt() + 1e-3)

    def forward(self, features: Tensor) -> Tensor:
        """(B, D) -> (B, channels, cells)."""
        return (features.unflatten(1, (len(self.mean), -1)) - self.mean[:, None]) / self.spread[:, None]


class Student(nn.Module):
    """The backbone that will be kept, with what only its training needs."""

    compiles = True

    def __init__(self, backbone: Backbone, dim: int, seed: int = 0) -> None:
        """dim: channels D of the teacher's features, a map of as many cells as the backbone's. seed: of the map W."""
        super().__init__()
        self.backbone = backbone
        cells = int(np.prod(backbone.map_shape[1:]))
        if dim % cells:
            raise WeightsError(
                f"the teacher's features have {dim} channels, which are no map of {cells} cells as {backbone.name} "
                "makes one: take a student of the teacher's own backbone, or one with a pooled map"
            )
        self.channels = Channels(dim // cells)
        self.appearance = Channels(backbone.map_shape[0]) if backbone.twin else None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.output = nn.Conv1d(backbone.map_shape[0], dim // cells, 1)

    def forward(self, *prepared: Tensor) -> dict[str, Tensor]:
        """Clips as the backbone's `inputs` gives them -> features (B, channels, cells), each channel normalised.

        Under "motion" the teacher's as the student gives them; a twin's own under "appearance".
        """
        made = self.backbone.each(*map(self.backbone.laid_out, prepared))
        motion = made[MOTION if self.appearance else SINGLE]
        answers = {MOTION: self.output(motion.unflatten(1, (self.backbone.map_shape[0], -1)))}
        if self.appearance:
            answers[APPEARANCE] = self.appearance(made[APPEARANCE])
        return answers


class Teachers:
    """What a student is asked for: the features of a motion network, which are stored, and of the original's eyes."""

    def __init__(self, student: Student, original: Backbone | None = None) -> None:
        """original: the network whose features a twin's appearance goes on giving; it stays as it is."""
        self.student, self.original = student, original
        if (original is None) != (student.appearance is None):
            raise ValueError("a twin needs the network that it begins as, and no other student does")

    def measure(self, source: ClipSource, device: str, clips: int = 2048) -> None:
        """The spread of channels: the motion network's over all clips, the original's over some drawn at random."""
        self.student.channels.measure(map(torch.from_numpy, source.all_targets()))
        if self.original is None or self.student.appearance is None:
            return
        drawn = islice(source.epoch(0, batch := min(32, source.num_clips)), clips // batch)
        seen = (self.original.inputs(torch.from_numpy(made.clips).to(device)) for made in drawn)
        self.student.appearance.measure(self._original(prepared) for prepared in seen)

    def __call__(self, prepared: Sequence[Tensor], targets: Tensor) -> dict[str, Tensor]:
        """prepared: clips as the student sees them; targets: (B, D). What its answers should be."""
        wanted = {MOTION: self.student.channels(targets)}
        if self.student.appearance:
            wanted[APPEARANCE] = self.student.appearance(self._original(prepared))
        return wanted

    @torch.no_grad()
    def _original(self, prepared: Sequence[Tensor]) -> Tensor:
        assert self.original is not None
        return self.original(*map(self.original.laid_out, prepared)).float()


@torch.no_grad()
def explained(teachers: Teachers, source: ClipSource, batch: int, device: str, bfloat16: bool) -> dict[str, float]:
    """R2 over all clips of a source, by output: the share of the variance of the wanted features that is predicted.

    Every channel counts alike, in units of its spread over the training clips; 0 is what their mean would have.
    """
    student = teachers.student.eval()
    left: dict[str, float] = defaultdict(float)
    squares: dict[str, float] = defaultdict(float)
    sums: dict[str, list[Tensor]] = defaultdict(list)
    count = 0
    for clips, targets in source.in_order(batch):
        prepared = student.backbone.inputs(torch.from_numpy(clips).to(device))
        with torch.autocast(device_type(device), torch.bfloat16, enabled=bfloat16):
            answers = student(*prepared)
            wanted = teachers(prepared, torch.from_numpy(targets).to(device))
        for name, values in wanted.items():
            left[name] += float((answers[name].float() - values).square().sum())
            squares[name] += float(values.square().sum())
            sums[name].append(values.sum(0))
        count += len(clips)
    means = {name: torch.stack(each).sum(0) / max(count, 1) for name, each in sums.items()}
    return {
        name: 1 - left[name] / max(squares[name] - count * float(mean.square().sum()), 1e-12)
        for name, mean in means.items()
    }
