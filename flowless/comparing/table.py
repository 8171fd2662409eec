"""Tables over seeds: means, spreads and paired differences, as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from evaluate.metrics.significance import SeedsGain
from evaluate.reporting.findings import share_of_gap
from flowless.comparing.methods import BASELINE, CEILING, FIRST


@dataclass(frozen=True)
class Result:
    """What one run scored."""

    row: str
    reads: str
    labels: int
    seed: int
    scores: Mapping[str, float]  # average mAP in percent, by subset
    head: str = FIRST


def markdown(
    results: Sequence[Result],
    subsets: Sequence[str],
    seconds: Mapping[str, float],
    order: Sequence[str],
    gains: Mapping[tuple[str, int, str], SeedsGain] | None = None,
) -> str:
    """One table for each head and number of labelled videos.

    seconds: of compute per minute of video, by what is read; gains: by (head, labels, row).
    """
    parts = ["# Results of the study", "", HEAD, ""]
    for head, labels in sorted({(result.head, result.labels) for result in results}):
        some = [result for result in results if (result.head, result.labels) == (head, labels)]
        there = {row: gain for (h, n, row), gain in (gains or {}).items() if (h, n) == (head, labels)}
        named = "" if head == FIRST else f", head {head}"
        parts += [f"## {labels} labelled videos{named}", "", *table(some, subsets, seconds, order, there), ""]
    return "\n".join(parts)


HEAD = (
    "Written by `python -m flowless.study` (`make study`). Average mAP in percent over tIoU .3:.1:.7 on the study "
    "world ([world.md](world.md)), mean ± standard deviation over training seeds. *Gap closed*: share of the way from "
    "rgb-only to two-stream, of the means. *Above rgb-only*: the seeds with which a row beats rgb-only of the same "
    "seed on Test, and the mean difference; in brackets its 95 % interval over test videos (paired bootstrap: all "
    "detectors on the same resampled videos). *s/min*: seconds of compute per minute of video, one thread."
)


def table(
    results: Sequence[Result],
    subsets: Sequence[str],
    seconds: Mapping[str, float],
    order: Sequence[str],
    intervals: Mapping[str, SeedsGain],
    judged: str = "Test",
    tests: bool = False,
) -> list[str]:
    """Lines of one table. intervals: of rows over rgb-only on the subset `judged`; tests: tell their p as well."""
    head = ["", "reads", *subsets, *(f"gap closed, {subset}" for subset in subsets), "above rgb-only", "s/min", "seeds"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    by_row = {name: [result for result in results if result.row == name] for name in order}
    means = {
        name: {subset: fmean(result.scores[subset] for result in rows) for subset in subsets}
        for name, rows in by_row.items()
        if rows
    }
    for name, rows in by_row.items():
        if not rows:
            continue
        cells = [spread([result.scores[subset] for result in rows]) for subset in subsets]
        gaps = [gap(name, means, subset) for subset in subsets]
        cost = seconds.get(rows[0].reads)
        lines.append(
            "| "
            + " | ".join(
                [name, rows[0].reads, *cells, *gaps,
                 above(rows, by_row.get(BASELINE, []), judged, intervals.get(name), tests),
                 "" if cost is None else f"{cost:.2f}", str(len(rows))]
            )
            + " |"
        )  # fmt: skip
    return lines


def spread(values: Sequence[float]) -> str:
    """ "43.3 ± .8"; no spread of a single value."""
    if len(values) < 2:
        return f"{values[0]:.1f}"
    return f"{fmean(values):.1f} ± {stdev(values):.1f}"


def gap(name: str, means: Mapping[str, Mapping[str, float]], subset: str) -> str:
    """How much of the way from RGB alone to two streams a row goes, such as "61 %"; empty without such a way."""
    if BASELINE not in means or CEILING not in means:
        return ""
    low, high = means[BASELINE][subset], means[CEILING][subset]
    share = share_of_gap(low / 100, high / 100, means[name][subset] / 100)
    return "" if share is None else f"{100 * share:.0f} %"


def above(
    rows: Sequence[Result],
    baseline: Sequence[Result],
    subset: str,
    interval: SeedsGain | None = None,
    tests: bool = False,
) -> str:
    """ "3 of 3, +12.4 (+8.1 to +16.2)": of the seeds that both have; with tests, "p = .002" as well."""
    base = {result.seed: result.scores[subset] for result in baseline}
    differences = [result.scores[subset] - base[result.seed] for result in rows if result.seed in base]
    if not differences or not rows or rows[0].row == BASELINE:
        return ""
    within = "" if interval is None else f" ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"
    within += f", p = {interval.p:.2g}" if interval is not None and tests else ""
    return f"{sum(d > 0 for d in differences)} of {len(differences)}, {fmean(differences):+.1f}{within}"
