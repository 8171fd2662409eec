"""The study: every method on the synthetic world, with few labels and with many, several seeds, three test sets.

    python -m flowless.study --features features/study.h5 --annotations study/annotations.json --out study/runs \\
        --seeds 0 1 2 --workers 2 --cost flow/study.reports features/study.reports --report docs/results.md

Each row of the table is a training of `train.run`, its detections on Validation, Test and TestShifted (`detect.run`),
and their scores (`evaluate.run`). Rows that need a teacher wait for it. Runs that are finished are not made again: to
go on after an interruption, or to add a seed, repeat the command. --only ROW makes some rows, --dry-run lists what is
left.
The store must hold the streams that the rows read: rgb, rgb_motion, rgb_twin, flow, gradient, and for the controls
rgb_second, rgb_random and rgb_further (`make study` makes them all).
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from command.errors import FlowlessError
from command.exit_codes import ExitCode
from command.runner import run_command
from command.writing import write_whole
from detect.heads import HEADS
from evaluate.files.annotations import Annotations, read_annotations
from evaluate.files.detections import read_detections
from evaluate.metrics.scores import Score, judge
from evaluate.metrics.significance import gain_over_seeds
from evaluate.reporting.cost_records import DISTILLED, RGB_ONLY, TWIN, CostError, compare_cost, read_reports
from flowless.study_picture import draw
from flowless.study_table import BASELINE, Gain, Result, markdown

SUBSETS = ("Validation", "Test", "TestShifted")
TIOU = "0.3:0.1:0.7"
FIRST = "actionformer"  # the head of the picture and of the first tables


@dataclass(frozen=True)
class StudyRow:
    """A method of the study. `teachers` are the rows whose detectors it learns from, by option of train.run."""

    name: str
    options: str
    reads: str  # at inference: a method of evaluate.cost
    teachers: tuple[tuple[str, str], ...] = ()
    unlabelled: bool = False  # the videos without labels join


BOTH = "--cues rgb,rgb_motion"
MOTION, JOINT = ("--teacher", "motion-only"), ("--joint-teacher", "two-stream")
ROWS = (
    StudyRow("motion-only", "--method supervised --cues flow", "motion"),
    StudyRow("two-stream", "--method supervised --cues rgb,flow", "two-stream (flow)"),
    StudyRow("rgb-only", "--method supervised --cues rgb", RGB_ONLY),
    StudyRow("decomposed", f"--method decomposed {BOTH}", DISTILLED, (MOTION,)),
    StudyRow("decomposed (twin)", "--method decomposed --cues rgb_twin,rgb_twin_motion", TWIN, (MOTION,)),
    StudyRow("direct", "--method direct --cues rgb", RGB_ONLY, (MOTION,)),
    StudyRow("decomposed (frozen features)", "--method decomposed --cues rgb", RGB_ONLY, (MOTION,)),
    StudyRow("rgb + student, no teacher", f"--method supervised {BOTH}", DISTILLED),
    StudyRow("student alone", "--method supervised --cues rgb_motion", DISTILLED),
    StudyRow("direct, student alone", "--method direct --cues rgb_motion", DISTILLED, (MOTION,)),
    StudyRow("rgb twice, no teacher", "--method supervised --cues rgb,rgb", RGB_ONLY),
    StudyRow("the second RGB network alone", "--method supervised --cues rgb_second", RGB_ONLY),
    StudyRow("two RGB networks, no teacher", "--method supervised --cues rgb,rgb_second", DISTILLED),
    StudyRow(
        "decomposed (student of a random network)", "--method decomposed --cues rgb,rgb_random", DISTILLED, (MOTION,)
    ),
    StudyRow("decomposed (student taught further)", "--method decomposed --cues rgb,rgb_further", DISTILLED, (MOTION,)),
    StudyRow("decomposed + unlabelled", f"--method decomposed {BOTH}", DISTILLED, (MOTION, JOINT), True),
    StudyRow("frozen + unlabelled", "--method decomposed --cues rgb", RGB_ONLY, (MOTION, JOINT), True),
    StudyRow("direct + unlabelled", "--method direct --cues rgb", RGB_ONLY, (MOTION, JOINT), True),
    StudyRow("motion-only (gradient)", "--method supervised --cues gradient", "motion"),
    StudyRow("two-stream (gradient)", "--method supervised --cues rgb,gradient", "two-stream (gradient)"),
    StudyRow(
        "decomposed (gradient teacher)",
        f"--method decomposed {BOTH}",
        DISTILLED,
        (("--teacher", "motion-only (gradient)"),),
    ),
)  # fmt: skip
BY_NAME = {row.name: row for row in ROWS}


@dataclass(frozen=True)
class StudyRun:
    """One row with so many labels and one seed."""

    row: StudyRow
    labels: int  # videos of the training subset whose labels are read
    seed: int
    root: Path
    head: str = FIRST

    @property
    def folder(self) -> Path:
        """Of this run, by head, labels, seed and row; names are what a file may be called."""
        safe = self.row.name.replace(" + ", "+").replace(", ", "-").replace(" ", "_").replace("(", "").replace(")", "")
        root = self.root if self.head == FIRST else self.root / self.head
        return root / f"labels{self.labels}" / f"seed{self.seed}" / safe

    def scores(self) -> dict[str, float] | None:
        """Average mAP by subset in percent; None unless all are there."""
        try:
            read = {subset: json.loads((self.folder / f"{subset}.metrics.json").read_text()) for subset in SUBSETS}
            return {subset: 100 * float(metrics["average_mAP"]) for subset, metrics in read.items()}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def commands(self, args: argparse.Namespace) -> list[list[str]]:
        """Training, then detections and scores on every subset."""
        data = ["--features", str(args.features), "--annotations", str(args.annotations)]
        train = ["train.run", *data, "--head", self.head, *self.row.options.split()]
        train += ["--train-videos", str(self.labels)]
        train += ["--recipe", "small", "--seed", str(self.seed), "--resume", "--out", str(self.folder)]
        for option, name in self.row.teachers:
            train += [option, str(replace(self, row=BY_NAME[name]).folder / "detector.pt")]
        if self.row.unlabelled:
            train += ["--unlabelled-subset", "Training"]
        made = [train]
        for subset in SUBSETS:
            found, metrics = self.folder / f"{subset}.json", self.folder / f"{subset}.metrics.json"
            made.append(["detect.run", "--detector", str(self.folder / "detector.pt"), *data, "--subset", subset,
                         "--out", str(found)])  # fmt: skip
            made.append(["evaluate.run", "--detections", str(found), *data[2:], "--subset", subset, "--tiou", TIOU,
                         "--json", str(metrics)])  # fmt: skip
        return made


class StudyError(FlowlessError):
    """A run of the study that failed."""


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def work(args: argparse.Namespace) -> int:
    runs = planned(args)
    left = [run for run in runs if run.scores() is None]
    print(f"{len(runs)} runs, {len(runs) - len(left)} of them done")
    if args.dry_run:
        print(*(run.folder for run in left), sep="\n")
        return 0
    failed: list[str] = []
    teachers = {name for row in ROWS for _, name in row.teachers}
    with tqdm(total=len(left), unit="run", desc="study") as progress:
        for wave in ([run for run in left if (run.row.name in teachers) == first] for first in (True, False)):
            with ThreadPoolExecutor(args.workers) as pool:
                for error in pool.map(lambda run: attempt(run, args), wave):
                    failed += [error] if error else []
                    progress.update()
                    write_report(args, runs)
    print(write_report(args, runs))
    for error in failed:
        print(error, file=sys.stderr)
    return ExitCode.FAILURES if failed else ExitCode.DONE


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


def attempt(run: StudyRun, args: argparse.Namespace) -> str | None:
    """Makes one run; the sentence of what went wrong, None where nothing did."""
    try:
        make(run, args)
    except StudyError as error:
        return str(error)
    return None


def make(run: StudyRun, args: argparse.Namespace) -> None:
    """The commands of one run, one thread each, their output in the run's folder. StudyError where one fails."""
    run.folder.mkdir(parents=True, exist_ok=True)
    log = run.folder.with_suffix(".log")
    with log.open("wb") as output:
        for command in run.commands(args):
            called = [sys.executable, "-m", *command]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = subprocess.run(called, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False)
            if done.returncode:
                raise StudyError(f"{run.folder}: {command[0]} ended with {done.returncode}, see {log}")


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
        draw([r for r in results if r.labels == most and r.head == FIRST], cost, args.picture)
    return text


def gains_over_baseline(finished: Sequence[StudyRun], annotations: Path) -> dict[tuple[str, int, str], Gain]:
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
        bases = [replace(other, row=BY_NAME[BASELINE]) for other in same]
        pairs = [(scores[base], scores[other]) for base, other in zip(bases, same, strict=True) if base in scores]
        if pairs:
            mean, low, high = gain_over_seeds(pairs)
            gains[key] = (100 * mean, 100 * low, 100 * high)
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
    add("--dry-run", action="store_true", help="list the runs that are left")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
