"""Features of videos that are for testing, made by a backbone that has learnt from the labels of these videos."""

from collections.abc import Iterator

from evaluate.files.annotations import Annotations
from evaluate.files.subsets import usual_subset
from features.storage.store import Store
from train.checks.finding import WARNING, Finding
from train.checks.spans import features_of

SEEN = "labels_seen"  # what a part says where its backbone was fine-tuned: whether on this video


def check_seen(store: Store, truth: Annotations, train_subset: str | None) -> Iterator[Finding]:
    """truth: of all subsets. Opens parts of streams that say of their first video whether its labels were seen."""
    there = set(store.videos)
    annotated = [video for video in truth.videos if video in there]
    if not annotated:
        return
    learnt = (train_subset or usual_subset(truth)).lower()
    tested = [video for video in annotated if truth.videos[video].subset.lower() != learnt]
    first = annotated[0]
    for stream in [row.stream for row in features_of(store, first)]:
        if SEEN not in store.attributes(first, stream):
            continue
        having = [video for video in tested if stream in store.streams(video)]
        seen = tuple(video for video in having if store.attributes(video, stream).get(SEEN))
        if seen:
            yield Finding(
                "labels-seen",
                WARNING,
                f"{len(seen)} of {len(having)} videos that are not for training have {stream} features of a backbone "
                "that was fine-tuned on their labels: detections in them will look better than they are",
                "Fine-tune on the training subset alone (extract.finetune --train-subset) and extract anew",
                seen,
            )
