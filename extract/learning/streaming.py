"""Clips of many videos in random order, each with what is to be learnt of it, at bounded memory.

Videos are cut into chunks of neighbouring clips. An epoch takes the chunks in random order, decodes as many as there is
room for, and gives their clips out in random order; where all chunks fit, they are decoded once and kept. What an epoch
gives depends on the seed, the number of the epoch and the room alone.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from extract.learning.batches import ClipBatch, OneClip, gathered
from extract.learning.steps import Steps
from features.running.ranks import ALONE, Ranks

EVERY_EPOCH, DRAWN, NEVER = 2, 1, 0  # is a clip used; of those drawn an epoch has as many as of those always used
CLIPS_OF_A_CHUNK = 64  # neighbours share frames, so that long chunks cost little memory; short ones mix videos better


@dataclass(frozen=True)
class TaughtVideo:
    """A video whose clips are learnt from."""

    name: str
    path: Path
    num_clips: int


@dataclass(frozen=True)
class Chunk:
    """Neighbouring clips [first, first + count) of one video."""

    video: TaughtVideo
    first: int
    count: int


class Loaded(NamedTuple):
    """A chunk in memory, and which of its clips are given out."""

    steps: np.ndarray  # (F, H, W, channels)
    targets: np.ndarray  # (clips, K)
    used: np.ndarray  # places of clips, ascending


class Targets(NamedTuple):
    """What is to be learnt of the clips of videos."""

    read: Callable[[TaughtVideo, int, int], np.ndarray]  # of clips [first, stop): (n, K) float32
    dim: int  # K
    use: Callable[[TaughtVideo, int, int], np.ndarray] | None = None  # (n,) of the three words above; None: all clips


class VideoClips:
    """The clips of videos."""

    def __init__(
        self,
        videos: Sequence[TaughtVideo],
        steps: Steps,
        targets: Targets,
        window: int,
        stride: int,
        seed: int = 0,
        room_bytes: float = 2**31,
        workers: int = 1,
        reads: Sequence[int] | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        """room_bytes: of steps held at a time; at least one chunk is.

        reads: the steps of a clip that the network sees, numbers from 0 to window - 1; None: all.
        ranks: the processes that the clips are dealt out to; only all_targets tells of those of the others as well.
        """
        self.reads = np.arange(window) if reads is None else np.asarray(reads)
        self.steps, self.targets, self.dim = steps, targets, targets.dim
        self.window, self.stride, self.seed = window, stride, seed
        self.room_bytes, self.workers = room_bytes, workers
        self.of_all_ranks = [
            Chunk(video, first, min(CLIPS_OF_A_CHUNK, video.num_clips - first))
            for video in videos
            for first in range(0, video.num_clips, CLIPS_OF_A_CHUNK)
        ]
        self.chunks = ranks.share(self.of_all_ranks)
        self.num_clips_of_all = sum(chunk.count for chunk in self.of_all_ranks)
        self._use = [self._use_of(chunk) for chunk in self.chunks]
        always, drawn = (sum(int((use == how).sum()) for use in self._use) for how in (EVERY_EPOCH, DRAWN))
        self._num_drawn = min(drawn, always or drawn)
        self.num_clips = always + self._num_drawn
        self._kept: list[tuple[np.ndarray, np.ndarray]] | None = None  # steps and targets of all chunks, if they fit

    @property
    def bytes_needed(self) -> int:
        """Of the steps of all chunks."""
        return sum(self._steps_of(chunk) for chunk in self.chunks) * self.steps.bytes_of_one

    @property
    def fits(self) -> bool:
        """Whether every video is decoded once only."""
        return self.bytes_needed <= self.room_bytes

    def epoch(self, epoch: int, batch: int) -> Iterator[ClipBatch]:
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self.chunks)).tolist()
        blocks = self._blocks(order, self._used(epoch))
        clips = (clip for block in blocks for clip in self._clips_of(block, rng.permutation))
        return (made for made in gathered(clips, batch) if len(made.targets) == batch)

    def in_order(self, batch: int) -> Iterator[ClipBatch]:
        usable = [np.flatnonzero(use != NEVER) for use in self._use]
        blocks = self._blocks(list(range(len(self.chunks))), usable)
        return gathered((clip for block in blocks for clip in self._clips_of(block, range)), batch)

    def all_targets(self) -> Iterator[np.ndarray]:
        return map(self._targets, self.of_all_ranks)

    def _use_of(self, chunk: Chunk) -> np.ndarray:
        if self.targets.use is None:
            return np.full(chunk.count, EVERY_EPOCH)
        return self.targets.use(chunk.video, chunk.first, chunk.first + chunk.count)

    def _used(self, epoch: int) -> list[np.ndarray]:
        """The places of the clips of each chunk that this epoch gives out."""
        use = np.concatenate(self._use)
        drawn = np.flatnonzero(use == DRAWN)
        used = use == EVERY_EPOCH
        used[np.random.default_rng([self.seed, epoch, 1]).permutation(drawn)[: self._num_drawn]] = True
        ends = np.cumsum([chunk.count for chunk in self.chunks])[:-1]
        return [np.flatnonzero(each) for each in np.split(used, ends)]

    def _blocks(self, order: list[int], used: Sequence[np.ndarray]) -> Iterator[list[Loaded]]:
        """Chunks in this order, as many at a time as there is room for; those of which nothing is used are left out."""
        order = [index for index in order if len(used[index])]
        if self.fits:
            if self._kept is None:
                self._kept = self._read(self.chunks)
            yield [Loaded(*self._kept[index], used[index]) for index in order]
            return
        block: list[int] = []
        held = 0
        for index in order:
            size = self._steps_of(self.chunks[index]) * self.steps.bytes_of_one
            if block and held + size > self.room_bytes:
                yield self._loaded(block, used)
                block, held = [], 0
            block.append(index)
            held += size
        if block:
            yield self._loaded(block, used)

    def _clips_of(self, block: Sequence[Loaded], order: Callable[[int], Iterable[int]]) -> Iterator[OneClip]:
        """The clips of a block; order(n) gives the places 0 to n - 1 in the order wanted."""
        places = [(each.steps, each.targets, i) for each in block for i in each.used]
        for place in order(len(places)):
            steps, targets, i = places[place]
            yield steps[i * self.stride + self.reads], targets[i]

    def _loaded(self, block: list[int], used: Sequence[np.ndarray]) -> list[Loaded]:
        read = self._read([self.chunks[index] for index in block])
        return [Loaded(*each, used[index]) for each, index in zip(read, block, strict=True)]

    def _read(self, chunks: list[Chunk]) -> list[tuple[np.ndarray, np.ndarray]]:
        with ThreadPoolExecutor(self.workers) as pool:  # decoders let other threads work
            steps = list(pool.map(self._shown, chunks))
        return [(s, self._targets(chunk)) for s, chunk in zip(steps, chunks, strict=True)]

    def _shown(self, chunk: Chunk) -> np.ndarray:
        return self.steps(chunk.video.name, chunk.video.path, chunk.first * self.stride, self._steps_of(chunk))

    def _targets(self, chunk: Chunk) -> np.ndarray:
        return self.targets.read(chunk.video, chunk.first, chunk.first + chunk.count)

    def _steps_of(self, chunk: Chunk) -> int:
        return (chunk.count - 1) * self.stride + self.window
