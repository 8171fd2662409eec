"""Protocols: which videos, which thresholds, how many of each are expected, under the names papers mean.

THUMOS'14 alone has four test sets in use, 210 to 213 videos, and few papers say which. A protocol is printed with
every result, and says so when the annotations at hand are not the ones it stands for.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from command.errors import FlowlessError
from evaluate.files.annotations import Annotations, VideoTruth
from evaluate.files.published import THUMOS14_CLASSES

ONLY_AMBIGUOUS = "video_test_0001292"  # nothing but Ambiguous intervals
WRONG_TRUTH = "video_test_0000270"  # 22 of its 29 instances lie after its end
MOST_THRESHOLDS = 1000  # a finer step is a slip of the pen
NO_TRUTH_LEFT = "video_test_0001496"  # left out by G-TAD, AFSD and TadTR as well


class ProtocolError(FlowlessError):
    """A threshold list that cannot be read, or annotations that are not what a protocol asks for."""


@dataclass(frozen=True)
class Protocol:
    """What is evaluated. `num_videos` and `num_segments` are what the literature's numbers were computed on."""

    name: str
    description: str
    tiou: str = "0.3:0.1:0.7"
    subset: str | None = None
    dataset: str | None = None  # evaluate.files.published name
    without: tuple[str, ...] = ()  # truth and detections of these videos are left out
    including: tuple[str, ...] = ()  # videos that belong to the set although they hold no labelled action
    num_videos: int | None = None
    num_segments: int | None = None

    def apply(self, annotations: Annotations, subset: str) -> Annotations:
        """One subset of the annotations as this protocol has it."""
        chosen = annotations.subset(subset).without(self.without)
        added = {
            video: VideoTruth(subset, float("nan"), None, np.zeros((0, 2)), np.zeros(0, np.int64))
            for video in self.including
            if video not in chosen.videos
        }
        unclear = {video: annotations.ambiguous[video] for video in added if video in annotations.ambiguous}
        return replace(chosen, videos={**chosen.videos, **added}, ambiguous={**chosen.ambiguous, **unclear})

    def differences(self, annotations: Annotations) -> tuple[str, ...]:
        """Sentences: where these annotations (of the chosen subset) are not what the name stands for."""
        labelled = {video for video, truth in annotations.videos.items() if len(truth.segments)}
        found = {"videos": len(labelled.union(self.including)), "segments": annotations.num_segments}
        expected = {"videos": self.num_videos, "segments": self.num_segments}
        out = [
            f"protocol {self.name} stands for {wanted} {what}, these annotations hold {found[what]}"
            for what, wanted in expected.items()
            if wanted is not None and wanted != found[what]
        ]
        if self.dataset and annotations.dataset != self.dataset:
            out.append(f"protocol {self.name} stands for the classes of {self.dataset}, these are others")
        if self.dataset == annotations.dataset == "thumos14" and len(annotations.classes) < len(THUMOS14_CLASSES):
            out.append(
                f"protocol {self.name} stands for {len(THUMOS14_CLASSES)} classes, these annotations hold "
                f"{len(annotations.classes)} of them"
            )
        return tuple(out)


def _thumos(name: str, description: str, **changes: object) -> Protocol:
    return replace(
        Protocol(name, description, "0.3:0.1:0.7", "Test", "thumos14", num_videos=212, num_segments=3358),
        **changes,  # type: ignore[arg-type]
    )


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        _thumos("thumos14", "THUMOS'14 test as ActionFormer has it: 212 videos"),
        _thumos(
            "thumos14-213",
            "with 0001292, which holds only Ambiguous intervals",
            including=(ONLY_AMBIGUOUS,),
            num_videos=213,
        ),
        _thumos("thumos14-212", "without 0001292, detections there left out", without=(ONLY_AMBIGUOUS,)),
        _thumos(
            "thumos14-211",
            "also without 0000270 (OpenTAD)",
            without=(ONLY_AMBIGUOUS, WRONG_TRUTH),
            num_videos=211,
            num_segments=3329,
        ),
        _thumos(
            "thumos14-210",
            "also without 0001496 (G-TAD, AFSD, TadTR)",
            without=(ONLY_AMBIGUOUS, WRONG_TRUTH, NO_TRUTH_LEFT),
            num_videos=210,
            num_segments=3311,
        ),
        Protocol(
            "activitynet13",
            "ActivityNet-1.3 validation",
            "0.5:0.05:0.95",
            "validation",
            "activitynet13",
            num_videos=4926,
            num_segments=7654,
        ),
        Protocol(
            "multithumos",
            "MultiTHUMOS test",
            "0.1:0.1:0.9",
            "Test",
            "multithumos",
            num_videos=213,
            num_segments=20208,
        ),
    )
}


def protocol_for(annotations: Annotations, with_ambiguous: bool = False) -> Protocol:
    """The usual protocol of a published data set; for any other, all videos at tIoU 0.3 to 0.7.

    with_ambiguous: the rule looks at Ambiguous intervals, so the video that holds nothing else belongs to the set.
    """
    if annotations.dataset == "thumos14" and with_ambiguous:
        return PROTOCOLS["thumos14-213"]
    if annotations.dataset in PROTOCOLS:
        return PROTOCOLS[annotations.dataset]
    return Protocol("own", "all videos of the subset")


def parse_tiou(text: str) -> NDArray[np.float64]:
    """Thresholds from "0.3:0.1:0.7" (start:step:stop, both ends in), "0.5,0.75" or "0.5".

    A range comes from np.linspace, as in the official evaluators, whose thresholds are not the decimal numbers:
    0.1:0.1:0.9 holds 0.30000000000000004, and a tIoU of 0.3 is below it.
    """
    try:
        if ":" in text:
            start, step, stop = (float(part) for part in text.split(":"))
            count = round((stop - start) / step) + 1
            if not 1 <= count <= MOST_THRESHOLDS or abs(start + (count - 1) * step - stop) > 1e-6:
                raise ValueError
            values = np.linspace(start, stop, count)
        else:
            values = np.array([float(part) for part in text.split(",")])
        if not ((values > 0) & (values <= 1)).all():
            raise ValueError
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ProtocolError(
            f"tIoU thresholds {text!r}: expected start:step:stop, such as 0.3:0.1:0.7, or a list, such as 0.5,0.75, "
            f"each above 0 and at most 1"
        ) from None
    return values


def protocol_named(name: str) -> Protocol:
    """Look a protocol up; an unknown name is an error that lists the known ones."""
    if name not in PROTOCOLS:
        raise ProtocolError(f"no protocol {name!r}; there are {names_of(PROTOCOLS)}")
    return PROTOCOLS[name]


def names_of(table: Iterable[str]) -> str:
    return ", ".join(table)
