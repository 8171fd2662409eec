"""A world of features without videos: what a class looks like is a direction in feature space, and known."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from features.storage.store import Part, build_index, write_part

FPS, WINDOW, STRIDE = 15.0, 16, 4
SIZES = ["--set", "model.width=16", "--set", "head.levels=3", "--set", "head.window=5", "--set", "head.heads=2"]


@dataclass(frozen=True)
class TinyWorld:
    features: Path
    annotations: Path
    runs: Path

    def arguments(self, *more: str, out: str = "run", small: bool = True) -> list[str]:
        """Of train.run on this world, with a detector of a few thousand weights."""
        where = [
            "--features",
            str(self.features),
            "--annotations",
            str(self.annotations),
            "--out",
            str(self.runs / out),
        ]
        return [*where, *(SIZES if small else []), *more]


def draw_actions(generator: np.random.Generator, num_steps: int) -> list[tuple[float, float, str]]:
    """Actions of 5 to 9 steps with gaps between them, in steps, of class "left" or "right"."""
    actions, at = [], float(generator.integers(2, 6))
    while at + 10 < num_steps:
        length = float(generator.integers(5, 10))
        actions.append((at, at + length, ["left", "right"][int(generator.integers(2))]))
        at += length + float(generator.integers(4, 9))
    return actions


def features_of(
    actions: list[tuple[float, float, str]], num_steps: int, cue: str, generator: np.random.Generator
) -> np.ndarray:
    """(T, 12) noise; inside an action RGB gains along axis 0, motion along axis 1 ("left") or 2 ("right") as well."""
    x = 0.3 * generator.standard_normal((num_steps, 12))
    for start, end, label in actions:
        inside = slice(int(np.ceil(start)), int(np.floor(end)) + 1)
        x[inside, 0] += 2.0
        x[inside, 1 if label == "left" else 2] += 0.7 if cue == "rgb" else 2.0
    return x.astype(np.float16)


def write_features(store: Path, video: str, stream: str, x: np.ndarray, **attributes: object) -> None:
    times = (np.arange(len(x)) * STRIDE + WINDOW / 2) / FPS
    frames = (len(x) - 1) * STRIDE + WINDOW + 1
    values = {
        "fingerprint": f"{video}-{stream}",
        "feature_id": f"id-of-{stream}",
        "window": WINDOW,
        "stride": STRIDE,
        "geometry": "none",
        "fps": FPS,
        "num_frames": frames,
        "duration_s": frames / FPS,
        "video_sha256": video,
        **attributes,
    }
    write_part(store, Part(video, stream, {"features": x, "t_center": times}, values))


def seconds(steps: float) -> float:
    return (steps * STRIDE + WINDOW / 2) / FPS


def copy_world(world: TinyWorld, folder: Path) -> TinyWorld:
    shutil.copytree(world.features.parent, folder, dirs_exist_ok=True)
    return TinyWorld(folder / "features.h5", folder / "annotations.json", folder / "runs")


def write_world(folder: Path, num_videos: int = 8) -> TinyWorld:
    generator = np.random.default_rng(0)
    store, database = folder / "features.h5", {}
    for n in range(num_videos + 2):
        video, num_steps = f"v{n:02d}", int(generator.integers(40, 60))
        actions = draw_actions(generator, num_steps)
        for cue in ("rgb", "flow", "gradient"):
            write_features(store, video, cue, features_of(actions, num_steps, cue, generator))
        frames = (num_steps - 1) * STRIDE + WINDOW + 1
        database[video] = {
            "subset": "Training" if n < num_videos else "Test",
            "duration": frames / FPS,
            "fps": FPS,
            "annotations": [
                {"label": label, "segment": [seconds(start), seconds(end)]} for start, end, label in actions
            ],
        }
    build_index(store)
    annotations = folder / "annotations.json"
    annotations.write_text(json.dumps({"database": database}))
    return TinyWorld(store, annotations, folder / "runs")


@pytest.fixture(scope="session")
def first_world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def world(first_world: TinyWorld, tmp_path: Path) -> TinyWorld:
    """8 training and 2 test videos of 40 to 60 steps, to do with as a test likes."""
    return copy_world(first_world, tmp_path)
