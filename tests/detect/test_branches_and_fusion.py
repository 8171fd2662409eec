"""Projections and local attentive fusion: masks, locality, formulas."""

import pytest
import torch
from torch import nn

from detect.model.branches import Projection, convolve_steps
from detect.model.fusion import FusionConfig, LocalAttentiveFusion

MASK = torch.arange(12)[None] < torch.tensor([[12], [7]])


@pytest.mark.parametrize(("channels_in", "channels_out"), [(6, 5), (24, 3)])
def test_convolving_steps_is_a_masked_convolution(channels_in: int, channels_out: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv1d(channels_in, channels_out, 3, padding=1)
    x, keep = torch.randn(2, 12, channels_in), MASK[:, :, None].float()
    found = convolve_steps(x, keep, convolution.weight, convolution.bias)
    assert torch.allclose(found, convolution((x * keep).transpose(1, 2)).transpose(1, 2), atol=1e-5)


def test_a_projection_is_zero_under_the_mask_and_ignores_what_is_there() -> None:
    torch.manual_seed(0)
    projection = Projection(24, 4).eval()
    for layer in projection.layers:
        nn.init.normal_(layer.norm.bias)  # what would leak
    features = torch.randn(2, 24, 12)
    out = projection(features, MASK)
    assert out.shape == (2, 4, 12) and (out[1, :, 7:] == 0).all() and (out >= 0).all()
    assert torch.allclose(projection(features[1:, :, :7], MASK[1:, :7]), out[1:, :, :7], atol=1e-6)
    changed = torch.where(MASK[:, None], features, 100.0)
    assert torch.allclose(projection(changed, MASK), out)


def test_a_projection_of_depth_two_sees_two_steps_to_either_side() -> None:
    torch.manual_seed(0)
    projection = Projection(6, 8, depth=2).eval()
    features, mask = torch.randn(1, 6, 20), torch.ones(1, 20, dtype=torch.bool)
    changed = features.clone()
    changed[:, :, 10] = torch.randn(6)
    moved = (projection(features, mask) - projection(changed, mask)).abs().sum(1)[0] > 1e-6
    assert moved.nonzero()[:, 0].tolist() == [8, 9, 10, 11, 12]


def test_dropout_takes_whole_channels() -> None:
    torch.manual_seed(0)
    projection = Projection(64, 4, dropout=0.5)
    dropped = projection.dropout(torch.ones(1, 64, 10))[0]
    assert ((dropped == 0).all(1) | (dropped == 2).all(1)).all() and 16 < (dropped[:, 0] == 0).sum() < 48


# ---- fusion


def branches() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    keep = MASK[:, None].float()
    return torch.randn(2, 8, 12) * keep, torch.randn(2, 8, 12) * keep


def test_fusion_is_its_formula() -> None:
    appearance, motion = branches()
    fusion = LocalAttentiveFusion(8)
    out = fusion(appearance, motion, MASK)
    for (f, g, query, key), half in zip(
        (
            (appearance, motion, fusion.query[0].weight, fusion.key[0].weight),
            (motion, appearance, fusion.query[1].weight, fusion.key[1].weight),
        ),
        (out[:, :8], out[:, 8:]),
        strict=True,
    ):
        for b, length in ((0, 12), (1, 7)):
            for t in range(length):
                gate = torch.sigmoid((query @ f[b, :, :length].mean(1)) * (key @ g[b, :, t]))
                assert torch.allclose(half[b, :, t], gate * f[b, :, t], atol=1e-6)


def test_motion_at_one_step_does_not_reach_appearance_at_other_steps() -> None:
    appearance, motion = branches()
    fusion = LocalAttentiveFusion(8)
    changed = motion.clone()
    changed[0, :, 5] += 1
    moved = (fusion(appearance, motion, MASK) - fusion(appearance, changed, MASK))[0, :8].abs().sum(0) > 1e-7
    assert moved.nonzero()[:, 0].tolist() == [5]


@pytest.mark.parametrize("kind", ["gate", "residual", "concat"])
@pytest.mark.parametrize("bias", [False, True])
def test_padding_changes_nothing_on_real_steps(kind: str, bias: bool) -> None:
    appearance, motion = branches()
    fusion = LocalAttentiveFusion(8, FusionConfig(kind, bias))
    out = fusion(appearance, motion, MASK)
    alone = fusion(appearance[1:, :, :7], motion[1:, :, :7], MASK[1:, :7])
    assert torch.allclose(out[1:, :, :7], alone, atol=1e-6)
    assert (out[1, :, 7:] == 0).all()


def test_kinds_of_fusion_differ_as_they_say() -> None:
    appearance, motion = branches()
    gate = LocalAttentiveFusion(8)
    residual = LocalAttentiveFusion(8, FusionConfig("residual"))
    residual.load_state_dict(gate.state_dict())
    concat = LocalAttentiveFusion(8, FusionConfig("concat"))
    both = torch.cat([appearance, motion], 1)
    assert torch.equal(concat(appearance, motion, MASK), both) and not list(concat.parameters())
    assert torch.allclose(residual(appearance, motion, MASK), both + gate(appearance, motion, MASK), atol=1e-6)
    with pytest.raises(ValueError, match="gate, residual, concat"):
        FusionConfig("attention")
