"""One chunk of a video on its way into a store: its frames come out, its pairs go in, and it is committed once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from features.running.stopwatch import Stopwatch
from features.storage.store import is_done
from flow.decode.video import VideoInfo, read_frames
from flow.pipeline.motions import MOTIONS
from flow.pipeline.planning import as_planned, video_of
from flow.pipeline.settings import FlowSettings
from flow.pipeline.store import CHUNK, chunk_stream, write_chunk


class Chunk:
    """At most CHUNK pairs of neighbouring frames, from pair `start` of the video on.

    payload: video (id), what `flow.pipeline.planning.Planned` says of it, store, start (pair), last_start, settings.
    """

    def __init__(self, payload: dict[str, Any]) -> None:
        self.payload = payload
        self.settings = FlowSettings.from_json(payload["settings"])
        self.motion = MOTIONS[self.settings.cue]
        self.watch = Stopwatch()
        self.count = 0  # pairs added
        shape = (CHUNK, self.motion.planes, self.settings.crop, self.settings.crop)
        self._pairs: np.ndarray = np.empty(shape, self.motion.dtype(self.settings.codec))

    def frames(self, beat: Callable[[int], None] = lambda pairs: None) -> Iterator[np.ndarray]:
        """As many as there are pairs, and one; resized and prepared for what is computed of them."""
        settings, geometry, start = self.settings, self.settings.geometry, self.payload["start"]
        with as_planned(self.payload, beat) as info:
            for frame in read_frames(
                info.path,
                start=start,
                stop=start + CHUNK + 1,
                decoder=settings.decoder,
                min_decoded=settings.min_decoded,
                fps=settings.fps,
            ):
                yield self.motion.prepare(geometry.resize(frame.rgb), geometry)

    def add(self, planes: np.ndarray) -> None:
        """The next pair, as it is to be stored: (2 or 3, crop, crop)."""
        self._pairs[self.count] = planes
        self.count += 1

    def commit(self) -> dict[str, Any]:
        """Writes what was added; returns the record of what it cost."""
        payload, settings = self.payload, self.settings
        info = video_of(payload)
        with self.watch("write"):
            made = attributes(settings, info, payload["last_start"])
            pairs = self._pairs[: self.count]
            path = write_chunk(Path(payload["store"]), payload["video"], settings.cue, payload["start"], pairs, made)
        return {
            "duration_s": info.duration_s,
            "frames": self.count + (payload["start"] == 0),  # the first frame of a video has no pair of its own
            "bytes": path.stat().st_size,
            "seconds": self.watch.seconds,
        }


def is_there(payload: dict[str, Any]) -> bool:
    """Whether the store holds this chunk, made from this video in this way."""
    settings = FlowSettings.from_json(payload["settings"])
    stream = chunk_stream(settings.cue, payload["start"])
    return is_done(Path(payload["store"]), payload["video"], stream, planned_fingerprint(settings, payload))


def planned_fingerprint(settings: FlowSettings, payload: dict[str, Any]) -> str:
    """The fingerprint that this chunk will have."""
    return settings.fingerprint(payload["sha256"], payload["info"]["decoded_by"])


def attributes(settings: FlowSettings, info: VideoInfo, last_start: int) -> dict[str, Any]:
    """Where a chunk comes from; everything that changes its values is under its fingerprint."""
    return {
        **settings.made_from,
        "feature_id": settings.feature_id(),
        "fingerprint": settings.fingerprint(info.sha256, info.decoded_by),
        "video_sha256": info.sha256,
        "video_bytes": info.size,
        "fps": info.fps,
        "fps_file": info.fps_file,
        "is_vfr": info.is_vfr,
        "duration_s": info.duration_s,
        "num_frames_expected": info.num_frames,
        "num_frames_header": info.num_frames_header or 0,
        "last_start": last_start,
    }
