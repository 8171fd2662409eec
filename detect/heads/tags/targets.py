"""What every step should say: its class, and which steps belong to the same action.

Steps are cells: step k reaches from k - 1/2 to k + 1/2, so that an action from a to b begins in cell floor(a + 1/2) and
ends in cell floor(b + 1/2).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from detect.heads.base import Assignment, Targets
from detect.heads.padding import pad_targets


def steps_of(segments: Tensor, shrink: int) -> tuple[Tensor, Tensor]:
    """The steps [first, last) that stand for segments (..., 2): from the cell of the start to before that of the end.

    `shrink` of them are left out on either side, so that two actions that touch have a gap between them. An action too
    short for that keeps the step that its centre lies in; the published code forgets it.
    """
    start, end = (segments + 0.5).floor().unbind(-1)
    first, last = start + shrink, end - shrink
    centre = (segments.mean(-1) + 0.5).floor()
    short = last <= first
    return torch.where(short, centre, first), torch.where(short, centre + 1, last)


def assign_steps(valid: Tensor, targets: Sequence[Targets], num_classes: int, shrink: int) -> Assignment:
    """Of a batch with real steps `valid` (B, T), class C being background:

    likely (B, T, C + 1)   how likely each class is at a step: those of its action, in equal parts
    classes (B, T, C + 1)  1 for the class of every action that a step lies in
    masks (B, T, T)        [b, t, p] is 1 where p belongs to the action of t
    foreground (B, T)      whether a step lies in an action

    A step in several actions belongs to the shortest, so that one inside another keeps steps of its own; those within
    1e-3 of its length are the same action under several names. Source: TAGS' data loader, which knows a video's last
    action alone, and lets the union of all actions of a step be its mask.
    """
    segments, labels = pad_targets(targets, valid.device)  # (B, M, 2), (B, M); padded rows are empty segments
    first, last = steps_of(segments, shrink)
    at = torch.arange(valid.shape[1], device=valid.device)
    lengths = segments[..., 1] - segments[..., 0]
    inside = (at >= first[..., None]) & (at < last[..., None]) & valid[:, None] & (lengths > 0)[..., None]  # (B, M, T)
    of_step = lengths[..., None].expand_as(inside).masked_fill(~inside, torch.inf)
    owner = inside & (of_step <= of_step.amin(1, keepdim=True) + 1e-3)
    names = F.one_hot(labels, num_classes).float()  # (B, M, C)
    background = (~inside.any(1) & valid)[..., None].float()
    likely = torch.einsum("bmt,bmc->btc", owner.float(), names)
    likely = likely / likely.sum(2, keepdim=True).clamp(min=1)
    classes = torch.einsum("bmt,bmc->btc", inside.float(), names).clamp(max=1)
    masks = torch.einsum("bmt,bmp->btp", owner.float(), inside.float()).clamp(max=1)
    return {
        "likely": torch.cat([likely, background], dim=2),
        "classes": torch.cat([classes, background], dim=2),
        "masks": masks,
        "foreground": inside.any(1),
    }
