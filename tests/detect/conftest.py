"""A store of the features of two videos, and an untrained detector of these."""

from pathlib import Path

import pytest
import torch
from drifting import write_video

import features
from detect.detector import Detector, DetectorConfig
from extract import rgb


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of two videos as extract.rgb makes them, with the videos beside."""
    folder = tmp_path_factory.mktemp("world")
    write_video(folder / "videos" / "a.mp4")
    write_video(folder / "videos" / "b" / "c.mp4", num_frames=120, seed=1)
    arguments = ["--videos", str(folder / "videos"), "--features", str(folder / "f.h5"), "--device", "cpu"]
    assert rgb.main([*arguments, "--backbone", "nano"]) == 0
    return folder / "f.h5"


@pytest.fixture
def detector_file(store: Path, tmp_path: Path) -> Path:
    """An untrained detector of these features."""
    torch.manual_seed(0)
    config = DetectorConfig(
        classes=("jump", "spin"),
        feature_dims={"rgb": 1536},
        width=16,
        head_config={"levels": 3},
        feature_ids={"rgb": features.open(store).feature_id("rgb")},
    )
    Detector(config).save(tmp_path / "detector.pt")
    return tmp_path / "detector.pt"
