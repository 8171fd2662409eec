"""Small videos, a store of their features and an untrained detector of these."""

from pathlib import Path

import av
import numpy as np
import torch

import features
from detect.model.detector import Detector, DetectorConfig
from extract import rgb


def write_video(path: Path, num_frames: int = 80, seed: int = 0, noise: bool = False) -> Path:
    """Texture that drifts, 80 x 64 at 20 frames a second."""
    texture = np.random.default_rng(seed).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    image = np.kron(texture, np.ones((8, 8, 1), np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuv420p"
        for index in range(num_frames):
            if noise:  # does not compress
                image = np.random.default_rng(index).integers(0, 256, image.shape, dtype=np.uint8)
            shifted = np.ascontiguousarray(np.roll(image, index, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shifted, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def make_store(folder: Path) -> Path:
    """Features of two videos as extract.rgb makes them, with the videos beside."""
    write_video(folder / "videos" / "a.mp4")
    write_video(folder / "videos" / "b" / "c.mp4", num_frames=120, seed=1)
    arguments = ["--videos", str(folder / "videos"), "--features", str(folder / "f.h5"), "--device", "cpu"]
    assert rgb.main([*arguments, "--backbone", "nano"]) == 0
    return folder / "f.h5"


SMALL: dict[str, dict[str, object]] = {
    "actionformer": {"levels": 3},
    "afsd": {"length": 16, "levels": 3, "groups": 2},
    "gtad": {"length": 16, "durations": 8, "groups": 4, "bins": 4, "hidden": 16, "map_width": 8},
    "tadtr": {"length": 8, "heads": 2, "encoder": 1, "queries": 4},  # 8: windows
    "tags": {"length": 16, "head_width": 8},
}


def make_detector(store: Path, path: Path, head: str = "actionformer", **options: object) -> Path:
    """An untrained detector of these features; options of its head."""
    torch.manual_seed(0)
    config = DetectorConfig(
        classes=("jump", "spin"),
        feature_dims={"rgb": 1536},
        width=16,
        head=head,
        head_config={**SMALL[head], **options},
        feature_ids={"rgb": features.open(store).feature_id("rgb")},
    )
    Detector(config).save(path)
    return path
