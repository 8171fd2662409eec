"""What the finished runs of a comparison tell together: over seeds, against rgb-only, as text, JSON and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from evaluate.cost import cost_table
from evaluate.files.annotations import Annotations
from evaluate.files.detections import read_detections
from evaluate.metrics.scores import Score, judge
from evaluate.metrics.significance import SeedsGain, gain_over_seeds
from evaluate.reporting.cost_records import Cost, CostError, compare_cost, read_reports
from evaluate.reporting.page_style import STYLE, document, section
from evaluate.reporting.page_style import table as page_table
from flowless.comparing.asked import Asked
from flowless.comparing.methods import BASELINE, CEILING, CONTROLS, FIRST, Method
from flowless.comparing.picture import draw
from flowless.comparing.plan import run_folder
from flowless.comparing.runs import average_of
from flowless.comparing.table import Result, table

MEASURED = (CEILING, BASELINE, "decomposed")  # folders whose detector reports evaluate.cost knows by name
SCHEMA = "flowless/comparison/1"


@dataclass(frozen=True)
class Finished:
    """A run with its scores."""

    method: Method
    head: str
    seed: int
    folder: Path
    average: float  # average mAP, a fraction

    @property
    def detections(self) -> Path:
        return self.folder / "detections.json"


def finished_runs(asked: Asked, done: Sequence[tuple[Method, str, int]]) -> list[Finished]:
    """The scores of runs that are done."""
    found = []
    for method, head, seed in done:
        folder = run_folder(asked, method, head, seed)
        if (average := average_of(folder / "metrics.json")) is not None:
            found.append(Finished(method, head, seed, folder, average))
    return found


def cost_reports(asked: Asked, runs: Sequence[Finished]) -> list[str]:
    """The reports that tell the cost, [] if they do not tell enough: features that came from elsewhere have none."""
    stores = [str(store.with_suffix(".reports")) for store in (asked.flow, asked.features)]
    given = [path for path in stores if Path(path).is_dir()]
    for name in MEASURED:
        given += [str(run.folder) for run in runs if run.method.name == name][:1]
    return given if measured_cost(given) else []


def measured_cost(reports: Sequence[str]) -> Cost | None:
    try:
        return compare_cost(read_reports(reports)) if reports else None
    except CostError:
        return None


def gains(asked: Asked, runs: Sequence[Finished], truth: Annotations) -> dict[tuple[str, str], SeedsGain]:
    """By (head, method): what it is above rgb-only over the seeds that both have; paired by seed and test video."""
    by_key = {(run.head, run.seed, run.method.name): run for run in runs}
    scores: dict[Path, Score] = {}

    def score(run: Finished) -> Score:
        if run.folder not in scores:
            scores[run.folder] = judge(truth, read_detections(run.detections), subset=asked.subset, tiou=asked.tiou)
        return scores[run.folder]

    found = {}
    for head, name in dict.fromkeys((run.head, run.method.name) for run in runs):
        pairs = [
            (score(base), score(run))
            for run in runs
            if (run.head, run.method.name) == (head, name) and (base := by_key.get((head, run.seed, BASELINE)))
        ]
        if pairs and name != BASELINE:
            found[head, name] = gain_over_seeds(pairs)
    return found


@dataclass(frozen=True)
class Summary:
    """Everything that is told at the end."""

    asked: Asked
    runs: Sequence[Finished]
    gains: Mapping[tuple[str, str], SeedsGain]
    cost: Cost | None
    missing: Mapping[str, Sequence[str]]  # why -> videos without features
    failed: Mapping[str, str]  # run -> what went wrong

    @property
    def heads(self) -> list[str]:
        return [head for head in self.asked.heads if any(run.head == head for run in self.runs)]

    @property
    def seconds(self) -> dict[str, float]:
        """Of compute per minute of video, by what a method reads; empty where it was not measured."""
        return {} if self.cost is None else {name: one.seconds_per_minute for name, one in self.cost.methods.items()}

    def results(self, head: str) -> list[Result]:
        subset = self.asked.subset
        return [
            Result(run.method.name, run.method.reads, 0, run.seed, {subset: 100 * run.average}, head)
            for run in self.runs
            if run.head == head
        ]

    def lines(self, head: str) -> list[str]:
        """The table of one head, in Markdown."""
        subset, order = self.asked.subset, [method.name for method in self.asked.methods]
        against = {name: gain for (of, name), gain in self.gains.items() if of == head}
        return table(self.results(head), [subset], self.seconds, order, against, judged=subset, tests=True)

    def draw(self, path: Path) -> bool:
        """Writes the picture of the first head: accuracy against cost, without the controls. False without cost."""
        rows = [m.name for m in self.asked.methods if not m.name.startswith(CONTROLS)]
        return draw(self.results(self.heads[0]), self.seconds, path, rows, self.asked.subset)

    def notes(self) -> list[str]:
        said = [
            f"{len(videos)} videos {why}: {', '.join(videos[:5])}{' ...' * (len(videos) > 5)}. Actions of the test "
            "subset in them count as missed"
            for why, videos in self.missing.items()
            if videos
        ]
        return [*self.doubts(), *said, *(f"not made: {name}: {why}" for name, why in self.failed.items())]

    def doubts(self) -> list[str]:
        """Where the two ends of the gap are not surely apart, so that shares of it say little."""
        said = []
        for (head, name), gain in self.gains.items():
            if name != CEILING or not gain.low <= 0 <= gain.high:
                continue
            seeds = len({run.seed for run in self.runs if (run.head, run.method.name) == (head, name)})
            said.append(
                f"{head}: {CEILING} is {100 * gain.mean:+.1f} points from {BASELINE}, and its 95 % interval over test "
                f"videos, {100 * gain.low:+.1f} to {100 * gain.high:+.1f}, holds 0: so few test videos do not tell "
                f"whether motion is worth it here, and shares of the gap say little. More test videos tell more"
                + (", and so do more --seeds" if seeds < 3 else "")
            )
        return said

    def markdown(self) -> str:
        parts = ["# Comparison", "", explanation(self.asked), ""]
        for head in self.heads:
            parts += [f"## Head {head}", "", *self.lines(head), ""]
        if self.cost is not None:
            parts += ["## Cost", "", "```", cost_table(self.cost), "```", ""]
        parts += [f"- {note}" for note in self.notes()]
        return "\n".join(parts).rstrip() + "\n"

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "subset": self.asked.subset,
            "runs": [
                {"method": run.method.name, "head": run.head, "seed": run.seed, "average_mAP": run.average,
                 "folder": str(run.folder)}
                for run in self.runs
            ],
            "above_rgb_only": [
                {"head": head, "method": name, **gain._asdict()} for (head, name), gain in self.gains.items()
            ],
            "missing": {why: list(videos) for why, videos in self.missing.items()},
            "failed": dict(self.failed),
        }  # fmt: skip

    def page(self, pages: Mapping[tuple[str, int], str]) -> str:
        """HTML: the tables over seeds, and links to the page of each head and seed."""
        body = [f"<header><h1>Comparison</h1>\n<p>{escape(explanation(self.asked)).replace('*', '')}</p></header>"]
        for head in self.heads:
            cells = [[escape(cell.strip()) for cell in line.strip("|").split("|")] for line in self.lines(head)]
            links = "".join(
                f'<li><a href="{escape(link)}">seed {seed}: curves, errors, timelines</a></li>'
                for (of, seed), link in pages.items()
                if of == head
            )
            body.append(section(f"Head {head}", "", page_table(cells[0], cells[2:]), f"<ul>{links}</ul>"))
        if self.cost is not None:
            body.append(section("Cost", "", f"<pre>{escape(cost_table(self.cost))}</pre>"))
        if notes := self.notes():
            items = "".join(f"<li>{escape(note)}</li>" for note in notes)
            body.append(section("Notes", "", f"<ul>{items}</ul>"))
        return document("Comparison", STYLE, "\n".join(body))


def explanation(asked: Asked) -> str:
    """How to read the tables."""
    return (
        f"Average mAP in percent on {asked.subset} ({asked.annotations.name}), mean ± standard deviation over the "
        f"training seeds. *Gap closed*: share of the way from {BASELINE} to {CEILING}, of the means. "
        f"*Above {BASELINE}*: the seeds with which a method beats it, and the mean difference in points; in brackets "
        "its 95 % interval over test videos, and p of the paired test (bootstrap: all detectors on the same resampled "
        "videos). *s/min*: seconds of compute per minute of video."
    )


def page_of(asked: Asked, head: str, seed: int) -> Path:
    """The page of one head and seed."""
    return asked.out / "reports" / f"{'' if head == FIRST else f'{head}-'}seed{seed}.html"
