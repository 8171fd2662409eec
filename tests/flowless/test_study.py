"""The study: which runs there are, that none is made twice, and tables that can be checked on paper."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from evaluate.metrics.significance import SeedsGain
from flowless import study
from flowless.comparing.picture import ABOVE, BELOW, BESIDE, Mark, draw, marks, places
from flowless.comparing.runs import Material
from flowless.comparing.table import Result, markdown

QUICK = (sys.executable, "-S", str(Path(__file__).with_name("quick_commands.py")))


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands only pretend; the file says which were called."""
    monkeypatch.setattr(study, "PREFIX", QUICK)
    monkeypatch.setenv("FAKED", str(tmp_path))
    (tmp_path / "called").touch()
    return tmp_path / "called"


def trained(called: Path) -> list[str]:
    """The runs that were trained since the last time, as row and seed, in order."""
    runs = [Path(line.split()[1]) for line in called.read_text().splitlines() if line.startswith("train.run")]
    called.write_text("")
    return [f"{run.name} {run.parent.name.removeprefix('seed')}" for run in runs]


def arguments(tmp_path: Path, *more: str) -> list[str]:
    """Of a study of 140 training videos."""
    action = {"label": "jump", "segment": [1.0, 2.0]}
    video = {"subset": "Training", "duration": 9.0, "fps": 15, "annotations": [action]}
    annotations = tmp_path / "a.json"
    annotations.write_text(json.dumps({"database": {f"v{n:03d}": video for n in range(140)}}))
    return ["--features", "f.h5", "--annotations", str(annotations), "--out", str(tmp_path / "runs"), *more]


def test_a_repeated_study_makes_what_is_missing_and_teachers_first(
    tmp_path: Path, called: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = arguments(tmp_path, "--only", "decomposed", "rgb-only", "--labels", "40", "--seeds", "0", "1")
    assert study.main(asked) == 0
    made = trained(called)
    assert sorted(made) == sorted(
        f"{row} {seed}" for row in ("motion-only", "decomposed", "rgb-only") for seed in (0, 1)
    )  # the teacher of decomposed, asked for or not
    assert all(made.index(f"motion-only {seed}") < made.index(f"decomposed {seed}") for seed in (0, 1))
    assert study.main(asked) == 0 and called.read_text() == ""
    folder = study.StudyRun(study.BY_NAME["rgb-only"], 40, 1, tmp_path / "runs").folder
    (folder / "Test.metrics.json").write_text("{")
    assert study.main(asked) == 0 and called.read_text() == "evaluate.run None\n"  # its detections are there
    assert "rgb-only" in capsys.readouterr().out


def test_runs_of_a_study_that_is_older_than_the_records_are_done(tmp_path: Path, called: Path) -> None:
    for seed in (0, 1):
        folder = study.StudyRun(study.BY_NAME["rgb-only"], 40, seed, tmp_path / "runs").folder
        folder.mkdir(parents=True)
        for subset in study.SUBSETS:
            (folder / f"{subset}.metrics.json").write_text(json.dumps({"average_mAP": 0.25}))
    (folder / "Test.metrics.json").write_text("{")  # half of one is no result
    asked = arguments(tmp_path, "--only", "rgb-only", "--labels", "40", "--seeds", "0", "1")
    assert study.main(asked) == 0 and trained(called) == ["rgb-only 1"]


def test_a_run_that_fails_costs_itself_and_the_exit_code(
    tmp_path: Path, called: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken").write_text("direct")
    report = tmp_path / "results.md"
    asked = arguments(
        tmp_path, "--only", "direct", "rgb-only", "--labels", "40", "--seeds", "0", "--report", str(report)
    )
    assert study.main(asked) == 3
    assert "train.run ended with 2: TrainingError: direct cannot be trained" in capsys.readouterr().err
    assert "rgb-only" in report.read_text() and "| direct |" not in report.read_text()


def commands(tmp_path: Path, run: study.StudyRun) -> list[str]:
    """The words of a run's training."""
    job = run.job(Material(Path("f.h5"), tmp_path / "a.json"))
    return [*job.steps[0].command, *job.steps[0].how]


def test_a_students_commands_name_its_teachers_and_the_videos_without_labels(tmp_path: Path) -> None:
    args = study.parse(arguments(tmp_path))
    train = commands(tmp_path, study.StudyRun(study.BY_NAME["decomposed + unlabelled"], 40, 2, tmp_path))
    assert train[train.index("--teacher") + 1] == str(tmp_path / "labels40/seed2/motion-only/detector.pt")
    assert train[train.index("--joint-teacher") + 1] == str(tmp_path / "labels40/seed2/two-stream/detector.pt")
    assert train[train.index("--train-videos") + 1] == "40" and "--unlabelled-subset" in train
    assert {run.labels for run in study.planned(args) if run.row.unlabelled} == {40}  # of 140 none is left without
    folders = [run.folder for run in study.planned(args)]
    assert len(set(folders)) == len(folders)


def test_the_table_tells_means_spreads_gaps_and_pairs() -> None:
    scores = {"rgb-only": [40.0, 44.0], "two-stream": [80.0, 84.0], "decomposed": [70.0, 76.0]}
    results = [
        Result(row, "RGB-only", 40, seed, {"Test": value})
        for row, values in scores.items()
        for seed, value in enumerate(values)
    ]
    text = markdown(results, ["Test"], {"RGB-only": 1.5}, list(scores))
    row = next(line for line in text.splitlines() if line.startswith("| decomposed"))
    # mean 73, standard deviation 3 √2 = 4.2; (73 − 42) / (82 − 42) = 77.5 %; 30 and 32 above the same seeds
    assert row == "| decomposed | RGB-only | 73.0 ± 4.2 | 78 % | 2 of 2, +31.0 | 1.50 | 2 |"


def test_the_picture_shows_methods_whose_cost_is_known(tmp_path: Path) -> None:
    results = [
        Result(row, reads, 40, seed, {"Test": value + seed})
        for row, reads, value in (("rgb-only", "RGB-only", 40.0), ("decomposed", "distilled (RGB)", 70.0))
        for seed in (0, 1)
    ]
    path, rows = tmp_path / "picture.png", ("rgb-only", "decomposed", "two-stream")
    assert draw(results, {"RGB-only": 1.5, "distilled (RGB)": 2.2}, path, rows)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [mark.row for mark in marks(results, {"RGB-only": 1.5}, rows, "Test")] == ["rgb-only"]
    assert not draw(results, {}, tmp_path / "none.png", rows) and not (tmp_path / "none.png").exists()


def test_names_of_neighbours_in_the_picture_do_not_overlap() -> None:
    drawn = [Mark("rgb-only", 1.5, (40.0,)), Mark("direct", 1.5, (41.0,)), Mark("two-stream", 6.0, (80.0,))]
    assert places(drawn) == [BELOW, ABOVE, BESIDE]
    assert places([replace(drawn[0], seconds=3.0), *drawn[1:]]) == [BESIDE] * 3  # as good, at twice the cost


def test_gains_carry_their_interval_and_other_heads_have_tables_of_their_own() -> None:
    def result(row: str, seed: int, test: float, head: str = "actionformer") -> Result:
        return Result(row, "RGB-only", 40, seed, {"Test": test}, head)

    results = [result("rgb-only", 0, 40.0), result("direct", 0, 50.0), result("rgb-only", 0, 30.0, "tadtr")]
    gains = {("actionformer", 40, "direct"): SeedsGain(0.1, 0.04, 0.16, 0.01)}
    text = markdown(results, ["Test"], {}, ["rgb-only", "direct"], gains)
    assert "1 of 1, +10.0 (+4.0 to +16.0)" in text
    assert "## 40 labelled videos\n" in text and "## 40 labelled videos, head tadtr\n" in text


def test_runs_of_another_head_have_folders_and_teachers_of_that_head(tmp_path: Path) -> None:
    run = study.StudyRun(study.BY_NAME["decomposed"], 40, 1, tmp_path, "tadtr")
    assert run.folder == tmp_path / "tadtr/labels40/seed1/decomposed"
    train = commands(tmp_path, run)
    assert train[train.index("--teacher") + 1] == str(tmp_path / "tadtr/labels40/seed1/motion-only/detector.pt")
    assert train[train.index("--head") + 1] == "tadtr"
