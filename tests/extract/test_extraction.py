"""Extraction from end to end with the small backbone: commands, resume, failures, and features that can be checked."""

import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
import torch

import features
from extract import motion, rgb
from extract.backbones import build_backbone
from extract.cues import motion_views
from extract.cues.cue import show_rgb
from extract.pipeline import plan
from extract.pipeline.embedding import embed_video
from extract.pipeline.plan import computed_motion, stored_motion
from extract.pipeline.settings import ClipSettings
from extract.pipeline.tasks import attributes, extract_video
from features.running.stopwatch import Stopwatch
from flow import tvl1
from flow.decode.video import VideoError, probe, read_frames
from flow.pipeline.planning import plan_video
from flow.solver import make_solver

SMALL = ["--size", "64", "--crop", "64"]  # the geometry of the small backbone
ROOT = Path(__file__).resolve().parents[2]


def write_video(path: Path, num_frames: int = 60, seed: int = 0, fps: int = 25) -> Path:
    """Texture that drifts to the right, 96 x 64."""
    texture = np.random.default_rng(seed).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    image = np.kron(texture, np.ones((4, 4, 1), np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:  # header first
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(num_frames):
            shifted = np.ascontiguousarray(np.roll(image, 2 * index, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shifted, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for index in range(6):
        write_video(folder / f"v{index}.mp4", num_frames=60 + 20 * index, seed=index)
    return folder


def nano(cue: str, **changes: object) -> ClipSettings:
    more = {"motion": computed_motion("nano", "compat", "cpu")} if cue == "flow" else {}
    return ClipSettings(cue, backbone="nano", weights_sha256="test", **{**more, **changes})  # type: ignore[arg-type]


def extract_one(path: Path, store: Path, settings: ClipSettings) -> dict[str, object]:
    """One video in this process, as the child would do it."""
    payload = {"video": path.stem, **plan_video(path, probe).payload, "store": str(store)}
    record = extract_video({**payload, "streams": [settings.to_json()]}, lambda frames: None)
    features.storage.store.build_index(store)
    return record


def test_all_cues_have_the_same_clips_at_the_same_times(videos: Path, tmp_path: Path) -> None:
    store = tmp_path / "f.h5"
    for cue in ("rgb", "flow", "gradient"):
        record = extract_one(videos / "v1.mp4", store, nano(cue))
        assert record["frames"] == 80 and f"{cue}_network" in record["seconds"]  # type: ignore[operator]
    opened = features.open(store)
    opened.check(["v1"], ["rgb", "flow", "gradient"])
    for cue in ("rgb", "flow", "gradient"):
        assert opened.read("v1", cue).shape == (16, 1536)  # floor((80 - 1 - 16) / 4) + 1
        np.testing.assert_allclose(opened.grid("v1", cue).t_center, (np.arange(16) * 4 + 8) / 25)
        assert opened.feature_id(cue).startswith(f"nano-{cue}-")


def test_features_equal_a_plain_loop_over_decoded_clips(videos: Path) -> None:
    settings = nano("rgb", batch=3)
    backbone = build_backbone("nano", "rgb")
    view = show_rgb(backbone.geometry)
    ours, _, count = embed_video(videos / "v0.mp4", settings, backbone, view, Stopwatch())
    frames = np.stack([frame.rgb for frame in read_frames(videos / "v0.mp4")])
    assert count == len(frames) == 60
    clips = np.stack([frames[start : start + 16, :, 16:80] for start in range(0, 60 - 16, 4)])  # 64 x 64 of 64 x 96
    assert len(ours) == len(clips) == 11
    with torch.no_grad():
        x = torch.from_numpy(clips).permute(0, 4, 1, 2, 3).float()
        theirs = backbone(backbone.prepare(torch.from_numpy(clips))).numpy()
    assert x.shape[1:] == (3, 16, 64, 64)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def test_flow_solved_in_batches_gives_the_features_of_flow_solved_pair_by_pair(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OnCPU:  # stands in for the GPU's solver
        def solve(self, frames0: np.ndarray, frames1: np.ndarray) -> torch.Tensor:
            solve = make_solver("cpu")
            return torch.from_numpy(np.stack([solve(*pair) for pair in zip(frames0, frames1, strict=True)]))

    extract_one(videos / "v0.mp4", tmp_path / "pairs.h5", nano("flow", flow_backend="cpu"))
    solvers = {"cuda": lambda: OnCPU()}
    monkeypatch.setattr(motion_views, "make_solver", lambda backend, preset: solvers[backend]())
    record = extract_one(videos / "v0.mp4", tmp_path / "batches.h5", nano("flow", flow_backend="cuda"))
    assert record["frames"] == 60 and "flow" in record["seconds"]  # type: ignore[operator]
    pairs, batches = (features.open(tmp_path / f"{name}.h5").read("v0", "flow") for name in ("pairs", "batches"))
    assert pairs.shape == (11, 1536) and np.array_equal(pairs, batches)


def test_flow_of_a_store_and_flow_on_the_fly_give_the_same_features(videos: Path, tmp_path: Path) -> None:
    assert tvl1.main(["--videos", str(videos / "v1.mp4"), "--out", str(tmp_path / "flow.h5"), *SMALL]) == 0
    flow_store = tmp_path / "flow.h5"
    stored = nano("flow", flow_store=flow_store, motion=stored_motion(flow_store, ["v1"]))
    attributes_of = {}
    for name, settings in {"computed": nano("flow"), "stored": stored}.items():
        extract_one(videos / "v1.mp4", tmp_path / f"{name}.h5", settings)
        attributes_of[name] = features.open(tmp_path / f"{name}.h5").attributes("v1", "flow")
    assert attributes_of["computed"] == attributes_of["stored"]  # fingerprint and feature_id too
    assert parts_of(tmp_path / "computed.h5") == parts_of(tmp_path / "stored.h5")


def test_flow_of_another_size_or_another_file_is_refused(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "videos"
    write_video(folder / "v.mp4")
    large = ["--size", "64", "--crop", "48"]
    assert tvl1.main(["--videos", str(folder), "--out", str(tmp_path / "flow.h5"), *large]) == 0
    command = ["--cue", "flow", "--flow", str(tmp_path / "flow.h5"), *options(folder, tmp_path / "f.h5")]
    assert motion.main(command) == 3
    assert "is short64-crop48-linear/1, nano needs short64-crop64-linear/1" in capsys.readouterr().err
    assert tvl1.main(["--videos", str(folder), "--out", str(tmp_path / "flow.h5"), *SMALL]) == 0
    write_video(folder / "v.mp4", seed=9)
    assert motion.main(command) == 3
    assert "comes from another file of that name. Repeat flow.tvl1 on it" in capsys.readouterr().err


def test_a_part_says_where_it_comes_from(videos: Path) -> None:
    info = probe(videos / "v0.mp4")
    said = attributes(nano("rgb"), info, 60)
    assert said["video_sha256"] == info.sha256 and said["num_frames"] == said["num_frames_header"] == 60
    assert said["backbone"] == "nano" and said["geometry"] == "short64-crop64-linear/1"
    assert (said["window"], said["stride"], said["fps"]) == (16, 4, 25)
    assert said["map_shape"] == [192, 2, 2, 2]


def test_flow_is_no_choice_of_a_cue_that_is_not_made_of_it(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--cue", "gradient", "--flow", str(tmp_path / "flow.h5")]
    assert motion.main([*more, *options(videos, tmp_path / "f.h5")]) == 2
    assert "gradient is computed from frames alone. Leave the option out" in capsys.readouterr().err


def test_a_video_shorter_than_a_clip_says_how_many_frames_it_needs(tmp_path: Path) -> None:
    path = write_video(tmp_path / "short.mp4", num_frames=16)
    with pytest.raises(VideoError, match=r"short\.mp4: 16 frames are too few: a window of 16 needs at least 17"):
        extract_one(path, tmp_path / "f.h5", nano("rgb"))


def test_a_video_that_changes_while_it_waits_or_is_read_is_refused(tmp_path: Path) -> None:
    path, other = write_video(tmp_path / "v.mp4"), write_video(tmp_path / "other.mp4", seed=5)
    streams = [nano("rgb").to_json()]
    payload = {"video": "v", **plan_video(path, probe).payload, "store": str(tmp_path / "f.h5"), "streams": streams}

    def replace_it(frames: int) -> None:
        if frames == 20:
            other.replace(path)

    def cut_it_short(frames: int) -> None:
        if frames == 20:
            os.truncate(path, path.stat().st_size // 2)

    with pytest.raises(VideoError, match="changed while the command ran"):
        extract_video(payload, replace_it)
    with pytest.raises(VideoError, match="changed while the command ran"):
        extract_video(payload, lambda frames: None)
    payload |= plan_video(path, probe).payload
    with pytest.raises(VideoError, match="changed while the command ran"):
        extract_video(payload, cut_it_short)
    assert not list(tmp_path.rglob("*.h5"))


def test_a_video_that_is_touched_or_copied_over_itself_is_still_the_same(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4")
    streams = [nano("rgb").to_json()]
    payload = {"video": "v", **plan_video(path, probe).payload, "store": str(tmp_path / "f.h5"), "streams": streams}

    def copy_it(frames: int) -> None:
        if frames == 20:
            shutil.copy(path, tmp_path / "copy.mp4").replace(path)

    os.utime(path)
    assert extract_video(payload, copy_it)["frames"] > 20


def test_memory_does_not_grow_with_the_length_of_the_video(tmp_path: Path) -> None:
    """Frames and clips of long videos pass through; only features stay."""
    backbone = build_backbone("nano", "rgb")
    peaks = []
    for num_frames in (60, 400):
        path = write_video(tmp_path / f"{num_frames}.mp4", num_frames)
        tracemalloc.start()
        embed_video(path, nano("rgb"), backbone, show_rgb(backbone.geometry), Stopwatch())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 100 * 64 * 96 * 3  # 340 more frames came by


def test_precision_and_random_weights_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    build_backbone("i3d_inception", "rgb")
    assert "WARNING: i3d_inception has no weights for rgb" in capsys.readouterr().err
    clips = np.random.default_rng(0).integers(0, 256, (1, 16, 64, 64, 3), dtype=np.uint8)
    full = build_backbone("nano", "rgb").embed(clips)
    half = build_backbone("nano", "rgb", precision="bfloat16").embed(clips)
    assert full.dtype == half.dtype == np.float32
    assert 0 < np.linalg.norm(full - half) / np.linalg.norm(full) < 0.05
    assert "WARNING" not in capsys.readouterr().err  # nano ships with weights


# The commands


def options(videos: Path, store: Path, *more: str) -> list[str]:
    return ["--videos", str(videos), "--features", str(store), "--backbone", "nano", "--device", "cpu", *more]


def parts_of(store: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(store.with_suffix(".parts").rglob("*.h5"))]


def parts(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store.parent)): path.read_bytes() for path in store.parent.rglob("*.h5")}


def test_one_bad_video_costs_itself_and_the_exit_code(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mixed"
    write_video(folder / "good.mp4")
    write_video(folder / "short.mp4", num_frames=9)
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("no video")
    whole = write_video(folder / "cut.mp4", num_frames=200, seed=3)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 7 // 10])
    store = tmp_path / "f.h5"
    assert rgb.main(options(folder, store)) == 3
    out = capsys.readouterr()
    assert "1 done, 0 skipped, 4 failed" in out.out
    for name, problem in {
        "empty": "the file is empty",
        "text": "not a video that can be opened",
        "short": "9 frames are too few",
        "cut": r"decoding stopped at frame",
    }.items():
        assert any(name in line and problem in line for line in out.err.splitlines()), name
    assert features.open(store).videos == ("good",)


def test_a_second_run_does_nothing_and_changed_settings_do_it_anew(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "f.h5"
    gradient = ["--cue", "gradient"]
    assert motion.main([*gradient, *options(videos / "v0.mp4", store)]) == 0
    first = parts(store)
    assert motion.main([*gradient, *options(videos / "v0.mp4", store)]) == 0
    assert "0 done, 1 skipped" in capsys.readouterr().out
    assert parts(store) == first
    assert motion.main([*gradient, *options(videos / "v0.mp4", store, "--stride", "8", "--dry-run")]) == 0
    assert "1 to do, 0 skipped" in capsys.readouterr().out
    extract_one(videos / "v0.mp4", store, nano("gradient", stride=8))
    assert features.open(store).read("v0", "gradient").shape == (6, 1536)  # floor((60 - 1 - 16) / 8) + 1


def test_choices_that_cannot_work_are_refused_before_any_work(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "f.h5"
    assert rgb.main(options(videos, store, "--window", "1")) == 2
    assert "SettingsError: --window 1: expected at least 2 frames" in capsys.readouterr().err
    monkeypatch.setattr(plan, "computes_bfloat16", lambda: False)
    assert rgb.main(options(videos, store, "--precision", "bfloat16")) == 2
    assert "--precision bfloat16: this CPU only emulates it" in capsys.readouterr().err
    assert rgb.main(options(videos, store, "--weights", str(tmp_path / "gone.pt"))) == 2
    assert "WeightsError" in capsys.readouterr().err
    assert rgb.main(options(tmp_path / "nowhere", store)) == 2
    assert "VideoError" in capsys.readouterr().err
    assert not store.exists()


@pytest.mark.slow
def test_killed_at_any_time_and_repeated_the_command_gives_the_same_bytes(videos: Path, tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "a" / "f.h5", tmp_path / "b" / "f.h5"
    assert rgb.main(options(videos, undisturbed)) == 0
    command = [sys.executable, "-m", "extract.rgb", *options(videos, killed)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)
    for _ in range(3000):
        if list(killed.parent.rglob("*.h5")):
            break
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    there = len([name for name in parts(killed) if ".parts/" in name])
    assert 1 <= there < 6  # in the middle of the work
    assert rgb.main(options(videos, killed)) == 0
    assert parts(killed) == parts(undisturbed)
