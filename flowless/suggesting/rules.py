"""From lengths to settings, each with the sentence that says why.

Lengths are judged by quantiles against steps, levels and samples; no rule asks which data set it is.

    stride   three quarters of the actions last 6 steps or more, 19 of 20 last 2; a power of two, at most the window
    resize   videos to one length where lengths are more alike as shares of their videos than in seconds
    levels   the last begins at the half-length that 2 % of the actions exceed, and has 4 points or more in a sample
    span     17 of 20 videos whole
    windows  (heads that take samples of one length) twice what 99 % of the actions last
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from detect.heads import HEADS
from flowless.suggesting.measured import Measured
from train.recipes.recipe import FEW_STEPS

WINDOW = 16  # frames that published video networks look at; another costs more than it gives
FASTEST = 40.0  # frames a second, above which clips of 16 frames show too little time
USUAL_RATE = 30.0
STEPS_OF_MOST, STEPS_OF_NEARLY_ALL = 6, 2  # of an action, so that start, middle and end are apart; to be seen at all
LARGE_SHARE = 0.1  # of a video that the usual action takes, from which on a whole video is what to look at
MANY_STEPS = 64  # of the usual video, below which nothing is gained by resizing it
POINTS = 4  # in a sample, of the last level: attention has nothing to look at in fewer
FIRST_RANGE = 4.0  # steps that ActionFormer's first level reaches
MOST_LEVELS = 8
LONGEST_SPAN = 4608  # steps; twice the published one. Memory grows with it
DENSE = 1 / 3  # of the actions overlap others: several at once are usual


class Clips(NamedTuple):
    """How features are made; frames and frames a second."""

    window: int
    stride: int
    fps: float

    @property
    def step_s(self) -> float:
        return self.stride / self.fps


@dataclass
class Proposal:
    """Settings by their path in config.json, and why; what has no path there is under a plain name."""

    values: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def say(self, path: str, value: Any, why: str) -> None:
        self.values[path] = value
        self.reasons[path] = why


def clips(data: Measured, proposal: Proposal, given: Clips | None) -> Clips:
    """Window and stride for the features, or what those that are there are like."""
    if given is not None:
        quarter = data.length_s(0.25) / given.step_s
        proposal.say("window", given.window, "that of the features")
        enough = "enough" if quarter >= STEPS_OF_MOST / 2 else f"few: a stride of {best(data, given.fps)} shows more"
        proposal.say("stride", given.stride, f"that of the features; a quarter of the actions lasts {quarter:.1f} "
                     f"steps or less, which is {enough}")  # fmt: skip
        return given
    fps = data.fps
    if fps > FASTEST:
        fps = USUAL_RATE
        proposal.say("fps", fps, f"videos of {data.fps:.3g} frames a second: networks learned from about 25 to 30, so "
                     f"extract with --fps {fps:g}")  # fmt: skip
    stride = best(data, fps)
    proposal.say("window", WINDOW, "frames that published networks were trained with")
    three, most = data.length_s(0.25) * fps / stride, data.length_s(0.05) * fps / stride
    proposal.say("stride", stride, f"three of four actions then last {three:.1f} steps or more, 19 of 20 "
                 f"{most:.1f}" + (", and every frame is seen" if stride == WINDOW else ""))  # fmt: skip
    return Clips(WINDOW, stride, fps)


def best(data: Measured, fps: float) -> int:
    frames = min(data.length_s(0.25) * fps / STEPS_OF_MOST, data.length_s(0.05) * fps / STEPS_OF_NEARLY_ALL)
    return int(min(WINDOW, 2 ** math.floor(math.log2(max(frames, 1.0)))))


def resized(data: Measured, made: Clips, proposal: Proposal) -> int | None:
    """Steps that every video is resized to; None where videos are better taken as they are."""
    usual = float(np.median(data.durations_s)) / made.step_s
    share = float(np.median(data.shares))
    in_seconds, in_shares = _octaves(data.lengths_s), _octaves(data.shares)
    told = f"lengths spread over {in_seconds:.1f} octaves in seconds, {in_shares:.1f} as shares of their videos"
    if share >= LARGE_SHARE and in_shares < in_seconds and usual >= MANY_STEPS:
        steps = min(
            (round(k * 2.0**n) for n in range(5, 11) for k in (1.0, 1.5)), key=lambda x: abs(math.log(x / usual))
        )
        proposal.say("head.resize", steps, f"the usual action takes {share:.0%} of its video, and {told}; the usual "
                     f"video has {usual:.0f} steps")  # fmt: skip
        return steps
    why = f"{told}" if share >= LARGE_SHARE and usual >= MANY_STEPS else (
        f"the usual action takes {share:.1%} of its video" if share < LARGE_SHARE
        else f"the usual video has {usual:.0f} steps, few enough as they are")  # fmt: skip
    proposal.say("head.resize", None, f"videos as they are: {why}")
    return None


def _octaves(lengths: np.ndarray) -> float:
    low, high = np.quantile(lengths, [0.05, 0.95])
    return float(np.log2(high / low))


def recipe(data: Measured, made: Clips, steps: int | None, proposal: Proposal) -> str:
    total = float(data.durations_s.sum()) / made.step_s
    size = f"{data.num_videos} videos with {total:,.0f} steps"
    if total < FEW_STEPS:
        name, why = "small", f"{size}, fewer than {FEW_STEPS:,}: a small network, and epochs enough"
    elif steps is not None:
        name, why = "activitynet13", f"{size}; videos are resized, as there"
    elif data.overlapping > DENSE:
        name, why = "multithumos", f"{size}; {data.overlapping:.0%} of the actions overlap others"
    else:
        name, why = "thumos14", f"{size}; {data.overlapping:.0%} of the actions overlap others"
    proposal.say("recipe", name, why)
    return name


def choose_head(asked: str | None, data: Measured, proposal: Proposal) -> str:
    if asked is not None:
        proposal.say("model.head", asked, "as asked for")
        return asked
    why = "the best known on published features, takes videos of any length"
    if data.overlapping > DENSE:
        why += f", and tells several classes at once ({data.overlapping:.0%} of the actions overlap others)"
    proposal.say("model.head", "actionformer", why)
    return "actionformer"


def samples(
    head: str, defaults: Mapping[str, Any], data: Measured, made: Clips, steps: int | None, proposal: Proposal
) -> dict[str, Any]:
    """The head's own settings: levels, windows and what is counted in steps. defaults: those of its recipe."""
    if head == "actionformer":
        return pyramid(defaults, data, made, steps, proposal)
    if hasattr(HEADS[head].Config, "length"):
        return windows(head, defaults, data, made, steps, proposal)
    del proposal.values["head.resize"], proposal.reasons["head.resize"]  # a head of one's own has its own settings
    return dict(defaults)


def pyramid(
    defaults: Mapping[str, Any], data: Measured, made: Clips, steps: int | None, proposal: Proposal
) -> dict[str, Any]:
    long = data.length_s(0.98) / made.step_s if steps is None else float(np.quantile(data.shares, 0.98)) * steps
    wanted = 2 + math.ceil(math.log2(max(long / 2 / FIRST_RANGE, 1.0)))
    levels = min(max(wanted, 2), MOST_LEVELS)
    span = steps or _span(data, made, levels, proposal, long)
    while levels > 2 and span / 2 ** (levels - 1) < POINTS:
        levels -= 1
    begins = FIRST_RANGE * 2 ** (levels - 2)
    proposal.say("head.levels", levels, f"98 % of the actions last {long:.0f} steps or less; the last level takes "
                 f"those of {2 * begins:.0f} and more, in {span // 2 ** (levels - 1)} points of a sample")  # fmt: skip
    proposal.say("head.first_range", FIRST_RANGE, "steps from a point to the farther end that the first level "
                 f"reaches; each next one twice as far: {', '.join(_ranges(levels))}")  # fmt: skip
    made_of = {**defaults, "levels": levels, "first_range": FIRST_RANGE, "resize": steps}
    if "positions" in made_of:
        made_of["positions"] = steps
    near = defaults.get("window", HEADS["actionformer"].Config().window)
    if isinstance(near, tuple):
        near = near[0]
    made_of["window"] = (near,) * (levels - 1) + (2 * (span // 2 ** (levels - 1)) + 1,) if steps else near
    return made_of


def _ranges(levels: int) -> list[str]:
    edges = [0.0] + [FIRST_RANGE * 2**level for level in range(levels - 1)]
    return [f"{low:g}-{high:g}" for low, high in itertools.pairwise(edges)] + [f"{edges[-1]:g} and more"]


def _span(data: Measured, made: Clips, levels: int, proposal: Proposal, long: float) -> int:
    """Steps of the longest training sample."""
    wanted = max(float(np.quantile(data.durations_s, 0.85)) / made.step_s, 2 * long, 2.0 ** (levels - 1))
    grain = max(2 ** (levels - 1), 2 ** (math.floor(math.log2(wanted)) - 3))
    span = min(max(round(wanted / grain), 1) * grain, LONGEST_SPAN)
    whole = float((data.durations_s / made.step_s <= span).mean())
    why = f"{span * made.step_s:.0f} s: {whole:.0%} of the videos whole"
    why += ", longer ones are cropped at random" if whole < 1 else ""
    why += "; more would cost too much memory" if span < wanted * 0.9 else ""
    proposal.say("sampling.max_length", span, why)
    return span


def windows(
    head: str, defaults: Mapping[str, Any], data: Measured, made: Clips, steps: int | None, proposal: Proposal
) -> dict[str, Any]:
    """Samples of one length."""
    config = {**defaults}
    usual = defaults.get("length", HEADS[head].Config().length)
    long = data.length_s(0.99) / made.step_s
    if steps is not None:  # the map of all segments grows with the square: half of what ActionFormer takes
        length, every = max(32, steps // 2 // 32 * 32), 1
        config |= {"resize": length, "length": length}
        proposal.say("head.resize", length, f"{proposal.reasons['head.resize']}; half of them, since what this head "
                     "keeps grows faster than its samples")  # fmt: skip
    elif head == "afsd":
        length, every = usual, max(1, int(2 * long / usual))
        config |= {"length": length, "every": every}
        proposal.say("head.every", every, "of the features only each so many-th step is read, so that a sample shows "
                     f"{length * every * made.step_s:.1f} s")  # fmt: skip
    else:
        length, every = int(min(max(2 ** math.ceil(math.log2(2 * long)), 64), 512)), 1
        config |= {"length": length}
    if steps is None:
        shown = length * every * made.step_s
        why = f"99 % of the actions last {long * made.step_s:.1f} s or less, a sample {shown:.1f} s"
        proposal.say("head.length", length, why)
    if head == "gtad":
        reach = data.length_s(0.9) / made.step_s
        durations = length if steps else min(length, max(8, math.ceil(reach / 8) * 8))
        config["durations"] = durations
        proposal.say("head.durations", durations, "segments as long as the video" if steps else
                     f"90 % of the actions last {reach:.0f} steps or less; longer segments are not found")  # fmt: skip
    if head == "tadtr":
        most = data.most_within(length * made.step_s)
        queries = max(10, math.ceil(1.25 * most / 10) * 10)
        config["queries"] = queries
        proposal.say("head.queries", queries, f"up to {most} actions begin within one sample; a quarter more to spare")
    return config


def epochs(head: str, published: int, data: Measured, name: str, proposal: Proposal) -> tuple[int, int]:
    """Epochs, and the least number of steps; published: the recipe's."""
    if name == "small":
        proposal.say("optimiser.epochs", published, "the recipe's, or as many as make its least number of steps")
        return published, 0
    if head != "actionformer":
        proposal.say("optimiser.epochs", published, "the recipe's")
        return published, 0
    few, many = (200, 35), (10_000, 15)
    place = min(max(math.log(data.num_videos / few[0]) / math.log(many[0] / few[0]), 0.0), 1.0)
    count = round(few[1] + place * (many[1] - few[1]))
    proposal.say("optimiser.epochs", count, f"{few[1]} were published for {few[0]} videos, {many[1]} for {many[0]:,}: "
                 f"for {data.num_videos:,} in between by their logarithm")  # fmt: skip
    return count, 3500 if data.num_videos < few[0] else 0
