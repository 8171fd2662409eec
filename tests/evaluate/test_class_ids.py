"""Numbers instead of class names: whose numbers they are, and what is said where that cannot be known."""

import json
import pickle

import pytest

from evaluate.files.class_ids import THUMOS_IDS, ClassIdError, ClassIds, ids_of, names_of_ids
from evaluate.files.published import THUMOS14_CLASSES
from evaluate.run import main

LABEL_IDS = ClassIds({"a": 0, "c": 2, "b": 3})
FROM_ONE = ClassIds({"jump": 1, "run": 2})


def names(labels, classes, ids=LABEL_IDS, counted=None, first=0):
    return names_of_ids(labels, classes, ids, counted, first)


def test_ids_are_the_annotations_label_ids_gaps_or_not():
    found, said = names(["2", "0", "3.0"], ("a", "c", "b"))
    assert found == ("c", "a", "b")
    assert said == []


def test_where_places_would_mean_something_else_it_is_said():
    found, said = names(["1"], ("jump", "run"), FROM_ONE)
    assert found == ("jump",)
    assert said == [
        "class ids are read as label_id of the annotations (1 is 'jump'); if they are something else, say so: "
        "--class-ids from-0"
    ]
    assert names(["1"], ("jump", "run"), FROM_ONE, counted="from-0")[0] == ("run",)


def test_ids_that_are_no_label_ids_are_refused_with_the_option_that_reads_them():
    with pytest.raises(
        ClassIdError, match=r"class id 0 is no label_id .*those are 1 is 'jump', 2 is 'run', 2 in all.*from-0"
    ):
        names(["0", "1"], ("jump", "run"), FROM_ONE)
    assert names(["0", "1"], ("jump", "run"), FROM_ONE, counted="from-0")[0] == ("jump", "run")
    with pytest.raises(ClassIdError, match=r"class id 9 is no label_id.*Write class names instead"):
        names(["9"], ("jump", "run"), FROM_ONE)


def test_without_label_ids_places_count_from_0_and_in_text_from_1_and_it_is_said():
    assert names(["1"], ("jump", "run"), ClassIds())[0] == ("run",)
    assert "counted from 0 (1 is 'run')" in names(["1"], ("jump", "run"), ClassIds())[1][0]
    assert names(["1"], ("jump", "run"), ClassIds(), first=1)[0] == ("jump",)
    with pytest.raises(ClassIdError, match=r"class id 2 is outside 0 to 1, .*counted from 1: .* --class-ids from-1"):
        names(["1", "2"], ("jump", "run"), ClassIds())


def test_text_files_count_from_1_where_label_ids_are_no_more_than_places_unless_there_is_a_0():
    places = ClassIds({"jump": 0, "run": 1})
    assert names(["1", "2"], ("jump", "run"), places, first=1)[0] == ("jump", "run")
    found, said = names(["1"], ("jump", "run"), places, first=1)
    assert found == ("jump",) and "--class-ids label_id" in said[0]
    assert names(["0", "1"], ("jump", "run"), places, first=1)[0] == ("jump", "run")
    assert names(["2", "3"], ("a", "c", "b"), LABEL_IDS, first=1)[0] == ("c", "b")


def test_numbers_of_the_thumos_kits_are_known_also_for_some_of_its_classes():
    assert names(["7", "97"], THUMOS14_CLASSES, ClassIds(), first=1)[0] == ("BaseballPitch", "VolleyballSpiking")
    some = ("Diving", "LongJump")
    numbers = [str(THUMOS_IDS[THUMOS14_CLASSES.index(name)]) for name in some]
    assert names(numbers, some, ClassIds(), first=1)[0] == some


def test_annotations_that_contradict_themselves_about_ids_are_told_when_ids_are_needed():
    two = ids_of([("jump", 1), ("run", 2), ("jump", 3)])
    shared = ids_of([("jump", 1), ("run", 1)])
    assert names(["jump"], ("jump", "run"), two)[0] == ("jump",)
    for ids, said in ((two, "give 'jump' label_id 1 and 3"), (shared, "give label_id 1 to 'jump' and 'run'")):
        with pytest.raises(ClassIdError, match=said):
            names(["1"], ("jump", "run"), ids)
        assert names(["1"], ("jump", "run"), ids, counted="from-1")[0] == ("jump",)


def test_a_label_without_an_id_does_not_spoil_the_others():
    assert ids_of([("a", 4), ("a", None), ("b", None)]).numbers == {"a": 4}


def test_classes_that_are_called_by_numbers_keep_their_names():
    assert names(["1", "2"], ("1", "2"), ClassIds({"1": 0, "2": 1})) == (("1", "2"), [])
    assert names(["²", "9" * 99], ("a",), ClassIds()) == (("²", "9" * 99), [])


def test_ids_of_a_class_list_are_what_detections_mean(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [{"label": "jump", "segment": [0, 1]}, {"label": "run", "segment": [2, 3]}]
    video = {"subset": "Test", "duration": 9, "annotations": rows}
    (tmp_path / "a.json").write_text(json.dumps({"database": {"v": video}}))
    (tmp_path / "classes.json").write_text('{"run": 5, "jump": 8}')
    columns = {"video-id": ["v", "v"], "t-start": [0, 2], "t-end": [1, 3], "label": [8, 5], "score": [0.9, 0.8]}
    (tmp_path / "d.pkl").write_bytes(pickle.dumps(columns))
    assert main(["--detections", "d.pkl", "--annotations", "a.json", "--classes", "classes.json"]) == 0
    assert "100.00" in capsys.readouterr().out
    assert main(["--detections", "d.pkl", "--annotations", "a.json"]) == 2
    assert "d.pkl: class id 5 is outside 0 to 1" in capsys.readouterr().err
    (tmp_path / "classes.json").write_text('{"run": 5, "jump": 5}')
    assert main(["--detections", "d.pkl", "--annotations", "a.json", "--classes", "classes.json"]) == 2
    assert "share the id 5" in capsys.readouterr().err
