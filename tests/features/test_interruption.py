"""Runs that are killed, interrupted, doubled or run out of disk, and the bytes they leave."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from processes import living

from features.files.report_file import read_report

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def start(store: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / "taskbench_command.py"), str(store), *options]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"}
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def finish(process: subprocess.Popen[str], timeout_s: float = 60) -> tuple[int, str]:
    out, err = process.communicate(timeout=timeout_s)
    return process.returncode, out + err


def contents(store: Path) -> dict[str, bytes]:
    """Every file of the store by relative name; reports hold timings and stand aside."""
    files = [store, *store.with_suffix(".parts").rglob("*")]
    return {str(path.relative_to(store.parent)): path.read_bytes() for path in files if path.is_file()}


def wait_for_parts(store: Path, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(list(store.with_suffix(".parts").rglob("*.h5"))) < count:
        assert time.monotonic() < deadline, "no part appeared"
        time.sleep(0.01)


def wait_for_child(process: subprocess.Popen[str]) -> psutil.Process:
    """The process that does the jobs, once it runs its own program."""
    deadline = time.monotonic() + 30
    while True:
        for one in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.Error):
                if "features.running.child" in one.cmdline():
                    return one
        assert time.monotonic() < deadline, "no child was started"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    store = tmp_path_factory.mktemp("undisturbed") / "demo.h5"
    code, text = finish(start(store))
    assert code == 0, text
    return contents(store)


@pytest.mark.parametrize(
    "options", [[], pytest.param(["--workers", "2"], marks=pytest.mark.slow)], ids=["serial", "loky"]
)
def test_after_kill_9_the_same_command_gives_the_same_bytes(
    tmp_path: Path, undisturbed: dict[str, bytes], options: list[str]
) -> None:
    store = tmp_path / "demo.h5"
    dice = random.Random(7)
    for round_ in range(1, 3):
        process = start(store, *options, "--frame-s", "0.03")
        wait_for_parts(store, 2 * round_)
        time.sleep(dice.uniform(0.0, 0.2))
        os.killpg(process.pid, signal.SIGKILL)
        finish(process)
    code, text = finish(start(store))
    assert code == 0, text
    assert contents(store) == undisturbed


def test_a_killed_run_takes_its_child_along(tmp_path: Path) -> None:
    store = tmp_path / "demo.h5"
    process = start(store, "--frame-s", "1")
    child = wait_for_child(process)
    time.sleep(0.5)  # until it has asked to be killed with its parent
    process.kill()
    finish(process)
    assert living([child.pid]) == []


@pytest.mark.parametrize(
    ("number", "options"),
    [
        (signal.SIGINT, []),
        (signal.SIGTERM, ["--workers", "2"]),
        pytest.param(signal.SIGUSR1, [], marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, ["--workers", "2"], marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, ["--workers", "2", "--engine", "dask"], marks=pytest.mark.slow),
    ],
    ids=["ctrl-c", "loky-sigterm", "sigusr1", "loky-ctrl-c", "dask-ctrl-c"],
)
def test_an_interrupted_run_leaves_no_child_and_no_temporary_file(
    tmp_path: Path, undisturbed: dict[str, bytes], number: signal.Signals, options: list[str]
) -> None:
    store = tmp_path / "demo.h5"
    process = start(store, *options, "--frame-s", "0.3")
    wait_for_parts(store, 1)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    code, text = finish(process)
    assert code == 75, text
    assert "interrupted: repeat the command" in text
    assert living([child.pid for child in children]) == []
    assert not list(tmp_path.rglob("*.part"))
    assert store.is_file()  # what is done is indexed
    kept = len(list(store.with_suffix(".parts").rglob("*.h5")))
    assert 1 <= kept < 6
    code, text = finish(start(store))
    assert (code, f"{kept} skipped" in text) == (0, True), text
    assert contents(store) == undisturbed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_while_the_run_is_planned_ends_it_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    store = tmp_path / "demo.h5"
    process = start(store, "--plan-s", "60")
    deadline = time.monotonic() + 30
    while not store.with_suffix(".planning").exists():
        assert time.monotonic() < deadline, "planning did not begin"
        time.sleep(0.02)
    process.send_signal(number)
    code, text = finish(process)
    assert code == 75, text
    assert "interrupted: repeat the command" in text


def test_a_disk_without_room_stops_the_run_and_repeating_it_heals(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    store = tmp_path / "demo.h5"
    code, text = finish(start(store, "--videos", "2"))
    assert code == 0, text
    # From here on no file may grow beyond 4 KB, the disk's way of being full.
    code, text = finish(start(store, "--file-limit", "4096"))
    assert code == 74, text
    assert "Make room and repeat the command" in text
    assert sorted(contents(store)) == ["demo.h5", "demo.parts/rgb/video%200.h5", "demo.parts/rgb/video%201.h5"]
    code, text = finish(start(store))
    assert (code, "2 skipped" in text) == (0, True), text
    assert contents(store) == undisturbed


def test_two_runs_racing_for_one_store_do_not_disturb_each_other(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    store = tmp_path / "demo.h5"
    racers = [start(store, "--frame-s", "0.02") for _ in range(2)]
    for racer in racers:
        code, text = finish(racer)
        assert code == 0, text
    assert contents(store) == undisturbed


def test_shards_of_an_array_fill_one_store(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    store = tmp_path / "demo.h5"
    shards = [start(store, "--shard", f"{index}/2") for index in range(2)]
    for shard in shards:
        code, text = finish(shard)
        assert (code, "3 done" in text) == (0, True), text
    assert contents(store) == undisturbed
    assert len(read_report(store.with_suffix(".reports") / "taskbench.json")["videos"]) == 6


@pytest.mark.slow  # starts and ends a cluster
@pytest.mark.parametrize("engine", ["loky", "dask"])
def test_a_worker_killed_by_the_system_costs_nothing(
    tmp_path: Path, undisturbed: dict[str, bytes], engine: str
) -> None:
    store = tmp_path / "demo.h5"
    process = start(store, "--engine", engine, "--workers", "2", "--frame-s", "0.3")
    wait_for_parts(store, 1)
    worker = wait_for_child(process).parent()
    assert worker is not None
    assert worker.pid != process.pid
    worker.kill()
    code, text = finish(process, timeout_s=120)
    assert code == 0, text
    assert contents(store) == undisturbed


def test_a_frozen_machine_is_not_mistaken_for_a_hang(tmp_path: Path) -> None:
    store = tmp_path / "demo.h5"
    process = start(store, "--videos", "1", "--frame-s", "0.3", "--hang-s", "1.5")
    everyone = [psutil.Process(process.pid), wait_for_child(process)]
    for one in everyone:
        one.suspend()
    time.sleep(2.5)
    for one in everyone:
        one.resume()
    code, text = finish(process)
    assert code == 0, text
