"""Altered bytes in a store: refused with a word, or without any effect on what is read."""

import contextlib
import random
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import features
from features.files import layout
from features.files.layout import part_path
from features.storage import hdf5, parts, table
from features.storage.store import Part, StoreError, build_index, fingerprint, write_part
from flow.pipeline import store as flow_store

Read = tuple[dict[str, object], dict[str, bytes]]
FLIPS = 250


def make_part(video: str = "v1") -> Part:
    arrays = {
        "features": np.random.default_rng(0).standard_normal((5, 4)),
        "t_center": (np.arange(5) * 4 + 8) / 25.0,
    }
    attributes = {
        **{"fingerprint": fingerprint({"video": video}), "feature_id": "id-rgb", "video_sha256": "a" * 64},
        **{"fps": 25.0, "window": 16, "stride": 4, "duration_s": 2.0, "is_vfr": False, "map_shape": [2, 2]},
    }
    return Part(video, "rgb", arrays, attributes)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_part(tmp_path / "demo.h5", make_part())
    return build_index(tmp_path / "demo.h5")


def everything(path: Path) -> Read:
    """All that a user can read of the one video."""
    opened = features.open(path)
    try:
        attributes = {**opened.attributes("v1", "rgb"), "step_s": opened.grid("v1").step_s}
        opened.read("v1", "rgb", 1, 3)
        return attributes, {name: array.tobytes() for name, array in opened.arrays("v1", "rgb").items()}
    finally:
        opened.close()


def flip(path: Path, count: int, seed: int, judge: Callable[[], None]) -> None:
    """Alters one byte of a file after another, at random, and has each altered file judged."""
    dice = random.Random(seed)
    whole = path.read_bytes()
    # HDF5 leaves zeros between its structures: what is written is where bytes count.
    places = [place for place in range(len(whole)) if whole[place] or dice.random() < 0.2]
    for place in dice.sample(places, min(count, len(places))):
        altered = bytearray(whole)
        altered[place] ^= dice.choice([0xFF, 0x01, 0x20, 0x80])
        path.write_bytes(altered)
        judge()
    path.write_bytes(whole)


@pytest.mark.parametrize(
    "count", [FLIPS, pytest.param(100_000, marks=pytest.mark.slow)], ids=["some bytes", "every byte"]
)
def test_an_altered_part_is_refused_or_reads_as_it_was_written(store: Path, count: int) -> None:
    right = everything(store)
    verdicts = {"refused": 0, "same": 0}

    def judge() -> None:
        try:
            read = everything(store)
        except StoreError as error:
            assert "v1" in str(error)
            verdicts["refused"] += 1
        else:
            assert read == right
            verdicts["same"] += 1

    flip(part_path(store, "v1", "rgb"), count, seed=1, judge=judge)
    assert verdicts["refused"] > verdicts["same"]


def test_an_altered_part_is_refused_or_the_same_when_it_is_opened_by_itself(store: Path) -> None:
    right = everything(store)
    part = part_path(store, "v1", "rgb")

    def judge() -> None:
        with contextlib.suppress(StoreError):
            assert everything(part) == right

    flip(part, FLIPS // 2, seed=2, judge=judge)


def test_an_altered_index_is_refused_or_reads_as_it_was_written(store: Path) -> None:
    right, rows = everything(store), features.open(store).rows

    def judge() -> None:
        with contextlib.suppress(StoreError):
            assert (everything(store), features.open(store).rows) == (right, rows)

    flip(store, FLIPS // 2, seed=3, judge=judge)


def test_every_stream_says_what_is_damaged_and_the_others_are_read(store: Path) -> None:
    write_part(store, make_part("v2"))
    build_index(store)
    with h5py.File(part_path(store, "v1", "rgb"), "r+") as file:
        file["videos/v1/rgb"].attrs["fps"] = 50.0
    opened = features.open(store)
    with pytest.raises(StoreError, match=r"rgb of video 'v1'.*its attributes do not match their sha256.*Delete it"):
        opened.attributes("v1", "rgb")
    assert opened.read("v2", "rgb").shape == (5, 4)
    assert features.open(store, verify=False).attributes("v1", "rgb")["fps"] == 50.0


def test_an_altered_fingerprint_is_not_taken_for_a_part_made_anew(store: Path) -> None:
    with h5py.File(part_path(store, "v1", "rgb"), "r+") as file:
        file["videos/v1/rgb"].attrs["fingerprint"] = "0" * 16
    with pytest.raises(StoreError, match="damaged"):
        everything(store)


def test_each_array_is_hashed_once_in_a_process(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    monkeypatch.setattr(hdf5, "is_whole", lambda dataset, data: hashed.append(dataset.name) or True)
    opened = features.open(store)
    for _ in range(3):
        opened.read("v1", "rgb", 1, 3)
    assert hashed == ["/videos/v1/rgb/features"]
    features.open(store, verify=False).read("v1", "rgb")
    assert len(hashed) == 1


def test_flow_is_verified_once_a_chunk_and_read_in_pieces(tmp_path: Path) -> None:
    store = tmp_path / "flow.h5"
    pairs = np.random.default_rng(0).integers(0, 255, (6, 2, 8, 8), np.uint8)
    made = {"fingerprint": "f", "feature_id": "x", "video_sha256": "a", "codec": "u8", "last_start": 0}
    flow_store.write_chunk(store, "v1", "flow", 0, pairs, made)
    build_index(store)
    opened = flow_store.open(store)
    np.testing.assert_array_equal(opened.read("v1", 2, 4), pairs[2:4])
    np.testing.assert_array_equal(opened.read("v1", 4, 6), pairs[4:])
    opened._store.close()
    with h5py.File(part_path(store, "v1", "flow.000000000"), "r+") as file:
        file["videos/v1/flow.000000000/flow"][0, 0, 0, 0] ^= 1
    with pytest.raises(StoreError, match=r"'v1'.*the data of flow do not match their sha256"):
        flow_store.open(store).read("v1", 2, 4)


def test_parts_of_before_attributes_were_hashed_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "digest_of", lambda attributes, arrays: table.digest_of_data(arrays))
    write_part(tmp_path / "old.h5", make_part())
    monkeypatch.undo()
    build_index(tmp_path / "old.h5")
    attributes, _ = everything(tmp_path / "old.h5")
    assert attributes["fps"] == 25.0
    with h5py.File(part_path(tmp_path / "old.h5", "v1", "rgb"), "r+") as file:
        file["videos/v1/rgb/features"][0, 0] += 1.0
    with pytest.raises(StoreError, match="the data of features do not match"):
        everything(tmp_path / "old.h5")


def test_the_remedy_names_the_commands_that_the_reports_know(store: Path) -> None:
    reports = layout.reports_folder(store)
    reports.mkdir()
    (reports / "extract.rgb.json").write_text('{"schema": "flowless/report/1", "videos": {"v1": {}}}')
    part_path(store, "v1", "rgb").write_bytes(b"short")
    with pytest.raises(StoreError) as caught:
        everything(store)
    remedy = "Delete it and repeat the command that made it (extract.rgb), or fetch it again, or leave this video out."
    assert re.search(re.escape(remedy), str(caught.value))
    assert parts.is_done(store, "v1", "rgb", fingerprint({"video": "v1"})) is False
