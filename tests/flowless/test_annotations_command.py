"""From a table and a folder of videos to annotations: names, times, subsets, and flaws told line by line."""

import csv
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from small_videos import write_video

from evaluate.files.annotations import read_annotations
from flowless.annotations import main
from flowless.splitting import SplitError, parse_shares, split, torn_apart


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for name, seconds in (("a/one", 2.0), ("a/two", 2.0), ("b/three", 3.0)):
        write_video(tmp_path / "videos" / f"{name}.mp4", seconds)
    return tmp_path / "videos"


def run(videos: Path, table: str, *options: str) -> tuple[int, dict]:
    source, out = videos.parent / "in.csv", videos.parent / "out.json"
    source.write_text(table)
    code = main([str(source), "--videos", str(videos), "--out", str(out), *options])
    return code, json.loads(out.read_text())["database"] if out.exists() else {}


def test_a_table_of_four_columns_becomes_annotations_that_train_reads(videos: Path) -> None:
    code, found = run(videos, "video,start,end,label\none.mp4,0.5,1.5,run\nTHREE,0:01,0:03,run\n")
    assert code == 0
    assert found["a/one"] == {
        "subset": "Training", "duration": 2.0, "fps": 10.0, "annotations": [{"label": "run", "segment": [0.5, 1.5]}],
    }  # fmt: skip
    assert found["b/three"]["annotations"][0]["segment"] == [1.0, 3.0]
    assert found["a/two"]["annotations"] == []
    assert read_annotations(videos.parent / "out.json").num_segments == 2


def test_a_video_of_another_number_is_no_misspelling_of_one_that_has_lines(
    videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_video(videos / "fall-30.mp4", 2.0)
    assert run(videos, "video,start,end,label\nfall-30,0,1,run\nfall-08,0,1,run\n")[0] == 3
    told = capsys.readouterr().err
    assert "no video 'fall-08'" in told
    assert "Add the video, or remove the line" in told


def test_frames_become_seconds_by_the_rate_given_or_the_videos_own(videos: Path) -> None:
    assert run(videos, "video,start_frame,end_frame,label\none,5,15,run\n")[1]["a/one"]["annotations"][0][
        "segment"
    ] == [
        0.5,
        1.5,
    ]
    _, found = run(videos, "video,start,end,label\none,5,15,run\n", "--fps", "20")
    assert found["a/one"]["annotations"][0]["segment"] == [0.25, 0.75]


@pytest.mark.parametrize(
    ("row", "what", "remedy"),
    [
        ("one,1.5,0.5,run", "ends before it starts", "Swap"),
        ("one,1,1,run", "is empty", "end of the action"),
        ("one,0.5,1.5,run", "repeats another line", "Remove one"),
        ("one,8,19,run", "lies after the end", "--fps 10"),
        ("one,1,19,run", "ends after its video, 2 s", "cut to the video"),
        ("one,500,1500,run", "lies after the end", "start_ms and end_ms"),
        ("one,-3,1,run", "begins before", "Correct"),
        ("onne,0,1,run", "no video 'onne'", "Is it 'a/one'"),
        ("zebra,0,1,run", "no video 'zebra'", "Add the video"),
    ],
)
def test_a_flaw_is_told_with_its_line_and_remedy_and_the_rest_is_written(
    videos: Path, row: str, what: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = run(videos, f"video,start,end,label\none,0.5,1.5,run\n{row}\n")
    told = capsys.readouterr().err
    assert code == 3
    assert "in.csv: line 3: " in told and what in told and remedy in told
    assert found["a/one"]["annotations"][0] == {"label": "run", "segment": [0.5, 1.5]}


def test_a_video_that_cannot_be_read_costs_itself(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (videos / "a" / "two.mp4").write_bytes(b"no video")
    code, found = run(videos, "video,start,end,label\none,0.5,1.5,run\ntwo,0,1,run\n")
    assert code == 3
    assert set(found) == {"a/one", "b/three"}
    assert "two.mp4: this is not a video" in capsys.readouterr().err


def test_without_one_usable_action_nothing_is_written(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = run(videos, "video,start,end,label\nx,0.5,1.5,run\n")
    assert (code, found) == (2, {})
    assert "no video 'x'" in capsys.readouterr().err


def test_the_input_is_never_written_over(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = videos.parent / "in.csv"
    source.write_text("video,start,end,label\none,0.5,1.5,run\n")
    assert main([str(source), "--videos", str(videos), "--out", str(source)]) == 2
    assert main([str(source), "--videos", str(videos), "--out", str(videos / "a" / "one.mp4")]) == 2
    assert source.read_text().startswith("video,start")
    assert "name another file" in capsys.readouterr().err


def test_groups_are_kept_together_by_column_folder_or_expression(videos: Path) -> None:
    table = "video,start,end,label,who\none,0.5,1.5,run,anna\ntwo,0,1,run,bob\nthree,0,1,run,anna\n"
    for by, together in (("who", ("a/one", "b/three")), ("folder", ("a/one", "a/two")), ("[ot]", ("a/two", "b/three"))):
        _, found = run(videos, table, "--split", ".5/.5", "--by", by)
        assert found[together[0]]["group"] == found[together[1]]["group"]
        assert found[together[0]]["subset"] == found[together[1]]["subset"]
        assert {row["subset"] for row in found.values()} == {"Training", "Test"}


def test_a_group_that_is_nothing_known_is_refused(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(videos, "video,start,end,label\none,0.5,1.5,run\n", "--by", "who")[0] == 2
    assert "no column of this name (there are video, start, end, label)" in capsys.readouterr().err


def test_subsets_of_a_column_are_kept_without_a_split(videos: Path) -> None:
    _, found = run(videos, "video,start,end,label,split\none,0,1,run,Test\ntwo,0,1,run,Training\n")
    assert (found["a/one"]["subset"], found["a/two"]["subset"]) == ("Test", "Training")


def test_every_class_is_shared_out_alike_and_groups_stay_whole() -> None:
    classes = {f"v{i:03d}": ["rare"] * (i % 10 == 0) + ["common"] * 3 for i in range(100)}
    groups = {video: f"g{int(video[1:]) // 2}" for video in classes}
    found = split(classes, groups, (0.7, 0.1, 0.2), seed=0)
    rare = Counter(found[video] for video in classes if "rare" in classes[video])
    assert rare == {"Training": 7, "Validation": 1, "Test": 2}
    assert 66 <= Counter(found.values())["Training"] <= 74
    assert all(len({found[v] for v in classes if groups[v] == group}) == 1 for group in groups.values())


def test_a_seed_gives_the_same_split_whatever_the_order_of_videos() -> None:
    classes = {f"v{i}": ["a" if i % 2 else "b"] for i in range(20)}
    groups = {video: video for video in classes}
    backwards = dict(reversed(classes.items()))
    first = split(classes, groups, (0.8, 0.2), seed=3)
    assert first == split(backwards, groups, (0.8, 0.2), seed=3)
    assert first != split(classes, groups, (0.8, 0.2), seed=4)


@pytest.mark.parametrize("text", [".7", ".7/.7", "a/b", ".7/.1/.1/.1", "-1/2"])
def test_shares_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(SplitError, match=r"such as \.7/\.1/\.2"):
        parse_shares(text)


def test_more_subsets_than_groups_are_refused() -> None:
    with pytest.raises(SplitError, match="1 groups cannot be split into 2"):
        split({"v1": ["a"], "v2": ["a"]}, {"v1": "g", "v2": "g"}, (0.5, 0.5), seed=0)


def test_cameras_of_one_event_in_two_subsets_are_found_by_their_names() -> None:
    subsets = {"fall-01-cam0": "Training", "fall-01-cam1": "Test", "adl-1-cam0": "Test", "camping3": "Training"}
    found = torn_apart(subsets)
    assert found is not None
    pattern, torn = found
    assert torn == [["fall-01-cam0", "fall-01-cam1"]]
    groups = {video: match[1] for video in subsets if (match := re.search(pattern, video))}
    assert groups == {
        "fall-01-cam0": "fall-01",
        "fall-01-cam1": "fall-01",
        "adl-1-cam0": "adl-1",
        "camping3": "camping3",
    }
    assert torn_apart({**subsets, "fall-01-cam1": "Training"}) is None
    assert torn_apart({"holiday_clip1": "Training", "holiday_clip2": "Test"}) is None  # one group cannot be split
    assert torn_apart({"a1": "Training", "a2": "Test", "cam0": "Training", "cam1": "Test"}) is None


def test_urfall_from_four_columns_is_what_its_annotations_say(shared_data: Path, tmp_path: Path) -> None:
    published = json.loads((shared_data / "urfall" / "annotations.json").read_text())["database"]
    table = tmp_path / "urfall.csv"
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["video", "start", "end", "label"])
        for video, row in published.items():
            rows.writerows([video, *one["segment"], one["label"]] for one in row["annotations"])
    out = tmp_path / "annotations.json"
    arguments = ["--split", ".7/.1/.2", "--by", r"(.*)-cam\d"]
    assert main([str(table), "--videos", str(shared_data / "urfall" / "video"), "--out", str(out), *arguments]) == 0
    found = json.loads(out.read_text())["database"]
    assert found.keys() == published.keys()
    for video, row in found.items():
        assert row["duration"] == pytest.approx(published[video]["duration"], abs=0.01)
        assert [one["label"] for one in row["annotations"]] == [one["label"] for one in published[video]["annotations"]]
        assert row["group"] == published[video]["group"]
    falls = Counter(row["subset"] for row in found.values() for one in row["annotations"] if one["label"] == "fall")
    assert falls == {"Training": 42, "Validation": 6, "Test": 12}
