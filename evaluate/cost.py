"""Tabulate what detection costs: seconds of compute per minute of video, two-stream and distilled against RGB-only.

    python -m evaluate.cost features/demo.reports flow/demo.reports \\
        demo/runs/seed0/rgb-only demo/runs/seed0/decomposed demo/runs/seed0/two-stream

Reads the reports that the commands leave beside what they make (files, or folders that hold them), and compares on the
videos that all stages share. A detector's report in a folder that is called rgb-only, decomposed or two-stream counts
for that method alone; elsewhere the method is said: rgb-only=a.report.json distilled=b.report.json. One report without
either counts for all.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from command.outputs import check_outputs
from command.runner import run_command
from command.writing import write_json
from evaluate.reporting.cost_records import METHODS, Cost, compare_cost, read_reports


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m evaluate.cost", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "reports", nargs="+", metavar="REPORT", help="reports of extract, flow and detect, or folders of them"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the numbers here as well")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def work(args: argparse.Namespace) -> int:
    reports = read_reports(args.reports)
    check_outputs({"--json": args.json}, [report.path for report in reports])
    cost = compare_cost(reports)
    if args.json:
        write_json(args.json, cost_json(cost))
    for note in cost.notes:
        print(f"note: {note}", file=sys.stderr)
    print(cost_table(cost))
    return 0


def cost_table(cost: Cost) -> str:
    """The table for people: a row for each stage, a column for each method."""
    names = list(cost.methods)
    stages = list(dict.fromkeys(stage for name in METHODS for stage in METHODS[name] if name in names))
    stages.sort(key=lambda stage: stage == "detector")  # stable: the detector comes last, as it does in life
    width = [max(10, len(name) + 2) for name in names]
    lines = [f"{'seconds of compute per minute of video':<40}" + _cells(names, width)]
    for stage in stages:
        values = [cost.methods[name].stages.get(stage) for name in names]
        cells = ["-" if value is None else f"{value:.2f}" for value in values]
        lines.append(f"{stage.replace('_', ' '):<40}" + _cells(cells, width))
    each = list(cost.methods.values())
    lines.append(f"{'total':<40}" + _cells([f"{one.seconds_per_minute:.2f}" for one in each], width))
    lines.append(f"{'times RGB-only':<40}" + _cells([f"{one.times_rgb_only:.1f}" for one in each], width))
    peaks = [f"{one.peak_memory_bytes / 2**20:.0f} MiB" if one.peak_memory_bytes else "-" for one in each]
    lines.append(f"{'peak memory':<40}" + _cells(peaks, width))
    many = "video" if len(cost.videos) == 1 else "videos"
    lines.append(f"{len(cost.videos)} {many}, {cost.minutes:.1f} minutes; {cost.where}")
    return "\n".join(lines)


def cost_json(cost: Cost) -> dict[str, object]:
    return {"schema": "flowless/cost/1", **asdict(cost)}


def _cells(texts: list[str], width: list[int]) -> str:
    return "".join(f"{text:>{each}}" for text, each in zip(texts, width, strict=True))


if __name__ == "__main__":
    sys.exit(main())
