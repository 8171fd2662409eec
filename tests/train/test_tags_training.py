"""TAGS from a store to detections by command: it learns, in windows and resized; recipes and refusals."""

from pathlib import Path

import numpy as np
import pytest
from conftest import TinyWorld, write_world

from detect.heads.tags.head import TAGS
from detect.inference import detect
from detect.model.detector import Detector, DetectorConfig
from detect.run import main as detect_run
from detect.suppress import Suppression
from evaluate.files.annotations import read_annotations
from evaluate.files.detections import read_detections
from evaluate.metrics.average_precision import mean_average_precision
from features.storage.grid import ClipGrid
from train.config import Config
from train.recipes import recipe_for
from train.run import main

SMALL = ["--head", "tags"] + [
    word
    for value in ("model.width=16", "head.length=32", "head.heads=2", "head.head_width=8", "head.tower=[16,16,16]")
    for word in ("--set", value)
]


def detections(world: TinyWorld, run: str) -> Path:
    out = world.runs / run / "detections.json"
    words = ["--detector", str(world.runs / run / "detector.pt"), "--features", str(world.features)]
    assert detect_run([*words, "--annotations", str(world.annotations), "--subset", "Training", "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("options", [[], ["--set", "head.resize=32"]], ids=["windows", "resized"])
def test_it_learns_from_flow_what_happens_when(tmp_path: Path, options: list[str]) -> None:
    world = write_world(tmp_path)
    more = ["--cues", "flow", "--epochs", "120", *options]
    assert main(world.arguments(*SMALL, *more, small=False)) == 0
    truth = read_annotations(world.annotations).subset("Training")
    found = read_detections(detections(world, "run"))
    average = mean_average_precision(truth, found, [0.5]).average_mAP
    assert average > 0.8, average


def test_the_run_takes_the_suppression_of_the_head(world: TinyWorld) -> None:
    assert main(world.arguments(*SMALL, "--epochs", "1", small=False)) == 0
    assert Config.read(world.runs / "run/config.json").suppression == TAGS.suppression == Suppression(sigma=0.1)


@pytest.mark.parametrize("num_steps", [1, 2, 31, 32, 33, 100])
def test_a_video_of_any_length_is_detected(num_steps: int) -> None:
    config = DetectorConfig(
        classes=("left", "right"), feature_dims={"rgb": 6}, width=16, head="tags", head_config={"length": 32}
    )
    x = np.random.default_rng(0).normal(size=(num_steps, 6)).astype(np.float32)
    grid = ClipGrid.regular(num_steps, fps=4, window=1, stride=4)
    found = detect(Detector(config), {"rgb": x}, grid, num_steps)
    assert (found.segments >= 0).all() and (found.segments <= num_steps).all()
    assert (found.segments[:, 1] > found.segments[:, 0]).all() and np.isfinite(found.scores).all()


def test_a_teacher_that_decodes_otherwise_is_welcome_and_one_of_other_masks_is_not(
    world: TinyWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    once = [*SMALL, "--epochs", "1"]
    assert main(world.arguments(*once, "--cues", "flow", "--set", "head.min_run=3", out="flow", small=False)) == 0
    taught = [*once, "--method", "direct", "--teacher", str(world.runs / "flow/detector.pt")]
    assert main(world.arguments(*taught, out="student", small=False)) == 0
    assert main(world.arguments(*taught, "--set", "head.relative=false", out="other", small=False)) == 2
    assert "differ in settings of the head: {'relative': True} and {'relative': False}" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "steps"), [("small", 64), ("thumos14", 256), ("activitynet13", 100)])
def test_every_recipe_makes_a_detector(name: str, steps: int) -> None:
    recipe = recipe_for("tags", name)
    config = DetectorConfig(
        classes=("a", "b"),
        feature_dims={"rgb": 8},
        head="tags",
        width=recipe.model.width,
        head_config=dict(recipe.head),
    )
    assert Detector(config).head.sample.length == steps
    recipe.optimiser_of(TAGS)


def test_there_is_none_for_multithumos_and_the_reason_is_given(
    world: TinyWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(world.arguments("--head", "tags", "--recipe", "multithumos", small=False)) == 2
    said = capsys.readouterr().err
    assert "tags has no recipe multithumos: nobody has published it there" in said and said.count("\n") == 1
    assert not (world.runs / "run").exists()
