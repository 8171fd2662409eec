"""Files that appear whole or not at all, and what is swept of those that never did."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from command import writing
from command.writing import sweep_abandoned, temporary_name, whole_file, write_whole


def leave(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("half")
    return folder / name


@pytest.fixture
def dead_name() -> str:
    """The temporary name of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return temporary_name().replace(f"-{os.getpid()}-", f"-{process.pid}-")


def test_leftovers_of_dead_processes_are_swept_and_those_of_the_living_kept(tmp_path: Path, dead_name: str) -> None:
    left = leave(tmp_path / "demo.parts" / "rgb", dead_name)
    alive = leave(tmp_path / "demo.parts" / "rgb", temporary_name())
    assert sweep_abandoned(tmp_path) == 1
    assert (left.exists(), alive.exists()) == (False, True)


def test_files_of_other_programs_are_never_swept(tmp_path: Path) -> None:
    others = [
        leave(tmp_path, name)
        for name in (
            "film.mp4.part",  # a browser's, a downloader's
            ".film.part",
            "v1.h5.host.99999999.abc123.part",
            ".flowless-notes.part",
            ".flowless-99999999-host-abc123.txt",
        )
    ]
    sweep_abandoned(tmp_path)
    assert [other for other in others if not other.exists()] == []


def test_leftovers_of_another_host_are_given_up_after_a_day(tmp_path: Path, dead_name: str) -> None:
    name = dead_name.replace(writing._host(), "some-other-host")
    left = leave(tmp_path, name)
    assert sweep_abandoned(tmp_path) == 0
    os.utime(left, (0, time.time() - 25 * 3600))
    assert sweep_abandoned(tmp_path) == 1


def test_whoever_writes_into_a_folder_sweeps_it_but_not_the_folders_below(tmp_path: Path, dead_name: str) -> None:
    left, below = leave(tmp_path / "run", dead_name), leave(tmp_path / "run" / "below", dead_name)
    write_whole(tmp_path / "run" / "config.json", b"{}")
    assert (left.exists(), below.exists()) == (False, True)


def test_a_name_as_long_as_a_file_name_can_be_is_written(tmp_path: Path) -> None:
    assert write_whole(tmp_path / ("x" * 255), b"all").read_bytes() == b"all"


def test_what_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"old")
    with pytest.raises(LookupError), whole_file(tmp_path / "a") as temporary:
        temporary.write_bytes(b"ne")
        raise LookupError
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
