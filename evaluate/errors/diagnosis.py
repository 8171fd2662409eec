"""The errors of one run explained: kinds of mistakes, hard actions, missed actions. The numbers and their table."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from evaluate.errors.characteristics import Bucket, by_characteristic
from evaluate.errors.compare import Agreement, Gain
from evaluate.errors.error_types import GROUPS, KINDS, ErrorProfile, error_profile
from evaluate.metrics.matching import match
from evaluate.metrics.normalised import normalised_ap
from evaluate.metrics.scores import Score


@dataclass(frozen=True)
class Diagnosis:
    """What DETAD tells about one run; see `evaluate.errors.error_types` and `evaluate.errors.characteristics`."""

    profile: ErrorProfile
    buckets: dict[str, list[Bucket]]  # characteristic -> small to large
    average_mAP_N: float  # of all detections; that of the profile is of the best 10 G of each class

    def to_json(self) -> dict[str, Any]:
        return {
            "average_mAP_N": self.average_mAP_N,
            "errors": asdict(self.profile),
            "characteristics": {name: [asdict(each) for each in rows] for name, rows in self.buckets.items()},
        }

    def __str__(self) -> str:
        return "\n\n".join((error_table(self.profile), bucket_table(self.buckets)))


def diagnose(score: Score) -> Diagnosis:
    """Diagnose a judged run at its thresholds, by ActivityNet's rule whatever the score's own."""
    matches = match(score.annotations, score.detections, score.result.tiou)
    return Diagnosis(
        error_profile(score.annotations, score.detections, score.result.tiou),
        by_characteristic(score.annotations, matches),
        float(normalised_ap(matches).mean()),
    )


def error_table(profile: ErrorProfile) -> str:
    """Shares of each kind, in all and by rank, and the gain from removing it; in percent."""
    shown = [g for g in range(GROUPS) if not math.isnan(profile.by_group[g][KINDS[0]])]
    head = f"{'predictions in %':<18}{'all':>7}" + "".join(f"{f'{g + 1}G':>7}" for g in shown) + f"{'if removed':>12}"
    lines = [head]
    for kind in KINDS:
        groups = "".join(f"{100 * profile.by_group[g][kind]:>7.1f}" for g in shown)
        gain = f"{100 * profile.gain[kind]:>+12.2f}" if kind in profile.gain else ""
        lines.append(f"{kind:<18}{100 * profile.share[kind]:>7.1f}{groups}{gain}")
    lines.append(
        f"{profile.num_judged} predictions judged, the best {GROUPS} G of each class; average mAP_N "
        f"{100 * profile.average_mAP_N:.2f} %"
    )
    return "\n".join(lines)


def bucket_table(buckets: dict[str, list[Bucket]]) -> str:
    """Sensitivity and misses for each characteristic; in percent."""
    lines = [f"{'actions by':<12}{'':<4}{'range':<16}{'share':>8}{'mAP_N':>8}{'missed':>8}"]
    for name, rows in buckets.items():
        for i, row in enumerate(rows):
            lines.append(
                f"{'' if i else name:<12}{row.name:<4}{row.range:<16}{100 * row.share:>8.1f}{100 * row.mAP_N:>8.2f}"
                f"{100 * row.miss_rate:>8.1f}"
            )
    return "\n".join(lines)


def gain_table(first: str, second: str, gains: list[Gain]) -> str:
    """Classes by what the second run gains over the first; average AP in percent."""
    width = max(12, *(len(each.label) for each in gains))
    left, right = max(8, len(first) + 2), max(8, len(second) + 2)
    lines = [f"{'AP in %':<{width}}{'truths':>8}{first:>{left}}{second:>{right}}{'gain':>8}"]
    lines += [
        f"{each.label:<{width}}{each.num_truth:>8}{100 * each.before:>{left}.2f}{100 * each.after:>{right}.2f}"
        f"{100 * each.gain:>+8.2f}"
        for each in gains
    ]
    return "\n".join(lines)


def agreement_sentence(first: str, second: str, agreed: Agreement, tiou: float) -> str:
    """The agreement of two runs in words."""
    return (
        f"At tIoU {tiou:g} and each run's best F1, both find {100 * agreed.both:.1f} % of the actions, only {first} "
        f"{100 * agreed.only_first:.1f} %, only {second} {100 * agreed.only_second:.1f} %, neither "
        f"{100 * agreed.neither:.1f} %; {100 * agreed.counterpart:.1f} % of the detections of {first} have a "
        f"counterpart in {second}."
    )
