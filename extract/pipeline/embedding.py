"""One video in, features out: frames stream through clips and one network, or several that see the same frames."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import tee
from pathlib import Path
from typing import NamedTuple

import numpy as np

from extract.backbones import Backbone
from extract.cues.clips import Clip, View, batches, cut
from extract.cues.cue import CUES
from extract.pipeline.settings import ClipSettings
from features.running.stopwatch import Stopwatch
from features.storage.grid import PAIRS
from flow.decode.geometry import Geometry
from flow.decode.video import Frame, VideoError, read_frames


class Network(NamedTuple):
    """A backbone with the settings that it runs under; of a twin, one of its outputs."""

    settings: ClipSettings
    backbone: Backbone


class Pass(NamedTuple):
    """One run of a backbone over a clip, for all streams that it gives."""

    backbone: Backbone
    streams: dict[str, str]  # output -> stream
    reads: tuple[int, ...]  # the steps of a clip that it sees

    @property
    def stage(self) -> str:
        """What its time is counted as."""
        return "twin_network" if self.backbone.twin else f"{next(iter(self.streams.values()))}_network"


def passes(networks: Sequence[Network]) -> list[Pass]:
    """A twin's outputs, which come with the same backbone, are had in one pass."""
    made: dict[int, Pass] = {}
    for settings, backbone in networks:
        fresh = Pass(backbone, {}, tuple(backbone.reads(settings.window)))
        made.setdefault(id(backbone), fresh).streams[settings.output] = settings.stream
    return list(made.values())


class Embedding(NamedTuple):
    """The features of a video as a store keeps them."""

    features: np.ndarray  # (T, D) float16
    t_center: np.ndarray  # (T,) seconds
    num_frames: int


class Embeddings(NamedTuple):
    """The same of several networks, by stream."""

    features: dict[str, np.ndarray]  # (T, D) float16 each
    t_center: np.ndarray  # (T,) seconds
    num_frames: int


def embed_video(
    path: Path,
    settings: ClipSettings,
    backbone: Backbone,
    view: View,
    watch: Stopwatch,
    beat: Callable[[int], None] = lambda frames: None,
    ahead: Callable[[Iterable[Frame]], Iterable[Frame]] = iter,
) -> Embedding:
    """All features of a video. beat(frames_done) is called with every frame; `ahead` sees frames before the view."""
    made = embed_streams(path, [Network(settings, backbone)], view, watch, beat, ahead)
    return Embedding(made.features[settings.stream], made.t_center, made.num_frames)


def embed_streams(
    path: Path,
    networks: Sequence[Network],
    view: View,
    watch: Stopwatch,
    beat: Callable[[int], None] = lambda frames: None,
    ahead: Callable[[Iterable[Frame]], Iterable[Frame]] = iter,
) -> Embeddings:
    """All features of a video by every network that sees one cue, decoded once."""
    return embed_cues(path, [Watched(networks, view, ahead)], watch, beat)


class Watched(NamedTuple):
    """The networks that see one cue."""

    networks: Sequence[Network]
    view: View
    ahead: Callable[[Iterable[Frame]], Iterable[Frame]] = iter

    @property
    def reads(self) -> list[int]:
        """The steps of a clip that some network sees."""
        return sorted({step for each in passes(self.networks) for step in each.reads})

    def clips(self, frames: Iterable[Frame]) -> Iterator[Clip]:
        """Those of the first network's settings; the others have the same."""
        settings = self.networks[0].settings
        last = None if settings.tail == PAIRS else CUES[settings.cue].last(self.view)
        return cut(self.ahead(frames), self.view, settings.window, settings.stride, self.reads, last)


class Seen:
    """A video while it is embedded by every network of every cue, decoded once.

    Clips, geometry and decoding are those of the first network's settings; the others must have the same. Each network
    sees the steps of a clip that it reads. Cues are cut side by side, clip by clip: no more than the frames of a clip
    wait for any of them.
    """

    def __init__(self, path: Path, watched: Sequence[Watched], watch: Stopwatch, beat: Callable[[int], None]) -> None:
        """watch: of what reading takes."""
        self.path, self.watched = path, watched
        self.settings, backbone = watched[0].networks[0]
        self.batch = self.settings.batch or backbone.batch[self.settings.device.partition(":")[0]]
        self.frames = ResizedFrames(path, self.settings, self.settings.cut_out, watch, beat)
        self.features: dict[str, list[np.ndarray]] = {n.settings.stream: [] for cue in watched for n in cue.networks}
        self.times: list[float] = []

    def clips(self) -> Iterator[tuple[Clip, ...]]:
        """Of each cue the clip at one time, then at the next."""
        side_by_side = tee(self.frames, len(self.watched))
        return zip(*(cue.clips(same) for cue, same in zip(self.watched, side_by_side, strict=True)), strict=True)

    def embeddings(self) -> Embeddings:
        """Of all clips, once they are embedded; VideoError where there are none."""
        if not self.times:
            made = self.settings
            raise VideoError(
                f"{self.path}: {self.frames.count} frames are too few: a window of {made.window} needs at least "
                f"{made.window + (made.tail == PAIRS)}. Leave this video out, or choose a smaller --window"
            )
        with np.errstate(over="ignore"):  # the store refuses what float16 cannot hold, with a word on where it is from
            stored = {stream: np.stack(rows).astype(np.float16) for stream, rows in self.features.items()}
        return Embeddings(stored, np.array(self.times), self.frames.count)


def embed_cues(
    path: Path, watched: Sequence[Watched], watch: Stopwatch, beat: Callable[[int], None] = lambda frames: None
) -> Embeddings:
    """All features of a video by every network of every cue, decoded once."""
    video = Seen(path, watched, watch, beat)
    for batch in batches(video.clips(), video.batch):
        embed_batch([(video, clips) for clips in batch], watch)
    return video.embeddings()


def embed_batch(batch: Sequence[tuple[Seen, tuple[Clip, ...]]], watch: Stopwatch) -> None:
    """Gives clips, of one video or of several that the same networks see, their features."""
    watched = batch[0][0].watched
    for cue, clips in zip(watched, zip(*(clips for _, clips in batch), strict=True), strict=True):
        for stream, made in _embedded(cue, np.stack([clip.steps for clip in clips]), watch):
            for (video, _), row in zip(batch, made, strict=True):
                video.features[stream].append(row)
    for video, (first, *_) in batch:
        video.times.append(first.t_center)


def _embedded(cue: Watched, clips: np.ndarray, watch: Stopwatch) -> Iterator[tuple[str, np.ndarray]]:
    """The features of clips of one cue by stream. clips: (B, steps that some network reads, H, W, channels)."""
    for each in passes(cue.networks):
        with watch(each.stage):
            seen = clips
            if list(each.reads) != cue.reads:
                seen = clips[:, [cue.reads.index(step) for step in each.reads]]
            made = each.backbone.embed_each(seen, each.streams)
        for output, features in made.items():
            yield each.streams[output], features


class ResizedFrames:
    """The frames of a video with their short side resized, counted as they pass."""

    def __init__(
        self, path: Path, settings: ClipSettings, geometry: Geometry, watch: Stopwatch, beat: Callable[[int], None]
    ) -> None:
        self.path, self.settings, self.geometry, self.watch, self.beat = path, settings, geometry, watch, beat
        self.count = 0

    def __iter__(self) -> Iterator[Frame]:
        made = self.settings
        frames = read_frames(self.path, decoder=made.decoder, min_decoded=made.min_decoded, fps=made.fps)
        return self.watch.iterate("decode", map(self._resized, frames))

    def _resized(self, frame: Frame) -> Frame:
        self.count = frame.index + 1
        self.beat(self.count)
        return frame._replace(rgb=self.geometry.resize(frame.rgb))
