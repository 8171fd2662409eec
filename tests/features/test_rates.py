"""What is said of steps per second that differ, and what passes for equal."""

from features.storage.rates import alike, note_of_a_video, note_of_many, usual_rate


def test_rates_within_a_tenth_pass_and_unknown_ones_do() -> None:
    assert alike(30, 29.97) and alike(24, 25) and not alike(25, 30) and not alike(15, 3.75)
    assert alike(0.0, 15) and alike(float("nan"), 15)
    assert usual_rate({"a": 3.75, "b": 3.75, "c": 15, "d": float("nan")}) == 3.75
    assert usual_rate({"a": float("nan")}) == 0


def test_a_note_names_both_rates_and_what_to_type() -> None:
    note = note_of_a_video("v.mp4", 15, made_for=3.75, stride=4)
    assert "made for 3.75 steps/s (15 fps), this video gives 15 (60 fps)" in note
    assert note.endswith("--fps 15, or ffmpeg -i IN -r 15 OUT")
    assert note_of_a_video("v.mp4", 3.75, made_for=3.75, stride=4) == ""
    assert note_of_a_video("v.mp4", 15, made_for=0.0, stride=4) == ""  # a detector that does not say
    pictures = note_of_a_video("v", 15, made_for=3.75, stride=4, of_pictures=True)  # --fps says how they were taken
    assert "--fps" not in pictures and "ffmpeg -framerate 60 -i img_%05d.jpg -r 15 OUT" in pictures


def test_a_set_of_several_rates_is_told_once() -> None:
    assert note_of_many({"a": 7.5, "b": 7.49}) == ""
    note = note_of_many({"a": 7.5, "b": 7.5, "c": 15.0})
    assert "the usual video has 7.5 steps/s, but 1 of 3 videos have other rates: c (15)" in note
    assert "the detector is made for 3.75 steps/s, but 2 of 2" in note_of_many({"a": 7.5, "b": 7.5}, made_for=3.75)
