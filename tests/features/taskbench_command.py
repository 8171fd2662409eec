"""A command like extract.rgb, small enough to be killed many times: python taskbench_command.py STORE [options]."""

import argparse
import sys
import time
from pathlib import Path

from features.running import jobs
from features.running.jobs import Job
from features.storage.store import fingerprint, is_done


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("store", type=Path)
    parser.add_argument("--videos", type=int, default=6)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--frame-s", type=float, default=0.0)
    parser.add_argument("--file-limit", type=int)
    parser.add_argument("--plan-s", type=float, default=0.0, help="how long planning takes")
    parser.add_argument("--task", default="taskbench:store_video")
    jobs.add_arguments(parser)
    args = parser.parse_args()
    payload = {"store": str(args.store), "frames": args.frames, "frame_s": args.frame_s}
    if args.file_limit is not None:
        payload["file_limit"] = args.file_limit
    videos = [f"video {number}" for number in range(args.videos)]

    def plan() -> tuple[list[Job], list[dict[str, str]]]:
        if args.plan_s:
            args.store.with_suffix(".planning").touch()
            time.sleep(args.plan_s)
        return work, []

    work = [Job(video, args.task, {**payload, "video": video}, args.frames) for video in videos]
    report = jobs.run(
        plan,
        command="taskbench",
        report_path=args.store.with_suffix(".reports") / "taskbench.json",
        store=args.store,
        done=lambda job: is_done(args.store, job.key, "rgb", fingerprint({"video": job.key})),
        **jobs.options(args),
    )
    print(report)
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
