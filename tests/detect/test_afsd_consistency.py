"""An action cut in two by background: what is moved where, and what the head is asked about it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_gtad import targets

from detect.heads.afsd.config import AFSDConfig
from detect.heads.afsd.consistency import background_of, cut_action
from detect.heads.afsd.head import AFSD
from detect.heads.base import Rearranging, Targets

FRAMES = 4


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**16), before=st.booleans())
def test_the_parts_of_an_action_are_found_where_they_are_said_to_be_with_background_between(
    seed: int, before: bool
) -> None:
    rng = np.random.default_rng(seed)
    start = 20.0 if before else 4.0
    known = targets((start - 0.5, start + 11.5), (36.0, 38.5))  # cells start to start + 12; the shortest takes 3 steps
    made = cut_action(known, 40, FRAMES, rng)
    assert made is not None
    order, places = made.order.tolist(), made.places.tolist()
    assert sorted(order) == list(range(40)), "every step is somewhere, once"
    (a, b), (c, d), (e, f) = places
    first, second, between = order[int(a) : int(b)], order[int(c) : int(d)], order[int(b) : int(c)]
    assert first + second == list(range(int(start), int(start) + 12)), "the action, in two parts"
    assert min(len(first), len(second)) >= 3 and len(between) == 3
    assert not set(between) & (set(range(int(start), int(start) + 12)) | {36, 37, 38, 39}), "background"
    assert (e, f) == (b + 1 / FRAMES, c - 1 / FRAMES)
    assert between == list(range(between[0], between[0] + 3)), "in one piece"


@pytest.mark.parametrize(
    ("known", "num_steps"),
    [
        (targets(), 40),  # nothing to cut
        (targets((3.0, 9.0)), 40),  # not twice as long as the shortest, itself
        (targets((0.0, 30.0), (30.0, 39.0)), 40),  # no background
        (targets((-1.0, 0.5)), 1),
    ],
)
def test_a_sample_that_cannot_be_rearranged_is_left(known: Targets, num_steps: int) -> None:
    assert cut_action(known, num_steps, FRAMES, np.random.default_rng(0)) is None


def test_background_is_where_a_whole_stretch_is_free() -> None:
    actions = np.array([[2.5, 4.0], [7.0, 8.2]])
    assert background_of(actions, 12, 2).tolist() == [0, 4, 5, 9, 10]
    assert background_of(actions, 12, 4).tolist() == []
    assert background_of(actions, 3, 4).tolist() == []


def test_boundary_consistency_is_an_option_that_is_off() -> None:
    off, on = (AFSD(8, 2, AFSDConfig(width=64, consistency_weight=w)) for w in (0.0, 0.1))
    assert isinstance(on, Rearranging) and on.rearranges and not off.rearranges
    assert AFSDConfig().consistency_weight == 0


def test_a_batch_without_a_rearranged_sample_costs_nothing() -> None:
    model = AFSD(8, 2, AFSDConfig(width=64, consistency_weight=0.1))
    empty = torch.zeros(0, 8, 64, requires_grad=True), torch.zeros(0, 64, dtype=torch.bool), torch.zeros(0)
    assert model.rearranged_loss(*empty)["consistency"].item() == 0


def test_its_loss_reaches_the_maps_that_it_is_about_and_grows_with_its_weight() -> None:
    torch.manual_seed(0)
    features, mask = torch.randn(1, 8, 64), torch.ones(1, 64, dtype=torch.bool)
    places = torch.tensor([[[4.0, 10.0], [13.0, 20.0], [10.25, 12.75]]])
    model = AFSD(8, 2, AFSDConfig(width=64, consistency_weight=0.1))
    found = model.rearranged_loss(features, mask, places)["consistency"]
    assert found > 0
    found.backward()
    for module in (
        model.pyramid.entry,
        model.frame_map,
        model.location_refinement.around,
        model.class_refinement.around,
    ):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
    other = AFSD(8, 2, AFSDConfig(width=64, consistency_weight=0.3))
    other.load_state_dict(model.state_dict())
    assert other.rearranged_loss(features, mask, places)["consistency"].item() == pytest.approx(
        3 * found.item(), rel=1e-5
    )
