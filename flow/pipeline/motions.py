"""What a motion store can hold, as values: optical flow, or temporal gradients.

motion = MOTIONS["flow"]
task = motion.task(settings)                   # settings: flow.pipeline.settings.FlowSettings
planes = task(motion.prepare(rgb, geometry), motion.prepare(next_rgb, geometry))   # (2, crop, crop)
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

import cv2
import numpy as np

from flow.decode.geometry import Geometry
from flow.pipeline.difference import temporal_gradient
from flow.pipeline.quantised import quantise
from flow.tvl1_common.parameters import Parameters

PairTask = Callable[[np.ndarray, np.ndarray], np.ndarray]  # two prepared frames -> the planes to be stored (P, H, W)


class Made(Protocol):
    """As much of the settings of a store as its values depend on."""

    @property
    def geometry(self) -> Geometry: ...
    @property
    def codec(self) -> str: ...
    @property
    def bound(self) -> float: ...
    @property
    def backend(self) -> str: ...
    @property
    def parameters(self) -> Parameters: ...
    @property
    def solver_options(self) -> dict[str, Any]: ...


class Motion(ABC):
    """What is to be seen between two neighbouring frames."""

    name: str
    command: str  # that computes it
    planes: int  # of a pair
    smallest: int = 1  # pixels of the short side that it can be computed at

    @abstractmethod
    def prepare(self, resized: np.ndarray, geometry: Geometry) -> np.ndarray:
        """A resized RGB frame (H, W, 3) as the task wants it."""

    @abstractmethod
    def task(self, made: Made) -> PairTask:
        """What computes a pair; it may keep memory from pair to pair."""

    @abstractmethod
    def dtype(self, codec: str) -> type[np.generic]:
        """Of the planes."""

    @abstractmethod
    def made_from(self, made: Made) -> dict[str, Any]:
        """Everything beside cue and geometry that changes values, as attributes of a part."""


class Flow(Motion):
    """TV-L1 between gray frames, in pixels along x and along y."""

    name, command, planes, smallest = "flow", "flow.tvl1", 2, 16

    def prepare(self, resized: np.ndarray, geometry: Geometry) -> np.ndarray:
        """Gray and whole."""
        return cv2.cvtColor(resized, cv2.COLOR_RGB2GRAY)

    def task(self, made: Made) -> PairTask:
        """The whole frame is solved and then cropped, so that the border of the crop has real neighbours."""
        from flow.solver import make_solver

        solve, geometry = make_solver(made.backend, **made.solver_options), made.geometry

        def flow_of(before: np.ndarray, after: np.ndarray) -> np.ndarray:
            planes = geometry.crop_center(solve(before, after)).transpose(2, 0, 1)
            return planes.astype(np.float16) if made.codec == "float16" else quantise(planes, made.bound)

        return flow_of

    def dtype(self, codec: str) -> type[np.generic]:
        return np.float16 if codec == "float16" else np.uint8

    def made_from(self, made: Made) -> dict[str, Any]:
        solver = {"opencv": "tvl1-opencv", "cuda": "tvl1-cuda"}.get(made.backend, "tvl1/2")
        parameters = json.dumps(asdict(made.parameters), sort_keys=True)
        stored = {"codec": made.codec, "bound": float(made.bound), "quantiser": "round"}
        return {**stored, "solver": solver, "parameters": parameters}


class Gradient(Motion):
    """The exact difference of two frames in each of their three colours."""

    name, command, planes = "gradient", "flow.gradient", 3

    def prepare(self, resized: np.ndarray, geometry: Geometry) -> np.ndarray:
        """Cropped."""
        return geometry.crop_center(resized)

    def task(self, made: Made) -> PairTask:
        """int16 (3, crop, crop), -255 to 255."""
        return lambda before, after: temporal_gradient(before, after).transpose(2, 0, 1)

    def dtype(self, codec: str) -> type[np.generic]:
        return np.int16

    def made_from(self, made: Made) -> dict[str, Any]:
        return {"codec": "int16"}


MOTIONS: dict[str, Motion] = {motion.name: motion for motion in (Flow(), Gradient())}
