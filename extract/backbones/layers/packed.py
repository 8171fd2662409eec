"""Networks whose weights are final, for the CPU: the same features but for rounding, in less time.

A convolution in three dimensions goes to oneDNN, whatever its size: torch itself unrolls those of one clip into
matrices, which also leaves the memory format. The batch normalisation that follows is folded into its weights, as
w * gamma / sqrt(var + eps), and the ReLU applied where results are written. In bfloat16, whose products take channels
two by two and more, a first layer of few channels and stride 2 along W sees pairs of pixels: in memory that is the same
tensor, with half the width and twice the channels.

A packed network cannot be trained, saved or exported.
"""

import platform
from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from extract.backbones.layers.padding import SameConv3d, padded, same_margins

X86 = platform.machine() in ("x86_64", "AMD64")  # where it was measured
FEW = 8  # channels: a layer with fewer sees pairs of pixels
LAYOUT = torch.channels_last_3d


def pack(network: nn.Module, dtype: torch.dtype) -> None:
    """Packs all convolutions of a network in eval mode, whose weights are float32, for numbers of this type."""
    if not can_run(dtype):
        return
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if can_pack(layer):
                after = _after(parent, name)
                packed = Packed(layer, list(after.values()), dtype)
                setattr(parent, name, packed)
                for other in after:
                    setattr(parent, other, nn.Identity())


@lru_cache
def can_run(dtype: torch.dtype) -> bool:
    """Whether this torch has the operator, which is none that it promises, on this machine."""
    if not (X86 and torch.backends.mkldnn.is_available()):
        return False
    try:
        Packed(nn.Conv3d(1, 1, 1), [nn.ReLU()], dtype)(torch.zeros(1, 1, 1, 1, 1, dtype=dtype))
    except (RuntimeError, AttributeError, TypeError):
        return False
    return True


def can_pack(layer: nn.Module) -> bool:
    """Whether this is a convolution in three dimensions, and nothing more."""
    return (
        isinstance(layer, nn.Conv3d)
        and type(layer).forward in (nn.Conv3d.forward, SameConv3d.forward)
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


def _after(parent: nn.Module, name: str) -> dict[str, nn.Module]:
    """What of its parent, a chain, comes after a convolution and can be one with it, by name."""
    found: dict[str, nn.Module] = {}
    if isinstance(parent, nn.Sequential):
        names = list(parent._modules)
        for other in names[names.index(name) + 1 :]:
            layer = parent.get_submodule(other)
            wanted = (nn.BatchNorm3d, nn.ReLU) if not found else nn.ReLU
            if not isinstance(layer, wanted):
                break
            found[other] = layer
            if isinstance(layer, nn.ReLU):
                break
    return found


def max_pool(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """F.max_pool3d. In inference mode on the CPU, at stride 1, one dimension after the other, by rows of channels."""
    by_rows = torch.is_inference_mode_enabled() and x.device.type == "cpu" and max(stride) == 1
    if not (by_rows and x.is_contiguous(memory_format=LAYOUT)):
        return F.max_pool3d(x, tuple(kernel), tuple(stride))
    for dim, size in enumerate(kernel, 2):
        length = x.shape[dim] - size + 1
        first, *others = (x.narrow(dim, start, length) for start in range(size))
        x = torch.maximum(first, others[0]) if others else first
        for other in others[1:]:
            torch.maximum(x, other, out=x)
    return x


class Packed(nn.Module):
    """A convolution with the normalisation and the ReLU that follow it: (B, C, T, H, W) of its dtype, on the CPU."""

    def __init__(self, conv: nn.Module, after: Sequence[nn.Module], dtype: torch.dtype) -> None:
        super().__init__()
        assert isinstance(conv, nn.Conv3d)
        self.same = isinstance(conv, SameConv3d)
        self.padding = [(zeros, zeros) for zeros in conv.padding if isinstance(zeros, int)]
        self.kernel, self.stride = conv.kernel_size, conv.stride
        self.dilation, self.groups = list(conv.dilation), conv.groups
        weight, bias = folded(conv, [layer for layer in after if isinstance(layer, nn.BatchNorm3d)])
        few = conv.in_channels < FEW and conv.groups == 1 and conv.stride[2] == 2 and conv.dilation[2] == 1
        self.pairs = few and dtype == torch.bfloat16
        if self.pairs:
            weight = in_pairs(weight)
        self.weight = nn.Parameter(weight.to(dtype).contiguous(memory_format=LAYOUT), requires_grad=False)
        self.bias = nn.Parameter(bias.to(dtype), requires_grad=False)
        self.last = "relu" if any(isinstance(layer, nn.ReLU) for layer in after) else "none"

    def forward(self, x: Tensor) -> Tensor:
        margins = same_margins(x.shape[2:], self.kernel, self.stride) if self.same else list(self.padding)
        if self.pairs:  # whole pairs, and as many of them as the taps see
            before, after = margins[2]
            width = x.shape[4] + before + after
            columns = (width - self.kernel[2]) // 2 + 1
            margins[2] = (before, after + 2 * (columns - 1 + self.weight.shape[4]) - width)  # below 0: not seen
        outside = [zeros for zeros, _ in margins]
        if self.pairs or any(zeros != behind for zeros, behind in margins):
            x, outside = padded(x, margins), [0, 0, 0]
        x = x.contiguous(memory_format=LAYOUT)
        if self.pairs:
            x = pixel_pairs(x)
        steps = [*self.stride[:2], 1 if self.pairs else self.stride[2]]
        made: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, outside, steps, self.dilation, self.groups, self.last, [], ""
        )
        return made


def folded(conv: nn.Conv3d, norms: Sequence[nn.BatchNorm3d]) -> tuple[Tensor, Tensor]:
    """The weight and bias of a convolution that normalises as well, in float32."""
    weight = conv.weight.detach().float()
    bias = weight.new_zeros(len(weight)) if conv.bias is None else conv.bias.detach().float()
    for norm in norms:
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight.detach().float() / torch.sqrt(norm.running_var.float() + norm.eps)
        weight = weight * scale[:, None, None, None, None]
        bias = (bias - norm.running_mean.float()) * scale + norm.bias.detach().float()
    return weight, bias


def in_pairs(weight: Tensor) -> Tensor:
    """(D_out, C, T, H, W) -> (D_out, 2 C, T, H, ceil(W / 2)): the same taps on pixels two by two."""
    taps = F.pad(weight, (0, weight.shape[4] % 2)).unflatten(4, (-1, 2))  # (D_out, C, T, H, pairs, 2)
    return taps.permute(0, 5, 1, 2, 3, 4).flatten(1, 2)


def pixel_pairs(x: Tensor) -> Tensor:
    """(B, C, T, H, W), W even -> (B, 2 C, T, H, W / 2): nothing moves, where channels are last in memory."""
    batch, channels, steps, height, width = x.shape
    return x.permute(0, 2, 3, 4, 1).reshape(batch, steps, height, width // 2, 2 * channels).permute(0, 4, 1, 2, 3)
