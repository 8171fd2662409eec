"""From a command line to jobs: what rgb and motion have in common."""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import flow.pipeline.store
from extract.backbones import (
    BACKBONES,
    PRECISIONS,
    build_backbone,
    find_backbone,
    find_weights,
    try_backbone,
    weights_sha256,
)
from extract.backbones.base import APPEARANCE, MOTION, SINGLE, Backbone, BackboneError
from extract.backbones.program import is_program
from extract.cues.cue import FLOW, RGB
from extract.pipeline.bundle import extract_bundle
from extract.pipeline.conventions import CONVENTIONS, clips_of
from extract.pipeline.settings import ClipSettings, SettingsError
from extract.pipeline.tasks import extract_video
from features.computing.compiling import add_compile
from features.computing.precision import computes_bfloat16
from features.running import jobs
from features.running.devices import OF_EXTRACTION, add_device, choose_device
from features.running.shares import share_files
from features.storage.grid import FRAMES, PAIRS, TAILS
from features.storage.store import StoreError, stored_fingerprints
from flow.decode.geometry import Geometry
from flow.decode.options import add_decoder, add_videos
from flow.decode.video import VideoInfo, list_videos, probe
from flow.pipeline.planning import Probe, plan_videos
from flow.pipeline.settings import FlowSettings
from flow.pipeline.store import chunk_starts
from flow.tvl1_common.parameters import choose_parameters

BUNDLE = 4096  # frames of the videos whose clips share batches


def add_arguments(parser: argparse.ArgumentParser, weights: bool = True) -> None:
    """The options that every extraction has. weights: with --weights, of the one network that there is."""
    add_videos(parser)
    parser.add_argument("--features", type=Path, required=True, help="the feature store to write, e.g. features/x.h5")
    parser.add_argument(
        "--backbone",
        default=ClipSettings.backbone,
        metavar="NAME",
        help=f"{', '.join(sorted(BACKBONES))}, or one of your own: package.module:NAME or a file .pt2, .pt "
        "(default: %(default)s)",
    )
    if weights:
        parser.add_argument(
            "--weights",
            type=Path,
            metavar="FILE",
            help="checkpoint, or DEFAULT for what the backbone's library publishes (default: what ships, else random)",
        )
    parser.add_argument("--window", type=int, default=0, help="frames seen by one clip (default: the backbone's)")
    parser.add_argument(
        "--stride", type=int, default=0, help="frames between the starts of clips (default: the backbone's)"
    )
    parser.add_argument(
        "--tail",
        choices=TAILS,
        default=None,
        help=f"frames that a clip needs: one after the window as well ({PAIRS}, the default), or not ({FRAMES}), where "
        "motion ends with its last step twice",
    )
    parser.add_argument(
        "--convention",
        choices=sorted(CONVENTIONS),
        help="window, stride, tail, size and crop of published features, which other detectors read",
    )
    parser.add_argument(
        "--batch", type=int, default=ClipSettings.batch, help="clips at a time; 0: by backbone and device"
    )
    parser.add_argument("--precision", choices=sorted(PRECISIONS), default="float32")
    add_compile(parser, "the backbone")
    add_device(parser, OF_EXTRACTION)
    add_decoder(parser)
    jobs.add_arguments(parser)


def settings_from(args: argparse.Namespace, cue: str, **more: Any) -> list[ClipSettings]:
    """The settings of a command line, of each stream that its network gives.

    Loads the weights once, so that a wrong file is refused before any work.
    """
    names = ("weights", "batch", "precision", "decoder", "min_decoded", "fps")
    device = choose_device(args.device, OF_EXTRACTION)
    if args.precision == "bfloat16" and device.type == "cpu" and not computes_bfloat16():
        raise SettingsError(
            "--precision bfloat16: this CPU only emulates it, a hundred times slower than float32. Use float32, "
            "or a CPU with AVX512-BF16 or AMX, or --device cuda"
        )
    given = {**{name: getattr(args, name) for name in names}, **clips_of(args, cue)}
    if is_program(given["backbone"]):
        given["backbone"] = str(Path(given["backbone"]).absolute())  # for workers, wherever they run
    settings = ClipSettings(cue, device=str(device), compiled=args.compile, **given, **more)
    if settings.stream != cue and settings.weights is None:
        settings = replace(settings, weights=_shipped(settings))
    settings = replace(settings, weights=find_weights(settings.backbone, settings.weights, cue, settings.first_layer))
    backbone = build_backbone(settings.backbone, cue, settings.weights, first_layer=settings.first_layer)
    if settings.backbone not in BACKBONES:
        try_backbone(backbone, settings.window)
    if settings.weights is not None:
        settings = replace(settings, weights=settings.weights.absolute())
    settings = replace(settings, weights_sha256=weights_sha256(backbone, settings.weights))
    return [replace(settings, output=output, stream=stream) for output, stream in _streams(settings, backbone)]


def _streams(settings: ClipSettings, backbone: Backbone) -> list[tuple[str, str]]:
    """The outputs of a network, each with the stream that it goes to."""
    if backbone.twin is None:
        return [(SINGLE, settings.stream)]
    if settings.cue != RGB.name:
        raise SettingsError(
            f"{settings.weights}: is a twin, which sees RGB and not {settings.cue}. Use it with extract.rgb"
        )
    return [(APPEARANCE, settings.stream), (MOTION, f"{settings.stream}_{MOTION}")]


def _shipped(settings: ClipSettings) -> Path:
    """The weights that come with the package for a stream other than the cue itself."""
    path = settings.network.shipped_weights(settings.stream)
    if path is None:
        raise SettingsError(
            f"--stream {settings.stream}: {settings.backbone} ships no weights for it. Give them with --weights; "
            "extract.distill makes them"
        )
    return path


def computed_motion(backbone: str, preset: str, backend: str, geometry: str = "") -> str:
    """What flow that is computed on the fly is made from, as flow.tvl1 would say it with the backbone's geometry.

    geometry: the name of another, as a convention has it.
    """
    try:
        cut_out = Geometry.named(geometry) if geometry else find_backbone(backbone).geometry
    except BackboneError as error:
        raise SettingsError(f"--backbone {error}") from None
    parameters = choose_parameters(preset, {})
    made = FlowSettings(FLOW.name, parameters=parameters, backend=backend, **asdict(cut_out)).made_from
    return json.dumps(made, sort_keys=True)


def stored_motion(path: Path, videos: list[str]) -> str:
    """What the flow in a store is made from; StoreError if the videos there were not all made in one way."""
    store = flow.pipeline.store.open(path)
    made: dict[str, str] = {}
    for video in sorted(set(videos) & set(store.videos)):
        made.setdefault(store.row(video).feature_id, video)
    if len(made) > 1:
        raise StoreError(
            f"{path}: flow of {' and '.join(sorted(made.values())[:2])} was made in different ways. Repeat flow.tvl1 "
            "on all videos with one set of parameters"
        )
    if not made:
        return ""
    attributes = store.attributes(next(iter(made.values())))
    return json.dumps({name: attributes[name] for name in FlowSettings(FLOW.name).made_from}, sort_keys=True)


def run(args: argparse.Namespace, streams: Sequence[ClipSettings], command: str) -> jobs.RunReport:
    """Extracts what is not there yet; a video that cannot even be opened is a failure among the others.

    streams: of one network, or of several that see the same frames as other cues. Of a video only those are made that
    are not there.
    """
    store: Path = args.features
    settings = streams[0]
    there: dict[tuple[str, str], str] = {}

    def plan() -> tuple[list[jobs.Job], list[dict[str, str]]]:
        of_flow = next((each for each in streams if each.flow_store is not None), settings)
        stored = None if of_flow.flow_store is None else flow.pipeline.store.open(of_flow.flow_store)
        there.update(stored_fingerprints(store))
        mine = share_files(list_videos(args.videos, fps=settings.fps), args.shard)
        planned, failures = plan_videos(mine, _probe(settings), _asked(settings), store)
        work = []
        for video, known in planned.items():
            info, payload = known.info, known.payload
            try:
                if stored is not None:
                    check_flow(stored, of_flow, video, info)
            except StoreError as error:
                failures.append({"video": video, "cause": "StoreError", "message": str(error)})
                continue
            missing = [each for each in streams if there.get((video, each.stream)) != _fingerprint(each, payload)]
            made = {"store": str(store.absolute()), "streams": [each.to_json() for each in missing or streams]}
            work.append(jobs.Job(video, extract_video, {"video": video, **payload, **made}, info.num_frames))
        return work, failures

    return jobs.run(
        plan,
        command=command,
        report_path=store.with_suffix(".reports") / f"{command}.json",
        store=store,
        done=lambda job: all(there.get((job.key, s.stream)) == _fingerprint(s, job.payload) for s in streams),
        bundled=bundled if settings.device.startswith("cuda") else list,
        device=settings.device,
        **{**jobs.options(args), "shard": None},
    )


def bundled(work: list[jobs.Job]) -> list[jobs.Job]:
    """Short videos by the dozen, of which the same streams are missing: their clips fill a GPU's batches together."""
    by_streams: dict[str, list[jobs.Job]] = {}
    for job in work:
        by_streams.setdefault(json.dumps(job.payload["streams"], sort_keys=True), []).append(job)
    return [
        bundle
        for alike in by_streams.values()
        for bundle in jobs.in_bundles(alike, BUNDLE, lambda parts: (extract_bundle, {"videos": parts}))
    ]


def _probe(settings: ClipSettings) -> Probe:
    return lambda path: probe(path, decoder=settings.decoder, fps=settings.fps)


def _asked(settings: ClipSettings) -> str:
    """What beside a file decides what _probe says of it."""
    return f"{settings.decoder} {settings.fps}"


def _fingerprint(settings: ClipSettings, payload: dict[str, Any]) -> str:
    return settings.fingerprint(payload["sha256"], payload["info"]["decoded_by"])


def check_flow(stored: flow.pipeline.store.FlowStore, settings: ClipSettings, video: str, info: VideoInfo) -> None:
    """Whether the flow store holds this very video, all of it, in the backbone's geometry and at this rate."""
    row = stored.row(video)
    geometry = settings.cut_out.name
    if row.geometry != geometry:
        raise StoreError(
            f"{settings.flow_store}: flow of {video} is {row.geometry}, {settings.convention or settings.backbone} "
            f"needs {geometry}. Compute it with flow.tvl1 --geometry {geometry}, or leave --flow out"
        )
    if not math.isclose(row.fps, info.fps, rel_tol=1e-6):
        raise StoreError(
            f"{settings.flow_store}: flow of {video} was made at {row.fps:g} frames a second, here it would "
            f"be {info.fps:g}. Give the --fps that flow.tvl1 was given, or repeat flow.tvl1 with this one"
        )
    if row.video_sha256 != info.sha256:
        raise StoreError(
            f"{settings.flow_store}: flow of {video} comes from another file of that name. Repeat flow.tvl1 on it"
        )
    missing = len(set(chunk_starts(info.num_frames - 1)) - set(stored.starts(video)))
    if missing:
        raise StoreError(
            f"{settings.flow_store}: {missing} chunks of the flow of {video} are missing. Repeat the flow.tvl1 "
            "command, which computes what is not there"
        )
