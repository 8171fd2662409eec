"""The TAGS head: padding, places in the sample, targets, losses, distillation."""

import math

import pytest
import torch
import torch.nn.functional as F
from small_heads import targets
from torch import Tensor

from detect.heads.base import Croppable, Targets
from detect.heads.positions import sinusoids
from detect.heads.tags import losses
from detect.heads.tags.head import TAGS, TAGSConfig
from detect.heads.tags.network import from_step_to_sample
from detect.heads.tags.targets import assign_steps
from detect.model.detector import Detector, DetectorConfig, DetectorError
from detect.windows import SampleRule

STEPS = 24
SMALL = {"width": 16, "length": STEPS, "heads": 2, "head_width": 8, "tower": (12, 12, 8)}


def head(num_classes: int = 3, in_channels: int = 16, **changes: object) -> TAGS:
    """In evaluation mode, every parameter random."""
    torch.manual_seed(0)
    model = TAGS(in_channels, num_classes, TAGSConfig(**{**SMALL, **changes})).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def real(*lengths: int, steps: int = STEPS) -> Tensor:
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


# ---- the network

BOTH = pytest.mark.parametrize("relative", [False, True])


@BOTH
@pytest.mark.parametrize("length", [1, 2, 13, 23])
def test_what_lies_under_the_mask_changes_nothing_on_real_steps(relative: bool, length: int) -> None:
    model, mask, x = head(relative=relative), real(length), torch.randn(1, 16, STEPS)
    one = model(x * mask[:, None], mask)
    other = model(torch.where(mask[:, None], x, 1e3 * torch.randn(1, 16, STEPS)), mask)
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    assert one["logits"][:, length:].abs().sum() == 0
    assert one["masks"][:, length:].abs().sum() == 0 == one["masks"][:, :, length:].abs().sum()
    assert one["masks"][:, :length, :length].abs().sum() > 0


@BOTH
def test_batching_a_sample_with_others_changes_nothing(relative: bool) -> None:
    model, mask, x = head(relative=relative), real(24, 9, 1), torch.randn(3, 16, STEPS)
    together = model(x, mask)
    for row in range(3):
        alone = model(x[row : row + 1], mask[row : row + 1])
        assert all((together[name][row] - alone[name][0]).abs().max() < 1e-5 for name in ("logits", "masks"))


def test_padded_steps_pass_no_gradient_and_no_nan() -> None:
    model, mask = head().train(), real(24, 3)
    x = torch.randn(2, 16, STEPS, requires_grad=True)
    predictions = model(x, mask)
    (predictions["logits"].square().sum() + predictions["masks"].square().sum()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    assert x.grad is not None and torch.isfinite(x.grad).all()
    reached = x.grad.abs().sum(1) > 0
    assert reached[mask].all() and not reached[~mask].any()


def test_a_sample_without_any_real_step_gives_numbers() -> None:
    predictions = head()(torch.randn(1, 16, STEPS), real(0))
    assert all(torch.isfinite(value).all() for value in predictions.values())


def test_samples_have_exactly_the_heads_length() -> None:
    model = head()
    assert model.sample == SampleRule(length=STEPS) and not isinstance(model, Croppable)
    with pytest.raises(ValueError, match="23 steps: its masks take exactly 24"):
        model(torch.randn(1, 16, 23), real(23, steps=23))


def test_masks_drawn_from_the_step_move_with_it_and_masks_drawn_in_the_sample_stay() -> None:
    """The same bump in two places: of the step's own mask, what is seen around it moves along."""
    torch.manual_seed(0)
    x = torch.zeros(2, 16, STEPS)
    bump = torch.randn(16, 3)
    x[0, :, 6:9], x[1, :, 14:17] = bump, bump
    for relative in (True, False):
        drawn = head(relative=relative, positions=False)(x, real(24, 24))["masks"]
        moved = torch.allclose(drawn[0, 7, 3:12], drawn[1, 15, 11:20], atol=1e-5)
        stayed = torch.allclose(drawn[0, 7], drawn[1, 15], atol=1e-5)
        assert (moved, stayed) == (relative, not relative)


def test_distances_from_a_step_become_places_in_the_sample() -> None:
    relative = torch.randn(2, 5, 9)
    absolute = from_step_to_sample(relative)
    for step in range(5):
        for place in range(5):
            assert torch.equal(absolute[:, step, place], relative[:, step, 4 + place - step])


def test_sines_of_the_position_are_those_of_the_paper_they_come_from() -> None:
    table = sinusoids(torch.arange(7), 5)
    for step in range(7):
        angles = [step / 1e4 ** (2 * k / 5) for k in range(3)]
        expected = [f(angle) for angle in angles for f in (math.sin, math.cos)][:5]
        assert table[step].tolist() == pytest.approx(expected, abs=1e-6)


def test_settings_that_cannot_be_are_refused_in_one_line() -> None:
    for options in ({"tower": []}, {"length": 0}, {"mask_thresholds": [1.0]}, {"overlap": 1.0}, {"layers": 0}):
        with pytest.raises(DetectorError, match="head_config does not fit the head 'tags'"):
            Detector(
                DetectorConfig(classes=("a",), feature_dims={"rgb": 4}, width=16, head="tags", head_config=options)
            )


# ---- targets


def by_hand(known: Targets, length: int, num_classes: int, shrink: int) -> dict[str, Tensor]:
    """Step by step, action by action."""
    spans = []
    for (start, end), label in zip(known.segments.double().tolist(), known.labels.tolist(), strict=True):
        first, last = math.floor(start + 0.5) + shrink, math.floor(end + 0.5) - shrink
        if last <= first:
            first = math.floor((start + end) / 2 + 0.5)
            last = first + 1
        spans.append((max(first, 0), min(last, length), end - start, label))
    likely, classes = torch.zeros(STEPS, num_classes + 1), torch.zeros(STEPS, num_classes + 1)
    masks, foreground = torch.zeros(STEPS, STEPS), torch.zeros(STEPS, dtype=torch.bool)
    for step in range(length):
        here = [span for span in spans if span[0] <= step < span[1]]
        foreground[step] = bool(here)
        if not here:
            likely[step, -1] = classes[step, -1] = 1
            continue
        shortest = min(span[2] for span in here)
        own = [span for span in here if span[2] <= shortest + 1e-3]
        for first, last, _, label in own:
            masks[step, first:last] = 1
            likely[step, label] += 1 / len(own)
        for *_, label in here:
            classes[step, label] = 1
    return {"likely": likely, "classes": classes, "masks": masks, "foreground": foreground}


@pytest.mark.parametrize("seed", range(40))
def test_targets_are_those_found_step_by_step(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    known, length = [], [STEPS, 15, 1]
    for _ in length:
        count = int(torch.randint(0, 6, (), generator=generator))
        start = (torch.rand(count, generator=generator) * 28 - 2).round(decimals=2)
        segments = torch.stack([start, start + 0.3 + 12 * torch.rand(count, generator=generator)], 1)
        labels = torch.randint(0, 3, (count,), generator=generator)
        twice = torch.cat([segments, segments[:1]]), torch.cat([labels, (labels[:1] + 1) % 3])
        known.append(Targets(*twice))
    said = assign_steps(real(*length), known, 3, shrink=1)
    for row, steps in enumerate(length):
        expected = by_hand(known[row], steps, 3, 1)
        for name, value in expected.items():
            assert (
                torch.allclose(said[name][row], value, atol=1e-6)
                if value.is_floating_point()
                else torch.equal(said[name][row], value)
            ), (row, name)


def test_all_actions_of_a_video_are_taught_and_none_is_too_short() -> None:
    """The published loader keeps the last action of a video, and of actions under 3 steps nothing."""
    said = assign_steps(real(24), [targets((2, 8, 0), (10.1, 10.4, 1), (14, 22, 2))], 3, shrink=1)
    assert [said["likely"][0, step].argmax().item() for step in (4, 10, 18, 12)] == [0, 1, 2, 3]
    assert said["masks"][0, 10].nonzero().flatten().tolist() == [10]


def test_a_class_is_taught_where_its_own_actions_are() -> None:
    """In the published code later classes inherit the spans of earlier ones."""
    classes = assign_steps(real(24), [targets((2, 8, 0), (14, 22, 2))], 3, shrink=1)["classes"][0]
    assert classes[:, 2].nonzero().flatten().tolist() == list(range(15, 21))


def test_an_action_within_another_keeps_steps_and_a_mask_of_its_own() -> None:
    said = assign_steps(real(24), [targets((1, 23, 0), (9, 15, 1))], 3, shrink=1)
    assert said["masks"][0, 12].nonzero().flatten().tolist() == list(range(10, 14))
    assert said["masks"][0, 4].nonzero().flatten().tolist() == list(range(2, 22)), "all of the longer one"
    assert said["likely"][0, 12].argmax() == 1 and said["likely"][0, 4].argmax() == 0
    assert said["classes"][0, 12].tolist() == [1, 1, 0, 0]


def test_an_action_with_two_names_is_taught_half_of_each() -> None:
    said = assign_steps(real(24), [targets((4, 12, 0), (4, 12, 2))], 3, shrink=1)
    assert said["likely"][0, 8].tolist() == [0.5, 0, 0.5, 0] and said["foreground"].sum() == 6
    assert TAGS(16, 3, TAGSConfig(**SMALL)).num_positives(said) == 6  # type: ignore[arg-type]


# ---- losses


def test_the_focal_factor_is_of_each_step_and_not_of_their_mean() -> None:
    torch.manual_seed(0)
    logits, valid = 3 * torch.randn(2, STEPS, 4), real(24, 7)
    classes = torch.randint(0, 4, (2, STEPS))
    each = F.cross_entropy(logits[valid], classes[valid], reduction="none")
    expected = torch.stack([(1 - torch.exp(-ce)) ** 2 * ce for ce in each]).mean()
    found = losses.step_focal(logits, F.one_hot(classes, 4).float(), valid)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    published = (1 - torch.exp(-each.mean())) ** 2 * each.mean()
    assert abs(published.item() - found.item()) > 0.1


def test_a_step_with_two_classes_costs_nothing_once_it_says_both() -> None:
    likely = torch.tensor([[[0.5, 0.5, 0.0]]])
    logits = torch.tensor([[[4.0, 4.0, -60.0]]], requires_grad=True)
    loss = losses.step_focal(logits, likely, torch.ones(1, 1, dtype=torch.bool))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6) and torch.isfinite(logits.grad).all()  # type: ignore[arg-type]


def test_few_classes_are_enough_for_every_term() -> None:
    """The published ranking loss takes the worst 120 classes of however many there are."""
    for num_classes in (1, 2, 20):
        model = head(num_classes)
        predictions = model(torch.randn(2, 16, STEPS), real(24, 5))
        terms = model.loss(predictions, model.assign(predictions, [targets((3, 9, 0)), targets()]), 1.0)
        assert all(torch.isfinite(value) and value > 0 for value in terms.values()) and len(terms) == 3


@pytest.mark.parametrize("rows", [[], [(0.0, 1.0, 0)], [(-3.0, -1.0, 1)]])
def test_a_sample_of_background_or_of_one_step_has_a_finite_loss_and_gradient(rows: list) -> None:
    for lengths in ((24, 1), (1, 1)):
        model = head().train()
        predictions = model(torch.randn(2, 16, STEPS), real(*lengths))
        terms = model.loss(predictions, model.assign(predictions, [targets(*rows)] * 2), 1.0)
        torch.stack(list(terms.values())).sum().backward()
        assert all(torch.isfinite(value) for value in terms.values())
        assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_saying_what_is_true_costs_less_than_anything_else() -> None:
    model = head()
    predictions = {"logits": torch.zeros(1, STEPS, 4), "masks": torch.zeros(1, STEPS, STEPS), "valid": real(20)}
    assignment = model.assign(predictions, [targets((2, 9, 0), (11, 18, 2))])
    true = {**predictions, "logits": 20 * assignment["likely"] - 10, "masks": 20 * assignment["masks"] - 10}
    at_best = model.loss(true, assignment, 1.0)
    torch.manual_seed(0)
    for _ in range(5):
        other = {**predictions, "logits": torch.randn(1, STEPS, 4), "masks": torch.randn(1, STEPS, STEPS)}
        terms = model.loss(other, assignment, 1.0)
        assert all(terms[name] > at_best[name] + 0.1 for name in terms)
    assert at_best["class"] < 0.01 and at_best["redundancy"] < 1e-6


# ---- distillation


def pair(seed: int = 0) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    torch.manual_seed(seed)
    made = [
        {"logits": torch.randn(2, STEPS, 4), "masks": torch.randn(2, STEPS, STEPS), "valid": real(24, 9)}
        for _ in range(2)
    ]
    return made[0], made[1]


def test_a_student_that_says_what_its_teacher_says_has_nothing_to_learn() -> None:
    model, (student, teacher) = head(), pair()
    assert all(value.item() == pytest.approx(0, abs=1e-6) for value in model.distill(teacher, teacher).values())
    assert all(value > 0.05 for value in model.distill(student, teacher).values())


def test_masks_are_mimicked_where_the_teacher_sees_an_action_and_nowhere_else() -> None:
    model, (student, teacher) = head(), pair()
    sees = teacher["logits"].softmax(2)[..., -1] < 0.5
    assert sees[0].any() and not sees[0].all()
    drawn = student["masks"].requires_grad_()
    model.distill(student, teacher)["mask"].backward()
    assert drawn.grad is not None
    assert torch.equal(drawn.grad.abs().sum(2) > 0, sees & teacher["valid"])
    assert (drawn.grad.abs().sum(1) == 0)[~teacher["valid"]].all(), "no step under the mask"


def test_a_teacher_that_sees_nothing_teaches_no_mask_and_the_teacher_learns_nothing() -> None:
    model, (student, teacher) = head(), pair()
    teacher["logits"][..., -1] += 20
    teacher = {k: v.requires_grad_() if v.is_floating_point() else v for k, v in teacher.items()}
    terms = model.distill({k: v.requires_grad_() if v.is_floating_point() else v for k, v in student.items()}, teacher)
    assert terms["mask"] == 0
    (terms["class"] + terms["mask"]).backward()
    assert teacher["logits"].grad is None and teacher["masks"].grad is None
