"""Local attentive fusion: two branches weigh each other step by step and become one."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from detect.model.products import Linear
from detect.precision import Network

KINDS = ("gate", "residual", "concat")


@dataclass(frozen=True)
class FusionConfig:
    """How two branches are joined."""

    kind: str = (
        "gate"  # "gate": f' = gate ⊙ f, the paper's; "residual": f' = f + gate ⊙ f; "concat": f' = f, the ablation
    )
    bias: bool = False  # in W_query and W_key; the paper is silent

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"FusionConfig: kind {self.kind!r}: expected one of {', '.join(KINDS)}")


class LocalAttentiveFusion(Network):
    """Lets each branch weigh the other one step at a time, then joins the two.

    For the branch being enhanced, f, and the other branch, g, both (B, D, T):

        gate[:, :, t] = sigmoid( W_query · mean_t(f)  ⊙  W_key · g[:, :, t] )      in (0, 1)
        f'[:, :, t]   = gate[:, :, t] ⊙ f[:, :, t]

    The sigmoid acts on each step alone. A softmax over T would let every step see every other one,
    and neighbouring steps would grow alike just where the detector must tell a boundary apart.
    Padded steps are left out of the mean and come out as zero.

    Source: Lee et al., CVPR 2023, arXiv:2303.17285, local attentive fusion.
    Ours, where the paper is silent: no bias in W_query and W_key, own weights for either direction,
    and the mean runs over real steps only. `FusionConfig` holds the ablations.
    """

    compiles = True

    def __init__(self, width: int, config: FusionConfig | None = None) -> None:
        super().__init__()
        self.config = config or FusionConfig()
        if self.config.kind != "concat":
            self.query = nn.ModuleList(nn.Linear(width, width, bias=self.config.bias) for _ in range(2))
            self.key = nn.ModuleList(Linear(width, width, bias=self.config.bias) for _ in range(2))

    def forward(self, appearance: Tensor, motion: Tensor, mask: Tensor) -> Tensor:
        """appearance, motion: (B, D, T); mask: (B, T). Returns (B, 2D, T)."""
        keep = mask[:, None].to(appearance.dtype)  # (B, 1, T)
        steps = keep.sum(2).clamp(min=1)  # (B, 1)
        appearance, motion = appearance * keep, motion * keep
        if self.config.kind == "concat":
            return torch.cat([appearance, motion], dim=1)
        pairs = ((appearance, motion), (motion, appearance))
        return torch.cat([self._enhance(i, f, g, steps) for i, (f, g) in enumerate(pairs)], dim=1)

    def _enhance(self, direction: int, f: Tensor, g: Tensor, steps: Tensor) -> Tensor:
        """f weighed by g: both (B, D, T), zero under the mask; steps (B, 1) counts real steps."""
        query = self.query[direction](f.sum(2) / steps)  # (B, D)
        key = self.key[direction](g.transpose(1, 2))  # (B, T, D)
        gated = torch.sigmoid(query[:, None] * key).transpose(1, 2) * f
        return f + gated if self.config.kind == "residual" else gated
