"""What a run says before it begins: the checks that read tables alone, less what the run itself refuses or tells."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from evaluate.files.annotations import Annotations
from features.storage.store import Store
from train.checks.examine import ordered
from train.checks.finding import NOTE
from train.checks.labels import check_labels
from train.checks.seen import check_seen
from train.checks.spans import check_spans

TOLD_ANYWAY = {  # by the run, with its own options
    "no-actions", "no-training-subset", "no-duration", "stream-missing", "fps-unknown", "rates-differ",
    "features-end-elsewhere", "transposed",
}  # fmt: skip
SHOWN = 5  # findings; the doctor tells all


def tell_beforehand(store: Store, truth: Annotations, whole: Annotations, subset: str, span: int) -> float:
    """Prints what may spoil the run, and who looks further; returns the seconds that it took.

    truth: of the training videos; whole: of all subsets; span: steps of the longest sample.
    """
    began = time.perf_counter()
    found = [*check_labels(whole, subset), *check_seen(store, whole, subset), *check_spans(store, truth, span)]
    told = [
        one
        for one in ordered(found)
        if one.severity != NOTE and one.kind not in TOLD_ANYWAY and not one.kind.startswith("segment-")
    ]
    for one in told[:SHOWN]:
        print(one, file=sys.stderr)
    if told:
        more = f"{len(told) - SHOWN} more, and " if len(told) > SHOWN else ""
        where = Path(whole.source)
        print(
            f"{more}what the arrays and the videos say: python -m flowless.doctor --features {store.path} "
            f"--annotations {where}",
            file=sys.stderr,
        )
    return time.perf_counter() - began
