"""The teacher: asked once per video, believed ever after, and gone from what is deployed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SIZES, TinyWorld, copy_world, write_features

import features
from detect.model.detector import Detector
from features.storage.store import build_index
from train import teacher as teacher_module
from train.assemble import assemble, open_material
from train.config import Config
from train.run import main


@pytest.fixture(scope="session")
def first_taught(first_world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    world = copy_world(first_world, tmp_path_factory.mktemp("taught"))
    assert main(world.arguments("--cues", "flow", "--epochs", "2", out="flow")) == 0
    return world


@pytest.fixture
def taught(first_taught: TinyWorld, tmp_path: Path) -> TinyWorld:
    """A world with a teacher in runs/flow."""
    return copy_world(first_taught, tmp_path)


def distil(world: TinyWorld, *more: str, method: str = "decomposed", out: str = "student") -> int:
    path = str(world.runs / "flow/detector.pt")
    return main(world.arguments("--method", method, "--teacher", path, "--epochs", "1", *more, out=out))


def teacher_stream(store: Path) -> str:
    opened = features.open(store)
    [stream] = [s for s in opened.streams(opened.videos[0]) if s.startswith("teacher-")]
    return stream


def test_cached_answers_are_those_the_teacher_gives_on_the_whole_video(taught: TinyWorld) -> None:
    assert distil(taught) == 0
    store, stream = features.open(taught.features), teacher_stream(taught.features)
    teacher = Detector.load(taught.runs / "flow/detector.pt")
    for video in ("v00", "v03"):
        x = torch.from_numpy(store.read(video, "flow").astype(np.float32)).T[None]
        mask = torch.ones(1, x.shape[2], dtype=torch.bool)
        with torch.no_grad():
            [branch] = teacher.branch_features({"flow": x}, mask)
            predictions = teacher.predict_from([branch], mask)
        cached = store.arrays(video, stream)
        assert np.allclose(cached["branch"], branch[0].numpy(), atol=2e-3)
        for name, value in predictions.items():
            assert np.allclose(cached[f"prediction.{name}"], value.numpy(), atol=1e-5)
    assert stream not in store.streams("v08")  # a test video is nobody's to learn from


def test_only_what_a_student_is_compared_with_is_cached_and_handed_on_by_a_teacher_that_is_run(
    taught: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head whose predictions carry more than `distill` reads says so; here offsets stand for what is too much."""
    teacher = Detector.load(taught.runs / "flow/detector.pt")
    x = np.random.default_rng(0).normal(size=(24, 12)).astype(np.float32)
    everything = teacher_module.answer(teacher, {"flow": x}, torch.device("cpu"))
    monkeypatch.setattr(
        type(teacher.head), "for_student", lambda _, said: {name: said[name] for name in ("logits", "valid")}
    )
    kept = teacher_module.answer(teacher, {"flow": x}, torch.device("cpu"))
    assert set(everything) - set(kept) == {"prediction.offsets"}
    live = teacher_module.LiveTeacher(teacher, torch.device("cpu"))
    view = live({"flow": torch.from_numpy(x.T[None])}, torch.ones(1, 24, dtype=torch.bool))
    assert set(view.predictions) == {"logits", "valid"}


def test_the_teacher_is_asked_once_however_many_students_it_has(
    taught: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    answer = teacher_module.answer
    monkeypatch.setattr(teacher_module, "answer", lambda *a: asked.append(1) or answer(*a))
    assert distil(taught) == 0 and len(asked) == 8
    assert distil(taught, method="direct", out="second") == 0 and len(asked) == 8


def test_a_cached_answer_is_redone_when_its_features_change(taught: TinyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    assert distil(taught) == 0
    x = features.open(taught.features).read("v02", "flow")
    write_features(taught.features, "v02", "flow", x * 2, fingerprint="v02-flow-again")
    build_index(taught.features)
    asked = []
    answer = teacher_module.answer
    monkeypatch.setattr(teacher_module, "answer", lambda *a: asked.append(1) or answer(*a))
    assert distil(taught, out="second") == 0 and len(asked) == 1


def test_a_training_sample_sees_the_part_of_the_teacher_that_belongs_to_its_steps(taught: TinyWorld) -> None:
    store = features.open(taught.features)
    teacher = Detector.load(taught.runs / "flow/detector.pt")
    assert distil(taught) == 0
    config = Config.read(taught.runs / "student/config.json")
    _, samples = assemble(config, open_material(config.data), taught.runs / "again")
    for epoch in range(4):
        for batch in samples.batches(epoch):
            view = batch.teachers["motion"]
            assert view.features is not None
            for row, video in enumerate(batch.videos):
                steps = int(batch.mask[row].sum())
                x = torch.from_numpy(store.read(video, "flow").astype(np.float32)).T[None]
                with torch.no_grad():
                    [branch] = teacher.branch_features({"flow": x}, torch.ones(1, x.shape[2], dtype=torch.bool))
                whole = torch.from_numpy(store.read(video, "rgb").astype(np.float32)).T
                rgb = batch.cues["rgb"][row, :, :steps]
                [start] = [s for s in range(0, x.shape[2] - steps + 1) if torch.equal(whole[:, s : s + steps], rgb)]
                expected = branch[0, :, start : start + steps]
                assert torch.allclose(view.features[row, :, :steps], expected, atol=2e-3)
                assert (view.features[row, :, steps:] == 0).all()
            assert view.predictions["valid"].shape[0] == len(batch.videos)


def test_the_teacher_receives_no_gradient_and_detector_pt_holds_no_teacher_and_no_branch_head(
    taught: TinyWorld,
) -> None:
    before = Detector.load(taught.runs / "flow/detector.pt").state_dict()
    assert distil(taught) == 0
    after = Detector.load(taught.runs / "flow/detector.pt").state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    deployed = Detector.load(taught.runs / "student/detector.pt")
    assert deployed.cues == ("rgb",) and deployed.config.branches == ("rgb", "rgb")
    assert {name.split(".")[0] for name in deployed.state_dict()} == {
        "projections", "fusion", "head", "mean_rgb", "deviation_rgb",
    }  # fmt: skip
    last = torch.load(taught.runs / "student/last.pt", weights_only=True)
    assert any(name.startswith("branch_head") for name in last["method"])
    assert not any("teacher" in name for name in last["method"])


def test_the_deployed_detector_has_the_averaged_weights(taught: TinyWorld) -> None:
    deployed = Detector.load(taught.runs / "flow/detector.pt").state_dict()
    last = torch.load(taught.runs / "flow/last.pt", weights_only=True)
    name = "head.classifier.output.weight"
    assert torch.equal(deployed[name], last["average"][name])
    assert not torch.equal(deployed[name], last["method"][f"detector.{name}"])


def test_the_teacher_is_cached_beside_the_run_where_features_cannot_be_added_to(
    taught: TinyWorld, tmp_path: Path
) -> None:
    folder = tmp_path / "npy"
    folder.mkdir()
    store = features.open(taught.features)
    for video in store.videos:
        both = [np.pad(store.read(video, cue), ((0, 0), (0, 1012))) for cue in ("rgb", "flow")]
        np.save(folder / f"{video}.npy", np.concatenate(both, axis=1))
    where = ["--features", str(folder), "--annotations", str(taught.annotations), "--epochs", "1", *SIZES]
    assert main([*where, "--cues", "flow", "--out", str(tmp_path / "t")]) == 0
    files = sorted(folder.iterdir())
    student = ["--method", "decomposed", "--teacher", str(tmp_path / "t/detector.pt"), "--out", str(tmp_path / "s")]
    assert main([*where, *student]) == 0
    assert sorted(folder.iterdir()) == files
    assert (tmp_path / "s/teacher.h5").exists()


def test_without_a_teacher_nothing_is_trained_and_the_error_tells_how_to_make_one(
    world: TinyWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(world.arguments("--method", "decomposed", "--cue", "gradient")) == 2
    said = capsys.readouterr().err
    assert not (world.runs / "run/detector.pt").exists()
    command = said[said.index("python -m train.run") :].splitlines()[0]
    out = world.runs / "made"
    words = command.split()[3:]
    words[words.index("--out") + 1] = str(out)
    assert main([*words, "--epochs", "1", *SIZES]) == 0  # the remedy works
    teacher = ["--method", "decomposed", "--cue", "gradient", "--teacher", str(out / "detector.pt"), "--epochs", "1"]
    assert main(world.arguments(*teacher)) == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--set", "head.levels=2"], "differ in settings of the head"),
        (["--set", "model.width=32"], "differ in width: 16 and 32"),
        (["--cue", "gradient"], "watches flow, but --cue is gradient"),
        (["--cues", "rgb,flow"], "reads rgb alone"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(
    taught: TinyWorld, capsys: pytest.CaptureFixture[str], options: list[str], expected: str
) -> None:
    assert distil(taught, *options) == 2
    assert expected in capsys.readouterr().err


def test_a_teacher_of_other_features_is_refused(taught: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    for video in features.open(taught.features).videos:
        x = features.open(taught.features).read(video, "flow")
        write_features(taught.features, video, "flow", x, feature_id="other-weights")
    build_index(taught.features)
    assert distil(taught) == 2
    assert "learned from flow features id-of-flow, the store holds other-weights" in capsys.readouterr().err


def test_a_teacher_of_other_classes_is_refused(taught: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    text = taught.annotations.read_text().replace('"left"', '"up"')
    taught.annotations.write_text(json.dumps(json.loads(text)))
    assert distil(taught) == 2
    assert "differ in classes: ('left', 'right') and ('right', 'up')" in capsys.readouterr().err
