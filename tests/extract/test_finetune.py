"""Fine-tuning: what clips are told for, a backbone that learns it, and a record of whose labels it has seen."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from moving_bars import moving_bars
from own_backbones import FrameNet, TwoPathways

import features
from command.signals import Interrupted
from extract import distill, finetune, motion, synthetic
from extract.backbones import build_backbone
from extract.backbones.base import Backbone, BackboneError
from extract.backbones.checkpoints import WeightsError, read_record, read_state
from extract.backbones.nano import Nano
from extract.cues.cue import CUES
from extract.learning.actions import LabelledVideo, action_targets, held_out, overlaps, united
from extract.learning.batches import ClipArrays
from extract.learning.changes import draw_changes
from extract.learning.steps import DecodedSteps, StoredFlow, bytes_of_a_step
from extract.learning.streaming import Targets, TaughtVideo, VideoClips
from extract.learning.training import train_to_end
from extract.learning.tuning import Classifier, Tuning, TuningEpoch, TuningRecipe
from flow import tvl1
from flow.pipeline import store as flow_store

pytestmark = pytest.mark.usefixtures("one_thread")


# What clips are told for


def video_of(times: np.ndarray, segments: list, labels: list, ambiguous: list | None = None) -> LabelledVideo:
    rows = [np.array(each, float).reshape(-1, 2) for each in (segments, ambiguous or [])]
    return LabelledVideo("v", Path("v.mp4"), "0", times, rows[0], np.array(labels, int), rows[1])


def test_a_clip_counts_for_a_class_as_much_as_it_lies_in_its_actions() -> None:
    clips = video_of(np.arange(33) / 8, [(1.0, 2.0), (1.5, 3.0)], [0, 2]).clips(window=8, stride=4)
    assert len(clips) == 7 and clips.spans[:3].tolist() == [[0.0, 1.0], [0.5, 1.5], [1.0, 2.0]]
    made = clips.targets(3)
    expected = [[0, 0, 0, 0], [1, 0, 0, 0.5], [2 / 3, 0, 1 / 3, 1], [1 / 3, 0, 2 / 3, 1], [0, 0, 1, 1], [0, 0, 1, 0.5]]
    np.testing.assert_allclose(made[:6], expected, atol=1e-6)


def test_times_of_frames_are_those_of_the_file_where_its_rate_varies() -> None:
    times = np.concatenate([np.arange(8) / 8, 1 + np.arange(9) / 2])  # eight frames in a second, then two
    clips = video_of(times, [(2.0, 4.0)], [0]).clips(window=8, stride=8)
    assert clips.spans.tolist() == [[0.0, 1.0], [1.0, 5.0]]
    assert clips.targets(1)[:, -1].tolist() == [0.0, 0.5]


def test_the_same_time_is_not_counted_twice_where_actions_overlap() -> None:
    assert united(np.array([[3.0, 4.0], [0.0, 1.0], [0.5, 2.0], [2.0, 2.5]])).tolist() == [[0.0, 2.5], [3.0, 4.0]]
    assert overlaps(np.array([[0.0, 2.0]]), np.array([[1.0, 9.0], [5.0, 6.0]])).tolist() == [[0.5, 0.0]]


class Numbered:
    """Steps that show their number."""

    bytes_of_one = 1

    def __call__(self, video: str, path: Path, start: int, count: int) -> np.ndarray:
        return np.arange(start, start + count)[:, None]


def given_out(source: VideoClips, epoch: int) -> list[int]:
    return sorted(int(clip[0, 0]) for made in source.epoch(epoch, 1) for clip in made.clips)


@pytest.mark.parametrize("room_bytes", [1e9, 1], ids=["all in memory", "one chunk at a time"])
def test_an_epoch_has_every_clip_in_an_action_and_as_many_of_the_background(room_bytes: float) -> None:
    video = video_of(np.arange(401) / 4, [(20.0, 30.0)], [0], [(50.0, 60.0)])  # a clip a second
    clips = {"v": video.clips(window=4, stride=4)}
    source = VideoClips([TaughtVideo("v", video.path, 100)], Numbered(), action_targets(clips, 1), 4, 4, 0, room_bytes)
    assert source.num_clips == 20 and source.num_clips_of_all == 100
    seen = [[start // 4 for start in given_out(source, epoch)] for epoch in (0, 1, 0)]
    for starts in seen:
        assert len(starts) == 20 and set(range(20, 30)) <= set(starts)
        assert not set(starts) & set(range(50, 60))  # ambiguous
    assert seen[0] == seen[2] != seen[1]
    judged = [int(clip[0, 0]) // 4 for made in source.in_order(8) for clip in made.clips]
    assert judged == [*range(50), *range(60, 100)]


def test_clips_of_background_alone_are_all_learnt_from() -> None:
    use = Targets(lambda v, a, b: np.zeros((b - a, 2), np.float32), 2, lambda v, a, b: np.ones(b - a))
    assert VideoClips([TaughtVideo("v", Path("v"), 5)], Numbered(), use, 1, 1).num_clips == 5


def test_videos_of_one_group_are_held_out_together() -> None:
    groups = {f"{group}-cam{cam}": group for group in "abcdef" for cam in (0, 1)}
    assert held_out(list(groups), groups, 0.33) == {"c-cam0", "c-cam1", "f-cam0", "f-cam1"}
    assert held_out(list(groups), groups, 0.0) == set()


@pytest.mark.parametrize("cue", CUES)
def test_random_changes_leave_what_the_cue_means(cue: str) -> None:
    channels = CUES[cue].channels
    still = torch.zeros(2, channels, 4, 8, 8)
    moving = torch.rand(2, channels, 4, 8, 8)
    changes = draw_changes(cue, 2, 0.35, 0.3, torch.Generator().manual_seed(0))
    assert (changes.change(still).abs().max() > 0.01).item() is (cue == "rgb")  # motion stays where there is none
    assert not torch.allclose(changes.change(moving), moving, atol=0.05)
    if cue == "flow":  # another speed, the same direction
        angle = torch.atan2(moving[:, 1], moving[:, 0])
        made = changes.change(moving)
        torch.testing.assert_close(torch.atan2(made[:, 1], made[:, 0]), angle)


# Learning


def bars(count: int, seed: int = 0) -> ClipArrays:
    """Bars to the left are class 0, to the right class 1; every fourth clip is background: one that stands still."""
    source = moving_bars(count, seed)
    right = source.targets[:, 0] > 0
    targets = np.stack([~right, right, np.ones(count)], 1).astype(np.float32)
    source.clips[::4] = source.clips[::4, :1]
    targets[::4] = 0
    return ClipArrays(source.clips, targets, seed)


def fresh(source: ClipArrays, **changes: Any) -> Tuning:
    recipe = TuningRecipe(**{"batch": 8, "epochs": 2, **changes})
    backbone = build_backbone("nano", "rgb").requires_grad_(True)
    return Tuning(Classifier(backbone, 2, recipe.dropout), recipe, source)


def test_a_backbone_learns_the_class_and_whether_there_is_an_action() -> None:
    training = fresh(bars(48), epochs=7, learning_rate=3e-3)
    train_to_end(training, bars(24, seed=9))
    best = max(training.history, key=lambda epoch: epoch.score or 0)
    assert isinstance(best, TuningEpoch) and best.class_recall and best.inside_recall
    assert best.class_recall > 0.7 and best.inside_recall > 0.7  # chance is a half


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    source, judged = bars(32), bars(8, seed=9)
    whole = train_to_end(fresh(source), judged).state_dict()
    asked = iter([False, False, True, True, True, True])
    with pytest.raises(Interrupted):
        train_to_end(fresh(source), judged, tmp_path / "state.pt", lambda: next(asked))
    torch.manual_seed(123)  # whatever else the process has drawn
    again = fresh(source)
    again.load(tmp_path / "state.pt")
    assert again.step == 3
    resumed = train_to_end(again, judged).state_dict()
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_a_state_of_other_settings_is_refused(tmp_path: Path) -> None:
    fresh(bars(16)).save(tmp_path / "state.pt")
    with pytest.raises(WeightsError, match="other settings"):
        fresh(bars(16), dropout=0.1).load(tmp_path / "state.pt")
    other = fresh(bars(16))
    other.learns_from = "labels that were corrected meanwhile"
    with pytest.raises(WeightsError, match="other videos, labels or clips"):
        other.load(tmp_path / "state.pt")


def test_frozen_layers_stay_as_they_are_to_the_last_running_mean() -> None:
    before = build_backbone("nano", "rgb").state_dict()
    after = train_to_end(fresh(bars(16), frozen="body.2", epochs=1), None).state_dict()
    frozen = ("body.0.", "body.2.")  # between them pooling, which has no weights
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and not [name for name in changed if name.startswith(frozen)]
    assert {name for name in before if name.startswith("body.4.")} <= changed
    with pytest.raises(BackboneError, match=r"--freeze body.9: nano has body.0, body.1, .* and one that learns"):
        fresh(bars(16), frozen="body.9")
    with pytest.raises(BackboneError, match="does not say which layers"):
        Classifier(FrameNet("rgb"), 2, 0.0).freeze("first")


@pytest.mark.parametrize("name", ["frames", "pathways"])
def test_any_network_learns(name: str) -> None:
    backbone: Backbone = {"frames": FrameNet, "pathways": TwoPathways}[name]("rgb")
    before = {weight: value.clone() for weight, value in backbone.state_dict().items()}
    side, reads = backbone.geometry.crop, len(backbone.reads(backbone.window))
    clips = np.random.default_rng(0).integers(0, 256, (4, reads, side, side, 3), dtype=np.uint8)
    source = ClipArrays(clips, np.array([[1, 0, 1], [0, 1, 0.5], [0, 0, 0], [0, 1, 1]], np.float32))
    training = Tuning(Classifier(backbone, 2, 0.3), TuningRecipe(batch=2, epochs=1), source)
    after = train_to_end(training, source).state_dict()
    assert any(not torch.equal(before[weight], after[weight]) for weight in before)


def test_every_setting_changes_what_is_learnt() -> None:
    others = {
        "seed": 1, "epochs": 2, "batch": 4, "learning_rate": 1e-4, "weight_decay": 0.5, "warmup": 0.9, "colour": 0.0,
        "light": 0.0, "head_rate": 1.0, "inside_weight": 0.1, "dropout": 0.0, "label_smoothing": 0.3,
        "frozen": "body.0",
    }  # fmt: skip
    assert {field.name for field in dataclasses.fields(TuningRecipe)} == {*others, "patience"}  # which ends it

    def learnt(**changes: Any) -> dict[str, torch.Tensor]:
        return train_to_end(fresh(bars(16), **{"epochs": 1, **changes}), None).state_dict()

    usual = learnt()
    for name, value in others.items():
        other = learnt(**{name: value})
        assert any(not torch.equal(usual[weight], other[weight]) for weight in usual), name


def test_the_share_of_right_answers_is_a_mean_over_kinds_not_clips() -> None:
    targets = np.array([[1, 0, 1]] * 9 + [[0, 1, 1]] + [[0, 0, 0]] * 10, np.float32)
    source = ClipArrays(np.zeros((20, 16, 64, 64, 3), np.uint8), targets)
    training = fresh(source)
    torch.nn.init.zeros_(training.classifier.classes.weight)
    training.classifier.classes.bias.data = torch.tensor([1.0, 0.0])  # always the first class
    assert training.scores(source)["class_recall"] == 0.5
    only = ClipArrays(source.clips[10:], targets[10:])
    assert "class_recall" not in training.scores(only)


# The command


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of which those to test on are no videos at all, and their flow."""
    folder = tmp_path_factory.mktemp("tuned")
    assert synthetic.main(["--out", str(folder), "--preset", "tiny"]) == 0
    for video in (folder / "videos").glob("test_*"):
        shutil.copy(video, folder / video.name)
    assert tvl1.main(["--videos", str(folder / "videos"), "--out", str(folder / "flow.h5"), "--size", "64",
                      "--crop", "64"]) == 0  # fmt: skip
    for video in (folder / "videos").glob("test_*"):
        video.write_bytes(b"nobody may look at this")
    return folder


def command(world: Path, out: Path, *words: str, cue: str = "rgb") -> list[str]:
    given = ["--videos", str(world / "videos"), "--annotations", str(world / "annotations.json"), "--out", str(out)]
    return [*given, "--backbone", "nano", "--epochs", "1", "--batch", "16", "--threads", "1", "--cue", cue, *words]


def test_stored_flow_is_what_extraction_would_compute(world: Path) -> None:
    video = next((world / "videos").glob("train*"))
    stored = StoredFlow(flow_store.open(world / "flow.h5"), bytes_of_a_step(CUES["flow"], Nano.geometry))
    decoded = DecodedSteps(Nano.geometry, CUES["flow"])
    assert stored.bytes_of_one == decoded.bytes_of_one == 64 * 64 * 2 * 4
    assert np.array_equal(stored(video.stem, video, 3, 5), decoded(video.stem, video, 3, 5))


@pytest.mark.parametrize("cue", ["rgb", "flow", "gradient"])
def test_the_command_teaches_each_cue_and_opens_no_video_to_test_on(
    world: Path, tmp_path: Path, cue: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"{cue}.pt"
    more = ["--flow", str(world / "flow.h5")] if cue == "flow" else []
    assert finetune.main(command(world, out, "--held-out", "0.34", *more, cue=cue)) == 0
    assert "recall on held-out videos: class" in capsys.readouterr().out
    record = read_record(out)
    names = {path.stem for path in (world / "videos").glob("train*")}
    assert set(record["labels_seen"]) == names and set(record["held_out"]) < names
    assert record["cue"] == cue and record["taught_by"] == "annotations.json" and record["init"] == "shipped"
    assert set(read_state(out)) == set(Nano(cue).state_dict())  # no classifier
    log = Path(f"{out}.log.csv").read_text().splitlines()
    assert log[0] == "epoch,step,loss,class_recall,inside_recall" and len(log) == 2
    assert finetune.main(command(world, out, cue=cue)) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_cue_of_motion_begins_with_weights_of_rgb(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, rgb = tmp_path / "flow.pt", Nano.shipped_weights("rgb")
    learnt_little = ["--flow", str(world / "flow.h5"), "--learning-rate", "1e-12", "--init", str(rgb)]
    assert finetune.main(command(world, out, *learnt_little, cue="flow")) == 2
    assert "--first-layer mean begins with those of RGB" in capsys.readouterr().err
    assert finetune.main(command(world, out, *learnt_little, "--first-layer", "mean", cue="flow")) == 0
    assert read_record(out)["first_layer"] == "mean"
    first = next(name for name in read_state(out) if name.endswith("weight"))
    of_rgb, of_flow = (read_state(path)[first].float() for path in (rgb, out))
    for channel in range(2):
        assert torch.allclose(of_flow[:, channel], of_rgb.mean(1), atol=1e-3)
    assert of_rgb.std(1).mean() > 1e-2  # its three channels are not alike


def test_features_and_students_carry_whose_labels_were_seen(world: Path, tmp_path: Path) -> None:
    weights, student, store = tmp_path / "gradient.pt", tmp_path / "student.pt", tmp_path / "f.h5"
    assert finetune.main(command(world, weights, cue="gradient")) == 0
    shutil.copytree(world / "videos", tmp_path / "videos")
    for video in world.glob("test_*.*"):
        shutil.copy(video, tmp_path / "videos")
    of_all = ["--videos", str(tmp_path / "videos"), "--features", str(store)]
    assert motion.main([*of_all, "--backbone", "nano", "--cue", "gradient", "--weights", str(weights)]) == 0
    opened = features.open(store)
    told = {video: opened.attributes(video, "gradient")["labels_seen"] for video in opened.videos}
    assert told == {video: video.startswith("train") for video in opened.videos}
    assert distill.main([*of_all, "--out", str(student), "--epochs", "1", "--batch", "16", "--threads", "1"]) == 0
    assert read_record(student)["labels_seen"] == read_record(weights)["labels_seen"]


def test_a_copy_of_a_video_under_another_name_is_known(world: Path, tmp_path: Path) -> None:
    from extract.pipeline.seen import labels_seen, videos_seen

    weights = tmp_path / "w.pt"
    assert finetune.main(command(world, weights)) == 0
    [(name, sha256), *_] = videos_seen(weights).items()
    assert labels_seen(weights, "another", sha256) == labels_seen(weights, name, "0") == {"labels_seen": True}
    assert labels_seen(weights, "another", "0") == {"labels_seen": False}
    assert labels_seen(None, name, sha256) == {}


def test_wrong_use_is_one_clear_line(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: str, cue: str = "rgb") -> str:
        assert finetune.main(command(world, tmp_path / "w.pt", *words, cue=cue)) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith(("fine-tune", "note"))]
        return lines[-1]

    assert "--flow x.h5: rgb is computed from frames alone" in said("--flow", "x.h5")
    assert "no video of subset 'Nope'" in said("--train-subset", "Nope")
    assert "--group (: no regular expression" in said("--group", "(")
    assert "--group (.*)-cam" in said("--group", "(.*)-cam")
    assert "--freeze body.9: nano has" in said("--freeze", "body.9")
    assert "no such file" in said("--init", str(tmp_path / "none.pt"))
    assert "--first-layer mean: turns weights of RGB" in said("--first-layer", "mean", cue="flow")
    assert "is a twin" in said("--init", str(Path(finetune.__file__).parent / "weights" / "nano_rgb_twin.pt"))
    assert "do not fill a batch" in said("--batch", "4096")
    assert "leaves no video" in said("--held-out", "0.9", "--group", "t")
    truth = json.loads((world / "annotations.json").read_text())
    for row in truth["database"].values():
        row["annotations"] = []
    (tmp_path / "none.json").write_text(json.dumps(truth))
    assert "hold no action" in said("--annotations", str(tmp_path / "none.json"))
    truth["database"] = {f"other_{name}": row for name, row in truth["database"].items()}
    truth["database"]["other_training_0000"]["annotations"] = [{"segment": [0.0, 1.0], "label": "a"}]
    (tmp_path / "other.json").write_text(json.dumps(truth))
    assert "An id is the path below --videos" in said("--annotations", str(tmp_path / "other.json"))
    assert not (tmp_path / "w.pt").exists()
