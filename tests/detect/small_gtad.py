"""Small G-TAD heads for tests: every parameter counts, so that a wrong wire shows."""

import zlib

import numpy as np
import torch

from detect.heads.base import Targets
from detect.heads.gtad.head import GTAD, GTADConfig

SMALL = GTADConfig(width=32, length=24, durations=8, groups=8, hidden=24, map_width=16)


def head(config: GTADConfig = SMALL, in_channels: int = 12) -> GTAD:
    model = GTAD(in_channels, 1, config).eval()
    model.load_state_dict(weights(dict(model.state_dict())))
    return model


def weights(like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Deterministic values for every parameter, by its name alone; more of the map's, so that its outputs vary."""
    values = {}
    for name, tensor in like.items():
        noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(tensor.shape))
        gain = 1.8 if name.startswith("map") else 1.0
        noise = gain * noise / np.sqrt(tensor[0].numel()) if tensor.ndim > 1 else 0.2 * noise
        values[name] = torch.tensor(noise, dtype=torch.float32)
    return values


def sample(length: int = 24, steps: int = 24, under_mask: float = 1e3) -> tuple[torch.Tensor, torch.Tensor]:
    """Two samples of random features (2, 12, T), nonsense under the mask, and the mask."""
    features = torch.full((2, 12, steps), under_mask)
    drawn = np.random.RandomState(7).standard_normal((2, 12, 24))
    features[:, :, :length] = torch.tensor(drawn, dtype=torch.float32)[:, :, :length]
    return features, (torch.arange(steps) < length)[None].repeat(2, 1)


def targets(*rows: tuple[float, float]) -> Targets:
    return Targets(torch.tensor(rows).reshape(-1, 2), torch.zeros(len(rows)).long())
