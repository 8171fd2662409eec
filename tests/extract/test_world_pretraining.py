"""The pretraining world: the same staging with other motions, from which a motion student is taught."""

import numpy as np

from extract.world.motions import OTHER_MOTIONS
from extract.world.untrimmed import ACTIONS, PRETRAINING, Staging, stage
from extract.world.worlds import PRESETS


def test_no_motion_of_the_pretraining_world_is_an_action_of_the_others() -> None:
    assert {kind.motion for kind in PRETRAINING.classes} == set(OTHER_MOTIONS)
    assert {kind.motion for kind in PRETRAINING.classes}.isdisjoint(kind.motion for kind in ACTIONS.classes)
    world = PRESETS["pretraining"]
    assert world.repertoire is PRETRAINING and len(world.videos()) == 160


def test_every_class_of_the_pretraining_world_is_staged_with_hues_of_its_own() -> None:
    stories = [stage(np.random.default_rng(i), i % 12, Staging(bias=1.0), PRETRAINING) for i in range(12)]
    assert [story.label for story in stories] == list(range(12))
    assert len({story.scene.things[0].look.hue for story in stories}) == 12  # props
    assert all(instance.label < 12 for story in stories for instance in story.instances)
