"""Files of a run that are not what was written, and disks that take no more: one line each, never a traceback."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import SIZES, TinyWorld

from detect.model.detector import Detector
from train import checkpoint
from train.config import TrainingError
from train.run import main

ROOT = Path(__file__).resolve().parents[2]


def refused(world: TinyWorld, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    capsys.readouterr()
    assert main(world.arguments("--epochs", "2", "--resume", *more)) == 2
    return [line for line in capsys.readouterr().err.splitlines() if not line.startswith("recipe ")][-1]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02.", bytes(500), b"{}"])
def test_what_is_no_checkpoint_is_refused_in_one_line(
    world: TinyWorld, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (world.runs / "run").mkdir(parents=True)
    (world.runs / "run/last.pt").write_bytes(content)
    assert "last.pt: cannot go on from here" in refused(world, capsys)
    assert (world.runs / "run/last.pt").read_bytes() == content


def test_an_altered_checkpoint_is_refused_or_the_same(world: TinyWorld) -> None:
    assert main(world.arguments("--epochs", "2", "--stop-after", "1")) == 75
    path = world.runs / "run/last.pt"
    content, generator = path.read_bytes(), np.random.default_rng(0)
    known = checkpoint.read(path)["sha256"]
    refusals = 0
    for place in generator.integers(0, len(content), 150):
        altered = bytearray(content)
        altered[place] ^= int(generator.integers(1, 256))
        path.write_bytes(bytes(altered))
        try:
            assert checkpoint.read(path)["sha256"] == known
        except TrainingError as error:
            refusals += 1
            assert "\n" not in str(error) and "last.pt: cannot go on from here" in str(error)
    assert refusals > 50


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"epoch\nx\n", b"loss\n1\n", b"\x00" * 20, b"epoch,loss\n,\n"])
def test_a_log_that_is_none_is_refused_in_one_line(
    world: TinyWorld, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    assert main(world.arguments("--epochs", "2", "--stop-after", "1")) == 75
    (world.runs / "run/log.csv").write_bytes(content)
    assert "log.csv: not the log of a run" in refused(world, capsys)
    assert (world.runs / "run/log.csv").read_bytes() == content


def test_a_damaged_teacher_is_named(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    teacher = world.runs.parent / "teacher.pt"
    for content in (b"", b"PK"):
        teacher.write_bytes(content)
        said = refused(world, capsys, "--method", "direct", "--teacher", str(teacher))
        assert "teacher.pt: not a detector file" in said
    assert "nowhere.pt: no such file" in refused(world, capsys, "--method", "direct", "--teacher", "nowhere.pt")


@pytest.mark.parametrize("size", [100, 20_000, 60_000])
def test_a_full_disk_is_74_and_leaves_no_half_files(
    world: TinyWorld, capsys: pytest.CaptureFixture[str], size: int
) -> None:
    """No file may grow beyond `size` bytes: too few for the first, for a checkpoint, for a later one or the last."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        code = main(world.arguments("--epochs", "2"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 74 and "Nothing is half-written. Repeat the command with --resume" in capsys.readouterr().err
    assert not [path for path in world.runs.rglob("*") if path.suffix == ".part"]
    if (world.runs / "run/last.pt").exists():
        checkpoint.read(world.runs / "run/last.pt")
    assert main(world.arguments("--epochs", "2", "--resume")) == 0


@pytest.mark.parametrize("command", ["train.run", "detect.run"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_while_libraries_are_loading_is_an_interruption(tmp_path: Path, command: str, number: int) -> None:
    (tmp_path / "tqdm.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(60)\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    child = subprocess.Popen(
        [sys.executable, "-m", command], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None and child.stdout.readline() == b"loading\n"
    child.send_signal(number)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 75 and b"interrupted before anything began" in said


@pytest.mark.slow
def test_twelve_kills_at_any_moment_change_no_byte_of_the_detector(world: TinyWorld) -> None:
    """SIGKILL at random moments, resumed each time; each life is a tenth of a training at most, and often less."""
    stretch = [
        *SIZES,
        "--epochs",
        "400",
        "--set",
        "sampling.batch_size=4",
        "--set",
        "model.dropout=0.2",
        "--set",
        "save_every_s=0",
    ]
    command = [sys.executable, "-m", "train.run", *world.arguments(small=False), *stretch, "--resume"]
    straight, cut = (world.runs / name for name in ("straight", "cut"))

    def run(out: Path, life_s: float | None = None) -> float:
        """Seconds until the run ended by itself, or was killed."""
        began = time.monotonic()
        child = subprocess.Popen([*command, "--out", str(out)], cwd=ROOT, stderr=subprocess.DEVNULL)
        try:
            assert child.wait(life_s) == 0, "a run that was killed before must be able to go on"
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            kills.append(time.monotonic() - began)
        return time.monotonic() - began

    kills: list[float] = []
    whole_s, start_s = run(straight), run(straight)  # the second finds it finished
    generator = np.random.default_rng()
    while len(kills) < 12:
        run(cut, float(generator.uniform(0.2 * start_s, start_s + 0.08 * (whole_s - start_s))))
    run(cut)
    assert (straight / "detector.pt").read_bytes() == (cut / "detector.pt").read_bytes()
    assert (straight / "log.csv").read_bytes() == (cut / "log.csv").read_bytes()
    Detector.load(cut / "detector.pt")
