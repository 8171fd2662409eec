"""How many steps of features a second holds, and what is said where that differs.

A clip of 16 frames shows a quarter of the time at 60 fps that it shows at 15: features of other rates come out of the
same network and mean something else. Nothing in the numbers tells, so it is told from the rates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from statistics import median

from features.storage.store import Store

CLOSE = 0.1  # rates within 10 % pass for equal: 29.97 and 30, 24 and 25


def alike(one: float, other: float) -> bool:
    """Whether two rates pass for equal; one that is not known (0 or NaN) passes for any."""
    known = all(math.isfinite(rate) and rate > 0 for rate in (one, other))
    return not known or abs(one - other) <= CLOSE * min(one, other)


def rates_of(store: Store, videos: Iterable[str], stream: str, stride: int) -> dict[str, float]:
    """Steps per second of the videos that have the stream, NaN where not known; from the store's table alone."""
    known = set(store.videos)
    there = [video for video in videos if video in known and stream in store.streams(video)]
    return {video: store.row(video, stream).fps / stride for video in there}


def usual_rate(rates: Mapping[str, float]) -> float:
    """The median of the rates that are known; 0 if none is."""
    known = [rate for rate in rates.values() if math.isfinite(rate) and rate > 0]
    return float(median(known)) if known else 0.0


def note_of_a_video(video: str, rate: float, made_for: float, stride: int, of_pictures: bool = False) -> str:
    """What to say of a video's steps/s beside those that a detector was trained at; empty if they are alike."""
    if alike(rate, made_for):
        return ""
    fps = made_for * stride
    remedy = f"--fps {fps:.4g}, or ffmpeg -i IN -r {fps:.4g} OUT"
    if of_pictures:  # --fps says how fast they were taken
        remedy = f"ffmpeg -framerate {rate * stride:.4g} -i img_%05d.jpg -r {fps:.4g} OUT"
    return (
        f"{video}: the detector is made for {made_for:.4g} steps/s ({fps:.4g} fps), this video gives {rate:.4g} "
        f"({rate * stride:.4g} fps): clips show another stretch of time than in training, and detections suffer. Take "
        f"its frames at the rate of training: {remedy}"
    )


def note_of_many(rates: Mapping[str, float], made_for: float = 0.0) -> str:
    """What to say of videos whose steps/s differ from one another, or from `made_for` if given; empty if none does."""
    usual = made_for or usual_rate(rates)
    others = {video: rate for video, rate in rates.items() if not alike(rate, usual)}
    if not others:
        return ""
    shown = ", ".join(f"{video} ({rate:.4g})" for video, rate in sorted(others.items())[:3])
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    usually = (
        f"the detector is made for {usual:.4g} steps/s" if made_for else f"the usual video has {usual:.4g} steps/s"
    )
    return (
        f"{usually}, but {len(others)} of {len(rates)} videos have other rates: {shown}{more}. Their clips "
        "show another stretch of time than the rest. Where features come from videos, extract.rgb and extract.motion "
        "give them one rate with --fps N"
    )
