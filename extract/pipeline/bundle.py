"""Extraction on a GPU: clips of several videos fill its batches while a thread decodes, resizes and cuts ahead.

A bundle is one job to `features.running` and many in its report: a video is committed as soon as its last clip is
embedded, and what goes wrong with it costs no other.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import cv2

from extract.cues.clips import Clip
from extract.pipeline.embedding import Seen, embed_batch
from extract.pipeline.tasks import clips_at_a_time, commit, networks_of, streams_of
from features.running.ahead import ahead
from features.running.stopwatch import Stopwatch
from flow.pipeline.planning import as_planned, video_of


class BundledVideo:
    """A video among others: how it is read, and what came of that. What reading it takes is there while it is read."""

    def __init__(self, key: str, payload: dict[str, Any], beat: Callable[[int], None]) -> None:
        self.key, self.payload, self.beat = key, payload, beat
        self.streams = streams_of(payload)
        self.reading = Stopwatch(clock=reading_clock(payload))
        self.network = Stopwatch(self.streams[0].device)
        self.error: Exception | None = None
        self.seen: Seen | None = None

    def clips(self) -> Iterator[tuple[Clip, ...]]:
        """All of them, or those before the error, which is kept."""
        try:
            watched = networks_of(self.payload["video"], self.streams, self.reading, self.beat)
            with as_planned(self.payload, self.beat) as info:
                self.seen = Seen(info.path, watched, self.reading, self.beat)
                yield from self.seen.clips()
        except Exception as error:
            self.error = error

    def end(self) -> dict[str, Any]:
        """Its outcome, once all its clips are embedded; what was made of it is in the store then."""
        outcome = {"key": self.key, "video": self.payload["video"]}
        try:
            if self.error is not None:
                raise self.error
            assert self.seen is not None
            made = self.seen.embeddings()
        except Exception as error:
            return {**outcome, "cause": type(error).__name__, "message": str(error)}
        seconds = {**self.reading.seconds, **self.network.seconds}
        return {**outcome, "record": commit(self.payload, self.streams, video_of(self.payload), made, seconds)}


class Piece(NamedTuple):
    """Clips of a video at one time, of each cue; None after its last."""

    video: BundledVideo
    clips: tuple[Clip, ...] | None


def extract_bundle(payload: dict[str, Any], beat: Callable[[int], None]) -> dict[str, Any]:
    """Extracts payload["videos"], payloads of `extract_video` by job key, of which the same streams are missing.

    The record has an outcome for each, and the share of the time in which the networks were at work.
    """
    cv2.setNumThreads(1)
    frames = 0
    outcomes: list[dict[str, Any]] = []

    def count(before: int, now: int) -> None:
        nonlocal frames
        frames = before + now
        beat(frames)

    def read() -> Iterator[Piece]:
        before = 0
        for key, one in payload["videos"].items():
            yield from pieces(BundledVideo(key, one, partial(count, before)))
            before += one["info"]["num_frames"]

    settings = streams_of(next(iter(payload["videos"].values())))[0]
    size, began, at_work = clips_at_a_time(settings), time.perf_counter(), 0.0
    for batch in by_clips(ahead(read(), 2 * size), size):
        clips = [(piece.video.seen, piece.clips) for piece in batch if piece.video.seen and piece.clips is not None]
        if clips:
            watch, asked = Stopwatch(settings.device), time.perf_counter()
            embed_batch(clips, watch)
            at_work += time.perf_counter() - asked
            share(watch, batch)
            beat(frames)
        outcomes += [piece.video.end() for piece in batch if piece.clips is None]
    return {"jobs": outcomes, "at_work_s": at_work, "wall_s": time.perf_counter() - began}


def pieces(video: BundledVideo) -> Iterator[Piece]:
    for clips in video.clips():
        yield Piece(video, clips)
    yield Piece(video, None)


def by_clips(pieces: Iterable[Piece], size: int) -> Iterator[list[Piece]]:
    """Pieces with `size` clips among them, the last ones with fewer."""
    batch: list[Piece] = []
    clips = 0
    for piece in pieces:
        batch.append(piece)
        clips += piece.clips is not None
        if clips == size:
            yield batch
            batch, clips = [], 0
    if batch:
        yield batch


def share(watch: Stopwatch, batch: Iterable[Piece]) -> None:
    """Tells each video its share of what a batch cost."""
    owners = [piece.video for piece in batch if piece.clips is not None]
    for stage, seconds in watch.seconds.items():
        for video in owners:
            spent = video.network.seconds
            spent[stage] = spent.get(stage, 0.0) + seconds / len(owners)


def reading_clock(payload: dict[str, Any]) -> Callable[[], float]:
    """Of the thread that reads: its own time on the processor; where a GPU solves flow meanwhile, that of the wall."""
    on_gpu = any(each["cue"] == "flow" and each["flow_backend"] == "cuda" for each in payload["streams"])
    return time.perf_counter if on_gpu else time.thread_time
