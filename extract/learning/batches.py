"""Batches of clips with what is to be learnt of each, and where they come from."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np

OneClip = tuple[np.ndarray, np.ndarray]  # (steps read, H, W, channels) as decoded, (K,) float32


class ClipBatch(NamedTuple):
    """Clips as `Backbone.prepare` takes them, and what is to be learnt of each."""

    clips: np.ndarray  # (B, steps read, H, W, channels)
    targets: np.ndarray  # (B, K) float32


class ClipSource(Protocol):
    """Where the clips of a training come from."""

    num_clips: int  # of an epoch
    num_clips_of_all: int  # processes that train together
    dim: int  # K, numbers of a target

    def epoch(self, epoch: int, batch: int) -> Iterator[ClipBatch]:
        """The clips in the random order of this epoch; the last, incomplete batch is left out."""

    def in_order(self, batch: int) -> Iterator[ClipBatch]:
        """All clips as they stand."""

    def all_targets(self) -> Iterator[np.ndarray]:
        """The targets (n, K) float32 of all clips, piece by piece."""


class ClipArrays:
    """Clips that are in memory already."""

    def __init__(self, clips: np.ndarray, targets: np.ndarray, seed: int = 0) -> None:
        self.clips, self.targets, self.seed = clips, targets, seed
        self.num_clips, self.dim = targets.shape
        self.num_clips_of_all = self.num_clips

    def epoch(self, epoch: int, batch: int) -> Iterator[ClipBatch]:
        order = np.random.default_rng([self.seed, epoch]).permutation(self.num_clips)
        for first in range(0, self.num_clips - batch + 1, batch):
            index = np.sort(order[first : first + batch])
            yield ClipBatch(self.clips[index], self.targets[index])

    def in_order(self, batch: int) -> Iterator[ClipBatch]:
        for first in range(0, self.num_clips, batch):
            yield ClipBatch(self.clips[first : first + batch], self.targets[first : first + batch])

    def all_targets(self) -> Iterator[np.ndarray]:
        yield self.targets


def gathered(clips: Iterator[OneClip], batch: int) -> Iterator[ClipBatch]:
    """Clips by `batch`, the last batch shorter."""
    while taken := list(islice(clips, batch)):
        yield ClipBatch(np.stack([clip for clip, _ in taken]), np.stack([target for _, target in taken]))
