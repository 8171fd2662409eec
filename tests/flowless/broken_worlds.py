"""A small sound data set of features, annotations and videos, to be broken in one way at a time."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from small_videos import write_video

from features.storage.grid import ClipGrid
from features.storage.store import Part, build_index, write_part

FPS, WINDOW, STRIDE, WIDTH = 10.0, 16, 4, 24
NAMES = [f"clip{i:02d}" for i in range(12)]


def num_steps(video: str) -> int:
    return 30 + NAMES.index(video)


def seconds(steps: int) -> float:
    return (steps * STRIDE + WINDOW) / FPS


@dataclass
class World:
    """What is written: `place` is "extracted" or "imported" (a store), or "npy" (a folder)."""

    folder: Path
    place: str = "extracted"
    streams: tuple[str, ...] = ("rgb", "flow")
    database: dict[str, Any] = field(default_factory=dict)
    arrays: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    attributes: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    videos: dict[str, tuple[float, int]] | None = None  # seconds, fps
    options: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        draw = np.random.default_rng(0)
        usual = {stream: 5 * draw.random(WIDTH, np.float32) for stream in self.streams}
        for i, video in enumerate(NAMES):
            steps = num_steps(video)
            times = [(1.0, 3.0, "run"), (4.0, 6.5, "jump"), (7.0, 9.0, "run")]
            self.database[video] = {
                "subset": "Test" if i % 3 == 0 else "Training",
                "duration": seconds(steps), "fps": FPS,
                "annotations": [{"segment": [start, end], "label": label} for start, end, label in times],
            }  # fmt: skip
            for stream in self.streams:
                self.arrays[video, stream] = usual[stream] + draw.random((steps, WIDTH), np.float32)
                self.attributes[video, stream] = {}

    def rename(self, change: Callable[[str], str]) -> None:
        """Gives the features other names."""
        self.arrays = {(change(video), stream): array for (video, stream), array in self.arrays.items()}
        self.attributes = {(change(video), stream): more for (video, stream), more in self.attributes.items()}

    def write(self) -> list[str]:
        """Writes it all; the arguments of the doctor."""
        annotations = self.folder / "annotations.json"
        annotations.write_text(json.dumps({"database": self.database}))
        out = ["--features", str(self._features()), "--annotations", str(annotations), *self.options]
        if self.videos is not None:
            for video, (length_s, fps) in self.videos.items():
                write_video(self.folder / "videos" / f"{video}.mp4", length_s, fps)
            out += ["--videos", str(self.folder / "videos")]
        return out

    def _features(self) -> Path:
        if self.place == "npy":
            folder = self.folder / "npy"
            for (video, stream), array in self.arrays.items():
                file = folder / (f"{stream}/{video}.npy" if len(self.streams) > 1 else f"{video}.npy")
                file.parent.mkdir(parents=True, exist_ok=True)
                np.save(file, array)
            if folder.is_dir():
                (folder / "grid.json").write_text(json.dumps({"window": WINDOW, "stride": STRIDE}))
            return folder
        store = self.folder / "store.h5"
        for (video, stream), array in self.arrays.items():
            write_part(store, self._part(video, stream, array))
        return build_index(store)

    def _part(self, video: str, stream: str, array: np.ndarray) -> Part:
        more = self.attributes[video, stream]
        fps = float(more.get("fps", FPS))
        attributes = {
            "fingerprint": f"{video}-{stream}", "feature_id": stream, "window": WINDOW, "stride": STRIDE, "fps": fps,
            "duration_s": seconds(len(array)) * FPS / fps, "video_sha256": f"{video}-bytes", "geometry": "g",
        }  # fmt: skip
        if self.place == "imported":
            attributes |= {"origin": "imported", "imported_from": f"/data/{stream}/{video}.npy"}
        grid = ClipGrid.regular(len(array), fps, WINDOW, STRIDE)
        return Part(video, stream, {"features": array, "t_center": grid.t_center}, attributes | more)
