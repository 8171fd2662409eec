"""Stopping and going on: bit for bit, wherever the run was cut."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import TinyWorld, write_features

import features
from detect.model.detector import Detector
from features.running.ranks import Ranks
from features.storage.store import build_index
from train import checkpoint
from train.log import read
from train.loop import Samples
from train.run import main

STRETCH = [
    "--epochs",
    "4",
    "--set",
    "sampling.batch_size=2",
    "--set",
    "model.dropout=0.2",
    "--set",
    "head.drop_path=0.3",
]


def same_detector(one: Path, other: Path) -> bool:
    a, b = Detector.load(one / "detector.pt").state_dict(), Detector.load(other / "detector.pt").state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def teacher(world: TinyWorld) -> list[str]:
    assert main(world.arguments("--cues", "flow", *STRETCH, "--epochs", "1", out="flow")) == 0
    return ["--method", "decomposed", "--teacher", str(world.runs / "flow/detector.pt")]


def test_two_epochs_and_two_more_are_four_epochs_bit_for_bit(world: TinyWorld, teacher: list[str]) -> None:
    assert main(world.arguments(*teacher, *STRETCH, out="straight")) == 0
    assert main(world.arguments(*teacher, *STRETCH, "--stop-after", "2", out="cut")) == 75
    assert not (world.runs / "cut/detector.pt").exists()
    assert len(read(world.runs / "cut/log.csv")) == 2
    assert main(world.arguments(*teacher, *STRETCH, "--resume", out="cut")) == 0
    assert same_detector(world.runs / "straight", world.runs / "cut")
    assert (world.runs / "straight/log.csv").read_text() == (world.runs / "cut/log.csv").read_text()
    straight, cut = (torch.load(world.runs / run / "last.pt", weights_only=True) for run in ("straight", "cut"))
    assert straight["method"]["normaliser.mean"] == cut["method"]["normaliser.mean"]
    assert straight["random"]["python"] == cut["random"]["python"]


def test_another_seed_gives_another_detector(world: TinyWorld) -> None:
    for seed in ("0", "0", "1"):
        assert main(world.arguments("--epochs", "1", "--seed", seed, "--overwrite", out=f"run{seed}")) == 0
    assert main(world.arguments("--epochs", "1", out="again")) == 0
    assert same_detector(world.runs / "run0", world.runs / "again")
    assert not same_detector(world.runs / "run0", world.runs / "run1")


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch, number: int = signal.SIGINT) -> None:
    """Send ourselves a signal while the batch of this step is gathered."""
    collate, calls = Samples.collate, []

    def interrupting(self: Samples, samples: list) -> object:
        calls.append(1)
        if len(calls) == step:
            os.kill(os.getpid(), number)
        return collate(self, samples)

    monkeypatch.setattr(Samples, "collate", interrupting)


@pytest.mark.parametrize(
    ("step", "number"), [(2, signal.SIGINT), (6, signal.SIGINT), (8, signal.SIGTERM)]
)  # 4 an epoch
def test_ctrl_c_in_the_middle_of_an_epoch_loses_nothing(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], step: int, number: int
) -> None:
    assert main(world.arguments(*STRETCH, out="straight")) == 0
    with monkeypatch.context() as patch:
        interrupt_at(step, patch, number)
        assert main(world.arguments(*STRETCH, out="cut")) == 75
    assert f"stopped after {step} steps" in capsys.readouterr().err
    assert main(["--resume", "--out", str(world.runs / "cut")]) == 0  # the rest is in config.json
    assert same_detector(world.runs / "straight", world.runs / "cut")
    assert (world.runs / "straight/log.csv").read_text() == (world.runs / "cut/log.csv").read_text()


def test_rows_logged_after_the_last_checkpoint_are_not_logged_twice(world: TinyWorld) -> None:
    assert main(world.arguments(*STRETCH, "--stop-after", "2")) == 75
    log = world.runs / "run/log.csv"
    log.write_text(log.read_text() + log.read_text().splitlines()[-1].replace("1,", "2,", 1) + "\n")
    assert main(world.arguments(*STRETCH, "--resume")) == 0
    assert [row["epoch"] for row in read(log)] == ["0", "1", "2", "3"]


def test_resuming_a_finished_run_changes_nothing(world: TinyWorld) -> None:
    assert main(world.arguments("--epochs", "1")) == 0
    before = (world.runs / "run/log.csv").read_text()
    weights = Detector.load(world.runs / "run/detector.pt").state_dict()
    assert main(world.arguments("--epochs", "1", "--resume")) == 0
    assert (world.runs / "run/log.csv").read_text() == before
    again = Detector.load(world.runs / "run/detector.pt").state_dict()
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_resume_starts_a_run_where_there_is_none(world: TinyWorld) -> None:
    assert main(world.arguments("--epochs", "1", "--resume")) == 0
    assert (world.runs / "run/detector.pt").exists()


def test_a_run_is_not_overwritten_unless_asked(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(world.arguments("--epochs", "1")) == 0
    assert main(world.arguments("--epochs", "1")) == 2
    assert "--resume goes on with it, --overwrite starts it again" in capsys.readouterr().err
    assert main(world.arguments("--epochs", "2", "--overwrite")) == 0
    assert len(read(world.runs / "run/log.csv")) == 2


def test_a_run_cannot_go_on_with_other_settings(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(world.arguments(*STRETCH, "--stop-after", "1")) == 75
    assert main(world.arguments(*STRETCH, "--seed", "7", "--set", "optimiser.clip_norm=2", "--resume")) == 2
    said = capsys.readouterr().err
    assert "seed was 0, is 7" in said and "optimiser.clip_norm was 1.0, is 2.0" in said


def test_a_damaged_checkpoint_is_an_error_and_not_a_new_run(
    world: TinyWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(world.arguments(*STRETCH, "--stop-after", "1")) == 75
    last = world.runs / "run/last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    assert main(world.arguments(*STRETCH, "--resume")) == 2
    assert "last.pt: cannot go on from here" in capsys.readouterr().err


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def test_a_finished_run_keeps_every_byte(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(world.arguments("--epochs", "1")) == 0
    before = contents(world.runs / "run")
    assert main(world.arguments("--epochs", "1", "--resume")) == 0
    assert "finished before, after 1 steps; left alone" in capsys.readouterr().out
    assert contents(world.runs / "run") == before


def test_a_detector_that_was_lost_is_written_again_as_it_was(world: TinyWorld) -> None:
    assert main(world.arguments("--epochs", "1")) == 0
    detector = world.runs / "run/detector.pt"
    before = detector.read_bytes()
    for damaged in (None, b"", before[: len(before) // 2]):
        detector.unlink() if damaged is None else detector.write_bytes(damaged)
        assert main(world.arguments("--epochs", "1", "--resume")) == 0
        assert detector.read_bytes() == before


@pytest.mark.parametrize("options", [[], ["--resume"], ["--resume", "--cues", "depth"], ["--set", "head.levels=0"]])
def test_nothing_is_deleted_where_last_pt_is_missing(
    world: TinyWorld, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert main(world.arguments("--epochs", "1")) == 0
    (world.runs / "run/last.pt").unlink()
    before = contents(world.runs / "run")
    assert main(world.arguments("--epochs", "1", *options)) == 2
    after = contents(world.runs / "run")
    assert {name: after[name] for name in before} == before
    said = capsys.readouterr().err
    assert "--overwrite starts it again" in said or "depth" in said


@pytest.mark.parametrize(
    "options", [["--cues", "depth"], ["--set", "head.levels=0"], ["--train-subset", "none"], ["--device", "cuda:77"]]
)
def test_overwrite_deletes_nothing_for_a_run_that_cannot_begin(world: TinyWorld, options: list[str]) -> None:
    assert main(world.arguments("--epochs", "1")) == 0
    before = contents(world.runs / "run")
    assert main(world.arguments("--epochs", "1", "--overwrite", *options)) == 2
    after = contents(world.runs / "run")
    assert {name: after[name] for name in before} == before


def change(world: TinyWorld, edit: Callable[[dict], object]) -> None:
    content = json.loads(world.annotations.read_text())
    edit(content["database"])
    world.annotations.write_text(json.dumps(content))


def rename_class(database: dict) -> None:
    for video in database.values():
        for action in video["annotations"]:
            action["label"] = {"left": "upwards"}.get(action["label"], action["label"])


def move_an_action(database: dict) -> None:
    database["v03"]["annotations"][0]["segment"][1] += 0.1


def swap_two_videos(database: dict) -> None:
    names = list(database)
    videos = {name: database.pop(name) for name in names}
    database.update({name: videos[name] for name in [names[1], names[0], *names[2:]]})


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (rename_class, "classes were left, right, are right, upwards"),
        (move_an_action, "the annotations of 1 videos differ (v03)"),
        (lambda database: database.pop("v05"), "the annotations of 1 videos are gone (v05)"),
        (lambda database: database["v08"].update(subset="Training"), "the annotations of 1 videos are new (v08)"),
        (swap_two_videos, "the annotations are in another order"),
    ],
)
def test_a_run_does_not_go_on_with_other_annotations(
    world: TinyWorld, capsys: pytest.CaptureFixture[str], edit: Callable[[dict], None], said: str, finished: bool
) -> None:
    stop = [] if finished else ["--stop-after", "1"]
    assert main(world.arguments("--epochs", "2", *stop)) == (0 if finished else 75)
    before = contents(world.runs / "run")
    change(world, edit)
    assert main(world.arguments("--epochs", "2", "--resume")) == 2
    assert said in capsys.readouterr().err
    assert contents(world.runs / "run") == before


def test_annotations_of_other_subsets_may_change(world: TinyWorld) -> None:
    assert main(world.arguments("--epochs", "2", "--stop-after", "1")) == 75
    change(world, lambda database: database["v09"]["annotations"].clear())
    assert main(world.arguments("--epochs", "2", "--resume")) == 0


def test_a_run_does_not_go_on_with_other_features(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(world.arguments("--epochs", "2", "--stop-after", "1")) == 75
    x = features.open(world.features).read("v02", "rgb")
    write_features(world.features, "v02", "rgb", x + 1)  # same settings, same length, other numbers
    build_index(world.features)
    assert main(world.arguments("--epochs", "2", "--resume")) == 2
    assert "the features of 1 videos differ (v02)" in capsys.readouterr().err


def test_a_run_does_not_go_on_with_another_teacher(
    world: TinyWorld, teacher: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(world.arguments(*teacher, *STRETCH, "--stop-after", "1", out="student")) == 75
    again = ["--cues", "flow", *STRETCH, "--epochs", "1", "--seed", "3", "--overwrite"]
    assert main(world.arguments(*again, out="flow")) == 0
    assert main(world.arguments(*teacher, *STRETCH, "--resume", out="student")) == 2
    assert "flow/detector.pt was made anew" in capsys.readouterr().err


def test_a_lost_configuration_is_written_again(world: TinyWorld) -> None:
    assert main(world.arguments("--epochs", "2", "--stop-after", "1")) == 75
    config = (world.runs / "run/config.json").read_bytes()
    (world.runs / "run/config.json").unlink()
    assert main(world.arguments("--epochs", "2", "--resume")) == 0
    assert (world.runs / "run/config.json").read_bytes() == config


def test_a_configuration_of_someone_else_is_not_replaced(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    (world.runs / "run").mkdir(parents=True)
    (world.runs / "run/config.json").write_text('{"model_type": "bert"}')
    assert main(world.arguments("--epochs", "1")) == 2
    assert "unknown model_type" in (said := capsys.readouterr().err) and "name another --out" in said
    assert (world.runs / "run/config.json").read_text() == '{"model_type": "bert"}'


def test_a_run_cannot_be_a_file(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    world.runs.mkdir()
    (world.runs / "run").write_text("mine")
    assert main(world.arguments("--epochs", "1")) == 2
    assert "is a file. Name a folder" in capsys.readouterr().err


def test_a_signal_before_the_first_step_is_an_interruption(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        monkeypatch.setattr("train.whole_run.assemble", lambda *given, number=number: os.kill(os.getpid(), number))
        assert main(world.arguments("--epochs", "1")) == 75
        assert "interrupted; nothing is half-written" in capsys.readouterr().err


def test_tensorboard_has_every_epoch_that_the_checkpoint_has(world: TinyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at while the checkpoint of the third epoch is written: a run killed right then has lost none."""
    from tensorboardX.proto.event_pb2 import Event

    seen: list[int] = []
    save = checkpoint.save

    def looking(path: Path, run: checkpoint.Run, *ranks: Ranks) -> None:
        if run.epoch == 3:
            [events] = (world.runs / "run").glob("events.out.tfevents.*")
            data, at = events.read_bytes(), 0
            while at < len(data):  # length (8 bytes), its checksum (4), the event, its checksum (4)
                size = int.from_bytes(data[at : at + 8], "little")
                event = Event.FromString(data[at + 12 : at + 12 + size])
                seen.extend(event.step for value in event.summary.value if value.tag == "loss")
                at += size + 16
        save(path, run)

    monkeypatch.setattr("train.checkpoint.save", looking)
    assert main(world.arguments("--epochs", "4", "--set", "save_every_s=0")) == 0
    assert seen == [0, 1, 2]


def test_a_teacher_is_not_written_over_by_its_student(
    world: TinyWorld, teacher: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(world.runs / "flow")
    assert main(world.arguments(*teacher, *STRETCH, "--overwrite", out="flow")) == 2
    assert "is read by this run, which would write over it" in capsys.readouterr().err
    assert contents(world.runs / "flow") == before


def test_no_epochs_are_not_the_usual_epochs(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    for epochs in ("0", "-3"):
        assert main(world.arguments("--epochs", epochs)) == 2
        assert f"optimiser.epochs = {epochs}: expected a value above zero" in capsys.readouterr().err


def test_last_pt_and_log_are_written_now_and_then_and_a_resumed_run_ends_the_same(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []

    def save(path: Path, run: checkpoint.Run, *ranks: Ranks) -> None:
        saved.append(run.epoch)
        real(path, run)

    real = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", save)
    every = [*STRETCH, "--set", "save_every_s=0"]
    assert main(world.arguments(*every, out="every")) == 0
    assert saved[-4:] == [1, 2, 3, 4]
    saved.clear()
    assert main(world.arguments(*STRETCH, "--set", "save_every_s=1e6", out="end")) == 0
    assert 4 in saved and not {1, 2, 3} & set(saved)
    assert (world.runs / "every/detector.pt").read_bytes() == (world.runs / "end/detector.pt").read_bytes()
    assert (world.runs / "every/log.csv").read_text() == (world.runs / "end/log.csv").read_text()
