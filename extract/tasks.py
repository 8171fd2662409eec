"""What extraction does to one video, in the child process that a watchdog looks after."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from extract.backbones import Backbone, build_backbone
from extract.clips import batches, cut
from extract.settings import Settings
from extract.views import FlowView, GradientView, RgbView, StoredFlowView, View
from features.stopwatch import Stopwatch
from features.store import Part, write_part
from flow.geometry import Geometry
from flow.video import Frame, VideoError, VideoInfo, probe, read_frames


def extract_video(payload: dict[str, Any], beat: Callable[[int], None]) -> dict[str, Any]:
    """Extracts one cue of one video into the store; returns the record of what it cost.

    payload: video (id), path, store, sha256 (of the file when the run was planned), settings.
    """
    settings = Settings.from_json(payload["settings"])
    cv2.setNumThreads(1)
    backbone = _backbone(settings)
    watch = Stopwatch(settings.device)
    info = probe(Path(payload["path"]), decoder=settings.decoder)
    if info.sha256 != payload["sha256"]:
        raise VideoError(f"{payload['path']}: the file changed while the command ran. Repeat the command")
    features, times, num_frames = embed_video(payload["video"], Path(payload["path"]), settings, backbone, watch, beat)
    part = Part(
        payload["video"],
        settings.cue,
        {"features": features.astype(np.float16), "t_center": times},
        attributes(settings, info, num_frames),
    )
    path = write_part(Path(payload["store"]), part)
    return {
        "duration_s": info.duration_s,
        "frames": num_frames,
        "bytes": path.stat().st_size,
        "seconds": watch.seconds,
        "device": settings.device,
        "threads": torch.get_num_threads(),
    }


def embed_video(
    video: str,
    path: Path,
    settings: Settings,
    backbone: Backbone,
    watch: Stopwatch,
    beat: Callable[[int], None] = lambda frames: None,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Features (T, D) float32 of one video, their times (T,) in seconds, and the number of its frames."""
    view = make_view(video, settings, backbone.geometry, watch)
    frames = Resized(path, settings, backbone.geometry, watch, beat)
    features, times = [], []
    for batch in batches(cut(frames, view, settings.window, settings.stride), settings.batch):
        with watch(f"{settings.cue}_network"):
            features.append(backbone.embed(np.stack([clip.steps for clip in batch])))
        times += [clip.t_center for clip in batch]
    if not times:
        raise VideoError(
            f"{path}: {frames.count} frames are too few: a window of {settings.window} needs at least "
            f"{settings.window + 1}. Leave this video out, or choose a smaller --window"
        )
    return np.concatenate(features), np.array(times), frames.count


class Resized:
    """The frames of a video with their short side resized, counted as they pass."""

    def __init__(
        self, path: Path, settings: Settings, geometry: Geometry, watch: Stopwatch, beat: Callable[[int], None]
    ) -> None:
        self.path, self.settings, self.geometry, self.watch, self.beat = path, settings, geometry, watch, beat
        self.count = 0

    def __iter__(self) -> Iterator[Frame]:
        frames = read_frames(self.path, decoder=self.settings.decoder, min_decoded=self.settings.min_decoded)
        return self.watch.iterate("decode", map(self._resize, frames))

    def _resize(self, frame: Frame) -> Frame:
        self.count = frame.index + 1
        self.beat(self.count)
        return frame._replace(rgb=self.geometry.resize(frame.rgb))


def make_view(video: str, settings: Settings, geometry: Geometry, watch: Stopwatch) -> View:
    """What the cue of these settings shows of two frames."""
    if settings.cue == "flow" and settings.flow_store is not None:
        return StoredFlowView(watch, settings.flow_store, video)
    if settings.cue == "flow":
        return FlowView(geometry, watch, settings.flow_backend, settings.flow_preset)
    return RgbView(geometry) if settings.cue == "rgb" else GradientView(geometry, watch)


def attributes(settings: Settings, info: VideoInfo, num_frames: int) -> dict[str, Any]:
    """Where a part comes from; everything that changes its values is under its fingerprint."""
    return {
        **settings.attributes(),
        "fingerprint": settings.fingerprint(info.sha256),
        "video_sha256": info.sha256,
        "video_bytes": info.size,
        "codec": info.codec,
        "fps": info.fps,
        "is_vfr": info.is_vfr,
        "width": info.width,
        "height": info.height,
        "rotation": info.rotation,
        "start_s": info.start_s,
        "duration_s": info.duration_s,
        "num_frames": num_frames,
        "num_frames_header": info.num_frames_header or 0,
        "decoder": info.decoder,
    }


@lru_cache(maxsize=2)
def _built(name: str, cue: str, weights: Path | None, device: str, precision: str) -> Backbone:
    return build_backbone(name, cue, weights, device, precision)


def _backbone(settings: Settings) -> Backbone:
    """The backbone of these settings, built once per process."""
    return _built(settings.backbone, settings.cue, settings.weights, settings.device, settings.precision)
