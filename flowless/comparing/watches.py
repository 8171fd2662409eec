"""What commands read that other commands add to: which state of it their outputs belong to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from features.files.layout import parts_folder
from features.storage.index import stored_fingerprints
from flowless.graph.job import digest, state_of


@dataclass(frozen=True)
class Files:
    """Files by name, size and time."""

    paths: tuple[Path, ...]

    def __call__(self) -> str:
        return digest([state_of(path) for path in self.paths])


@dataclass(frozen=True)
class Stream:
    """Features of some videos in one stream of a store: the same while they were made in the same way."""

    store: Path
    name: str
    videos: tuple[str, ...]

    def __call__(self) -> str:
        parts = parts_folder(self.store)
        if not parts.is_dir():  # a single file, or a folder of arrays
            return digest(state_of(self.store))
        folders = [folder for folder in sorted(parts.iterdir()) if folder.is_dir()]
        found = _fingerprints(self.store, digest([state_of(folder) for folder in [parts, *folders]]))
        return digest([found.get((video, self.name), "") for video in self.videos])


@lru_cache(maxsize=4)
def _fingerprints(store: Path, state: str) -> dict[tuple[str, str], str]:
    """state: of the folders, which change with every part that is added or replaced."""
    return stored_fingerprints(store)
