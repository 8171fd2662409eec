"""A stretch of every sample of a batch, drawn anew: what is dear to judge is judged there instead of everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from detect.heads.base import Croppable, Head, Predictions, Targets
from train.config import TrainingError
from train.data.dataset import Batch, TeacherView, clip_targets

MIN_OVERLAP = 0.5  # of an action that must lie inside a stretch, else it is not taught; as of samples (Sampling)


@dataclass(frozen=True)
class Stretches:
    """As many steps of every row, from `starts` on; all of each row that has no more."""

    starts: tuple[int, ...]
    length: int

    def of(self, x: Tensor) -> Tensor:
        """The stretches of x (B, ..., T): (B, ..., length)."""
        return torch.stack([row[..., s : s + self.length] for row, s in zip(x, self.starts, strict=True)])

    def batch(self, batch: Batch, head: Head) -> Batch:
        """The batch as samples that are no longer, without cues; teachers' features stay whole."""
        targets = [t and self._cut(t, start) for t, start in zip(batch.targets, self.starts, strict=True)]
        teachers = {
            role: TeacherView(view.features, self._predicted(view.predictions, head))
            for role, view in batch.teachers.items()
        }
        return replace(batch, cues={}, mask=self.of(batch.mask), targets=targets, teachers=teachers, rearranged=None)

    def _cut(self, targets: Targets, start: int) -> Targets:
        return clip_targets(targets, start, start + self.length, 0.0, MIN_OVERLAP)

    def _predicted(self, predictions: Mapping[str, Tensor], head: Head) -> Predictions:
        assert isinstance(head, Croppable)
        rows = [{name: value[n : n + 1] for name, value in predictions.items()} for n in range(len(self.starts))]
        cut = [head.crop(row, s, s + self.length) for row, s in zip(rows, self.starts, strict=True)]
        return head.stack(cut, self.length)


def draw_stretches(mask: Tensor, share: float, multiple: int) -> Stretches:
    """Stretches of a share of the steps of mask (B, T), each within its row's real steps where these suffice."""
    length = min(max(round(share * mask.shape[1] / multiple), 1) * multiple, mask.shape[1])
    starts = []
    for steps in mask.sum(1).tolist():
        places = max(steps - length, 0) // multiple + 1
        starts.append(int(torch.randint(places, ())) * multiple)
    return Stretches(tuple(starts), length)


def check_share(share: float, head: Head) -> None:
    """Refuses a share that there is not, or a head that cannot judge a part of a sample."""
    if not 0.0 < share <= 1.0:
        raise TrainingError(f"method.judged = {share}: expected a share of the steps, in (0, 1]")
    if share < 1.0 and not isinstance(head, Croppable):
        raise TrainingError(
            f"method.judged = {share}: {type(head).__name__} takes whole samples alone; leave it at 1, or take a head "
            "for samples of any length such as actionformer"
        )
