"""The comparison: its jobs, what of them is done, what is refused, and what its tables tell. Commands only pretend."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evaluate.metrics.significance import SeedsGain
from flowless import compare
from flowless.comparing import running
from flowless.comparing.summary import Summary
from flowless.comparing.told import waited_for
from flowless.graph import runner
from flowless.graph.job import Graph, Job
from flowless.graph.ledger import Ledger

QUICK = (sys.executable, "-S", str(Path(__file__).with_name("quick_commands.py")))
WEIGHTS = ("--backbone", "nano")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six videos, four to learn from, in a folder that is worked in; commands only pretend."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(running, "PREFIX", QUICK)
    monkeypatch.setenv("FAKED", str(tmp_path))
    (tmp_path / "called").touch()
    (tmp_path / "videos").mkdir()
    database = {}
    for number in range(6):
        name = f"v{number}"
        (tmp_path / "videos" / f"{name}.mp4").write_bytes(b"video")
        action = {"label": "jump", "segment": [1.0, 2.0]}
        subset = "Training" if number < 4 else "Test"
        database[name] = {"subset": subset, "duration": 60.0, "fps": 25, "annotations": [action]}
    (tmp_path / "a.json").write_text(json.dumps({"database": database}))
    return tmp_path


def run(*more: str) -> int:
    return compare.main(["--videos", "videos", "--annotations", "a.json", "--out", "out", *WEIGHTS, *more])


def called(folder: Path) -> list[str]:
    """The commands called since the last time."""
    lines = (folder / "called").read_text().splitlines()
    (folder / "called").write_text("")
    return lines


def test_everything_is_made_once_and_more_of_it_when_more_is_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--workers", "2") == 0
    made = called(folder)
    modules = [line.split()[0] for line in made]
    assert len(modules) == 4 + 3 * 5 + 1
    assert modules.count("train.run") == modules.count("detect.run") == modules.count("evaluate.run") == 5
    assert modules.index("flow.tvl1") < modules.index("extract.motion") < modules.index("train.run")
    assert "evaluate.report says" in capsys.readouterr().out
    assert run("--workers", "2") == 0 and called(folder) == []
    assert run("--seeds", "0", "1") == 0
    more = called(folder)
    assert all("seed1" in line for line in more if not line.startswith("evaluate")), more
    assert sum(line.startswith("train.run") for line in more) == 5
    out = capsys.readouterr().out
    assert "| decomposed | distilled (twin) |" in out and "| rgb-only |" in out
    assert 'href="reports/seed1.html"' in (folder / "out/report.html").read_text()
    results = json.loads((folder / "out/results.json").read_text())
    assert {(one["method"], one["seed"]) for one in results["runs"]} == {
        (method, seed)
        for method in ("motion-only", "rgb-only", "two-stream", "decomposed", "direct")
        for seed in (0, 1)
    }


def test_a_dry_run_calls_nothing_and_tells_commands_hours_and_bytes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--dry-run", "--seeds", "0", "1") == 0
    out = capsys.readouterr().out
    assert called(folder) == [] and not (folder / "out").exists()
    assert "python -m extract.motion --cue flow --flow out/flow.h5 --videos videos" in out
    assert "--method decomposed --cues rgb_twin,rgb_twin_motion" in out
    assert "14 jobs, 0 of them done; left: about" in out and "hours of one CPU core" in out and "GB of" in out
    run("--methods", "rgb-only")
    capsys.readouterr()
    run("--dry-run", "--methods", "rgb-only", "direct")
    lines = capsys.readouterr().out.splitlines()
    assert "done    rgb-only, seed 0" in lines and any(line.startswith("to do   direct, seed 0") for line in lines)


def test_a_teacher_is_made_where_only_its_student_is_asked_for(folder: Path) -> None:
    assert run("--methods", "direct") == 0
    trained = [line for line in called(folder) if line.startswith("train.run")]
    assert [line.rpartition("/")[2] for line in trained] == ["motion-only", "direct"]


def test_a_student_is_taught_on_the_training_videos_alone(folder: Path) -> None:
    assert run("--methods", "decomposed", "--student", "twin") == 0
    assert "extract.distill out/twin.pt" in called(folder)
    assert sorted(path.name for path in (folder / "out/training_videos").iterdir()) == [f"v{n}.mp4" for n in range(4)]
    assert run("--methods", "decomposed", "--student", "twin", "--seeds", "0", "1") == 0
    assert not any(line.startswith(("extract", "flow")) for line in called(folder))


def test_a_second_cue_has_its_own_methods(folder: Path) -> None:
    assert run("--cues", "flow", "gradient") == 0
    runs = {line.rpartition("/")[2] for line in called(folder) if line.startswith("train.run")}
    assert {"motion-only", "motion-only-gradient", "two-stream", "two-stream-gradient"} <= runs


def test_a_run_that_fails_costs_itself_and_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken").write_text("two-stream")
    assert run() == 3
    told = capsys.readouterr()
    assert (
        "not made: two-stream, seed 0: train.run ended with 2: TrainingError: two-stream cannot be trained" in told.err
    )
    assert "not made: two-stream" in (folder / "out/table.md").read_text()
    assert "two-stream=" not in "".join(called(folder))
    (folder / "broken").unlink()
    assert run() == 0
    assert [line.split()[0] for line in called(folder)] == [
        "train.run",
        "detect.run",
        "evaluate.run",
        "evaluate.report",
    ]


def test_other_settings_are_refused_before_anything_begins(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--methods", "rgb-only", "--epochs", "5") == 0
    called(folder)
    assert run("--methods", "rgb-only", "--epochs", "8") == 2
    assert "was made with other settings or data (then 5, now 8)" in capsys.readouterr().err
    assert called(folder) == []


def test_changed_annotations_are_seen(folder: Path) -> None:
    assert run("--methods", "rgb-only") == 0
    called(folder)
    text = (folder / "a.json").read_text()
    (folder / "a.json").write_text(text.replace('"segment": [1.0, 2.0]', '"segment": [1.0, 3.0]'))
    assert run("--methods", "rgb-only") == 0
    assert [line.split()[0] for line in called(folder)] == [
        "train.run",
        "detect.run",
        "evaluate.run",
        "evaluate.report",
    ]


def test_a_replaced_video_is_seen_by_the_commands_that_read_videos(folder: Path) -> None:
    assert run("--methods", "rgb-only") == 0
    called(folder)
    (folder / "videos/v1.mp4").write_bytes(b"another video")
    assert run("--methods", "rgb-only") == 0
    assert {line.split()[0] for line in called(folder)} >= {"extract.rgb", "flow.tvl1", "extract.motion"}


def test_videos_without_a_file_are_refused_or_skipped_and_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "videos/v5.mp4").unlink()
    assert run("--methods", "rgb-only") == 2
    assert "1 of 6 annotated videos have no file in --videos: v5" in capsys.readouterr().err
    assert called(folder) == []
    assert run("--methods", "rgb-only", "--missing", "skip") == 0
    assert "1 videos had no file: v5" in (folder / "out/table.md").read_text()
    assert json.loads((folder / "out/results.json").read_text())["missing"] == {"had no file": ["v5"]}


def test_shards_together_make_what_one_would_and_nothing_twice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LOOK_S", 0.05)
    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(lambda shard: run("--shard", f"{shard}/2", "--seeds", "0", "1"), (0, 1)))
    assert codes == [0, 0]
    made = called(folder)
    assert (
        sum(line.startswith("train.run") for line in made) == len({x for x in made if x.startswith("train.run")}) == 10
    )
    assert sum(line.startswith("flow.tvl1") for line in made) == 2  # each a share of the videos
    assert run("--seeds", "0", "1") == 0
    assert not any(line.startswith(("train", "detect", "evaluate")) for line in called(folder))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--methods", "three-stream"], "--methods three-stream: there are motion-only, rgb-only"),
        (["--subset", "Holdout"], "--subset Holdout: a.json has Training, Test"),
        (["--backbone", "i3d_inception"], "ships no weights for rgb. Give --rgb-weights FILE"),
        (["--rgb-weights", "none.pt"], "--rgb-weights none.pt: no such file"),
        (["--student", "other.pt"], "--student other.pt: no such file"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert run(*options) == 2
    assert said in capsys.readouterr().err and called(folder) == []


def test_the_report_is_of_the_seed_that_was_asked_for_last(folder: Path) -> None:
    def shown(seed: str) -> str:
        assert run("--methods", "rgb-only", "--seeds", seed) == 0
        return (folder / "out/report.html").read_text()

    first, second = shown("0"), shown("1")
    assert first != second and shown("0") == first


def test_a_shard_says_what_it_waits_for(tmp_path: Path) -> None:
    graph = Graph.of([Job("mine", (), ("theirs",)), Job("theirs", (), shard=1), Job("apart", (), shard=1)])
    one = runner.Runner(Ledger(graph, tmp_path / "jobs"))
    one.state = {"mine": "waiting", "theirs": "waiting", "apart": "waiting"}
    assert waited_for(one) == "waiting for theirs (shard 1), apart (shard 1)"
    one.state = {"mine": "waiting", "theirs": "done", "apart": "waiting"}
    assert waited_for(one) == ""  # there is something to do
    one.state = {"mine": "done", "theirs": "done", "apart": "waiting"}
    assert waited_for(one) == ""  # nothing is left here
    one.waits_for_all = True
    assert waited_for(one) == "waiting for apart (shard 1)"


def test_a_detection_that_was_killed_before_its_report_was_written_is_made_again(folder: Path) -> None:
    assert run() == 0
    called(folder)
    (folder / "out" / "runs" / "seed0" / "direct" / "detections.report.json").unlink()  # without it no cost is told
    assert run() == 0
    assert called(folder) == ["detect.run out/runs/seed0/direct/detections.json"]


def test_a_gap_that_may_be_none_is_said() -> None:
    def said(gain: SeedsGain) -> list[str]:
        return Summary(None, [], {("actionformer", "two-stream"): gain}, None, {}, {}).notes()  # type: ignore[arg-type]

    (doubt,) = said(SeedsGain(0.067, -0.073, 0.183, 0.23))
    assert "+6.7 points from rgb-only" in doubt and "-7.3 to +18.3, holds 0" in doubt and "more --seeds" in doubt
    assert said(SeedsGain(0.2, 0.1, 0.3, 0.01)) == []
    assert Summary(None, [], {("actionformer", "direct"): SeedsGain(0.0, -1, 1, 1)}, None, {}, {}).notes() == []  # type: ignore[arg-type]
