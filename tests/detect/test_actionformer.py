"""The ActionFormer head: padding, points, decoding, cached predictions, configuration."""

import math

import pytest
import torch
from small_heads import SMALL, empty_predictions, head

from detect.heads import HEADS
from detect.heads.actionformer.head import ActionFormer, ActionFormerConfig
from detect.model.detector import Detector, DetectorConfig

# ---- the network


def test_the_published_size_has_the_published_number_of_parameters() -> None:
    for dims, total, decayed in ((2048, 29_251_612, 29_164_032), (1024, 27_678_748, None)):
        config = DetectorConfig(classes=tuple(f"class {i}" for i in range(20)), feature_dims={"rgb": dims})
        parameters = list(Detector(config).parameters())
        assert sum(p.numel() for p in parameters) == total
        if decayed:  # matrices decay, vectors (biases, LayerNorms, scales) don't: 87,580 numbers
            assert sum(p.numel() for p in parameters if p.ndim > 1) == decayed


def test_a_sequence_of_2304_steps_has_4536_points() -> None:
    at, strides, ranges = ActionFormer(16, 3, ActionFormerConfig(width=16)).points(2304)
    assert len(at) == 4536
    assert at[:3].tolist() == [0, 1, 2] and at[2304:2307].tolist() == [0, 2, 4]
    assert strides[-1] == 32 and at[-1] == 71 * 32
    assert ranges[0].tolist() == [0, 4] and ranges[2304].tolist() == [4, 8] and ranges[-1].tolist() == [64, 1e4]


@pytest.mark.parametrize("length", [1, 2, 7, 8, 61, 200])
def test_padding_on_the_right_changes_nothing_on_real_steps(length: int) -> None:
    model = head()
    features = torch.randn(1, 16, length)
    alone = model(features, torch.ones(1, length, dtype=torch.bool))
    for padding in (1, 8, 150):
        padded = torch.nn.functional.pad(features, (0, padding), value=50.0)
        mask = torch.arange(length + padding)[None] < length
        both = model(padded, mask)
        assert both["valid"].sum() == alone["valid"].sum() == sum(-(-length // 2**level) for level in range(4))
        for name in ("logits", "offsets"):
            assert (both[name][both["valid"]] - alone[name][alone["valid"]]).abs().max() < 1e-5


def test_padded_steps_pass_no_gradient_and_no_nan() -> None:
    model = head().train()
    features = torch.randn(2, 16, 150, requires_grad=True)
    mask = torch.arange(150)[None] < torch.tensor([[150], [3]])
    predictions = model(features, mask)
    sum(value.sum() for value in (predictions["logits"], predictions["offsets"])).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert features.grad is not None and torch.isfinite(features.grad).all()
    assert (features.grad.abs().sum(1) > 0)[mask].all() and (features.grad.abs().sum(1) == 0)[~mask].all()


def test_batching_a_video_with_others_changes_nothing() -> None:
    model = head()
    features, mask = torch.randn(3, 16, 40), torch.arange(40)[None] < torch.tensor([[40], [17], [30]])
    together = model(features, mask)
    for i in range(3):
        alone = model(features[i : i + 1], mask[i : i + 1])
        assert torch.allclose(together["logits"][i], alone["logits"][0], atol=1e-5)


def test_a_step_is_seen_as_far_as_windows_and_convolutions_reach_and_no_farther() -> None:
    """One level, one stem block of window 5, two towers of 3: 1 (depth-wise) + 2 (window) + 3 (towers) steps."""
    model = head(ActionFormerConfig(width=16, levels=1, window=5, stem=1))
    features, mask = torch.randn(1, 16, 40), torch.ones(1, 40, dtype=torch.bool)
    changed = features.clone()
    changed[:, :, 20] = torch.randn(16)  # adding a constant would do nothing: LayerNorms take it out
    moved = (model(features, mask)["logits"] - model(changed, mask)["logits"]).abs().sum(2)[0] > 1e-6
    assert moved.nonzero()[:, 0].tolist() == list(range(20 - 6, 20 + 7))


def test_every_class_is_unlikely_before_training() -> None:
    model = ActionFormer(16, 3, SMALL).eval()
    scores = model(torch.randn(2, 16, 32), torch.ones(2, 32, dtype=torch.bool))["logits"].sigmoid()
    assert model.classifier.output.bias is not None
    assert model.classifier.output.bias[0].item() == pytest.approx(-math.log(99))
    assert scores.mean() < 0.1


def test_a_joint_head_on_wider_features_brings_them_to_its_width() -> None:
    model = head(in_channels=32)
    predictions = model(torch.randn(1, 32, 16), torch.ones(1, 16, dtype=torch.bool))
    assert predictions["logits"].shape == (1, 16 + 8 + 4 + 2, 3)


# ---- decoding


def test_a_point_that_is_sure_becomes_one_segment() -> None:
    """Level 1, third point: step 4; offsets (1.5, 2) strides of 2 steps: 4 - 3 to 4 + 4."""
    model = head()
    predictions = empty_predictions(model, 16)
    predictions["logits"][0, 16 + 2, 1] = math.log(3)  # probability 3/4
    predictions["offsets"][0, 16 + 2] = torch.tensor([1.5, 2.0])
    [found] = model.decode(predictions)
    assert found.segments.tolist() == [[1.0, 8.0]]
    assert found.scores.tolist() == pytest.approx([0.75]) and found.labels.tolist() == [1]


def test_padded_points_and_empty_segments_are_not_detected() -> None:
    model = head()
    predictions = empty_predictions(model, 16)
    predictions["logits"][:] = 5.0
    predictions["offsets"][:, 3] = 1.0
    predictions["offsets"][:, 4] = 1.0
    predictions["valid"][:, 4] = False
    [found] = model.decode(predictions)
    assert found.segments.tolist() == [[2.0, 4.0]] * 3 and sorted(found.labels.tolist()) == [0, 1, 2]


def test_only_the_best_candidates_of_a_level_are_decoded() -> None:
    model = head(ActionFormerConfig(width=16, levels=2, window=5, max_candidates=4))
    predictions = empty_predictions(model, 8)
    predictions["logits"][:] = torch.arange(12.0)[:, None].expand(12, 3) - 6
    predictions["offsets"][:] = 1.0
    [found] = model.decode(predictions)
    assert len(found.scores) == 8
    assert sorted({round(s, 4) for s in found.scores.tolist()}) == sorted(
        {round(1 / (1 + math.exp(6 - k)), 4) for k in (6, 7, 10, 11)}
    )


# ---- cached predictions


def test_cropped_and_stacked_predictions_lie_where_those_of_the_sample_would() -> None:
    model = head()
    whole = model(torch.randn(1, 16, 45), torch.ones(1, 45, dtype=torch.bool))
    pieces = [model.crop(whole, 8, 30), model.crop(whole, 0, 45)]
    batch = model.stack(pieces, 45)
    sample = model(torch.randn(2, 16, 45), torch.arange(45)[None] < torch.tensor([[22], [45]]))
    assert {name: value.shape for name, value in batch.items()} == {name: v.shape for name, v in sample.items()}
    assert torch.equal(batch["valid"], sample["valid"])
    assert torch.equal(batch["logits"][1], whole["logits"][0])
    start_of_level_2 = 48 + 24  # 45 steps are padded to 48; the crop starts at step 8, point 2 of level 2
    assert torch.equal(batch["logits"][0, start_of_level_2], whole["logits"][0, start_of_level_2 + 2])


def test_a_crop_between_points_is_refused() -> None:
    model = head()
    with pytest.raises(ValueError, match="start 3 is not a multiple of the alignment 8"):
        model.crop(empty_predictions(model, 32), 3, 20)


# ---- configuration


def test_impossible_settings_are_refused_at_birth() -> None:
    for settings, message in (({"window": 8}, "odd"), ({"width": 10}, "multiple of heads"), ({"levels": 0}, "level")):
        with pytest.raises(ValueError, match=message):
            ActionFormerConfig(**settings)  # type: ignore[arg-type]


def test_a_window_for_each_level_survives_json() -> None:
    assert ActionFormerConfig(levels=2, window=[7, 9]).windows == (7, 9)  # type: ignore[arg-type]


def test_every_head_says_what_it_needs() -> None:
    for name, kind in HEADS.items():
        model = kind(16, 3, kind.Config(width=64))
        assert model.in_channels == 16 and model.num_classes == 3 and model.sample.multiple >= 1, name
