"""Which subset of annotations is learnt from where nobody says."""

import sys

from evaluate.files.annotation_files import AnnotationError
from evaluate.files.annotations import Annotations

TRAINED_ON_VALIDATION = ("thumos14", "multithumos")  # their training sets are trimmed clips


def usual_subset(truth: Annotations) -> str:
    """What is learnt from where nothing is said, as everybody does."""
    return "Validation" if truth.dataset in TRAINED_ON_VALIDATION else "Training"


def training_subset(truth: Annotations, asked: str = "") -> str:
    """The subset asked for, else the one that everybody trains on, else the only one that is not for testing."""
    usual = usual_subset(truth)
    there = {subset.lower(): subset for subset in truth.subsets}
    name = asked or usual
    if name.lower() in there:
        return name
    left = [subset for subset in truth.subsets if not subset.lower().startswith("test")]
    if not asked and len(left) == 1:
        print(
            f"{truth.source}: no subset {usual!r}; learning from {left[0]!r}, the only one that is not for "
            "testing (--train-subset says another)",
            file=sys.stderr,
        )
        return left[0]
    raise AnnotationError(
        f"{truth.source}: no video of subset {name!r}; subsets there: "
        f"{', '.join(map(repr, truth.subsets))}. Say which to learn from with --train-subset"
    )
