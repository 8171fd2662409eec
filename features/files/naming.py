"""From names of files to ids of videos: what is taken off, what is put on, and which option would make them match."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from features.files.layout import StoreError

_TRIED = 50  # files whose names are compared with all annotated ones


@dataclass(frozen=True)
class Naming:
    """How the name of a file (its path below the folder, without suffix) becomes the id of a video."""

    strip_folders: bool = False
    prefix: str = ""  # taken off
    suffix: str = ""  # taken off
    add_prefix: str = ""
    ignore_case: bool = False  # an annotated id that differs by case alone is the one that is meant

    def video(self, name: str, annotated: Mapping[str, str] | None = None) -> str:
        """The id; annotated: case-folded id -> id of the annotated videos."""
        if self.strip_folders:
            name = name.rpartition("/")[2]
        video = self.add_prefix + name.removeprefix(self.prefix).removesuffix(self.suffix)
        if not video:
            raise StoreError(f"nothing is left of the name {name!r} without {self.prefix!r} and {self.suffix!r}")
        return (annotated or {}).get(video.casefold(), video) if self.ignore_case else video

    @property
    def options(self) -> str:
        """As they are typed, e.g. "--strip-folders --prefix v_"."""
        words = ["--strip-folders"] if self.strip_folders else []
        for option, text in (("prefix", self.prefix), ("suffix", self.suffix), ("add-prefix", self.add_prefix)):
            if text:
                words.append(f"--{option}{'=' if text.startswith('-') else ' '}{shlex.quote(text)}")
        return " ".join([*words, *(["--ignore-case"] if self.ignore_case else [])])


def folded(annotated: Iterable[str]) -> dict[str, str]:
    """Case-folded id -> id; of two that differ by case alone, the first."""
    found: dict[str, str] = {}
    for video in annotated:
        found.setdefault(video.casefold(), video)
    return found


def suggestion(names: Sequence[str], annotated: Collection[str]) -> Naming | None:
    """The plainest naming under which at least half of the names are annotated; None if there is none."""
    by_case = folded(annotated)
    tried = {naming for name in names[:_TRIED] for naming in _namings(name, by_case)}
    best: tuple[int, int, str] | None = None
    chosen = None
    for naming in tried:
        videos = [naming.video(name) for name in names if _leaves_something(naming, name)]
        exact = sum(video in annotated for video in videos)
        loose = sum(video.casefold() in by_case for video in videos)
        one = naming if exact == loose else Naming(**{**naming.__dict__, "ignore_case": True})
        rank = (-loose, len(one.options), one.options)
        if 2 * loose >= len(names) and (best is None or rank < best):
            best, chosen = rank, one
    return chosen


def _leaves_something(naming: Naming, name: str) -> bool:
    base = name.rpartition("/")[2] if naming.strip_folders else name
    return bool(naming.add_prefix + base.removeprefix(naming.prefix).removesuffix(naming.suffix))


def _namings(name: str, by_case: Mapping[str, str]) -> Iterable[Naming]:
    """Namings under which this one name is annotated, but for its case."""
    for strip in (False, True) if "/" in name else (False,):
        base = name.rpartition("/")[2] if strip else name
        spans = [(start, stop) for start in range(len(base)) for stop in range(start + 1, len(base) + 1)]
        for start, stop in sorted(spans, key=lambda span: span[0] - span[1]):
            if base[start:stop].casefold() in by_case:
                yield Naming(strip, prefix=base[:start], suffix=base[stop:])
                break
        for key, video in by_case.items():
            if key.endswith(base.casefold()):
                yield Naming(strip, add_prefix=video[: len(video) - len(base)])
                break
