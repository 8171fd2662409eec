"""Untrimmed and trimmed videos: exact truth, pairs that only colour tells apart, and as much bias as was asked for."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from extract.world.motions import OTHER_MOTIONS, TURN, X, Y
from extract.world.photographs import WorldError
from extract.world.scene import SIDE, render
from extract.world.trimmed import CLIP_CLASSES, stage_clip
from extract.world.untrimmed import CLASSES, FPS, PROP_HUES, SCENE_HUES, Staging, Story, stage
from extract.world.worlds import PRESETS

SHORT = Staging(duration_s=(8.0, 8.0))
QUIET = Staging(stray=0.0, passers_by=0, second_class=0.0, pan=0.0, shake=0.0)


def stories(staging: Staging, count: int, seed: int = 0) -> list[Story]:
    return [stage(np.random.default_rng([seed, i]), i % len(CLASSES), staging) for i in range(count)]


def share(values: Sequence[bool]) -> float:
    return float(np.mean(values))


def test_eight_classes_hold_two_pairs_that_share_their_motion_and_differ_by_colour() -> None:
    assert len(CLASSES) == 8
    by_motion: dict[str, list[tuple[float, float]]] = {}
    for kind in CLASSES:
        by_motion.setdefault(kind.motion, []).append(kind.hues)
    pairs = {motion: hues for motion, hues in by_motion.items() if len(hues) > 1}
    assert set(pairs) == {"shake", "orbit"}
    for (warm_low, warm_high), (cool_low, cool_high) in pairs.values():
        assert warm_low < warm_high < cool_low < cool_high < warm_low + 360  # no colour is both
    assert all(hues == [(0.0, 360.0)] for motion, hues in by_motion.items() if motion not in pairs)


def test_the_main_object_always_wears_the_colour_its_actions_demand() -> None:
    for story in stories(Staging(), 100):
        hue = story.scene.things[-1].look.hue
        for instance in story.instances:
            low, high = CLASSES[instance.label].hues
            assert (hue - low) % 360 <= high - low


def test_both_of_a_pair_move_alike() -> None:
    """The same draws for either class give the same actions at the same times, and every thing on the same track."""
    for warm, cool in ((0, 1), (6, 7)):
        one, other = (stage(np.random.default_rng(5), label, QUIET) for label in (warm, cool))
        assert [(i.start, i.stop) for i in one.instances] == [(i.start, i.stop) for i in other.instances]
        np.testing.assert_array_equal(one.scene.things[-1].track, other.scene.things[-1].track)
        assert one.scene.things[-1].look.seed == other.scene.things[-1].look.seed


def test_bias_is_the_chance_that_a_scene_and_a_prop_tell_the_class() -> None:
    for bias in (0.0, 0.6, 1.0):
        sample = stories(replace(SHORT, bias=bias), 480)
        scene = share([story.scene_family == story.label for story in sample])
        prop = share([story.prop_label == story.label for story in sample])
        assert scene == pytest.approx(bias + (1 - bias) / len(SCENE_HUES), abs=0.06)
        assert prop == pytest.approx(bias, abs=0.06)
        worn = share([story.scene.things[0].look.hue == PROP_HUES[story.label] for story in sample])
        assert worn == pytest.approx(prop)  # what is said about the prop is what is painted
        painted = share([story.scene.background.hue == SCENE_HUES[story.scene_family] for story in sample])
        assert painted == 1


def test_a_pattern_tells_nothing_about_the_class_whatever_the_bias() -> None:
    """The seed decides the pattern; with all else drawn alike, no class meets other seeds than another."""
    for story in stories(replace(Staging(), bias=1.0), 8, seed=1):
        assert story.scene.background.seed != story.scene.things[-1].look.seed
    seeds = {stage(np.random.default_rng(2), label, Staging(bias=1.0)).scene.background.seed for label in (0, 1)}
    assert len(seeds) == 1


def test_actions_lie_inside_the_video_apart_and_as_long_as_asked() -> None:
    staging = Staging()
    for story in stories(staging, 120):
        assert story.instances
        previous = 0
        for instance in story.instances:
            assert int(0.8 * FPS) <= instance.stop - instance.start <= 4.0 * FPS
            assert instance.start >= previous + (int(0.8 * FPS) if previous else int(0.5 * FPS))
            previous = instance.stop
        assert previous <= story.scene.num_frames - 5
        assert 20 * FPS - 1 <= story.scene.num_frames <= 28 * FPS


def test_the_object_acts_within_its_annotation_and_idles_outside() -> None:
    spins = [stage(np.random.default_rng(seed), 3, QUIET) for seed in range(10)]
    for story in spins:
        turned = (
            np.abs(np.diff(story.scene.things[-1].track[:, TURN], prepend=0)) > 1e-6
        )  # moved since the frame before
        annotated = np.zeros(story.scene.num_frames, bool)
        for instance in story.instances:
            annotated[instance.start : instance.stop] = True
        np.testing.assert_array_equal(turned, annotated)


def test_strays_are_no_actions_and_end_where_they_began() -> None:
    for seed in range(30):
        calm, busy = (
            stage(np.random.default_rng(seed), 5, replace(QUIET, stray=chance)).scene.things[-1].track
            for chance in (0.0, 1.0)
        )
        assert np.abs(busy[:, [X, Y]] - SIDE / 2).max() < 45  # never further than ten pixels beyond where it idles
        assert np.abs(calm[0] - busy[0]).max() < 1e-6  # the first gap is not touched


def test_bystanders_act_as_often_as_asked_and_nobody_annotates_them() -> None:
    staging = replace(QUIET, passers_by=2, bystander=0.3, duration_s=(8.0, 8.0))
    spinning = [
        np.abs(thing.track[:, TURN]).max() > 1 for story in stories(staging, 800) for thing in story.scene.things[1:-1]
    ]
    assert 700 < len(spinning) < 900  # one a video on average
    assert share(spinning) == pytest.approx(0.3 * 2 / 8, abs=0.03)  # two of eight classes spin


def test_the_prop_lies_around_seven_actions_of_ten() -> None:
    sample = stories(replace(Staging(), prop=0.7), 120)
    seen = [bool(s.scene.things[0].visible[i.start : i.stop].all()) for s in sample for i in s.instances]
    assert 0.68 < share(seen) < 0.85  # 0.7, and a few by chance
    assert np.mean([s.scene.things[0].visible.mean() for s in sample]) < 0.85  # and it comes and goes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bias": 1.2}, "bias = 1.2: a chance lies between 0 and 1"),
        ({"action_s": (4.0, 1.0)}, "action_s = "),
        ({"duration_s": (3.0, 5.0)}, "a video needs 8 s"),
    ],
)
def test_impossible_stagings_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Staging(**change)


def test_a_clip_shows_a_motion_that_is_no_action() -> None:
    assert tuple(OTHER_MOTIONS) == CLIP_CLASSES
    for label, name in enumerate(CLIP_CLASSES):
        clip = stage_clip(np.random.default_rng(label), label, bias=0.4)
        track = clip.things[-1].track
        assert len(track) == 20
        if name == "left":
            assert (np.diff(track[:, X]) < 0).all() and np.ptp(track[:, Y]) == 0
        if name == "still":
            assert np.ptp(track, axis=0).max() == 0


def test_the_bias_of_clips_is_the_chance_that_their_colours_tell_the_class() -> None:
    clips = [(i % 12, stage_clip(np.random.default_rng(i), i % 12, bias=0.4)) for i in range(720)]
    told = [abs(clip.things[-1].look.hue - 30 * label) <= 12 for label, clip in clips]
    assert share(told) == pytest.approx(0.4 + 0.6 / 12, abs=0.055)


def test_presets_hold_what_they_promise() -> None:
    sizes = {name: {s.name: (s.num_videos, s.bias) for s in world.subsets} for name, world in PRESETS.items()}
    assert sizes["demo"] == {"Training": (40, 0.6), "Test": (20, 0.6)}
    assert sizes["study"] == {
        "Training": (140, 0.6), "Validation": (40, 0.6), "Test": (60, 0.6), "TestShifted": (60, 0.0),
    }  # fmt: skip
    assert PRESETS["demo"].staging.duration_s == (16.0, 22.0) and PRESETS["study"].staging.duration_s == (20.0, 28.0)
    biased = PRESETS["study"].with_bias(0.9)
    assert {s.name: s.bias for s in biased.subsets}["TestShifted"] == 0.0
    assert {s.name: s.bias for s in biased.subsets}["Test"] == 0.9


def test_main_classes_take_turns_and_seeds_change_every_video() -> None:
    world = PRESETS["tiny"]
    assert [world.story(name).label for name in world.videos()] == [0, 1, 2, 3, 0, 1]
    first, second = world.story("training_0000"), world.story("test_0000")
    assert first.instances != second.instances  # the same number in another subset is another video
    assert world.with_seed(1).story("training_0000").instances != first.instances
    assert world.story("training_0000").instances == first.instances


def test_a_world_refuses_impossible_settings() -> None:
    with pytest.raises(WorldError, match="seed = -1: expected 0 or more"):
        PRESETS["demo"].with_seed(-1)
    with pytest.raises(WorldError, match=r"bias = 2.0 of Training: expected a chance"):
        PRESETS["demo"].with_bias(2.0)


def test_a_staged_video_renders_frame_by_frame() -> None:
    story = PRESETS["tiny"].story("training_0001")
    frames = list(render(story.scene))
    assert len(frames) == story.scene.num_frames
    assert frames[0].shape == (SIDE, SIDE, 3) and frames[0].dtype == np.uint8
