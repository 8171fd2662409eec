"""Recipes against what was published: how many windows of videos an epoch has, and how many steps a run."""

import json
from pathlib import Path

import pytest

from detect.heads import HEADS
from train.recipes import recipe_for

# OpenTAD at 3dd7b03: epochs, windows that hold enough of an action, of a batch so many; TAGS: ours.
PUBLISHED = {"afsd": (16, 7746, 1), "gtad": (8, 1686, 8), "tadtr": (17, 1118, 8)}
WINDOWS = {"afsd": 11_385, "gtad": 2270, "tadtr": 1620, "tags": 2270}


@pytest.fixture(scope="module")
def steps_of_videos(shared_data: Path) -> list[int]:
    """Of features at stride 4 and window 16 of THUMOS'14's training videos."""
    database = json.loads((shared_data / "thumos14.json").read_text())["database"]
    meta = json.loads((shared_data / "thumos14_video_meta.json").read_text())
    return [(meta[v]["frames"] - 16) // 4 for v, video in database.items() if video["subset"] == "Validation"]


@pytest.mark.parametrize("head", WINDOWS)
def test_an_epoch_of_thumos14_has_as_many_samples_as_there_are_windows(head: str, steps_of_videos: list[int]) -> None:
    recipe = recipe_for(head, "thumos14")
    kind = HEADS[head]
    rule = kind.sample_rule(kind.Config(**{"width": recipe.model.width, **recipe.head}))
    samples = sum(rule.training_samples(rule.num_steps(steps)) for steps in steps_of_videos)
    assert samples == WINDOWS[head]
    optimiser = recipe.optimiser_of(kind)
    taken = optimiser.epochs * (samples // recipe.sampling.batch_size)
    assert taken >= optimiser.min_steps, "the recipe's epochs say how long it trains"
    if head in PUBLISHED:
        epochs, windows, size = PUBLISHED[head]
        assert taken == pytest.approx(epochs * windows / size, rel=0.03) and size == recipe.sampling.batch_size


@pytest.mark.parametrize("head", WINDOWS)
def test_how_far_training_windows_overlap_is_a_setting_that_decoding_does_not_see(head: str) -> None:
    kind = HEADS[head]
    once, often = (kind.sample_rule(kind.Config(training_overlap=overlap)) for overlap in (None, 0.75))
    assert once.training_samples(2000) == 1 < often.training_samples(2000)
    assert once.windows(2000) == often.windows(2000)
    assert "training_overlap" in kind.of_training, "a teacher may have been trained with another"
