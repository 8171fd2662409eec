"""From videos to jobs: what flow.tvl1 and flow.gradient have in common."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from features.running import jobs
from features.running.shares import larger_than_a_share, share_files
from features.storage.store import stored_fingerprints
from flow.decode.geometry import Geometry
from flow.decode.options import add_decoder, add_videos
from flow.decode.video import list_videos, probe
from flow.pipeline.chunk import planned_fingerprint
from flow.pipeline.planning import Planned, Probe, plan_videos
from flow.pipeline.settings import FlowSettings
from flow.pipeline.store import CHUNK, chunk_starts, chunk_stream
from flow.pipeline.tasks import compute_chunk
from flow.tvl1_common.parameters import FlowError

BUNDLE = 4 * CHUNK  # frames of a GPU's job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that both commands have."""
    add_videos(parser)
    parser.add_argument("--size", type=int, default=256, metavar="PX", help="short side after resizing (default: 256)")
    parser.add_argument("--crop", type=int, default=224, metavar="PX", help="centre square to keep (default: 224)")
    parser.add_argument(
        "--geometry", metavar="NAME", help="instead of both, as a backbone has it: size128x171-crop112-torchvision/1"
    )
    add_decoder(parser)
    jobs.add_arguments(parser)


def geometry_from(args: argparse.Namespace) -> dict[str, Any]:
    """What a command line says of size and crop, as fields of FlowSettings."""
    try:
        geometry = Geometry.named(args.geometry) if args.geometry else Geometry(args.size, args.crop)
    except ValueError as error:
        raise FlowError(str(error)) from error
    return asdict(geometry)


def run(args: argparse.Namespace, settings: FlowSettings, store: Path, command: str) -> jobs.RunReport:
    """Computes the chunks that are not there yet; a video that cannot even be opened is a failure among the others."""
    there: dict[tuple[str, str], str] = {}

    def plan() -> tuple[list[jobs.Job], list[dict[str, str]]]:
        videos = list_videos(args.videos, fps=settings.fps)
        there.update(stored_fingerprints(store))
        common = larger_than_a_share(videos, args.shard)  # their chunks are dealt out, other videos as a whole
        mine = share_files({video: path for video, path in videos.items() if video not in common}, args.shard)
        planned, failures = plan_videos({**mine, **common}, _probe(settings), _asked(settings), store)
        for video in [video for video, plan in planned.items() if plan.info.num_frames < 2]:
            message = f"{planned.pop(video).info.path}: one frame has no motion: it takes two. Leave this video out"
            failures.append({"video": video, "cause": "VideoError", "message": message})
        work = [job for video in planned for job in _chunks(video, planned[video], settings, store)]
        dealt = [job for job in work if job.video in common]
        if args.shard is not None:
            dealt = jobs.share(dealt, *args.shard)
        work = [job for job in work if job.video not in common] + dealt
        return work, failures

    def done(job: jobs.Job) -> bool:
        stream = chunk_stream(settings.cue, job.payload["start"])
        return there.get((job.payload["video"], stream)) == planned_fingerprint(settings, job.payload)

    return jobs.run(
        plan,
        command=command,
        report_path=store.with_suffix(".reports") / f"{command}.json",
        store=store,
        done=done,
        bundled=bundled if settings.backend == "cuda" else list,
        device="cuda" if settings.backend == "cuda" else "cpu",
        **{**jobs.options(args), "shard": None},
    )


def _probe(settings: FlowSettings) -> Probe:
    return lambda path: probe(path, decoder=settings.decoder, fps=settings.fps)


def _asked(settings: FlowSettings) -> str:
    """What beside a file decides what _probe says of it."""
    return f"{settings.decoder} {settings.fps}"


def _chunks(video: str, planned: Planned, settings: FlowSettings, store: Path) -> list[jobs.Job]:
    num_pairs = planned.info.num_frames - 1
    starts = chunk_starts(num_pairs)
    made = {"store": str(store.absolute()), "last_start": starts[-1], "settings": settings.to_json()}
    return [
        jobs.Job(
            chunk_stream(video, start),
            compute_chunk,
            {"video": video, **planned.payload, **made, "start": start},
            min(CHUNK, num_pairs - start) + (start == 0),
            video,
        )
        for start in starts
    ]


def bundled(work: list[jobs.Job]) -> list[jobs.Job]:
    """The same chunks in fewer jobs, for a solver that wants many pairs at once."""
    from flow.pipeline.bundle import compute_bundle  # needs Triton, which only a GPU's backend does

    return jobs.in_bundles(work, BUNDLE + 1, lambda parts: (compute_bundle, {"chunks": parts}))
