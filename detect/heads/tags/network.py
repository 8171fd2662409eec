"""What TAGS reads a sample with: a self-attention over all of it, and convolutions that draw one mask per step.

Layout inside is (B, T, D), steps before channels. Steps under the mask are no keys of the attention and zero before
every convolution, so that nothing that padding does can reach a real step.
"""

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detect.model.branches import convolve_steps
from detect.precision import exactly


class SnippetEmbedding(nn.Module):
    """Self-attention of all real steps, added to the input, LayerNorm; no bias in queries, keys and values, no MLP.

    Source: TAGS, whose heads are each as wide as the features (`channels`).
    """

    compiles = True

    def __init__(self, width: int, heads: int, channels: int, dropout: float, attention_dropout: float) -> None:
        super().__init__()
        self.heads, self.attention_dropout = heads, attention_dropout
        self.queries, self.keys, self.values = (nn.Linear(width, heads * channels, bias=False) for _ in range(3))
        self.out = nn.Linear(heads * channels, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        for linear in (self.queries, self.keys, self.values):
            nn.init.normal_(linear.weight, std=math.sqrt(2 / (width + channels)))
        nn.init.xavier_normal_(self.out.weight)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, D), mask (B, T). Returns (B, T, D); what lies under the mask is meaningless."""
        q, k, v = (
            linear(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for linear in (self.queries, self.keys, self.values)
        )  # (B, heads, T, channels)
        # A sample without any real step has keys all the same: its softmax stays finite, its result is thrown away.
        seen = (mask | ~mask.any(1, keepdim=True))[:, None, None]
        drop = self.attention_dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=drop)
        attended = self.out(attended.transpose(1, 2).flatten(2))
        normed: Tensor = self.norm(x + self.dropout(attended))
        return normed


class MaskTower(nn.Module):
    """Convolutions over 3 steps, then a linear map without bias to a mask over the sample for every step: its logits.

    The second convolution has no ReLU after it, as in the published code.

    relative False: output p of a step is the sample's step p, as published. True (ours): output T - 1 + d is the step
    d steps later; the same action gives the same outputs wherever it lies in the sample.
    """

    compiles = True

    def __init__(self, width: int, channels: Sequence[int], length: int, relative: bool) -> None:
        super().__init__()
        self.length, self.relative = length, relative
        self.convolutions = nn.ModuleList(
            nn.Conv1d(i, o, 3, padding=1) for i, o in itertools.pairwise([width, *channels])
        )
        self.output = nn.Linear(channels[-1], 2 * length - 1 if relative else length, bias=False)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """x (B, T, D), keep (B, T, 1), T = length. Returns (B, T, T): step, then position in the sample."""
        for place, convolution in enumerate(self.convolutions):
            x = convolve_steps(x, keep, convolution.weight, convolution.bias)  # type: ignore[arg-type]
            x = x if place == 1 else x.relu()
        said: Tensor = exactly(self.output, x)
        return from_step_to_sample(said) if self.relative else said


def from_step_to_sample(relative: Tensor) -> Tensor:
    """(B, T, 2T - 1), entry T - 1 + d of a step about the step d later, as (B, T, T), entry p about step p."""
    steps = torch.arange(relative.shape[1], device=relative.device)
    index = steps - steps[:, None] + relative.shape[1] - 1  # (T, T): of step, position
    return relative.gather(2, index.expand(relative.shape[0], -1, -1))
