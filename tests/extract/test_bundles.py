"""Several videos in one job, as a GPU has them, which the CPU plays here; and networks that are compiled."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_extraction import nano, write_video

import features
from extract import rgb
from extract.backbones import build_backbone
from extract.learning.student import Student
from extract.learning.tuning import Classifier
from extract.pipeline import bundle, plan, tasks
from extract.pipeline.bundle import extract_bundle
from extract.pipeline.embedding import Seen
from extract.pipeline.settings import ClipSettings
from extract.pipeline.tasks import extract_video
from features.computing import compiling
from features.computing.compiling import compile_parts
from features.running import jobs
from features.running.jobs import Job
from features.storage.index import build_index
from flow.decode.video import probe
from flow.pipeline.planning import plan_video

LENGTHS = {"a": 40, "b": 16, "c": 57, "d": 33}  # b is shorter than a clip


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    return {name: write_video(folder / f"{name}.mp4", frames) for name, frames in LENGTHS.items()}


def payloads(store: Path, videos: dict[str, Path], streams: list[ClipSettings]) -> dict[str, dict[str, Any]]:
    made = {"store": str(store), "streams": [each.to_json() for each in streams]}
    return {name: {"video": name, **plan_video(path, probe).payload, **made} for name, path in videos.items()}


def by_key(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {job["key"]: job for job in record["jobs"]}


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The videos of each batch."""
    seen: list[list[str]] = []
    embed = bundle.embed_batch

    def noted(batch: Any, watch: Any) -> None:
        seen.append([video.path.stem for video, _ in batch])
        embed(batch, watch)

    monkeypatch.setattr(bundle, "embed_batch", noted)
    return seen


@pytest.mark.parametrize("cues", [["rgb"], ["rgb", "flow", "gradient"]])
def test_batches_reach_across_videos_and_each_has_the_features_that_it_has_alone(
    cues: list[str], videos: dict[str, Path], tmp_path: Path, batches: list[list[str]]
) -> None:
    streams = [nano(cue, batch=8) for cue in cues]
    beats: list[int] = []
    record = extract_bundle({"videos": payloads(tmp_path / "f.h5", videos, streams)}, beats.append)
    found = by_key(record)
    assert found["b"]["cause"] == "VideoError" and "16 frames are too few" in found["b"]["message"]
    assert {name: found[name]["record"]["frames"] for name in "acd"} == {"a": 40, "c": 57, "d": 33}
    assert batches == [["a"] * 6 + ["c"] * 2, ["c"] * 8, ["c"] + ["d"] * 5]  # 6, 11 and 5 clips
    assert max(beats) == sum(LENGTHS.values())
    assert 0 < record["at_work_s"] <= record["wall_s"]
    for name in "acd":
        told = found[name]["record"]["seconds"]
        assert {"decode", *(f"{cue}_network" for cue in cues)} <= told.keys() and min(told.values()) > 0
        extract_video(payloads(tmp_path / "alone.h5", videos, streams)[name], lambda frames: None)
    together, alone = features.open(build_index(tmp_path / "f.h5")), features.open(build_index(tmp_path / "alone.h5"))
    for name in "acd":
        for cue in cues:
            expected = alone.read(name, cue)
            np.testing.assert_allclose(together.read(name, cue), expected, atol=2e-3 * np.abs(expected).max())
            np.testing.assert_array_equal(together.grid(name, cue).t_center, alone.grid(name, cue).t_center)
            assert together.attributes(name, cue) == alone.attributes(name, cue)


def test_a_video_that_breaks_in_the_middle_costs_itself_alone(
    videos: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches: list[list[str]]
) -> None:
    clips = Seen.clips

    def breaking(self: Seen) -> Iterator[Any]:
        for number, each in enumerate(clips(self)):
            if self.path.stem == "c" and number == 3:
                raise OSError("Input/output error")
            yield each

    monkeypatch.setattr(Seen, "clips", breaking)
    chosen = {name: videos[name] for name in "acd"}
    given = payloads(tmp_path / "f.h5", chosen, [nano("rgb", batch=8)])
    given["a"] |= {"sha256": "another file", "state": [0, 0, 0]}
    found = by_key(extract_bundle({"videos": given}, lambda frames: None))
    assert found["c"]["cause"] == "OSError" and "changed while the command ran" in found["a"]["message"]
    assert "record" in found["d"] and list(features.open(build_index(tmp_path / "f.h5")).videos) == ["d"]
    assert [name for batch in batches for name in batch].count("d") == 5


def test_work_is_bundled_by_the_streams_that_are_missing() -> None:
    def work(name: str, cues: str, frames: int) -> Job:
        return Job(name, extract_video, {"streams": [{"cue": cue} for cue in cues]}, frames)

    made = plan.bundled([work("a", "r", 2000), work("b", "rf", 100), work("c", "r", 2000), work("d", "r", 9000)])
    assert [list(job.payload["videos"]) for job in made] == [["a", "c"], ["d"], ["b"]]
    assert [[part.key for part in job.parts] for job in made] == [["a", "c"], [], []]
    assert all(list(part.payload["videos"]) == [part.key] for part in made[0].parts)


def test_a_run_in_bundles_ends_as_a_run_of_single_videos(
    videos: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "f.h5"
    given = payloads(store, videos, [nano("rgb")])
    work = [Job(name, extract_video, one, LENGTHS[name]) for name, one in given.items()]
    report = jobs.run(work, command="extract.rgb", report_path=tmp_path / "r.json", store=store, bundled=plan.bundled)
    assert (report.done, report.failed, report.exit_code) == (3, 1, 3) and report.failures[0]["video"] == "b"
    assert list(features.open(store).videos) == ["a", "c", "d"]
    assert f"the GPU was at work {report.at_work_s / report.wall_s:.0%} of the workers' time" in str(report)


# Compiled networks: traced as torch.compile traces them; kernels, which cost a minute, are torch's


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "BACKEND", "aot_eager")
    torch.compiler.reset()
    tasks._built.cache_clear()


def test_a_compiled_network_gives_the_features_that_it_gives_otherwise(
    videos: dict[str, Path], tmp_path: Path, traced: None, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"a": videos["a"], "c": videos["c"]}
    for compiled in (False, True):
        for one in payloads(tmp_path / f"{compiled}.h5", given, [nano("rgb", compiled=compiled)]).values():
            extract_video(one, lambda frames: None)
    stores = [features.open(build_index(tmp_path / f"{compiled}.h5")) for compiled in (False, True)]
    for name in given:
        plain, compiled = (store.read(name, "rgb") for store in stores)
        np.testing.assert_allclose(compiled, plain, atol=2e-3 * np.abs(plain).max())
        fingerprints = [store.attributes(name, "rgb")["fingerprint"] for store in stores]
        assert fingerprints[0] == fingerprints[1]  # as another batch has
    assert "runs as it is" not in capsys.readouterr().err


def test_why_a_network_is_not_compiled_reaches_the_user(
    videos: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is the child that finds out, whose stderr nobody sees."""
    monkeypatch.setenv("CXX", "/there/is/none")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    given = ["--videos", str(videos["a"]), "--features", str(tmp_path / "f.h5"), "--backbone", "nano", "--compile"]
    assert rgb.main(given) == 0
    said = capsys.readouterr().out
    assert said.count("note: --compile: goes on without: InvalidCxxCompiler") == 1


def test_it_always_sees_as_many_clips_and_is_compiled_once(traced: None, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[int] = []

    def counting(graph: torch.fx.GraphModule, inputs: Any) -> Callable[..., Any]:
        compiled.append(len(graph.graph.nodes))
        return graph.forward

    monkeypatch.setattr(compiling, "BACKEND", counting)
    network = tasks._backbone(nano("rgb", batch=5, compiled=True), lambda frames: None)
    of_network = len(compiled)  # and of what it was tried on
    clips = np.random.default_rng(0).integers(0, 256, (5, 16, 64, 64, 3), dtype=np.uint8)
    whole = network.embed(clips)
    for number in (1, 3):
        np.testing.assert_array_equal(network.embed(clips[:number]), whole[:number])
    assert len(compiled) == of_network


@pytest.mark.parametrize("network", ["student", "classifier"])
def test_a_compiled_network_learns_what_it_learns_otherwise(
    network: str, traced: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def learnt(compiled: bool) -> torch.Tensor:
        torch.manual_seed(0)
        made = build_backbone("nano", "rgb").requires_grad_(True)
        whole = Student(made, 1536) if network == "student" else Classifier(made, 3, 0.0)
        if compiled:
            assert compile_parts(whole, "cpu") == 1
        clips = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 16, 64, 64, 3), dtype=np.uint8))
        for mode in (True, False):  # a step, and a look at held-out videos
            answers = whole.train(mode)(*made.inputs(clips))
            values = answers.values() if isinstance(answers, dict) else answers
            said = torch.cat([each.flatten() for each in values])
            if mode:
                said.square().mean().backward()
        return torch.cat([said.detach(), *(p.grad.flatten() for p in whole.parameters() if p.grad is not None)])

    torch.testing.assert_close(learnt(True), learnt(False), rtol=1e-3, atol=1e-5)
    assert "runs as it is" not in capsys.readouterr().err


def test_compiling_beats_meanwhile() -> None:
    beaten = threading.Event()
    with tasks.beating(lambda frames: beaten.set(), needed=True):
        assert beaten.wait(60)
    with tasks.beating(lambda frames: pytest.fail("nothing is compiled"), needed=False):
        pass
