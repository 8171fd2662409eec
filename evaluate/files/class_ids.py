"""Which class a number means: the annotations' own `label_id`, a place in the class list, or a THUMOS kit's number.

A detection file that writes ids instead of names means the `label_id` that its detector was trained with. Where the
annotations carry none, ids are places in the list of classes: from 0, and from 1 in text files, as in the THUMOS
kits (also where `label_id` is no more than the place from 0). Numbers that fit none of this are refused, those that
fit several are told, and `--class-ids` says what they are.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from evaluate.files.published import THUMOS14_CLASSES

COUNTED = ("label_id", "from-0", "from-1", "thumos")
ID = re.compile(r"-?[0-9]{1,18}(\.0+)?")
SHOWN = 3  # ids that a sentence gives as examples

# The 20 THUMOS classes in alphabetical order, by their numbers among the 101 classes of the kits' detclasslist.txt.
THUMOS_IDS = (7, 9, 12, 21, 22, 23, 24, 26, 31, 33, 36, 40, 45, 51, 68, 79, 85, 92, 93, 97)


class ClassIdError(ValueError):
    """Class ids that cannot be told."""


@dataclass(frozen=True)
class ClassIds:
    """The ids that annotations or a class list give their classes: name -> id."""

    numbers: Mapping[str, int] = field(default_factory=dict)
    conflict: str = ""  # why ids cannot be trusted, in words
    source: str = "label_id of the annotations"


def ids_of(pairs: Iterable[tuple[str, int | None]]) -> ClassIds:
    """From (label, its `label_id`) of all annotations; a label without one is passed over."""
    numbers: dict[str, int] = {}
    owner: dict[int, str] = {}
    for label, number in pairs:
        if number is None:
            continue
        if numbers.setdefault(label, number) != number:
            return ClassIds(conflict=f"the annotations give {label!r} label_id {numbers[label]} and {number}")
        if owner.setdefault(number, label) != label:
            return ClassIds(conflict=f"the annotations give label_id {number} to {owner[number]!r} and {label!r}")
    return ClassIds(numbers)


def names_of_ids(
    labels: Sequence[str], classes: Sequence[str], ids: ClassIds, counted: str | None, first: int
) -> tuple[tuple[str, ...], list[str]]:
    """Labels with ids turned into names, and sentences on how they were read; names stay as they are.

    counted: one of COUNTED, or None to take what the annotations offer. first: where the places of this kind of
    file count from. Raises ClassIdError.
    """
    if not labels or set(labels) & set(classes) or not all(ID.fullmatch(label) for label in labels):
        return tuple(labels), []
    numbers = [int(label.partition(".")[0]) for label in labels]
    readings = _readings(classes, ids)
    counted = counted or _reading_of(numbers, readings, ids, first)
    if counted not in readings:
        missing = {"label_id": "the annotations carry no label_id", "thumos": "the classes are not THUMOS'14's"}
        raise ClassIdError(f"--class-ids {counted}: {missing[counted]}")
    names = readings[counted]
    unknown = sorted(set(numbers) - set(names))
    if unknown:
        raise ClassIdError(_outside(unknown[0], numbers, counted, readings, ids))
    others = [other for other in _fitting(numbers, readings) if _differ(numbers, names, readings[other])]
    if not others:
        return tuple(names[number] for number in numbers), []
    sentence = (
        f"class ids are read as {_in_words(counted, ids)} ({_examples(numbers, names)}); if they are something else, "
        f"say so: --class-ids {' or '.join(others)}"
    )
    return tuple(names[number] for number in numbers), [sentence]


def _readings(classes: Sequence[str], ids: ClassIds) -> dict[str, dict[int, str]]:
    """What each way of counting makes of numbers: way -> number -> class."""
    found: dict[str, dict[int, str]] = {}
    if ids.numbers:
        found["label_id"] = {number: name for name, number in ids.numbers.items() if name in set(classes)}
    found |= {f"from-{first}": dict(enumerate(classes, start=first)) for first in (0, 1)}
    if classes and set(classes) <= set(THUMOS14_CLASSES):
        kit = zip(THUMOS_IDS, THUMOS14_CLASSES, strict=True)
        found["thumos"] = {number: name for number, name in kit if name in set(classes)}
    return found


def _reading_of(numbers: Sequence[int], readings: Mapping[str, Mapping[int, str]], ids: ClassIds, first: int) -> str:
    if first == 1 and set(numbers) <= set(readings.get("thumos", ())):
        return "thumos"
    if ids.conflict:
        raise ClassIdError(
            f"class ids instead of names, and {ids.conflict}. Correct label_id, write class names, or say how the ids "
            f"count: --class-ids from-0 or from-1"
        )
    if "label_id" not in readings:
        return f"from-{first}"
    if first == 0:
        return "label_id"
    ways = ["label_id", "from-1"]
    if readings["label_id"] == readings["from-0"]:
        ways.reverse()  # label_id is no more than the place from 0, and text files have theirs from 1
    return next((way for way in ways if set(numbers) <= set(readings[way])), "label_id")


def _fitting(numbers: Sequence[int], readings: Mapping[str, Mapping[int, str]]) -> list[str]:
    return [way for way, names in readings.items() if set(numbers) <= set(names)]


def _differ(numbers: Sequence[int], names: Mapping[int, str], others: Mapping[int, str]) -> bool:
    return any(names[number] != others[number] for number in numbers)


def _outside(
    unknown: int, numbers: Sequence[int], counted: str, readings: Mapping[str, Mapping[int, str]], ids: ClassIds
) -> str:
    names = readings[counted]
    fitting = _fitting(numbers, readings)
    remedy = (
        f"They would all be known as {_in_words(fitting[0], ids)}: if that is what they are, --class-ids {fitting[0]}"
        if fitting
        else "Write class names instead, or use the annotations that the detector was trained with"
    )
    if counted == "label_id":
        return (
            f"class id {unknown} is no {ids.source}; those are {_examples(sorted(names), names)}, {len(names)} in all. "
            f"{remedy}"
        )
    span = f"{min(names)} to {max(names)}" if names else "nothing"
    return f"class id {unknown} is outside {span}, the ids of the {len(names)} annotated classes. {remedy}"


def _in_words(counted: str, ids: ClassIds) -> str:
    if counted == "label_id":
        return ids.source
    if counted == "thumos":
        return "the THUMOS kits' numbers among 101 classes"
    return f"places in the annotations' list of classes, counted from {counted[-1]}"


def _examples(numbers: Iterable[int], names: Mapping[int, str]) -> str:
    known = sorted(set(numbers))
    more = ", ..." if len(known) > SHOWN else ""
    return ", ".join(f"{number} is {names[number]!r}" for number in known[:SHOWN]) + more
