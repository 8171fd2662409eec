"""Everything a report tells about several runs, computed once: the page, the JSON and the table read from here."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluate.errors.compare import Agreement, Gain, class_gains, confident_agreement
from evaluate.errors.diagnosis import Diagnosis, diagnose
from evaluate.files.detections import DetectionError
from evaluate.metrics.curves import RECALL, class_curves, mean_curve
from evaluate.metrics.runs import JudgedRun
from evaluate.metrics.scores import Score
from evaluate.metrics.significance import Comparison, Interval, bootstrap
from evaluate.metrics.significance import compare as compare_paired
from evaluate.reporting.cost_records import Cost
from evaluate.reporting.timeline_rows import Strip, strips_of

BASELINES = ("rgb", "rgbonly")  # names that mean: sees no motion, in training or at inference
CEILINGS = ("twostream", "rgbflow", "rgbgradient", "rgbmotion")  # names that mean: sees motion at inference
SUBJECTS = ("decomposed", "ours")
SCHEMA = "flowless/evaluation/1"
LEAST_GAP = 0.01  # of average mAP; shares of a smaller one are noise


@dataclass(frozen=True)
class Roles:
    """Which run is compared with which."""

    baseline: str
    subject: str | None  # the run whose gains over the baseline are shown class by class
    ceiling: str | None  # what the gap is measured to


@dataclass(frozen=True)
class Findings:
    """Numbers of all runs on one subset."""

    runs: tuple[JudgedRun, ...]
    roles: Roles
    column: int  # of the tIoU nearest to 0.5, at which curves, agreement and timelines are shown
    diagnoses: dict[str, Diagnosis]
    intervals: dict[str, Interval]
    comparisons: dict[str, Comparison]  # each other run -> it against the baseline
    curves: dict[str, dict[str, NDArray[np.float64]]]  # run -> class -> precision at `RECALL`
    gains: list[Gain]
    agreements: dict[str, Agreement]  # each other run -> the baseline against it
    strips: list[Strip]
    cost: Cost | None

    @property
    def tiou(self) -> float:
        """The threshold that charts and kinds of errors are by."""
        return float(self.runs[0].score.result.tiou[self.column])

    def score(self, name: str) -> Score:
        return next(run.score for run in self.runs if run.name == name)

    def gap_closed(self, name: str) -> float | None:
        """How far average mAP got on the way from the baseline (0) to the ceiling (1); None without a way of a point
        or more, of which shares would be noise."""
        if self.roles.ceiling is None:
            return None
        low, high, here = (
            self.score(each).result.average_mAP for each in (self.roles.baseline, self.roles.ceiling, name)
        )
        return share_of_gap(low, high, here)

    def to_json(self) -> dict[str, Any]:
        first = self.runs[0].score
        return {
            "schema": SCHEMA,
            "subset": first.subset,
            "protocol": first.protocol.name,
            "rule": first.rule.name,
            "tiou": first.result.tiou.tolist(),
            "baseline": self.roles.baseline,
            "ceiling": self.roles.ceiling,
            "runs": {run.name: self._run_json(run) for run in self.runs},
            "gains": [{**asdict(each), "gain": each.gain} for each in self.gains],
            "gains_of": self.roles.subject,
            "agreements": {name: asdict(each) for name, each in self.agreements.items()},
            "cost": asdict(self.cost) if self.cost else None,
        }

    def _run_json(self, run: JudgedRun) -> dict[str, Any]:
        name = run.name
        curve = mean_curve(self.curves[name])
        return {
            **run.score.to_json(),
            "gap_closed": self.gap_closed(name),
            "interval": self.intervals[name].to_json() if name in self.intervals else None,
            "against_baseline": self.comparisons[name].to_json() if name in self.comparisons else None,
            "diagnosis": self.diagnoses[name].to_json(),
            "precision_recall": {"tiou": self.tiou, "recall": RECALL.tolist(), "mean_precision": curve.tolist()},
        }


def share_of_gap(low: float, high: float, here: float) -> float | None:
    """How far `here` is from low (0) to high (1), all fractions of mAP; None where these are not LEAST_GAP apart."""
    return (here - low) / (high - low) if high - low >= LEAST_GAP else None


def find(
    runs: Sequence[JudgedRun],
    roles: Roles,
    *,
    videos: Sequence[str] = (),
    cost: Cost | None = None,
    resamples: int = 1000,
) -> Findings:
    """Compute it all. resamples: 0 leaves intervals and tests out."""
    baseline = next(run for run in runs if run.name == roles.baseline)
    others = [run for run in runs if run is not baseline]
    column = int(np.argmin(np.abs(baseline.score.result.tiou - 0.5)))
    subject = next((run for run in others if run.name == roles.subject), None)
    return Findings(
        runs=tuple(runs),
        roles=roles,
        column=column,
        diagnoses={run.name: diagnose(run.score) for run in runs},
        intervals={run.name: bootstrap(run.score, resamples) for run in runs} if resamples else {},
        comparisons={
            run.name: compare_paired(baseline.score, run.score, (baseline.name, run.name), resamples) for run in others
        }
        if resamples
        else {},
        curves={run.name: class_curves(run.score.matches, column) for run in runs},
        gains=class_gains(baseline.score.result, subject.score.result) if subject else [],
        agreements={run.name: confident_agreement(baseline.score, run.score)[0] for run in others},
        strips=strips_of({run.name: run.score for run in runs}, videos) if videos else [],
        cost=cost,
    )


def roles_of(names: Sequence[str], baseline: str | None = None, ceiling: str | None = None) -> Roles:
    """The roles that were asked for, else those that the names tell, else the first run as baseline and no ceiling."""
    for role, name in (("--baseline", baseline), ("--ceiling", ceiling)):
        if name is not None and name not in names:
            raise DetectionError(f"{role} {name}: no run of this name; there are {', '.join(names)}")
    baseline = baseline or _called(names, BASELINES) or names[0]
    ceiling = ceiling or _called(names, CEILINGS)
    others = [name for name in names if name not in (baseline, ceiling)]
    subject = _called(others, SUBJECTS) or (others[-1] if others else ceiling)
    return Roles(baseline, subject if subject != baseline else None, ceiling if ceiling != baseline else None)


def _called(names: Sequence[str], known: Sequence[str]) -> str | None:
    """The first of names that is one of the known ones, whatever its capitals, dashes, commas and plus signs."""
    plain = {"".join(letter for letter in name.lower() if letter.isalnum()): name for name in reversed(names)}
    return next((plain[each] for each in known if each in plain), None)
