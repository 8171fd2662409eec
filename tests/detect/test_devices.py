"""Devices by name: those that are not there are refused in one line, by every command that takes one."""

from pathlib import Path

import pytest
import torch

from detect import run as detect_run
from features.running.devices import OF_EXTRACTION, DeviceError, choose_device
from train import run as train_run


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_the_cpu_is_always_there(without_gpu: None) -> None:
    assert choose_device("auto") == choose_device("cpu") == choose_device("cpu:0") == torch.device("cpu")


def test_one_of_two_is_taken_and_a_third_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto").type == "cuda" and choose_device("cuda:1").index == 1
    with pytest.raises(DeviceError, match=r"--device cuda:2: torch sees 2 of them, cuda:0 to cuda:1"):
        choose_device("cuda:2")


def test_what_extraction_was_not_made_for_is_no_device_of_its_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("mps").type == "mps"
    with pytest.raises(DeviceError, match=r"--device mps: no such device here\. Take auto, cpu, or cuda, one"):
        choose_device("mps", OF_EXTRACTION)


@pytest.mark.parametrize("name", ["cuda", "cuda:7", "mps", "gpu", "", "meta", "cuda:x", "xpu", "cuda:-1"])
def test_what_is_not_there_is_refused_by_both_commands(
    name: str, without_gpu: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DeviceError, match=f"--device {name}: "):
        choose_device(name)
    (tmp_path / "config.json").write_text('{"device": "' + name + '", "data": {"features": "x", "annotations": "x"}}')
    features = ["--features", str(tmp_path / "x.h5")]
    for main, arguments in (
        (detect_run.main, ["--detector", "x.pt", *features, "--out", str(tmp_path / "x.json"), f"--device={name}"]),
        (train_run.main, [*features, "--annotations", "x", "--out", str(tmp_path / "run"), f"--device={name}"]),
        (train_run.main, ["--config", str(tmp_path / "config.json"), "--out", str(tmp_path / "run")]),
    ):
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert "DeviceError: --device" in said and said.count("\n") == 1
    assert not (tmp_path / "run").exists()
