"""Names that mean the same and are not written the same are taken for each other, and it is said."""

import json

import pytest

from evaluate.files.names import VIDEO_KEYS, same_name, twins
from evaluate.run import main


@pytest.fixture
def judged(tmp_path, monkeypatch, capsys):
    """judged(videos of the truth, videos detected, label of the truth, label detected) -> (code, output, notes)."""
    monkeypatch.chdir(tmp_path)

    def judge(true, detected, label="LongJump", other="LongJump", more=()):
        rows = [{"label": label, "segment": [0, 1]}, {"label": "Dive", "segment": [2, 3]}]
        videos = {video: {"subset": "Test", "duration": 9, "annotations": rows} for video in true}
        (tmp_path / "a.json").write_text(json.dumps({"database": videos}))
        found = [
            {"label": name, "score": 0.9, "segment": row["segment"]}
            for name, row in zip((other, "Dive"), rows, strict=True)
        ]
        (tmp_path / "d.json").write_text(json.dumps({"results": {video: [*found, *more] for video in detected}}))
        code = main(["--detections", "d.json", "--annotations", "a.json"])
        said = capsys.readouterr()
        return code, said.out, said.err

    return judge


@pytest.mark.parametrize(
    ("true", "detected"),
    [
        ("v_abc", "abc"), ("abc", "v_abc"), ("abc", "abc.mp4"), ("abc.mp4", "abc"), ("abc", "test/abc"),
        ("abc", r"C:\videos\abc.avi"), ("Abc", "aBC"), ("v_Abc", "features/abc.npy"), ("abc", " abc "),
    ],
)  # fmt: skip
def test_videos_that_differ_by_prefix_ending_folder_or_case_are_the_same_and_it_is_said(true, detected, judged):
    code, out, err = judged([true, "other"], [detected, "other"])
    assert code == 0
    assert "mAP                  4  100.00" in out
    assert "note: 1 video of d.json taken for annotated ones, whose names differ only by prefix, ending, folder or "
    assert f"case: {detected!r} for {true!r}" in err


def test_videos_that_might_be_either_are_left_alone_and_said():
    assert same_name(["abc"], ["ABC", "Abc"], VIDEO_KEYS, alone=True) == {}
    assert same_name(["a/abc", "b/abc"], ["abc"], VIDEO_KEYS, alone=True) == {}
    assert same_name(["abC", "Abc"], ["v_abC", "v_Abc"], VIDEO_KEYS, alone=True) == {"abC": "v_abC", "Abc": "v_Abc"}


def test_a_name_that_is_already_detected_is_not_taken_twice(judged):
    code, _, err = judged(["abc"], ["abc", "v_abc"])
    assert code == 0
    assert "2 detections in 1 videos outside subset" in err and "taken for" not in err


def test_when_no_video_matches_one_of_each_is_named(judged):
    code, _, err = judged(["video_0001"], ["clip-0001"])
    assert code == 2
    assert "none of its videos is annotated" in err and "'clip-0001'" in err and "'video_0001'" in err


@pytest.mark.parametrize("other", ["Long Jump", "long jump", "LongJump ", "long_jump", "LONG-JUMP", "\u2003LongJump"])
def test_labels_that_differ_by_case_or_blanks_are_the_same_and_it_is_said(other, judged):
    code, out, err = judged(["v"], ["v"], other=other)
    assert code == 0
    assert "mAP                  2  100.00" in out
    assert "note: 1 label of d.json taken for annotated classes" in err and "'LongJump'" in err


def test_letters_written_as_one_or_as_two_are_the_same(judged):
    assert "100.00" in judged(["v"], ["v"], label="D\u00e9tente", other="De\u0301tente")[1]


def test_labels_that_are_others_are_ignored_and_said(judged):
    swim = {"label": "Swim", "score": 0.1, "segment": [0, 1]}
    code, _, err = judged(["v"], ["v"], more=[swim])
    assert code == 0
    assert "1 detections ignored: not a class of the annotations: Swim" in err


def test_classes_that_are_most_likely_one_are_said(judged):
    assert twins(("LongJump", "Dive", "long jump")) == [("LongJump", "long jump")]
    _, _, err = judged(["v"], ["v"], label="dive", other="dive")
    assert "note: truth: the classes 'Dive' and 'dive' differ only by case" in err
