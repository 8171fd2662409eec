"""Videos as a run plans them: what is remembered, who plans which, and what a file that changes costs."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pictures import write_video

import flow.pipeline.plan
import flow.tvl1
from features.files.layout import cache_folder
from features.running import jobs
from features.running.shares import larger_than_a_share, share_files
from flow.decode.video import VideoError, VideoInfo, list_videos, probe
from flow.pipeline.planning import Planned, plan_video, plan_videos
from flow.pipeline.settings import FlowSettings
from flow.pipeline.store import CHUNK
from flow.pipeline.tasks import compute_chunk

Probed = Callable[[Path], VideoInfo]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three videos of long ago and one that is none."""
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(3):
        os.utime(write_video(videos / f"v{number}.mkv", 3 + number), ns=(10**18, 10**18))
    (videos / "broken.mp4").write_text("no video")
    return videos


@pytest.fixture
def probed() -> tuple[list[str], Probed]:
    """A probe, and the names that it was asked for."""
    asked: list[str] = []

    def note(path: Path) -> VideoInfo:
        asked.append(path.name)
        return probe(path)

    return asked, note


def test_what_has_not_changed_is_not_probed_again(folder: Path, probed: tuple[list[str], Probed]) -> None:
    asked, note = probed
    store = folder.parent / "f.h5"
    first, failures = plan_videos(list_videos([folder]), note, "auto", store)
    assert list(first) == ["v0", "v1", "v2"]
    assert [failure["video"] for failure in failures] == ["broken"]
    asked.clear()
    os.utime(folder / "v1.mkv", ns=(10**18, 10**18 + 1))
    again, failures = plan_videos(list_videos([folder]), note, "auto", store)
    assert sorted(asked) == ["broken.mp4", "v1.mkv"]  # what failed is tried again
    assert [again[video].info for video in ("v0", "v2")] == [first[video].info for video in ("v0", "v2")]
    assert again["v1"].info.mtime_ns == 10**18 + 1
    asked.clear()
    plan_videos(list_videos([folder]), note, "opencv", store)
    assert len(asked) == 4  # another decoder, another answer


def test_a_file_written_a_moment_ago_is_not_remembered(folder: Path, probed: tuple[list[str], Probed]) -> None:
    asked, note = probed
    write_video(folder / "v0.mkv", 5)  # its clock may be too coarse to tell the next change
    for _ in range(2):
        plan_videos({"v0": folder / "v0.mkv"}, note, "auto", folder.parent / "f.h5")
    assert asked == ["v0.mkv", "v0.mkv"]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"schema": "flowless/known/1", "files": {"x": 3}}'])
def test_a_damaged_memory_costs_only_time(folder: Path, damage: bytes) -> None:
    store = folder.parent / "f.h5"
    plan_videos(list_videos([folder]), probe, "auto", store)
    (cache_folder(store) / "videos.json").write_bytes(damage)
    planned, _ = plan_videos(list_videos([folder]), probe, "auto", store)
    assert len(planned) == 3


def test_a_video_that_is_still_being_written_is_refused(folder: Path) -> None:
    path = folder / "v0.mkv"

    def written_meanwhile(path: Path) -> VideoInfo:
        info = probe(path)
        with path.open("ab") as file:
            file.write(b"more")
        return info

    with pytest.raises(VideoError, match=r"v0\.mkv: the file is being written"):
        plan_video(path, written_meanwhile)


@pytest.mark.parametrize("after", [False, True], ids=["not to be read", "gone meanwhile"])
def test_a_file_that_cannot_be_read_costs_itself(folder: Path, after: bool) -> None:
    def fail_on_v1(path: Path) -> VideoInfo:
        info = probe(path)
        if path.stem == "v1" and not after:
            raise PermissionError(13, "Permission denied", str(path))
        if path.stem == "v1":
            path.unlink()
        return info

    planned, failures = plan_videos(list_videos([folder]), fail_on_v1, "auto", folder.parent / "f.h5")
    assert list(planned) == ["v0", "v2"]
    words = "No such file" if after else "Permission denied"
    assert any(words in failure["message"] for failure in failures if failure["video"] == "v1")


def chunk_of(planned: Planned, store: Path, start: int, last_start: int) -> dict[str, object]:
    settings = FlowSettings("flow", short_side=32, crop=24).to_json()
    return {
        **{"video": "v", **planned.payload, "store": str(store)},
        **{"start": start, "last_start": last_start, "settings": settings},
    }


def test_a_video_replaced_between_or_within_its_chunks_is_refused(tmp_path: Path) -> None:
    path, other = write_video(tmp_path / "v.mkv", CHUNK + 9), write_video(tmp_path / "other.mkv", CHUNK + 9, step=2)
    planned = plan_video(path, probe)
    compute_chunk(chunk_of(planned, tmp_path / "f.h5", CHUNK, CHUNK), lambda pairs: None)
    os.link(path, tmp_path / "kept.mkv")

    def replace_it(pairs: int) -> None:
        if pairs == 4:
            (tmp_path / "other.mkv").rename(path)

    with pytest.raises(VideoError, match="changed while the command ran"):
        compute_chunk(chunk_of(planned, tmp_path / "f.h5", CHUNK, CHUNK), replace_it)
    assert not other.exists()
    with pytest.raises(VideoError, match="changed while the command ran"):
        compute_chunk(chunk_of(planned, tmp_path / "f.h5", 0, CHUNK), lambda pairs: None)
    (tmp_path / "kept.mkv").rename(path)  # the file of before, with its own inode
    assert compute_chunk(chunk_of(planned, tmp_path / "f.h5", CHUNK, CHUNK), lambda pairs: None)["frames"] == 8


def test_a_large_file_that_is_hashed_again_gives_signs_of_life(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", 3)
    payload = chunk_of(plan_video(path, probe), tmp_path / "f.h5", 0, 0)
    os.utime(path)
    beats: list[int] = []
    compute_chunk(payload, beats.append)
    assert beats[0] == 0  # before the first pair


def test_each_shard_plans_its_own_videos_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[list[str]] = []

    def note(path: Path, **options: object) -> VideoInfo:
        seen[-1].append(path.stem)
        return probe(path)

    monkeypatch.setattr(flow.pipeline.plan, "probe", note)
    for number in range(3, 9):
        write_video(folder / f"v{number}.mkv", 4)
    for shard in range(2):
        seen.append([])
        arguments = ["--videos", str(folder), "--out", str(folder.parent / "f.h5"), "--size", "32", "--crop", "24"]
        flow.tvl1.main([*arguments, "--shard", f"{shard}/2"])
    assert sorted(seen[0] + seen[1]) == sorted(list_videos([folder]))
    assert min(len(one) for one in seen) >= 4


def test_the_chunks_of_a_video_larger_than_a_share_are_dealt_out(tmp_path: Path) -> None:
    sizes = {"long": 1000, "a": 30, "b": 20, "c": 10}
    files = {name: tmp_path / name for name in sizes}
    for name, path in files.items():
        path.write_bytes(bytes(sizes[name]))
    assert list(larger_than_a_share(files, (0, 4))) == ["long"]
    assert larger_than_a_share(files, None) == {}
    rest = {name: path for name, path in files.items() if name != "long"}
    shares = [share_files(rest, (index, 2)) for index in range(2)]
    assert shares == [{"a": files["a"]}, {"b": files["b"], "c": files["c"]}]
    assert share_files(rest, None) == rest


def test_a_file_that_is_not_there_is_planned_by_one_shard(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("gone", "lost")}
    shares = [share_files(files, (index, 2)) for index in range(2)]
    assert sorted(name for share in shares for name in share) == ["gone", "lost"]


def test_the_shares_of_a_long_video_are_all_of_it(tmp_path: Path) -> None:
    work = [jobs.Job(f"v.{start}", "t:t", {}, CHUNK, "v") for start in range(7)]
    shares = [jobs.share(work, index, 3) for index in range(3)]
    assert sorted(job.key for share in shares for job in share) == [job.key for job in work]
