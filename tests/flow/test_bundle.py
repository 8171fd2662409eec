"""Many chunks at once, as the GPU's command does them; the GPU itself is played by the CPU's solver."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import write_video

import flow.pipeline.bundle
import flow.pipeline.store
from features.running.ahead import ahead
from features.running.jobs import Job
from features.storage.index import build_index
from flow import tvl1
from flow.decode.video import probe
from flow.pipeline.bundle import as_stored, compute_bundle
from flow.pipeline.plan import bundled
from flow.pipeline.planning import plan_video
from flow.pipeline.quantised import quantise
from flow.pipeline.settings import FlowSettings
from flow.pipeline.tasks import compute_chunk
from flow.solver import TVL1


class OnCPU:
    """The interface of CudaTVL1; remembers the batches."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def solve(self, frames0: np.ndarray, frames1: np.ndarray) -> torch.Tensor:
        self.sizes.append(frames0.shape)
        solve = TVL1()
        return torch.from_numpy(np.stack([solve(*pair) for pair in zip(frames0, frames1, strict=True)]))


@pytest.fixture
def solver(monkeypatch: pytest.MonkeyPatch) -> OnCPU:
    stand_in = OnCPU()
    monkeypatch.setattr(flow.pipeline.bundle, "_solver", lambda settings: stand_in)
    monkeypatch.setattr(flow.pipeline.bundle, "BATCH", 8)
    return stand_in


def payloads(store: Path, videos: dict[str, Path], backend: str) -> dict[str, dict[str, Any]]:
    settings = FlowSettings("flow", short_side=24, crop=16, backend=backend)
    return {
        f"{video}.0": {
            "video": video, **plan_video(path, probe).payload, "store": str(store),
            "start": 0, "last_start": 0, "settings": settings.to_json(),
        }
        for video, path in videos.items()
    }  # fmt: skip


@pytest.fixture
def videos(tmp_path: Path) -> dict[str, Path]:
    shapes = {"a": (48, 64, 11), "b": (48, 64, 6), "c": (40, 32, 7), "one_frame": (48, 64, 1)}
    made = {}
    for name, (height, width, count) in shapes.items():
        made[name] = write_video(tmp_path / f"{name}.mkv", count, height, width)
    return made


def test_batches_reach_across_videos_and_every_chunk_is_the_one_that_the_cpus_command_makes(
    tmp_path: Path, videos: dict[str, Path], solver: OnCPU
) -> None:
    store = tmp_path / "bundle.h5"
    beats: list[int] = []
    record = compute_bundle({"chunks": payloads(store, videos, "cuda")}, beats.append)
    # 10 pairs of a and 5 of b are of one size: a batch of 8, one of 7; c is another size
    assert sorted(solver.sizes) == sorted([(8, 24, 32), (7, 24, 32), (6, 30, 24)])
    assert beats[-1] == 21
    assert {job["video"]: job["record"]["frames"] for job in record["jobs"]} == {
        "a": 11,
        "b": 6,
        "c": 7,
        "one_frame": 1,
    }
    build_index(store)
    reference = tmp_path / "cpu.h5"
    paths = [str(path) for video, path in videos.items() if video != "one_frame"]  # which the command refuses
    assert tvl1.main(["--videos", *paths, "--out", str(reference), "--size", "24", "--crop", "16"]) == 0
    for video in ("a", "b", "c"):
        made, expected = (flow.pipeline.store.open(path).read(video) for path in (store, reference))
        assert np.array_equal(made, expected)
        assert expected.std() > 0


def test_a_video_that_breaks_costs_itself_alone_and_what_is_there_is_not_made_again(
    tmp_path: Path, videos: dict[str, Path], solver: OnCPU
) -> None:
    store = tmp_path / "bundle.h5"
    chunks = payloads(store, videos, "cuda")
    chunks["b.0"] |= {"sha256": "another file", "state": [0, 0, 0]}
    jobs = {job["key"]: job for job in compute_bundle({"chunks": chunks}, lambda done: None)["jobs"]}
    assert jobs["b.0"]["cause"] == "VideoError"
    assert "changed while the command ran" in jobs["b.0"]["message"]
    assert all("record" in jobs[key] for key in ("a.0", "c.0", "one_frame.0"))
    solver.sizes.clear()
    again = payloads(store, videos, "cuda")
    assert [job["key"] for job in compute_bundle({"chunks": again}, lambda done: None)["jobs"]] == ["b.0"]
    assert solver.sizes == [(5, 24, 32)]


def test_chunks_are_bundled_in_order_and_none_is_lost() -> None:
    work = [Job(f"v{k}", compute_chunk, {"number": k}, weight, "v") for k, weight in enumerate([129] * 9)]
    bundles = bundled(work)
    assert [list(bundle.payload["chunks"]) for bundle in bundles] == [
        ["v0", "v1", "v2"], ["v3", "v4", "v5"], ["v6", "v7", "v8"]
    ]  # fmt: skip
    assert sum(bundle.weight for bundle in bundles) == 9 * 129
    assert len({bundle.key for bundle in bundles}) == 3


@pytest.mark.parametrize("codec", ["u8", "float16"])
def test_flow_is_quantised_on_the_gpu_as_on_the_cpu(codec: str) -> None:
    flows = np.random.default_rng(0).normal(0, 12, (3, 30, 41, 2)).astype(np.float32)
    settings = FlowSettings("flow", short_side=30, crop=16, codec=codec)
    made = as_stored(torch.from_numpy(flows), settings)
    planes = settings.geometry.crop_center(flows, axes=(1, 2)).transpose(0, 3, 1, 2)
    assert np.array_equal(made, quantise(planes) if codec == "u8" else planes.astype(np.float16))


def test_a_thread_runs_ahead_hands_on_what_it_meets_and_ends_when_nobody_listens() -> None:
    def numbers() -> Iterator[int]:
        yield from range(5)
        raise ValueError("five is too many")

    seen = []
    with pytest.raises(ValueError, match="five is too many"):
        for number in ahead(numbers(), 2):
            seen.append(number)
    assert seen == [0, 1, 2, 3, 4]
    before = threading.active_count()
    endless = ahead(iter(int, 1), 3)
    assert next(endless) == 0
    endless.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
