"""The flow store: what a byte means, chunks that make a video, and what is missing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flow.pipeline.store
from features.storage.store import StoreError, build_index
from flow.pipeline.quantised import dequantise, quantise
from flow.pipeline.store import CHUNK, chunk_starts, chunk_stream, write_chunk


def made(codec: str = "u8", last_start: int = 0, **more: Any) -> dict[str, Any]:
    return {"codec": codec, "fingerprint": "f", "feature_id": "x", "video_sha256": "v", "bound": 20.0,
            "last_start": last_start, **more}  # fmt: skip


def random_pairs(count: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(100, 156, (count, 2, 4, 5), np.uint8)
    return coarse.repeat(4, axis=2).repeat(4, axis=3)  # (count, 2, 16, 20)


def test_a_byte_is_a_step_of_forty_over_255_pixels() -> None:
    assert quantise(np.array([-20.0, 0.0, 20.0])).tolist() == [0, 128, 255]  # 127.5 rounds to even
    assert dequantise(np.array([0, 128, 255], np.uint8)) == pytest.approx([-20, 0.0784, 20], abs=1e-3)


def test_no_flow_within_the_bound_is_off_by_more_than_half_a_step() -> None:
    flow = np.linspace(-20, 20, 4001).astype(np.float32)
    error = dequantise(quantise(flow)) - flow
    assert np.abs(error).max() <= 20 / 255 + 1e-5
    assert abs(error.mean()) < 0.001  # rounding, not truncation: that would be off by .08 px on average


def test_flow_beyond_the_bound_is_clipped_and_not_wrapped() -> None:
    assert quantise(np.array([-35.0, 35.0, 1e6])).tolist() == [0, 255, 255]
    assert quantise(np.array([-35.0, 8.0]), bound=10).tolist() == [0, 230]


def test_chunks_cover_every_pair_once() -> None:
    assert chunk_starts(0) == [0]
    assert chunk_starts(CHUNK) == [0]
    assert chunk_starts(CHUNK + 1) == [0, CHUNK]
    assert chunk_stream("flow", 256) == "flow.000000256"


def test_what_was_written_in_chunks_is_read_as_one_video(tmp_path: Path) -> None:
    store = tmp_path / "x.h5"
    pairs = random_pairs(CHUNK + 3)
    write_chunk(store, "a/b", "flow", 0, pairs[:CHUNK], made(last_start=CHUNK))
    write_chunk(store, "a/b", "flow", CHUNK, pairs[CHUNK:], made(last_start=CHUNK))
    build_index(store)
    opened = flow.pipeline.store.open(store)
    assert opened.videos == ("a/b",)
    assert opened.num_pairs("a/b") == CHUNK + 3
    assert np.array_equal(opened.read("a/b"), pairs)
    assert np.array_equal(opened.read("a/b", CHUNK - 2, CHUNK + 1), pairs[CHUNK - 2 : CHUNK + 1])
    assert opened.read("a/b", 5, 5).shape == (0, 2, 16, 20)
    assert np.array_equal(opened.read_pixels("a/b", 0, 2), dequantise(pairs[:2]))
    with pytest.raises(StoreError, match=f"there are {CHUNK + 3}"):
        opened.read("a/b", 0, CHUNK + 4)


def test_the_same_chunk_is_the_same_bytes(tmp_path: Path) -> None:
    one = write_chunk(tmp_path / "one.h5", "v", "flow", 0, random_pairs(3), made())
    two = write_chunk(tmp_path / "two.h5", "v", "flow", 0, random_pairs(3), made())
    assert one.read_bytes() == two.read_bytes()


def test_a_missing_chunk_is_an_error_and_not_a_shorter_video(tmp_path: Path) -> None:
    store = tmp_path / "x.h5"
    write_chunk(store, "v", "flow", 0, random_pairs(CHUNK), made(last_start=2 * CHUNK))
    build_index(store)
    with pytest.raises(StoreError, match=r"repeat the flow\.tvl1 command"):
        flow.pipeline.store.open(store).num_pairs("v")
    write_chunk(store, "v", "flow", 2 * CHUNK, random_pairs(2), made(last_start=2 * CHUNK))
    build_index(store)
    with pytest.raises(StoreError, match=f"pairs {CHUNK} to {2 * CHUNK} are missing"):
        flow.pipeline.store.open(store).read("v")


def test_chunks_made_in_two_ways_are_not_one_video(tmp_path: Path) -> None:
    store = tmp_path / "x.h5"
    write_chunk(store, "v", "flow", 0, random_pairs(CHUNK), made(last_start=CHUNK))
    write_chunk(store, "v", "flow", CHUNK, random_pairs(2), made(last_start=CHUNK) | {"feature_id": "other"})
    build_index(store)
    with pytest.raises(StoreError, match="made in 2 ways"):
        flow.pipeline.store.open(store).num_pairs("v")


def test_jpeg_is_smaller_and_nearly_the_same(tmp_path: Path) -> None:
    store, pairs = tmp_path / "x.h5", random_pairs(6)
    write_chunk(store, "v", "flow", 0, pairs, made("jpeg"))
    build_index(store)
    opened = flow.pipeline.store.open(store)
    assert opened.read("v", 1, 4).shape == (3, 2, 16, 20)
    difference = opened.read("v").astype(int) - pairs
    assert 0 < np.abs(difference).mean() < 2
    assert np.array_equal(opened.read("v", 2, 5), opened.read("v")[2:5])


def test_float16_keeps_what_the_bound_would_clip(tmp_path: Path) -> None:
    store = tmp_path / "x.h5"
    pairs = np.linspace(-64, 64, 3 * 2 * 16 * 20).reshape(3, 2, 16, 20).astype(np.float16)
    write_chunk(store, "v", "flow", 0, pairs, made("float16"))
    build_index(store)
    opened = flow.pipeline.store.open(store)
    assert np.array_equal(opened.read_pixels("v"), pairs.astype(np.float32))
    assert np.array_equal(opened.read("v"), quantise(pairs.astype(np.float32)))
