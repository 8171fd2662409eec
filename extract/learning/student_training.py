"""The training of a motion student: the features of a motion network, which a store holds, for the clips of videos."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from extract.backbones.base import MOTION, Backbone
from extract.learning.batches import ClipSource
from extract.learning.steps import DecodedSteps
from extract.learning.streaming import Targets, TaughtVideo, VideoClips
from extract.learning.student import Student, StudentRecipe, Teachers, explained
from extract.learning.training import Epoch, Training
from features.running.ranks import ALONE, Ranks
from features.storage.store import Store
from flow.decode.geometry import Geometry


@dataclass(frozen=True)
class StudentEpoch(Epoch):
    """What one pass over the clips gave; the loss is in units of the teachers' variance."""

    r2: float | None = None  # of the motion network's features, on held-out clips; None where there are none
    appearance_r2: float | None = None  # of the RGB network's own features; None but for a twin

    @property
    def score(self) -> float | None:
        scores = [r2 for r2 in (self.r2, self.appearance_r2) if r2 is not None]
        return sum(scores) if scores else None

    @property
    def shown(self) -> dict[str, float | None]:
        return {"R2": self.r2, "appearance": self.appearance_r2}

    @property
    def left_out(self) -> set[str]:
        return {"appearance_r2"} if self.appearance_r2 is None else set()


class StudentTraining(Training):
    """A student between two steps."""

    epoch_of: ClassVar[type[Epoch]] = StudentEpoch
    desc = "student"
    network_name = "student"

    def __init__(
        self,
        student: Student,
        recipe: StudentRecipe,
        source: ClipSource,
        device: str = "cpu",
        bfloat16: bool = False,
        original: Backbone | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        """original: the network whose features a twin's appearance goes on giving."""
        super().__init__(student, recipe, recipe.patience, source, device, bfloat16, ranks)
        self.student, self.appearance_weight = student, recipe.appearance_weight
        self.teachers = Teachers(student, None if original is None else original.to(device))

    def measure(self) -> None:
        self.teachers.measure(self.source, self.device)

    def loss_of(self, prepared: list[Tensor], targets: Tensor) -> Callable[[], Tensor]:
        answers = self.student(*prepared)
        wanted = self.teachers(prepared, targets)

        def loss() -> Tensor:
            terms = {name: F.mse_loss(answers[name].float(), wanted[name]) for name in wanted}
            others: Tensor | int = sum(terms[name] for name in terms if name != MOTION)
            return terms[MOTION] + self.appearance_weight * others

        return loss

    def scores(self, held_out: ClipSource) -> dict[str, float]:
        r2 = explained(self.teachers, held_out, self.recipe.batch, self.device, self.bfloat16)
        return {"r2" if name == MOTION else f"{name}_r2": value for name, value in r2.items()}


def taught_clips(
    videos: Sequence[TaughtVideo],
    store: Store,
    stream: str,
    geometry: Geometry,
    window: int,
    stride: int,
    seed: int = 0,
    room_bytes: float = 2**31,
    workers: int = 1,
    reads: Sequence[int] | None = None,
    ranks: Ranks = ALONE,
) -> VideoClips:
    """The RGB clips of videos whose motion features lie in a store under `stream`."""

    def read(video: TaughtVideo, first: int, stop: int) -> np.ndarray:
        return np.asarray(store.read(video.name, stream, first, stop), np.float32)

    targets = Targets(read, dim=read(videos[0], 0, 1).shape[1])
    made = (window, stride, seed, room_bytes, workers, reads, ranks)
    return VideoClips(videos, DecodedSteps(geometry), targets, *made)
