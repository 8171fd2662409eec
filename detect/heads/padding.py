"""What samples have different numbers of, as one tensor of the batch."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from detect.heads.base import Targets


def pad_targets(targets: Sequence[Targets], device: torch.device) -> tuple[Tensor, Tensor]:
    """Segments (B, M, 2) and labels (B, M) of a batch, M the largest number, at least 1.

    Rows added are empty segments, which nothing lies in.
    """
    segments, labels = pad_rows([t.segments.float() for t in targets]), pad_rows([t.labels for t in targets])
    return segments.to(device), labels.to(device)


def pad_rows(rows: Sequence[Tensor]) -> Tensor:
    """(N_b, ...) of each sample as (B, most, ...), zero beyond; at least one column."""
    most = max([1, *(len(r) for r in rows)])
    return torch.stack([F.pad(r, (0, 0) * (r.ndim - 1) + (0, most - len(r))) for r in rows])
