"""When a detection counts as right: the rules of the evaluators in use, one value each.

They differ in who chooses whom, in what lies exactly on the threshold, and in the area under the curve. The same
detections (S-CNN's, tIoU 0.5) score 19.0 under one and 21.5 under another: a number without its rule says little.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluate.metrics.segments import hull_overlaps, overlaps


@dataclass(frozen=True)
class Rule:
    """One evaluator's way of counting. The defaults are ActivityNet's."""

    name: str
    source: str
    chooser: str = "detection"  # "detection": the best-scored takes its best free truth; "truth": first in file takes
    inclusive: bool = True  # tIoU on the threshold is a hit
    undefined_is_hit: bool = True  # tIoU 0/0: two empty segments, or a segment and its reversal
    area: str = "interpolated"  # "interpolated", "raw" precision at the hits, or "eleven" points
    delete_duplicates: bool = False  # truth within 1 ms of an earlier one of its label, and truth below 1 ms
    drops_ambiguous: bool = False  # a miss that touches an Ambiguous interval is left out, not false
    single_precision: bool = False  # tIoU rounded to float32 before it is compared

    def overlaps(self, detections: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
        """tIoU of segments (M, 2) with segments (M, 2), as this evaluator computes it; inf for an undefined hit."""
        if self.chooser == "truth":
            return hull_overlaps(detections, truth)
        ratio = overlaps(detections, truth, np.inf if self.undefined_is_hit else 0.0)
        return ratio.astype(np.float32).astype(np.float64) if self.single_precision else ratio


RULES = {
    rule.name: rule
    for rule in (
        Rule("activitynet", "ActivityNet's own toolkit, TadTR"),
        Rule("actionformer", "ActionFormer's evaluator", delete_duplicates=True),
        Rule("opentad", "OpenTAD's evaluator", delete_duplicates=True, undefined_is_hit=False),
        Rule("mmaction2", "mmaction2's evaluator", single_precision=True),
        Rule("thumos15", "THUMOS 2015 toolkit (Matlab)", "truth", False, False, "raw", drops_ambiguous=True),
        Rule("thumos14", "THUMOS 2014 toolkit (Matlab)", "truth", False, False, "eleven", drops_ambiguous=True),
    )
}
