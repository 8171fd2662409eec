"""Worlds to choose from: how many videos of which subset, staged how.

A world and the name of one of its videos decide every frame of that video.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from extract.world.photographs import WorldError
from extract.world.untrimmed import ACTIONS, PRETRAINING, Repertoire, Staging, Story, stage

VERSION = 2  # of the code that stages and renders: raised whenever the same settings come to give other frames


@dataclass(frozen=True)
class Subset:
    """A part of the data set, with its own chance that looks follow the class."""

    name: str  # as in annotations.json
    num_videos: int
    bias: float


@dataclass(frozen=True)
class World:
    """The settings of a whole data set."""

    preset: str
    subsets: tuple[Subset, ...]
    seed: int = 0
    staging: Staging = field(default_factory=Staging)
    repertoire: Repertoire = ACTIONS

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise WorldError(f"seed = {self.seed}: expected 0 or more")
        for subset in self.subsets:
            if not 0 <= subset.bias <= 1:
                raise WorldError(f"bias = {subset.bias} of {subset.name}: expected a chance between 0 and 1")

    def entry(self) -> dict[str, object]:
        """What annotations.json says about the world, enough to tell two worlds apart."""
        staging = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self.staging).items()}
        return {
            "version": VERSION,
            "preset": self.preset,
            "seed": self.seed,
            "videos": {subset.name: subset.num_videos for subset in self.subsets},
            "bias": {subset.name: subset.bias for subset in self.subsets},
            "staging": {name: value for name, value in staging.items() if name != "bias"},
        }

    def videos(self) -> dict[str, Subset]:
        """Names of all videos, such as training_0007, and the subset of each."""
        return {
            f"{subset.name.lower()}_{index:04d}": subset
            for subset in self.subsets
            for index in range(subset.num_videos)
        }

    def story(self, video: str) -> Story:
        """Stages one video, whatever happens to the others. Main classes take turns, so that none is rare."""
        subset = self.videos()[video]
        index, classes = int(video.rsplit("_", 1)[1]), self.repertoire.classes
        rng = np.random.default_rng([self.seed, *subset.name.encode(), index])
        return stage(rng, index % len(classes), replace(self.staging, bias=subset.bias), self.repertoire)

    def with_seed(self, seed: int) -> "World":
        return replace(self, seed=seed)

    def with_bias(self, bias: float) -> "World":
        """The same world with another bias everywhere but in TestShifted."""
        return replace(
            self, subsets=tuple(s if s.name == "TestShifted" else replace(s, bias=bias) for s in self.subsets)
        )


SHORT = Staging(duration_s=(16.0, 22.0))
PRESETS: Mapping[str, World] = {
    # For trying a command: half a minute from pixels to detections, and nothing to learn.
    "tiny": World(
        "tiny", (Subset("Training", 4, 0.6), Subset("Test", 2, 0.6)), staging=Staging(duration_s=(8.0, 10.0))
    ),
    "demo": World("demo", (Subset("Training", 40, 0.6), Subset("Test", 20, 0.6)), staging=SHORT),
    "study": World(
        "study",
        (
            Subset("Training", 140, 0.6),
            Subset("Validation", 40, 0.6),
            Subset("Test", 60, 0.6),
            Subset("TestShifted", 60, 0.0),
        ),
    ),
    # What the shipped motion student was taught on: no motion of theirs is an action of the other worlds.
    "pretraining": World("pretraining", (Subset("Training", 160, 0.6),), repertoire=PRETRAINING),
}
