"""Which of many scores are decoded."""

from torch import Tensor


def best_of(scores: Tensor, allowed: Tensor, most: int) -> Tensor:
    """Indices into scores (n,) of those allowed (n,): all in their order, or the `most` best, best first."""
    index = allowed.nonzero()[:, 0]
    return index if len(index) <= most else index[scores[index].topk(most).indices]
