"""Annotations of other programs and of spreadsheets, each by a small file written by hand."""

import json
from pathlib import Path

import pytest

from evaluate.importing.any_file import files_of, read_any
from evaluate.importing.intervals import Imported, ImportingError
from evaluate.importing.times import NoTime, parse_time

KNOWN = ("v1", "v2")


def read(path: Path, text: str | bytes, *, fps: float | None = None, label: str | None = None) -> Imported:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_any(path, fps=fps, known=KNOWN, label=label)


def told(out: Imported) -> list[tuple[str, float, float, str]]:
    return [(one.video, one.start, one.end, one.label) for one in out.intervals]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12.5", 12.5), ("12,5", 12.5), ("1:23", 83.0), ("1:23.5", 83.5), ("01:02:03,25", 3723.25), ("83 s", 83.0),
        ("1.2E+01", 12.0), ("12:01:23 AM", 83.0), ("'5", 5.0), ("1,234.5", 1234.5), ("75:00", 4500.0),
    ],
)  # fmt: skip
def test_a_time_is_read_as_people_write_it(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "#REF!", "1:75", "soon", "nan", "3:15:00 PM", "00:01:02:12", "1,2,3"])
def test_what_is_no_time_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(NoTime):
        parse_time(text)


@pytest.mark.parametrize(
    "text",
    [
        "video,start,end,label\nv1,1.5,2.5,run\n",
        "label;stop;onset;clip\nrun;2,5;1,5;v1\n",
        "\ufeffsep=;\nFilename;Begin (s);End (s);Behaviour\n\nv1;1,5;2,5;run;;\n;;;\n",
        "File\tt0\tt1\tClass\nv1\t1.5\t2.5\trun\n",
        "name|start_time|end_time|category\nv1|0:01.5|00:00:02.5|run\n",
        'video,start,end,label\n"v1","1,5","2,5","run"\n',
        "video,start_ms,end_ms,label\nv1,1500,2500,run\n",
        "video,start,duration,label\nv1,1.5,1,run\n",
        "# made by hand\nno,video,start,end,label\n1,v1,1.5,2.5,run\n",
        "v1,run,1.5,2.5\n",
        "2.5;v1.mp4;1.5;run\n",
    ],
)
def test_tables_of_any_delimiter_order_and_names_say_the_same(tmp_path: Path, text: str) -> None:
    out = read(tmp_path / "a.csv", text)
    assert out.flaws == []
    assert [(video.removesuffix(".mp4"), *rest) for video, *rest in told(out)] == [("v1", 1.5, 2.5, "run")]


def test_excels_unicode_text_and_windows_encoding_are_read(tmp_path: Path) -> None:
    text = "video\tstart\tend\tlabel\r\nv1\t1\t2\tFüße\r\n"
    assert told(read(tmp_path / "a.txt", text.encode("utf-16")))[0][3] == "Füße"
    out = read(tmp_path / "b.txt", text.encode("cp1252"))
    assert told(out)[0][3] == "Füße"
    assert "Windows-1252" in out.remarks[0]


def test_frames_are_known_by_the_column_or_by_fps_and_colons_stay_seconds(tmp_path: Path) -> None:
    out = read(tmp_path / "a.csv", "video,start_frame,end_frame,label\nv1,30,60,run\n")
    assert out.intervals[0].unit == "frames"
    out = read(tmp_path / "a.csv", "video,start,end,label\nv1,30,60,run\nv1,0:01,0:02,run\n", fps=30.0)
    assert [one.unit for one in out.intervals] == ["frames", "s"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("v1,1,2,", "no label"), (",1,2,run", "no video"), ("v1,,2,run", "start: empty"), ("v1,1,#REF!,run", "#REF!"),
        ("v1,1,2,run,9,9", "6 cells"), ("v1,one,2,run", "no time"),
    ],
)  # fmt: skip
def test_a_flawed_line_is_told_with_its_number_and_costs_itself_alone(tmp_path: Path, line: str, what: str) -> None:
    out = read(tmp_path / "a.csv", f"video,start,end,label\nv1,1,2,run\n{line}\nv2,1,2,run\n")
    assert [one.video for one in out.intervals] == ["v1", "v2"]
    assert out.flaws[0].place == "line 3"
    assert what in str(out.flaws[0])


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "expected a line video,start,end,label"),
        ("video,start,finish line,label\nv1,1,2,run\n", "no column for end; .*Rename"),
        ("video,start,end,what\nv1,1,2,run\n", "--label NAME"),
        ("video,start,start,end,label\nv1,1,1,2,run\n", "two columns are called 'start'"),
        ("x,1,2,run\n", "Write a first line such as video,start,end,label"),
        ("v1,1,2,3,run\n", "not unmistakable"),
        ('video,start,end,label\n"v1,1,2,run\n', "quote"),
    ],
)
def test_a_table_that_cannot_be_understood_is_refused_with_the_way_on(tmp_path: Path, text: str, remedy: str) -> None:
    with pytest.raises(ImportingError, match=remedy):
        read(tmp_path / "a.csv", text)


def test_a_workbook_is_to_be_saved_as_csv(tmp_path: Path) -> None:
    with pytest.raises(ImportingError, match="CSV UTF-8"):
        read(tmp_path / "a.csv", b"PK\x03\x04....")
    with pytest.raises(ImportingError, match="CSV UTF-8"):
        read(tmp_path / "a.xlsx", b"PK\x03\x04....")


ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT VERSION="3.0"><HEADER TIME_UNITS="milliseconds">
<MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/my%20data/v1.mp4" MIME_TYPE="video/mp4"/></HEADER>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1500"/><TIME_SLOT TIME_SLOT_ID="ts2"/>
<TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="3500"/></TIME_ORDER>
<TIER TIER_ID="action" LINGUISTIC_TYPE_REF="default">
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>run</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
<ANNOTATION_VALUE></ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="how" PARENT_REF="action" LINGUISTIC_TYPE_REF="default">
<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a3" ANNOTATION_REF="a1">
<ANNOTATION_VALUE>fast</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER>
</ANNOTATION_DOCUMENT>"""


def test_elan_gives_labels_of_tiers_and_the_video_that_was_annotated(tmp_path: Path) -> None:
    out = read(tmp_path / "a.eaf", ELAN)
    assert told(out) == [("/C:/my data/v1.mp4", 1.5, 2.5, "run")]  # a slot without time halves the stretch
    assert "no label at 2.5 s" in str(out.flaws[0])
    assert told(read(tmp_path / "a.eaf", ELAN, label="how"))[0][1:] == (1.5, 2.5, "fast")
    with pytest.raises(ImportingError, match="no tier 'x'; there are 'action', 'how'"):
        read(tmp_path / "a.eaf", ELAN, label="x")


def test_xml_that_declares_entities_is_not_read(tmp_path: Path) -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><ANNOTATION_DOCUMENT>&b;</ANNOTATION_DOCUMENT>'
    for encoding in ("utf-8", "utf-16"):
        with pytest.raises(ImportingError, match="document type"):
            read(tmp_path / "a.eaf", bomb.encode(encoding))
    with pytest.raises(ImportingError, match="not readable XML"):
        read(tmp_path / "a.eaf", ELAN[:-9])


def test_boris_aggregated_events(tmp_path: Path) -> None:
    text = (
        "Observation id,Media file name,FPS (frame/s),Subject,Behavior,Behavior type,Start (s),Stop (s),Duration (s)\n"
        "obs1,/data/v1.mp4,25,hen,peck,STATE,1.5,2.5,1.0\nobs1,/data/v1.mp4,25,hen,call,POINT,3,3,NA\n"
    )
    out = read(tmp_path / "a.csv", text)
    assert told(out) == [("/data/v1.mp4", 1.5, 2.5, "peck")]
    assert "1 point events" in out.remarks[0]


def test_boris_tabular_events_pair_start_and_stop_of_each_subject(tmp_path: Path) -> None:
    text = (
        "Observation id;obs1\nMedia file(s);#1;/data/v1.mp4\n\n"
        "Time;Media file path;Subject;Behavior;Status\n"
        "1,5;/data/v1.mp4;hen;peck;START\n2;/data/v1.mp4;cock;peck;START\n2,5;/data/v1.mp4;hen;peck;STOP\n"
        "3;/data/v1.mp4;cock;peck;STOP\n4;/data/v1.mp4;hen;walk;START\n5;/data/v1.mp4;hen;call;POINT\n"
    )
    out = read(tmp_path / "a.csv", text)
    assert [one[1:] for one in told(out)] == [(1.5, 2.5, "peck"), (2.0, 3.0, "peck")]
    assert "START of 'walk' without its STOP" in str(out.flaws[0])
    assert out.flaws[0].place == "line 9"


VIA = {
    "project": {}, "config": {}, "view": {"7": {"fid_list": ["1"]}},
    "attribute": {"1": {"aname": "action", "type": 4, "options": {"0": "run", "1": "jump"}}},
    "file": {"1": {"fid": "1", "fname": "v1.mp4"}, "2": {"fid": "2", "fname": "v2.mp4"}},
    "metadata": {
        "7_a": {"vid": "7", "z": [1.5, 2.5], "xy": [], "av": {"1": "0"}},
        "7_b": {"vid": "7", "z": [3, 4], "xy": [], "av": {}},
        "7_c": {"vid": "7", "z": [3], "xy": [2, 1, 1, 5, 5], "av": {}},
    },
}  # fmt: skip


def test_via_projects_and_their_csv(tmp_path: Path) -> None:
    out = read(tmp_path / "a.json", json.dumps(VIA))
    assert told(out) == [("v1.mp4", 1.5, 2.5, "run")]
    assert list(out.videos) == ["v1.mp4", "v2.mp4"]
    assert "no label" in str(out.flaws[0])
    text = (
        "# Exported using VGG Image Annotator\n# ATTRIBUTE = " + json.dumps(VIA["attribute"]) + "\n"
        "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata\n"
        '"7_a","[""v1.mp4""]","0","[1.5,2.5]","[]","{""1"":""1""}"\n'
    )
    assert told(read(tmp_path / "a.csv", text)) == [("v1.mp4", 1.5, 2.5, "jump")]


def test_cvat_tracks_are_actions_while_they_are_in_the_picture(tmp_path: Path) -> None:
    text = (
        '<annotations><version>1.1</version><meta><task><id>3</id><start_frame>10</start_frame>'
        '<frame_filter>step=2</frame_filter><source>v1.mp4</source></task></meta>'
        '<track id="0" label="run"><box frame="5" outside="0"/><box frame="8" outside="0"/>'
        '<box frame="9" outside="1"/></track></annotations>'
    )  # fmt: skip
    out = read(tmp_path / "a.xml", text)
    assert told(out) == [("v1.mp4", 20, 28, "run")]
    assert out.intervals[0].unit == "frames"


def test_cvat_attributes_change_within_a_track(tmp_path: Path) -> None:
    boxes = "".join(
        f'<box frame="{i}" outside="0"><attribute name="action">{value}</attribute></box>'
        for i, value in enumerate(["none", "run", "run", "jump"])
    )
    meta = "<meta><task><source>v1.mp4</source></task></meta>"
    text = f'<annotations>{meta}<track id="0" label="person">{boxes}</track></annotations>'
    out = read(tmp_path / "a.xml", text)
    assert [one[1:] for one in told(out)] == [(1, 3, "run"), (3, 4, "jump")]
    with pytest.raises(ImportingError, match="no attribute 'mood'; there are action"):
        read(tmp_path / "a.xml", text, label="mood")


def test_label_studios_timelines_count_frames_from_one(tmp_path: Path) -> None:
    timeline = {"type": "timelinelabels", "value": {"ranges": [{"start": 31, "end": 60}], "timelinelabels": ["run"]}}
    sound = {"type": "labels", "value": {"start": 1.5, "end": 2.5, "labels": ["shout"]}}
    task = {
        "id": 1, "data": {"video": "/data/upload/1/0a1b2c3d-v1.mp4"},
        "annotations": [{"was_cancelled": True, "result": []}, {"result": [timeline, sound, {"type": "rating"}]}],
    }  # fmt: skip
    out = read(tmp_path / "a.json", json.dumps([task]))
    assert told(out) == [("v1.mp4", 30, 60, "run"), ("v1.mp4", 1.5, 2.5, "shout")]
    assert [one.unit for one in out.intervals] == ["frames", "s"]
    short = [{"video": "/data/local-files/?d=set/v1.mp4", "tricks": [timeline["value"]]}]
    assert told(read(tmp_path / "b.json", json.dumps(short))) == [("set/v1.mp4", 30, 60, "run")]


def test_what_the_other_commands_read_is_read_here_too(tmp_path: Path) -> None:
    row = {"subset": "Test", "duration": 5.0, "annotations": [{"label": "run", "segment": [1.5, 2.5]}]}
    out = read(tmp_path / "a.json", json.dumps({"database": {"v1": row}}))
    assert told(out) == [("v1", 1.5, 2.5, "run")]
    assert out.subsets == {"v1": "Test"}
    folder = tmp_path / "thumos"
    folder.mkdir()
    (folder / "Run_test.txt").write_text("v1 1.5 2.5\n")
    assert files_of(folder) == [folder]
    assert told(read_any(folder, fps=None, known=KNOWN, label=None)) == [("v1", 1.5, 2.5, "Run")]
