"""Many jobs under one roof: what a bad one costs, what is reported, who does which share."""

import json
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import taskbench
from hypothesis import given
from hypothesis import strategies as st
from processes import living

from features import StoreError, pack
from features.files.report_file import read_report
from features.running import jobs, supervisor
from features.running.jobs import Job, RunReport

Run = Callable[..., RunReport]


def additions(count: int) -> list[Job]:
    return [Job(f"v{number}", "taskbench:add", {"a": number, "b": 1}, weight=10) for number in range(count)]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run_here(work: list[Job], **options: Any) -> RunReport:
        return jobs.run(work, command="test", report_path=tmp_path / "demo.reports" / "test.json", **options)

    return run_here


def records(tmp_path: Path) -> dict[str, Any]:
    return read_report(tmp_path / "demo.reports" / "test.json")["videos"]


def test_every_job_is_done_and_its_record_kept(run: Run, tmp_path: Path) -> None:
    report = run(additions(3))
    assert (report.done, report.skipped, report.failed, report.exit_code) == (3, 0, 0, 0)
    assert {video: record["sum"] for video, record in records(tmp_path).items()} == {"v0": 1, "v1": 2, "v2": 3}
    assert records(tmp_path)["v0"]["peak_memory_bytes"] > 1e6


def test_one_child_with_one_thread_serves_many_jobs(run: Run, tmp_path: Path) -> None:
    run(additions(3))
    assert len({record["pid"] for record in records(tmp_path).values()}) == 1
    assert {record["threads"] for record in records(tmp_path).values()} == {1}


def test_a_crash_costs_one_video_and_not_the_run(run: Run, tmp_path: Path) -> None:
    work = additions(3)
    work.insert(1, Job("broken", "taskbench:crash", {}, weight=10))
    report = run(work)
    assert (report.done, report.failed, report.exit_code) == (3, 1, 3)
    (failure,) = report.failures
    assert failure["cause"] == "Crash"
    # The message says how, where, and what the native code said last.
    assert "SIGSEGV at 7 of 10" in failure["message"]
    assert "macroblock 12 is broken" in failure["message"]
    assert records(tmp_path)["v0"]["pid"] != records(tmp_path)["v1"]["pid"] == records(tmp_path)["v2"]["pid"]


def test_a_hang_in_native_code_is_killed_and_costs_one_video(run: Run) -> None:
    began = time.monotonic()
    report = run([Job("stuck", "taskbench:hang", {}, weight=10), *additions(1)], hang_s=1.0)
    assert (report.done, report.failed) == (1, 1)
    assert report.failures[0]["cause"] == "Hang"
    assert "--hang-s" in report.failures[0]["message"]
    assert time.monotonic() - began < 15


def test_the_start_of_a_child_is_not_mistaken_for_a_hang(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPORT_S", "2.5")
    assert run([Job("v", "slow_to_import:nothing", {}, weight=10)], hang_s=0.5).done == 1


def test_a_child_that_never_starts_is_given_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPORT_S", "600")
    monkeypatch.setattr(supervisor, "START_S", 1.0)
    report = run([Job("v", "slow_to_import:nothing", {}, weight=10)], hang_s=0.5)
    assert (report.failed, report.failures[0]["cause"]) == (1, "Hang")
    assert "while it was starting" in report.failures[0]["message"]


def test_a_child_that_beats_all_the_time_is_killed_before_it_eats_the_machine(run: Run) -> None:
    report = run([Job("huge", "taskbench:hoard", {}, weight=10), *additions(1)], max_memory_gb=0.4)
    assert (report.done, report.failed) == (1, 1)
    assert report.failures[0]["cause"] == "OutOfMemory"
    assert "more than --max-memory-gb allows" in report.failures[0]["message"]


def test_an_exception_costs_one_video_and_keeps_the_child(run: Run, tmp_path: Path) -> None:
    work = additions(2)
    work.insert(1, Job("odd", "taskbench:refuse", {"message": "v9: no such frame"}, weight=10))
    work.insert(1, Job("lost", "taskbench:not_there", {}, weight=10))
    report = run(work)
    assert {failure["cause"]: failure["message"] for failure in report.failures} == {
        "AttributeError": "module 'taskbench' has no attribute 'not_there'",
        "LookupError": "v9: no such frame",
    }
    assert records(tmp_path)["v0"]["pid"] == records(tmp_path)["v1"]["pid"]
    saved = read_report(tmp_path / "demo.reports" / "test.json")["failures"]
    assert "in refuse" in saved[1]["detail"]  # the traceback


def test_a_task_is_named_as_a_function_and_told_to_workers_by_its_reference(run: Run) -> None:
    job = Job("v", taskbench.add, {"a": 1, "b": 2}, weight=10)
    assert run([job]).done == 1
    sent = pickle.loads(pickle.dumps(job))
    assert sent.task == "taskbench:add" and sent.payload == job.payload  # a worker need not import it


def test_a_function_that_no_child_could_import_is_refused_where_the_job_is_made() -> None:
    def inner(payload: dict[str, Any], beat: Callable[[int], None]) -> dict[str, Any]:
        return {}

    for task in (inner, lambda payload, beat: {}):
        with pytest.raises(ValueError, match="cannot be imported by a child process"):
            Job("v", task, {}, weight=1)


def test_native_prints_do_not_disturb_the_answers(run: Run, tmp_path: Path) -> None:
    report = run([Job("loud", "taskbench:noisy", {}, weight=10), *additions(1)])
    assert report.done == 2
    assert records(tmp_path)["loud"]["seen"] == 0.5
    assert report.notes == ["a word to the user"]


def test_a_task_may_do_several_jobs_and_each_has_an_outcome_of_its_own(run: Run, tmp_path: Path) -> None:
    report = run([Job("a+3", "taskbench:several", {"keys": ["a", "b", "bad"]}, weight=30), *additions(1)])
    assert (report.done, report.failed) == (3, 1)
    assert report.failures == [{"video": "video of bad", "cause": "VideoError", "message": "cut short"}]
    assert records(tmp_path)["video of a"]["frames"] == records(tmp_path)["video of b"]["frames"] == 1
    assert "a+3" not in records(tmp_path)


def test_what_fails_all_at_once_is_done_part_by_part(run: Run, tmp_path: Path) -> None:
    """A crash of one video would take those of its bundle along, in every run anew."""

    def together(parts: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return ("taskbench:crash" if "broken" in parts else "taskbench:several"), {"keys": list(parts)}

    work = [Job(name, "taskbench:add", {}, weight=10) for name in ("a", "broken", "c", "d")]
    report = run(work, bundled=lambda left: jobs.in_bundles(left, 30, together))
    assert (report.done, report.failed, report.exit_code) == (3, 1, 3)
    assert [(one["video"], one["cause"]) for one in report.failures] == [("broken", "Crash")]
    assert set(records(tmp_path)) == {"video of a", "video of c", "video of d"}
    left: list[str] = []
    run(work, skip_failed=True, bundled=lambda now: left.extend(job.key for job in now) or now)
    assert left == ["a", "c", "d"]  # "broken" is no part of any bundle then


def test_a_retry_may_save_what_crashed_once(run: Run, tmp_path: Path) -> None:
    work = [Job("shaky", "taskbench:crash_once", {"marker": str(tmp_path / "marker")}, weight=10)]
    assert run(work, retries=1).exit_code == 0


def test_a_missing_right_to_write_stops_the_run_with_its_own_exit_code(run: Run, tmp_path: Path) -> None:
    payload = {"store": str(tmp_path / "demo.h5"), "video": "v", "file_limit": 4096}
    report = run([Job("v", "taskbench:store_video", payload, weight=10), *additions(2)])
    assert (report.done, report.failed, report.exit_code) == (0, 0, 74)
    assert "File too large" in report.fatal
    assert not list(tmp_path.rglob("*.part"))
    assert not list(tmp_path.rglob("*.h5"))


def test_a_place_where_nothing_can_be_written_is_found_before_the_work(run: Run, tmp_path: Path) -> None:
    (tmp_path / "demo.parts").write_text("a file where the folder of parts should be")
    report = run(additions(2), store=tmp_path / "demo.h5")
    assert (report.done, report.exit_code) == (0, 74)
    assert f"cannot write into {tmp_path / 'demo.parts'}: File exists" in str(report)


def test_a_single_file_is_not_worked_into(run: Run, tmp_path: Path) -> None:
    payload = {"store": str(tmp_path / "parts.h5"), "video": "v"}
    run([Job("v", "taskbench:store_video", payload, weight=4)], store=tmp_path / "parts.h5")
    assert pack.main([str(tmp_path / "parts.h5"), "--single", str(tmp_path / "demo.h5")]) == 0
    with pytest.raises(StoreError, match="single self-contained file"):
        run(additions(1), store=tmp_path / "demo.h5")


def test_what_is_done_is_skipped_and_its_cost_kept(run: Run, tmp_path: Path) -> None:
    run(additions(2))
    report = run(additions(3), done=lambda job: job.key in {"v0", "v1"})
    assert (report.done, report.skipped) == (1, 2)
    assert set(records(tmp_path)) == {"v0", "v1", "v2"}


def test_a_failure_is_forgotten_once_the_video_is_done(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "demo.reports" / "test.json"
    failing = [Job("v0", "taskbench:refuse", {}, weight=10), Job("v1", "taskbench:refuse", {}, weight=10)]
    run(failing)
    assert [failure["video"] for failure in read_report(path)["failures"]] == ["v0", "v1"]
    assert run(failing, skip_failed=True).skipped == 2
    run(additions(1))
    assert [failure["video"] for failure in read_report(path)["failures"]] == ["v1"]


def test_videos_that_failed_before_their_job_count_as_failed(run: Run) -> None:
    report = run(additions(1), failures=[{"video": "bad", "cause": "VideoError", "message": "bad.mp4: cut short"}])
    assert (report.done, report.failed, report.exit_code) == (1, 1, 3)
    assert "1 x VideoError, e.g. bad: bad.mp4: cut short" in str(report)


def test_a_video_that_could_not_be_opened_is_forgiven_once_its_chunks_are_done(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "demo.reports" / "test.json"
    run([], failures=[{"video": "v", "cause": "VideoError", "message": "v.mp4: cut short"}])
    assert len(read_report(path)["failures"]) == 1
    run([Job("v#0", "taskbench:add", {"a": 1, "b": 1}, weight=10, video="v")])
    assert read_report(path)["failures"] == []


def test_chunks_of_a_video_add_up_to_its_record(run: Run, tmp_path: Path) -> None:
    payload = {"store": str(tmp_path / "demo.h5"), "video": "v"}
    chunks = [Job(f"v#{n}", "taskbench:store_video", payload, weight=4, video="v") for n in range(3)]
    run(chunks[:2])
    run(chunks[2:])  # a resumed run adds to what is known
    run(chunks[2:])  # and one that does a chunk again does not count it twice
    record = records(tmp_path)["v"]
    assert (record["frames"], record["seconds"], record["duration_s"]) == (12, {"rgb_network": 1.5}, 1.0)


def test_the_report_says_where_it_ran(run: Run, tmp_path: Path) -> None:
    run(additions(1))
    saved = json.loads((tmp_path / "demo.reports" / "test.json").read_text())
    assert saved["schema"] == "flowless/report/1"
    assert saved["command"] == "test"
    assert saved["counts"] == {"done": 1, "skipped": 0, "failed": 0}
    assert saved["machine"]["cores"] >= 1
    assert saved["machine"]["processor"]
    assert saved["videos"]["v0"]["device"] == "cpu"


def test_a_dry_run_forecasts_from_earlier_runs_and_does_nothing(run: Run, tmp_path: Path) -> None:
    payload = {"store": str(tmp_path / "demo.h5"), "video": "v"}
    run([Job("v", "taskbench:store_video", payload, weight=4)])  # 4 frames cost .5 s by its own account
    report = run([Job("w", "taskbench:store_video", payload, weight=28800)], dry_run=True)
    assert "1 to do, 0 skipped, 0 failed; 28,800 frames, 1.00 core-hours" in str(report)
    assert report.exit_code == 0
    assert set(records(tmp_path)) == {"v"}


@pytest.mark.parametrize("engine", ["loky", pytest.param("dask", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore")  # of the engines' own: event loops and sockets closed late
def test_every_engine_survives_the_same_disasters(run: Run, engine: str, tmp_path: Path) -> None:
    disasters = [
        Job("broken", "taskbench:crash", {}, weight=10),
        Job("stuck", "taskbench:hang", {}, weight=10),
        Job("odd", "taskbench:refuse", {}, weight=10),
        Job("loud", "taskbench:noisy", {}, weight=10),
    ]
    report = run([*disasters, *additions(6)], engine=engine, workers=2, hang_s=2.0)
    assert (report.done, report.failed, report.exit_code) == (7, 3, 3)
    assert {failure["cause"] for failure in report.failures} == {"Crash", "Hang", "LookupError"}
    pids = {record["pid"] for video, record in records(tmp_path).items() if video != "loud"}
    assert os.getpid() not in pids
    assert living(pids) == []  # no child outlives its run


def test_a_full_disk_stops_all_workers(run: Run, tmp_path: Path) -> None:
    payload = {"store": str(tmp_path / "demo.h5"), "file_limit": 4096}
    full = [Job(f"f{n}", "taskbench:store_video", {**payload, "video": f"f{n}"}, weight=10) for n in range(20)]
    report = run(full, workers=2)
    assert report.exit_code == 74
    assert report.done == 0


@given(st.lists(st.integers(0, 10_000), max_size=60), st.integers(1, 9))
def test_shards_share_all_jobs_out_and_none_twice(weights: list[int], count: int) -> None:
    work = [Job(f"v{number}", "t:t", {}, weight) for number, weight in enumerate(weights)]
    shares = [jobs.share(work, index, count) for index in range(count)]
    assert sorted(job.key for share in shares for job in share) == sorted(job.key for job in work)
    # Longest-processing-time: no share exceeds the lightest by more than one job.
    loads = [sum(max(job.weight, 1) for job in share) for share in shares]
    assert max(loads) - min(loads) <= max([max(job.weight, 1) for job in work], default=0)


def test_shards_balance_frames_and_not_videos() -> None:
    work = [Job(name, "t:t", {}, weight) for name, weight in [("a", 6), ("b", 1), ("c", 2), ("d", 3)]]
    assert [job.key for job in jobs.share(work, 0, 2)] == ["a"]
    assert [job.key for job in jobs.share(work, 1, 2)] == ["b", "c", "d"]


def test_two_jobs_of_one_name_are_refused(run: Run) -> None:
    with pytest.raises(ValueError, match="same key"):
        run([*additions(1), *additions(1)])


@pytest.mark.slow  # dask takes its time to give up
@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_that_does_not_answer_is_said_at_once(run: Run) -> None:
    report = run(additions(1), engine="dask", scheduler="tcp://127.0.0.1:9")
    assert report.exit_code == 2
    assert "--scheduler tcp://127.0.0.1:9: no dask scheduler answers there" in str(report)
