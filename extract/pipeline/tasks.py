"""What extraction does to one video, in the child process that a watchdog looks after."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import torch

from extract.backbones import Backbone, build_backbone, try_backbone
from extract.cues.cue import CUES, SourceOptions
from extract.pipeline.embedding import Embeddings, Network, Watched, embed_cues
from extract.pipeline.seen import labels_seen
from extract.pipeline.settings import ClipSettings
from features.computing import compiling
from features.running.stopwatch import Stopwatch
from features.storage.store import Part, write_part
from flow.decode.video import VideoInfo
from flow.pipeline.planning import as_planned


def extract_video(payload: dict[str, Any], beat: Callable[[int], None]) -> dict[str, Any]:
    """Extracts one video into the store, all its cues from one decoding; returns the record of what it cost.

    payload: video (id), what `flow.pipeline.planning.Planned` says of it, store, streams: the settings of each stream,
    of one network or of several that see other cues.
    """
    cv2.setNumThreads(1)
    streams = streams_of(payload)
    watch = Stopwatch(streams[0].device)
    watched = networks_of(payload["video"], streams, watch, beat)
    with as_planned(payload, beat) as info:
        made = embed_cues(info.path, watched, watch, beat)
    return commit(payload, streams, info, made, watch.seconds)


def streams_of(payload: dict[str, Any]) -> list[ClipSettings]:
    return [ClipSettings.from_json(each) for each in payload["streams"]]


def networks_of(
    video: str, streams: Sequence[ClipSettings], watch: Stopwatch, beat: Callable[[int], None]
) -> list[Watched]:
    """What sees a video, by cue; networks are built when they are first asked for."""
    networks: dict[int, list[Network]] = {}
    for each in streams:
        backbone = _backbone(each, beat)
        networks.setdefault(id(backbone), []).append(Network(each, backbone))
    return [_watched(video, of_one_cue, watch) for of_one_cue in networks.values()]


def commit(
    payload: dict[str, Any],
    streams: Sequence[ClipSettings],
    info: VideoInfo,
    made: Embeddings,
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Writes the parts of a video; returns its record."""
    size = 0
    for each in streams:
        arrays = {"features": made.features[each.stream], "t_center": made.t_center}
        made_of = {
            **attributes(each, info, made.num_frames),
            **labels_seen(each.weights, payload["video"], info.sha256),
        }
        part = Part(payload["video"], each.stream, arrays, made_of)
        size += write_part(Path(payload["store"]), part).stat().st_size
    return {
        "duration_s": info.duration_s,
        "frames": made.num_frames,
        "bytes": size,
        "seconds": dict(seconds),
        "device": streams[0].device,
        "threads": torch.get_num_threads(),
        **({"notes": list(compiling.told)} if streams[0].compiled else {}),
    }


def _watched(video: str, networks: list[Network], watch: Stopwatch) -> Watched:
    made = networks[0].settings
    options = SourceOptions(video, made.cut_out, watch, made.flow_store, made.flow_backend, made.flow_preset)
    view, ahead = CUES[made.cue].source(options)
    return Watched(networks, view, ahead)


def attributes(settings: ClipSettings, info: VideoInfo, num_frames: int) -> dict[str, Any]:
    """Where a part comes from; everything that changes its values is under its fingerprint."""
    return {
        **settings.attributes(),
        "fingerprint": settings.fingerprint(info.sha256, info.decoded_by),
        "video_sha256": info.sha256,
        "video_bytes": info.size,
        "codec": info.codec,
        "fps": info.fps,
        "fps_file": info.fps_file,
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


@lru_cache(maxsize=4)  # one for each cue, and more
def _built(
    name: str, cue: str, weights: Path | None, device: str, precision: str, first_layer: str, whole: int, window: int
) -> Backbone:
    """whole: clips at a time that it is compiled for; 0: it is not compiled."""
    made = build_backbone(name, cue, weights, device, precision, first_layer=first_layer, packed=not whole)
    if whole:
        made.compile_for(whole)
        try_backbone(made, window)
    return made


def clips_at_a_time(settings: ClipSettings) -> int:
    """As asked for, else what the backbone chooses for the device."""
    return settings.batch or settings.network.batch[settings.device.partition(":")[0]]


def _backbone(settings: ClipSettings, beat: Callable[[int], None]) -> Backbone:
    """The backbone of these settings, built once per process."""
    made = settings
    whole = clips_at_a_time(made) if made.compiled else 0
    with beating(beat, made.compiled):
        network = (made.backbone, made.cue, made.weights, made.device, made.precision, made.first_layer)
        return _built(*network, whole, made.window if whole else 0)


@contextmanager
def beating(beat: Callable[[int], None], needed: bool) -> Iterator[None]:
    """Beats from a thread meanwhile: compiling takes minutes, and is no hang."""
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(1.0):
            beat(0)

    beater = threading.Thread(target=go_on, daemon=True)
    if needed:
        beater.start()
    try:
        yield
    finally:
        over.set()
        if needed:
            beater.join()
