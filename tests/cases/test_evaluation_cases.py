"""Cases of real users: class ids, encodings, formats that every command reads, names in any script."""

import re
import warnings


def average(said) -> float:
    """The average mAP in percent that evaluate.run printed."""
    return float(re.search(r"^mAP .*?([\d.]+)$", said.out, re.M).group(1))


def per_class(said) -> dict[str, float]:
    """Class -> mean AP in percent, as evaluate.run printed them."""
    rows = re.findall(r"^(\S+) +\d+ .*?([\d.]+)$", said.out, re.M)
    return {name: float(value) for name, value in rows if name != "mAP"}


def test_class_ids_mean_the_label_ids_of_the_annotations(run_case):
    jump_only, everything, gaps = run_case("04_class_ids_from_one")
    assert [said.code for said in (jump_only, everything, gaps)] == [0, 0, 0]
    assert per_class(jump_only) == {"jump": 100, "run": 0}  # run has no detections
    assert per_class(everything) == {"jump": 100, "run": 100}
    assert {name: value for name, value in per_class(gaps).items() if name != "b"} == {"a": 100, "c": 100}
    assert "label_id" in everything.err + jump_only.err + gaps.err


def test_marks_before_the_text_are_skipped_and_other_encodings_are_told(run_case):
    marked, _imported, listed, latin1, utf16 = run_case("13_bom_and_encodings")
    assert (marked.code, average(marked)) == (0, 100)
    assert listed.code == 0
    assert "no such file" not in listed.text
    for said, name in ((latin1, "latin1.csv"), (utf16, "utf16.txt")):
        assert said.code == 2
        assert said.err.startswith(f"DetectionError: {name}: not a text file in UTF-8")
    assert "UTF-16" in utf16.err


def test_every_command_reads_what_evaluate_run_reads(run_case):
    run, diagnosed, reported = run_case("16_diagnose_reads_json_only")
    assert [said.code for said in (run, diagnosed, reported)] == [0, 0, 0]
    assert "actionformer: average mAP" in diagnosed.out
    assert f"average mAP {average(run):.2f} %" in diagnosed.out
    assert re.search(r"^actionformer .* 100.00$", reported.out, re.M)


def test_names_in_other_scripts_are_drawn_or_one_note_says_that_the_font_lacks_them(run_case):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (said,) = run_case("26_timeline_with_other_scripts")
    assert said.code == 0
    assert said.err.count("Glyph") == 0
    notes = [line for line in said.err.splitlines() if "no font" in line]
    assert len(notes) <= 1
    assert said.out.count("100.00") >= 5
