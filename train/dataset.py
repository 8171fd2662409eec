"""Training samples: a stretch of a video's features, the actions in it, and what the teacher saw there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from detect.detector import Detector
from detect.heads.base import Predictions, Targets
from features.store import Store
from train.config import Sampling
from train.memory import Memory
from train.videos import Video, read_steps


@dataclass(frozen=True)
class TeacherView:
    """What the teacher made of the same steps: its branch features (B, D, T) and its predictions."""

    features: Tensor
    predictions: Predictions


@dataclass(frozen=True)
class Batch:
    """Samples padded on the right to one length."""

    videos: tuple[str, ...]
    cues: dict[str, Tensor]  # (B, D_in, T) each
    mask: Tensor  # (B, T), True on real steps
    targets: list[Targets]
    teacher: TeacherView | None = None

    def to(self, device: torch.device) -> Batch:
        teacher = self.teacher and TeacherView(
            self.teacher.features.to(device), {k: v.to(device) for k, v in self.teacher.predictions.items()}
        )
        return Batch(
            self.videos,
            {cue: x.to(device, non_blocking=True) for cue, x in self.cues.items()},
            self.mask.to(device),
            [t.to(device) for t in self.targets],
            teacher,
        )


@dataclass
class Sample:
    video: str
    cues: dict[str, np.ndarray]  # (T, D_in) each
    targets: Targets
    teacher: tuple[Tensor, Predictions] | None


Teacher = Callable[[str], "tuple[Tensor, Predictions]"]  # video -> (D, T) branch features, predictions of all of it


def clip_targets(targets: Targets, start: int, stop: int, slack: float, min_overlap: float) -> Targets:
    """The actions of a sample [start, stop): those far enough inside, cut at its ends, counted from its start."""
    segments = targets.segments
    inside = segments.clamp(start - slack, stop + slack)
    share = (inside[:, 1] - inside[:, 0]) / (segments[:, 1] - segments[:, 0]).clamp(min=1e-6)
    kept = share >= min_overlap
    return Targets(inside[kept] - start, targets.labels[kept])


def draw_crop(video: Video, sampling: Sampling, alignment: int, generator: np.random.Generator) -> tuple[int, int]:
    """A stretch [start, stop) of the video, with an action in it if one can be found in the trials allowed.

    `start` is a multiple of `alignment`, so that every level of a cached pyramid can be cut there.
    """
    low, high = sampling.crop_ratio
    start, stop = 0, video.num_steps
    for _ in range(sampling.trials):
        if video.num_steps > sampling.max_length:
            length = sampling.max_length
        else:
            length = int(generator.integers(max(round(low * video.num_steps), 1), round(high * video.num_steps) + 1))
        starts = (video.num_steps - length) // alignment + 1
        start = int(generator.integers(starts)) * alignment
        stop = start + length
        if not len(video.targets.labels):
            break
        if len(clip_targets(video.targets, start, stop, video.slack, sampling.min_overlap).labels):
            break
    return start, stop


class Samples(Dataset):
    """The training videos as samples; item (epoch, index) is always the same sample, whoever asks and whenever."""

    def __init__(
        self,
        store: Store,
        videos: Sequence[Video],
        cues: Sequence[str],
        sampling: Sampling,
        seed: int,
        detector: Detector,
        memory: Memory,
        teacher: Teacher | None = None,
    ) -> None:
        self.store, self.videos, self.cues, self.sampling = store, list(videos), tuple(dict.fromkeys(cues)), sampling
        self.seed, self.teacher = seed, teacher
        self.head, self.resize = detector.head, detector.config.resize
        self.alignment = detector.head.alignment
        self.memory = memory

    def __len__(self) -> int:
        return len(self.videos)

    def features(self, video: Video, start: int, stop: int) -> dict[str, np.ndarray]:
        """(stop - start, D_in) of every cue, read once where the memory has room for the whole video."""
        whole = self.memory.keep(
            video.name, lambda: {cue: read_steps(self.store, video.name, cue, self.resize) for cue in self.cues}
        )
        return {cue: x[start:stop] for cue, x in whole.items()}

    def __getitem__(self, item: tuple[int, int]) -> Sample:
        epoch, index = item
        video = self.videos[index]
        generator = np.random.default_rng([self.seed, epoch, index])
        start, stop = draw_crop(video, self.sampling, self.alignment, generator)
        targets = clip_targets(video.targets, start, stop, video.slack, self.sampling.min_overlap)
        teacher = None
        if self.teacher is not None:
            features, predictions = self.teacher(video.name)
            teacher = features[:, start:stop], self.head.crop(predictions, start, stop)
        return Sample(video.name, self.features(video, start, stop), targets, teacher)

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Samples to a batch: (T, D_in) at rest becomes (B, D_in, T) here and nowhere else."""
        lengths = [len(next(iter(s.cues.values()))) for s in samples]
        length = -(-max(lengths) // self.alignment) * self.alignment
        mask = torch.arange(length) < torch.tensor(lengths)[:, None]  # (B, T)
        cues = {cue: pad([torch.from_numpy(s.cues[cue]).float().T for s in samples], length) for cue in self.cues}
        teacher = None
        if samples[0].teacher is not None:
            views = [s.teacher for s in samples if s.teacher is not None]
            features = pad([features.float() for features, _ in views], length)
            teacher = TeacherView(features, self.head.stack([predictions for _, predictions in views], length))
        return Batch(tuple(s.video for s in samples), cues, mask, [s.targets for s in samples], teacher)

    def steps_per_epoch(self) -> int:
        """The last, incomplete batch is left out, unless it is the only one."""
        return max(len(self) // self.sampling.batch_size, 1)

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from the `first` on: a shuffle that depends on seed and epoch alone."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self)).tolist()
        size = self.sampling.batch_size
        plan = [[(epoch, i) for i in order[n * size : (n + 1) * size]] for n in range(first, self.steps_per_epoch())]
        if self.sampling.workers == 0:
            return (self.collate([self[item] for item in items]) for items in plan)
        loader = DataLoader(
            self,
            batch_sampler=plan,
            collate_fn=self.collate,
            num_workers=self.sampling.workers,
            generator=torch.Generator().manual_seed(0),  # else it would draw its seed from ours, and resuming differ
        )
        return iter(loader)


def pad(sequences: Sequence[Tensor], length: int) -> Tensor:
    """(D, T_i) each to (B, D, length), zero on the right."""
    padded = sequences[0].new_zeros(len(sequences), sequences[0].shape[0], length)
    for row, sequence in zip(padded, sequences, strict=True):
        row[:, : sequence.shape[1]] = sequence
    return padded
