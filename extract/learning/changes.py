"""Random photometric changes of clips: what an action does not depend on."""

from typing import NamedTuple

import torch
from torch import Tensor

from extract.cues.cue import CUES


class Changes(NamedTuple):
    """A change of the channels of each clip: c -> mix c + shift."""

    mix: Tensor  # (B, channels, channels)
    shift: Tensor  # (B, channels)

    def change(self, prepared: Tensor) -> Tensor:
        """Clips (B, channels, ...), or (B * frames, channels, ...), changed alike in all frames of a clip."""
        frames = len(prepared) // len(self.mix)
        mix, shift = (each.to(prepared).repeat_interleave(frames, dim=0) for each in self)
        mixed = torch.einsum("bij,bj...->bi...", mix, prepared)
        return mixed + shift.reshape(*shift.shape, *[1] * (prepared.dim() - 2))


def draw_changes(cue: str, size: int, colour: float, light: float, generator: torch.Generator) -> Changes:
    """Random changes for `size` clips, in the units of what the backbone prepares.

    Of RGB colours are mixed, contrast and brightness change; of differences of frames likewise, less the brightness,
    which they do not have; flow becomes faster or slower, its direction stays.
    """
    shown = CUES[cue]
    mix = torch.eye(shown.channels)
    if not shown.of_flow:
        mix = mix + colour * torch.randn(size, shown.channels, shown.channels, generator=generator)
    contrast = (1 + light * torch.randn(size, 1, 1, generator=generator)).clamp(0.4, 1.8)
    shift = torch.zeros(size, shown.channels)
    if not shown.of_two_frames:
        shift = light * torch.randn(size, shown.channels, generator=generator)
    return Changes(mix * contrast, shift)
