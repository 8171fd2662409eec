"""Small ActionFormer heads for tests: every parameter counts, so that a wrong wire shows."""

import torch

from detect.heads.actionformer.head import ActionFormer, ActionFormerConfig
from detect.heads.base import Predictions, Targets

SMALL = ActionFormerConfig(width=16, levels=4, window=5)


def head(config: ActionFormerConfig = SMALL, num_classes: int = 3, in_channels: int = 16) -> ActionFormer:
    """A head in evaluation mode whose every parameter matters: random, drop-path scales 1."""
    torch.manual_seed(0)
    model = ActionFormer(in_channels, num_classes, config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("_path.scale"):
                parameter.fill_(1.0)
            elif parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def empty_predictions(model: ActionFormer, steps: int) -> Predictions:
    """Predictions of one sample of so many steps, all valid, with nothing seen."""
    points = len(model.points(steps)[0])
    return {
        "logits": torch.full((1, points, model.num_classes), -20.0),
        "offsets": torch.zeros(1, points, 2),
        "valid": torch.ones(1, points, dtype=torch.bool),
    }


def targets(*rows: tuple[float, float, int]) -> Targets:
    return Targets(torch.tensor([row[:2] for row in rows]).reshape(-1, 2), torch.tensor([r[2] for r in rows]).long())
