"""Which videos are meant, and under which ids: folders, links, lists, globs, and what is no file at all."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import write_video

from flow.decode.listing import video_id
from flow.decode.video import VideoError, list_videos, probe


def test_videos_are_named_by_their_path_below_the_folder(tmp_path: Path) -> None:
    for name in ("b/v1.mp4", "a/v1.AVI", "v.1.x.mkv", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list_videos([tmp_path]) == {
        "a/v1": tmp_path / "a/v1.AVI",
        "b/v1": tmp_path / "b/v1.mp4",
        "v.1.x": tmp_path / "v.1.x.mkv",
    }
    assert list(list_videos([str(tmp_path / "*" / "*.mp4")])) == ["b/v1"]
    assert list(list_videos([tmp_path / "b" / "v1.mp4"])) == ["v1"]


def test_a_list_names_videos_beside_it_and_may_name_missing_ones(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# mine\nb/v1.mp4\n\ngone.mp4\n")
    assert list_videos([tmp_path / "list.txt"]) == {"b/v1": tmp_path / "b/v1.mp4", "gone": tmp_path / "gone.mp4"}


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("v.mp4", "v.avi"):
        (tmp_path / name).touch()
    with pytest.raises(VideoError, match=r"v\.avi and .*v\.mp4 would both be called 'v'"):
        list_videos([tmp_path])


def test_nothing_found_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"no video found in .*Expected files ending in .*\.mp4"):
        list_videos([tmp_path])
    with pytest.raises(VideoError, match=r"gone\.mp4: no such file, folder or glob"):
        list_videos([tmp_path / "gone.mp4"])


def test_ids_stay_inside_the_folder_that_they_are_put_into() -> None:
    written = {
        "../videos/a": "videos/a",
        "../../../etc/passwd": "etc/passwd",
        "x/../../a": "a",
        "./a//b": "a/b",
        "/": "video",
        "..": "video",
        "a\0b": "a\\x00b",
        "a\nb": "a\\nb",
        os.fsdecode(b"caf\xe9"): "caf\\xe9",
        "動画 1": "動画 1",  # readable as it is
    }
    assert {name: video_id(PurePosixPath(name)) for name in written} == written


@settings(deadline=None)
@given(st.binary(max_size=40), st.sampled_from([b"../", b"/", b"a/../../", b"..\\", b""]))
def test_whatever_a_list_says_ids_stay_below_and_can_be_written(
    tmp_path_factory: pytest.TempPathFactory, line: bytes, start: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.txt"
    file.write_bytes(start + line + b"\n" + line + b".mp4\n")
    try:
        found = list_videos([file], remarks=[])
    except VideoError:
        return
    for name, path in found.items():
        target = Path(os.path.normpath(Path("/out") / f"{name}.csv"))
        assert target.is_relative_to("/out") and target != Path("/out") and "\0" not in name
        assert name.encode() and name == name.strip("/")
        with pytest.raises(VideoError):
            probe(path)


def test_a_line_of_a_list_that_climbs_is_known_by_what_lies_below(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "l.txt").write_text("../videos/a.mp4\n..\n.\n/\n/data/b.mp4\nc\0d.mp4\n")
    found = list_videos([tmp_path / "lists" / "l.txt"], remarks=[])
    assert found["videos/a"] == tmp_path / "lists" / "../videos/a.mp4"
    assert found["b"] == Path("/data/b.mp4")
    assert set(found) == {"videos/a", "video", "lists", tmp_path.name, "b", "c\\x00d"}
    for name in found:
        with pytest.raises(VideoError):
            probe(found[name])


def test_lists_may_come_from_windows(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "l.txt").write_bytes("é.mp4\r\nb.mp4\r\n".encode(encoding))
        assert list(list_videos([tmp_path / "l.txt"])) == ["b", "é"]
    (tmp_path / "l.txt").write_bytes(b"caf\xe9.mp4\nb.mp4\n")
    assert list(list_videos([tmp_path / "l.txt"])) == ["b", "caf\\xe9"]


def test_linked_folders_are_followed_and_loops_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "disk2" / "deep").mkdir(parents=True)
    (tmp_path / "disk2" / "deep" / "v.mp4").touch()
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "more").symlink_to(tmp_path / "disk2")
    (tmp_path / "disk2" / "deep" / "back").symlink_to(tmp_path / "videos")
    assert list(list_videos([tmp_path / "videos"])) == ["more/deep/v"]
    assert "back: a link back to a folder above it" in capsys.readouterr().err
    assert list(list_videos([str(tmp_path / "videos" / "**" / "*.mp4")])) == ["more/deep/v"]


@pytest.fixture
def strange(tmp_path: Path) -> Iterator[Path]:
    """A folder with one video and much that looks like one."""
    write_video(tmp_path / "v.mkv", 3)
    (tmp_path / "gone.mp4").symlink_to("nowhere.mp4")
    (tmp_path / "self.mp4").symlink_to("self.mp4")
    (tmp_path / "device.mp4").symlink_to("/dev/null")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / os.fsdecode(b"caf\xe9.mp4")).touch()
    here = Path.cwd()
    os.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("socket.mp4")
        os.chdir(here)
        yield tmp_path


def test_what_is_no_file_is_listed_told_and_never_opened(strange: Path) -> None:
    found = list_videos([strange])
    assert set(found) == {"v", "gone", "self", "device", "pipe", "socket", "caf\\xe9"}
    said = {}
    for name, path in found.items():
        if name != "v":
            with pytest.raises(VideoError) as error:
                probe(path)  # a pipe that was opened would wait for ever
            said[name] = str(error.value)
            said[name].encode()  # can be printed
    assert "a broken link, to nowhere.mp4" in said["gone"]
    assert "a broken link, to self.mp4" in said["self"]
    assert "device.mp4: a device, not a file" in said["device"]
    assert "pipe.mp4: a pipe, not a file" in said["pipe"]
    assert "socket.mp4: a socket, not a file" in said["socket"]
    assert "caf\\xe9.mp4: this name is not UTF-8" in said["caf\\xe9"]


def test_strange_files_cost_themselves_and_the_others_go_on(
    strange: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    import flow.gradient

    out = tmp_path_factory.mktemp("out") / "g.h5"
    small = ["--size", "32", "--crop", "24"]
    assert flow.gradient.main(["--videos", str(strange), "--out", str(out), *small]) == 3
    said = capsys.readouterr()
    assert "1 done, 0 skipped, 6 failed" in said.out
    assert "caf\\xe9" in said.err and "caf\\\\xe9" in (out.with_suffix(".reports") / "flow.gradient.json").read_text()


def test_a_folder_that_cannot_be_looked_into_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "v.mp4").touch()
    (tmp_path / "lost+found").mkdir()
    look = os.scandir

    def refused(path: Path) -> object:
        if path.name == "lost+found":
            raise PermissionError(13, "Permission denied")
        return look(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert list(list_videos([tmp_path])) == ["v"]
    assert "lost+found: cannot be looked into (Permission denied)" in capsys.readouterr().err


def test_the_case_of_a_suffix_does_not_matter(tmp_path: Path) -> None:
    for name in ("a.MP4", "b.Mkv", "c.mOv"):
        (tmp_path / name).touch()
    assert list(list_videos([tmp_path])) == ["a", "b", "c"]


def test_the_same_file_twice_is_one_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "v.mp4").touch()
    monkeypatch.chdir(tmp_path)
    assert len(list_videos(["v.mp4", tmp_path / "v.mp4", f"../{tmp_path.name}/v.mp4"])) == 1


def test_a_name_that_looks_like_a_protocol_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "12:30.mkv", 3)
    for decoder in ("av", "opencv"):
        assert probe("12:30.mkv", decoder=decoder).num_frames == 3
