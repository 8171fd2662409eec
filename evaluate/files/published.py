"""Data sets that everybody shares, recognised by their class names, with the flaws they were published with.

An annotation file of one's own must be consistent. A published one cannot be: its flaws are part of every number in
the literature. Each is named here, so that nothing else passes as "known".

Part of THUMOS'14 is THUMOS'14 as well, for those who work on some of its classes: all class names are among its 20,
and all videos are called as its videos are, `video_test_0000004`. Class names alone are not enough, for "Diving"
and "Billiards" may stand in anybody's annotations.
"""

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One published data set: how to recognise it, and which flaws its files have."""

    name: str
    classes_sha256: str  # first 16 hex digits over the sorted class names, one a line
    flaws: frozenset[str]  # of "outside" (reaches beyond its video), "empty", "duplicate"


def classes_fingerprint(labels: Iterable[str]) -> str:
    """16 hex digits that depend on the set of class names and not on their order."""
    return hashlib.sha256("\n".join(sorted(set(labels))).encode(errors="replace")).hexdigest()[:16]


PUBLISHED = (
    # 30 of 6,365 instances start after the end of their video, 22 of them in video_test_0000270.
    Published("thumos14", "7c15088a951ca222", frozenset({"outside"})),
    # 65 of 38,690 reach beyond their video, 7 are empty.
    Published("multithumos", "1c416d5d748a616d", frozenset({"outside", "empty"})),
    # Of 23,064: 289 end beyond the duration, 12 are empty, 49 repeat another one.
    Published("activitynet13", "696d49925655f5ee", frozenset({"outside", "empty", "duplicate"})),
)


THUMOS14_CLASSES = (
    "BaseballPitch", "BasketballDunk", "Billiards", "CleanAndJerk", "CliffDiving", "CricketBowling", "CricketShot",
    "Diving", "FrisbeeCatch", "GolfSwing", "HammerThrow", "HighJump", "JavelinThrow", "LongJump", "PoleVault",
    "Shotput", "SoccerPenalty", "TennisSwing", "ThrowDiscus", "VolleyballSpiking",
)  # fmt: skip
THUMOS14_VIDEO = re.compile(r"video_(test|validation)_\d{7}")


def recognise(labels: Collection[str], videos: Iterable[str] = ()) -> Published | None:
    """The published data set with exactly these class names, or THUMOS'14 by some of its classes and its videos."""
    found = classes_fingerprint(labels)
    for known in PUBLISHED:
        if known.classes_sha256 == found:
            return known
    names = list(videos)
    if not labels or not names or not set(labels) <= set(THUMOS14_CLASSES):
        return None
    return PUBLISHED[0] if all(map(THUMOS14_VIDEO.fullmatch, names)) else None
