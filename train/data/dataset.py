"""Training samples: a stretch of a video's features, the actions in it if they are known, what teachers saw there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from detect.heads.base import Croppable, Predictions, Rearranged, Rearranging, Targets
from detect.model.detector import Detector
from detect.windows import SampleRule
from features.running.ranks import ALONE, Ranks
from features.storage.store import Store
from train.config import Sampling, TrainingError
from train.data.memory import Memory
from train.data.videos import Answer, Pool, Video, read_steps


@dataclass(frozen=True)
class TeacherView:
    """What a teacher made of the same steps."""

    features: Tensor | None  # (B, D, T) of its motion branch; None where only its predictions are asked for
    predictions: Predictions

    def to(self, device: torch.device) -> TeacherView:
        features = None if self.features is None else self.features.to(device)
        return TeacherView(features, {name: value.to(device) for name, value in self.predictions.items()})


@dataclass(frozen=True)
class RearrangedView:
    """Some samples of a batch in another order of time, for a head that learns from these too."""

    rows: Tensor  # (R,) int64, which samples
    order: Tensor  # (R, T) int64, which of their steps comes when
    places: Tensor  # (R, ...) the head's own

    def to(self, device: torch.device) -> RearrangedView:
        return RearrangedView(self.rows.to(device), self.order.to(device), self.places.to(device))

    def of(self, x: Tensor) -> Tensor:
        """x (B, D, T) -> (R, D, T)."""
        return x[self.rows].gather(2, self.order[:, None].expand(-1, x.shape[1], -1))


@dataclass(frozen=True)
class Batch:
    """Samples padded on the right to one length, those with labels first."""

    videos: tuple[str, ...]
    cues: dict[str, Tensor]  # (B, D_in, T) each, by stream
    mask: Tensor  # (B, T), True on real steps
    targets: list[Targets | None]  # None: what happens there is not known, which is not the same as background
    labelled: Tensor  # (B,), True on the rows that ground truth may judge
    teachers: Mapping[str, TeacherView] = field(default_factory=dict)  # by role: "motion", "joint"
    rearranged: RearrangedView | None = None  # for a head that is set to learn from such

    def to(self, device: torch.device) -> Batch:
        return Batch(
            self.videos,
            {cue: x.to(device, non_blocking=True) for cue, x in self.cues.items()},
            self.mask.to(device),
            [t and t.to(device) for t in self.targets],
            self.labelled.to(device),
            {role: view.to(device) for role, view in self.teachers.items()},
            self.rearranged and self.rearranged.to(device),
        )


class SampleTeacher(Protocol):
    """A teacher that is shown every training sample itself."""

    @property
    def cues(self) -> tuple[str, ...]:
        """The streams it watches."""

    def __call__(self, cues: Mapping[str, Tensor], mask: Tensor) -> TeacherView:
        """What it makes of cues (B, D_in, T) and mask (B, T)."""


@dataclass
class Sample:
    video: str
    cues: dict[str, np.ndarray]  # (T, D_in) each
    targets: Targets | None
    teachers: dict[str, Answer]  # cut to the sample, by role
    rearranged: Rearranged | None = None


class Draw(NamedTuple):
    """One sample: a video of either pool in one pass over that pool, which together decide where it is cut."""

    turn: int  # the epoch; of videos without labels, how often all of them were drawn before
    place: int  # of the sample among those that such a pass has of the pool
    labelled: bool = True


UNLABELLED_CROPS, UNLABELLED_ORDER = 1, 2  # tell draws of the second pool from those of the first
REARRANGEMENT = 3  # and how a sample is rearranged from where it is cut


def clip_targets(targets: Targets, start: int, stop: int, slack: float, min_overlap: float) -> Targets:
    """The actions of a sample [start, stop): those far enough inside, cut at its ends, counted from its start."""
    segments = targets.segments
    inside = segments.clamp(start - slack, stop + slack)
    share = (inside[:, 1] - inside[:, 0]) / (segments[:, 1] - segments[:, 0]).clamp(min=1e-6)
    kept = share >= min_overlap
    return Targets(inside[kept] - start, targets.labels[kept])


def draw_crop(video: Video, sampling: Sampling, rule: SampleRule, generator: np.random.Generator) -> tuple[int, int]:
    """A stretch [start, stop) of the video, with an action in it if one can be found in the trials allowed.

    It is as long as the head needs it, all of a shorter video. Where any length will do, `sampling` says how long, and
    `start` is a multiple of the rule's, so that every level of a cached pyramid can be cut there.
    """
    low, high = sampling.crop_ratio
    start, stop = 0, video.num_steps
    for _ in range(sampling.trials):
        if rule.length is not None:
            length = min(rule.length, video.num_steps)
        elif video.num_steps > sampling.max_length:
            length = sampling.max_length
        else:
            length = int(generator.integers(max(round(low * video.num_steps), 1), round(high * video.num_steps) + 1))
        starts = (video.num_steps - length) // rule.multiple + 1
        start = int(generator.integers(starts)) * rule.multiple
        stop = start + length
        if not len(video.targets.labels):
            break
        if len(clip_targets(video.targets, start, stop, video.slack, sampling.min_overlap).labels):
            break
    return start, stop


class Samples(Dataset):
    """The training videos as samples; item (turn, place) is always the same sample, whoever asks and whenever."""

    def __init__(
        self,
        labelled: Pool,
        unlabelled: Pool | None,
        cues: Sequence[str],
        sampling: Sampling,
        seed: int,
        detector: Detector,
        memory: Memory,
        live: Mapping[str, SampleTeacher] | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        """cues: of the student; live: teachers by role that are asked about each batch, beside those of the pools.

        ranks: whose share of each batch is read. TrainingError where a batch has not a sample for each of them.
        """
        self.labelled, self.unlabelled = labelled, unlabelled
        self.cues, self.sampling, self.seed = tuple(dict.fromkeys(cues)), sampling, seed
        self.live = dict(live or {})
        self.read = tuple(dict.fromkeys([*self.cues, *(cue for one in self.live.values() for cue in one.cues)]))
        self.head, self.rule = detector.head, detector.head.sample
        self.places, self.unlabelled_places = (self.places_of(pool) for pool in (labelled, unlabelled))
        self.memory, self.ranks = memory, ranks
        if (most := min(sampling.batch_size, len(self))) < ranks.size:
            raise TrainingError(
                f"a batch has {most} samples with labels, fewer than the {ranks.size} processes that are to share it. "
                f"Start at most {most}, or raise sampling.batch_size (of {len(self)} samples there are)"
            )

    def __len__(self) -> int:
        """An epoch is a pass over the videos with labels, however many there are without."""
        return len(self.places)

    def places_of(self, pool: Pool | None) -> list[int]:
        """The video, by its place in the pool, of every sample of one pass: once, or as often as it has windows."""
        videos = enumerate(pool.videos if pool else [])
        return [place for place, video in videos for _ in range(self.rule.training_samples(video.num_steps))]

    def features(self, store: Store, video: Video, start: int, stop: int) -> dict[str, np.ndarray]:
        """(stop - start, D_in) of every stream, read once where the memory has room for the whole video."""
        whole = self.memory.keep(
            (str(store.path), video.name),
            lambda: {cue: read_steps(store, video.name, cue, self.rule) for cue in self.read},
        )
        return {cue: x[start:stop] for cue, x in whole.items()}

    def __getitem__(self, item: tuple[int, int] | tuple[int, int, bool]) -> Sample:
        turn, place, labelled = Draw(*item)
        pool, places = (self.labelled, self.places) if labelled else (self.unlabelled, self.unlabelled_places)
        assert pool is not None
        video = pool.videos[places[place]]
        key = [self.seed, turn, place] if labelled else [self.seed, turn, place, UNLABELLED_CROPS]
        start, stop = draw_crop(video, self.sampling, self.rule, np.random.default_rng(key))
        targets = rearranged = None
        if labelled:
            targets = clip_targets(video.targets, start, stop, video.slack, self.sampling.min_overlap)
            if isinstance(self.head, Rearranging) and self.head.rearranges:
                generator = np.random.default_rng([*key, REARRANGEMENT])
                rearranged = self.head.rearrange(targets, stop - start, generator)
        teachers = {role: self.cut(teacher(video.name), start, stop) for role, teacher in pool.teachers.items()}
        return Sample(video.name, self.features(pool.store, video, start, stop), targets, teachers, rearranged)

    def cut(self, answer: Answer, start: int, stop: int) -> Answer:
        """A teacher's answer about a whole video, for the steps [start, stop)."""
        features, predictions = answer
        assert isinstance(self.head, Croppable), "answers about whole videos are cached for heads that can be cropped"
        return features if features is None else features[:, start:stop], self.head.crop(predictions, start, stop)

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Samples to a batch: (T, D_in) at rest becomes (B, D_in, T) here and nowhere else."""
        lengths = [len(next(iter(s.cues.values()))) for s in samples]
        length = self.rule.padded(max(lengths))
        mask = torch.arange(length) < torch.tensor(lengths)[:, None]  # (B, T)
        cues = {cue: pad([torch.from_numpy(s.cues[cue]).float().T for s in samples], length) for cue in self.read}
        targets = [s.targets for s in samples]
        teachers = {role: self.view([s.teachers[role] for s in samples], length) for role in samples[0].teachers}
        labelled = torch.tensor([t is not None for t in targets])
        rearranged = None
        if isinstance(self.head, Rearranging) and self.head.rearranges:
            rearranged = rearranged_view([s.rearranged for s in samples], length)
        return Batch(tuple(s.video for s in samples), cues, mask, targets, labelled, teachers, rearranged)

    def view(self, answers: Sequence[Answer], length: int) -> TeacherView:
        assert isinstance(self.head, Croppable)
        features = [f.float() for f, _ in answers if f is not None]
        predictions = self.head.stack([predictions for _, predictions in answers], length)
        return TeacherView(pad(features, length) if features else None, predictions)

    def answered(self, batch: Batch) -> Batch:
        """The batch with what live teachers say about it, and without the streams that only they watch."""
        if not self.live:
            return batch
        views = {
            role: teacher({cue: batch.cues[cue] for cue in teacher.cues}, batch.mask)
            for role, teacher in self.live.items()
        }
        cues = {cue: batch.cues[cue] for cue in self.cues}
        return replace(batch, cues=cues, teachers={**batch.teachers, **views})

    def steps_per_epoch(self) -> int:
        """The last, incomplete batch is left out, unless it is the only one."""
        return max(len(self) // self.sampling.batch_size, 1)

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """This rank's share of the batches of an epoch from the `first` on.

        The shuffle depends on seed and epoch alone, not on how many share a batch.
        """
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self)).tolist()
        size, steps = self.sampling.batch_size, self.steps_per_epoch()
        plan = [
            self.ranks.share([Draw(epoch, i) for i in order[n * size : (n + 1) * size]])
            + self.ranks.share(self.without_labels(epoch * steps + n))
            for n in range(first, steps)
        ]
        if self.sampling.workers == 0:
            return (self.answered(self.collate([self[item] for item in items])) for items in plan)
        loader = DataLoader(
            self,
            batch_sampler=plan,
            collate_fn=self.collate,
            num_workers=self.sampling.workers,
            generator=torch.Generator().manual_seed(0),  # else it would draw its seed from ours, and resuming differ
        )
        return map(self.answered, loader)

    def without_labels(self, step: int) -> list[Draw]:
        """The videos without labels in the batch of a run's step: pass after pass over all, each in its own shuffle."""
        if self.unlabelled is None:
            return []
        size = self.sampling.unlabelled_batch_size or self.sampling.batch_size
        count = len(self.unlabelled_places)
        places = [divmod(place, count) for place in range(step * size, (step + 1) * size)]
        orders = {
            turn: np.random.default_rng([self.seed, turn, 0, UNLABELLED_ORDER]).permutation(count) for turn, _ in places
        }
        return [Draw(turn, int(orders[turn][place]), labelled=False) for turn, place in places]


def pad(sequences: Sequence[Tensor], length: int) -> Tensor:
    """(D, T_i) each to (B, D, length), zero on the right."""
    padded = sequences[0].new_zeros(len(sequences), sequences[0].shape[0], length)
    for row, sequence in zip(padded, sequences, strict=True):
        row[:, : sequence.shape[1]] = sequence
    return padded


def rearranged_view(samples: Sequence[Rearranged | None], length: int) -> RearrangedView:
    """Those samples of a batch, padded to `length` steps, that were rearranged; it may be none."""
    found = [(row, sample) for row, sample in enumerate(samples) if sample is not None]
    order = torch.arange(length).repeat(len(found), 1)  # what is padded stays where it is
    for moved, (_, sample) in zip(order, found, strict=True):
        moved[: len(sample.order)] = sample.order
    rows = torch.tensor([row for row, _ in found], dtype=torch.int64)
    return RearrangedView(rows, order, torch.stack([s.places for _, s in found]) if found else torch.zeros(0))
