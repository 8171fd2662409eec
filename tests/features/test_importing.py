"""Imports: names, times, layouts, trimming, and what an import must not do to a store."""

import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import features
from features import StoreError, diff, export, importer
from features.files.found import find
from features.files.grid_file import write_grid_file
from features.files.naming import Naming, suggestion
from features.importing.fit import Span, misfit, remark
from features.importing.placing import read_rate, read_times, timed_clips
from features.storage.store import Part, build_index, write_part


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a user."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(name: str, num_steps: int = 40, width: int = 8, value: float = 1.0) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(num_steps).standard_normal((num_steps, width)).astype(np.float32)
    np.save(path, value * array)


def annotate(*videos: str, **values: Any) -> None:
    entries = {video: {"duration": 7.04, "fps": 25.0, **values} for video in videos}
    Path("ann.json").write_text(json.dumps({"database": entries}))


def run(options: str) -> int:
    return importer.main(options.split())


def refused(options: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        run(options)
    return int(stopped.value.code or 0)


# Names


@pytest.mark.parametrize(
    ("names", "annotated", "options"),
    [
        (["v_a", "v_b"], ["a", "b", "c"], "--prefix v_"),
        (["a_rgb", "b_rgb"], ["a", "b"], "--suffix _rgb"),
        (["x_a_i3d", "x_b_i3d"], ["a", "b"], "--prefix x_ --suffix _i3d"),
        (["val/a", "test/b"], ["a", "b"], "--strip-folders"),
        (["val/v_a", "test/v_b"], ["a", "b"], "--strip-folders --prefix v_"),
        (["a", "b"], ["v_a", "v_b"], "--add-prefix v_"),
        (["V_A", "V_B"], ["v_a", "v_b"], "--ignore-case"),
        (["-a", "-b"], ["a", "b"], "--prefix=-"),
        (["my clip a", "my clip b"], ["a", "b"], "--prefix 'my clip '"),
    ],
)
def test_the_options_that_would_make_names_match_are_found(
    names: list[str], annotated: list[str], options: str
) -> None:
    naming = suggestion(names, annotated)
    assert naming is not None
    assert naming.options == options
    by_case = {video.casefold(): video for video in annotated}
    assert [naming.video(name, by_case) for name in names] == annotated[: len(names)]


def test_names_that_have_nothing_in_common_are_given_no_options() -> None:
    assert suggestion(["alpha", "beta"], ["0001", "0002"]) is None


def test_what_is_left_of_a_name_cannot_be_nothing() -> None:
    with pytest.raises(StoreError, match="nothing is left of the name 'v_'"):
        Naming(prefix="v_").video("v_")


@pytest.mark.parametrize(
    ("file", "video"),
    [("v_x.npy", "x"), ("x_rgb_i3d.npy", "x"), ("val/x.npy", "x"), ("y.npy", "v_y"), ("X.npy", "x")],
)
def test_the_options_that_are_named_work(
    folder: Path, file: str, video: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save(f"npy/{file}")
    annotate(video)
    command = "--npy npy --features a.h5 --annotations ann.json"
    assert run(command) == 2
    err = capsys.readouterr().err
    assert f"annotated is {video!r}" in err
    assert run(f"{command} {err.partition('These options make them match: ')[2].strip()}") == 0
    assert features.open("a.h5").videos == (video,)


def test_files_that_become_one_video_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save("npy/train/a.npy")
    save("npy/test/a.npy")
    assert run("--npy npy --features a.h5 --fps 25 --strip-folders") == 2
    assert "are both rgb of video 'a'" in capsys.readouterr().err
    assert not Path("a.h5").exists()


def test_videos_that_are_not_annotated_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abc":
        save(f"npy/{name}.npy")
    annotate("a", "b")
    assert run("--npy npy --features a.h5 --annotations ann.json --fps 25") == 0
    assert "1 of 3 videos are not annotated in ann.json, e.g. 'c'" in capsys.readouterr().err
    assert run("--npy npy --features b.h5 --annotations ann.json") == 3
    assert "no frame rate: give --fps, or --annotations that have it (no 'c' among the 2" in capsys.readouterr().err


# Layouts


def test_streams_are_told_by_folders_and_by_the_names_of_video_features(folder: Path) -> None:
    for name in (
        "rgb/a",
        "flow/a",
        "train/rgb/b",
        "c_rgb",
        "c_flow",
        "c_fps",
        "d_clip",
        "d_fps",
        "d_timestamps_ms",
        "e_rgb",
    ):
        save(f"npy/{name}.npy")
    found = {(one.video, one.stream): one for one in find(Path("npy"), (".npy",))}
    assert set(found) == {
        ("a", "rgb"), ("a", "flow"), ("train/b", "rgb"), ("c", "rgb"), ("c", "flow"), ("d", "rgb"), ("e_rgb", None),
    }  # fmt: skip
    assert found["c", "flow"].rate == Path("npy/c_fps.npy")
    assert found["c", "flow"].times is None
    assert found["d", "rgb"].times == Path("npy/d_timestamps_ms.npy")


def test_linked_folders_are_followed_and_a_circle_ends(folder: Path) -> None:
    save("elsewhere/a.npy")
    Path("npy").mkdir()
    Path("npy/linked").symlink_to(folder / "elsewhere")
    Path("npy/circle").symlink_to(folder / "npy")
    assert [one.video for one in find(Path("npy"), (".npy",))] == ["linked/a"]


def test_a_folder_for_each_cue_becomes_two_streams(folder: Path) -> None:
    save("npy/rgb/a.npy", value=1.0)
    save("npy/flow/a.npy", value=2.0)
    assert run("--npy npy --features a.h5 --fps 25") == 0
    store = features.open("a.h5")
    store.check(["a"], ["rgb", "flow"])
    np.testing.assert_allclose(store.read("a", "flow"), 2 * store.read("a", "rgb"), rtol=1e-2, atol=1e-3)


def test_a_folder_called_flow_holds_flow(folder: Path) -> None:
    save("flow/a.npy")
    assert run("--npy flow --features a.h5 --fps 25") == 0
    assert features.open("a.h5").streams("a") == ("flow",)


def test_video_features_without_rates_takes_them_from_the_annotations(folder: Path) -> None:
    save("npy/a_rgb.npy")
    save("npy/a_flow.npy")
    annotate("a")
    assert run("--npy npy --features a.h5 --annotations ann.json") == 0
    assert features.open("a.h5").streams("a") == ("flow", "rgb")
    assert run("--npy npy --features b.h5") == 2  # nobody knows the rate


def test_times_that_video_features_writes_are_the_last_frames_of_clips() -> None:
    # Clips of 64 frames, 32 apart, at 25 fps: the first takes frames 0 to 63, and frame 64 for its last flow.
    times_s = (np.arange(10) * 32 + 64) / 25
    for duration_s in (None, (9 * 32 + 65 + 20) / 25, times_s[-1] + 1.6):
        clips = timed_clips([(times_s, 25.0, duration_s)])
        assert (clips.window, clips.stride, clips.centred) == (64, 32, False)
    # The same numbers are centres of 128 frames where the annotated video goes on for half of that.
    clips = timed_clips([(times_s, 25.0, float(times_s[-1]) + 2.6)])
    assert (clips.window, clips.stride, clips.centred) == (128, 32, True)


def test_the_times_of_video_features_place_the_steps(folder: Path) -> None:
    save("npy/a_rgb.npy", num_steps=3)
    np.save("npy/a_fps.npy", np.array(25.0))
    np.save("npy/a_timestamps_ms.npy", (np.arange(3) * 16 + 64) / 25 * 1000)
    assert run("--npy npy --features a.h5") == 0
    store = features.open("a.h5")
    np.testing.assert_allclose(store.grid("a").t_center, np.array([32, 48, 64]) / 25)
    assert (store.attributes("a", "rgb")["window"], store.attributes("a", "rgb")["stride"]) == (64, 16)
    assert run("--npy npy --features b.h5 --window 16") == 2
    assert run("--npy npy --features b.h5 --fps 30") == 2


def test_files_of_rates_and_times_that_are_none_are_named(folder: Path) -> None:
    for array, words in (
        (np.zeros((2, 2)), "expected .T,. times"),
        (np.array([2.0, 1.0]), "increase from step to step"),
        (np.array([np.nan, 1.0]), "increase from step to step"),
        (np.zeros(0), "expected numbers"),
    ):
        np.save("times.npy", array)
        with pytest.raises(StoreError, match=words):
            read_times(Path("times.npy"))
    with pytest.raises(StoreError, match="expected numbers"):
        read_times(Path("times.npy"), 3)
    for array, words in ((np.array([25.0, 30.0]), "expected one number"), (np.array(0.0), "expected a number above 0")):
        np.save("fps.npy", array)
        with pytest.raises(StoreError, match=words):
            read_rate(Path("fps.npy"))


def test_a_file_of_another_width_costs_itself(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abc":
        save(f"npy/{name}.npy", width=8 if name != "b" else 9, num_steps=ord(name))
    assert run("--npy npy --features a.h5 --fps 25") == 3
    assert "b.npy: 9 columns, but most files here have 8" in capsys.readouterr().err
    assert features.open("a.h5").videos == ("a", "c")


# Times


def test_the_importer_follows_the_grid_file_and_refuses_what_differs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save("npy/a.npy", num_steps=3)
    write_grid_file(Path("npy"), 16, 8, {"a": 25.0})
    assert run("--npy npy --features a.h5") == 0
    np.testing.assert_allclose(features.open("a.h5").grid("a").t_center, [8 / 25, 16 / 25, 24 / 25])
    for options, words in (
        ("--stride 4", "stride: npy/grid.json says 8, but --stride is 4"),
        ("--window 64", "window: npy/grid.json says 16, but --window is 64"),
        ("--fps 30", "fps of video 'a': npy/grid.json says 25, but --fps is 30"),
    ):
        assert run(f"--npy npy --features b.h5 {options}") == 2
        assert words in capsys.readouterr().err
    annotate("a", fps=30.0)
    assert run("--npy npy --features b.h5 --annotations ann.json") == 2
    assert "npy/grid.json says 25, but that of --annotations is 30" in capsys.readouterr().err
    assert run("--npy npy --features b.h5 --annotations ann.json --stretch") == 2
    assert "--stretch shares the duration evenly" in capsys.readouterr().err


def test_a_rate_that_is_not_used_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save("npy/a.npy")
    annotate("a")
    assert run("--npy npy --features a.h5 --annotations ann.json --fps 30") == 0
    assert "--fps 30 is not used for 1 videos whose rate the annotations know" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (Span("v", 60, 32, 16, 8, 25.0, 19.84), ""),
        (Span("v", 60, 32, 16, 4, 25.0, 19.84), "features end at 10.1 s of 19.8 s (v): wrong --stride? A stride of 8"),
        (Span("v", 60, 32, 16, 16, 25.0, 19.84), "features end at 38.4 s of 19.8 s (v): wrong --stride? A stride of 8"),
        (Span("v", 1, 32, 64, 64, 25.0, 5.0), ""),  # a second clip would not have fitted
        (Span("v", 1, 32, 16, 4, 25.0, 0.3), ""),  # a clip padded to its length
    ],
)
def test_features_that_end_early_or_late_are_told_with_the_stride_that_fits(span: Span, words: str) -> None:
    assert words in remark([span], "--stride")
    assert bool(words) == bool(remark([span], "--stride"))


def test_a_store_is_held_against_durations(folder: Path) -> None:
    for name in "ab":
        save(f"npy/{name}.npy", num_steps=60, width=16)
    store = features.open("npy", fps=25.0, window=16, stride=4)
    assert "2 of 2 videos: features end at 10.1 s of 19.8 s" in misfit(store, {"a": 19.84, "b": 19.84, "c": 5.0})
    assert misfit(store, {"a": 10.2, "b": 10.3}) == ""
    assert misfit(features.open("npy"), {"a": 19.84}) == ""  # no rate, no end


# Trimming


def import_cues(rgb: int, flow: int) -> None:
    for cue, num_steps in (("rgb", rgb), ("flow", flow)):
        for name in "ab":
            save(f"{cue}/{name}.npy", num_steps)


def test_a_difference_of_more_than_two_steps_is_not_trimmed_unless_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import_cues(40, 35)
    assert run("--npy rgb --features a.h5 --fps 25") == 0
    assert run("--npy flow --features a.h5 --fps 25 --trim") == 3
    err = capsys.readouterr().err
    assert "a: rgb has 40 steps, flow 35: more than 2 apart, not trimmed. If that is right: --trim 5" in err
    assert features.open("a.h5").row("a", "rgb").num_steps == 40
    assert run("--npy flow --features a.h5 --fps 25 --trim 5") == 0
    features.open("a.h5").check(["a", "b"], ["rgb", "flow"])


def test_a_trimmed_store_is_resumed_and_verified(folder: Path) -> None:
    import_cues(39, 40)  # RGB may be the shorter one, too
    assert run("--npy rgb --features a.h5 --fps 25") == 0
    assert run("--npy flow --features a.h5 --fps 25 --trim") == 0
    parts = {path: path.read_bytes() for path in Path("a.parts").rglob("*.h5")}
    assert run("--npy flow --features a.h5 --fps 25 --trim") == 0
    assert run("--npy rgb --features a.h5 --fps 25") == 0
    assert {path: path.read_bytes() for path in Path("a.parts").rglob("*.h5")} == parts
    assert features.open("a.h5").row("a", "flow").num_steps == 39


# What must not happen


@pytest.mark.parametrize(
    ("store", "words"),
    [
        ("ann.json", "name a feature store with .h5"),
        ("npy", "name a feature store with .h5"),
        ("dir.h5", "is a directory"),
        ("alien.h5", "is there already and is no feature store"),
        ("text.h5", "is there already and is no feature store"),
    ],
)
def test_an_import_overwrites_nothing_that_is_no_store(
    folder: Path, store: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save("npy/a.npy")
    annotate("a")
    Path("dir.h5").mkdir()
    Path("text.h5").write_text("my notes")
    with h5py.File("alien.h5", "w") as file:
        file["a"] = np.zeros((4, 8))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert run(f"--npy npy --annotations ann.json --features {store}") == 2
    assert words in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_folder_is_not_imported_into_itself(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save("npy.h5/a.npy")
    assert run("--npy npy.h5 --fps 25 --features npy.h5") == 2
    assert "is what would be read" in capsys.readouterr().err


def test_features_of_another_origin_are_not_overwritten_unless_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = {"features": np.ones((3, 8)), "t_center": np.arange(3.0)}
    write_part(Path("a.h5"), Part("a", "rgb", arrays, {"fingerprint": "f", "feature_id": "i", "backbone": "i3d"}))
    build_index(Path("a.h5"))
    save("one/a.npy")
    assert run("--npy one --features a.h5 --fps 25") == 2
    assert "holds rgb features of this video already, which were extracted (i3d)" in capsys.readouterr().err
    assert len(features.open("a.h5").read("a", "rgb")) == 3
    assert run("--npy one --features a.h5 --fps 25 --replace") == 0
    save("two/a.npy", num_steps=41)
    assert run("--npy two --features a.h5 --fps 25") == 2
    assert "which were imported from one/a.npy" in capsys.readouterr().err
    assert run("--npy one --features a.h5 --fps 25 --stride 8") == 0  # a correction of the same import
    assert features.open("a.h5").attributes("a", "rgb")["stride"] == 8


def test_two_recipes_are_not_mixed_in_one_stream(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save("train/a.npy")
    save("test/b.npy")
    assert run("--npy train --features a.h5 --fps 25") == 0
    assert run("--npy test --features a.h5 --fps 25 --stride 8") == 2
    assert "rgb of video 'a', which is not among these files, was made otherwise" in capsys.readouterr().err
    assert run("--npy test --features a.h5 --fps 25") == 0
    features.open("a.h5").check(["a", "b"], ["rgb"])


def test_inputs_are_left_as_they_are(folder: Path) -> None:
    save("npy/a.npy")
    annotate("a")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert run("--npy npy --features npy/a.h5 --annotations ann.json") == 0
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    "options", ["--fps 0", "--fps nan", "--window 0", "--stretch --stride 4", "--columns a=0:1,a=1:2"]
)
def test_options_that_cannot_be_meant_are_refused(folder: Path, options: str) -> None:
    assert refused(f"--npy npy --features a.h5 {options}") == 2


def test_what_cannot_be_read_is_said_by_its_kind(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mat").mkdir()
    Path("mat/a.mat").write_text("")
    Path("csv").mkdir()
    Path("csv/a.csv").write_text("f0\n1\n")
    for options, words in (
        ("--npy none", "none: no such directory"),
        ("--npy mat/a.mat", "is a file; name the folder that it lies in"),
        ("--npy mat", "no .npy, .npz, .pkl, .pt or .pth files here; found 1 .mat"),
        ("--npy csv", "found 1 .csv. Read them with --csv csv"),
    ):
        assert run(f"{options} --features a.h5 --fps 25") == 2
        assert words in capsys.readouterr().err


def test_tables_that_lie_beside_the_arrays_are_left_alone_and_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save("npy/a.npy")
    Path("npy/labels.csv").write_text("video,label\na,jump\n")
    assert run("--npy npy --features a.h5 --fps 25") == 0
    assert "1 .csv files are left alone, e.g. npy/labels.csv; --csv reads them" in capsys.readouterr().err


def test_an_index_cut_short_is_written_anew(folder: Path) -> None:
    save("npy/a.npy")
    assert run("--npy npy --features a.h5 --fps 25") == 0
    whole = Path("a.h5").read_bytes()
    Path("a.h5").write_bytes(whole[:1000])
    assert run("--npy npy --features a.h5 --fps 25") == 0
    assert Path("a.h5").read_bytes() == whole


def test_a_name_that_is_not_text_is_imported_and_can_be_printed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save("npy/a.npy")
    os.link("npy/a.npy", b"npy/\xe9.npy")
    Path(os.fsdecode(b"npy/\xea.npy")).write_bytes(b"")
    assert run("--npy npy --features a.h5 --fps 25") == 3
    assert "npy/\\udcea.npy: it has 0 bytes" in capsys.readouterr().err
    store = features.open("a.h5")
    assert store.videos == ("a", "\udce9")
    np.testing.assert_array_equal(store.read("\udce9", "rgb"), store.read("a", "rgb"))
    annotate("x")
    assert run("--npy npy --features b.h5 --annotations ann.json") == 2


# Stores that do not have what is asked for


def test_names_that_are_not_in_the_store_are_shown_with_the_way_to_change_them(folder: Path) -> None:
    save("npy/v_a.npy")
    with pytest.raises(StoreError, match=r"holds 'v_a'; annotated is 'a'.*--npy npy --features npy\.h5 --prefix v_"):
        features.open("npy", fps=25.0).check(["a", "b"], ["rgb"])
    arrays = {"features": np.ones((3, 8)), "t_center": np.arange(3.0)}
    write_part(Path("x.h5"), Part("val/a", "rgb", arrays, {"fingerprint": "f", "feature_id": "i"}))
    with pytest.raises(StoreError, match=r"holds 'val/a'; annotated is 'a'.*--videos \.\.\./val, into a store"):
        features.open(build_index(Path("x.h5"))).check(["a"], ["rgb"])


def test_who_imported_is_told_to_import_and_not_to_extract(folder: Path) -> None:
    import_cues(40, 39)
    save("both/rgb/a.npy", 40)
    save("both/flow/a.npy", 39)
    with pytest.raises(StoreError, match=r"python -m features\.importer --npy both --features both\.h5 --trim"):
        features.open("both", fps=25.0).check(["a"], ["rgb", "flow"])
    assert run("--npy both --features both.h5 --fps 25 --trim") == 0
    features.open("both.h5").check(["a"], ["rgb", "flow"])
    with pytest.raises(StoreError, match="Import the missing files as well") as caught:
        features.open("rgb", fps=25.0).check(["a", "c"], ["rgb"])
    assert "extract" not in str(caught.value)


# The way out


def test_an_export_does_not_write_into_what_it_reads(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save("npy/a.npy", width=2048)
    write_grid_file(Path("npy"), 16, 4, {"a": 25.0})
    before = Path("npy/a.npy").read_bytes()
    for out in ("npy", "npy/out"):
        assert export.main(["npy", "--out", out, "--streams", "flow"]) == 2
        assert "lies in what would be read" in capsys.readouterr().err
    assert Path("npy/a.npy").read_bytes() == before
    assert export.main(["npy", "--out", "flow", "--streams", "flow"]) == 0
    assert np.load("flow/a.npy").shape == (40, 1024)


def test_an_export_is_checked_before_its_first_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = {"features": np.ones((3, 8)), "t_center": np.arange(3.0)}
    made = {"fingerprint": "f", "feature_id": "i", "window": 16, "fps": 25.0}
    for video, stride in (("a", 4), ("b", 8)):
        write_part(Path("x.h5"), Part(video, "rgb", arrays, {**made, "stride": stride}))
    assert export.main([str(build_index(Path("x.h5"))), "--out", "out"]) == 2
    assert "videos differ in (window, stride): (16, 4) e.g. a, (16, 8) e.g. b" in capsys.readouterr().err
    write_part(Path("y.h5"), Part("a", "rgb", arrays, made))
    assert export.main([str(build_index(Path("y.h5"))), "--out", "out"]) == 2
    assert "rgb of video 'a' has no stride" in capsys.readouterr().err
    assert not Path("out").exists()
    save("other/c.npy")
    write_part(Path("z.h5"), Part("a", "rgb", arrays, {**made, "stride": 4}))
    assert export.main([str(build_index(Path("z.h5"))), "--out", "other"]) == 2
    assert "1 other .npy files lie there, e.g. c.npy" in capsys.readouterr().err


def test_a_stream_that_never_changes_cannot_be_predicted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(4):
        save(f"npy/rgb/{number}.npy", 10 + number)
        Path("npy/flow").mkdir(exist_ok=True)
        np.save(f"npy/flow/{number}.npy", np.ones((10 + number, 4), np.float32))
    assert diff.main(["npy", "--predict", "flow"]) == 2
    assert "flow is the same at all steps" in capsys.readouterr().err
