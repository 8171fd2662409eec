"""Subsets of videos: shares of every class alike, groups kept together, the same for the same seed.

Iterative stratification (Sechidis, Tsoumakas, Vlahavas, ECML PKDD 2011) over groups of videos instead of single
samples: the rarest class is given out first, each group to the subset that still lacks most of that class.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from command.errors import FlowlessError

NAMES = {2: ("Training", "Test"), 3: ("Training", "Validation", "Test")}  # as train.run and evaluate.run call them
NOTHING = ""  # the class of videos without an action
WORDS = ("cam", "camera", "view", "angle", "part", "clip", "seg", "segment", "chunk")  # of one event, before a number


class SplitError(FlowlessError):
    """Shares that cannot be, or groups that are fewer than subsets."""


def parse_shares(text: str) -> tuple[float, ...]:
    """ ".7/.1/.2" or "70/30" -> shares of Training, Validation (if three) and Test, that sum to 1."""
    try:
        shares = tuple(float(part) for part in text.split("/"))
    except ValueError:
        shares = ()
    total = sum(shares)
    if len(shares) not in NAMES or not (abs(total - 1) < 0.011 or abs(total - 100) < 1.1) or min(shares) < 0:
        raise SplitError(
            f"--split {text}: expected shares of Training/Validation/Test that sum to 1, such as .7/.1/.2, or of "
            "Training/Test, such as .8/.2"
        )
    return tuple(share / total for share in shares)


def split(
    classes: Mapping[str, Sequence[str]], groups: Mapping[str, str], shares: Sequence[float], seed: int
) -> dict[str, str]:
    """Video -> subset. classes: of the actions of each video, with repeats; groups: of each video."""
    names = [name for name, share in zip(NAMES[len(shares)], shares, strict=True) if share > 0]
    wanted = [share for share in shares if share > 0]
    members: dict[str, list[str]] = defaultdict(list)
    for video in sorted(classes):
        members[groups[video]].append(video)
    if len(members) < len(names):
        raise SplitError(
            f"{len(members)} groups cannot be split into {len(names)} subsets. Choose another --by, or fewer subsets"
        )
    holds = {group: Counter(c for v in videos for c in classes[v] or [NOTHING]) for group, videos in members.items()}
    waiting = sorted(holds)
    random.Random(seed).shuffle(waiting)
    lacks = {c: [share * n for share in wanted] for c, n in sum(holds.values(), Counter()).items()}
    room = [share * len(classes) for share in wanted]
    chosen: dict[str, int] = {}
    while waiting:
        left: Counter[str] = sum((holds[group] for group in waiting), Counter())
        rarest = min(left, key=lambda c: (left[c], c))
        for group in sorted((g for g in waiting if holds[g][rarest]), key=lambda g: -holds[g][rarest]):
            place = max(range(len(names)), key=lambda i: (round(lacks[rarest][i], 9), round(room[i], 9)))
            chosen[group] = place
            room[place] -= len(members[group])
            for c, n in holds[group].items():
                lacks[c][place] -= n
        waiting = [group for group in waiting if group not in chosen]
    _fill_empty(chosen, members, len(names))
    return {video: names[chosen[groups[video]]] for video in classes}


def _fill_empty(chosen: dict[str, int], members: Mapping[str, Sequence[str]], count: int) -> None:
    """No subset stays empty: it gets the smallest group of the subset that has most."""
    for empty in range(count):
        if empty not in chosen.values():
            fullest = Counter(chosen.values()).most_common(1)[0][0]
            smallest = min((g for g, at in chosen.items() if at == fullest), key=lambda g: (len(members[g]), g))
            chosen[smallest] = empty


def torn_apart(subsets: Mapping[str, str]) -> tuple[str, list[list[str]]] | None:
    """Videos whose names differ by a camera or a part alone, as "fall-01-cam0" and "fall-01-cam1", in several subsets.

    A regular expression for `--by` that keeps them together and is found in every name, and these groups of videos.
    """
    for word in WORDS:
        pattern = rf"^(.*?)(?:[-_]?{word}[-_]?\d+)?$"
        groups: dict[str, list[str]] = defaultdict(list)
        for video in subsets:
            if (match := re.search(pattern, video)) and match[1]:
                groups[match[1]].append(video)
        torn = [videos for videos in groups.values() if len({subsets[video] for video in videos}) > 1]
        if torn and len(groups) >= len(set(subsets.values())):  # else nothing would be left to split
            return pattern, torn
    return None
