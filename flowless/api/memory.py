"""A store of arrays that lie in memory: what was made or read in Python is learnt from as what lies on a disk is.

store = store_of({"v1": Held({"rgb": x}, t_center, attributes)})
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from features.files.layout import StoreError
from features.storage.parts import fingerprint
from features.storage.store import Store
from features.storage.table import TableRow

PLACE = Path("arrays in memory")  # in messages, where others have their file


class Held(NamedTuple):
    """The features of one video."""

    streams: Mapping[str, np.ndarray]  # (T, D) each
    t_center: np.ndarray  # (T,) seconds
    attributes: Mapping[str, Any]  # of all streams: window, stride, fps, duration_s, ...
    feature_ids: Mapping[str, str]  # by stream, what made it; a stream without one is told by its width and clips


class MemorySource:
    """What a Store reads from; nothing is copied."""

    def __init__(self, videos: Mapping[str, Held]) -> None:
        self.path = PLACE
        self.remarks: tuple[str, ...] = ()
        self._videos = dict(videos)
        self.rows = {(video, stream): _row(video, stream, held) for video, held in videos.items() for stream in held[0]}

    def row(self, video: str, stream: str) -> TableRow:
        if (video, stream) not in self.rows:
            raise StoreError(f"{self.path}: no {stream!r} of video {video!r}")
        return self.rows[video, stream]

    def attributes(self, video: str, stream: str) -> dict[str, Any]:
        row = self.row(video, stream)
        return {"fingerprint": row.fingerprint, "feature_id": row.feature_id, **self._videos[video].attributes}

    def names(self, video: str, stream: str) -> tuple[str, ...]:
        self.row(video, stream)
        return ("features", "t_center")

    def digests(self, video: str, stream: str) -> dict[str, str]:
        return {}  # nobody else can alter them

    def known_finite(self, video: str, stream: str) -> bool:
        return False

    def read(self, video: str, stream: str, name: str, start: int | None, stop: int | None) -> np.ndarray:
        self.row(video, stream)
        held = self._videos[video]
        return (held.t_center if name == "t_center" else held.streams[stream])[start:stop]

    def close(self) -> None:
        """Nothing is open."""


def store_of(videos: Mapping[str, Held]) -> Store:
    """The arrays as a store; they are not copied, and not to be changed while it is used."""
    return Store(MemorySource(videos))


def _row(video: str, stream: str, held: Held) -> TableRow:
    array, attributes = held.streams[stream], held.attributes
    data = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
    clips = {name: attributes[name] for name in ("window", "stride")}
    made = held.feature_ids.get(stream) or fingerprint({"memory": stream, "columns": array.shape[1], **clips})
    return TableRow(
        video=video,
        stream=stream,
        fingerprint=data[:16],
        feature_id=made,
        video_sha256="",
        geometry="",
        grid=hashlib.sha256(np.ascontiguousarray(held.t_center).data).hexdigest()[:16],
        num_steps=len(array),
        fps=float(attributes["fps"]),
        duration_s=float(attributes["duration_s"]),
        digest=data,
    )
