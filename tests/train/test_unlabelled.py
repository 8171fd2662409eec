"""Videos without labels, teachers of the joint head, streams made from RGB: whole runs, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TinyWorld, copy_world, write_features

import features
from detect.model.detector import Detector
from detect.run import main as detect
from features.storage.store import build_index, part_path
from train import teacher as teacher_module
from train.assemble import assemble, open_material
from train.config import Config
from train.data.dataset import Samples
from train.log import read
from train.run import main
from train.teacher import motion_branch


@pytest.fixture(scope="session")
def first_taught(first_world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    world = copy_world(first_world, tmp_path_factory.mktemp("two_teachers"))
    add_motion_student(world)
    for out, cues in (("flow", "flow"), ("two", "rgb,flow"), ("motions", "flow,gradient")):
        assert main(world.arguments("--cues", cues, "--epochs", "1", out=out)) == 0
    return world


@pytest.fixture
def taught(first_taught: TinyWorld, tmp_path: Path) -> TinyWorld:
    """A world with a stream rgb_motion, and with teachers in runs/flow, runs/two and runs/motions."""
    return copy_world(first_taught, tmp_path)


def add_motion_student(world: TinyWorld) -> None:
    store = features.open(world.features)
    for video in store.videos:
        mixed = (store.read(video, "rgb") + store.read(video, "flow")) / 2
        write_features(world.features, video, "rgb_motion", mixed, cue="rgb")
    build_index(world.features)


def second_store(world: TinyWorld, folder: Path, streams: tuple[str, ...] = ("rgb", "rgb_motion", "flow")) -> Path:
    """A store of its own with 3 videos that no annotation knows."""
    other, store = folder / "other.h5", features.open(world.features)
    for video in ("v01", "v02", "v03"):
        for stream in streams:
            write_features(other, f"home_{video}", stream, store.read(video, stream))
    build_index(other)
    return other


def distil(world: TinyWorld, *more: str, method: str = "decomposed", out: str = "student") -> int:
    path = str(world.runs / "flow/detector.pt")
    return main(world.arguments("--method", method, "--teacher", path, "--epochs", "1", *more, out=out))


def samples_of(world: TinyWorld, run: str) -> Samples:
    config = Config.read(world.runs / run / "config.json")
    return assemble(config, open_material(config.data), world.runs / "again")[1]


def names(world: TinyWorld, run: str) -> tuple[list[str], list[str]]:
    samples = samples_of(world, run)
    assert samples.unlabelled is not None
    return [video.name for video in samples.labelled.videos], [video.name for video in samples.unlabelled.videos]


# ---- which videos


def test_a_subset_without_labels_leaves_out_what_is_labelled(
    taught: TinyWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distil(taught, "--train-videos", "3", "--unlabelled-subset", "training") == 0
    said = capsys.readouterr().err
    assert "3 videos with labels, 5 without" in said and "without --joint-teacher the deployed head hears" in said
    assert names(taught, "student") == (["v00", "v01", "v02"], ["v03", "v04", "v05", "v06", "v07"])


def test_labelled_videos_may_be_listed_in_a_file(taught: TinyWorld, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("v05\nv01\n\n")
    assert distil(taught, "--train-videos", str(tmp_path / "list.txt"), "--unlabelled-subset", "Test") == 0
    assert names(taught, "student") == (["v05", "v01"], ["v08", "v09"])


def test_only_some_of_the_videos_without_labels(taught: TinyWorld, tmp_path: Path) -> None:
    options = ["--train-videos", "3", "--unlabelled-subset", "Training", "--unlabelled-videos"]
    assert distil(taught, *options, "2") == 0
    assert names(taught, "student") == (["v00", "v01", "v02"], ["v03", "v04"])
    (tmp_path / "list.txt").write_text("v07\nv04\n")
    assert distil(taught, *options, str(tmp_path / "list.txt"), "--overwrite") == 0
    assert names(taught, "student")[1] == ["v07", "v04"]


def test_a_supervised_run_may_learn_from_fewer_videos_too(taught: TinyWorld) -> None:
    assert main(taught.arguments("--train-videos", "3", "--epochs", "1", out="few")) == 0
    assert len(samples_of(taught, "few").labelled.videos) == 3


def test_a_store_of_videos_without_labels(taught: TinyWorld, tmp_path: Path) -> None:
    other = second_store(taught, tmp_path)
    joint = ["--joint-teacher", str(taught.runs / "two/detector.pt")]
    assert distil(taught, "--unlabelled", str(other), *joint) == 0
    labelled, unlabelled = names(taught, "student")
    assert len(labelled) == 8 and unlabelled == ["home_v01", "home_v02", "home_v03"]
    opened = features.open(other)
    asked = [s for s in opened.streams("home_v01") if s.startswith("teacher-")]
    assert len(asked) == 2  # both teachers' answers lie beside the features they are about
    columns = set(read(taught.runs / "student/log.csv")[0])
    assert {"distill/feature", "distill/class", "distill_joint/class", "distill_joint/offset"} <= columns
    deployed = Detector.load(taught.runs / "student/detector.pt")
    assert not any("teacher" in name or "branch_head" in name for name in deployed.state_dict())


def test_the_store_itself_may_hold_the_videos_without_labels_and_test_videos_among_them_are_said(
    taught: TinyWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distil(taught, "--unlabelled", str(taught.features)) == 0
    assert names(taught, "student")[1] == ["v08", "v09"]
    said = capsys.readouterr().err
    assert "among them 2 of subset 'Test': scores there are no longer those of unseen videos" in said


def test_videos_are_told_apart_by_their_files_and_not_by_their_names(
    taught: TinyWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another store holds a labelled and a test video under other names, and a stranger under a test video's name."""
    other, store = tmp_path / "other.h5", features.open(taught.features)
    for video, sha256, like in (("a", "v01", "v01"), ("b", "v08", "v08"), ("v09", "stranger", "v02")):
        for stream in ("rgb", "rgb_motion", "flow"):
            write_features(other, video, stream, store.read(like, stream), video_sha256=sha256)
    build_index(other)
    assert distil(taught, "--unlabelled", str(other)) == 0
    assert names(taught, "student")[1] == ["b", "v09"]
    assert "among them 1 of subset 'Test'" in capsys.readouterr().err


def test_labels_of_videos_used_without_labels_are_not_read(taught: TinyWorld) -> None:
    options = ["--train-videos", "4", "--unlabelled-subset", "Training", "--set", "sampling.batch_size=2"]
    assert distil(taught, *options, out="before") == 0
    content = json.loads(taught.annotations.read_text())
    for video in ("v04", "v05", "v06", "v07"):
        content["database"][video]["annotations"] = [{"label": "left", "segment": [0.5, 3.0]}]
    taught.annotations.write_text(json.dumps(content))
    assert distil(taught, *options, out="after") == 0
    one, other = (taught.runs / run / "log.csv" for run in ("before", "after"))
    assert one.read_text() == other.read_text()


def test_normalisation_is_over_videos_with_and_without_labels(taught: TinyWorld) -> None:
    assert distil(taught, "--train-videos", "4", "--unlabelled-subset", "Training") == 0
    store = features.open(taught.features)
    both = np.concatenate([store.read(f"v{n:02d}", "rgb") for n in range(8)]).astype(np.float64)
    mean = Detector.load(taught.runs / "student/detector.pt").get_buffer("mean_rgb")
    assert torch.allclose(mean, torch.from_numpy(both.mean(0)).float(), atol=1e-5)


def test_npy_files_without_labels_need_no_frame_rate(taught: TinyWorld, tmp_path: Path) -> None:
    store = features.open(taught.features)
    for folder, videos in (("with", store.videos[:8]), ("without", store.videos[8:])):
        (tmp_path / folder).mkdir()
        for video in videos:
            both = [np.pad(store.read(video, cue), ((0, 0), (0, 1012))) for cue in ("rgb", "flow")]
            np.save(tmp_path / folder / f"{video}x.npy", np.concatenate(both, axis=1))
    text = taught.annotations.read_text()
    for video in store.videos[:8]:
        text = text.replace(f'"{video}"', f'"{video}x"')
    (tmp_path / "npy.json").write_text(text)
    where = TinyWorld(tmp_path / "with", tmp_path / "npy.json", tmp_path / "npy_runs")
    assert main(where.arguments("--cues", "flow", "--epochs", "1", out="flow")) == 0
    assert distil(where, "--unlabelled", str(tmp_path / "without")) == 0
    assert {p.name for p in (where.runs / "student").glob("teacher*.h5")} == {"teacher.h5", "teacher-unlabelled.h5"}
    assert len(list((tmp_path / "without").iterdir())) == 2


# ---- teachers


def test_the_branch_to_mimic_is_the_only_one_or_the_only_one_that_is_not_plain_rgb() -> None:
    assert [motion_branch(b) for b in (("flow",), ("rgb",), ("rgb", "flow"), ("flow", "rgb"))] == [0, 0, 1, 0]
    assert [motion_branch(b) for b in (("rgb", "rgb_motion"), ("flow", "gradient"), ("rgb", "rgb"))] == [1, None, None]


def test_a_two_stream_motion_teacher_is_mimicked_by_its_motion_branch(taught: TinyWorld) -> None:
    assert distil(taught, "--teacher", str(taught.runs / "two/detector.pt"), "--cue", "flow") == 0
    store, teacher = features.open(taught.features), Detector.load(taught.runs / "two/detector.pt")
    [stream] = [s for s in store.streams("v00") if s.startswith("teacher-")]
    x = {cue: torch.from_numpy(store.read("v00", cue).astype(np.float32)).T[None] for cue in ("rgb", "flow")}
    mask = torch.ones(1, x["rgb"].shape[2], dtype=torch.bool)
    with torch.no_grad():
        _, motion = teacher.branch_features(x, mask)
        predictions = teacher(x, mask)
    cached = store.arrays("v00", stream)
    assert np.allclose(cached["branch"], motion[0].numpy(), atol=2e-3)
    for name, value in predictions.items():
        assert np.allclose(cached[f"prediction.{name}"], value.numpy(), atol=1e-5)


def test_a_teacher_of_two_motion_cues_teaches_by_its_predictions(
    taught: TinyWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    both = ["--teacher", str(taught.runs / "motions/detector.pt")]
    assert distil(taught, *both) == 0
    assert "its predictions alone teach the motion branch" in capsys.readouterr().err
    columns = set(read(taught.runs / "student/log.csv")[0])
    assert "distill/class" in columns and "distill/feature" not in columns
    assert distil(taught, *both, method="augmented_rgb", out="augmented") == 2
    assert "which is all that augmented_rgb does. Name a teacher of one motion cue" in capsys.readouterr().err


def test_a_joint_teacher_is_asked_once_and_may_be_wider_than_its_student(
    taught: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(taught.arguments("--cues", "rgb,flow", "--epochs", "1", "--set", "model.width=24", out="wide")) == 0
    asked = []
    answer = teacher_module.answer
    monkeypatch.setattr(teacher_module, "answer", lambda *a: asked.append(1) or answer(*a))
    joint = ["--joint-teacher", str(taught.runs / "wide/detector.pt")]
    assert distil(taught, *joint) == 0 and len(asked) == 16
    assert distil(taught, *joint, method="direct", out="second") == 0 and len(asked) == 16
    batch = next(samples_of(taught, "student").batches(0))
    assert set(batch.teachers) == {"motion", "joint"}
    assert batch.teachers["motion"].features is not None and batch.teachers["joint"].features is None


# ---- streams


def test_a_supervised_detector_reads_two_rgb_streams(taught: TinyWorld, tmp_path: Path) -> None:
    assert main(taught.arguments("--cues", "rgb,rgb_motion", "--epochs", "1", out="pair")) == 0
    deployed = Detector.load(taught.runs / "pair/detector.pt")
    assert deployed.config.branches == ("rgb", "rgb_motion")
    where = ["--features", str(taught.features), "--annotations", str(taught.annotations), "--subset", "Test"]
    out = tmp_path / "found.json"
    assert detect(["--detector", str(taught.runs / "pair/detector.pt"), *where, "--out", str(out)]) == 0
    assert set(json.loads(out.read_text())["results"]) == {"v08", "v09"}


def test_decomposed_takes_the_motion_students_stream_where_there_is_one_and_says_so(
    taught: TinyWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distil(taught) == 0
    assert "decomposed: reads rgb and rgb_motion, which the store holds; for rgb alone say --cues rgb" in (
        capsys.readouterr().err
    )
    assert Detector.load(taught.runs / "student/detector.pt").config.branches == ("rgb", "rgb_motion")
    assert distil(taught, "--cues", "rgb", out="frozen") == 0
    assert Detector.load(taught.runs / "frozen/detector.pt").config.branches == ("rgb", "rgb")
    assert distil(taught, method="direct", out="direct") == 0
    assert Detector.load(taught.runs / "direct/detector.pt").config.branches == ("rgb",)


def test_one_branch_reads_the_motion_students_stream_alone(taught: TinyWorld) -> None:
    for method in ("direct", "augmented_rgb"):
        assert distil(taught, "--cues", "rgb_motion", method=method, out=method) == 0
        assert Detector.load(taught.runs / method / "detector.pt").cues == ("rgb_motion",)


def test_a_stream_that_calls_itself_rgb_and_was_made_from_flow_is_refused(
    taught: TinyWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    store = features.open(taught.features)
    for video in store.videos:
        write_features(taught.features, video, "rgb_motion", store.read(video, "flow"), cue="flow")
    build_index(taught.features)
    assert distil(taught) == 2
    assert "the stream 'rgb_motion' of" in capsys.readouterr().err


# ---- what is refused


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--unlabelled-subset", "Training"], "every video there is learnt from with its labels"),
        (["--unlabelled-subset", "Lost"], "no video of subset 'Lost'"),
        (["--unlabelled-subset", "Test", "--unlabelled", "x.h5"], "give one"),
        (["--unlabelled-videos", "2"], "name them with --unlabelled"),
        (["--unlabelled-subset", "Test", "--unlabelled-videos", "3"], "--unlabelled-videos 3: expected 1 to 2"),
        (["--unlabelled", "nowhere.h5"], "nowhere.h5: no such feature store"),
        (["--train-videos", "9"], "expected 1 to 8"),
        (["--train-videos", "0"], "expected 1 to 8"),
        (["--train-videos", "nowhere.txt"], "Expected a number, or a file with one video a line"),
        (["--set", "sampling.unlabelled_batch_size=-1"], "expected 0 or more"),
        (["--joint-teacher", "nowhere.pt"], "nowhere.pt: no such file"),
        (["--cues", "rgb,rgb_motion,rgb"], "reads at most 2 streams"),
    ],
)
def test_settings_that_make_no_sense(
    taught: TinyWorld, capsys: pytest.CaptureFixture[str], options: list[str], expected: str
) -> None:
    assert distil(taught, *options) == 2
    assert expected in capsys.readouterr().err


def test_a_list_with_a_video_of_another_subset(
    taught: TinyWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.txt").write_text("v05\nv08\n")
    assert distil(taught, "--train-videos", str(tmp_path / "list.txt")) == 2
    assert "1 of 2 videos are not in the training subset, the first is 'v08'" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--unlabelled", "--unlabelled-subset", "--teacher", "--joint-teacher"])
def test_what_only_a_distilling_method_could_use_is_refused_by_supervised(
    taught: TinyWorld, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    given = {"--unlabelled": taught.features, "--unlabelled-subset": "Test"}.get(
        option, taught.runs / "two/detector.pt"
    )
    assert main(taught.arguments("--epochs", "1", option, str(given), out="refused")) == 2
    said = capsys.readouterr().err
    assert f"{option} {given}: method supervised" in said and "direct, decomposed, augmented_rgb" in said
    assert not (taught.runs / "refused/detector.pt").exists()


def test_a_distilling_runs_config_can_start_a_supervised_run_as_the_refusal_says(taught: TinyWorld) -> None:
    assert distil(taught, "--train-videos", "4", "--unlabelled-subset", "Training") == 0
    again = ["--config", str(taught.runs / "student/config.json"), "--method", "supervised"]
    assert main([*again, "--out", str(taught.runs / "refused")]) == 2
    without = ["--teacher", "", "--unlabelled-subset", ""]
    assert main([*again, *without, "--out", str(taught.runs / "plain")]) == 0


def test_videos_without_labels_that_lack_a_stream_or_were_made_otherwise_are_refused(
    taught: TinyWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = second_store(taught, tmp_path)
    part_path(other, "home_v02", "flow").unlink()
    build_index(other)
    assert distil(taught, "--unlabelled", str(other)) == 2
    assert "home_v02: no flow" in capsys.readouterr().err  # the teacher watches it
    store = features.open(taught.features)
    for video in ("v01", "v02", "v03"):
        write_features(other, f"home_{video}", "flow", store.read(video, "flow"), feature_id="other-weights")
    build_index(other)
    assert distil(taught, "--unlabelled", str(other)) == 2
    assert "flow of the unlabelled videos was made as other-weights" in capsys.readouterr().err
