"""The classifier beside a head that names no classes: what it learns, and what it says of candidates."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from detect.heads.actionformer.head import ActionFormer, ActionFormerConfig
from detect.heads.base import Croppable, Rearranging, Targets
from detect.model.named import NamedHead, with_names
from detect.naming import scores_of_candidates, video_scores
from detect.windows import Found, Window, join

CONFIG = ActionFormerConfig(width=16, levels=3, window=5)
NAMELESS = ActionFormerConfig(width=16, levels=3, window=5, names_classes=False)


def head() -> NamedHead:
    torch.manual_seed(0)
    model = with_names(ActionFormer(6, 3, NAMELESS), 3).eval()
    assert isinstance(model, NamedHead)
    return model


def sample(length: int = 20, steps: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(1, 6, steps), (torch.arange(steps) < length)[None]


def test_a_head_that_names_classes_is_left_alone() -> None:
    model = ActionFormer(6, 3, CONFIG)
    assert with_names(model, 3) is model


def test_a_head_that_names_none_and_rearranges_samples_is_not_wrapped_in_silence() -> None:
    class Both(ActionFormer, Rearranging):
        def rearrange(self, *_: Any) -> None: ...

        def rearranged_loss(self, *_: Any) -> dict[str, torch.Tensor]:
            return {}

    with pytest.raises(NotImplementedError, match="rearranges"):
        with_names(Both(6, 3, NAMELESS), 3)


def test_a_class_is_learnt_at_the_steps_whose_clip_meets_its_action() -> None:
    model = head()
    said = model(*sample())
    known = Targets(torch.tensor([[2.0, 4.6], [2.0, 4.6], [18.2, 25.0]]), torch.tensor([0, 2, 1]))
    names = model.assign(said, [known])["names"][0]
    assert [names[:, c].nonzero().flatten().tolist() for c in range(3)] == [[2, 3, 4, 5], [18, 19], [2, 3, 4, 5]]


def test_padding_is_neither_read_nor_learnt_from() -> None:
    model = head()
    features, mask = sample()
    known = [Targets(torch.tensor([[2.0, 4.6]]), torch.tensor([0]))]
    here, there = (model(features + noise * ~mask[:, None], mask) for noise in (0.0, 1e3))
    assert torch.allclose(here["names"][0, :20], there["names"][0, :20], atol=1e-5)
    losses = [model.loss(said, model.assign(said, known), 1.0)["label"].item() for said in (here, there)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert all((found.classes[20:] == 0).all() for found in model.decode(here) if found.classes is not None)


def test_a_student_is_taught_the_names_and_has_nothing_to_learn_where_it_agrees() -> None:
    model = head()
    said = model(*sample())
    assert model.distill(said, said)["label"].item() == pytest.approx(0.0, abs=1e-6)
    assert model.distill({**said, "names": said["names"] + 2}, said)["label"] > 0.01


def test_answers_about_a_whole_video_are_cut_with_those_of_the_head() -> None:
    model = head()
    assert isinstance(model, Croppable)
    whole = model(*sample(32))
    batch = model.stack([model.crop(whole, 0, 20), model.crop(whole, 16, 32)], 20)
    length = batch["names"].shape[1]
    assert length == model.sample.padded(20) and set(batch) == set(whole)
    assert torch.equal(batch["names"][0, :20], whole["names"][0, :20])
    assert torch.equal(batch["names"][1, :16], whole["names"][0, 16:])
    assert batch["steps"].sum(1).tolist() == [20, 16]


# ---- from steps to candidates


def test_a_candidate_is_what_its_steps_show_weighed_by_what_the_video_shows() -> None:
    classes = np.zeros((16, 2))
    classes[4:8, 0] = 0.8
    classes[5, 1] = 0.4
    assert video_scores(classes).tolist() == pytest.approx([0.8, 0.2]), "the mean of the two likeliest of 16"
    found = scores_of_candidates(np.array([[3.5, 7.5], [5.2, 5.4], [12.0, 14.0]]), classes)
    expected = [[0.8, math.sqrt(0.1 * 0.2)], [0.8, math.sqrt(0.4 * 0.2)], [0.0, 0.0]]
    assert found.tolist() == [pytest.approx(row) for row in expected]


def test_where_windows_overlap_the_classes_are_their_mean() -> None:
    none = np.zeros((0, 2)), np.zeros(0), None
    found = [Found(*none, np.full((4, 1), 0.2)), Found(*none, np.full((4, 1), 0.6))]  # the last one padded by a step
    joined = join(found, [Window(0, 4), Window(2, 5)], once=None)
    assert joined.classes is not None
    assert joined.classes[:, 0].tolist() == pytest.approx([0.2, 0.2, 0.4, 0.4, 0.6])
