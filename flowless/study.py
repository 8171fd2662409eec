"""The study: every method on the synthetic world, with few labels and with many, several seeds, three test sets.

    python -m flowless.study --features features/study.h5 --annotations study/annotations.json --out study/runs \\
        --seeds 0 1 2 --workers 2 --cost flow/study.reports features/study.reports --report docs/results.md

Each row of the table is a training of `train.run`, its detections on Validation, Test and TestShifted (`detect.run`),
and their scores (`evaluate.run`). Rows that need a teacher wait for it. Runs that are finished are not made again: to
go on after an interruption, or to add a seed, repeat the command. --only ROW makes some rows, --dry-run lists what is
left.
The store must hold the streams that the rows read: rgb, rgb_motion, rgb_twin, flow, gradient, and for the controls
rgb_second, rgb_random, rgb_further, rgb_brief and rgb_long (`make study` makes them all).
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from command.exit_codes import ExitCode
from command.runner import run_command
from command.writing import write_whole
from detect.heads import HEADS
from evaluate.files.annotations import Annotations, read_annotations
from evaluate.files.detections import read_detections
from evaluate.metrics.scores import Score, judge
from evaluate.metrics.significance import SeedsGain, gain_over_seeds
from evaluate.reporting.cost_records import CostError, compare_cost, read_reports
from features.running.options import parse_shard
from flowless.comparing.methods import BASELINE, CEILING, FIRST, Method
from flowless.comparing.picture import draw
from flowless.comparing.running import ONE_THREAD, PREFIX
from flowless.comparing.runs import Judged, Material, average_of, run_steps
from flowless.comparing.study_rows import BY_NAME, ROWS
from flowless.comparing.table import Result, markdown
from flowless.comparing.told import Teller
from flowless.graph.job import Graph, Job
from flowless.graph.ledger import Ledger
from flowless.graph.runner import BLOCKED, FAILED, Runner

SUBSETS = ("Validation", "Test", "TestShifted")
TIOU = "0.3:0.1:0.7"
PICTURED = (
    BASELINE,
    "decomposed (frozen features)",
    "decomposed (twin)",
    "decomposed",
    CEILING,
    "two-stream (gradient)",
)


@dataclass(frozen=True)
class StudyRun:
    """One row with so many labels and one seed."""

    row: Method
    labels: int  # videos of the training subset whose labels are read
    seed: int
    root: Path
    head: str = FIRST

    @property
    def folder(self) -> Path:
        """Of this run, by head, labels, seed and row; names are what a file may be called."""
        root = self.root if self.head == FIRST else self.root / self.head
        return root / f"labels{self.labels}" / f"seed{self.seed}" / self.row.folder

    @property
    def name(self) -> str:
        return self.folder.relative_to(self.root).as_posix()

    def scores(self) -> dict[str, float] | None:
        """Average mAP by subset in percent; None unless all are there."""
        averages = {subset: average_of(self.folder / f"{subset}.metrics.json") for subset in SUBSETS}
        there = {subset: 100 * average for subset, average in averages.items() if average is not None}
        return there if len(there) == len(SUBSETS) else None

    def of(self, row: str) -> "StudyRun":
        """The run of another row with the same labels, seed and head."""
        return replace(self, row=BY_NAME[row])

    def job(self, material: Material) -> Job:
        """Training, then detections and scores on every subset."""
        options = ["--head", self.head, "--train-videos", str(self.labels)]
        options += ["--recipe", "small", "--seed", str(self.seed)]
        options += ["--unlabelled-subset", "Training"] if self.row.unlabelled else []
        teachers = {option: (self.of(name).folder / "detector.pt", BY_NAME[name]) for option, name in self.row.teachers}
        judged = [
            Judged(subset, (), self.folder / f"{subset}.json", self.folder / f"{subset}.metrics.json")
            for subset in SUBSETS
        ]
        steps = run_steps(self.row, self.folder, material, options, teachers, judged)
        needs = tuple(self.of(name).name for _, name in self.row.teachers)
        return Job(self.name, steps, needs, results=tuple(one.metrics for one in judged), kind=self.head)


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def work(args: argparse.Namespace) -> int:
    runs = planned(args)
    material = Material(args.features, args.annotations, tiou=TIOU)
    shard, shards = args.shard or (0, 1)
    jobs = [replace(run.job(material), shard=number % shards) for number, run in enumerate(runs)]
    ledger = Ledger(Graph.of(jobs), args.out / "jobs", adopt=True)  # folders that are older than the records count
    ledger.refuse_others()
    left = [run for run, job in zip(runs, jobs, strict=True) if not ledger.is_done(job)]
    print(f"{len(runs)} runs, {len(runs) - len(left)} of them done")
    if args.dry_run:
        print(*(run.folder for run in left), sep="\n")
        return ExitCode.DONE
    teller = Teller(None, lambda: write_report(args, runs).splitlines() if shard == 0 else [])
    runner = Runner(ledger, args.workers, shard, PREFIX, ONE_THREAD, teller, waits_for_all=shard == 0)
    runner.run()
    if shard == 0:
        print(write_report(args, runs))
    for name, said in runner.said.items():
        print(f"{name}: {said}", file=sys.stderr)
    return ExitCode.FAILURES if {FAILED, BLOCKED} & set(runner.state.values()) else ExitCode.DONE


def planned(args: argparse.Namespace) -> list[StudyRun]:
    """Every run asked for, those that teach others before these."""
    wanted = set(args.only or BY_NAME)
    there = len(read_annotations(args.annotations).subset("Training").videos)
    wanted |= {teacher for name in wanted for _, teacher in BY_NAME[name].teachers}
    return [
        StudyRun(row, labels, seed, args.out, head)
        for head in args.heads
        for labels in args.labels
        for seed in args.seeds
        for row in ROWS
        if row.name in wanted and not (row.unlabelled and labels >= there)  # then none is left without labels
    ]


def write_report(args: argparse.Namespace, runs: Iterable[StudyRun]) -> str:
    """The tables of what is finished; written, and drawn, where --report and --picture say."""
    finished = [(run, scores) for run in runs if (scores := run.scores()) is not None]
    results = [Result(run.row.name, run.row.reads, run.labels, run.seed, scores, run.head) for run, scores in finished]
    cost = seconds(args.cost, [run for run, _ in finished if run.head == FIRST])
    gains = gains_over_baseline([run for run, _ in finished], args.annotations) if args.intervals else {}
    text = markdown(results, SUBSETS, cost, [row.name for row in ROWS], gains)
    if args.report:
        write_whole(args.report, text.encode())
    if args.picture and cost and results:
        most = max(result.labels for result in results)
        draw([r for r in results if r.labels == most and r.head == FIRST], cost, args.picture, PICTURED)
    return text


def gains_over_baseline(finished: Sequence[StudyRun], annotations: Path) -> dict[tuple[str, int, str], SeedsGain]:
    """By (head, labels, row): points above rgb-only on Test over the seeds that both have, with the interval over test
    videos."""
    truth = read_annotations(annotations)
    scores = {run: _test_score(run, truth) for run in finished}
    gains = {}
    for run in finished:
        key = (run.head, run.labels, run.row.name)
        if run.row.name == BASELINE or key in gains:
            continue
        same = [other for other in finished if (other.head, other.labels, other.row) == (run.head, run.labels, run.row)]
        bases = [other.of(BASELINE) for other in same]
        pairs = [(scores[base], scores[other]) for base, other in zip(bases, same, strict=True) if base in scores]
        if pairs:
            gains[key] = gain_over_seeds(pairs)
    return gains


def _test_score(run: StudyRun, truth: Annotations) -> Score:
    return judge(truth, read_detections(run.folder / "Test.json"), subset="Test", tiou=TIOU)


def seconds(reports: Sequence[str], finished: Sequence[StudyRun]) -> dict[str, float]:
    """Seconds of compute per minute of video, by what a method reads, from the reports of the commands.

    Detectors are timed by the first finished run of each method. Empty while some stage has no report yet.
    """
    first: dict[str, Path] = {}
    for run in finished:
        if run.row.name in ("rgb-only", "decomposed", "two-stream", "two-stream (gradient)"):
            first.setdefault(run.row.name, run.folder / "Test.report.json")
    try:
        cost = compare_cost(read_reports([*reports, *map(str, first.values())]))
    except CostError:
        return {}
    return {name: method.seconds_per_minute for name, method in cost.methods.items()}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m flowless.study", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--features", type=Path, required=True, help="feature store of the study world")
    add("--annotations", type=Path, required=True, help="its annotations.json")
    add("--out", type=Path, required=True, help="folder for the runs")
    add("--labels", type=int, nargs="+", default=[40, 140], help="training videos whose labels are read (40 140)")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the trainings (default: 0 1 2)")
    add("--heads", nargs="+", choices=sorted(HEADS), default=[FIRST], help=f"detection heads (default: {FIRST})")
    add("--intervals", action="store_true", help="in the tables, of differences over test videos (a second a run)")
    add("--only", nargs="+", choices=sorted(BY_NAME), metavar="ROW", help="rows to make, with their teachers")
    add("--workers", type=int, default=1, help="runs at a time, one thread each (default: 1)")
    add("--cost", nargs="*", default=[], metavar="REPORT", help="folders of reports of flow and extract, for the cost")
    add("--report", type=Path, metavar="OUT.md", help="write the tables here, after every run")
    add("--picture", type=Path, metavar="OUT.png", help="draw accuracy against seconds per minute of video here")
    add("--shard", type=parse_shard, metavar="I/N", help="do the I-th of N shares of the runs, I from 0")
    add("--dry-run", action="store_true", help="list the runs that are left")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
