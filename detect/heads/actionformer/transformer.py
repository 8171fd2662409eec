"""Transformer pyramid with local attention: from one feature sequence to several at halving rates.

Layout inside is (B, T, D), steps before channels, where LayerNorm, Linear and attention want them. Steps under the mask
are zeroed before every convolution, so that nothing that padding does can reach a real step.
Source: ActionFormer (Zhang et al., ECCV 2022, arXiv:2202.07925), equal to its published code but for that mask; see
docs/papers.md.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detect.model.products import Linear, is_large, linear
from detect.model.stretches import in_stretches, is_long
from features.computing.exporting import exporting

CHUNK = 128  # at most so many queries share their keys in local attention; shorter sequences are not cut


class QueryKeyValue(nn.Module):
    """Queries, keys and values: each a depth-wise convolution over 3 steps (strided), a LayerNorm, a linear map.

    The three lie side by side in one tensor, because at small sizes the number of operations is the cost.
    Shapes: taps (3, 3, D) = which, step, channel; weight (3, D, D); norm_weight, norm_bias and bias (3·D,).
    """

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.width, self.stride = width, stride
        self.taps = nn.Parameter(torch.empty(3, 3, width).uniform_(-1, 1) / math.sqrt(3))  # as nn.Conv1d begins
        self.norm_weight = nn.Parameter(torch.ones(3 * width))
        self.norm_bias = nn.Parameter(torch.zeros(3 * width))
        self.weight = nn.Parameter(torch.empty(3, width, width).uniform_(-1, 1) / math.sqrt(width))
        self.bias = nn.Parameter(torch.zeros(3 * width))

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, T, D), zero under the mask. Returns (3, B, T / stride, D)."""
        batch, steps, width = x.shape
        padded = F.pad(x, (0, 0, 1, 1))
        large = is_large(x[0], width, width)
        seen = [(padded[:, k : k + steps : self.stride], self.taps[:, k, None, None]) for k in range(3)]
        if large:  # in half the passes over memory
            mixed = torch.mul(*seen[0]).addcmul_(*seen[1]).addcmul_(*seen[2])
        else:
            before, here, after = (x * taps for x, taps in seen)
            mixed = before + here + after
        x = F.layer_norm(mixed, (width,)).flatten(1, 2)
        # The LayerNorm's weight and bias go into the linear map: it has fewer numbers than the features.
        weight = self.weight * self.norm_weight.view(3, 1, width)
        bias = torch.einsum("qoi,qi->qo", self.weight, self.norm_bias.view(3, width)) + self.bias.view(3, width)
        if exporting() or large:  # three products, which a file can keep in 8 bits
            return torch.stack([linear(*one) for one in zip(x, weight, bias, strict=True)]).view(3, batch, -1, width)
        return torch.baddbmm(bias[:, None], x, weight.transpose(1, 2)).view(3, batch, -1, width)


def neighbours(mask: Tensor, reach: int, size: int = 0) -> Tensor:
    """Who may attend to whom: additive (B · chunks, 1, queries, keys), 0 or -inf, for `local_attention`. size: of a
    chunk, as `_chunks` takes it.

    A query sees the real steps within `reach` on either side. A padded one sees at least itself: its softmax stays
    finite, and its result is thrown away.
    """
    real = _chunks(mask[:, :, None], reach, size)[..., 0]  # (B, chunks, keys)
    lead = reach if size or real.shape[1] > 1 else 0  # of the first key before the first query
    keys = torch.arange(real.shape[2], device=mask.device)
    queries = keys[lead : len(keys) - lead]
    ahead = keys - queries[:, None]
    allowed = ((ahead.abs() <= reach) & real[:, :, None]) | (ahead == 0)
    return torch.zeros(allowed.shape, device=mask.device).masked_fill_(~allowed, -math.inf).flatten(0, 1)[:, None]


def _chunks(x: Tensor, reach: int, size: int = 0) -> Tensor:
    """(B, T, ...) into pieces (B, chunks, steps, ...) that overlap by 2 · reach, zero beyond the ends.

    A sequence of at most CHUNK steps is one piece as it is, a longer one is cut evenly. size: steps of a piece where T
    is a multiple of it, so that the same operations serve every T.
    """
    steps = x.shape[1]
    if size:
        x = F.pad(x, (0, 0) * (x.ndim - 2) + (reach, reach))
        first = torch.arange(steps // size, device=x.device) * size
        return x[:, first[:, None] + torch.arange(size + 2 * reach, device=x.device)]
    count = -(-steps // CHUNK)
    if count == 1:
        return x[:, None]
    size = -(-steps // count)
    x = F.pad(x, (0, 0) * (x.ndim - 2) + (reach, reach + count * size - steps))
    return x.unfold(1, size + 2 * reach, size).movedim(-1, 2)


def local_attention(qkv: Tensor, heads: int, bias: Tensor, reach: int, size: int = 0) -> Tensor:
    """Attention of every step to its neighbours. qkv: (3, B, T, D); bias from `neighbours`, with the same reach and
    size. Returns (B, T, D)."""
    _, batch, steps, _ = qkv.shape
    q, k, v = qkv.unflatten(3, (heads, -1)).unbind(0)  # (B, T, heads, D / heads)
    q, k, v = (_chunks(x, r, size).flatten(0, 1).transpose(1, 2) for x, r in ((q, 0), (k, reach), (v, reach)))
    out = F.scaled_dot_product_attention(q, k, v, bias.to(q.dtype))  # (B · chunks, heads, queries, D / heads)
    return out.transpose(1, 2).reshape(batch, -1, qkv.shape[3])[:, :steps]


class DropPath(nn.Module):
    """Stochastic depth per sample, with a learnable scale per channel that starts almost at zero.

    The scale starts at 1e-4 (ActionFormer), so that blocks begin as the identity. It also hides a miswired block from
    any test that doesn't set it to 1.
    """

    def __init__(self, width: int, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.scale = nn.Parameter(torch.full((width,), 1e-4))

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.scale
        if not self.training or self.rate == 0:
            return x
        kept = torch.empty(x.shape[0], 1, 1, device=x.device).bernoulli_(1 - self.rate) / (1 - self.rate)
        return x * kept.to(x.dtype)


class Block(nn.Module):
    """One pre-norm transformer block; a stride of 2 halves the sequence."""

    compiles = True

    def __init__(
        self, width: int, heads: int, window: int, stride: int, *, mlp_ratio: int, drop_path: float, dropout: float
    ) -> None:
        super().__init__()
        self.heads, self.reach, self.stride = heads, window // 2, stride
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = QueryKeyValue(width, stride)
        self.out = Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            Linear(width, mlp_ratio * width),
            nn.GELU(),
            nn.Dropout(dropout),
            Linear(mlp_ratio * width, width),
            nn.Dropout(dropout),
        )
        self.dropout = nn.Dropout(dropout)
        self.attention_path = DropPath(width, drop_path)
        self.mlp_path = DropPath(width, drop_path)

    def forward(self, x: Tensor, keep: Tensor, bias: Tensor, size: int = 0) -> Tensor:
        """x (B, T, D), keep (B, T, 1) before the stride, bias and size after it. Returns (B, T / stride, D).

        x is zero where keep is, and so is the result.
        """
        attended = local_attention(self.qkv(self.attention_norm(x) * keep), self.heads, bias, self.reach, size)
        attended = self.dropout(self.out(attended))
        if self.stride > 1:
            x = F.max_pool1d(x.transpose(1, 2), 3, stride=self.stride, padding=1).transpose(1, 2)
            keep = keep[:, :: self.stride]
        x = x + self.attention_path(attended)
        x = x + self.mlp_path(self.mlp(self.mlp_norm(x)))
        return x * keep

    def on_long(self, x: Tensor, mask: Tensor) -> Tensor:
        """The same of a long x (B, T, D), mask (B, T), in the memory of a stretch of it."""

        def block(x: Tensor, mask: Tensor) -> Tensor:
            return self(x, mask[:, :, None].to(x.dtype), neighbours(mask[:, :: self.stride], self.reach))

        return in_stretches(block, (x, mask), self.reach + 1, self.stride)


class Pyramid(nn.Module):
    """`stem` blocks at full rate, then levels - 1 blocks that halve the rate; a LayerNorm of its own at every level."""

    def __init__(
        self,
        width: int,
        heads: int,
        windows: tuple[int, ...],
        stem: int,
        *,
        mlp_ratio: int = 4,
        drop_path: float = 0.1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.windows = windows
        self.levels = [0] * stem + list(range(1, len(windows)))  # of each block's output
        self.blocks = nn.ModuleList(
            Block(
                width,
                heads,
                windows[level],
                2 if level else 1,
                mlp_ratio=mlp_ratio,
                drop_path=drop_path,
                dropout=dropout,
            )
            for level in self.levels
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in windows)

    @property
    def whole(self) -> int:
        """Steps of which an exported network takes a multiple: every level is cut into as many pieces as the first."""
        return max(CHUNK, 2 ** (len(self.windows) - 1))

    def forward(self, x: Tensor, mask: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """x (B, T, D), mask (B, T), T a multiple of 2^(levels - 1). Returns levels (B, T / 2^l, D) and their masks.

        x is zero under the mask, and so are the levels under theirs.
        """
        masks = [mask[:, :: 2**level] for level in range(len(self.windows))]
        keeps = [m[:, :, None].to(x.dtype) for m in masks]
        sizes = [self.whole >> level if exporting() else 0 for level in range(len(masks))]
        biases = [neighbours(m, w // 2, size) for m, w, size in zip(masks, self.windows, sizes, strict=True)]
        outputs = {}
        for level, block in zip(self.levels, self.blocks, strict=True):
            before = max(0, level - 1)
            if is_long(x):
                x = outputs[level] = block.on_long(x, masks[before])  # type: ignore[operator]
            else:
                x = outputs[level] = block(x, keeps[before], biases[level], sizes[level])
        return [norm(outputs[level]) * keeps[level] for level, norm in enumerate(self.norms)], masks
