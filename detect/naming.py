"""Classes for candidates that have none: heads that find actions without naming them.

Where the detector names classes step by step, a candidate is given those of the steps that it covers, weighed by what
the whole video shows; scores of classes from elsewhere are of the whole video.
"""

import numpy as np
from numpy.typing import NDArray

from detect.windows import Found

TOP = 2  # classes that a candidate may be; published for ActivityNet by ActionFormer, BMN and G-TAD
SHOWN = 8  # a class is as likely in a video as it is in the likeliest eighth of its steps

FloatArray = NDArray[np.floating]


def named(found: Found, class_scores: FloatArray, top: int = TOP) -> Found:
    """Every candidate once for each of its likeliest classes, scored sqrt(its own score · that of the class).

    class_scores: (C,) in [0, 1] of the whole video, or (n, C) of every candidate.
    """
    scores = np.broadcast_to(class_scores, (len(found.scores), np.shape(class_scores)[-1]))
    labels = np.argsort(-scores, axis=1, kind="stable")[:, :top]  # (n, top)
    joined = np.sqrt(found.scores[:, None] * np.take_along_axis(scores, labels, axis=1))
    return Found(np.repeat(found.segments, labels.shape[1], axis=0), joined.ravel(), labels.ravel())


def scores_of_candidates(segments: FloatArray, classes: FloatArray) -> FloatArray:
    """(n, C): how likely every class is in segments (n, 2), grid steps, from classes (T, C) in [0, 1].

    sqrt(mean over the steps of the segment · mean over the likeliest eighth of the video's steps)
    """
    return np.sqrt(_means(segments, classes) * video_scores(classes))


def video_scores(classes: FloatArray) -> FloatArray:
    """(C,): how likely every class is somewhere in the video, from classes (T, C)."""
    count = -(-len(classes) // SHOWN)
    scores: FloatArray = np.sort(classes, axis=0)[-count:].mean(0)
    return scores


def _means(segments: FloatArray, classes: FloatArray) -> FloatArray:
    """The means of classes (T, C) over the steps that lie in segments (n, 2), over the nearest where none does."""
    sums = np.concatenate([np.zeros((1, classes.shape[1])), np.cumsum(classes, axis=0, dtype=np.float64)])
    nearest = np.clip(np.rint(segments.mean(1)), 0, len(classes) - 1).astype(np.int64)
    first = np.clip(np.ceil(segments[:, 0]), 0, nearest).astype(np.int64)
    last = np.clip(np.floor(segments[:, 1]), nearest, len(classes) - 1).astype(np.int64)
    means: FloatArray = (sums[last + 1] - sums[first]) / (last + 1 - first)[:, None]
    return means
