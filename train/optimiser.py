"""How weights change: which of them decay, the learning rate of each step, and their exponential moving average."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from detect.heads.base import Head
from train.config import Optimiser


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict]:
    """Weights of convolutions and linear maps decay; biases, norms, scales and embeddings do not (ActionFormer).

    Told apart by shape, since a head may hold several maps in one tensor: what has one axis is no map. Weights that
    their head wants to learn at another rate have groups of their own, "share" of the run's rate.
    """
    embeddings = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    shares = learning_rate_shares(module)
    groups: dict[tuple[float, bool], list] = {(1.0, True): [], (1.0, False): []}
    for parameter in trainable(module):
        decays = parameter.ndim >= 2 and id(parameter) not in embeddings
        groups.setdefault((shares.get(id(parameter), 1.0), decays), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": weight_decay if decays else 0.0, "share": share}
        for (share, decays), parameters in groups.items()
    ]


def learning_rate_shares(module: nn.Module) -> dict[int, float]:
    """What heads want of the learning rate, by the id of the parameter."""
    heads = [head for head in module.modules() if isinstance(head, Head) and head.learning_rates]
    return {
        id(parameter): head.learning_rates[word]
        for head in heads
        for name, parameter in head.named_parameters()
        for word in name.split(".")
        if word in head.learning_rates
    }


def make_optimiser(module: nn.Module, config: Optimiser) -> torch.optim.Optimizer:
    """AdamW; which weights decay, and at which share of the rate they learn, is `parameter_groups`'."""
    groups = parameter_groups(module, config.weight_decay)
    return torch.optim.AdamW(
        groups, lr=config.learning_rate, fused=True
    )  # a quarter of the time with many small tensors


def learning_rate(step: int, steps: int, warmup: int, peak: float, floor: float) -> float:
    """Of step n = 0, 1, ..., M - 1: a line from 0 to `peak` over W warm-up steps, then half a cosine to `floor`.

        n < W:   peak · n / (W − 1)
        n >= W:  floor + ½ (peak − floor) (1 + cos(π (n − W) / (M − W)))

    Source: ActionFormer's LinearWarmupCosineAnnealingLR, stepped once per iteration; its first step has rate 0.
    """
    if step < warmup:
        return peak * step / max(warmup - 1, 1)
    return floor + 0.5 * (peak - floor) * (1.0 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))


class Average:
    """The exponential moving average (EMA) of a module's weights: what is evaluated and deployed.

    After step n:  average <- d · average + (1 − d) · weights,  d = `decay`, or min(decay, (1 + n) / (10 + n)) with
    `warmup`, so that a short run does not keep the weights it was born with.
    """

    def __init__(self, module: nn.Module, decay: float, warmup: bool) -> None:
        self.decay, self.warmup = decay, warmup
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """`step` counts from 1."""
        decay = min(self.decay, (1 + step) / (10 + step)) if self.warmup else self.decay
        now = module.state_dict()
        moving = [name for name, value in now.items() if value.dtype.is_floating_point]
        torch._foreach_lerp_([self.state[name] for name in moving], [now[name] for name in moving], 1.0 - decay)
        for name in now.keys() - set(moving):
            self.state[name].copy_(now[name])


def trainable(module: nn.Module) -> Iterator[Tensor]:
    return (p for p in module.parameters() if p.requires_grad)
