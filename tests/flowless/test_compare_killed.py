"""A real comparison on a world of six videos: killed at random and repeated, it tells what an undisturbed one tells."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
KILLS = 10
ASKED = ("--preset", "tiny", "--methods", "rgb-only", "direct", "--epochs", "2", "--set", "optimiser.min_steps=0")


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "flowless.compare", *ASKED, "--out", "out", "--workers", "2"]
    with (folder / "said.txt").open("ab") as said:
        return subprocess.Popen(
            command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=said, stderr=said
        )


def noted(folder: Path) -> dict[str, dict[str, Any]]:
    """Step -> what its record says but seconds and whether it ended: a kill may come between its outputs and that."""
    return {
        name: {key: value for key, value in step.items() if key in ("command", "settings")}
        for name, step in steps(folder).items()
    }


def finished(folder: Path) -> dict[str, float]:
    """Step -> its seconds, of those whose record says that they ended."""
    return {name: step["seconds"] for name, step in steps(folder).items() if step["finished"]}


def steps(folder: Path) -> dict[str, dict[str, Any]]:
    """By the file of the record, and the number of the step in it."""
    return {
        f"{record.stem} {number}": step
        for record in (folder / "out" / "jobs").glob("*.json")
        for number, step in json.loads(record.read_text())["steps"].items()
    }


def commands(folder: Path) -> int:
    """How many were called so far."""
    return sum(log.read_text().count("\n$ ") + 1 for log in (folder / "out" / "jobs").glob("*.log"))


@pytest.mark.slow
def test_a_comparison_killed_ten_times_tells_what_an_undisturbed_one_tells(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    undisturbed.mkdir()
    killed.mkdir()
    assert start(undisturbed).wait() == 0, (undisturbed / "said.txt").read_text()
    chance, landed = random.Random(0), 0
    for _ in range(KILLS):
        begun, process = commands(killed) + chance.randint(1, 2), start(killed)
        while commands(killed) < begun and process.poll() is None:
            time.sleep(0.05)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0, 3))
        landed += process.poll() is None
        done = finished(killed)  # with its seconds, which another run of it would change
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert done.items() <= finished(killed).items()
    assert landed > KILLS / 2  # the others came when all was done
    assert start(killed).wait() == 0, (killed / "said.txt").read_text()
    assert noted(killed) == noted(undisturbed)
    for name in ("table.md", "results.json"):
        one, other = ((folder / "out" / name).read_text().split("## Cost")[0] for folder in (undisturbed, killed))
        assert without_cost(one) == without_cost(other)
    calls = commands(killed)
    assert start(killed).wait() == 0 and commands(killed) == calls


def without_cost(table: str) -> list[str]:
    """Lines without seconds, which are never the same twice."""
    return [line.rpartition("|")[0].rpartition("|")[0].rpartition("|")[0] or line for line in table.splitlines()]
