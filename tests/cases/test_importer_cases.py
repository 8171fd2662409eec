"""Features that come from elsewhere: cases of real users, and what the importer and features.open answer."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from case_runner import CASES, Said, run_line

import features
from features import export, importer

Run = Callable[[str], list[Said]]


@pytest.fixture
def run_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Copies a case and runs the import commands of its cmd.txt alone; its other commands have tests of their own."""

    def run(name: str) -> list[Said]:
        if not (CASES / name).is_dir():
            pytest.skip(f"reference cases not found: expected {name} in ../shared/cases beside the checkout")
        folder = tmp_path / name
        shutil.copytree(CASES / name, folder)
        for path in [folder, *folder.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)  # the reference data is read-only
        monkeypatch.chdir(folder)
        lines = (folder / "cmd.txt").read_text(encoding="utf-8").splitlines()
        return [said for line in lines if "-m features." in line and (said := run_line(line, capfd.readouterr))]

    return run


def no_traceback(said: list[Said]) -> None:
    for one in said:
        assert one.code in (0, 2, 3), one
        assert "Traceback" not in one.text, one


def test_the_folder_of_video_features_is_imported_and_refused_by_training_with_the_way_that_works(
    run_case: Run,
) -> None:
    train, first, second, status = run_case("10_video_features_output_folder")
    no_traceback([train, first, second, status])
    assert train.code == 2
    assert "video_features" in train.err
    assert "python -m features.importer --npy i3d --features i3d.h5" in train.err
    assert first.code == 0
    assert second.code == 0
    for path in ("a.h5", "b.h5"):
        store = features.open(path)
        assert store.videos == ("vid00", "vid01", "vid02", "vid03")
        for video in store.videos:
            assert store.streams(video) == ("flow", "rgb")
            np.testing.assert_array_equal(store.read(video, "flow"), np.load(f"i3d/{video}_flow.npy").astype("f2"))
            assert store.attributes(video, "rgb")["fps"] == 25.0
            times_s = np.load(f"i3d/{video}_timestamps_ms.npy") / 1000
            np.testing.assert_allclose(np.diff(store.grid(video).t_center), np.diff(times_s))
        store.check(store.videos, ["rgb", "flow"])
    assert "4 videos" in status.out
    # The command that train.run names works as it stands.
    assert importer.main(["--npy", "i3d", "--features", "i3d.h5"]) == 0


def test_times_of_clips_that_fill_the_annotated_video_are_their_centres(run_case: Run) -> None:
    said = run_case("10_video_features_output_folder")[1]
    np.testing.assert_allclose(features.open("a.h5").grid("vid00").t_center[:2], [0.32, 0.48])
    assert "each the centre of its clip: window 16, stride 4" in said.err


def test_an_empty_file_costs_itself(run_case: Run) -> None:
    (said,) = run_case("11_empty_npy_ends_import")
    assert said.code == 3
    assert "vid00.npy: it has 0 bytes. A download or an extraction that was cut off?" in said.err
    assert features.open("a.h5").videos == ("vid01", "vid02", "vid03")


def test_csv_features_go_in_with_the_annotations_of_mmaction2(run_case: Run) -> None:
    (said,) = run_case("14_importer_and_mmaction2_annotations")
    assert said.code == 0
    store = features.open("a.h5")
    assert store.videos == ("v_vid0", "v_vid1", "v_vid2", "v_vid3")
    grid, num_steps = store.grid("v_vid0"), len(store.read("v_vid0", "rgb"))
    assert grid.step_s == pytest.approx(20.0 / num_steps)
    assert grid.t_center[-1] == pytest.approx(20.0 - grid.step_s / 2)


def test_npz_files_are_read_and_pickled_ones_are_refused_by_what_they_are(run_case: Run) -> None:
    npz, pickled, train = run_case("23_features_in_other_containers")
    assert npz.code == 0
    assert features.open("a.h5").videos == ("vid00", "vid01", "vid02")
    np.testing.assert_array_equal(
        features.open("a.h5").read("vid00", "rgb"), np.load("npz/vid00.npz")["feats"].astype(np.float16)
    )
    for said in (pickled, train):
        assert said.code == 2
        assert "vid00.npy: holds Python objects, not an array: save the (T, D) array alone" in said.err
        assert "Fetch" not in said.err


def test_the_grid_file_of_an_export_is_followed_by_the_importer_and_by_open(run_imports: Run) -> None:
    (imported,) = run_imports("02_grid_json_ignored")
    assert imported.code == 0
    assert "window" not in imported.err
    assert features.open("imported.h5").grid("vid00").t_center[-1] == 19.2
    store = features.open("npy", fps={"vid00": 25.0})
    assert store.attributes("vid00", "rgb")["stride"] == 8
    assert store.grid("vid00").t_center[-1] == 19.2
    assert importer.main(["--npy", "npy", "--features", "b.h5", "--annotations", "ann.json", "--stride", "4"]) == 2


def test_features_that_end_at_half_of_the_video_are_said_with_the_stride_that_would_fit(
    run_imports: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    run_imports("03_npy_stride_cannot_be_detected")
    command = "--npy npy --features a.h5 --annotations ann.json"
    assert importer.main(f"{command} --window 5 --stride 1".split()) == 0
    assert "wrong --stride" not in capfd.readouterr().err
    assert importer.main(["--npy", "npy", "--features", "b.h5", "--annotations", "ann.json"]) == 0
    err = capfd.readouterr().err
    assert "features end at 34.4 s of 9.0 s" in err
    assert "wrong --stride or --fps? A stride of 1 frames would fit" in err


def test_names_that_differ_by_a_prefix_are_the_cause_and_not_a_frame_rate(run_imports: Run) -> None:
    first, second = run_imports("07_names_of_files_and_annotations")
    for said in (first, second):
        assert "none of 4 files is annotated in ann.json: the files give 'v_vid00', annotated is 'vid00'" in said.err
        assert "--prefix v_" in said.err
        assert "no frame rate" not in said.err
    assert first.code == 2
    assert second.code == 0
    assert importer.main(["--npy", "npy", "--features", "c2.h5", "--annotations", "ann.json", "--prefix", "v_"]) == 0
    assert features.open("c2.h5").videos == ("vid00", "vid01", "vid02", "vid03")


def test_transposed_features_are_said_and_turned(run_case: Run, capfd: pytest.CaptureFixture[str]) -> None:
    varying, equal, imported = run_case("09_transposed_features")
    no_traceback([varying, equal, imported])
    for said in (varying, imported):
        assert said.code == 2
        assert "33, 34, 35 ... columns and all have 16 rows: they look transposed, expected (T, D)" in said.err
    assert importer.main(["--npy", "npy_equal", "--features", "b.h5", "--annotations", "ann.json"]) == 0
    err = capfd.readouterr().err
    assert "features end at 3.0 s of 7.0 s" in err
    assert "they look transposed, expected (T, D). features.importer --layout DT turns them" in err
    for folder in ("npy_equal", "npy_varying"):
        assert importer.main(f"--npy {folder} --features {folder}.h5 --annotations ann.json --layout DT".split()) == 0
        assert "features end" not in capfd.readouterr().err
        turned = features.open(f"{folder}.h5").read("vid00", "rgb")
        np.testing.assert_array_equal(turned, np.load(f"{folder}/vid00.npy").T.astype(np.float16))


def test_annotations_with_a_byte_order_mark_are_read_by_the_importer(run_imports: Run) -> None:
    (said,) = run_imports("13_bom_and_encodings")
    assert said.code == 0
    assert len(features.open("a.h5").videos) == 4


def test_flow_that_is_one_step_shorter_is_trimmed(run_imports: Run, capfd: pytest.CaptureFixture[str]) -> None:
    said = run_imports("24_flow_one_step_shorter")
    assert [one.code for one in said] == [0, 0]
    store = features.open("f.h5")
    with pytest.raises(features.StoreError, match=r"features\.importer --trim"):
        store.check(store.videos, ["rgb", "flow"])
    store.close()
    assert importer.main(["--npy", "flow", "--features", "f.h5", "--annotations", "ann.json", "--trim"]) == 0
    assert "trimmed 4 streams, e.g. vid00: rgb 40 -> 39 steps" in capfd.readouterr().err
    store = features.open("f.h5")
    store.check(store.videos, ["rgb", "flow"])
    np.testing.assert_array_equal(store.read("vid00", "rgb"), np.load("rgb/vid00.npy")[:39].astype(np.float16))
    # Repeating either import changes nothing.
    assert importer.main(["--npy", "rgb", "--features", "f.h5", "--annotations", "ann.json"]) == 0
    features.open("f.h5").check(store.videos, ["rgb", "flow"])


def test_an_export_that_was_imported_exports_the_same(run_imports: Run) -> None:
    run_imports("02_grid_json_ignored")
    assert export.main(["imported.h5", "--out", "again"]) == 0
    assert features.open("again").grid("vid03").t_center[-1] == features.open("npy").grid("vid03").t_center[-1]
