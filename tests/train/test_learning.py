"""Training makes detectors that detect: against known truth, with a bar that an untrained student fails."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TinyWorld, seconds, write_world

import features
from detect.heads.actionformer.head import ActionFormer
from detect.model.detector import Detector
from evaluate.files.annotations import read_annotations
from evaluate.files.subsets import training_subset
from train.assemble import assemble, open_material
from train.config import Config
from train.log import read
from train.recipes import RECIPES
from train.recipes.actionformer import SMALL
from train.recipes.recipe import NoRecipe, automatic
from train.run import main


def recall(detector: Detector, world: TinyWorld, subset: str) -> float:
    """Share of actions where the surest candidate nearby is of their class and overlaps them by half."""
    store, truth = features.open(world.features), read_annotations(world.annotations).subset(subset)
    found = total = 0
    for video, known in truth.videos.items():
        x = {cue: torch.from_numpy(store.read(video, cue).astype(np.float32)).T[None] for cue in detector.cues}
        mask = torch.ones(1, store.grid(video).num_steps, dtype=torch.bool)
        with torch.no_grad():
            [candidates] = detector.head.decode(detector(x, mask))
        segments = store.grid(video).to_seconds(candidates.segments.double().numpy())
        for (start, end), label in zip(known.segments, known.labels, strict=True):
            best = -1.0, 0.0
            for (a, b), score, c in zip(segments, candidates.scores.tolist(), candidates.labels.tolist(), strict=True):
                overlap = max(min(b, end) - max(a, start), 0.0) / (max(b, end) - min(a, start))
                if overlap > 0.1:
                    best = max(best, (score, overlap if c == label else 0.0))
            total, found = total + 1, found + (best[1] >= 0.5)
    return found / total


def test_a_detector_learns_what_its_features_say_and_an_untrained_one_knows_nothing(world: TinyWorld) -> None:
    learnt = [
        "--cues",
        "flow",
        "--epochs",
        "60",
        "--set",
        "optimiser.learning_rate=4e-3",
        "--set",
        "sampling.batch_size=4",
    ]
    assert main(world.arguments(*learnt, out="flow")) == 0
    detector = Detector.load(world.runs / "flow/detector.pt")
    assert recall(detector, world, "Training") >= 0.95
    torch.manual_seed(0)
    assert recall(Detector(detector.config).eval(), world, "Training") <= 0.4
    rows = read(world.runs / "flow/log.csv")
    assert float(rows[-1]["loss"]) < 0.3 * float(rows[0]["loss"])


def test_a_run_can_be_run_again_from_its_config(world: TinyWorld) -> None:
    assert main(world.arguments("--epochs", "2", "--seed", "5", "--set", "optimiser.clip_norm=0.5")) == 0
    assert main(["--config", str(world.runs / "run/config.json"), "--out", str(world.runs / "again")]) == 0
    first, second = (Config.read(world.runs / run / "config.json") for run in ("run", "again"))
    assert first == second and first.optimiser.clip_norm == 0.5 and first.seed == 5
    assert (world.runs / "run/log.csv").read_text() == (world.runs / "again/log.csv").read_text()


def test_a_run_folder_tells_its_whole_story(world: TinyWorld) -> None:
    assert main(world.arguments("--epochs", "2")) == 0
    names = {
        path.name.split(".")[0] if "tfevents" in path.name else path.name for path in (world.runs / "run").iterdir()
    }
    assert names == {"config.json", "log.csv", "last.pt", "detector.pt", "events"}
    rows = read(world.runs / "run/log.csv")
    assert list(rows[0]) == ["epoch", "step", "learning_rate", "loss", "joint/class", "joint/offset", "gradient_norm"]
    assert [row["step"] for row in rows] == ["1", "2"]


def test_the_recipe_follows_the_amount_of_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = write_world(tmp_path, num_videos=2)
    assert main(world.arguments("--epochs", "1")) == 0
    assert "recipe small: 2 videos with" in capsys.readouterr().err
    assert Config.read(world.runs / "run/config.json").recipe == "small"
    big = ["--recipe", "thumos14", "--set", "sampling.max_length=64", "--set", "model.normalise=true"]
    assert main(world.arguments(*big, "--epochs", "1", out="big")) == 0
    config = Config.read(world.runs / "big/config.json")
    assert config.recipe == "thumos14" and config.optimiser.learning_rate == 1e-4 and config.model.normalise


@pytest.mark.parametrize(("videos", "epochs", "warmup"), [(8, 500, 50), (40, 100, 10), (140, 40, 4)])
def test_the_small_recipe_is_chosen_by_steps_and_not_by_epochs(videos: int, epochs: int, warmup: int) -> None:
    assert SMALL.optimiser_of(ActionFormer).lengths(videos // SMALL.sampling.batch_size) == (epochs, warmup)


def test_a_head_without_a_recipe_for_the_data_says_why_and_which_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = NoRecipe("its authors never trained it there")
    monkeypatch.setitem(RECIPES, "actionformer", {"small": SMALL, "multithumos": nothing})
    world = write_world(tmp_path)
    assert main(world.arguments("--recipe", "multithumos")) == 2
    assert "actionformer has no recipe multithumos: its authors never trained it there" in capsys.readouterr().err
    assert not (world.runs / "run").exists()


@pytest.fixture
def real(shared_data: Path, tmp_path: Path) -> list[str]:
    """Real two-stream I3D features of gym exercises: clips joined into untrimmed sequences of 24 and more steps."""
    clips = np.load(shared_data / "features/gym_i3d/features.npz")
    labels = json.loads((shared_data / "features/gym_i3d/annotations.json").read_text())["database"]
    folder, database = tmp_path / "npy", {}
    folder.mkdir()
    names = iter(sorted(clips.files))
    for n in range(12):
        pieces: list[np.ndarray] = []
        annotations = []
        while sum(map(len, pieces)) < 24:
            name = next(names)
            at = sum(map(len, pieces))
            pieces.append(clips[name].astype(np.float32))
            # whole-clip labels, in seconds: clips start every 64 frames and last 16, at 30 fps
            segment = [(s * 64 + 8) / 30 for s in (at - 0.125, at + len(pieces[-1]) - 0.5)]
            annotations.append({"label": labels[name]["annotations"][0]["label"], "segment": segment})
        sequence = np.concatenate(pieces)
        np.save(folder / f"sequence{n}.npy", sequence)
        database[f"sequence{n}"] = {
            "subset": "training", "duration": (len(sequence) * 64 + 16) / 30, "fps": 30.0, "annotations": annotations,
        }  # fmt: skip
    (tmp_path / "annotations.json").write_text(json.dumps({"database": database}))
    sizes = ["--set", "model.width=32", "--set", "head.levels=3", "--set", "data.stride=64", "--set", "data.window=16"]
    return ["--features", str(folder), "--annotations", str(tmp_path / "annotations.json"), "--epochs", "6", *sizes]


def test_real_published_style_features_train_every_method(real: list[str], tmp_path: Path) -> None:
    for name, options in (
        ("rgb", ["--cues", "rgb"]),
        ("flow", ["--cues", "flow"]),
        ("decomposed", ["--method", "decomposed", "--teacher", str(tmp_path / "flow/detector.pt")]),
    ):
        assert main([*real, *options, "--out", str(tmp_path / name)]) == 0
        rows = read(tmp_path / name / "log.csv")
        assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
        assert Detector.load(tmp_path / name / "detector.pt").config.stride == 64


def test_the_tiny_world_is_timed_as_it_says() -> None:
    assert seconds(0) == pytest.approx(8 / 15) and seconds(10) == pytest.approx(48 / 15)


def test_videos_resized_to_one_length_are_taught_on_the_resized_grid(world: TinyWorld) -> None:
    resized = ["--epochs", "1", "--set", "head.resize=32", "--set", "sampling.crop_ratio=[1,1]"]
    assert main(world.arguments(*resized, "--cues", "flow", out="flow")) == 0
    teacher = ["--method", "decomposed", "--teacher", str(world.runs / "flow/detector.pt")]
    assert main(world.arguments(*resized, *teacher, out="student")) == 0
    config = Config.read(world.runs / "student/config.json")
    _, samples = assemble(config, open_material(config.data), world.runs / "again")
    [batch] = samples.batches(0)
    assert batch.mask.shape == (8, 32) and batch.mask.all()
    taught = batch.teachers["motion"].features
    assert taught is not None and taught.shape[2] == 32
    for row, targets in enumerate(batch.targets):
        assert targets is not None
        for start, end in targets.segments.round().int().tolist():
            assert batch.cues["rgb"][row, 0, start + 1 : end].mean() > 1.2  # the axis of every action


def test_published_data_sets_are_known_by_their_classes(shared_data: Path) -> None:
    for name, subset in (("thumos14", "Validation"), ("multithumos", "Validation"), ("activitynet13", "Training")):
        truth = read_annotations(shared_data / f"{name}.json")
        assert training_subset(truth) == subset
        assert automatic(200, 350_000, truth.dataset)[0] == name
    assert automatic(200, 49_999, "thumos14")[0] == "small"
    assert automatic(200, 350_000, None)[0] == "thumos14"


def test_a_run_takes_as_many_steps_as_were_asked_for(world: TinyWorld) -> None:
    """8 videos in batches of 4 are 2 steps an epoch: 2 epochs of them hold 4 of 9 steps, 5 hold 10."""
    few = ["--epochs", "2", "--set", "sampling.batch_size=4"]
    assert main(world.arguments(*few, "--set", "optimiser.min_steps=9")) == 0
    assert [row["step"] for row in read(world.runs / "run/log.csv")] == ["2", "4", "6", "8", "10"]
    assert main(world.arguments(*few, out="short")) == 0
    assert len(read(world.runs / "short/log.csv")) == 2
