"""What users ran into when they trained and detected: the cases of the reference folder, by their own commands."""

import hashlib
import re
from pathlib import Path

from case_runner import Said
from conftest import Run

from train.folder import MADE_BY_A_RUN


def mean_map(said: Said) -> float:
    """The mean over thresholds that evaluate.run prints last in its line of mAP, in percent."""
    return float(re.findall(r"^mAP .*?(\d+\.\d+)$", said.out, re.M)[-1])


def sha256(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_01_resume_after_class_renamed(run_case: Run) -> None:
    train, detect, evaluate, other_file, _, same_place, again, evaluate_again, _ = run_case(
        "01_resume_after_class_renamed"
    )
    assert (train.code, detect.code, evaluate.code) == (0, 0, 0)
    for refused in (other_file, same_place):
        assert refused.code == 2
        assert "classes were bend, jump, run, are jump, run, stoop" in refused.err
    assert again.code == evaluate_again.code == 0  # the detector is what it was, and says bend
    assert sha256("before.json") == sha256("after.json")


def test_02_grid_json_ignored(run_case: Run) -> None:
    train, detect, evaluate, imported, times, detect_again = run_case("02_grid_json_ignored")
    assert [said.code for said in (train, detect, evaluate, imported, times, detect_again)] == [0] * 6
    assert mean_map(evaluate) > 95, evaluate.out
    assert times.out.split()[:2] == ["8", "19.2"]
    assert Path("det2.json").exists()


def test_03_npy_stride_cannot_be_detected(run_case: Run) -> None:
    train, detect = run_case("03_npy_stride_cannot_be_detected")
    assert train.code == 0 and detect.code == 0, detect.err
    assert Path("det.json").exists()


def test_07_names_of_files_and_annotations(run_case: Run) -> None:
    train, importer, with_fps, extract, train_store = run_case("07_names_of_files_and_annotations")
    assert train.code == 2
    assert "the store holds 'v_vid00'; annotated is 'vid00'" in train.err and "--prefix v_" in train.err
    assert "extraction" not in train.err
    assert importer.code == 2 and "v_vid00" in importer.err and "--prefix v_" in importer.err
    assert "annotated" in with_fps.err
    assert extract.code == 0 and train_store.code == 2
    assert "the store holds 'validation/clip0'; annotated is 'clip0'" in train_store.err
    assert "/validation" in train_store.err and "--videos" in train_store.err


def test_08_some_videos_have_no_features(run_case: Run) -> None:
    from train.run import main

    train, _, help_text = run_case("08_some_videos_have_no_features")
    assert train.code == 2 and "vid01: no rgb" in train.err and "--missing skip" in train.err
    assert "extraction" not in train.err
    assert Path("run/missing.txt").read_text().split() == ["vid01"]
    assert help_text.code == 0 and "--missing" in help_text.out
    arguments = ["--features", "npy", "--annotations", "ann.json", "--out", "run", "--epochs", "2"]
    assert main([*arguments, "--missing", "skip"]) == 0
    assert Path("run/detector.pt").exists()


def test_09_transposed_features(run_case: Run) -> None:
    varying, equal, importer = run_case("09_transposed_features")
    assert varying.code == 2 and "look transposed, expected (T, D)" in varying.err
    assert importer.code == 2 and "transposed" in importer.err
    assert "features end at" in equal.err and "of 7" in equal.err


def test_21_nothing_to_learn_from(run_case: Run) -> None:
    for said, run in zip(run_case("21_nothing_to_learn_from"), ("run", "run2"), strict=True):
        assert said.code == 2
        assert "no action of the training subset lies within the features: check fps, stride, subset" in said.err
        assert not any((Path(run) / name).exists() for name in MADE_BY_A_RUN)


def test_24_flow_one_step_shorter(run_case: Run) -> None:
    rgb, flow, train = run_case("24_flow_one_step_shorter")
    assert rgb.code == flow.code == 0
    assert train.code == 2 and "rgb and flow differ in length: 40 and 39 steps" in train.err
    assert "--trim" in train.err and "extraction" not in train.err
