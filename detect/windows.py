"""What a head needs of a sample; videos cut into such samples, and what was found in many of them joined again."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from features.storage.grid import ClipGrid

T = TypeVar("T")


class Window(NamedTuple):
    """The steps [start, stop) of a video's sequence."""

    start: int
    stop: int


@dataclass(frozen=True)
class SampleRule:
    """What a head needs of a sample. The default takes a sequence of any length as it is.

    First the whole video is resized, or steps are left out, where this is wanted; then it is taken whole, or cut into
    windows of `length`.
    """

    every: int = 1  # 3: only each third of the video's steps is taken
    resize: int | None = None  # steps that every video is resized to (ActivityNet-1.3: 192); None: as many as it has
    length: int | None = None  # steps of every sample: longer videos are cut, shorter ones padded; None: any number
    multiple: int = 1  # of samples of any length: they are padded to a multiple, and cut out of a video at one
    overlap: float = 0.5  # share of a window of `length` that the next one sees too, at least
    training_overlap: float | None = None  # likewise in training: an epoch has as many samples of a video as there
    # would be windows, each cut anywhere; None: one sample of a video, long or short

    def __post_init__(self) -> None:
        for name in ("resize", "length", "multiple", "every"):
            value = getattr(self, name)
            if not (type(value) is int and value > 0) and not (value is None and name in ("resize", "length")):
                raise ValueError(f"{name} must be a number of steps, got {value!r:.60}")
        if self.resize is not None and self.every != 1:
            raise ValueError(f"resize {self.resize} and every {self.every}: of a resized video no step is left out")
        for name in ("overlap", "training_overlap"):
            value = getattr(self, name)
            if not (value is None and name == "training_overlap") and not 0.0 <= value < 1.0:
                raise ValueError(f"{name} must be a share of a window, in [0, 1), got {value!r:.60}")

    def num_steps(self, num_steps: int) -> int:
        """Length of the sequence that a video of so many steps is seen as."""
        return self.resize or -(-num_steps // self.every)

    def sequence(self, features: NDArray[np.floating]) -> NDArray[np.floating]:
        """The features (T, D) of a whole video as the head sees them."""
        return features[:: self.every] if self.resize is None else resize_steps(features, self.resize)

    def grid(self, grid: ClipGrid) -> ClipGrid:
        """Where the steps of `sequence` lie in the video."""
        return grid[:: self.every] if self.resize is None else grid.resized(self.resize)

    def windows(self, num_steps: int) -> list[Window]:
        """The samples that a sequence is seen in: all of it, or windows of `length`, the last ending with it."""
        if self.length is None or num_steps <= self.length:
            return [Window(0, num_steps)]
        starts = [*range(0, num_steps - self.length, self._hop(self.overlap)), num_steps - self.length]
        return [Window(start, start + self.length) for start in starts]

    def training_samples(self, num_steps: int) -> int:
        """How many samples of such a sequence an epoch has."""
        if self.length is None or self.training_overlap is None or num_steps <= self.length:
            return 1
        return len(range(0, num_steps - self.length, self._hop(self.training_overlap))) + 1

    def _hop(self, overlap: float) -> int:
        """Steps from the start of a window to that of the next."""
        assert self.length is not None
        return max(int(self.length * (1 - overlap)), 1)

    def padded(self, num_steps: int) -> int:
        """Steps of a batch whose longest sample has so many."""
        return self.length or -(-num_steps // self.multiple) * self.multiple


ANY_LENGTH = SampleRule()


def resize_steps(features: NDArray[np.floating], num_steps: int) -> NDArray[np.float32]:
    """A (T, D) sequence linearly resized to num_steps, half-pixel centres, as ClipGrid.resized has it (ActivityNet)."""
    x = torch.from_numpy(np.asarray(features, np.float32)).T[None]
    return F.interpolate(x, size=num_steps, mode="linear", align_corners=False)[0].T.numpy()


def grouped(items: Iterable[T], windows_of: Callable[[T], Sequence[Window]], size: int, steps: int) -> list[list[T]]:
    """Neighbours that have, together, at most `size` windows and `steps` steps of these, padded to the longest; an item
    with more is alone."""
    groups: list[list[T]] = []
    count = widest = 0
    for item in items:
        windows = windows_of(item)
        longest = max(stop - start for start, stop in windows)
        if not groups or count + len(windows) > size or (count + len(windows)) * max(widest, longest) > steps:
            groups.append([])
            count = widest = 0
        groups[-1].append(item)
        count, widest = count + len(windows), max(widest, longest)
    return groups


def in_batches(
    pieces: Sequence[tuple[Mapping[str, NDArray[np.floating]], Window]], rule: SampleRule, size: int, steps: int
) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
    """Windows of sequences (T, D_in) by cue, so many at a time as `grouped` says: cues (B, D_in, T) and mask (B, T),
    zero where padded."""
    for group in grouped(pieces, lambda piece: [piece[1]], size, steps):
        lengths = [stop - start for _, (start, stop) in group]
        width = rule.length or max(lengths)
        cues = {}
        for cue in group[0][0]:
            rows = np.zeros((len(group), width, group[0][0][cue].shape[1]), np.float32)
            for row, (features, (start, stop)) in zip(rows, group, strict=True):
                row[: stop - start] = features[cue][start:stop]
            cues[cue] = torch.from_numpy(rows).transpose(1, 2)
        yield cues, torch.arange(width) < torch.tensor(lengths)[:, None]


class Found(NamedTuple):
    """Candidates of one window, or of a video."""

    segments: NDArray[np.floating]  # (n, 2) grid steps, from the start of the window, or of the video
    scores: NDArray[np.floating]  # (n,)
    labels: NDArray[np.signedinteger] | None  # (n,); None: of no class yet
    classes: NDArray[np.floating] | None = None  # (T, C) of the steps of the window, or of the video, where it is known


def join(found: Sequence[Found], windows: Sequence[Window], once: float | None) -> Found:
    """Candidates of all windows as those of the video, in its steps.

    once: IoU from which a candidate repeats a better one of the same class from another window and is dropped; None
    where suppression will compare all candidates anyhow. Candidates of one window are not compared with one another.
    """
    segments = np.concatenate([f.segments + window.start for f, window in zip(found, windows, strict=True)])
    scores = np.concatenate([f.scores for f in found])
    labels = None if found[0].labels is None else np.concatenate([f.labels for f in found if f.labels is not None])
    seen = join_classes(found, windows)
    if once is None or len(windows) == 1:
        return Found(segments, scores, labels, seen)
    window = np.repeat(np.arange(len(found)), [len(f.scores) for f in found])
    classes = np.zeros(len(scores), np.int64) if labels is None else labels
    kept = np.sort(_not_repeated(segments, scores, classes, window, once))
    return Found(segments[kept], scores[kept], None if labels is None else labels[kept], seen)


def join_classes(found: Sequence[Found], windows: Sequence[Window]) -> NDArray[np.floating] | None:
    """(T, C): what windows say of the classes at every step of the video, the mean where several see it."""
    said = [f.classes for f in found if f.classes is not None]
    if not said:
        return None
    total = np.zeros((windows[-1].stop, said[0].shape[1]))
    times = np.zeros((windows[-1].stop, 1))
    for classes, (start, stop) in zip(said, windows, strict=True):
        total[start:stop] += classes[: stop - start]
        times[start:stop] += 1
    joined: NDArray[np.floating] = total / times
    return joined


def _not_repeated(
    segments: NDArray[np.floating],
    scores: NDArray[np.floating],
    labels: NDArray[np.signedinteger],
    window: NDArray[np.signedinteger],
    iou: float,
) -> NDArray[np.signedinteger]:
    """Rows of the candidates that no better one kept of another window repeats, best first. Of equals, the first."""
    order = np.lexsort((np.arange(len(scores)), -scores))
    start, end = np.asarray(segments, np.float64).T
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        shared = np.minimum(end[order], end[best]) - np.maximum(start[order], start[best])
        union = end[order] - start[order] + end[best] - start[best] - shared
        repeats = (shared > 0) & (shared >= iou * union) & (labels[order] == labels[best])
        order = order[~(repeats & (window[order] != window[best]))]
    return np.array(kept, np.int64)
