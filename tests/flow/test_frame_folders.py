"""Folders of numbered pictures as videos: the same frames, times from --fps, and all the ways to be wrong."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures import texture

from flow.decode.video import VideoError, list_videos, probe, read_frames


def write_pictures(folder: Path, numbers: list[int], name: str = "img_{:05d}.png", size: int = 32) -> Path:
    """Pictures that show a texture moved by their number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        assert cv2.imwrite(str(folder / name.format(number)), texture(size, size + 16, number))
    return folder


def test_frames_are_the_pictures_in_order_of_their_numbers(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "v", [*range(8, 12)], name="{}.png")  # 10 comes after 9
    info = probe(folder, fps=20)
    assert (info.num_frames, info.fps, info.duration_s, info.width, info.height) == (4, 20, 0.2, 48, 32)
    frames = list(read_frames(folder, fps=20))
    assert [frame.time_s for frame in frames] == [0, 1 / 20, 2 / 20, 3 / 20]
    for frame, number in zip(frames, range(8, 12), strict=True):
        assert np.array_equal(frame.rgb[..., 0], texture(32, 48, number))
    (last,) = read_frames(folder, fps=20, start=3)
    assert last.index == 3 and np.array_equal(last.rgb, frames[3].rgb)


def test_channels_are_red_green_blue(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.full((8, 8, 3), (0, 0, 255), np.uint8))
    assert next(iter(read_frames(tmp_path, fps=1))).rgb[0, 0].tolist() == [255, 0, 0]


def test_folders_of_pictures_are_videos_only_with_a_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pictures(tmp_path / "in" / "a", [1, 2])
    write_pictures(tmp_path / "in" / "b" / "c", [0, 1], name="frame{:d}.jpg")
    (tmp_path / "in" / "film.mp4").touch()
    assert list(list_videos([tmp_path / "in" / "a"], fps=25)) == ["a"]
    assert list(list_videos([str(tmp_path / "in" / "*")], fps=25)) == ["a", "film"]
    capsys.readouterr()
    assert list(list_videos([tmp_path / "in"])) == ["film"]
    said = capsys.readouterr().err
    assert "give the folder" in said and f"ffmpeg -framerate 25 -i {tmp_path}/in/a/img_%05d.png -crf 10 a.mp4" in said


def test_thumbnails_beside_videos_are_no_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pictures(tmp_path, [1, 2], name="v_{}.png")
    (tmp_path / "v.mp4").touch()
    assert list(list_videos([tmp_path], fps=25)) == ["v"]
    assert "the numbered pictures beside its videos are left out" in capsys.readouterr().err


def test_flow_beside_the_frames_is_no_second_video(tmp_path: Path) -> None:
    write_pictures(tmp_path, [1, 2, 3])
    for prefix in ("flow_x_", "flow_y_", "x_", "y_"):
        write_pictures(tmp_path, [1, 2], name=prefix + "{:05d}.png")
    assert probe(tmp_path, fps=5).num_frames == 3


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([1, 2, 5, 6], "2 are missing: number 3, 4. "),
        ([1, 20230101], r"20230099 are missing: number 2, 3, 4, 5, 6 \.\.\."),  # and is not counted one by one
    ],
)
def test_missing_numbers_are_named(tmp_path: Path, numbers: list[int], said: str) -> None:
    with pytest.raises(VideoError, match=said):
        probe(write_pictures(tmp_path, numbers), fps=25)


def test_pictures_of_two_sizes_two_sequences_or_one_number_are_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path / "sizes", [1, 2])
    write_pictures(tmp_path / "sizes", [3], size=40)
    with pytest.raises(VideoError, match=r"img_00003\.png is 56x40 pixels, img_00001\.png is 48x32"):
        list(read_frames(tmp_path / "sizes", fps=25))
    write_pictures(tmp_path / "two", [1, 2])
    write_pictures(tmp_path / "two", [1, 2], name="other{}.png")
    with pytest.raises(VideoError, match=r"pictures of 2 sequences: img_\.\.\., other\.\.\."):
        probe(tmp_path / "two", fps=25)
    write_pictures(tmp_path / "same", [1, 2])
    write_pictures(tmp_path / "same", [2], name="img_{}.png")
    with pytest.raises(VideoError, match=r"img_00002\.png and img_2\.png have the same number"):
        probe(tmp_path / "same", fps=25)


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_pictures(tmp_path, [1, 2, 3])
    (tmp_path / "img_00002.png").write_bytes(b"")
    with pytest.raises(VideoError, match=r"img_00002\.png: this picture cannot be read \(0 bytes\)"):
        list(read_frames(tmp_path, fps=25))
    (tmp_path / "img_00002.png").unlink()
    (tmp_path / "img_00002.png").symlink_to("nowhere")
    with pytest.raises(VideoError, match=r"img_00002\.png: not a file that can be read"):
        probe(tmp_path, fps=25)


def test_the_hash_covers_all_pictures_names_and_bytes(tmp_path: Path) -> None:
    hashes = {probe(write_pictures(tmp_path / "v", [1, 2, 3]), fps=25).sha256}
    assert probe(write_pictures(tmp_path / "w", [1, 2, 3]), fps=25).sha256 in hashes  # wherever they lie
    (tmp_path / "v" / "img_00003.png").rename(tmp_path / "v" / "img_00000.png")
    hashes.add(probe(tmp_path / "v", fps=25).sha256)
    write_pictures(tmp_path / "w", [7], name="img_00002.png")
    hashes.add(probe(tmp_path / "w", fps=25).sha256)
    assert len(hashes) == 3


def test_a_picture_given_for_a_video_is_told_what_to_do(tmp_path: Path) -> None:
    path = write_pictures(tmp_path / "v", [1, 2]) / "img_00001.png"
    with pytest.raises(VideoError, match=r"is a picture, not a video\. It holds 2 numbered pictures"):
        list_videos([path])
    with pytest.raises(VideoError, match="is a picture, not a video"):
        probe(path)
    with pytest.raises(VideoError, match=r"a folder, not a video.*--fps"):
        probe(tmp_path / "v")
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(VideoError, match="expected frames per second"):
            probe(tmp_path / "v", fps=wrong)
