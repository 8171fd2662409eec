"""Videos of hours: the same numbers in bounded memory, told beforehand."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from test_inference import command, detector, make_store

from detect.deployed import workers
from detect.model import stretches
from detect.model.detector import Detector, DetectorConfig

ROOT = Path(__file__).resolve().parents[2]


def awake(branches: tuple[str, ...], **options: object) -> Detector:
    """A small detector in which every block is at work: they begin as the identity."""
    torch.manual_seed(0)
    config = DetectorConfig(
        classes=("jump", "spin"), feature_dims=dict.fromkeys(branches, 6), branches=branches, width=16,
        head_config={"levels": 4, "window": 7, **options},
    )  # fmt: skip
    detector = Detector(config).eval()
    with torch.no_grad():
        for name, parameter in detector.named_parameters():
            if name.endswith("_path.scale"):
                parameter.fill_(1.0)
    return detector


@pytest.mark.parametrize("branches", [("rgb",), ("rgb", "rgb_motion")])
@pytest.mark.parametrize(("steps", "stretch"), [(500, 64), (333, 37), (333, 100)])
def test_a_stretch_at_a_time_gives_the_numbers_of_the_whole(
    branches: tuple[str, ...], steps: int, stretch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, cues = awake(branches), {name: torch.randn(2, 6, steps) for name in branches}
    mask = torch.arange(steps)[None] < torch.tensor([[steps], [steps - 41]])
    with torch.inference_mode():
        whole = model(cues, mask)
        monkeypatch.setattr(stretches, "STRETCH", stretch)
        parts = model(cues, mask)
    for name, values in whole.items():
        torch.testing.assert_close(parts[name], values, atol=2e-5, rtol=1e-5)


def test_training_sees_long_samples_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretches, "STRETCH", 4)
    x = torch.zeros(1, 100, 2)
    assert not stretches.is_long(x)
    with torch.inference_mode():
        assert stretches.is_long(x) and not stretches.is_long(x[:, :8])


def test_reach_is_what_a_result_may_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum over three steps needs one step on either side; with none, the borders of stretches would show."""
    monkeypatch.setattr(stretches, "STRETCH", 4)
    x = torch.arange(20.0)[None, :, None]

    def three(x: torch.Tensor) -> torch.Tensor:
        padded = torch.nn.functional.pad(x, (0, 0, 1, 1))
        return padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]

    assert torch.equal(stretches.in_stretches(three, (x,), 1), three(x))
    assert not torch.equal(stretches.in_stretches(three, (x,), 0), three(x))


def test_a_video_that_takes_much_memory_is_told_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_store(tmp_path)
    detector().save(tmp_path / "detector.pt")
    assert command(tmp_path) == 0 and "of memory" not in capsys.readouterr().err
    monkeypatch.setattr(workers, "memory_of", lambda detector, steps: 2e9 if steps == 12 else 0.0)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=3e9))
    assert command(tmp_path) == 0
    assert "note: v1 has 12 steps: about 2.0 GB of memory; 3.0 GB are free" in capsys.readouterr().err
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1e9))
    assert command(tmp_path) == 0
    assert "2.0 GB of memory, but 1.0 GB are free. Fewer --workers, or" in capsys.readouterr().err


def test_memory_grows_with_the_steps_of_heads_that_see_whole_videos() -> None:
    whole, more = (workers.memory_of(detector(), steps) for steps in (10**5, 2 * 10**5))
    assert more - whole == 4 * 10**5 * (6 + 8 * 8)  # six numbers a step, and eight times the width


@pytest.mark.slow
def test_three_hours_at_full_size_take_what_is_told() -> None:
    """81,000 steps of 1024 numbers, ActionFormer's recipe for THUMOS'14, in a process of its own."""
    program = """
import sys
from pathlib import Path
import numpy as np
import torch
sys.path.insert(0, "tests/bench")
from bench_onnx import full_size_detector
from detect.deployed.workers import memory_of
from detect.inference import detect
from features.storage.grid import ClipGrid
torch.set_num_threads(2)
steps, detector = 81_000, full_size_detector()
x = np.random.default_rng(0).standard_normal((steps, 1024), np.float32).astype(np.float16)
def resident(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if name in line)
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before = resident("VmRSS")
found = detect(detector, {"rgb": x}, ClipGrid.regular(steps, fps=30, window=16, stride=4), 10_800.0)
print(resident("VmHWM") - before, memory_of(detector, steps), len(found.scores))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    taken, told, count = map(float, done.stdout.split())
    assert count > 0 and taken < 2.5e9 and 0.6 * told < taken < 1.2 * told
