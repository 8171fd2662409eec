"""Classes for candidates that have none: heads that find actions without naming them."""

import numpy as np
from numpy.typing import NDArray

from detect.windows import Found

TOP = 2  # classes that a candidate may be; published for ActivityNet by ActionFormer, BMN and G-TAD


def named(found: Found, class_scores: NDArray[np.floating], top: int = TOP) -> Found:
    """Every candidate once for each of the video's likeliest classes, scored sqrt(its own score · that of the class).

    class_scores: (C,) in [0, 1], of the whole video.
    """
    best = np.argsort(-class_scores, kind="stable")[:top]
    scores = np.sqrt(found.scores[:, None] * class_scores[best])  # (n, top)
    labels = np.broadcast_to(best, scores.shape)
    return Found(np.repeat(found.segments, len(best), axis=0), scores.ravel(), labels.ravel())
