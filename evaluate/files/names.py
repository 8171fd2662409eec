"""Names that mean the same and are not written the same: classes by case or blanks, videos by prefix, ending, folder.

Files of one data set come from many hands. A name that differs from an annotated one only in what is listed here,
and from no other, is taken for it, and the result says so.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

ENDINGS = re.compile(r"\.(mp4|avi|mkv|webm|mov|m4v|mpg|mpeg|flv|npy|npz|pkl|pt)$", re.IGNORECASE)
SHOWN = 2  # pairs of names that a note gives as examples

Key = Callable[[str], str]


def class_key(label: str) -> str:
    """The same for "Long Jump", "long_jump" and "LongJump "."""
    return re.sub(r"[\s_\-]", "", unicodedata.normalize("NFKC", label).casefold())


def _bare(video: str) -> str:
    """Without blanks around it, its folder and the ending of its file."""
    return ENDINGS.sub("", unicodedata.normalize("NFC", video).strip().replace("\\", "/").rstrip("/").split("/")[-1])


def _without_v(video: str) -> str:
    """ActivityNet's videos are called v_ID by some and ID by others."""
    return _bare(video).removeprefix("v_")


def _without_case(video: str) -> str:
    return _without_v(video).casefold()


CLASS_KEYS: tuple[Key, ...] = (class_key,)
VIDEO_KEYS: tuple[Key, ...] = (_bare, _without_v, _without_case)  # from the gentlest to the roughest


def same_name(strangers: Iterable[str], known: Sequence[str], keys: Sequence[Key], alone: bool) -> dict[str, str]:
    """stranger -> the one known name that has the same key, by the gentlest key that tells.

    Known names with equal keys are left alone, since nobody can tell which is meant. alone: two strangers do not
    become one either.
    """
    found: dict[str, str] = {}
    waiting = [name for name in strangers if name]
    for key in keys:
        by_key: dict[str, list[str]] = defaultdict(list)
        for name in known:
            by_key[key(name)].append(name)
        askers: dict[str, list[str]] = defaultdict(list)
        for name in waiting:
            askers[key(name)].append(name)
        for value, names in askers.items():
            if value and len(by_key.get(value, ())) == 1 and (len(names) == 1 or not alone):
                found |= dict.fromkeys(names, by_key[value][0])
        waiting = [name for name in waiting if name not in found]
    return found


def twins(classes: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of classes that differ only by case, blanks, hyphens or underscores: one class, most likely."""
    first: dict[str, str] = {}
    return [(first[key], name) for name in classes if first.setdefault(key := class_key(name), name) != name]


def examples_of(pairs: Mapping[str, str]) -> str:
    """Some of the pairs in words."""
    some = [f"{theirs!r} for {ours!r}" for theirs, ours in list(pairs.items())[:SHOWN]]
    return ", ".join(some) + (", ..." if len(pairs) > SHOWN else "")
