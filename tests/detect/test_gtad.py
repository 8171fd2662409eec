"""The G-TAD head: its graph, its alignment, its maps, where its segments lie, what it learns from."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_gtad import SMALL, head, sample, targets

from detect.heads.gtad.align import alignment, places_of
from detect.heads.gtad.graph import nearest
from detect.heads.gtad.head import GTAD, GTADConfig, SegmentMap
from detect.heads.gtad.targets import segment_grid, valid_segments

# ---- the graph


def test_neighbours_are_the_nearest_real_steps_and_the_step_itself() -> None:
    x = torch.tensor([[[0.0], [10.0], [1.0], [0.1], [0.05]]])
    found = nearest(x, torch.tensor([[True, True, True, True, False]]), 3)
    assert found.real.all()
    assert [set(steps) for steps in found.steps[0].tolist()[:4]] == [{0, 3, 2}, {1, 2, 3}, {2, 3, 0}, {3, 0, 2}]
    assert found.mean(x)[0, 1].item() == pytest.approx((10 + 1 + 0.1) / 3)


def test_a_sample_of_fewer_steps_than_neighbours_has_those_it_has() -> None:
    torch.manual_seed(0)
    x, mask = torch.randn(1, 5, 4), torch.tensor([[True, True, False, False, False]])
    found = nearest(x, mask, 3)
    assert found.real[0, 0].tolist() == [True, True, False]
    assert torch.allclose(found.mean(x)[0, 0], x[0, :2].mean(0))


# ---- alignment


def aligned_by_hand(x: np.ndarray, start: float, end: float, bins: int) -> np.ndarray:
    """RoIAlign of x (n, D) along one axis as the specification reads: (bins, D)."""
    length = max(end - start, 1.0)
    count = math.ceil(length / bins)
    pooled = np.zeros((bins, x.shape[1]))
    for b in range(bins):
        for i in range(count):
            t = start + (b + (i + 0.5) / count) * length / bins
            if -1 <= t <= len(x):
                t = min(max(t, 0.0), len(x) - 1.0)
                low, part = int(t), t - int(t)
                pooled[b] += ((1 - part) * x[low] + part * x[min(low + 1, len(x) - 1)]) / count
    return pooled


@pytest.mark.parametrize("length", [1, 2, 7, 12])
def test_a_segment_is_the_sum_of_its_bins_each_pooled_after_its_own_projection(length: int) -> None:
    """Against sampling first and projecting then, for every segment, those that end behind the sample too."""
    rng = np.random.default_rng(length)
    steps, durations, bins = 12, 9, 4
    x, weight = rng.normal(size=(length, 3)), rng.normal(size=(bins, 3, 5))  # 3 channels, 5 after the projection
    projected = np.zeros((steps, bins, 5))
    projected[:length] = np.einsum("tc,bch->tbh", x, weight)
    operator = alignment(steps, durations, bins, torch.device("cpu"))
    sums, beyond = operator(torch.tensor(projected, dtype=torch.float32).flatten(1), length)
    for d in range(durations):
        for s in range(length):
            half = (d + 1) / 2
            inside = s + d < length
            roi = (s - half, s + d + half) if inside else (0.0, 0.0)
            expected = np.einsum("bc,bch->h", aligned_by_hand(x, *roi, bins), weight)
            found = sums[d * steps + s] if inside else beyond
            np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_places_lie_evenly_in_a_segment_and_half_its_length_around_it() -> None:
    """Goldens: [-.5, 9.5] in 10 bins is 0 ... 9; an empty one is taken to be one step long, eighths in four bins."""
    at, bins, share = places_of(3, 7)  # L = 4: from -2 to 3 + 2 = 5, seven bins of one place
    assert at.tolist() == [-1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 4.5]
    assert bins.tolist() == list(range(7)) and share == 1.0
    at, bins, share = places_of(3, 4)  # two places in a bin
    assert bins.tolist() == [0, 0, 1, 1, 2, 2, 3, 3] and share == 0.5
    assert np.diff(at.numpy()).tolist() == pytest.approx([7 / 8] * 7)
    assert (2 + alignment(4, 1, 4, torch.device("cpu")).second).tolist() == [2.125, 2.375, 2.625, 2.875]
    x = np.arange(10.0)[:, None]
    assert aligned_by_hand(x, -0.5, 9.5, 10)[:, 0].tolist() == list(range(10))


def test_gradients_flow_back_through_the_alignment() -> None:
    operator = alignment(6, 4, 3, torch.device("cpu"))
    torch.manual_seed(0)
    x = torch.randn(6, 6, dtype=torch.float32, requires_grad=True)
    sums, beyond = operator(x, 6)
    other = torch.randn_like(sums)
    ((sums * other).sum() + beyond.sum()).backward()
    moved, eps = torch.zeros_like(x), 0.5  # linear: any step gives the exact slope
    moved[4, 3] = eps
    with torch.no_grad():
        here, there = operator(x, 6), operator(x + moved, 6)
    slope = (((there[0] - here[0]) * other).sum() + (there[1] - here[1]).sum()) / eps
    assert x.grad is not None and x.grad[4, 3].item() == pytest.approx(slope.item(), rel=1e-4)


def test_one_process_may_detect_first_and_train_afterwards() -> None:
    """The operator is made once: made in inference mode it could not be trained with."""
    alignment.cache_clear()
    model = head()
    with torch.inference_mode():
        model(*sample())
    model(*sample())["map"].sum().backward()
    assert model.map.entry.weight.grad is not None and model.map.entry.weight.grad.abs().sum() > 0


# ---- padding


def test_what_lies_under_the_mask_and_how_much_of_it_changes_nothing_that_is_real() -> None:
    model = head()
    with torch.no_grad():
        here = model(*sample(17, 24, under_mask=1e3))
        for there in (model(*sample(17, 24, under_mask=-5.0)), model(*sample(17, 17)), model(*sample(17, 40))):
            for name in ("start", "end"):
                assert torch.allclose(here[name][:, :17], there[name][:, :17], atol=1e-5)
            valid = here["valid"][0, :, :17]
            assert torch.equal(valid, there["valid"][0, :, :17])
            assert torch.allclose(here["map"][..., :17][:, :, valid], there["map"][..., :17][:, :, valid], atol=1e-5)


def test_samples_of_a_batch_do_not_see_one_another() -> None:
    model = head()
    features, mask = sample()
    mask[1, 9:] = False
    with torch.no_grad():
        both = model(features, mask)
        for row in range(2):
            alone = model(features[row : row + 1], mask[row : row + 1])
            for name in ("start", "end", "map"):
                assert torch.allclose(both[name][row], alone[name][0], atol=1e-5)


@pytest.mark.parametrize("length", [0, 1, 2])
def test_a_sample_of_hardly_any_steps_is_survived(length: int) -> None:
    model = head().train()
    predictions = model(*sample(length))
    assert all(torch.isfinite(value).all() for value in predictions.values())
    losses = model.loss(predictions, model.assign(predictions, [targets((0.0, 1.0)), targets()]), 1.0)
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert all(len(found.scores) <= length * (length + 1) / 2 for found in model.decode(predictions))


# ---- targets


def overlap(a: tuple[float, float], b: tuple[float, float]) -> float:
    shared = max(min(a[1], b[1]) - max(a[0], b[0]), 0.0)
    return shared / (a[1] - a[0] + b[1] - b[0] - shared)


def test_targets_are_those_of_a_brute_force_search() -> None:
    model, rng = head(), np.random.default_rng(0)
    _, mask = sample(20)
    predictions = {"valid": valid_segments(mask, SMALL.durations)}
    positives = 0
    for _ in range(50):
        rows = []
        for _ in range(2):  # none to five actions, some twice, some reaching beyond the sample
            count = int(rng.integers(0, 6))
            start = rng.uniform(-3, 21, count)
            ends = start + rng.gamma(2.0, 2.0, count) + 0.1
            rows.append([*zip(start, ends, strict=True)] * int(rng.integers(1, 3)))
        found = model.assign(predictions, [targets(*row) for row in rows])
        for i, row in enumerate(rows):
            cut = [(max(a, -0.5), min(b, 19.5)) for a, b in row]
            for d in range(SMALL.durations):
                for s in range(24):
                    valid = s + d < 20
                    best = max([overlap((s - 0.5, s + d + 0.5), c) for c in cut if c[1] > c[0]], default=0.0)
                    assert found["overlap"][i, d, s].item() == pytest.approx(best * valid, abs=1e-5)
            for t in range(24):
                for side, name in enumerate(("start", "end")):
                    near = any(abs(t - one[side]) < 1.5 - 1e-5 for one in row)
                    assert bool(found[name][i, t]) == (near and t < 20)
        positives += model.num_positives(found)
    assert positives > 20


def test_a_segment_is_detected_where_it_was_learnt() -> None:
    """Unbiased: the segment whose target is 1 is decoded as the action itself; the published code is 3 frames late."""
    model = head(replace(SMALL, peaks=False))
    action = (4.5, 9.5)  # steps 5 to 9 whole
    predictions = {"valid": valid_segments(torch.ones(1, 24, dtype=torch.bool), 8)}
    assignment = model.assign(predictions, [targets(action)])
    [[d, s]] = (assignment["overlap"][0] == 1.0).nonzero().tolist()
    assert (d, s) == (4, 5)
    predictions["map"] = torch.full((1, 2, 8, 24), -20.0)
    predictions["map"][0, :, d, s] = 20.0
    [found] = model.decode(predictions)
    assert found.segments.tolist() == [list(action)] and found.labels is None


# ---- losses


def test_a_batch_without_actions_teaches_where_nothing_is_and_is_not_nan() -> None:
    """The published boundary and regression losses are NaN here."""
    model = head().train()
    predictions = model(*sample(17))
    losses = model.loss(predictions, model.assign(predictions, [targets(), targets()]), 1.0)
    assert losses["overlap"] == 0
    assert all(losses[name] > 0 for name in ("class", "start", "end"))


def test_a_boundary_loss_of_paper_and_pencil() -> None:
    """Logits 0 everywhere: half of ln 2 for steps near a start, half for the others, however many there are."""
    model = head()
    predictions = model(*sample())
    predictions = {**predictions, "start": torch.zeros(2, 24), "map": torch.zeros(2, 2, 8, 24)}
    assignment = model.assign(predictions, [targets((4.5, 9.5)), targets((4.5, 9.5))])
    losses = model.loss(predictions, assignment, 1.0)
    assert losses["start"].item() == pytest.approx(math.log(2), abs=1e-4)
    assert int((assignment["overlap"] > 0.9).sum()) == 2
    negatives = int(predictions["valid"].sum()) - 2
    expected = 0.5 * math.log(2) * (2 / 12 + negatives / (negatives + 10))
    assert losses["class"].item() == pytest.approx(expected, rel=1e-4)


def test_losses_ignore_segments_and_steps_that_are_not_there() -> None:
    model = head()
    predictions = model(*sample(17))
    assignment = model.assign(predictions, [targets((3.0, 9.0)), targets()])
    before = model.loss(predictions, assignment, 1.0)
    away = ~predictions["valid"]
    changed = {
        **predictions,
        "map": torch.where(away[:, None], 9.0, predictions["map"]),
        "start": torch.where(away[:, 0], 9.0, predictions["start"]),
        "end": torch.where(away[:, 0], 9.0, predictions["end"]),
    }
    after = model.loss(changed, assignment, 1.0)
    assert all(after[name].item() == pytest.approx(before[name].item(), rel=1e-6) for name in before)
    same = model.distill(changed, predictions)
    assert all(abs(value.item()) < 1e-6 for value in same.values())


def test_losses_are_functions_of_their_arguments() -> None:
    model = head()
    predictions = model(*sample(17))
    assignment = model.assign(predictions, [targets((3.0, 9.0)), targets((1.0, 2.0))])
    one = model.loss(predictions, assignment, 1.0)
    torch.manual_seed(5)
    assert all(torch.equal(one[name], value) for name, value in model.loss(predictions, assignment, 1.0).items())


# ---- distillation


def test_a_student_that_agrees_with_its_teacher_has_nothing_to_learn_and_one_that_does_not_moves() -> None:
    model = head()
    teacher = model(*sample(17))
    assert all(abs(value.item()) < 1e-6 for value in model.distill(teacher, teacher).values())
    student = {
        name: value + 0.5 if value.is_floating_point() else value for name, value in teacher.items()
    }  # fmt: skip
    losses = model.distill(student, teacher)
    assert set(losses) == {"class", "overlap", "start", "end"} and all(value > 0 for value in losses.values())


def test_distillation_reaches_only_the_student_and_listens_to_a_sure_teacher() -> None:
    """A start that the teacher is sure of weighs half, as much as all the steps where it is sure that there is none."""
    model = head()
    predictions = model(*sample())
    teacher = {**predictions, "start": torch.full((2, 24), -20.0).index_fill(1, torch.tensor(5), 20.0)}
    teacher["start"].requires_grad_()
    student = {**predictions, "start": torch.zeros(2, 24, requires_grad=True)}
    losses = model.distill(student, teacher)
    assert losses["start"].item() == pytest.approx(math.log(2), rel=1e-4)
    losses["start"].backward()
    assert teacher["start"].grad is None
    slopes = student["start"].grad
    assert slopes is not None and slopes[0, 5].item() == pytest.approx(-0.5 * 0.5 / 2, rel=1e-4)


# ---- detections


def certain(starts: list[int], ends: list[int]) -> dict[str, torch.Tensor]:
    """One sample of 24 steps with every segment an action, starts and ends at these steps."""
    at = torch.arange(24)
    return {
        "map": torch.full((1, 2, 8, 24), 3.0),
        "start": torch.where(torch.isin(at, torch.tensor(starts)), 5.0, -5.0)[None],
        "end": torch.where(torch.isin(at, torch.tensor(ends)), 5.0, -5.0)[None],
        "valid": valid_segments(torch.ones(1, 24, dtype=torch.bool), 8),
    }


def test_segments_run_from_likely_starts_to_likely_ends() -> None:
    model = head()
    predictions = certain([6], [9, 12, 20])
    predictions["start"] += 0.01 * torch.linspace(0, -1, 24)  # no plateaus, which are peaks all along
    predictions["end"] += 0.01 * torch.linspace(0, -1, 24)
    [found] = model.decode(predictions)
    steps = {(a + 0.5, b - 0.5) for a, b in found.segments.tolist()}
    assert {(6, 9), (6, 12)} <= steps and (6, 20) not in steps, "longer than the longest"
    assert all(a in (0, 6) and (b in (0, 9, 12, 20, 23)) for a, b in steps), "or begin and end with the sample"


def test_every_segment_is_a_candidate_without_peaks_and_the_best_are_kept() -> None:
    config = replace(SMALL, peaks=False)
    model = head(config)
    predictions = certain([], [])
    assert len(model.decode(predictions)[0].scores) == int(predictions["valid"].sum()) == 8 * 24 - 28
    few = head(replace(config, max_candidates=5))
    predictions["map"][0, :, 2, 3:8] = 4.0
    [found] = few.decode(predictions)
    assert sorted(found.segments[:, 0].tolist()) == [2.5, 3.5, 4.5, 5.5, 6.5]
    assert found.scores.tolist() == pytest.approx([(1 / (1 + math.exp(-4))) ** 2] * 5)


# ---- configuration


def test_impossible_settings_are_refused_at_birth() -> None:
    for settings, message in (
        ({"kernel": 2}, "odd"),
        ({"durations": 0}, "at least 1"),
        ({"length": 0}, "number of steps"),
        ({"resize": 300}, "more than length"),
    ):
        with pytest.raises(ValueError, match=message):
            GTADConfig(**settings)  # type: ignore[arg-type]


def test_segments_of_the_grid_cover_their_steps_whole() -> None:
    grid = segment_grid(3, 5)
    assert grid.shape == (3, 5, 2)
    assert grid[0, 0].tolist() == [-0.5, 0.5] and grid[2, 1].tolist() == [0.5, 3.5]


def test_the_published_layer_has_as_many_parameters() -> None:
    """5,617,540 for 2048 channels of features, of which a branch leaves so many."""
    assert sum(p.numel() for p in GTAD(2048, 1, GTADConfig()).parameters()) == 5_617_540
    assert sum(p.numel() for p in GTAD(1024, 1, GTADConfig()).parameters()) == 5_420_932


# ---- memory


def test_a_training_step_keeps_an_eighth_of_what_sampling_before_projecting_would_keep() -> None:
    """Of the latter the sampled segments alone are counted; tests/bench/bench_gtad_alignment.py measures both."""
    config = GTADConfig(width=64, length=64, durations=32, groups=4, hidden=32, map_width=16)
    segment_map, x = SegmentMap(config), torch.randn(1, 64, 64, requires_grad=True)
    kept: dict[int, int] = {}

    def keep(saved: torch.Tensor) -> torch.Tensor:
        storage = saved.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        segment_map(x, torch.ones(1, 64, dtype=torch.bool))
    sampled = 4 * config.durations * config.length * 2 * config.bins * config.width
    assert 0 < sum(kept.values()) <= sampled / 8
