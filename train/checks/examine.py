"""All checks of a store and its annotations, cheap ones from tables alone, the others on a sample of the arrays."""

from collections.abc import Iterator

from evaluate.files.annotations import Annotations
from features.storage.store import Store
from train.checks.arrays import check_arrays
from train.checks.finding import SEVERITIES, Finding
from train.checks.labels import check_labels
from train.checks.names import check_names
from train.checks.seen import check_seen
from train.checks.spans import check_spans, evenly

SPAN = 2304  # steps of ActionFormer's longest sample, and the default of train.run
SAMPLE = 100  # videos whose arrays are read


def examine(
    store: Store, truth: Annotations, *, train_subset: str | None = None, span: int = SPAN, sample: int | None = SAMPLE
) -> list[Finding]:
    """Everything that is found, errors first. truth: read with strict=False. sample: None reads all arrays, 0 none."""
    return ordered(_all(store, truth, train_subset, span, sample))


def ordered(findings: Iterator[Finding] | list[Finding]) -> list[Finding]:
    """The gravest first; those alike as they came."""
    return sorted(findings, key=lambda one: SEVERITIES.index(one.severity))


def sampled(store: Store, truth: Annotations, sample: int | None) -> list[str]:
    """The videos whose arrays are read: annotated ones, evenly spread."""
    there = set(store.videos)
    videos = [video for video in sorted(truth.videos) if video in there] or list(store.videos)
    return videos if sample is None else evenly(videos, sample)


def _all(
    store: Store, truth: Annotations, train_subset: str | None, span: int, sample: int | None
) -> Iterator[Finding]:
    yield from check_labels(truth, train_subset)
    yield from check_names(store, truth)
    yield from check_seen(store, truth, train_subset)
    yield from check_spans(store, truth, span)
    yield from check_arrays(store, sampled(store, truth, sample))
