"""Speed of a training step and of inference of the ActionFormer detector, against the same network written plainly.

    python tests/bench/bench_detector.py

Plainly: (B, D, T) throughout, nn.Conv1d for every convolution, attention over all pairs of steps with a mask, the
output towers level by level, targets point by level by segment in a loop over samples. Same weights, same numbers.
Small: a batch of the small world (8 videos of 80 steps, width 64, 4 levels); published: one video of 2304 steps at
THUMOS'14 size, forward only. Ratio: CPU seconds of the plain one / ours for the small training step, medians of
interleaved rounds. Bar 1.5.
"""

import json
import math
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from detect.heads.actionformer.head import Tower
from detect.heads.actionformer.transformer import Block
from detect.heads.base import Targets
from detect.losses import diou_1d, sigmoid_focal
from detect.model.branches import ConvolutionLayer
from detect.model.detector import Detector, DetectorConfig


def build(width: int, levels: int, feature_dim: int) -> Detector:
    torch.manual_seed(0)
    classes = tuple(f"class {i}" for i in range(8))
    model = Detector(
        DetectorConfig(classes=classes, feature_dims={"rgb": feature_dim}, width=width, head_config={"levels": levels})
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("_path.scale"):
                parameter.fill_(1.0)
    return model.eval()  # stochastic depth would make the two differ


# ---- the plain network: x (B, D, T), m (B, 1, T)


def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.layer_norm(x.transpose(1, 2), x.shape[1:2], weight, bias).transpose(1, 2)


def layer(part: ConvolutionLayer, x: Tensor, m: Tensor) -> Tensor:
    x = F.conv1d(x * m, part.convolution.weight, padding=1)
    return norm(x, part.norm.weight, part.norm.bias).relu() * m


def tower(part: Tower, x: Tensor, m: Tensor) -> Tensor:
    for each in part.layers:
        x = layer(each, x, m)  # type: ignore[arg-type]
    return F.conv1d(x, part.output.weight, part.output.bias, padding=1) * m


def block(part: Block, x: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
    qkv, width, stride = part.qkv, x.shape[1], part.stride
    normed, m_out = norm(x, part.attention_norm.weight, part.attention_norm.bias) * m, m[:, :, ::stride]
    streams = []
    for i in range(3):
        y = F.conv1d(normed, qkv.taps[i].T[:, None], stride=stride, padding=1, groups=width) * m_out
        y = norm(y, qkv.norm_weight.view(3, -1)[i], qkv.norm_bias.view(3, -1)[i])
        streams.append(F.conv1d(y, qkv.weight[i][:, :, None], qkv.bias.view(3, -1)[i]))
    q, k, v = (y.unflatten(1, (part.heads, -1)).transpose(2, 3) for y in streams)
    steps = torch.arange(q.shape[2])
    near = (steps[:, None] - steps).abs() <= part.reach
    logits = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
    attention = logits.masked_fill(~(near & m_out[:, None].bool()), -1e4).softmax(3)
    y = (attention @ v).transpose(2, 3).flatten(1, 2)
    y = F.conv1d(y, part.out.weight[:, :, None], part.out.bias) * m_out
    x = (F.max_pool1d(x, 3, stride, 1) if stride > 1 else x) * m_out + y * part.attention_path.scale[:, None]
    y = norm(x, part.mlp_norm.weight, part.mlp_norm.bias).transpose(1, 2)
    return x + part.mlp(y).transpose(1, 2) * m_out * part.mlp_path.scale[:, None], m_out


def forward(model: Detector, x: Tensor, mask: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Logits (B, T_l, C), offsets (B, T_l, 2) and masks (B, T_l) by level."""
    head, m = model.head, mask[:, None].float()
    for part in model.projections[0].layers:  # type: ignore[union-attr]
        x = layer(part, x, m)
    x, m = F.pad(x, (0, -x.shape[2] % head.sample.multiple)), F.pad(m, (0, -m.shape[2] % head.sample.multiple))
    logits, offsets, masks = [], [], []
    for i, part in enumerate(head.pyramid.blocks):  # type: ignore[union-attr, arg-type]
        x, m = block(part, x, m)
        level = i - 1  # two stem blocks
        if level >= 0:
            y = norm(x, head.pyramid.norms[level].weight, head.pyramid.norms[level].bias) * m  # type: ignore[union-attr, index]
            logits.append(tower(head.classifier, y, m).transpose(1, 2))  # type: ignore[arg-type]
            offsets.append((tower(head.regressor, y, m).transpose(1, 2) * head.scales[level]).relu())  # type: ignore[arg-type, index]
            masks.append(m[:, 0].bool())
    return logits, offsets, masks


def loss(model: Detector, outputs: tuple[list[Tensor], list[Tensor], list[Tensor]], targets: list[Targets]) -> Tensor:
    """Focal and DIoU losses, one sample and one level after the other."""
    total = torch.zeros(())
    for level, (logits, offsets, masks) in enumerate(zip(*outputs, strict=True)):
        stride, (low, high) = 2.0**level, model.head.config.ranges[level]
        at = torch.arange(logits.shape[1]) * stride
        for b, target in enumerate(targets):
            classes, aims, best = (
                torch.zeros_like(logits[b]),
                torch.zeros_like(offsets[b]),
                torch.full_like(at, math.inf),
            )
            for (start, end), label in zip(target.segments, target.labels, strict=True):
                reach, middle = 1.5 * stride, (start + end) / 2
                inside = (at > torch.maximum(start, middle - reach)) & (at < torch.minimum(end, middle + reach))
                sides = torch.stack([at - start, end - at], 1)
                inside &= (sides.max(1)[0] >= low) & (sides.max(1)[0] <= high) & masks[b] & (end - start < best)
                best[inside], aims[inside], classes[inside] = end - start, sides[inside] / stride, 0.0
                classes[inside, label] = 1.0
            positive = classes.any(1)
            total = total + sigmoid_focal(logits[b][masks[b]], classes[masks[b]]).sum()
            total = total + diou_1d(offsets[b][positive], aims[positive]).sum()
    return total / 100


# ---- measuring


def median_seconds(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.process_time()
            function()
            taken[name].append(time.process_time() - start)
    return {name: float(np.median(values)) for name, values in taken.items()}


def small() -> dict[str, float]:
    """Seconds of a training step on the small world; losses and gradients are compared first."""
    model = build(64, 4, 1536)
    rng = np.random.default_rng(0)
    x, mask = torch.randn(8, 1536, 80), torch.arange(80)[None] < torch.arange(80, 56, -3)[:, None]
    targets = []
    for _ in range(8):
        start = np.sort(rng.uniform(0, 60, 4))
        segments = torch.tensor(np.stack([start, start + rng.uniform(3, 14, 4)], 1), dtype=torch.float32)
        targets.append(Targets(segments, torch.tensor(rng.integers(0, 8, 4))))

    def ours() -> Tensor:
        predictions = model({"rgb": x}, mask)
        losses = model.head.loss(predictions, model.head.assign(predictions, targets), 100.0)
        return losses["class"] + losses["offset"]

    def plain() -> Tensor:
        return loss(model, forward(model, x, mask), targets)

    values, gradients = [], []
    for function in (ours, plain):
        model.zero_grad()
        values.append(function())
        values[-1].backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(values[0], values[1], rtol=1e-4, atol=1e-5)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-4)
    return median_seconds({"ours": lambda: ours().backward(), "plain": lambda: plain().backward()}, 15)


def published() -> dict[str, float]:
    """Seconds of a forward pass over one video at THUMOS'14 size."""
    model = build(512, 6, 2048)
    x, mask = torch.randn(1, 2048, 2304), torch.ones(1, 2304, dtype=torch.bool)
    with torch.inference_mode():
        return median_seconds({"ours": lambda: model({"rgb": x}, mask), "plain": lambda: forward(model, x, mask)}, 3)


def main() -> None:
    torch.set_num_threads(1)
    step, whole = small(), published()
    row = {
        "bench": "detector",
        "ratio": round(step["plain"] / step["ours"], 2),
        "bar": 1.5,
        "step_ms": round(1e3 * step["ours"], 1),
        "plain_step_ms": round(1e3 * step["plain"], 1),
        "published_ratio": round(whole["plain"] / whole["ours"], 2),
        "published_ms": round(1e3 * whole["ours"]),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
