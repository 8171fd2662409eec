"""AFSD in whole runs: it learns, detects by command, takes what annotations may hold, and says what it cannot do."""

import json

import numpy as np
import pytest
import torch
from conftest import TinyWorld

import features
from detect.heads.afsd.config import AFSDConfig
from detect.inference import detect_video
from detect.model.detector import Detector
from detect.run import main as detect_run
from evaluate.files.annotations import read_annotations
from evaluate.files.detections import read_detections
from train.assemble import assemble, open_material
from train.config import Config
from train.recipes import RECIPES
from train.recipes.recipe import Recipe
from train.run import main

SIZES = ["model.width=16", "head.length=32", "head.levels=3", "head.groups=2"]


def run(world: TinyWorld, *more: str, out: str = "run", epochs: int = 1) -> int:
    sizes = [word for value in SIZES for word in ("--set", value)]
    return main(world.arguments("--head", "afsd", "--epochs", str(epochs), *sizes, *more, out=out, small=False))


def detected(world: TinyWorld, out: str = "run") -> tuple[int, int]:
    """Videos and detections of the run's detector, by command."""
    path = world.runs / f"{out}.json"
    words = ["--detector", str(world.runs / out / "detector.pt"), "--features", str(world.features)]
    assert detect_run([*words, "--out", str(path)]) == 0
    found = read_detections(path)
    return len(found.videos), len(found)


def recall(detector: Detector, world: TinyWorld) -> float:
    """Share of actions where the surest detection nearby is of their class and overlaps them by half."""
    store, truth = features.open(world.features), read_annotations(world.annotations)
    found = []
    for video, known in truth.videos.items():
        detected, _ = detect_video(detector, store, video)
        for (start, end), label in zip(known.segments, known.labels, strict=True):
            best = -1.0, 0.0
            for (a, b), score, c in zip(detected.segments, detected.scores, detected.labels, strict=True):
                overlap = max(min(b, end) - max(a, start), 0.0) / (max(b, end) - min(a, start))
                if overlap > 0.1:
                    best = max(best, (float(score), overlap if c == label else 0.0))
            found.append(best[1] >= 0.5)
    return float(np.mean(found))


def test_it_learns_what_its_features_say_and_untrained_knows_nothing(world: TinyWorld) -> None:
    """Flow features gain along one axis in "left", along another in "right"; windows of 32 of 40 to 60 steps."""
    learnt = ["--cues", "flow", "--set", "optimiser.learning_rate=4e-3", "--set", "sampling.batch_size=4"]
    assert run(world, *learnt, epochs=60) == 0
    detector = Detector.load(world.runs / "run/detector.pt")
    assert recall(detector, world) >= 0.85
    torch.manual_seed(0)
    assert recall(Detector(detector.config).eval(), world) <= 0.4


def test_a_trained_detector_detects_by_command_in_overlapping_windows(world: TinyWorld) -> None:
    assert run(world) == 0
    videos, count = detected(world)
    assert videos == len(features.open(world.features).videos) and count > 0


def test_every_third_step_and_resized_videos_are_learnt_from_and_detected_on_their_own_grid(world: TinyWorld) -> None:
    for out, setting in (("thirds", "head.every=3"), ("resized", "head.resize=32")):
        assert run(world, "--set", setting, out=out) == 0
        config = Config.read(world.runs / out / "config.json")
        _, samples = assemble(config, open_material(config.data), world.runs / "again")
        lengths = {video.num_steps for video in samples.labelled.videos}
        assert lengths == {32} if out == "resized" else max(lengths) <= 20
        batch = next(iter(samples.batches(0)))
        for row, targets in enumerate(batch.targets):  # the first channel of RGB is 2 within actions, else 0
            assert targets is not None
            for start, end in targets.segments.tolist():
                inside = batch.cues["rgb"][row, 0, int(np.ceil(start)) : int(np.floor(end)) + 1]
                assert len(inside) == 0 or inside.mean() > 1.2
        assert detected(world, out)[0] == len(features.open(world.features).videos)


def test_background_videos_and_actions_with_two_labels_are_learnt_from(world: TinyWorld) -> None:
    annotations = json.loads(world.annotations.read_text())
    names = sorted(annotations["database"])
    annotations["database"][names[0]]["annotations"] = []
    entry = annotations["database"][names[1]]["annotations"]
    other = {"left": "right", "right": "left"}
    entry += [{**action, "label": other[action["label"]]} for action in entry]
    world.annotations.write_text(json.dumps(annotations))
    assert run(world) == 0
    weights = Detector.load(world.runs / "run/detector.pt").state_dict().values()
    assert all(torch.isfinite(value).all() for value in weights)


def test_a_teacher_is_run_on_the_samples_and_its_proposals_are_refined(world: TinyWorld) -> None:
    assert run(world, "--cues", "flow", out="flow") == 0
    teacher = ["--method", "decomposed", "--teacher", str(world.runs / "flow/detector.pt")]
    assert run(world, *teacher, out="student") == 0
    assert "distill/refined_class" in (world.runs / "student/log.csv").read_text().splitlines()[0]
    store = features.open(world.features)
    assert not any(s.startswith("teacher-") for v in store.videos for s in store.streams(v))


def test_a_teacher_that_sees_samples_otherwise_is_refused(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(world, "--cues", "flow", out="flow") == 0
    teacher = ["--method", "direct", "--teacher", str(world.runs / "flow/detector.pt")]
    assert run(world, *teacher, "--set", "head.every=3", out="student") == 2
    assert "differ in settings of the head: {'every': 1} and {'every': 3}" in capsys.readouterr().err
    assert run(world, *teacher, "--set", "head.min_iou=0.7", out="other") == 0, "of training alone"


def test_there_is_no_recipe_for_several_actions_at_once_and_it_says_why(
    world: TinyWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(world, "--recipe", "multithumos") == 2
    said = capsys.readouterr().err
    assert "afsd has no recipe multithumos" in said and "--recipe small|thumos14|activitynet13" in said
    assert not (world.runs / "run").exists()


def test_published_recipes_are_settings_that_the_head_takes() -> None:
    rules = {
        name: AFSDConfig(**{"width": recipe.model.width, **recipe.head}).sample_rule
        for name, recipe in RECIPES["afsd"].items()
        if isinstance(recipe, Recipe)
    }
    assert rules["thumos14"].every == 3 and rules["thumos14"].length == 64
    assert rules["activitynet13"].resize == rules["activitynet13"].length == 96
