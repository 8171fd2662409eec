"""A disk that takes nothing more: whatever is written, the exit code is 74 and no half of a file is left."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from features.files.known import FileState, Known
from features.storage.store import Part, build_index, write_part

ROOT = Path(__file__).resolve().parents[2]
# A limit on the size of files is the disk's way of being full, for one process.
LIMITED = """
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def limited(limit: int, *command: str) -> tuple[int, str]:
    """Exit code and words of a command that can write no file beyond `limit` bytes."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *command], env=environment, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for number in range(6):
        features = np.random.default_rng(number).standard_normal((40, 64))
        arrays = {"features": features, "t_center": np.arange(40.0)}
        write_part(tmp_path / "demo.h5", Part(f"v{number}", "rgb", arrays, {"fingerprint": "f", "feature_id": "x"}))
    return build_index(tmp_path / "demo.h5")


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("options", [["--shards", "2"], ["--single", "one.h5"], ["--index"]], ids=lambda o: o[0])
def test_pack_leaves_what_was_there(store: Path, options: list[str]) -> None:
    store.unlink()  # an index must be written in any case
    before = everything(store.parent)
    options = [str(store.parent / one) if one.endswith(".h5") else one for one in options]
    if options[0] == "--single":
        build_index(store)
        before = everything(store.parent)
    code, words = limited(2000, "features.pack", str(store), *options)
    assert code == 74, words
    assert "File too large" in words or "not written" in words
    assert everything(store.parent) == before


def test_a_report_that_cannot_be_written_stops_the_run_with_74(tmp_path: Path) -> None:
    store = tmp_path / "demo.h5"
    code, words = limited(5000, "taskbench_command", str(store), "--task", "taskbench:echo", "--videos", "9")
    assert code == 74, words
    assert "taskbench: 1 done" in words  # the others would have been lost, too
    assert f"cannot write {tmp_path / 'demo.reports' / 'taskbench.json'}: File too large" in words
    assert "Traceback" not in words
    assert list(everything(tmp_path)) == []


def test_an_index_that_cannot_be_written_ends_the_run_with_74(tmp_path: Path, store: Path) -> None:
    for number in range(60):
        arrays = {"flow": np.zeros((1, 1), np.uint8)}
        write_part(store, Part("long " * 20 + str(number), "flow", arrays, {"fingerprint": "f"}))
    store.unlink()
    code, words = limited(9000, "taskbench_command", str(store), "--task", "taskbench:echo", "--videos", "1")
    assert code == 74, words
    assert f"cannot write {store}: File too large" in words
    assert "Traceback" not in words
    assert not store.exists()
    assert not list(tmp_path.rglob("*.part"))


def test_what_is_remembered_is_whole_or_absent_and_its_loss_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device", str(path))

    known = Known(tmp_path / "demo.cache" / "videos.json")
    known.put("v.mp4", FileState(1, 2, 3), {"sha256": "a"})
    monkeypatch.setattr(Path, "write_bytes", full)
    known.save()
    assert everything(tmp_path) == {}
