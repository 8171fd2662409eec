"""Large matrix products on the CPU: the same numbers but for rounding, in less time than the operators at hand.

A linear map goes to oneDNN, which beats torch's own choice for float32. A convolution over 3 steps computes two steps
at once from four products instead of six, which for outputs y, inputs d and taps g are

    m0 = (d0 - d2) g0        m1 = (d1 + d2) (g0 + g1 + g2) / 2        m2 = (d2 - d1) (g0 - g1 + g2) / 2
    m3 = (d1 - d3) g2        y0 = m0 + m1 + m2                        y1 = m1 - m2 - m3

Where nothing is learnt it computes four steps from six products instead of twelve, and keeps what it makes of weights.

Source: Winograd's minimal filtering F(2, 3) and F(4, 3), as in Lavin and Gray, arXiv:1509.09308; here along time.
Small layers, other devices, other precisions and whatever is traced or exported take torch's operators as ever: a
network of 64 channels has the very bits that it would have without this page.
"""

import platform
from collections.abc import MutableMapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

X86 = platform.machine() in ("x86_64", "AMD64")  # where it was measured
CHANNELS, ROWS = 256, 512  # products are large from so many inputs and outputs on, and with more steps than that


class Linear(nn.Linear):
    """nn.Linear whose product may be large."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear."""
    if not is_large(x, *weight.shape):
        return F.linear(x, weight, bias)
    found: Tensor = _Linear.apply(x, weight, bias)
    return found


def convolve(x: Tensor, keep: Tensor, weight: Tensor) -> Tensor:
    """nn.Conv1d over 3 steps with zero padding for x * keep: (B, T, D_in), keep (B, T, 1), weight (D_out, D_in, 3).

    For large ones alone.
    """
    if not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)):
        return four_at_once(x, keep, taps_of(weight))
    found: Tensor = _Convolution.apply(x * keep, weight)
    return found


def is_large(x: Tensor, outputs: int, inputs: int) -> bool:
    """Whether a product of x (..., inputs) with a weight (outputs, inputs) is computed here."""
    return (
        not torch.compiler.is_compiling()  # first: the sizes of what is exported are not known
        and not torch.jit.is_tracing()
        and min(outputs, inputs) >= CHANNELS
        and x.numel() > ROWS * inputs
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and X86
        and torch.backends.mkldnn.is_available()
        and not torch.is_autocast_enabled("cpu")
    )


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear by oneDNN, without gradient."""
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return found


# F(4, 3) evaluates polynomials at 0, +-NEAR, +-FAR and infinity. These two, exact in binary, lose a third less than the
# usual 1 and 2 to rounding; tried from .5 to 2.
NEAR, FAR = 0.75, 1.5
_KEPT: MutableMapping[Tensor, tuple[Tensor, Tensor]] = WeakTensorKeyDictionary()


def taps_of(weight: Tensor) -> Tensor:
    """(D_out, D_in, 3) -> (6, D_out, D_in): the polynomial of the taps, divided, at each point.

    Kept as long as the weight has the same numbers: comparing them takes a tenth of the time.
    """
    if weight in _KEPT and torch.equal(_KEPT[weight][0], weight):
        return _KEPT[weight][1]
    first, middle, last = weight.detach().double().permute(2, 0, 1)
    values = [first / (NEAR * FAR) ** 2]
    for point, other in ((NEAR, FAR), (FAR, NEAR)):
        share = 1 / (2 * point**2 * (point**2 - other**2))
        even, odd = (first + point**2 * last) * share, point * middle * share
        values += [even + odd, even - odd]
    taps = torch.stack([*values, last]).to(weight.dtype)
    _KEPT[weight] = (weight.detach().clone(), taps)
    return taps


def four_at_once(x: Tensor, keep: Tensor, taps: Tensor) -> Tensor:
    """The same without gradient: steps 4j ... 4j + 3 from the inputs 4j - 1 ... 4j + 4."""
    batch, steps, width = x.shape
    fours = (steps + 3) // 4
    padded = x.new_empty(batch, 4 * fours + 2, width)
    padded[:, 0] = padded[:, steps + 1 :] = 0
    torch.mul(x, keep, out=padded[:, 1 : steps + 1])
    d0, d1, d2, d3, d4, d5 = (padded[:, k : k + 4 * fours - 3 : 4] for k in range(6))
    near, far = NEAR**2, FAR**2
    seen = x.new_empty(6, batch, fours, width)
    even, odd = torch.sub(d4, d2, alpha=near), torch.sub(d3, d1, alpha=near)
    torch.add(even, odd, alpha=FAR, out=seen[3])
    torch.sub(even, odd, alpha=FAR, out=seen[4])
    torch.sub(d0, d2, alpha=1 / near, out=seen[0])  # d4 - (near + far) d2 + near far d0, and so for the last
    torch.add(even, seen[0], alpha=near * far, out=seen[0])
    torch.sub(d5, d3, alpha=near, out=seen[5])
    torch.sub(seen[5], odd, alpha=far, out=seen[5])
    torch.sub(d4, d2, alpha=far, out=even)
    torch.sub(d3, d1, alpha=far, out=odd)
    torch.add(even, odd, alpha=NEAR, out=seen[1])
    torch.sub(even, odd, alpha=NEAR, out=seen[2])
    m0, m1, m2, m3, m4, m5 = (product(one, tap) for one, tap in zip(seen, taps, strict=True))
    y = x.new_empty(batch, fours, 4, taps.shape[1])
    of_near, apart_near = m1 + m2, m1.sub_(m2)
    of_far, apart_far = m3 + m4, m3.sub_(m4)
    torch.add(m0.add_(of_near), of_far, out=y[:, :, 0])
    torch.add(apart_near, apart_far, alpha=FAR / NEAR, out=y[:, :, 1]).mul_(NEAR)
    torch.add(of_near, of_far, alpha=far / near, out=y[:, :, 2]).mul_(near)
    torch.add(m5.add_(apart_near, alpha=NEAR**3), apart_far, alpha=FAR**3, out=y[:, :, 3])
    return y.flatten(1, 2)[:, :steps]


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        flat = gradient.reshape(-1, gradient.shape[-1])
        return (
            product(gradient, weight.t()) if of_x else None,
            flat.t() @ x.reshape(-1, x.shape[-1]) if of_weight else None,
            flat.sum(0) if of_bias else None,
        )


class _Convolution(torch.autograd.Function):
    """Pairs of steps j: inputs d0 ... d3 are the steps 2j - 1 ... 2j + 2, outputs the steps 2j and 2j + 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        batch, steps, width = x.shape
        pairs = (steps + 1) // 2
        padded = F.pad(x, (0, 0, 1, 2 * pairs - steps + 1))
        d0, d1, d2, d3 = (padded[:, k : k + 2 * pairs : 2] for k in range(4))
        seen = x.new_empty(4, batch, pairs, width)
        torch.sub(d0, d2, out=seen[0])
        torch.add(d1, d2, out=seen[1])
        torch.sub(d2, d1, out=seen[2])
        torch.sub(d1, d3, out=seen[3])
        first, middle, last = weight.permute(2, 0, 1)
        outer = first + last
        taps = torch.stack([first, (outer + middle) / 2, (outer - middle) / 2, last])  # (4, D_out, D_in)
        ctx.save_for_backward(seen, taps)
        ctx.steps = steps
        m0, m1, m2, m3 = (product(one, tap) for one, tap in zip(seen, taps, strict=True))
        y = x.new_empty(batch, pairs, 2, weight.shape[0])
        torch.add(m0.add_(m1), m2, out=y[:, :, 0])
        torch.sub(m1.sub_(m2), m3, out=y[:, :, 1])
        return y.flatten(1, 2)[:, :steps]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        seen, taps = ctx.saved_tensors
        even = gradient[:, 0::2].contiguous()
        odd = F.pad(gradient[:, 1::2], (0, 0, 0, ctx.steps % 2))
        outputs = (even, even + odd, even - odd, -odd)  # gradients of m0 ... m3
        x = weight = None
        if ctx.needs_input_grad[0]:
            v0, v1, v2, v3 = (product(one, tap.t()) for one, tap in zip(outputs, taps, strict=True))
            pairs = seen.new_empty(*v0.shape[:2], 2, v0.shape[2])
            here, after = pairs[:, :, 0], pairs[:, :, 1]
            torch.sub(v1, v2, out=here).add_(v3)[:, 1:].sub_(v3[:, :-1])
            torch.add(v1, v2, out=after).sub_(v0)[:, :-1].add_(v0[:, 1:])
            x = pairs.flatten(1, 2)[:, : ctx.steps]
        if ctx.needs_input_grad[1]:
            w0, w1, w2, w3 = (one.flatten(0, 1).t() @ of.flatten(0, 1) for one, of in zip(outputs, seen, strict=True))
            half = (w1 + w2) / 2
            weight = torch.stack([w0 + half, (w1 - w2) / 2, half + w3], dim=2)
        return x, weight
