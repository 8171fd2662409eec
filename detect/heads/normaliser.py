"""What detection losses are divided by: the actions that a training step has to find."""

import torch
from torch import Tensor, nn


class Normaliser(nn.Module):
    """The positives of the step at hand, at least 1. `update` is called once per training step, before the losses.

    Heads have no state, so that one may be called several times in a step; what a loss remembers from step to step is
    kept here, in buffers, so that a resumed run goes on with its own.
    """

    def update(self, positives: int) -> float:
        return float(max(positives, 1))


class RunningNormaliser(Normaliser):
    """The running mean of positives per step: N <- momentum · N + (1 − momentum) · max(positives, 1), before use.

    Source: ActionFormer, where it is a Python number and starts again at 100 when a run is resumed.
    """

    mean: Tensor

    def __init__(self, start: float, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.tensor(float(start), dtype=torch.float64))

    @torch.no_grad()
    def update(self, positives: int) -> float:
        """Moves the mean, also where there are no positives, and returns it."""
        self.mean.mul_(self.momentum).add_((1.0 - self.momentum) * max(positives, 1))
        return float(self.mean)
