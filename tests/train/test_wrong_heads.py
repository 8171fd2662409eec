"""Heads asked for what they are not: one clear line, nothing begun. A video of hardly any length is no such thing."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import FPS, STRIDE, WINDOW, TinyWorld, seconds, write_features
from small_methods import OPTIONS

from detect.heads import HEADS
from detect.run import main as detect
from evaluate.files.detections import read_detections
from features.storage.store import build_index
from train.recipes import RECIPES
from train.recipes.recipe import NoRecipe
from train.run import main

REFUSED = [
    (head, name, recipe.reason)
    for head, recipes in RECIPES.items()
    for name, recipe in recipes.items()
    if isinstance(recipe, NoRecipe)
]


def small(head: str, **options: object) -> list[str]:
    values = {"model.width": 16, **{f"head.{k}": v for k, v in {**OPTIONS[head], **options}.items()}}
    return [
        "--head",
        head,
        "--recipe",
        "small",
        *(word for k, v in values.items() for word in ("--set", f"{k}={json.dumps(v)}")),
    ]


def refused(world: TinyWorld, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What is said, in one line; nothing is begun."""
    capsys.readouterr()
    assert main(world.arguments(*words, out="wrong", small=False)) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and not (world.runs / "wrong").exists()
    return said.err


@pytest.fixture(scope="module")
def teachers(first_world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Detectors that watch flow, of two heads."""
    out = tmp_path_factory.mktemp("teachers")
    for head in ("actionformer", "tags"):
        words = [*small(head), "--cues", "flow", "--epochs", "1", "--out", str(out / head)]
        where = ["--features", str(first_world.features), "--annotations", str(first_world.annotations)]
        assert main([*where, *words]) == 0
    return out


def test_every_head_has_a_recipe_or_a_reason_for_every_data_set() -> None:
    assert set(RECIPES) == set(HEADS)
    assert all(set(recipes) == {"small", "thumos14", "activitynet13", "multithumos"} for recipes in RECIPES.values())


@pytest.mark.parametrize(("head", "name", "reason"), REFUSED)
def test_a_recipe_that_a_head_lacks_is_refused_with_the_reason_and_those_it_has(
    world: TinyWorld, capsys: pytest.CaptureFixture[str], head: str, name: str, reason: str
) -> None:
    said = refused(world, capsys, "--head", head, "--recipe", name)
    assert f"{head} has no recipe {name}: {reason}" in said and "choose one with --recipe small|" in said


@pytest.mark.parametrize(
    ("head", "teacher", "options", "expected"),
    [
        ("afsd", "actionformer", {}, "differ in head: actionformer and afsd"),
        ("actionformer", "tags", {}, "differ in head: tags and actionformer"),
        ("actionformer", "actionformer", {"names_classes": False}, "{'names_classes': True} and {'names_classes': F"),
        ("actionformer", "actionformer", {"positions": 64}, "{'positions': None} and {'positions': 64}"),
        ("tags", "tags", {"length": 16}, "{'length': 32} and {'length': 16}"),
    ],
)
def test_a_teacher_of_another_head_or_of_one_set_otherwise_is_refused(
    world: TinyWorld,
    teachers: Path,
    capsys: pytest.CaptureFixture[str],
    head: str,
    teacher: str,
    options: dict[str, object],
    expected: str,
) -> None:
    taught = ["--method", "direct", "--teacher", str(teachers / teacher / "detector.pt")]
    said = refused(world, capsys, *small(head, **options), *taught)
    assert expected in said and "give the student the teacher's settings" in said


def test_a_setting_of_another_head_is_refused(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(world, capsys, "--head", "gtad", "--recipe", "small", "--set", "head.queries=5")
    assert "the head 'gtad': it has no setting queries; it has width, length, durations, " in said


@pytest.mark.parametrize("head", [*HEADS, "unnamed"])
def test_videos_of_one_step_and_a_few_are_trained_on_and_detected_in(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch, head: str
) -> None:
    monkeypatch.setitem(HEADS, "unnamed", HEADS["actionformer"])
    annotations = json.loads(world.annotations.read_text())
    lengths = {"one": 1, "two": 2, "five": 5}
    for video, steps in lengths.items():
        for cue in ("rgb", "flow"):
            write_features(world.features, video, cue, np.ones((steps, 12), np.float16))
        action = {"label": "left", "segment": [0.1, seconds(steps - 1)]}
        entry = {"subset": "Training", "duration": seconds(steps + 1), "fps": 15.0, "annotations": [action]}
        annotations["database"][video] = entry
    build_index(world.features)
    world.annotations.write_text(json.dumps(annotations))
    sizes = small(head, min_score=0.0) if head not in ("tadtr",) else small(head)
    assert main(world.arguments(*sizes, "--epochs", "1", "--set", "sampling.batch_size=4", small=False)) == 0
    words = ["--detector", str(world.runs / "run/detector.pt"), "--features", str(world.features)]
    assert detect([*words, "--out", str(world.runs / "found.json"), "--videos", *lengths]) == 0
    found = read_detections(world.runs / "found.json")
    for video, (start, end) in zip(found.video.tolist(), found.segments.tolist(), strict=True):
        assert 0 <= start < end <= ((lengths[found.videos[video]] - 1) * STRIDE + WINDOW + 1) / FPS + 1e-6
