"""Parts, index and reader of a feature store."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import features
from features.files.layout import encode
from features.storage.store import Part, StoreError, build_index, fingerprint, is_done, part_path, write_part

T, D = 6, 8


def make_part(video: str = "v1", stream: str = "rgb", num_steps: int = T, **attributes: Any) -> Part:
    random = np.random.default_rng(len(video) + len(stream))
    values: dict[str, Any] = {
        "fingerprint": fingerprint({"video": video, "stream": stream}),
        "feature_id": "id-" + stream,
        "window": 16,
        "stride": 4,
        "fps": 25.0,
        "duration_s": 2.0,
        "video_sha256": "a" * 64,
        "geometry": "short64-crop64-linear/1",
        "map_shape": [2, 2, 2],
        **attributes,
    }
    arrays: dict[str, np.ndarray] = {
        "features": random.standard_normal((num_steps, D)).astype(np.float16),
        "t_center": (np.arange(num_steps) * 4 + 8) / 25.0,
    }
    return Part(video, stream, arrays, values)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "demo.h5"
    for video in ("v1", "sub dir/v2.x"):
        for stream in ("rgb", "flow"):
            write_part(path, make_part(video, stream))
    return build_index(path)


def test_what_was_written_is_read_back(store: Path) -> None:
    opened = features.open(store)
    assert opened.videos == ("sub dir/v2.x", "v1")
    assert opened.streams("v1") == ("flow", "rgb")
    part = make_part("sub dir/v2.x", "flow")
    read = opened.read("sub dir/v2.x", "flow")
    assert read.dtype == np.float16
    np.testing.assert_array_equal(read, part.arrays["features"])
    np.testing.assert_array_equal(opened.read("sub dir/v2.x", "flow", 2, 4), part.arrays["features"][2:4])
    attributes = opened.attributes("v1", "rgb")
    assert attributes["map_shape"] == [2, 2, 2]
    assert attributes["complete"] is True
    assert {name: attributes[name] for name in part.attributes} == dict(make_part("v1", "rgb").attributes)
    assert opened.feature_id("rgb") == "id-rgb"
    assert opened.duration_s("v1") == 2.0


def test_the_grid_of_a_video_comes_from_its_stored_times(store: Path) -> None:
    grid = features.open(store).grid("v1")
    assert grid.to_seconds(0.0) == 8 / 25
    assert grid.step_s == 4 / 25


def test_streams_that_are_not_features_keep_their_own_arrays(tmp_path: Path) -> None:
    images = np.arange(2 * 2 * 8 * 8, dtype=np.uint8).reshape(2, 2, 8, 8)
    part = Part("v1", "tvl1", {"flow": images}, {"fingerprint": "f"})
    write_part(
        tmp_path / "f.h5", part, {"flow": {"chunks": (1, 1, 8, 8), "compression": "gzip", "compression_opts": 1}}
    )
    opened = features.open(build_index(tmp_path / "f.h5"))
    np.testing.assert_array_equal(opened.array("v1", "tvl1", "flow", 1), images[1:])
    assert list(opened.arrays("v1", "tvl1")) == ["flow"]


def test_the_same_contents_give_the_same_bytes_in_another_process(store: Path, tmp_path: Path) -> None:
    script = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path; import test_store as t; p = Path(sys.argv[1])\n"
        "[t.write_part(p, t.make_part(v, s)) for s in ('flow', 'rgb') for v in ('v1', 'sub dir/v2.x')]\n"
        "t.build_index(p)"
    )
    other = tmp_path / "other" / "demo.h5"
    folders = [str(Path(__file__).parent), str(Path(features.__file__).parents[1])]
    subprocess.run([sys.executable, "-c", script, str(other), *folders], check=True)
    names = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.h5") if "other" not in path.parts)
    assert len(names) == 5
    for name in names:
        assert (tmp_path / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_the_index_follows_its_folder_and_ignores_the_working_directory(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    store.rename(moved / store.name)
    (tmp_path / "demo.parts").rename(moved / "demo.parts")
    monkeypatch.chdir("/")
    assert len(features.open(moved / "demo.h5").read("v1", "rgb")) == T


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_store_can_be_sent_to_another_process(store: Path) -> None:
    opened = features.open(store)
    opened.read("v1", "rgb")
    copy = pickle.loads(pickle.dumps(opened))
    np.testing.assert_array_equal(copy.read("v1", "rgb"), opened.read("v1", "rgb"))
    child = os.fork()
    if child == 0:  # a forked reader must open the file anew
        os._exit(0 if len(opened.read("v1", "flow")) == T else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_done_means_complete_and_made_the_same_way(store: Path) -> None:
    made = fingerprint({"video": "v1", "stream": "rgb"})
    assert is_done(store, "v1", "rgb", made)
    assert not is_done(store, "v1", "rgb", "other weights")
    assert not is_done(store, "v1", "gradient", made)
    assert not is_done(store, "v9", "rgb", made)
    path = part_path(store, "v1", "rgb")
    path.write_bytes(path.read_bytes()[:-200])
    assert not is_done(store, "v1", "rgb", made)


def test_a_full_disk_leaves_the_old_part_and_no_other_file(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(store.parent.rglob("*"))
    old = part_path(store, "v1", "rgb").read_bytes()

    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:1000])
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_part(store, make_part("v1", "rgb", num_steps=9))
    assert sorted(store.parent.rglob("*")) == before
    assert part_path(store, "v1", "rgb").read_bytes() == old


def spoil_missing(store: Path) -> None:
    part_path(store, "v1", "rgb").unlink()


def spoil_truncated(store: Path) -> None:
    path = part_path(store, "v1", "rgb")
    path.write_bytes(path.read_bytes()[:1500])


def spoil_nan(store: Path) -> None:
    with h5py.File(part_path(store, "v1", "rgb"), "r+") as file:
        file["videos/v1/rgb/features"][3, 5] = np.nan


def spoil_remade(store: Path) -> None:
    write_part(store, make_part("v1", "rgb", fingerprint="made anew"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_missing, ["demo.parts/rgb/v1.h5 is missing", "repeat the command"]),
        (spoil_truncated, ["demo.parts/rgb/v1.h5 is damaged or cut short", "repeat the command"]),
        (spoil_nan, ["demo.parts/rgb/v1.h5 is damaged", "the data of features do not match their sha256"]),
        (spoil_remade, ["made anew", "features.pack", "--index"]),
    ],
)
def test_a_spoilt_part_is_named_with_its_remedy(store: Path, spoil: Callable[[Path], None], words: list[str]) -> None:
    spoil(store)
    with pytest.raises(StoreError) as caught:
        features.open(store).read("v1", "rgb")
    for word in words:
        assert word in str(caught.value)
    assert len(features.open(store).read("v1", "flow")) == T


def test_nan_in_a_store_that_is_not_verified_is_still_refused(store: Path) -> None:
    spoil_nan(store)
    with pytest.raises(StoreError, match=r"'v1' is NaN or infinite at 1 of 6 steps, first at step 3"):
        features.open(store, verify=False).read("v1", "rgb")


def test_nan_written_by_another_program_is_refused_however_well_it_is_hashed(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = make_part("v1", "rgb")
    part.arrays["features"][3, 5] = np.nan
    monkeypatch.setattr("features.storage.parts._checked", lambda part, store: dict(part.arrays))
    write_part(store, part)
    opened = features.open(build_index(store))
    np.testing.assert_array_equal(opened.read("v1", "rgb", 0, 3), part.arrays["features"][:3])
    for _ in range(2):
        with pytest.raises(StoreError, match=r"'v1' is NaN or infinite at 1 of 4 steps, first at step 3"):
            opened.read("v1", "rgb", 2, 6)


def test_a_store_of_another_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "alien.h5"
    with h5py.File(path, "w") as file:
        file["v1"] = np.zeros(3)
    with pytest.raises(StoreError, match=r"alien\.h5: schema 'none', expected 'flowless/1'"):
        features.open(path)


def test_a_file_cut_short_and_a_file_that_is_not_there_are_refused(store: Path, tmp_path: Path) -> None:
    store.write_bytes(store.read_bytes()[:1500])
    with pytest.raises(StoreError, match=r"demo\.h5: not a readable HDF5 file"):
        features.open(store)
    with pytest.raises(StoreError, match=r"none\.h5: no such feature store"):
        features.open(tmp_path / "none.h5")


def test_features_no_store_should_hold_are_refused_when_written(tmp_path: Path) -> None:
    part = make_part()
    broken: list[tuple[dict[str, np.ndarray], str]] = [
        ({"features": np.full((T, D), np.nan, np.float32)}, "NaN.*step 0 of 6"),
        ({"features": np.full((T, D), 1e6, np.float32)}, "beyond float16"),
        ({"features": np.zeros((T + 1, D), np.float16)}, "7 feature vectors but 6 times"),
        ({"features": np.zeros((0, D), np.float16)}, "T > 0"),
        ({"t_center": np.zeros(T)}, "strictly increasing"),
    ]
    for arrays, words in broken:
        with pytest.raises(StoreError, match=words):
            write_part(tmp_path / "s.h5", Part("v1", "rgb", {**part.arrays, **arrays}, part.attributes))
    assert not list(tmp_path.rglob("*.h5"))


def test_the_check_names_every_video_that_does_not_fit(store: Path) -> None:
    write_part(store, make_part("short", "rgb"))
    write_part(store, make_part("short", "flow", num_steps=5))
    write_part(store, make_part("other", "rgb"))
    write_part(store, make_part("other", "flow", video_sha256="b" * 64))
    write_part(store, make_part("lone", "rgb", geometry="x"))
    write_part(store, make_part("mixed", "rgb", feature_id="other-weights"))
    write_part(store, make_part("mixed", "flow", geometry="short256"))
    opened = features.open(build_index(store))
    opened.check(["v1", "sub dir/v2.x"], ["rgb", "flow"])
    with pytest.raises(StoreError) as caught:
        opened.check(["v1", "short", "other", "lone", "mixed", "absent"], ["rgb", "flow"])
    message = str(caught.value)
    assert "6 problem(s)" in message
    assert "short: rgb and flow differ in length: 6 and 5 steps" in message
    assert "other: rgb and flow come from different video files" in message
    assert "lone: no flow" in message
    assert "mixed: rgb and flow see different pictures" in message
    assert "absent: no rgb and no flow" in message
    assert "rgb was made in 2 ways, which cannot be mixed: id-rgb (4 videos" in message
    with pytest.raises(StoreError, match="made in 2 ways"):
        opened.feature_id("rgb")


def test_equal_lengths_on_different_clips_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    write_part(path, make_part("v1", "rgb"))
    part = make_part("v1", "flow")
    write_part(path, Part("v1", "flow", {**part.arrays, "t_center": part.arrays["t_center"] + 0.1}, part.attributes))
    with pytest.raises(StoreError, match="same number of clips at different times"):
        features.open(build_index(path)).check(["v1"], ["rgb", "flow"])


def test_a_long_or_strange_video_id_is_one_file(tmp_path: Path) -> None:
    videos = [
        "..",
        ".",
        "a/b",
        "ä ß.mp4",
        "100%",
        "x" * 300,
        "x" * 299 + "y",
        "長" * 26,
        "長い" * 60,
        "a" * 99 + "長" * 80,
    ]
    for video in videos:
        path = write_part(tmp_path / "s.h5", make_part(video))
        assert path.parent == tmp_path / "s.parts" / "rgb"
        assert len(path.name.encode()) <= 255
        assert is_done(tmp_path / "s.h5", video, "rgb", fingerprint({"video": video, "stream": "rgb"}))
    opened = features.open(build_index(tmp_path / "s.h5"))
    assert set(opened.videos) == set(videos)
    for video in videos:
        np.testing.assert_array_equal(opened.read(video, "rgb"), make_part(video).arrays["features"])
    assert encode("..") == "%2E%2E"


def test_names_that_fit_are_those_of_older_stores(tmp_path: Path) -> None:
    assert part_path(tmp_path / "s.h5", "長" * 28, "rgb").name == "%E9%95%B7" * 28 + ".h5"  # 255 bytes
