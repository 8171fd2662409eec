"""Flow at rest: quantised to bytes, chunk by chunk, in a store like those of features.

    import flow.pipeline.store
    store = flow.pipeline.store.open("flow/thumos.h5")
    store.read("video_test_0000004", 0, 16)          # uint8 (16, 2, H, W), plane 0 along x, plane 1 along y
    store.read_pixels("video_test_0000004", 0, 16)   # the same in pixels, float32

A pixel of flow, clipped to ±bound, becomes round((flow + bound) / (2 bound) * 255): 0.157 px a step at the usual bound
of 20, as TSN and denseflow have it. Zero becomes 128 and comes back as 0.078 px. Pair k is frames k and k + 1.

A video is stored as chunks of CHUNK pairs, streams "flow.000000000", "flow.000000128", ...: each is committed by
itself, so that many workers share one long video and an interrupted run loses little.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from features.storage import store as features_store
from features.storage.store import Part, Store, StoreError, write_part
from features.storage.table import TableRow
from flow.pipeline.motions import MOTIONS
from flow.pipeline.quantised import BOUND, dequantise, quantise

CHUNK = 128  # pairs; seconds of work, and at 224 x 224 about 1.5 MB of file
JPEG_QUALITY = 95  # largest error 1.2 px, a third of the size of u8; not reproducible between releases of libjpeg


def chunk_starts(num_pairs: int) -> list[int]:
    """First pairs of the chunks of a video; one empty chunk if there is no pair."""
    return list(range(0, max(num_pairs, 1), CHUNK))


def chunk_stream(cue: str, start: int) -> str:
    """The stream name of a chunk; sorts by start."""
    return f"{cue}.{start:09d}"


def write_chunk(
    store: Path, video: str, cue: str, start: int, pairs: np.ndarray, attributes: Mapping[str, Any]
) -> Path:
    """Commits one chunk. pairs: (n, planes, H, W), kept as attributes["codec"] says: u8, jpeg, float16 or int16."""
    codec = attributes["codec"]
    arrays = {"flow": pairs} if codec != "jpeg" else _to_jpeg(pairs)
    # One compressed chunk per plane: it is what a clip reads, and deflate finds most of its repeats there.
    each = {"chunks": (1, 1, *pairs.shape[2:]), "compression": "gzip", "compression_opts": 1}
    shapes = {**attributes, "start": start, "num_pairs": len(pairs), "size": list(pairs.shape[1:])}
    compression = {"flow": each} if codec != "jpeg" and len(pairs) else {}
    return write_part(store, Part(video, chunk_stream(cue, start), arrays, shapes), compression)


def open(path: Path | str, cue: str = "flow", verify: bool = True) -> "FlowStore":
    """Opens a store that flow.tvl1 (cue "flow") or flow.gradient (cue "gradient") wrote; verify as features.open."""
    return FlowStore(features_store.open(path, verify=verify), cue)


class FlowStore:
    """Motion of many videos, by frame pair. Can be sent to other processes."""

    def __init__(self, store: Store, cue: str = "flow") -> None:
        self.path = store.path
        self.cue = cue
        self._store = store
        self._chunks: dict[str, list[tuple[int, int]]] = {}  # by video, as asked for: (start, stop)

    @property
    def videos(self) -> tuple[str, ...]:
        """Videos with at least one chunk."""
        return tuple(video for video in self._store.videos if self._streams(video))

    def row(self, video: str) -> TableRow:
        """What the table says of the first chunk: feature_id, geometry, video_sha256, fps; opens no part."""
        return self._store.row(video, self._first(video))

    def starts(self, video: str) -> list[int]:
        """First pairs of the chunks that are there; opens no part."""
        return [int(stream.rpartition(".")[2]) for stream in self._streams(video)]

    def num_pairs(self, video: str) -> int:
        """Frame pairs of a video: its frames less one. StoreError unless all of its chunks are there."""
        return self._layout(video)[-1][1]

    def attributes(self, video: str) -> dict[str, Any]:
        """How the flow of a video was made: bound, geometry, preset, parameters, video_sha256, fps, ..."""
        start = self._layout(video)[0][0]
        return self._store.attributes(video, chunk_stream(self.cue, start))

    def read(self, video: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Pairs [start, stop) as (n, 2, H, W) uint8, quantised by attributes["bound"]; gradients (n, 3, H, W) int16."""
        return self._read(video, start, stop, in_pixels=False)

    def read_pixels(self, video: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Pairs [start, stop) as (n, 2, H, W) float32 in pixels; of float16 stores without quantisation."""
        return self._read(video, start, stop, in_pixels=True)

    def _read(self, video: str, start: int, stop: int | None, in_pixels: bool) -> np.ndarray:
        layout = self._layout(video)
        stop = layout[-1][1] if stop is None else stop
        if not 0 <= start <= stop <= layout[-1][1]:
            raise StoreError(f"{self.path}: {video}: pairs {start} to {stop} asked for, there are {layout[-1][1]}")
        # An empty range is still read from a chunk, which knows the size of the pictures.
        touched = [(a, b) for a, b in layout if a < stop and b > start] or layout[:1]
        pieces = []
        for first, last in touched:
            stream = chunk_stream(self.cue, first)
            attributes = self._store.attributes(video, stream)
            begin = max(start, first) - first
            piece = self._decode(video, stream, attributes, begin, max(begin, min(stop, last) - first))
            pieces.append(_convert(piece, float(attributes.get("bound", BOUND)), in_pixels))
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _decode(self, video: str, stream: str, attributes: dict[str, Any], start: int, stop: int) -> np.ndarray:
        if attributes["codec"] != "jpeg":
            return self._store.array(video, stream, "flow", start, stop)
        planes, height, width = attributes["size"]
        offsets = self._store.array(video, stream, "offsets", start * planes, stop * planes + 1)
        blob = self._store.array(video, stream, "jpeg", int(offsets[0]), int(offsets[-1]))
        pictures = [
            cv2.imdecode(blob[a - offsets[0] : b - offsets[0]], cv2.IMREAD_GRAYSCALE) for a, b in pairwise(offsets)
        ]
        return np.array(pictures, np.uint8).reshape(stop - start, planes, height, width)

    def _streams(self, video: str) -> list[str]:
        return sorted(name for name in self._store.streams(video) if name.startswith(f"{self.cue}."))

    def _first(self, video: str) -> str:
        streams = self._streams(video)
        if not streams:
            raise StoreError(f"{self.path}: no {self.cue} of video {video!r}: run {MOTIONS[self.cue].command} on it")
        return streams[0]

    def _layout(self, video: str) -> list[tuple[int, int]]:
        """(start, stop) of each chunk, once they are known to fit together."""
        if video in self._chunks:
            return self._chunks[video]
        self._first(video)
        streams = self._streams(video)
        layout: list[tuple[int, int]] = []
        made = set()
        for stream in streams:
            attributes = self._store.attributes(video, stream)
            start = int(attributes["start"])
            if start != (layout[-1][1] if layout else 0) and attributes["num_pairs"]:
                if layout and layout[-1][1] - layout[-1][0] < CHUNK:
                    continue  # the video ends in the chunk before, by --min-decoded; this lies beyond the damage
                raise StoreError(
                    f"{self.path}: {video}: pairs {layout[-1][1] if layout else 0} to {start} are missing: repeat the "
                    f"{MOTIONS[self.cue].command} command, which computes what is not there"
                )
            layout.append((start, start + int(attributes["num_pairs"])))
            made.add((attributes["feature_id"], attributes["video_sha256"]))
        expected = int(attributes["last_start"])
        if start != expected or len(made) > 1:
            raise StoreError(
                f"{self.path}: {video}: {len(layout)} chunks, made in {len(made)} ways, ending at {start}, "
                f"expected at {expected}: repeat the {MOTIONS[self.cue].command} command to complete them"
            )
        self._chunks[video] = [piece for piece in layout if piece[1] > piece[0]] or layout[:1]
        return self._chunks[video]


def _convert(pairs: np.ndarray, bound: float, in_pixels: bool) -> np.ndarray:
    if pairs.dtype == np.uint8:
        return dequantise(pairs, bound) if in_pixels else pairs
    if pairs.dtype == np.float16:
        return pairs.astype(np.float32) if in_pixels else quantise(pairs.astype(np.float32), bound)
    return pairs.astype(np.float32) if in_pixels else pairs


def _to_jpeg(pairs: np.ndarray) -> dict[str, np.ndarray]:
    """One picture after the other in one array of bytes, and where each begins."""
    pictures = [
        cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].ravel()
        for pair in pairs
        for plane in pair
    ]
    offsets = np.cumsum([0, *(len(picture) for picture in pictures)]).astype(np.int64)
    blob = np.concatenate(pictures) if pictures else np.zeros(0, np.uint8)
    return {"jpeg": blob, "offsets": offsets}
