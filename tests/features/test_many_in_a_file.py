"""Features in one file of many videos, in pickles, and by the names of conventions."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import features
from features.files.layout import StoreError
from features.files.pickle_file import read_pickle, read_tensors
from features.importer import main

DRAW = np.random.default_rng(0)
VIDEOS = {f"v{i}": DRAW.integers(0, 64, (20 + i, 8)).astype(np.float32) / 8 for i in range(3)}  # exact in float16


def annotated(folder: Path, fps: float = 30.0, duration_s: float = 3.5) -> Path:
    rows = {video: {"subset": "Training", "duration": duration_s, "fps": fps, "annotations": []} for video in VIDEOS}
    out = folder / "annotations.json"
    out.write_text(json.dumps({"database": rows}))
    return out


def hdf5(file: Path, name: Callable[[str], str], scale: float = 1.0) -> Path:
    with h5py.File(file, "w") as root:
        for video, array in VIDEOS.items():
            root[name(video)] = scale * array
    return file


def imported(folder: Path, *options: object) -> features.Store:
    store = folder / "store.h5"
    assert main([*map(str, options), "--features", str(store), "--annotations", str(annotated(folder))]) == 0
    return features.open(store)


def tensors(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "hdf5": lambda folder: hdf5(folder / "all.hdf5", str),
    "hdf5 with one array in each group": lambda folder: hdf5(folder / "all.h5", lambda v: f"{v}/c3d_features"),
    "npz": lambda folder: [np.savez(folder / "all.npz", **VIDEOS), folder / "all.npz"][1],
    "torch": lambda folder: [torch.save(tensors(VIDEOS), folder / "all.pt"), folder / "all.pt"][1],
    "pickle": lambda folder: [(folder / "all.pkl").write_bytes(pickle.dumps(VIDEOS)), folder / "all.pkl"][1],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_video_of_a_file_becomes_one_of_the_store(tmp_path: Path, layout: str) -> None:
    store = imported(tmp_path, "--file", LAYOUTS[layout](tmp_path), "--window", 16, "--stride", 4)
    assert store.videos == tuple(VIDEOS)
    for video, array in VIDEOS.items():
        assert np.array_equal(store.read(video, "rgb"), array)


def test_files_of_one_cue_each_are_streams_of_the_same_videos_as_gtad_has_them(tmp_path: Path) -> None:
    rgb, flow = hdf5(tmp_path / "rgb_val.h5", str), hdf5(tmp_path / "flow_val.h5", str, scale=2.0)
    store = imported(tmp_path, "--file", rgb, flow, "--convention", "gtad")
    assert store.streams("v1") == ("flow", "rgb")
    assert np.array_equal(store.read("v1", "flow"), 2 * VIDEOS["v1"][::5])
    attributes = store.attributes("v1", "rgb")
    assert (attributes["window"], attributes["stride"]) == (1, 5)
    assert store.grid("v1").t_center[1] == pytest.approx(5.5 / 30)


@pytest.mark.parametrize("name", ["{video}/{cue}", "{cue}/{video}"])
def test_cues_may_be_apart_within_a_file(tmp_path: Path, name: str) -> None:
    with h5py.File(tmp_path / "all.h5", "w") as root:
        for video, array in VIDEOS.items():
            root[name.format(video=video, cue="rgb")] = array
            root[name.format(video=video, cue="flow")] = array + 1
    store = imported(tmp_path, "--file", tmp_path / "all.h5", "--convention", "pgcn")
    assert np.array_equal(store.read("v2", "flow"), VIDEOS["v2"] + 1)
    assert store.attributes("v2", "rgb")["window"] == 64


def test_arrays_may_be_turned_in_such_a_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "all.npz", **{video: array.T for video, array in VIDEOS.items()})
    store = imported(tmp_path, "--file", tmp_path / "all.npz", "--layout", "DT", "--window", 16, "--stride", 4)
    assert np.array_equal(store.read("v1", "rgb"), VIDEOS["v1"])


def test_a_folder_may_hold_a_pickle_for_each_video(tmp_path: Path) -> None:
    folder = tmp_path / "pickles"
    folder.mkdir()
    (folder / "v0.pkl").write_bytes(pickle.dumps(VIDEOS["v0"]))
    (folder / "v1.pkl").write_bytes(pickle.dumps({"features": VIDEOS["v1"], "fps": 30.0}))
    store = imported(tmp_path, "--npy", folder, "--window", 16, "--stride", 4)
    assert np.array_equal(store.read("v1", "rgb"), VIDEOS["v1"])


def test_a_folder_may_hold_a_file_of_torch_for_each_video(tmp_path: Path) -> None:
    folder = tmp_path / "tensors"
    folder.mkdir()
    torch.save(torch.from_numpy(VIDEOS["v0"]), folder / "v0.pt")
    torch.save({"features": torch.from_numpy(VIDEOS["v1"]).bfloat16(), "fps": 30.0}, folder / "v1.pth")
    torch.save(torch.from_numpy(VIDEOS["v2"]), folder / "v2.pt", _use_new_zipfile_serialization=False)
    store = imported(tmp_path, "--npy", folder, "--window", 16, "--stride", 4)
    assert np.array_equal(store.read("v0", "rgb"), VIDEOS["v0"])
    assert np.array_equal(store.read("v2", "rgb"), VIDEOS["v2"])
    assert np.allclose(store.read("v1", "rgb"), VIDEOS["v1"], rtol=2**-8)  # 8 bits of mantissa


@pytest.mark.parametrize("cut", [0, 40, 400])
def test_a_damaged_file_of_torch_is_one_line(tmp_path: Path, cut: int) -> None:
    torch.save(tensors(VIDEOS), tmp_path / "whole.pt")
    (tmp_path / "x.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:cut])
    with pytest.raises(StoreError, match=r"x\.pt: holds no plain tensors") as raised:
        read_tensors(tmp_path / "x.pt")
    assert "\n" not in str(raised.value)


def test_nothing_in_a_file_of_torch_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"v": Runs()}, tmp_path / "x.pt")
    with pytest.raises(StoreError, match="holds no plain tensors"):
        read_tensors(tmp_path / "x.pt")
    assert not (tmp_path / "it-ran").exists()


def test_cola_has_a_folder_for_each_cue_and_a_rate_of_its_own(tmp_path: Path) -> None:
    for cue in ("rgb", "flow"):
        (tmp_path / "cola" / "train" / cue).mkdir(parents=True)
        for video, array in VIDEOS.items():
            np.save(tmp_path / "cola" / "train" / cue / f"{video}.npy", array)
    store = imported(tmp_path, "--npy", tmp_path / "cola", "--convention", "cola", "--strip-folders")
    attributes = store.attributes("v0", "flow")
    assert (attributes["window"], attributes["stride"], attributes["fps"]) == (16, 16, 25.0)
    assert attributes["resampled"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "f2"])
def test_pickles_of_every_protocol_give_the_arrays_that_were_put_down(
    tmp_path: Path, protocol: int, dtype: str
) -> None:
    there = {
        "a": np.asfortranarray(DRAW.random((5, 3))).astype(dtype),
        "b": [DRAW.random((2, 2)).astype(dtype)],
        "n": 3,
    }
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(there, protocol))
    found = read_pickle(tmp_path / "x.pkl")
    assert np.array_equal(found["a"], there["a"])
    assert found["a"].dtype == there["a"].dtype
    assert np.array_equal(found["b"][0], there["b"][0])  # type: ignore[index]


def test_an_array_of_three_axes_in_a_pickle_keeps_them(tmp_path: Path) -> None:
    there = np.asfortranarray(DRAW.random((4, 1, 3)).astype("f4"))
    (tmp_path / "x.pkl").write_bytes(pickle.dumps([there, np.zeros((0, 3), "f4")]))
    found, empty = read_pickle(tmp_path / "x.pkl")
    assert np.array_equal(found, there) and empty.shape == (0, 3)


class Runs:
    """Unpickled by any other reader, it leaves a file."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch it-ran",)


@pytest.mark.parametrize(
    "there", [Runs(), {"v": Runs()}, np.array([Runs(), 1], dtype=object), np.zeros(2, dtype=[("a", "O")])], ids=str
)
def test_nothing_in_a_pickle_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: object) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(there))
    with pytest.raises(StoreError, match="holds"):
        read_pickle(tmp_path / "x.pkl")
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize(
    "harm", [lambda b: b[:-9], lambda b: b[:40], lambda b: b"", lambda b: b[:60] + b"\xff" + b[61:]]
)
def test_a_damaged_pickle_is_one_line(tmp_path: Path, harm: Callable[[bytes], bytes]) -> None:
    (tmp_path / "x.pkl").write_bytes(harm(pickle.dumps(VIDEOS)))
    with pytest.raises(StoreError, match=r"x\.pkl"):
        read_pickle(tmp_path / "x.pkl")


def test_a_store_of_ours_and_a_folder_are_no_files_of_many_videos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = imported(tmp_path, "--file", hdf5(tmp_path / "all.hdf5", str), "--window", 16, "--stride", 4)
    more = ["--features", str(tmp_path / "other.h5"), "--fps", "30"]
    assert main(["--file", str(store.path), *more]) == 2
    assert "feature store already" in capsys.readouterr().err
    assert main(["--file", str(tmp_path), *more]) == 2
    assert "is a folder" in capsys.readouterr().err


def test_the_real_clips_of_gymnastics_go_in_and_train(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("command.writing._sync", lambda path: None)  # a thousand waits for the disk
    folder = shared_data / "features" / "gym_i3d"
    store, out = tmp_path / "gym.h5", tmp_path / "run"
    annotations = str(folder / "annotations.json")
    clips = ["--window", "64", "--stride", "64", "--annotations", annotations]
    assert main(["--file", str(folder / "features.npz"), "--features", str(store), *clips]) == 0
    assert len(features.open(store).videos) == 505
    subsets = sorted({row["subset"] for row in json.loads(Path(annotations).read_text())["database"].values()})
    words = ["--features", str(store), "--annotations", annotations, "--train-subset", subsets[-1], "--out", str(out)]
    words += ["--epochs", "1", "--set", "head.levels=2", "--set", "model.width=16", "--set", "head.heads=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "train.run", *words], check=True, env=environment)
    assert (out / "detector.pt").exists()


def test_the_csv_of_mmaction2_go_in_by_the_name_of_their_convention(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "features" / "mmaction2_activitynet_features"
    rows = {video: {"subset": "Training", "duration": 50.0, "annotations": []} for video in ("v_test1", "v_test2")}
    (tmp_path / "a.json").write_text(json.dumps({"database": rows}))
    words = ["--csv", str(folder), "--convention", "mmaction2", "--features", str(tmp_path / "s.h5")]
    assert main([*words, "--annotations", str(tmp_path / "a.json")]) == 0
    store = features.open(tmp_path / "s.h5")
    assert store.videos == ("v_test1", "v_test2")
    assert store.row("v_test1", "rgb").duration_s == pytest.approx(50.0)
