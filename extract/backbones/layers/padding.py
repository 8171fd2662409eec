"""TensorFlow's SAME padding, which is decided from the size that arrives."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

Margins = list[tuple[int, int]]  # zeros before and after, by dimension


def same_margins(sizes: Sequence[int], kernel: Sequence[int], stride: Sequence[int]) -> Margins:
    """So many that a kernel at this stride gives ceil(size / stride) outputs. The odd zero goes to the back."""
    margins = []
    for size, k, s in zip(sizes, kernel, stride, strict=True):
        total = max(k - (s if size % s == 0 else size % s), 0)
        margins.append((total // 2, total - total // 2))
    return margins


def padded(x: Tensor, margins: Margins) -> Tensor:
    """(B, C, T, H, W) with these zeros around it."""
    padding = [zeros for margin in reversed(margins) for zeros in margin]  # F.pad begins with the last dimension
    return F.pad(x, padding) if any(padding) else x


def pad_same(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """(B, C, T, H, W) padded. Before a max pool zeros are harmless where what arrives is never negative."""
    return padded(x, same_margins(x.shape[2:], kernel, stride))


class SameConv3d(nn.Conv3d):
    """nn.Conv3d with SAME padding."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(pad_same(x, self.kernel_size, self.stride))
