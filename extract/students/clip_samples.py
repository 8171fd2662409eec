"""Clips of many videos in random order, each with the teacher's features of that clip, at bounded memory.

Videos are cut into chunks of neighbouring clips. An epoch takes the chunks in random order, decodes as many as there is
room for, and gives their clips out in random order; where all chunks fit, they are decoded once and kept. What an epoch
gives depends on the seed, the number of the epoch and the room alone.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from features.running.ranks import ALONE, Ranks
from features.storage.store import Store
from flow.decode.geometry import Geometry
from flow.decode.video import VideoError, read_frames

OneClip = tuple[np.ndarray, np.ndarray]  # (steps read, H, W, 3) uint8, (D,) float32
Loaded = tuple[np.ndarray, np.ndarray]  # a chunk: its frames (F, H, W, 3), the targets (clips, D)
CLIPS_OF_A_CHUNK = 64  # neighbours share frames, so that long chunks cost little memory; short ones mix videos better


class ClipBatch(NamedTuple):
    """Clips as `Backbone.prepare` takes them, and what a teacher made of them."""

    clips: np.ndarray  # (B, steps read, H, W, 3) uint8
    targets: np.ndarray  # (B, D) float32


class ClipSource(Protocol):
    """Where a student's clips come from."""

    num_clips: int
    num_clips_of_all: int  # processes that train together
    dim: int  # D, channels of the teacher's features

    def epoch(self, epoch: int, batch: int) -> Iterator[ClipBatch]:
        """All clips in the random order of this epoch; the last, incomplete batch is left out."""

    def in_order(self, batch: int) -> Iterator[ClipBatch]:
        """All clips as they stand."""

    def all_targets(self) -> Iterator[np.ndarray]:
        """The teacher's features (n, D) float32 of all clips, piece by piece."""


@dataclass(frozen=True)
class TaughtVideo:
    """A video with the teacher's features of its clips."""

    name: str
    path: Path
    num_clips: int


@dataclass(frozen=True)
class Chunk:
    """Neighbouring clips [first, first + count) of one video."""

    video: TaughtVideo
    first: int
    count: int


class VideoClips:
    """The clips of videos whose teacher features lie in a store under `stream`."""

    def __init__(
        self,
        videos: Sequence[TaughtVideo],
        store: Store,
        stream: str,
        geometry: Geometry,
        window: int,
        stride: int,
        seed: int = 0,
        room_bytes: float = 2**31,
        workers: int = 1,
        decoder: str = "auto",
        reads: Sequence[int] | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        """room_bytes: of decoded frames held at a time; at least one chunk is.

        reads: the frames of a clip that the student sees, numbers from 0 to window - 1; None: all.
        ranks: the processes that the clips are dealt out to; only all_targets tells of those of the others as well.
        """
        self.reads = np.arange(window) if reads is None else np.asarray(reads)
        self.store, self.stream, self.geometry = store, stream, geometry
        self.window, self.stride, self.seed, self.decoder = window, stride, seed, decoder
        self.room_bytes, self.workers = room_bytes, workers
        self.of_all_ranks = [
            Chunk(video, first, min(CLIPS_OF_A_CHUNK, video.num_clips - first))
            for video in videos
            for first in range(0, video.num_clips, CLIPS_OF_A_CHUNK)
        ]
        self.chunks = ranks.share(self.of_all_ranks)
        self.num_clips = sum(chunk.count for chunk in self.chunks)
        self.num_clips_of_all = sum(chunk.count for chunk in self.of_all_ranks)
        self.dim = int(store.read(videos[0].name, stream, 0, 1).shape[1])
        self._kept: list[Loaded] | None = None  # frames and targets of all chunks, if they fit

    @property
    def bytes_needed(self) -> int:
        """Of the frames of all chunks."""
        return sum(self._frames_of(chunk) for chunk in self.chunks) * self._bytes_of_a_frame

    @property
    def fits(self) -> bool:
        """Whether every video is decoded once only."""
        return self.bytes_needed <= self.room_bytes

    def epoch(self, epoch: int, batch: int) -> Iterator[ClipBatch]:
        rng = np.random.default_rng([self.seed, epoch])
        blocks = self._blocks(rng.permutation(len(self.chunks)).tolist())
        clips = (clip for block in blocks for clip in self._clips_of(block, rng.permutation))
        return (made for made in gathered(clips, batch) if len(made.targets) == batch)

    def in_order(self, batch: int) -> Iterator[ClipBatch]:
        blocks = self._blocks(list(range(len(self.chunks))))
        return gathered((clip for block in blocks for clip in self._clips_of(block, range)), batch)

    def all_targets(self) -> Iterator[np.ndarray]:
        return map(self._targets, self.of_all_ranks)

    def _blocks(self, order: list[int]) -> Iterator[list[Loaded]]:
        """Chunks in this order, as many at a time as there is room for."""
        if self.fits:
            if self._kept is None:
                self._kept = self._loaded(self.chunks)
            yield [self._kept[index] for index in order]
            return
        block: list[Chunk] = []
        held = 0
        for index in order:
            size = self._frames_of(self.chunks[index]) * self._bytes_of_a_frame
            if block and held + size > self.room_bytes:
                yield self._loaded(block)
                block, held = [], 0
            block.append(self.chunks[index])
            held += size
        if block:
            yield self._loaded(block)

    def _clips_of(self, block: Sequence[Loaded], order: Callable[[int], Iterable[int]]) -> Iterator[OneClip]:
        """All clips of a block; order(n) gives the places 0 to n - 1 in the order wanted."""
        places = [(frames, targets, i) for frames, targets in block for i in range(len(targets))]
        for place in order(len(places)):
            frames, targets, i = places[place]
            yield frames[i * self.stride + self.reads], targets[i]

    def _loaded(self, chunks: list[Chunk]) -> list[Loaded]:
        with ThreadPoolExecutor(self.workers) as pool:  # decoders let other threads work
            frames = list(pool.map(self._frames, chunks))
        return [(f, self._targets(chunk)) for f, chunk in zip(frames, chunks, strict=True)]

    def _frames(self, chunk: Chunk) -> np.ndarray:
        """(frames, H, W, 3) uint8 as the geometry cuts them."""
        start, count = chunk.first * self.stride, self._frames_of(chunk)
        frames = read_frames(chunk.video.path, start=start, stop=start + count, decoder=self.decoder)
        made = [self.geometry.crop_center(self.geometry.resize(frame.rgb)) for frame in frames]
        if len(made) < count:
            raise VideoError(
                f"{chunk.video.path}: ended at frame {start + len(made)}, but the teacher's features of "
                f"{chunk.video.name!r} go on. Is it the file that they were made from?"
            )
        return np.stack(made)

    def _targets(self, chunk: Chunk) -> np.ndarray:
        stop = chunk.first + chunk.count
        return np.asarray(self.store.read(chunk.video.name, self.stream, chunk.first, stop), np.float32)

    def _frames_of(self, chunk: Chunk) -> int:
        return (chunk.count - 1) * self.stride + self.window

    @property
    def _bytes_of_a_frame(self) -> int:
        return 3 * self.geometry.crop**2


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
