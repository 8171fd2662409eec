"""Directories of .npy files read as a feature store."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import features
from features import StoreError
from features.files.grid_file import write_grid_file


def test_two_thousand_columns_are_rgb_then_flow(tmp_path: Path) -> None:
    array = np.random.default_rng(0).standard_normal((5, 2048)).astype(np.float32)
    np.save(tmp_path / "video_test_0000004.npy", array)
    store = features.open(tmp_path, fps=30.0)
    assert store.streams("video_test_0000004") == ("flow", "rgb")
    np.testing.assert_array_equal(store.read("video_test_0000004", "rgb"), array[:, :1024])
    np.testing.assert_array_equal(store.read("video_test_0000004", "flow", 1, 3), array[1:3, 1024:])
    store.check(store.videos, ["rgb", "flow"])


def test_the_grid_of_npy_files_comes_from_the_frame_rate_given(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 1024), np.float32))
    np.save(tmp_path / "b.npy", np.zeros((3, 1024), np.float32))
    store = features.open(tmp_path, fps={"a": 10.0}, window=16, stride=8)
    np.testing.assert_allclose(store.grid("a").t_center, [0.8, 1.6, 2.4])
    assert store.duration_s("a") == 4.0
    with pytest.raises(StoreError, match="frame rate of video 'b'"):
        store.grid("b")


def test_a_single_stream_directory_has_no_flow(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 1024), np.float32))
    store = features.open(tmp_path, fps=30.0)
    with pytest.raises(StoreError, match="a: no flow"):
        store.check(["a"], ["rgb", "flow"])
    with pytest.raises(StoreError, match="2048 columns, RGB then flow"):
        store.read("a", "flow")


def test_an_npy_file_that_is_not_a_feature_sequence_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(1024, np.float32))
    with pytest.raises(StoreError, match=r"a\.npy: expected a \(T, D\) array"):
        features.open(tmp_path)
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(StoreError, match=r"a\.npy: not a readable array"):
        features.open(tmp_path)


def test_nan_in_an_npy_file_is_found_when_read(tmp_path: Path) -> None:
    array = np.zeros((4, 1024), np.float32)
    array[2, 7] = np.nan
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(StoreError, match="first at step 2"):
        features.open(tmp_path, fps=30.0).read("a", "rgb")


def test_real_published_features_open_as_a_store(shared_data: Path, tmp_path: Path) -> None:
    published = np.load(shared_data / "features" / "gym_i3d" / "features.npz")
    clips = sorted(published.files)[:5]
    for clip in clips:
        np.save(tmp_path / f"{clip}.npy", published[clip])
    store = features.open(tmp_path, fps=30.0, window=64, stride=64)
    store.check(clips, ["rgb", "flow"])
    for clip in clips:
        together = np.concatenate([store.read(clip, "rgb"), store.read(clip, "flow")], axis=1)
        np.testing.assert_array_equal(together, published[clip])
        assert store.grid(clip).step_s == 64 / 30


def test_window_stride_and_rates_come_from_the_grid_file_beside_the_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 8), np.float32))
    write_grid_file(tmp_path, window=16, stride=8, fps={"a": 25.0})
    for fps in (None, {"a": 25.0}, {"a": 25.01}, {"b": 7.0}):  # annotations may know the rates, too
        store = features.open(tmp_path, fps=fps)
        np.testing.assert_allclose(store.grid("a").t_center, [8 / 25, 16 / 25, 24 / 25])
        assert store.attributes("a", "rgb")["stride"] == 8
        assert store.remarks == ()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"stride": 4}, r"stride: .*grid\.json says 8, but the stride given is 4"),
        ({"window": 64}, r"window: .*grid\.json says 16, but the window given is 64"),
        ({"fps": 30.0}, r"fps of video 'a': .*grid\.json says 25, but the rate given is 30"),
        ({"fps": {"a": 30.0}}, r"fps of video 'a': .*grid\.json says 25, but the rate given is 30"),
    ],
)
def test_what_is_given_and_the_grid_file_must_not_differ(tmp_path: Path, given: dict[str, Any], words: str) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 8), np.float32))
    write_grid_file(tmp_path, window=16, stride=8, fps={"a": 25.0})
    with pytest.raises(StoreError, match=words):
        features.open(tmp_path, **given)


def test_an_unknown_window_and_stride_are_said(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 8), np.float32))
    (remark,) = features.open(tmp_path, fps=25.0).remarks
    assert "the window and the stride of these features is not known" in remark
    assert "window 16 and stride 4" in remark
    (remark,) = features.open(tmp_path, fps=25.0, window=64).remarks
    assert "the stride of these features is not known" in remark
    assert features.open(tmp_path, fps=25.0, window=64, stride=64).remarks == ()


def test_features_of_npy_files_count_as_imported(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 8), np.float32))
    assert features.open(tmp_path).is_imported("a", "rgb")


def test_transposed_arrays_are_said_with_a_remedy(tmp_path: Path) -> None:
    for number in range(5):
        np.save(tmp_path / f"v{number}.npy", np.zeros((16, 40 + number), np.float32))
    with pytest.raises(
        StoreError, match=r"40, 41, 42 \.\.\. columns and all have 16 rows: they look transposed.*layout DT"
    ):
        features.open(tmp_path, fps=25.0)


def test_a_folder_for_each_cue_is_read_as_two_streams(tmp_path: Path) -> None:
    for cue, value in (("rgb", 1.0), ("flow", 2.0)):
        (tmp_path / "train" / cue).mkdir(parents=True)
        np.save(tmp_path / "train" / cue / "a.npy", np.full((3, 8), value, np.float32))
    store = features.open(tmp_path, fps=25.0)
    assert store.videos == ("train/a",)
    assert store.read("train/a", "rgb").max() == 1.0
    assert store.read("train/a", "flow").min() == 2.0
