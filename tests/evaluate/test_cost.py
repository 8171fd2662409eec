"""The cost of two-stream and RGB-only detection, added up from reports whose sums can be done on paper."""

import json
from pathlib import Path

import pytest

from evaluate import cost as command
from evaluate.reporting.cost_records import CostError, compare_cost, read_reports

MACHINE = {"processor": "Abacus 3000", "cores": 4, "device": "cpu", "threads": 1}
SECONDS = {  # of video a, which lasts 60 s; video b lasts 120 s and costs twice as much, so that rates are the same
    "extract.rgb": {"decode": 2.0, "rgb_network": 3.0},
    "flow.tvl1": {"decode": 2.5, "flow": 40.0},
    "extract.motion.flow": {"read": 0.5, "flow_network": 4.0},
    "detect.run": {"read": 0.1, "detector": 1.0},
}


def write(folder: Path, command: str, seconds: dict[str, float], name: str = "", **changes: object) -> str:
    """A report of videos a (1 minute) and b (2 minutes); returns its path."""
    record = {"frames": 1800, "peak_memory_bytes": 100 * 2**20}
    content = {
        "schema": "flowless/report/1",
        "command": command,
        "machine": MACHINE,
        "counts": {"done": 2, "skipped": 0, "failed": 0},
        "failures": [],
        "videos": {
            video: {**record, "duration_s": 60.0 * times, "seconds": {stage: s * times for stage, s in seconds.items()}}
            for video, times in (("a", 1), ("b", 2))
        },
        **changes,
    }
    path = folder / f"{name or command}.json"
    path.write_text(json.dumps(content))
    return str(path)


@pytest.fixture
def reports(tmp_path: Path) -> dict[str, str]:
    return {name: write(tmp_path, name, seconds) for name, seconds in SECONDS.items()}


def compare(*paths: str):
    return compare_cost(read_reports(paths))


def test_two_stream_and_rgb_only_add_up_their_own_stages(reports: dict[str, str]):
    cost = compare(*reports.values())
    assert cost.methods["RGB-only"].seconds_per_minute == pytest.approx(2 + 3 + 1)
    assert cost.methods["two-stream (flow)"].seconds_per_minute == pytest.approx(2 + 40 + 3 + 4 + 1)
    assert cost.methods["two-stream (flow)"].times_rgb_only == pytest.approx(50 / 6)
    assert cost.minutes == 3 and cost.videos == ("a", "b")
    assert cost.where == "Abacus 3000, 4 cores; cpu, 1 thread"
    assert cost.notes == ()


def test_a_motion_student_adds_one_rgb_network_and_no_flow(reports: dict[str, str], tmp_path: Path):
    student = write(tmp_path, "extract.rgb.rgb_motion", {"decode": 9.0, "rgb_motion_network": 3.5})
    cost = compare(*reports.values(), student)
    assert cost.methods["distilled (RGB)"].seconds_per_minute == pytest.approx(2 + 3 + 3.5 + 1)  # decoded once
    assert cost.methods["RGB-only"].seconds_per_minute == pytest.approx(2 + 3 + 1)
    assert cost.notes == ()


def test_a_twin_is_one_network_for_both_streams(reports: dict[str, str], tmp_path: Path):
    twin = write(tmp_path, "extract.rgb.rgb_twin", {"decode": 9.0, "twin_network": 3.6})
    cost = compare(*reports.values(), twin)
    assert cost.methods["distilled (twin)"].seconds_per_minute == pytest.approx(2 + 3.6 + 1)
    assert "distilled (RGB)" not in cost.methods and cost.notes == ()


def test_decoding_counts_once_and_as_the_rgb_network_measured_it(reports: dict[str, str]):
    backwards = compare(*reversed(reports.values()))
    for method in backwards.methods.values():
        assert method.stages["decode"] == pytest.approx(2.0)  # not the 2.5 s that the flow command took


def test_a_long_video_weighs_by_its_minutes(tmp_path: Path, reports: dict[str, str]):
    path = Path(reports["flow.tvl1"])
    content = json.loads(path.read_text())
    content["videos"]["b"]["seconds"]["flow"] = 260.0  # 40 + 260 over 3 minutes
    path.write_text(json.dumps(content))
    assert compare(*reports.values()).methods["two-stream (flow)"].stages["flow"] == pytest.approx(100)


def test_only_videos_with_every_stage_are_compared(tmp_path: Path, reports: dict[str, str]):
    path = Path(reports["detect.run"])
    content = json.loads(path.read_text())
    del content["videos"]["a"]
    path.write_text(json.dumps(content))
    cost = compare(*reports.values())
    assert cost.videos == ("b",) and cost.minutes == 2
    assert cost.methods["RGB-only"].seconds_per_minute == pytest.approx(6)


def test_the_gradient_gets_its_own_column(tmp_path: Path, reports: dict[str, str]):
    gradient = write(tmp_path, "flow.gradient", {"decode": 2.4, "gradient": 0.5})
    network = write(tmp_path, "extract.motion.gradient", {"gradient_network": 5.0})
    cost = compare(*reports.values(), gradient, network)
    assert list(cost.methods) == ["RGB-only", "two-stream (flow)", "two-stream (gradient)"]
    assert cost.methods["two-stream (gradient)"].seconds_per_minute == pytest.approx(2 + 0.5 + 3 + 5 + 1)
    half = compare(*reports.values(), network)
    assert "two-stream (gradient) is left out: no report measured gradient" in half.notes


def test_each_side_may_have_its_own_detector(tmp_path: Path, reports: dict[str, str]):
    others = [path for name, path in reports.items() if name != "detect.run"]
    heavy = write(tmp_path, "detect.run", {"detector": 3.0}, name="two")
    cost = compare(*others, f"rgb-only={reports['detect.run']}", f"two-stream={heavy}")
    assert cost.methods["RGB-only"].stages["detector"] == pytest.approx(1)
    assert cost.methods["two-stream (flow)"].stages["detector"] == pytest.approx(3)
    unsaid = compare(*others, reports["detect.run"], heavy)
    assert unsaid.methods["RGB-only"].stages["detector"] == pytest.approx(2)
    assert any("detector is the mean of" in note for note in unsaid.notes)


def test_folders_stand_for_the_reports_in_them_and_their_names_for_sides(tmp_path: Path, reports: dict[str, str]):
    """As the demo has it: stores' report folders, and run folders that hold metrics and configurations too."""
    for name in ("store.reports", "rgb-only", "two-stream"):
        (tmp_path / name).mkdir()
    for name, seconds in SECONDS.items():
        if name != "detect.run":
            write(tmp_path / "store.reports", name, seconds)
    write(tmp_path / "rgb-only", "detect.run", {"detector": 1.0}, name="detections.report")
    write(tmp_path / "two-stream", "detect.run", {"detector": 3.0}, name="detections.report")
    (tmp_path / "rgb-only" / "metrics.json").write_text('{"mAP": [0.5]}')
    (tmp_path / "rgb-only" / "config.json").write_text("[]")
    cost = compare(*(str(tmp_path / name) for name in ("store.reports", "two-stream", "rgb-only")))
    assert cost.methods["RGB-only"].stages["detector"] == pytest.approx(1)
    assert cost.methods["two-stream (flow)"].stages["detector"] == pytest.approx(3)
    assert cost.notes == ()
    (tmp_path / "empty").mkdir()
    with pytest.raises(CostError, match="empty: no report in this folder"):
        compare(str(tmp_path / "empty"))


def test_other_machines_are_named(tmp_path: Path, reports: dict[str, str]):
    gpu = {"processor": "Abacus 3000", "cores": 4, "device": "cuda", "threads": 1}
    reports["detect.run"] = write(tmp_path, "detect.run", SECONDS["detect.run"], machine=gpu)
    cost = compare(*reports.values())
    assert len(cost.machines) == 2
    assert "detect.run: Abacus 3000, 4 cores; cuda" in cost.notes[0]


def test_more_threads_are_told_but_are_the_same_machine(tmp_path: Path, reports: dict[str, str]):
    """Seconds on the CPU are those of all threads together."""
    reports["detect.run"] = write(tmp_path, "detect.run", SECONDS["detect.run"], machine={**MACHINE, "threads": 2})
    cost = compare(*reports.values())
    assert cost.notes == ()
    assert cost.where == "Abacus 3000, 4 cores; cpu, 1 to 2 threads"


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("extract.rgb", "RGB-only cannot be told, no report measured rgb_network (measured by extract.rgb"),
        ("detect.run", "no report measured detector (measured by detect.run or detect.video)"),
        ("extract.motion.flow", "two-stream (flow) cannot be told, no report measured flow_network"),
        ("flow.tvl1", "no report measured flow (measured by flow.tvl1 or extract.motion)"),
    ],
)
def test_a_missing_stage_is_named_with_the_command_that_measures_it(lost: str, said: str, reports: dict[str, str]):
    with pytest.raises(CostError) as error:
        compare(*(path for name, path in reports.items() if name != lost))
    assert said in str(error.value)


def test_files_that_are_no_reports_are_refused_by_name(tmp_path: Path, reports: dict[str, str]):
    other = write(tmp_path, "extract.rgb", {}, name="other", schema="flowless/report/9")
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    timeless = write(tmp_path, "extract.rgb", {}, name="timeless", videos={"a": {"seconds": {}}})
    for path, said in (
        (other, "expected a report with schema 'flowless/report/1', found 'flowless/report/9'"),
        (str(broken), "not valid JSON"),
        (str(tmp_path / "none.json"), "no such file"),
        (timeless, "video 'a': expected 'duration_s' above 0"),
        (f"rgb={reports['detect.run']}", "rgb-only=REPORT.json, distilled=REPORT.json"),
    ):
        with pytest.raises(CostError) as error:
            read_reports([path])
        assert said in str(error.value) and Path(path.rpartition("=")[2]).name in str(error.value)


def test_videos_without_anything_in_common_are_told(tmp_path: Path, reports: dict[str, str]):
    path = Path(reports["detect.run"])
    content = json.loads(path.read_text())
    content["videos"] = {"z": content["videos"]["a"]}
    path.write_text(json.dumps(content))
    with pytest.raises(CostError, match=r"no video was measured in all stages: .*detector of 1 videos \(z, ...\)"):
        compare(*reports.values())


def test_the_command_prints_the_table_and_writes_the_same_numbers(reports: dict[str, str], tmp_path: Path, capsys):
    out = tmp_path / "cost.json"
    assert command.main([*reports.values(), "--json", str(out)]) == 0
    rows = {line[:40].strip(): line[40:].split() for line in capsys.readouterr().out.splitlines()}
    assert rows["total"] == ["6.00", "50.00"]
    assert rows["times RGB-only"] == ["1.0", "8.3"]
    assert rows["flow"] == ["-", "40.00"]
    assert rows["peak memory"] == ["100", "MiB", "100", "MiB"]
    written = json.loads(out.read_text())
    assert written["methods"]["two-stream (flow)"]["seconds_per_minute"] == pytest.approx(50)
    assert command.main([reports["flow.tvl1"]]) == 2
    assert capsys.readouterr().err.startswith("CostError: RGB-only cannot be told")
