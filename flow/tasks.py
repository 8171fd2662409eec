"""What flow.tvl1 and flow.gradient do to one chunk of a video, in the child process that a watchdog looks after."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from features.stopwatch import Stopwatch
from flow.gradient import temporal_gradient
from flow.parameters import Parameters
from flow.settings import Settings
from flow.solver import make_solver
from flow.store import CHUNK, quantise, write_chunk
from flow.video import VideoError, VideoInfo, probe, read_frames

PairTask = Callable[[np.ndarray, np.ndarray], np.ndarray]  # two resized frames -> the planes to be stored (P, H, W)


def compute_chunk(payload: dict[str, Any], beat: Callable[[int], None]) -> dict[str, Any]:
    """Computes and commits the pairs of one chunk; returns the record of what it cost.

    payload: video (id), path, store, sha256 (of the file when the run was planned), start (pair), last_start, settings.
    """
    settings = Settings.from_json(payload["settings"])
    cv2.setNumThreads(1)
    watch = Stopwatch()
    info = _probed(payload["path"], payload["sha256"], settings.decoder)
    start = payload["start"]
    frames = watch.iterate("decode", _resized(Path(payload["path"]), settings, start))
    pairs: np.ndarray = np.empty((CHUNK, *_shape(settings)), _dtype(settings))
    count = 0
    for before, after in pairwise(frames):
        with watch(settings.cue):
            pairs[count] = _solver(payload["settings"])(before, after)
        count += 1
        beat(count)
    with watch("write"):
        made = attributes(settings, info, payload["last_start"])
        path = write_chunk(Path(payload["store"]), payload["video"], settings.cue, start, pairs[:count], made)
    return {
        "duration_s": info.duration_s,
        "frames": count + (start == 0),  # the first frame of a video has no pair of its own
        "bytes": path.stat().st_size,
        "seconds": watch.seconds,
    }


def attributes(settings: Settings, info: VideoInfo, last_start: int) -> dict[str, Any]:
    """Where a chunk comes from; everything that changes its values is under its fingerprint."""
    return {
        **settings.made_from,
        "feature_id": settings.feature_id(),
        "fingerprint": settings.fingerprint(info.sha256),
        "video_sha256": info.sha256,
        "video_bytes": info.size,
        "fps": info.fps,
        "is_vfr": info.is_vfr,
        "duration_s": info.duration_s,
        "num_frames_expected": info.num_frames,
        "num_frames_header": info.num_frames_header or 0,
        "last_start": last_start,
    }


def _resized(path: Path, settings: Settings, start: int) -> Iterator[np.ndarray]:
    """The frames of a chunk, its pairs and one; gray for flow, RGB and cropped for gradients."""
    geometry = settings.geometry
    for frame in read_frames(path, start=start, stop=start + CHUNK + 1, decoder=settings.decoder):
        resized = geometry.resize(frame.rgb)
        if settings.cue == "flow":
            yield cv2.cvtColor(resized, cv2.COLOR_RGB2GRAY)
        else:
            yield geometry.crop_center(resized)


@lru_cache(maxsize=1)
def _solver(settings_json: str) -> PairTask:
    """Made once per process: a solver keeps its memory from pair to pair."""
    settings = Settings.from_json(settings_json)
    if settings.cue == "gradient":
        return lambda before, after: temporal_gradient(before, after).transpose(2, 0, 1)
    solve = make_solver(settings.backend, "compat", **_as_keywords(settings.parameters))
    geometry = settings.geometry

    def flow_of(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        # The whole frame is solved and then cropped, so that the border of the crop has real neighbours.
        planes = geometry.crop_center(solve(before, after)).transpose(2, 0, 1)
        return planes.astype(np.float16) if settings.codec == "float16" else quantise(planes, settings.bound)

    return flow_of


def _as_keywords(parameters: Parameters) -> dict[str, float]:
    return {name: getattr(parameters, name) for name in parameters.__dataclass_fields__}


def _shape(settings: Settings) -> tuple[int, int, int]:
    return (2 if settings.cue == "flow" else 3, settings.crop, settings.crop)


def _dtype(settings: Settings) -> type:
    if settings.cue == "gradient":
        return np.int16
    return np.float16 if settings.codec == "float16" else np.uint8


@lru_cache(maxsize=64)
def _probed(path: str, sha256: str, decoder: str) -> VideoInfo:
    """The video as planned; hashed once per process, not once per chunk."""
    info = probe(Path(path), decoder=decoder)
    if info.sha256 != sha256:
        raise VideoError(f"{path}: the file changed while the command ran. Repeat the command")
    return info
