"""Frame rates in training: the detector knows its own, a set of several is told."""

import numpy as np
import pytest
from conftest import TinyWorld, write_features

import features
from detect.model.detector import Detector, DetectorConfig
from detect.run import main as detect
from features.storage.store import build_index
from train.run import main

SHORT = ["--method", "supervised", "--cues", "rgb", "--epochs", "1"]


def test_a_detector_knows_the_steps_per_second_it_was_trained_at(
    world: TinyWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(world.arguments(*SHORT)) == 0
    assert "other rates" not in capsys.readouterr().err
    assert Detector.load(world.runs / "run" / "detector.pt").config.steps_per_s == 15 / 4


def test_videos_of_other_rates_are_told_in_training_and_in_detection(
    world: TinyWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    store = features.open(world.features)
    x = store.read("v00", "rgb")
    store.close()
    write_features(world.features, "v00", "rgb", np.asarray(x), fps=60.0)
    build_index(world.features)
    assert main(world.arguments(*SHORT)) == 0
    assert "the usual video has 3.75 steps/s, but 1 of 8 videos have other rates: v00 (15)" in capsys.readouterr().err
    detector = world.runs / "run" / "detector.pt"
    assert Detector.load(detector).config.steps_per_s == 15 / 4
    out = str(world.runs / "d.json")
    assert detect(["--detector", str(detector), "--features", str(world.features), "--out", out]) == 0
    assert "made for 3.75 steps/s, but 1 of 10 videos have other rates: v00 (15)" in capsys.readouterr().err


def test_detectors_of_before_have_no_rate() -> None:
    text = DetectorConfig(classes=("a",), feature_dims={"rgb": 8}).to_json()
    assert DetectorConfig.from_json(text.replace(', "steps_per_s": 0.0', "")).steps_per_s == 0
