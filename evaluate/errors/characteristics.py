"""How the quality of a run depends on actions: their length, share of the video, number in the video.

After DETAD (Alwassel et al., ECCV 2018). Each truth falls into one bucket, XS to XL, of each characteristic:

    coverage    its share of the video
    length      its seconds
    instances   truths in its video, of any class

Sensitivity is mAP_N (`evaluate.metrics.normalised`) on one bucket's truths alone; predictions that hit other
truths do not count. The miss rate is the share of a bucket's truths that nothing hit while normalised precision was
above 5 per cent.

Ours: a truth that reaches beyond its video has coverage 1 at most; DETAD deletes those with coverage above 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluate.files.annotations import Annotations
from evaluate.metrics.matching import Matches, Truth
from evaluate.metrics.normalised import class_rows, mean_truths, normalised_average_precision, without_late_hits

MIN_PRECISION = 0.05  # DETAD: a truth found later than this counts as missed
SIZES = {
    1: ("all",),
    2: ("S", "L"),
    3: ("S", "M", "L"),
    4: ("XS", "S", "M", "L"),  # DETAD's four
    5: ("XS", "S", "M", "L", "XL"),
}
UNITS = {"coverage": "", "length": " s", "instances": ""}


@dataclass(frozen=True)
class Buckets:
    """Cuts of one characteristic: bucket i holds edges[i] < value <= edges[i + 1], the first its lower edge too."""

    edges: tuple[float, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return SIZES[len(self.edges) - 1]

    def of(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """(N,) number of the bucket of each value; values beyond the outer edges go to the outer buckets."""
        return np.searchsorted(self.edges[1:-1], values, side="left")

    def describe(self, i: int, unit: str = "") -> str:
        """The range of bucket i in words: "up to 3 s", "3 to 6 s", "above 18 s"."""
        low, high = self.edges[i], self.edges[i + 1]
        if len(self.edges) == 2:
            return "all"
        if i == 0:
            return f"up to {high:.3g}{unit}"
        return f"above {low:.3g}{unit}" if i == len(self.edges) - 2 else f"{low:.3g} to {high:.3g}{unit}"


THUMOS14 = {  # the cuts of DETAD for THUMOS'14
    "coverage": Buckets((0, 0.02, 0.04, 0.06, 0.08, 1)),
    "length": Buckets((0, 3, 6, 12, 18, float("inf"))),
    "instances": Buckets((-1, 1, 40, 80, float("inf"))),
}
ACTIVITYNET13 = {  # and for ActivityNet-1.3
    "coverage": Buckets(tuple(np.linspace(0, 1, 6))),
    "length": Buckets((0, 30, 60, 120, 180, float("inf"))),
    "instances": Buckets((-1, 1, 4, 8, float("inf"))),
}


PUBLISHED = {"thumos14": THUMOS14, "activitynet13": ACTIVITYNET13}


@dataclass(frozen=True)
class Bucket:
    """One bucket of one characteristic."""

    name: str  # "XS" ... "XL"
    range: str  # "up to 3 s"
    share: float  # of all truths
    mAP_N: float  # normalised mAP on its truths, mean over thresholds
    miss_rate: float  # share of its truths not found, mean over thresholds


def characteristics(annotations: Annotations, truth: Truth) -> dict[str, NDArray[np.float64]]:
    """Characteristic -> (N,) its value for each truth of the table that the annotations make."""
    length = truth.segments[:, 1] - truth.segments[:, 0]
    duration_s = np.array([video.duration_s for video in annotations.videos.values()])
    in_video = np.bincount(truth.video, minlength=len(duration_s))
    values = {"length": length, "instances": in_video[truth.video].astype(np.float64)}
    if np.isfinite(duration_s).all():  # THUMOS'14's own text files do not tell it
        values = {"coverage": np.minimum(length / duration_s[truth.video], 1.0), **values}
    return values


def buckets_for(annotations: Annotations, truth: Truth) -> dict[str, Buckets]:
    """DETAD's cuts for the data sets it knows; for any other, those of `quantile_buckets`."""
    values = characteristics(annotations, truth)
    published = PUBLISHED.get(annotations.dataset or "")
    return {name: published[name] for name in values} if published else quantile_buckets(values)


def quantile_buckets(values: Mapping[str, NDArray[np.float64]]) -> dict[str, Buckets]:
    """Cuts that put about a fifth of the truths into each bucket; fewer buckets where values repeat."""
    cuts = {}
    for name, each in values.items():
        inner = np.unique(np.quantile(each, [0.2, 0.4, 0.6, 0.8], method="inverted_cdf"))
        cuts[name] = Buckets((float(each.min()), *inner[inner < each.max()].tolist(), float(each.max())))
    return cuts


def by_characteristic(
    annotations: Annotations, matches: Matches, buckets: Mapping[str, Buckets] | None = None
) -> dict[str, list[Bucket]]:
    """Sensitivity and misses of a whole run, for each characteristic from small to large; empty buckets left out."""
    buckets = buckets or buckets_for(annotations, matches.truth)
    early = without_late_hits(matches, MIN_PRECISION).taken
    everyone = np.arange(len(matches.truth.label))
    missed = np.stack([~np.isin(everyone, early[:, q]) for q in range(len(matches.tiou))])  # (n, N)
    values = characteristics(annotations, matches.truth)
    table: dict[str, list[Bucket]] = {}
    for name, cuts in buckets.items():
        place = cuts.of(values[name])
        table[name] = [
            Bucket(
                label,
                cuts.describe(i, UNITS[name]),
                share=float((place == i).mean()),
                mAP_N=map_n_on(matches, place == i),
                miss_rate=float(missed[:, place == i].mean()),
            )
            for i, label in enumerate(cuts.names)
            if (place == i).any()
        ]
    return table


def map_n_on(matches: Matches, chosen: NDArray[np.bool_]) -> float:
    """mAP_N on the chosen truths (N,) alone, mean over thresholds.

    A prediction that hit another truth at any threshold does not count, neither for nor against.
    """
    truth, as_if = matches.truth, mean_truths(matches)  # of all truths, as for the whole run
    keep = np.asarray(np.append(chosen, True)[matches.taken].all(axis=1))  # taken = -1 reads the last
    ap = []
    for c in np.unique(truth.label[chosen]):
        place = class_rows(matches, c)
        hit = matches.taken[place][keep[place]] >= 0
        num_truth = int((chosen & (truth.label == c)).sum())
        ap.append([normalised_average_precision(hit[:, q], num_truth, as_if) for q in range(hit.shape[1])])
    return float(np.mean(ap))
