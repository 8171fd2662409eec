"""Tables of detections as people and spreadsheets write them."""

import pytest

from evaluate.files.detections import DetectionError
from evaluate.files.formats import read_any_detections

ROWS = [("v1", "Long Jump", 0.5, 1.5, 0.9), ("v2", "Dive", 3.0, 4.25, 0.8)]
COMMA = "video-id,t-start,t-end,label,score\nv1,0.5,1.5,Long Jump,0.9\nv2,3.0,4.25,Dive,0.8\n"
SEMICOLON = "video;start;end;class;score\nv1;0,5;1,5;Long Jump;0,9\nv2;3;4,25;Dive;8e-1\n"


def read(tmp_path, content: str | bytes, name="d.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = read_any_detections(path, ("Long Jump", "Dive"))
    return [
        (found.videos[v], found.labels[label], *segment, score)
        for v, label, segment, score in zip(
            found.video, found.label, found.segments.tolist(), found.scores.tolist(), strict=True
        )
    ]


@pytest.mark.parametrize(
    "content",
    [
        COMMA,
        SEMICOLON,
        COMMA.replace(",", "\t"),
        COMMA.replace(",", "|"),
        COMMA.replace(",", ", "),
        COMMA.replace("\n", "\r\n"),
        COMMA.replace("\n", "\r"),
        COMMA.replace("\n", "\n\n  \n,,,,\n"),
        COMMA.replace("\n", "  \n") + "\n\n",
        COMMA.replace("\n", ",\n"),
        COMMA.rstrip("\n"),
        "\ufeff" + COMMA,
        "sep=;\n" + SEMICOLON,
        COMMA.replace("v1", '"v1.mp4"').replace("Long Jump", '"Long Jump"'),
        "score,label,t-end,t-start,video-id\n0.9,Long Jump,1.5,0.5,v1\n0.8,Dive,4.25,3.0,v2",
        COMMA.replace("video-id,t-start,t-end", "Video Name,Start (s),END_TIME"),
        COMMA.replace("video-id,t-start,t-end,label,score", '"Video ID","xmin","xmax","Action","Confidence"'),
        COMMA.replace("video-id", ",video-id").replace("\nv", "\n0,v"),
        COMMA.replace("0.5,1.5", '"0,5","1,5"').replace("0.9", '"0,9"').replace("3.0,4.25", '3,"4,25"').replace(
            "0.8", '"0,8"'),
    ],
)  # fmt: skip
def test_a_table_says_the_same_however_it_is_written(content, tmp_path):
    assert read(tmp_path, content) == ROWS
    assert read(tmp_path, content, "D.CSV") == ROWS


def test_a_table_under_another_ending_is_known_by_its_first_line(tmp_path):
    assert read(tmp_path, COMMA.replace(",", "\t"), "d.tsv") == ROWS
    assert read(tmp_path, SEMICOLON, "d.txt") == ROWS


def test_text_with_decimal_commas_blank_lines_and_marks(tmp_path):
    text = "\ufeffv1 0,5 1,5 1 0,9\r\n\r\n  v2\t3 4,25 2 0,8  \r\n"
    assert read(tmp_path, text, "d.txt") == ROWS
    with pytest.raises(DetectionError, match=r"d.txt: line 3: expected 'video start end class score'"):
        read(tmp_path, "v1 0 1 1 0.9\n\nv1 0 1 Long Jump 0.9\n", "d.txt")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (COMMA.replace("0.5", "0,5"), r"line 2: 6 columns, expected 5 \(decimal commas need quotes, or a semicolon"),
        (COMMA.replace("0.5", '"0,5"'), "line 2: start, end and score must be numbers, found '0,5'"),
        (COMMA.replace(",0.8", ""), "line 3: 4 columns, expected 5"),
        (COMMA.replace("label", "score"), "no column 'label'; it has video-id, t-start"),
        (COMMA.replace("score", "score,Score").replace("0.9", "0.9,1").replace("0.8", "0.8,1"),
         "names column 'score' twice"),
        (COMMA.split("\n", 1)[1], "no column 'video-id'; it has v1"),
        (COMMA.replace("Long Jump", '"Long Jump'), "line 3: not a csv file .*quote"),
        (COMMA.replace("0.9", "90 %"), "line 2: start, end and score must be numbers, found .*'90 %'"),
        (COMMA.replace("Dive", ""), "line 3: no label"),
        ("", "empty; expected a line of column names"),
        (b"\xff\xfe" + COMMA.encode("utf-16-le"), r"not a text file in UTF-8 \(it looks like UTF-16, line 1\)"),
        (COMMA.replace("Dive", "Détente").encode("latin-1"), r"not a text file in UTF-8 \(byte 0xe9, line 3\)"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_told_is_refused_with_its_line(content, said, tmp_path):
    with pytest.raises(DetectionError, match=rf"d.csv: {said}"):
        read(tmp_path, content)
