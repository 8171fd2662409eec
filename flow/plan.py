"""From videos to jobs: what flow.tvl1 and flow.gradient have in common."""

import argparse
from pathlib import Path

from features import jobs
from flow.chunk import is_there
from flow.settings import Settings
from flow.store import CHUNK, chunk_starts, chunk_stream
from flow.video import MIN_DECODED, VideoError, list_videos, probe

TASK = "flow.tasks:compute_chunk"
BUNDLE_TASK = "flow.bundle:compute_bundle"
BUNDLE = 4 * CHUNK  # frames of a GPU's job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that both commands have."""
    parser.add_argument(
        "--videos", nargs="+", action="extend", required=True, metavar="PATH", help="files, folders, globs, .txt lists"
    )
    parser.add_argument(
        "--fps",
        type=float,
        metavar="N",
        help="frames at this rate, left out or repeated (default: as they come); with it, a folder of numbered "
        "pictures is a video",
    )
    parser.add_argument("--size", type=int, default=256, metavar="PX", help="short side after resizing (default: 256)")
    parser.add_argument("--crop", type=int, default=224, metavar="PX", help="centre square to keep (default: 224)")
    parser.add_argument("--decoder", default="auto", help="auto, av, opencv or decord (default: auto)")
    parser.add_argument(
        "--min-decoded",
        type=float,
        default=MIN_DECODED,
        help="share of the frames promised by a file that must decode; the video then ends where decoding stopped",
    )
    jobs.add_arguments(parser)


def run(args: argparse.Namespace, settings: Settings, store: Path, command: str) -> jobs.Report:
    """Computes the chunks that are not there yet; a video that cannot even be opened is a failure among the others."""
    work, failures = [], []
    for video, path in list_videos(args.videos, fps=settings.fps).items():
        try:
            info = probe(path, decoder=settings.decoder, fps=settings.fps)
            if info.num_frames < 2:
                raise VideoError(f"{path}: one frame has no motion: it takes two. Leave this video out")
        except VideoError as error:
            failures.append({"video": video, "cause": "VideoError", "message": str(error)})
            continue
        starts = chunk_starts(info.num_frames - 1)
        for start in starts:
            payload = {
                "video": video,
                "path": str(path.absolute()),
                "store": str(store.absolute()),
                "sha256": info.sha256,
                "decoded_by": info.decoded_by,
                "start": start,
                "last_start": starts[-1],
                "settings": settings.to_json(),
            }
            weight = min(CHUNK, info.num_frames - 1 - start) + (start == 0)
            work.append(jobs.Job(chunk_stream(video, start), TASK, payload, weight, video))

    def done(job: jobs.Job) -> bool:
        return all(is_there(chunk) for chunk in job.payload.get("chunks", {job.key: job.payload}).values())

    return jobs.run(
        bundled(work) if settings.backend == "cuda" else work,
        command=command,
        report_path=store.with_suffix(".reports") / f"{command}.json",
        store=store,
        done=done,
        failures=failures,
        device="cuda" if settings.backend == "cuda" else "cpu",
        **jobs.options(args),
    )


def bundled(work: list[jobs.Job]) -> list[jobs.Job]:
    """The same chunks in fewer jobs, for a solver that wants many pairs at once."""
    bundles: list[list[jobs.Job]] = []
    for job in work:
        if not bundles or sum(one.weight for one in bundles[-1]) + job.weight > BUNDLE + 1:
            bundles.append([])
        bundles[-1].append(job)
    return [
        jobs.Job(
            f"{chunks[0].key}+{len(chunks)}",
            BUNDLE_TASK,
            {"chunks": {job.key: job.payload for job in chunks}},
            sum(job.weight for job in chunks),
            " ".join(dict.fromkeys(job.video for job in chunks)),
        )
        for chunks in bundles
    ]
