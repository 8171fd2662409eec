"""How much of one stream a linear map can tell from another: ridge regression between cues of the same steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.storage.store import Store, StoreError

Matrix = NDArray[np.float64]
PENALTIES = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)  # on standardised features; chosen on a fifth of the fitting videos


def predictability(store: Store, source: str, target: str, max_steps: int, seed: int) -> dict[str, Any]:
    """Test R2 (weighted by variance) of a ridge regression from source to target; half of the videos test it.

    Videos, not steps, are split: neighbouring steps share frames and would leak.
    """
    videos = [video for video in store.videos if {source, target} <= set(store.streams(video))]
    if len(videos) < 4:
        raise StoreError(
            f"{store.path}: {len(videos)} videos have both {source!r} and {target!r}; at least 4 are needed"
        )
    store.check(videos, [source, target])
    order = np.random.default_rng(seed).permutation(len(videos))
    fitting = [videos[place] for place in order[: len(videos) // 2]]
    testing = [videos[place] for place in order[len(videos) // 2 :]]
    choosing = fitting[: max(1, len(fitting) // 5)]
    fit_x, fit_y = _gather(store, fitting[len(choosing) :], source, target, max_steps)
    choose_x, choose_y = _gather(store, choosing, source, target, max_steps)
    test_x, test_y = _gather(store, testing, source, target, max_steps)
    if not (np.ptp(fit_y, axis=0).any() and np.ptp(test_y, axis=0).any()):
        raise StoreError(f"{store.path}: {target} is the same at all steps: nothing to predict")
    scores = [_r2(choose_y, predicted) for predicted in _ridge(fit_x, fit_y, choose_x, PENALTIES)]
    penalty = PENALTIES[int(np.argmax(scores))]
    fit_x, fit_y = np.concatenate([fit_x, choose_x]), np.concatenate([fit_y, choose_y])
    return {
        "source": source,
        "target": target,
        "r2": _r2(test_y, next(_ridge(fit_x, fit_y, test_x, [penalty]))),
        "penalty": penalty,
        "train_steps": len(fit_x),
        "test_steps": len(test_x),
    }


def _gather(store: Store, videos: list[str], source: str, target: str, max_steps: int) -> tuple[Matrix, Matrix]:
    """Features (steps, D) of both streams, thinned evenly to about max_steps; StoreError if videos differ in D."""
    widths = {tuple(store.read(video, name, 0, 1).shape[1] for name in (source, target)) for video in videos}
    if len(widths) > 1:
        raise StoreError(f"{store.path}: videos differ in their columns of {source} and {target}: {sorted(widths)}")
    every = max(1, sum(store.row(video, source).num_steps for video in videos) // max_steps)
    x = np.concatenate([store.read(video, source)[::every] for video in videos]).astype(np.float64)
    y = np.concatenate([store.read(video, target)[::every] for video in videos]).astype(np.float64)
    return x, y


def _ridge(x: Matrix, y: Matrix, unseen: Matrix, penalties: Sequence[float]) -> Iterator[Matrix]:
    """Predictions for unseen x by the ridge regressions of y on x; columns of x standardised, y centred.

    One eigendecomposition of the Gram matrix serves all penalties.
    """
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-8
    x, unseen = (x - mean) / scale, (unseen - mean) / scale
    centre = y.mean(axis=0)
    values, vectors = np.linalg.eigh(x.T @ x)
    rotated = vectors.T @ (x.T @ (y - centre))
    for penalty in penalties:
        yield unseen @ (vectors @ (rotated / (values[:, None] + penalty))) + centre


def _r2(truth: Matrix, predicted: Matrix) -> float:
    """1 - residual / total sum of squares over all columns together: columns count by their variance."""
    total = ((truth - truth.mean(axis=0)) ** 2).sum()
    return float(1 - ((truth - predicted) ** 2).sum() / total) if total > 0 else float("-inf")
