"""Report on one or several runs: a page of tables and charts, the same numbers as JSON, a table for the terminal.

    python -m evaluate.report --annotations demo/annotations.json --subset Test \\
        --runs rgb=demo/runs/seed0/rgb-only/detections.json decomposed=demo/runs/seed0/decomposed/detections.json \\
               two-stream=demo/runs/seed0/two-stream/detections.json \\
        --cost features/demo.reports flow/demo.reports demo/runs/seed0/rgb-only demo/runs/seed0/decomposed \\
               demo/runs/seed0/two-stream \\
        --out report.html --json report.json --timeline timeline.png

Prints a table and writes what is asked for. The page is one HTML file that loads nothing; with --videos its timelines
link to a second one, report.videos.html, that plays the videos with what each run detected in them. Runs called rgb (or
rgb-only) and two-stream set the ends of "gap closed"; other names can be given the part with --baseline and --ceiling.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlencode

from command.outputs import check_outputs
from command.runner import run_command
from command.writing import write_json, write_text
from evaluate.cost import cost_table
from evaluate.files.annotation_files import truth_files
from evaluate.files.annotations import Annotations
from evaluate.metrics.protocols import ProtocolError
from evaluate.metrics.runs import add_run_arguments, judged_runs, parse_runs
from evaluate.reporting.cost_records import compare_cost, read_reports
from evaluate.reporting.findings import Findings, find, roles_of
from evaluate.reporting.page import report_page
from evaluate.reporting.timeline_png import draw_timeline
from evaluate.reporting.timeline_rows import choose_videos
from evaluate.watching.of_runs import films_of, find_videos, least_of
from evaluate.watching.page import watch_page


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m evaluate.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_run_arguments(parser)
    parser.add_argument("--out", type=Path, metavar="HTML", help="the page")
    parser.add_argument("--json", type=Path, metavar="JSON", help="the same numbers")
    parser.add_argument(
        "--table",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="print mAP of each run, and the cost where it is given",
    )
    parser.add_argument(
        "--timeline", type=Path, metavar="PNG", help="truth and detections of some videos, as a picture"
    )
    parser.add_argument(
        "--timeline-videos",
        nargs="+",
        default=["3"],
        metavar="N|ID",
        help="how many videos to choose, or which (default: 3)",
    )
    parser.add_argument(
        "--videos",
        nargs="+",
        type=Path,
        metavar="VIDEO",
        help="files or folders: each timeline of the page links to a second page beside it that plays its video",
    )
    parser.add_argument("--cost", nargs="+", metavar="REPORT", help="reports of the commands, as for evaluate.cost")
    parser.add_argument("--baseline", help="run that others are compared with; default: one called rgb, or the first")
    parser.add_argument("--ceiling", help="run that the gap is measured to; default: one called two-stream")
    parser.add_argument(
        "--title", default="Temporal action detection", help="heading of the page (default: %(default)s)"
    )
    parser.add_argument(
        "--resamples",
        type=int,
        default=1000,
        help="bootstrap resamples of the test videos, for intervals and tests; 0: none (default: %(default)s)",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def work(args: argparse.Namespace) -> int:
    if args.resamples < 0:
        raise ProtocolError(f"--resamples {args.resamples}: expected 0 or more")
    reports = read_reports(args.cost) if args.cost else []
    read = [*truth_files(args.annotations), *parse_runs(args.runs).values(), *(report.path for report in reports)]
    watch = args.out.with_suffix(".videos.html") if args.out and args.videos else None
    outputs = {"--out": args.out, "--json": args.json, "--timeline": args.timeline, "the page of --videos": watch}
    check_outputs(outputs, [*read, *(args.videos or ())])
    runs = judged_runs(args)
    found = find(
        runs,
        roles_of([run.name for run in runs], args.baseline, args.ceiling),
        videos=wanted_videos(args.timeline_videos, runs[0].score.annotations) if args.out or args.timeline else (),
        cost=compare_cost(reports) if args.cost else None,
        resamples=args.resamples if args.out or args.json else 0,
    )
    notes = [f"{run.name}: {remark}" for run in runs for remark in run.score.remarks]
    notes += found.cost.notes if found.cost else ()
    if args.out:
        links = write_watching(found, watch, args.videos, notes) if watch else {}
        write_text(args.out, report_page(found, args.title, links))
    if args.json:
        write_json(args.json, found.to_json())
    if args.timeline:
        notes += draw_timeline(found.strips, args.timeline)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if args.table:
        print(score_table(found))
        if found.cost:
            print(f"\n{cost_table(found.cost)}")
    return 0


def write_watching(found: Findings, page: Path, given: Sequence[Path], notes: list[str]) -> dict[str, str]:
    """The page that plays the videos of the timelines. Returns video -> link to it; notes videos without a file."""
    files = find_videos([strip.video for strip in found.strips], given)
    missing = [strip.video for strip in found.strips if strip.video not in files]
    if missing:
        notes.append(f"--videos: no file of {', '.join(missing)}; a file is called as its video in the annotations")
    films = films_of({run.name: run.score for run in found.runs}, found.strips, files, page.parent)
    if films:
        write_text(page, watch_page(films, least_of(found.strips)))
    return {film.name: f"{quote(page.name)}#{urlencode({'video': film.name})}" for film in films}


def wanted_videos(texts: Sequence[str], annotations: Annotations) -> list[str]:
    """The videos named, or as many as the one number says."""
    if len(texts) == 1 and texts[0].isdecimal() and texts[0] not in annotations.videos:
        return choose_videos(annotations, int(texts[0][:9]))
    return list(texts)


def score_table(found: Findings) -> str:
    """A row for each run: mAP at each tIoU in percent, their mean, and how much of the gap is closed."""
    width = max(12, *(len(run.name) for run in found.runs)) + 2
    score = found.runs[0].score
    gap = found.roles.ceiling is not None
    head = "".join(f"{tiou:>8.2f}" for tiou in score.result.tiou)
    lines = [
        f"protocol {score.protocol.name}, rule {score.rule.name}, subset {score.subset}: "
        f"{score.counts['videos']} videos, {score.counts['segments']} actions of {score.counts['classes']} classes",
        f"{'mAP in %':<{width}}{head}{'average':>9}" + f"{'gap closed':>12}" * gap,
    ]
    for run in found.runs:
        values = "".join(f"{100 * value:>8.2f}" for value in run.score.result.mAP)
        share = found.gap_closed(run.name)
        closed = f"{'-' if share is None else f'{100 * share:.0f} %':>12}" * gap
        lines.append(f"{run.name:<{width}}{values}{100 * run.score.result.average_mAP:>9.2f}{closed}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
