"""Settings that belong together: one function for each kind of data, each number with where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from detect.architecture import Architecture
from detect.heads.base import Head
from train.config import Optimiser, Sampling

FEW_STEPS = 50_000  # of features: THUMOS'14 has 200 videos and 350,000 steps, the demo 40 and 3,000


@dataclass(frozen=True)
class Recipe:
    """What a data set wants; `optimiser` holds what differs from the defaults of the optimiser and of the head for it,
    `heads` what differs from a head's own defaults, by head."""

    sampling: Sampling = field(default_factory=Sampling)
    model: Architecture = field(default_factory=Architecture)
    optimiser: Mapping[str, Any] = field(default_factory=dict)
    heads: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def optimiser_of(self, head: type[Head]) -> Optimiser:
        return Optimiser(**{**head.optimiser, **self.optimiser})


def small() -> Recipe:
    """A few dozen short videos, trained in a minute on one core: narrow, few levels, many small steps."""
    return Recipe(
        sampling=Sampling(batch_size=8, max_length=256, crop_ratio=(0.9, 1.0)),  # 8 trains better than 16 on few videos
        model=Architecture(width=64, dropout=0.1, normalise=True),
        optimiser={
            "epochs": 40,
            "warmup_epochs": 4,
            "min_steps": 500,  # 40 videos make 200 steps in 40 epochs, after which every method is under-trained
            "learning_rate": 2e-3,
            "weight_decay": 0.03,
            "ema": 0.99,  # .999 would still hold the first weights after some hundred steps
            "ema_warmup": True,
            "threads": 1,
        },
        heads={
            "actionformer": {
                "levels": 4,  # the last takes 32 steps and more
                "window": 9,  # 2.4 s
                "stem": 1,
                "normaliser": 50.0,  # positives in a batch of 8 videos of 20 s
            }
        },
    )


def thumos14() -> Recipe:
    """ActionFormer's own settings, which are the defaults throughout: 200 videos, stride 4 at 30 fps."""
    return Recipe()


def activitynet13() -> Recipe:
    """ActionFormer's for ActivityNet-1.3, but with all classes in the head where it has one and outside scores."""
    return Recipe(
        sampling=Sampling(batch_size=16, max_length=192),
        model=Architecture(width=256),
        optimiser={"epochs": 15, "warmup_epochs": 5, "learning_rate": 1e-3},
        heads={
            "actionformer": {
                "resize": 192,
                "window": (7, 7, 7, 7, 7, 13),  # the last sees all of its level
                "label_smoothing": 0.1,
                "offset_weight": 2.0,
                "normaliser": 200.0,
            }
        },
    )


def multithumos() -> Recipe:
    """THUMOS'14's settings: the same videos under 65 dense classes (OpenTAD changes nothing else)."""
    return thumos14()


RECIPES: dict[str, Callable[[], Recipe]] = {
    "small": small,
    "thumos14": thumos14,
    "activitynet13": activitynet13,
    "multithumos": multithumos,
}


def automatic(num_videos: int, num_steps: int, dataset: str | None) -> tuple[str, str]:
    """The recipe for so much data of a published data set, or of none, and the sentence that says why."""
    size = f"{num_videos} videos with {num_steps:,} steps"
    if num_steps < FEW_STEPS:
        return "small", f"recipe small: {size}, fewer than {FEW_STEPS:,}"
    if dataset in RECIPES:
        return dataset, f"recipe {dataset}: by its class names; {size}"
    return "thumos14", f"recipe thumos14: {size}, at least {FEW_STEPS:,}"
