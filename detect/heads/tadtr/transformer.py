"""TadTR's transformer: an encoder of deformable self-attention, and queries that a decoder turns into segments.

Layout is (B, T, D) and (B, Q, D), steps or queries before channels. Places and segments are shares of a sample's real
steps, so that padding, which is never read, moves nothing.
Source: Liu et al., TIP 2022, arXiv:2106.10271, equal to its published code; see docs/papers.md.
"""

import math

import torch
from torch import Tensor, nn

from detect.heads.positions import sinusoids
from detect.heads.tadtr.attention import DeformableAttention
from detect.precision import exactly

NEAR = 1e-5  # shares are kept so far from 0 and 1 before their logit


class FeedForward(nn.Module):
    """x + two linear maps with a ReLU between, then a LayerNorm."""

    def __init__(self, width: int, ratio: int, dropout: float) -> None:
        super().__init__()
        self.wide = nn.Linear(width, ratio * width)
        self.narrow = nn.Linear(ratio * width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        for layer in (self.wide, self.narrow):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.dropout(self.narrow(self.dropout(self.wide(x).relu()))))


class EncoderLayer(nn.Module):
    """Deformable self-attention and a feed-forward part, each added and then normalised."""

    compiles = True

    def __init__(self, width: int, heads: int, points: int, ratio: int, dropout: float) -> None:
        super().__init__()
        self.attention = DeformableAttention(width, heads, points)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward = FeedForward(width, ratio, dropout)

    def forward(self, x: Tensor, position: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
        x = self.norm(x + self.dropout(self.attention(x + position, reference, x, mask)))
        return self.feed_forward(x)


class Encoder(nn.Module):
    """Layers of deformable self-attention; a step's reference is its own middle."""

    def __init__(self, layers: int, width: int, heads: int, points: int, ratio: int, dropout: float) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.randn(width))  # added to all positions, as for the one level of several
        self.layers = nn.ModuleList(EncoderLayer(width, heads, points, ratio, dropout) for _ in range(layers))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, D), mask (B, T). Returns the memory (B, T, D), meaningless under the mask."""
        steps = mask.sum(1, keepdim=True).clamp(min=1)  # (B, 1)
        position = sines(mask, x.shape[2]).to(x.dtype) + self.level
        reference = ((torch.arange(x.shape[1], device=x.device) + 0.5) / steps)[:, :, None].to(x.dtype)
        for layer in self.layers:
            x = layer(x, position, reference, mask)
        return x


class DecoderLayer(nn.Module):
    """Attention among the queries, deformable attention to the memory, a feed-forward part."""

    compiles = True

    def __init__(self, width: int, heads: int, points: int, ratio: int, dropout: float) -> None:
        super().__init__()
        self.among = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.among_norm = nn.LayerNorm(width)
        self.attention = DeformableAttention(width, heads, points)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward = FeedForward(width, ratio, dropout)
        nn.init.xavier_uniform_(self.among.out_proj.weight)

    def forward(self, x: Tensor, position: Tensor, reference: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        placed = x + position
        x = self.among_norm(x + self.dropout(self.among(placed, placed, x, need_weights=False)[0]))
        x = self.norm(x + self.dropout(self.attention(x + position, reference, memory, mask)))
        return self.feed_forward(x)


class Decoder(nn.Module):
    """Queries read the memory layer by layer, and each layer moves the segments that the one before it said.

    Layer 0 starts from a place that the query's position gives; no gradient goes from a layer's segments to an
    earlier one's.
    """

    def __init__(
        self, queries: int, layers: int, width: int, heads: int, points: int, ratio: int, dropout: float
    ) -> None:
        super().__init__()
        self.queries = nn.Embedding(queries, 2 * width)  # position, content
        self.reference = nn.Linear(width, 1)  # the first place of a query, from its position
        self.layers = nn.ModuleList(DecoderLayer(width, heads, points, ratio, dropout) for _ in range(layers))
        # Narrow segments to begin with, at which the later layers leave them.
        self.regressors = nn.ModuleList(regressor(width, 0.0 if layer else -2.0) for layer in range(layers))
        nn.init.xavier_uniform_(self.reference.weight)
        nn.init.zeros_(self.reference.bias)

    def forward(self, memory: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """memory (B, T, D), mask (B, T). Returns queries (B, layers, Q, D) and segments (B, layers, Q, 2), each centre
        and width as a share of the real steps."""
        position, x = self.queries.weight.expand(len(memory), -1, -1).chunk(2, dim=2)
        reference = exactly(self.reference, position).sigmoid()  # (B, Q, 1)
        outputs, segments = [], []
        for layer, regress in zip(self.layers, self.regressors, strict=True):
            x = layer(x, position, reference, memory, mask)
            moved = exactly(regress, x)
            known = logit(reference)
            if known.shape[2] == 1:
                known = torch.cat([known, torch.zeros_like(known)], dim=2)
            segments.append((moved + known).sigmoid())
            outputs.append(x)
            reference = segments[-1].detach()
        return torch.stack(outputs, dim=1), torch.stack(segments, dim=1)


def regressor(width: int, wider: float) -> nn.Sequential:
    """Three linear maps to two numbers: 0 and `wider` before training, whatever they read."""
    last = nn.Linear(width, 2)
    nn.init.zeros_(last.weight)
    with torch.no_grad():
        last.bias.copy_(torch.tensor([0.0, wider]))
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), last)


def logit(share: Tensor) -> Tensor:
    return torch.log(share.clamp(min=NEAR) / (1 - share).clamp(min=NEAR))


def sines(mask: Tensor, width: int) -> Tensor:
    """(B, T, width): sine and cosine of a real step's place, from above 0 to 2π at the last, ever slower."""
    place = mask.cumsum(1, dtype=torch.float32)
    place = place / (place[:, -1:] + 1e-6) * (2 * math.pi)
    return sinusoids(place, width)


class MaskedGroupNorm(nn.GroupNorm):
    """GroupNorm over the real steps of a sample alone, so that padding changes nothing."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """x (B, T, D), mask (B, T). Returns (B, T, D), zero under the mask."""
        keep = mask[:, :, None, None].to(x.dtype)
        groups = x.unflatten(2, (self.num_groups, -1)) * keep  # (B, T, groups, D / groups)
        count = (keep.sum(1, keepdim=True) * groups.shape[3]).clamp(min=1)
        centred = (groups - groups.sum((1, 3), keepdim=True) / count) * keep
        deviation = (centred.square().sum((1, 3), keepdim=True) / count + self.eps).sqrt()
        return ((centred / deviation).flatten(2) * self.weight + self.bias) * mask[:, :, None]
