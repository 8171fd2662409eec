"""Settings that belong together, for one head on one kind of data, each number with where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from detect.heads.base import Head
from detect.model.architecture import Architecture
from detect.naming import TOP
from detect.suppress import Suppression
from train.config import Optimiser, Sampling

NAMES = ("small", "thumos14", "activitynet13", "multithumos")
FEW_STEPS = 50_000  # of features: THUMOS'14 has 200 videos and 350,000 steps, the demo 40 and 3,000


@dataclass(frozen=True)
class Recipe:
    """What one head wants on one kind of data: of optimiser, suppression and head what differs from the head's own."""

    sampling: Sampling = field(default_factory=Sampling)
    model: Architecture = field(default_factory=Architecture)
    optimiser: Mapping[str, Any] = field(default_factory=dict)
    suppression: Suppression | None = None
    head: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "float32"  # "auto" where bfloat16 was measured to be faster

    def optimiser_of(self, head: type[Head]) -> Optimiser:
        """The head's own wishes, then the recipe's, over the defaults."""
        return Optimiser(**{**head.optimiser, **self.optimiser})


@dataclass(frozen=True)
class NoRecipe:
    """There is none for this head on this kind of data, and why."""

    reason: str


# Optimiser and sampling of a few dozen short videos, for every head: trained in a minute on one core.
SMALL_SAMPLING = Sampling(batch_size=8, max_length=256)  # 8 trains better than 16 on few videos
SMALL_MODEL = Architecture(width=64, dropout=0.1, normalise=True)
SMALL_OPTIMISER: Mapping[str, Any] = {
    "epochs": 40,
    "warmup_epochs": 4,
    "min_steps": 500,  # 40 videos make 200 steps in 40 epochs, after which every method is under-trained
    "learning_rate": 2e-3,
    "weight_decay": 0.03,
    "ema": 0.99,  # .999 would still hold the first weights after some hundred steps
    "ema_warmup": True,
    "threads": 1,
}


def fused_later(sigma: float, max_per_video: int, voting: float | None = None) -> Suppression:
    """The suppression, class by class of the scores that `detect.naming` gives, that does what a published one does to
    candidates of no class before they are named.

    A named score is the root of the product of the candidate's and its class's. Of the scores of one class the root
    decays by the root of what scores decay by, exp(-IoU² / 2 sigma): the same order, the same candidates. Each may be
    kept once for every class that it is given.
    """
    return Suppression(sigma=2 * sigma, max_per_video=TOP * max_per_video, voting=voting)


def automatic(num_videos: int, num_steps: int, dataset: str | None) -> tuple[str, str]:
    """The recipe for so much data of a published data set, or of none, and the sentence that says why."""
    size = f"{num_videos} videos with {num_steps:,} steps"
    if num_steps < FEW_STEPS:
        return "small", f"recipe small: {size}, fewer than {FEW_STEPS:,}"
    if dataset in NAMES:
        return dataset, f"recipe {dataset}: by its class names; {size}"
    return "thumos14", f"recipe thumos14: {size}, at least {FEW_STEPS:,}"
