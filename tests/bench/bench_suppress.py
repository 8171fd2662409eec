"""Speed of class-wise soft-NMS: 2,000 candidates of 20 classes, against ActionFormer's compiled operator.

    python tests/bench/bench_suppress.py
    PYTHONPATH=<folder of the built nms_1d_cpu> python tests/bench/bench_suppress.py

The operator takes part if it can be imported (build it from ActionFormer's sources); a loop over picks in NumPy, which
is how code without the operator does it, always does. Ratio: seconds of the other / ours, medians of interleaved
rounds. Bar: 1 against the operator, 20 against the loop.
"""

import importlib
import json
import time
from collections.abc import Callable

import numpy as np
import torch

from detect.suppress import Suppression, suppress

SETTINGS = Suppression()
ROUNDS = 31


def candidates(count: int = 2000, classes: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clusters of overlapping segments over two minutes, as a detector gives them."""
    rng = np.random.default_rng(0)
    centre = rng.choice(rng.uniform(0, 120, 60), count) + rng.normal(0, 1, count)
    length = rng.lognormal(1, 0.6, count)
    segments = np.stack([centre - length / 2, centre + length / 2], 1).astype(np.float32)
    return segments, rng.permutation(np.linspace(0.01, 0.96, count)).astype(np.float32), rng.integers(0, classes, count)


def by_operator(operator: object, segments: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Class by class through the compiled operator, then the best 200: scores, best first."""
    given, kept = (torch.from_numpy(segments), torch.from_numpy(scores)), []
    classes = torch.from_numpy(labels)
    for label in torch.unique(classes):
        rows = torch.where(classes == label)[0]
        found = torch.empty(len(rows), 3)
        taken = operator.softnms(given[0][rows], given[1][rows], found, 0.1, SETTINGS.sigma, SETTINGS.min_score, 2)  # type: ignore[attr-defined]
        kept.append(found[: len(taken), 2])
    return torch.cat(kept).sort(descending=True)[0][: SETTINGS.max_per_video].numpy()


def by_loop(segments: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Class by class, one pick at a time over the candidates left."""
    kept = []
    for label in np.unique(labels):
        table = np.column_stack([segments, scores])[labels == label]
        while len(table):
            best = table[:, 2].argmax()
            start, end, score = table[best]
            kept.append(score)
            table = np.delete(table, best, 0)
            shared = np.clip(np.minimum(end, table[:, 1]) - np.maximum(start, table[:, 0]), 0, None)
            iou = shared / (end - start + table[:, 1] - table[:, 0] + 2e-6 - shared)
            table[:, 2] *= np.exp(-(iou**2) / SETTINGS.sigma)
            table = table[table[:, 2] >= SETTINGS.min_score]
    return np.sort(kept)[::-1][: SETTINGS.max_per_video]


def median_seconds(functions: dict[str, Callable[[], object]]) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(ROUNDS):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            taken[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in taken.items()}


def main() -> None:
    torch.set_num_threads(1)
    given = candidates()
    functions: dict[str, Callable[[], np.ndarray]] = {
        "ours": lambda: suppress(*given, SETTINGS).scores,
        "loop": lambda: by_loop(*given),
    }
    try:
        operator = importlib.import_module("nms_1d_cpu")
        functions["operator"] = lambda: by_operator(operator, *given)
    except ImportError:
        pass
    for name, function in functions.items():
        np.testing.assert_allclose(functions["ours"](), function(), atol=1e-6, err_msg=name)
    seconds = median_seconds(functions)
    against = "operator" if "operator" in functions else "loop"
    row = {
        "bench": "suppress",
        "against": against,
        "ratio": round(seconds[against] / seconds["ours"], 2),
        "bar": 1.0 if against == "operator" else 20.0,
        **{f"{name}_ms": round(1e3 * value, 3) for name, value in seconds.items()},
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
