"""The study: which runs there are, that none is made twice, and tables that can be checked on paper."""

import json
from pathlib import Path

import pytest

from flowless import study
from flowless.study_picture import draw
from flowless.study_table import Result, markdown


def write_scores(run: study.StudyRun, value: float) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    for subset in study.SUBSETS:
        (run.folder / f"{subset}.metrics.json").write_text(json.dumps({"average_mAP": value}))


def arguments(tmp_path: Path, *more: str) -> list[str]:
    """Of a study of 140 training videos."""
    action = {"label": "jump", "segment": [1.0, 2.0]}
    video = {"subset": "Training", "duration": 9.0, "fps": 15, "annotations": [action]}
    annotations = tmp_path / "a.json"
    annotations.write_text(json.dumps({"database": {f"v{n:03d}": video for n in range(140)}}))
    return ["--features", "f.h5", "--annotations", str(annotations), "--out", str(tmp_path / "runs"), *more]


def test_a_repeated_study_makes_what_is_missing_and_teachers_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[str] = []

    def make(run: study.StudyRun, args: object) -> None:
        made.append(f"{run.row.name} {run.seed}")
        write_scores(run, 0.25)

    monkeypatch.setattr(study, "make", make)
    asked = arguments(tmp_path, "--only", "decomposed", "rgb-only", "--labels", "40", "--seeds", "0", "1")
    assert study.main(asked) == 0
    assert sorted(made[:2]) == ["motion-only 0", "motion-only 1"]  # the teacher of decomposed, asked for or not
    assert sorted(made) == sorted(
        f"{row} {seed}" for row in ("motion-only", "decomposed", "rgb-only") for seed in (0, 1)
    )
    made.clear()
    assert study.main(asked) == 0 and made == []
    study.StudyRun(study.BY_NAME["rgb-only"], 40, 1, tmp_path / "runs").folder.joinpath("Test.metrics.json").write_text(
        "{"
    )
    assert study.main(asked) == 0 and made == ["rgb-only 1"]
    assert "25.0 ± 0.0" in capsys.readouterr().out


def test_a_run_that_fails_costs_itself_and_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(run: study.StudyRun, args: object) -> None:
        if run.row.name == "direct":
            raise study.StudyError("direct: train.run ended with 2")
        write_scores(run, 0.5)

    monkeypatch.setattr(study, "make", make)
    report = tmp_path / "results.md"
    asked = arguments(
        tmp_path, "--only", "direct", "rgb-only", "--labels", "40", "--seeds", "0", "--report", str(report)
    )
    assert study.main(asked) == 3
    assert "direct: train.run ended with 2" in capsys.readouterr().err
    assert "rgb-only" in report.read_text() and "| direct |" not in report.read_text()


def test_a_students_commands_name_its_teachers_and_the_videos_without_labels(tmp_path: Path) -> None:
    args = study.parse(arguments(tmp_path))
    run = study.StudyRun(study.BY_NAME["decomposed + unlabelled"], 40, 2, tmp_path)
    train = run.commands(args)[0]
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
    draw(results, {"RGB-only": 1.5, "distilled (RGB)": 2.2}, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_gains_carry_their_interval_and_other_heads_have_tables_of_their_own() -> None:
    def result(row: str, seed: int, test: float, head: str = "actionformer") -> Result:
        return Result(row, "RGB-only", 40, seed, {"Test": test}, head)

    results = [result("rgb-only", 0, 40.0), result("direct", 0, 50.0), result("rgb-only", 0, 30.0, "tadtr")]
    gains = {("actionformer", 40, "direct"): (10.0, 4.0, 16.0)}
    text = markdown(results, ["Test"], {}, ["rgb-only", "direct"], gains)
    assert "1 of 1, +10.0 (+4.0 to +16.0)" in text
    assert "## 40 labelled videos\n" in text and "## 40 labelled videos, head tadtr\n" in text


def test_runs_of_another_head_have_folders_and_teachers_of_that_head(tmp_path: Path) -> None:
    run = study.StudyRun(study.BY_NAME["decomposed"], 40, 1, tmp_path, "tadtr")
    assert run.folder == tmp_path / "tadtr/labels40/seed1/decomposed"
    train = run.commands(study.parse(arguments(tmp_path)))[0]
    assert train[train.index("--teacher") + 1] == str(tmp_path / "tadtr/labels40/seed1/motion-only/detector.pt")
    assert train[train.index("--head") + 1] == "tadtr"
