"""Projections: the convolutions that turn one cue's cached features into one branch of the detector.

ActionFormer's two embedding convolutions are the projection, and everything after them belongs to the head. So a branch
costs 2.4 M parameters instead of a whole encoder, and inference runs the encoder once.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detect.model.products import convolve, is_large
from detect.model.stretches import in_stretches, is_long
from detect.precision import Network


class Projection(Network):
    """Cached features to branch features: `depth` times a convolution over 3 steps, LayerNorm and ReLU.

    Steps under the mask count as zero on the way in and in between, and come out as zero.
    """

    compiles = True

    def __init__(self, in_channels: int, width: int, depth: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"Projection: depth must be at least 1, got {depth}")
        self.layers = nn.ModuleList(
            ConvolutionLayer(i, o) for i, o in itertools.pairwise([in_channels] + [width] * depth)
        )
        self.dropout = nn.Dropout1d(dropout)  # whole channels of a sample

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """features (B, D_in, T), mask (B, T) bool. Returns (B, D, T), zero under the mask."""
        keep = mask[:, :, None].to(features.dtype)  # (B, T, 1)
        x = self.dropout(features).transpose(1, 2)
        if is_long(x):
            return in_stretches(self._through, (x, keep), len(self.layers)).transpose(1, 2)
        return self._through(x, keep).transpose(1, 2)

    def _through(self, x: Tensor, keep: Tensor) -> Tensor:
        """x (B, T, D_in), keep (B, T, 1). Returns (B, T, D)."""
        for layer in self.layers:
            x = layer(x, keep)
        return x * keep


class ConvolutionLayer(nn.Module):
    """Convolution over 3 steps without bias (the LayerNorm brings one), LayerNorm, ReLU; (B, T, D) in and out.

    Source: ActionFormer's embedding and heads. Departure: the original masks before the LayerNorm only, whose bias then
    fills the padded steps and reaches the last real ones through the next convolution. Here padding reaches nothing.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm = nn.LayerNorm(out_channels)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """x (B, T, D) counts as zero where keep (B, T, 1) is 0; what comes out there is meaningless."""
        return self.norm(convolve_steps(x, keep, self.convolution.weight)).relu()


def convolve_steps(x: Tensor, keep: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """nn.Conv1d over 3 steps with zero padding, steps before channels: (B, T, D_in) to (B, T, D_out).

    x counts as zero where keep (B, T, 1) is 0; weight (D_out, D_in, 3) and bias (D_out,) as in nn.Conv1d. As a matrix
    product it takes a fifth less time on a CPU, and (B, T, D) is what LayerNorm and Linear want.
    """
    if x.shape[2] > 2 * weight.shape[0]:  # many channels in, few out: multiply first, then add three shifted results
        before, here, after = (F.linear(x, weight.permute(2, 0, 1).flatten(0, 1)) * keep).chunk(3, dim=2)
        y = here + F.pad(before, (0, 0, 1, -1)) + F.pad(after, (0, 0, -1, 1))
        return y if bias is None else y + bias
    if is_large(x, *weight.shape[:2]):
        y = convolve(x, keep, weight)
        return y if bias is None else y + bias
    padded = F.pad(x * keep, (0, 0, 1, 1))
    windows = torch.cat([padded[:, :-2], padded[:, 1:-1], padded[:, 2:]], dim=2)  # (B, T, 3·D_in)
    return F.linear(windows, weight.permute(0, 2, 1).flatten(1), bias)
