"""Local attention and the pyramid's blocks, against the plain definition."""

import math

import pytest
import torch

from detect.heads.actionformer.transformer import CHUNK, DropPath, Pyramid, local_attention, neighbours


def attend_directly(qkv: torch.Tensor, heads: int, mask: torch.Tensor, reach: int) -> torch.Tensor:
    """Softmax over the real steps within reach, one query after the other."""
    _, batch, steps, width = qkv.shape
    out = torch.zeros(batch, steps, width)
    q, k, v = qkv.view(3, batch, steps, heads, width // heads)
    for b in range(batch):
        for t in mask[b].nonzero()[:, 0].tolist():
            seen = [s for s in range(max(0, t - reach), min(steps, t + reach + 1)) if mask[b, s]]
            for h in range(heads):
                weight = torch.softmax(k[b, seen, h] @ q[b, t, h] / math.sqrt(width // heads), 0)
                out[b, t, h * (width // heads) : (h + 1) * (width // heads)] = weight @ v[b, seen, h]
    return out


@pytest.mark.parametrize("steps", [1, 5, CHUNK, CHUNK + 1, 2 * CHUNK + 3])
@pytest.mark.parametrize("reach", [0, 2, 9])
def test_local_attention_is_a_softmax_over_real_neighbours(steps: int, reach: int) -> None:
    torch.manual_seed(0)
    qkv = torch.randn(3, 2, steps, 8)
    mask = torch.arange(steps)[None] < torch.tensor([[steps], [max(1, steps // 2)]])
    found = local_attention(qkv, 2, neighbours(mask, reach), reach)
    expected = attend_directly(qkv, 2, mask, reach)
    assert torch.allclose(found[mask], expected[mask], atol=1e-5)
    assert torch.isfinite(found).all()


def test_the_gradient_of_a_long_sequence_is_finite_under_the_mask_too() -> None:
    qkv = torch.randn(3, 1, CHUNK + 30, 8, requires_grad=True)
    mask = torch.arange(CHUNK + 30)[None] < 40
    local_attention(qkv, 2, neighbours(mask, 4), 4)[mask].sum().backward()
    assert qkv.grad is not None and torch.isfinite(qkv.grad).all()
    assert qkv.grad[:, :, 40:].abs().max() == 0


def test_levels_halve_and_their_masks_keep_every_second_step() -> None:
    pyramid = Pyramid(8, 2, (5, 5, 5), stem=2)
    mask = torch.arange(16)[None] < 9
    levels, masks = pyramid(torch.randn(1, 16, 8) * mask[:, :, None], mask)
    assert [tuple(x.shape) for x in levels] == [(1, 16, 8), (1, 8, 8), (1, 4, 8)]
    assert [m.sum().item() for m in masks] == [9, 5, 3]
    assert all((x[0, int(m.sum()) :] == 0).all() for x, m in zip(levels, masks, strict=True))
    assert len(pyramid.blocks) == 4


def test_blocks_begin_as_the_identity() -> None:
    """Scales of 1e-4: level 0 is its LayerNorm of the input, nearly."""
    torch.manual_seed(0)
    pyramid = Pyramid(8, 2, (5, 5), stem=2).eval()
    x, mask = torch.randn(1, 8, 8), torch.ones(1, 8, dtype=torch.bool)
    assert torch.allclose(pyramid(x, mask)[0][0], torch.nn.functional.layer_norm(x, (8,)), atol=1e-2)


def test_drop_path_drops_whole_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    path = DropPath(1, 0.25)
    with torch.no_grad():
        path.scale.fill_(1)
    out = path(torch.ones(4000, 3, 1))
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (out[:, 0] == out[:, 2]).all()
    assert out.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(path.eval()(torch.ones(2, 3, 1)), torch.ones(2, 3, 1))
