"""Jobs that wait for each other: order, what counts as done after a kill at any moment, failures, shards."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from flowless.graph.job import Graph, GraphError, Job, Step
from flowless.graph.ledger import Ledger
from flowless.graph.runner import Runner

ROOT = Path(__file__).resolve().parents[2]
KILLS = 10


def start(folder: Path, *more: object) -> subprocess.Popen[bytes]:
    """The quick jobs, in a process of their own."""
    command = [sys.executable, "tests/flowless/quick_jobs.py", str(folder), *map(str, more)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})


def table(folder: Path) -> dict[str, str]:
    """What all jobs made."""
    return {path.name: path.read_text() for pattern in ("*.json", "*.trained", "*.found", "features.*")
            for path in sorted(folder.glob(pattern))}  # fmt: skip


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def shell(folder: Path, name: str, script: str, outputs: list[str], **more: object) -> Job:
    step = Step(("-c", script), tuple(folder / one for one in outputs))
    return Job(name, (step,), **more)  # type: ignore[arg-type]


def run(folder: Path, *jobs: Job, workers: int = 2, adopt: bool = False) -> Runner:
    runner = Runner(Ledger(Graph.of(jobs), folder / "jobs", adopt), workers, prefix=("/bin/sh",))
    runner.run()
    return runner


def test_killed_ten_times_at_random_and_repeated_it_makes_the_same_and_nothing_twice(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    undisturbed.mkdir()
    killed.mkdir()
    assert start(undisturbed, 2).wait(60) == 0
    chance = random.Random(0)
    for _ in range(KILLS):
        process = start(killed, 2)
        wanted = len(lines(killed / "times")) + chance.randint(1, 4)  # of 42
        while len(lines(killed / "times")) < wanted and process.poll() is None:
            time.sleep(0.005)
        time.sleep(0.02 * chance.random())
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start(killed, 2).wait(60) == 0
    assert table(killed) == table(undisturbed) and len(table(killed)) == 2 + 10 * 3
    assert lines(killed / "twice") == []
    ended = Counter(line for line in lines(killed / "times") if line.startswith("ended"))
    assert max(ended.values()) == 1
    before = lines(killed / "times")
    assert start(killed, 2).wait(60) == 0
    assert lines(killed / "times") == before  # not even looked into


def test_an_output_half_of_which_is_there_is_made_again(tmp_path: Path) -> None:
    script = f"echo run >> {tmp_path}/runs; echo '[1]' > {tmp_path}/a.json; echo '[2]' > {tmp_path}/b.json"
    job = shell(tmp_path, "two", script, ["a.json", "b.json"])
    run(tmp_path, job)
    (tmp_path / "b.json").unlink()
    run(tmp_path, job)
    (tmp_path / "a.json").write_text('{"average')
    assert run(tmp_path, job).state == {"two": "done"}
    assert lines(tmp_path / "runs") == ["run"] * 3
    run(tmp_path, job)
    assert lines(tmp_path / "runs") == ["run"] * 3


def test_a_file_that_was_there_before_is_not_taken_for_the_commands_own(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[0]")
    run(tmp_path, shell(tmp_path, "one", f"echo '[1]' > {tmp_path}/a.json", ["a.json"]))
    assert (tmp_path / "a.json").read_text() == "[1]\n"


def test_folders_that_are_older_than_records_can_be_adopted(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[0]")
    runner = run(tmp_path, shell(tmp_path, "one", "exit 1", ["a.json"]), adopt=True)
    assert runner.state == {"one": "done"} and runner.ran == []


def test_killed_between_taking_the_old_away_and_making_the_new_it_is_not_done(tmp_path: Path) -> None:
    """The note of the new settings stands, the old output is gone: there is nothing to be mistaken for the new."""
    old = Step(("-c", f"echo '[1]' > {tmp_path}/a.json"), (tmp_path / "a.json",))
    new = Step(("-c", f"echo '[2]' > {tmp_path}/a.json"), (tmp_path / "a.json",))
    run(tmp_path, Job("one", (old,)))
    ledger = Ledger(Graph.of([Job("one", (new,))]), tmp_path / "jobs")
    ledger.begins(ledger.graph.jobs["one"], 0)
    assert not (tmp_path / "a.json").exists()
    assert not Ledger(ledger.graph, tmp_path / "jobs").is_done(ledger.graph.jobs["one"])


def test_a_training_of_other_settings_is_refused_before_anything_begins(tmp_path: Path) -> None:
    def trained(epochs: str) -> Job:
        step = Step(("-c", f"touch {tmp_path}/ran; echo x > {tmp_path}/a.pt", epochs), (tmp_path / "a.pt",), keeps=True)
        return Job("a", (step,))

    run(tmp_path, trained("5"))
    ledger = Ledger(Graph.of([trained("8")]), tmp_path / "jobs")
    with pytest.raises(GraphError, match=r"a\.pt was made with other settings or data \(then 5, now 8\)"):
        ledger.refuse_others()


def test_with_another_job_before_it_a_job_is_made_again(tmp_path: Path) -> None:
    def jobs(word: str) -> list[Job]:
        first = shell(tmp_path, "first", f"echo {word} > {tmp_path}/a", ["a"])
        return [first, shell(tmp_path, "second", f"cp {tmp_path}/a {tmp_path}/b", ["b"], needs=("first",))]

    run(tmp_path, *jobs("one"))
    assert run(tmp_path, *jobs("two")).ran == ["first", "second"]
    assert (tmp_path / "b").read_text() == "two\n"
    assert run(tmp_path, *jobs("two")).ran == []


def test_what_is_watched_decides_as_well(tmp_path: Path) -> None:
    truth = tmp_path / "truth.json"
    truth.write_text("[1]")
    step = Step(("-c", f"cp {truth} {tmp_path}/copy.json"), (tmp_path / "copy.json",), watches=(truth,))
    run(tmp_path, Job("one", (step,)))
    truth.write_text("[2]")
    assert run(tmp_path, Job("one", (step,))).ran == ["one"]
    assert (tmp_path / "copy.json").read_text() == "[2]"


def test_a_job_that_fails_costs_itself_and_those_that_need_it(tmp_path: Path) -> None:
    bad = shell(tmp_path, "bad", "echo why it failed >&2; exit 3", ["bad.out"])
    after = shell(tmp_path, "after", "exit 0", ["after.out"], needs=("bad",))
    good = shell(tmp_path, "good", f"echo x > {tmp_path}/good.out", ["good.out"])
    runner = run(tmp_path, bad, after, good)
    assert runner.state == {"bad": "failed", "after": "blocked", "good": "done"}
    assert "ended with 3: why it failed" in runner.said["bad"]
    mended = shell(tmp_path, "bad", f"echo x > {tmp_path}/bad.out", ["bad.out"])
    after = shell(tmp_path, "after", f"echo x > {tmp_path}/after.out", ["after.out"], needs=("bad",))
    assert set(run(tmp_path, mended, after, good).state.values()) == {"done"}


def test_a_command_that_makes_nothing_has_failed_whatever_its_code(tmp_path: Path) -> None:
    runner = run(tmp_path, shell(tmp_path, "idle", "exit 0", ["there.out"]))
    assert runner.state == {"idle": "failed"} and "made no" in runner.said["idle"]


def test_what_a_command_prints_is_kept_whole(tmp_path: Path) -> None:
    job = Job("one", (Step(("-c", "echo 12.5 %"), (tmp_path / "a.txt",), prints=tmp_path / "a.txt"),))
    assert run(tmp_path, job).state == {"one": "done"}
    assert (tmp_path / "a.txt").read_text() == "12.5 %\n"
    failing = Job("two", (Step(("-c", "echo half; exit 2"), (tmp_path / "b.txt",), prints=tmp_path / "b.txt"),))
    assert "half" in run(tmp_path, failing).said["two"] and not (tmp_path / "b.txt").exists()


def test_jobs_that_do_not_wait_run_side_by_side_and_others_do_not(tmp_path: Path) -> None:
    """Each of two waits for the other to have begun: one after the other they would never end."""
    meet = f"touch {tmp_path}/%s; while [ ! -e {tmp_path}/%s ]; do sleep .01; done; echo x > {tmp_path}/%s.out"
    a, b = (shell(tmp_path, one, meet % (one, other, one), [f"{one}.out"]) for one, other in (("a", "b"), ("b", "a")))
    assert set(run(tmp_path, a, b).state.values()) == {"done"}
    alone = f"mkdir {tmp_path}/room && sleep .05 && rmdir {tmp_path}/room && echo x > {tmp_path}/%s.out"
    wide = [shell(tmp_path, one, alone % one, [f"{one}.out"], slots=2) for one in ("c", "d")]
    assert set(run(tmp_path, *wide).state.values()) == {"done"}


def test_shards_share_the_jobs_wait_for_each_other_and_do_nothing_twice(tmp_path: Path) -> None:
    together = [start(tmp_path, 1, shard, 2) for shard in (1, 0)]
    assert [process.wait(120) for process in together] == [0, 0]
    assert lines(tmp_path / "twice") == [] and len(table(tmp_path)) == 2 + 10 * 3
    began = Counter(line for line in lines(tmp_path / "times") if line.startswith("began"))
    assert set(began.values()) == {1}


def test_a_shard_does_not_wait_for_what_failed_in_another(tmp_path: Path) -> None:
    bad = shell(tmp_path, "bad", "echo no room >&2; exit 3", ["bad.out"], shard=1)
    after = shell(tmp_path, "after", "exit 0", ["after.out"], needs=("bad",))
    graph = Graph.of([bad, after])
    mine = Runner(Ledger(graph, tmp_path / "jobs"), prefix=("/bin/sh",))
    theirs = Runner(Ledger(graph, tmp_path / "jobs"), shard=1, prefix=("/bin/sh",))
    theirs.run()
    mine.run()
    assert mine.state == {"bad": "failed", "after": "blocked"}
    assert "shard 1" in mine.said["bad"] and "no room" in mine.said["bad"]


def test_a_full_disk_ends_it_all_at_once(tmp_path: Path) -> None:
    full = shell(tmp_path, "full", "echo no space left >&2; exit 74", ["full.out"])
    other = shell(tmp_path, "other", f"echo x > {tmp_path}/other.out", ["other.out"])
    with pytest.raises(OSError, match="no space left"):
        run(tmp_path, full, other, workers=1)
    assert not (tmp_path / "other.out").exists()


def test_names_twice_unknown_needs_and_circles_are_refused(tmp_path: Path) -> None:
    def job(name: str, *needs: str) -> Job:
        return shell(tmp_path, name, "exit 0", [], needs=needs)

    for jobs, said in (
        ([job("a"), job("a")], "two jobs are called 'a'"),
        ([job("a", "b")], "a: needs b, which there is not"),
        ([job("a", "b"), job("b", "a")], "circle: a, b"),
    ):
        with pytest.raises(GraphError, match=said):
            Graph.of(jobs)


def test_a_damaged_record_costs_a_look_and_no_traceback(tmp_path: Path) -> None:
    job = shell(tmp_path, "one", f"echo run >> {tmp_path}/runs; echo '[1]' > {tmp_path}/a.json", ["a.json"])
    run(tmp_path, job)
    record = tmp_path / "jobs" / "one.json"
    assert json.loads(record.read_text())["steps"]["0"]["finished"] is True
    record.write_text("{")
    assert run(tmp_path, job).state == {"one": "done"}
    assert lines(tmp_path / "runs") == ["run"] * 2
