"""Whose labels a backbone has seen: the record that fine-tuning leaves in a checkpoint, and what features say of it."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from extract.backbones.checkpoints import read_record
from features.storage.store import Store

SEEN = "labels_seen"  # in the record: video -> sha256 of its file; of a part: whether its video is one of them


@lru_cache(maxsize=2)
def videos_seen(weights: Path | None) -> Mapping[str, str]:
    """The videos whose labels these weights have learnt from, with the sha256 of their files."""
    seen = read_record(weights).get(SEEN) if weights is not None else None
    return {str(video): str(sha256) for video, sha256 in seen.items()} if isinstance(seen, dict) else {}


def labels_seen(weights: Path | None, video: str, sha256: str) -> dict[str, bool]:
    """What a part says: whether this video is one of them, by its id or its content; nothing of other weights."""
    seen = videos_seen(weights)
    return {SEEN: video in seen or sha256 in seen.values()} if seen else {}


def seen_by_features(store: Store, stream: str, videos: Iterable[str]) -> dict[str, str]:
    """Of these videos those whose labels the network behind a stream has seen, with the sha256 of their files."""
    having = [video for video in videos if stream in store.streams(video)]
    if not having or SEEN not in store.attributes(having[0], stream):  # all parts of a stream have it, or none
        return {}
    made = {video: store.attributes(video, stream) for video in having}
    return {video: str(said.get("video_sha256", "")) for video, said in made.items() if said.get(SEEN)}
