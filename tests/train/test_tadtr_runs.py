"""TadTR in whole runs: its recipes, what learns slowly, windows of long videos, detections by command."""

import pytest
import torch
from conftest import TinyWorld

import features
from detect.heads.tadtr.head import TadTR
from detect.model.detector import Detector
from detect.run import main as detect_run
from evaluate.files.detections import read_detections
from train.assemble import assemble, open_material
from train.config import Config
from train.recipes import recipe_for
from train.run import main

SIZES = ["model.width=16", "head.length=24", "head.heads=2", "head.encoder=1", "head.decoder=2", "head.queries=5"]
SMALL = ["--head", "tadtr", *(word for value in SIZES for word in ("--set", value))]


def test_a_video_of_several_windows_is_learnt_and_detected_by_command(world: TinyWorld) -> None:
    assert main(world.arguments(*SMALL, "--epochs", "2", small=False)) == 0
    config = Config.read(world.runs / "run/config.json")
    _, samples = assemble(config, open_material(config.data), world.runs / "again")
    assert len(samples) > 2 * len(samples.labelled.videos)
    out = world.runs / "detections.json"
    words = ["--detector", str(world.runs / "run/detector.pt"), "--features", str(world.features), "--out", str(out)]
    assert detect_run(words) == 0
    assert len(read_detections(out).videos) == len(features.open(world.features).videos)
    assert Detector.load(world.runs / "run/detector.pt").suppression == TadTR.suppression


def test_what_says_where_to_look_learns_at_a_tenth_of_the_rate(world: TinyWorld) -> None:
    assert main(world.arguments(*SMALL, "--epochs", "1", "--cues", "rgb,flow", small=False)) == 0
    config = Config.read(world.runs / "run/config.json")
    run, _ = assemble(config, open_material(config.data), world.runs / "again")
    shares = {id(p): group["share"] for group in run.optimiser.param_groups for p in group["params"]}
    slow = {name for name, p in run.method.named_parameters() if shares[id(p)] == 0.1}
    assert slow == {n for n, _ in run.method.named_parameters() if ".offsets." in n or ".decoder.reference." in n}
    assert {name.split(".")[0] for name in slow} == {"detector", "branch_head"}
    saved = torch.load(world.runs / "run/last.pt", weights_only=True)["optimiser"]["param_groups"]
    rates = {group["share"]: group["lr"] for group in saved}
    assert rates[0.1] == pytest.approx(0.1 * rates[1.0])


@pytest.mark.parametrize(("name", "why"), [("activitynet13", "have not released"), ("multithumos", "nobody has")])
def test_data_that_it_was_not_published_on_is_refused_with_the_reason(
    world: TinyWorld, capsys: pytest.CaptureFixture[str], name: str, why: str
) -> None:
    assert main(world.arguments("--head", "tadtr", "--recipe", name, small=False)) == 2
    said = capsys.readouterr().err
    assert f"tadtr has no recipe {name}" in said and why in said and "--recipe small|thumos14" in said
    assert not (world.runs / "run").exists()


def test_the_recipe_of_thumos14_is_the_published_one() -> None:
    recipe = recipe_for("tadtr", "thumos14")
    optimiser = recipe.optimiser_of(TadTR)
    assert (optimiser.learning_rate, optimiser.weight_decay, optimiser.clip_norm) == (2e-4, 1e-4, 0.1)
    assert optimiser.ema == 0.0 and recipe.sampling.batch_size == 8 and recipe.sampling.min_overlap == 0.75
    rule = TadTR.sample_rule(TadTR.Config())
    assert rule.length == 256 and rule.overlap == 0.75 and rule.training_samples(8805) == 46
