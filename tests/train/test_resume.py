"""Stopping and going on: bit for bit, wherever the run was cut."""

import os
import signal
from pathlib import Path

import pytest
import torch
from conftest import TinyWorld

from detect.detector import Detector
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


@pytest.mark.parametrize(("step", "number"), [(6, signal.SIGINT), (8, signal.SIGTERM)])  # 4 steps an epoch
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
