"""Several processes that train one student: each sees clips of its own, all have the same weights."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from extract import motion, synthetic
from extract.backbones import build_backbone
from extract.backbones.checkpoints import read_state
from extract.learning.averages import average_gradients, clips_of_a_step
from extract.learning.batches import ClipArrays
from extract.learning.student import Student, StudentRecipe
from extract.learning.student_training import StudentTraining
from extract.learning.training import train_to_end
from extract.pipeline.settings import SettingsError
from features.running.ranks import ALONE, Ranks

ROOT = Path(__file__).resolve().parents[2]


def two_steps(rank: int, folder: str) -> None:
    """What a rank leaves behind: its weights, its buffers and what the ranks agreed on."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    rng = np.random.default_rng(rank)
    clips = rng.integers(0, 256, (4 + rank, 16, 64, 64, 3), dtype=np.uint8)
    source = ClipArrays(clips, rng.normal(size=(len(clips), 1536)).astype(np.float32))
    ranks = Ranks(rank, 2)
    backbone = build_backbone("nano", "rgb").requires_grad_(True)
    training = StudentTraining(Student(backbone, 1536), StudentRecipe(batch=4, epochs=1), source, ranks=ranks)
    told: list[object] = []
    kept = train_to_end(training, source, told=told.append)
    tensor = torch.nn.Parameter(torch.zeros(2))
    tensor.grad = torch.tensor([1.0, 3.0]) * (rank + 1)
    average_gradients([tensor], ranks)
    result = {
        "weights": kept.state_dict(),
        "mean": tensor.grad,
        "steps": training.step,
        "told": len(told),
        "any": [ranks.any(rank == 1), ranks.any(False)],
        "r2": training.history[0].r2,
    }
    torch.save(result, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_train_one_network(tmp_path: Path) -> None:
    mp.spawn(two_steps, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    for name, value in first["weights"].items():
        assert torch.equal(value, second["weights"][name]), name
    assert first["mean"].tolist() == [1.5, 4.5]
    assert first["steps"] == second["steps"] == 2  # two clips a step of each, as many as the first has
    assert (first["told"], second["told"]) == (1, 0)
    assert first["any"] == second["any"] == [True, False]
    assert first["r2"] == second["r2"] is not None


def test_one_process_alone_changes_nothing_and_asks_nobody() -> None:
    tensor = torch.nn.Parameter(torch.zeros(2))
    tensor.grad = torch.tensor([1.0, 3.0])
    average_gradients([tensor], ALONE)
    assert tensor.grad.tolist() == [1.0, 3.0] and ALONE.all(7) == [7] and ALONE.any(True) and not ALONE.any(False)


def test_a_batch_that_cannot_be_dealt_out_is_refused() -> None:
    assert clips_of_a_step(32, Ranks(0, 4)) == 8
    for batch in (30, 4):
        with pytest.raises(SettingsError, match=f"--batch {batch}: 4 processes .*Take a multiple of 4, at least 8"):
            clips_of_a_step(batch, Ranks(0, 4))


def test_torchrun_writes_one_student_from_the_clips_of_all(tmp_path: Path) -> None:
    assert synthetic.main(["--out", str(tmp_path / "world"), "--preset", "tiny"]) == 0
    videos = ["--videos", str(tmp_path / "world" / "videos"), "--features", str(tmp_path / "f.h5")]
    assert motion.main([*videos, "--backbone", "nano", "--cue", "gradient"]) == 0
    weights = tmp_path / "student.pt"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "extract.distill", *videos, "--epochs", "1", "--device", "cpu", "--out", str(weights)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--held-out", "0.2", "--precision", "float32"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("sha256") == 1 and done.stderr.count("clips (") == 1
    assert set(read_state(weights)) == set(build_backbone("nano", "rgb").state_dict())
    steps = int((tmp_path / "student.pt.log.csv").read_text().splitlines()[1].split(",")[1])
    clips = int(done.stderr.split(" clips (")[0].split()[-1].replace(",", ""))
    assert steps in (clips // 32, clips // 32 - 1)  # each takes 16 a step, as long as the one with fewer clips has any
