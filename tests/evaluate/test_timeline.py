"""The timeline: what is laid out where, and that the picture shows it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import font_manager, get_data_path, image, rc_context
from matplotlib.figure import Figure

from evaluate.files.annotations import AnnotationError, Annotations, VideoTruth
from evaluate.files.detections import Detections, make_detections
from evaluate.metrics.scores import Score, judge
from evaluate.reporting.fonts import PLAIN, families_for
from evaluate.reporting.timeline_png import caption, draw_timeline
from evaluate.reporting.timeline_rows import (
    OTHER,
    PALETTE,
    choose_videos,
    colours_of,
    ink_on,
    legend_of,
    make_row,
    strips_of,
)


def world(**videos: list[tuple[str, float, float]]) -> Annotations:
    """Videos of 100 s with these (label, start, end)."""
    classes = tuple(sorted({row[0] for rows in videos.values() for row in rows}))
    return Annotations(
        classes,
        {
            name: VideoTruth(
                "Test",
                100.0,
                30.0,
                np.array([row[1:] for row in rows], float).reshape(-1, 2),
                np.array([classes.index(row[0]) for row in rows], np.int64),
            )
            for name, rows in videos.items()
        },
    )


def score(annotations: Annotations, detections: Detections) -> Score:
    return judge(annotations, detections, subset="Test", tiou="0.5")


@pytest.fixture
def judged() -> Score:
    truth = world(a=[("jump", 0, 20), ("run", 40, 60)], b=[("jump", 10, 30)])
    run = [("a", "jump", 0, 20, 0.9), ("a", "run", 40, 60, 0.5), ("b", "jump", 10, 30, 0.7), ("b", "run", 70, 90, 0.2)]
    return score(truth, make_detections(run))


def test_a_run_is_cut_at_the_score_of_its_best_f1(judged: Score):
    strips = strips_of({"ours": judged}, ["a", "b"])
    assert [bar.score for bar in strips[0].rows[1].bars] == [0.9, 0.5]
    assert [bar.score for bar in strips[1].rows[1].bars] == [0.7]  # the false one, at 0.2, is below
    assert strips[1].rows[1].least == 0.5
    assert "ours from score 0.5" in caption(strips)


def test_strength_runs_from_the_threshold_to_the_best_score_of_the_run(judged: Score):
    first, second = strips_of({"ours": judged}, ["a", "b"])
    assert [bar.strength for bar in first.rows[1].bars] == [1.0, 0.0]
    assert first.rows[0].bars[0].strength == 1.0  # truth is drawn full
    assert second.rows[1].bars[0].strength == pytest.approx(0.5)


def test_each_detection_tells_what_it_turned_out_to_be():
    truth = world(a=[("jump", 0, 20), ("run", 40, 60)])
    run = make_detections([("a", "jump", 0, 20, 0.9), ("a", "jump", 40, 60, 0.9), ("a", "run", 52, 72, 0.9)])
    (strip,) = strips_of({"ours": score(truth, run)}, ["a"])
    assert [bar.remark for bar in strip.rows[1].bars] == ["true positive", "wrong label", "localisation"]


def test_overlapping_bars_take_different_lanes_and_neighbours_share_one():
    row = make_row("r", [(0, 10), (5, 15), (10, 20), (8, 9)], ["x"] * 4, [0.9, 0.8, 0.7, 0.6])
    lanes = {(bar.start_s, bar.end_s): bar.lane for bar in row.bars}
    assert lanes == {(0, 10): 0, (10, 20): 0, (5, 15): 1, (8, 9): 2}
    assert row.num_lanes == 3 and row.height > 1


def test_a_run_that_finds_nothing_still_shows_its_best_guesses():
    truth = world(a=[("jump", 0, 20)])
    run = make_detections([("a", "jump", 50, 60, 0.9), ("a", "jump", 70, 80, 0.8)])
    (strip,) = strips_of({"lost": score(truth, run)}, ["a"])
    assert [bar.score for bar in strip.rows[1].bars] == [0.9]  # as many as there are truths


def test_videos_with_several_classes_and_few_actions_are_chosen_first():
    truth = world(
        crowded=[("jump", i, i + 0.5) for i in range(40)] + [("run", 50, 60)],
        rich=[("jump", 0, 5), ("run", 10, 20)],
        plain=[("jump", 0, 5)],
        empty=[],
    )
    assert choose_videos(truth, 2) == ["rich", "plain"]


def test_classes_beyond_the_palette_share_one_grey_and_one_legend_entry():
    labels = [f"class {i:02}" for i in range(12)]
    (strip,) = strips_of(
        {
            "r": score(
                world(a=[(label, 5 * i, 5 * i + 4) for i, label in enumerate(labels)]),
                make_detections([("a", "class 00", 0, 4, 1)]),
            )
        },
        ["a"],
    )
    colours = colours_of([strip])
    assert len(set(PALETTE)) == len(PALETTE) == 9
    assert [colours[label] for label in labels] == [*PALETTE, OTHER, OTHER, OTHER]
    assert legend_of(colours)[-1] == ("3 other classes", OTHER)


def test_ink_reads_on_every_colour_of_the_palette():
    for colour in (*PALETTE, OTHER):
        tone = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in tone]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        contrast = 1.05 / (luminance + 0.05) if ink_on(colour) == "#FFFFFF" else (luminance + 0.05) / 0.06
        assert contrast > 3, colour  # WCAG's bar for large text and graphics


def test_an_unknown_video_is_told(judged: Score):
    with pytest.raises(AnnotationError, match="no video 'z' in this subset; its first is 'a'"):
        strips_of({"ours": judged}, ["z"])


def test_an_unknown_duration_ends_with_the_last_bar(judged: Score):
    videos = {name: replace(video, duration_s=float("nan")) for name, video in judged.annotations.videos.items()}
    strips = strips_of({"ours": replace(judged, annotations=replace(judged.annotations, videos=videos))}, ["a"])
    assert strips[0].duration_s == 60


def test_the_picture_shows_the_truth_where_it_is_and_nothing_where_nothing_is(judged: Score, tmp_path: Path):
    """Along the truth row of video a, the share of blue (jump, 0-20 s) and orange (run, 40-60 s) is a fifth each."""
    path = tmp_path / "pictures" / "timeline.png"
    draw_timeline(strips_of({"ours": judged}, ["a"]), path)
    pixels = (image.imread(path)[..., :3] * 255).round().astype(int)  # (H, W, 3)
    blue, orange = (np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in PALETTE[:2])
    is_blue, is_orange = ((np.abs(pixels - c).max(axis=2) <= 2) for c in (blue, orange))
    y = int(
        np.argmax((is_blue & np.roll(is_blue, 200, axis=1)).sum(axis=1))
    )  # a line through the wide bar, not the legend
    wide_blue, wide_orange = int(is_blue[y].sum()), int(is_orange[y].sum())
    assert wide_blue == pytest.approx(wide_orange, rel=0.25)  # the label is written over some of it
    axis = pixels.shape[1] - 100
    assert wide_blue == pytest.approx(0.2 * axis, rel=0.25)
    gap = np.flatnonzero(is_orange[y])[0] - np.flatnonzero(is_blue[y])[-1]
    assert gap == pytest.approx(wide_blue, rel=0.25)  # 20 to 40 s
    assert not list(path.parent.glob("*.part"))


def test_the_same_strips_make_the_same_bytes(judged: Score, tmp_path: Path):
    for name in ("one", "two"):
        draw_timeline(strips_of({"ours": judged}, ["a", "b"]), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_long_crowded_real_video_is_drawn(shared_data: Path, tmp_path: Path):
    from evaluate.files.annotations import read_annotations
    from evaluate.files.detections import read_detections

    truth = read_annotations(shared_data / "thumos14.json", repair="keep")
    run = judge(truth, read_detections(shared_data / "eval_cases/r1_scnn_c3d/predictions.json"), subset="Test")
    strips = strips_of({"S-CNN": run}, ["video_test_0000793", *choose_videos(run.annotations, 1)])
    assert len(strips[0].rows[0].bars) == 73
    draw_timeline(strips, tmp_path / "real.png")
    assert (tmp_path / "real.png").stat().st_size > 20_000


def test_a_font_that_has_the_letters_is_looked_for(monkeypatch):
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*font_manager.fontManager.ttflist])
    comes_with_matplotlib = Path(get_data_path()) / "fonts/ttf/STIXGeneral.ttf"
    font_manager.fontManager.addfont(comes_with_matplotlib)  # whatever the list in the user's cache says
    letters = {
        name: set(font_manager.get_font(font_manager.findfont(name)).get_charmap()) for name in (PLAIN, "STIXGeneral")
    }
    rare = chr(min(letters["STIXGeneral"] - letters[PLAIN]))
    families, note = families_for(["Dive", rare])
    assert note is None
    assert families[0] == PLAIN and len(families) == 2
    with rc_context({"font.family": families}):  # warnings are errors: a letter that no font has would be one
        figure = Figure()
        figure.text(0, 0, f"Dive {rare}")
        figure.canvas.draw()


def test_letters_that_no_font_has_are_said_once_and_the_picture_is_drawn(tmp_path, monkeypatch):
    own = [entry for entry in font_manager.fontManager.ttflist if entry.name.startswith(("DejaVu", "Last Resort"))]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    truth = world(video=[("反手击球", 0, 20), ("挥手", 40, 90)])
    run = score(truth, make_detections([("video", "反手击球", 0, 20, 0.9)]))
    notes = draw_timeline(strips_of({"ours": run}, ["video"]), tmp_path / "t.png")
    assert len(notes) == 1
    assert notes[0].startswith("no font on this machine has 5 of the characters to draw (")
    assert "CJK" in notes[0] and "Noto Sans" in notes[0]
    assert image.imread(tmp_path / "t.png").std() > 0


def test_names_with_dollars_are_drawn_as_they_are(tmp_path):
    truth = world(video=[("$5 for {a}^_$", 0, 60)])
    run = score(truth, make_detections([("video", "$5 for {a}^_$", 0, 20, 0.9)]))
    assert draw_timeline(strips_of({"$x_{$": run}, ["video"]), tmp_path / "t.png") == []
