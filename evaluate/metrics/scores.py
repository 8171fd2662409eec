"""One detection file judged: what is compared with what, the numbers, and everything a reader must know beside them.

annotations = read_annotations("thumos14.json", repair="keep")
score = judge(annotations, read_detections("detections.json"))
print(score)
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluate.files.annotations import AnnotationError, Annotations
from evaluate.files.detections import DetectionError, Detections
from evaluate.files.names import CLASS_KEYS, VIDEO_KEYS, examples_of, same_name
from evaluate.metrics.average_precision import Result, summarise
from evaluate.metrics.matching import Matches, match
from evaluate.metrics.protocols import Protocol, parse_tiou, protocol_for
from evaluate.metrics.rules import RULES, Rule

MANY_CLASSES = 30  # above this the table for people leaves the classes out unless asked


@dataclass(frozen=True)
class Score:
    """Numbers with their circumstances; `str(score)` is the table for people, in percent."""

    result: Result
    matches: Matches
    annotations: Annotations  # as judged: one subset, by the protocol
    detections: Detections  # as judged
    protocol: Protocol
    rule: Rule
    subset: str
    counts: Mapping[str, int]
    remarks: tuple[str, ...]

    @property
    def tiou(self) -> NDArray[np.float64]:
        """The thresholds (n,) that all numbers are by."""
        return self.result.tiou

    @property
    def per_class(self) -> Mapping[str, NDArray[np.float64]]:
        """Class -> average precision (n,) at each threshold, in 0 to 1."""
        return self.result.per_class

    @property
    def mAP(self) -> NDArray[np.float64]:
        """The mean over classes (n,) at each threshold."""
        return self.result.mAP

    @property
    def average_mAP(self) -> float:
        """The mean of mAP over the thresholds."""
        return self.result.average_mAP

    def to_json(self) -> dict[str, Any]:
        return {
            **self.result.to_json(),
            "protocol": self.protocol.name,
            "rule": self.rule.name,
            "subset": self.subset,
            "counts": dict(self.counts),
            "remarks": list(self.remarks),
        }

    def table(self, per_class: bool) -> str:
        """The numbers in percent, a column for each tIoU; on request with a row for each class."""
        result, counts = self.result, self.counts
        width = max(12, *(len(label) for label in result.per_class)) if per_class else 12
        head = "".join(f"{tiou:>8.2f}" for tiou in result.tiou)
        lines = [
            f"protocol {self.protocol.name} ({self.protocol.description}), rule {self.rule.name}, subset {self.subset}",
            f"{counts['videos']} videos, {counts['segments']} segments of {counts['classes']} classes; "
            f"{counts['detections']} detections",
            "",
            f"{'AP in % at tIoU':<{width + 10}}{head}{'mean':>8}",
        ]
        if per_class:
            for label, ap in result.per_class.items():
                lines.append(f"{label:<{width}}{result.num_truth[label]:>10}{_percent(ap)}{100 * ap.mean():>8.2f}")
        lines.append(f"{'mAP':<{width}}{counts['segments']:>10}{_percent(result.mAP)}{100 * result.average_mAP:>8.2f}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table(per_class=len(self.result.per_class) <= MANY_CLASSES)


def judge(
    annotations: Annotations,
    detections: Detections,
    *,
    subset: str | None = None,
    protocol: Protocol | None = None,
    tiou: str | NDArray[np.float64] | None = None,
    rule: Rule = RULES["activitynet"],
    unknown_videos: str = "false",
    strict: bool = False,
) -> Score:
    """Judge detections by a protocol (default: the usual one of the data set) and an evaluator's rule.

    strict: whatever would be a remark about videos without detections, detections without annotation, or
    annotations that are not the protocol's, is an error.
    """
    detections, renamed = with_annotated_names(annotations, detections)
    protocol = protocol or protocol_for(annotations, rule.drops_ambiguous)
    subset = subset or protocol.subset or _only_subset(annotations)
    truth = protocol.apply(annotations, subset)
    left_out = np.isin(detections.rehome(protocol.without), -1, invert=True)
    judged = detections.select(~left_out)
    thresholds = parse_tiou(tiou or protocol.tiou) if isinstance(tiou, str | None) else np.asarray(tiou, np.float64)
    serious, remarks = _findings(annotations, truth, judged, protocol, subset, unknown_videos)
    remarks = [*detections.notes, *renamed, *remarks]
    if left_out.any():
        remarks.append(f"{left_out.sum()} detections left out: protocol {protocol.name} has no such video")
    remarks += [f"truth: {remark}" for remark in truth.remarks]
    remarks += [f"{count} detections dropped: {reason}" for reason, count in detections.dropped.items()]
    if rule.drops_ambiguous and not truth.ambiguous:
        remarks.append(f"rule {rule.name} forgives misses on Ambiguous intervals, and none are given: --ambiguous FILE")
    if strict and serious:
        raise DetectionError(f"{detections.source}: refused by --strict: " + "; ".join(serious))
    matches = match(truth, judged, thresholds, rule, unknown_videos)
    result = summarise(matches, rule)
    counts = {
        "videos": len(truth.videos),
        "segments": len(matches.truth.label),
        "classes": len(result.per_class),
        "detections": len(judged),
        "detections_of_known_classes": len(matches.detection),
        "videos_without_detections": len(_without_detections(truth, judged)),
        "detections_in_unknown_videos": int((judged.rehome(tuple(truth.videos)) < 0).sum()),
        "detections_dropped": sum(detections.dropped.values()),
    }
    return Score(result, matches, truth, judged, protocol, rule, subset, counts, (*serious, *remarks))


def with_annotated_names(annotations: Annotations, detections: Detections) -> tuple[Detections, list[str]]:
    """The detections under the names that the annotations have for their videos and classes; sentences about it."""
    said = []
    known = set(annotations.videos)
    used = set(detections.videos)
    free = [video for video in annotations.videos if video not in used]
    videos = same_name([v for v in detections.videos if v not in known], free, VIDEO_KEYS, alone=True)
    if videos:
        said.append(
            f"{len(videos)} video{'s' * (len(videos) > 1)} of {detections.source} taken for annotated ones, whose "
            f"names differ only by prefix, ending, folder or case: {examples_of(videos)}"
        )
    classes = set(annotations.classes)
    labels = same_name([n for n in detections.labels if n not in classes], annotations.classes, CLASS_KEYS, alone=False)
    if labels:
        said.append(
            f"{len(labels)} label{'s' * (len(labels) > 1)} of {detections.source} taken for annotated classes, whose "
            f"names differ only by case, blanks, hyphens or underscores: {examples_of(labels)}"
        )
    return detections.renamed(videos, labels), said


def _findings(
    everything: Annotations,
    truth: Annotations,
    detections: Detections,
    protocol: Protocol,
    subset: str,
    unknown_videos: str,
) -> tuple[list[str], list[str]]:
    """What --strict refuses, and what is merely worth a sentence."""
    serious, remarks = list(protocol.differences(truth)), []
    unknown = detections.rehome(tuple(truth.videos)) < 0
    if len(detections) and unknown.all():
        raise DetectionError(_nothing_in_common(everything, truth, detections, subset))
    if unknown.any():
        names = _named(detections.videos, detections.video[unknown])
        elsewhere = len(names & set(everything.videos))
        fate = (
            "left out" if unknown_videos == "ignore" else "counted as false (--unknown-videos ignore leaves them out)"
        )
        serious.append(
            f"{unknown.sum()} detections in {len(names)} videos outside subset {subset!r} ({elsewhere} annotated in "
            f"another subset, {len(names) - elsewhere} nowhere; first: {min(names)}): {fate}"
        )
    if silent := _without_detections(truth, detections):
        absent = len(set(silent) - set(detections.videos))
        serious.append(
            f"{len(silent)} of {len(truth.videos)} annotated videos have no detections ({absent} are not in the file; "
            f"first: {silent[0]}): their actions count as missed"
        )
    strange = detections.relabel(truth.classes) < 0
    if strange.any():
        labels = sorted(set(detections.labels) - set(truth.classes))
        if strange.all():
            raise DetectionError(
                f"{detections.source}: none of its labels is a class of {truth.source}: {labels[0]!r} against "
                f"{truth.classes[0]!r}. Write class names, or the annotations' label_id, alone"
            )
        remarks.append(f"{strange.sum()} detections ignored: not a class of the annotations: {', '.join(labels[:5])}")
    return serious, remarks


def _without_detections(truth: Annotations, detections: Detections) -> list[str]:
    active = _named(detections.videos, detections.video)
    return [video for video in truth.videos if video not in active]


def _named(names: tuple[str, ...], rows: NDArray[np.int64]) -> set[str]:
    """The names that some row points to."""
    return {names[i] for i in np.flatnonzero(np.bincount(rows, minlength=1))}


def _nothing_in_common(everything: Annotations, truth: Annotations, detections: Detections, subset: str) -> str:
    first = detections.videos[detections.video[0]]
    nearest = difflib.get_close_matches(first, truth.videos, n=1)
    close = (
        f"the nearest there is {nearest[0]!r}"
        if nearest
        else f"the subset begins with {next(iter(truth.videos), None)!r}"
    )
    where = f"is annotated in subset {everything.videos[first].subset!r}" if first in everything.videos else "is not"
    return (
        f"{detections.source}: none of its videos is annotated in subset {subset!r} of {truth.source}: {first!r} "
        f"{where}; {close}. Name the subset that was detected with --subset, or give both files the same video names"
    )


def _only_subset(annotations: Annotations) -> str:
    if len(annotations.subsets) != 1:
        there = ", ".join(map(repr, annotations.subsets))
        raise AnnotationError(f"{annotations.source}: name the subset to evaluate with --subset; there are {there}")
    return annotations.subsets[0]


def _percent(values: NDArray[np.float64]) -> str:
    return "".join(f"{100 * value:>8.2f}" for value in values)
