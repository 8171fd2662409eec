"""What a feature store holds, what it lacks, and what its runs said.

    python -m features.status features/demo.h5
    python -m features.status features/demo.h5 --videos      # a line per video
    python -m features.status features/demo.h5 --json        # for programs

Reads the table of the index and the reports beside it, not the features: see features.verify for those.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import features
from command.runner import run_command
from command.writing import temporary_files
from features.files.layout import parts_folder
from features.files.report_file import read_report
from features.storage.store import Store
from features.storage.table import TableRow

CHUNK = re.compile(r"\.\d+$")  # flow.000000256: one of the chunks of a video


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m features.status", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path, help="feature store: index, single file or directory of .npy files")
    parser.add_argument("--videos", action="store_true", help="list every video")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(argv)


def work(args: argparse.Namespace) -> int:
    store = features.open(args.store)
    summary = summarise(store)
    print(json.dumps(summary, indent=1) if args.json else table(summary))
    if args.videos and not args.json:
        for video in store.videos:
            steps = ", ".join(f"{name} {max(store.row(video, name).num_steps, 0)}" for name in store.streams(video))
            print(f"  {video}: {steps}")
    return 0


def summarise(store: Store) -> dict[str, Any]:
    """The store in numbers: per stream how many videos and steps, made in which ways; failures of the reports."""
    streams: dict[str, dict[str, Any]] = {}
    families: dict[str, list[TableRow]] = {}
    for row in store.rows:
        families.setdefault(CHUNK.sub(".*", row.stream), []).append(row)
    for stream, rows in sorted(families.items()):
        of_features = [row for row in rows if row.num_steps >= 0]
        lengths = {row.video: row.duration_s for row in rows if math.isfinite(row.duration_s)}
        streams[stream] = {
            "videos": len({row.video for row in rows}),
            "parts": len(rows),
            "steps": sum(row.num_steps for row in of_features),
            "hours": sum(lengths.values()) / 3600,
            "made_as": dict(Counter(row.feature_id for row in of_features)),
            "without": sorted(set(store.videos) - {row.video for row in rows}) if of_features else [],
        }
    reports = sorted(Path(store.path).with_suffix(".reports").glob("*.json"))
    return {
        "store": str(store.path),
        "videos": len(store.videos),
        "streams": streams,
        "reports": {
            path.stem: {key: report.get(key) for key in ("counts", "failures")}
            for path in reports
            if (report := read_report(path))
        },
        "temporary_files": len(temporary_files(parts_folder(store.path))),
    }


def table(summary: dict[str, Any]) -> str:
    """The summary for people."""
    lines = [f"{summary['store']}: {summary['videos']} videos"]
    for name, stream in summary["streams"].items():
        made = ", ".join(f"{key or 'unnamed'} ({count})" for key, count in stream["made_as"].items())
        mixed = "  MIXED SETTINGS, cannot be used together" if len(stream["made_as"]) > 1 else ""
        size = f"{stream['steps']:,} steps" if stream["made_as"] else f"{stream['parts']} parts, not features"
        size += f", {stream['hours']:.2f} h" if stream["hours"] else ""
        lines.append(f"  {name:<12} {stream['videos']:>6} videos  {size}  {made}{mixed}")
        if stream["without"]:
            lines.append(f"{'':<15}missing: {_some(stream['without'])}")
    for name, report in summary["reports"].items():
        failures = report["failures"] or []
        causes = ", ".join(f"{count} x {cause}" for cause, count in Counter(one["cause"] for one in failures).items())
        lines.append(f"  report {name}: {report['counts']}" + (f"; failed: {causes}" if causes else ""))
        lines += [f"    {one['video']}: {one['cause']}: {one['message'].splitlines()[0]}" for one in failures[:20]]
    if summary["temporary_files"]:
        lines.append(f"  {summary['temporary_files']} temporary files: a run is at work, or the next one sweeps them")
    return "\n".join(lines)


def _some(videos: list[str], shown: int = 5) -> str:
    more = f" and {len(videos) - shown} more" if len(videos) > shown else ""
    return ", ".join(videos[:shown]) + more


if __name__ == "__main__":
    sys.exit(main())
