"""Dataclasses of settings from JSON and from `--set`: every value judged by the type of its field, in one line each.

Nothing is bent but an integer that stands for a number, and a list for a tuple. `difference` says in which settings two
configurations differ.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from command.errors import FlowlessError

LARGEST = 2**53  # of a whole number: what every reader of JSON holds exactly
MOVED = {  # settings that had another path in earlier configurations, and what they were by default
    "model.fusion": ("fusion.kind", "gate"),
    "model.resize": ("head.resize", None),
    "optimiser.normaliser": ("head.normaliser", 100.0),
    "optimiser.normaliser_momentum": ("head.normaliser_momentum", 0.9),
}
WITHOUT_EFFECT = (
    "device",
    "save_every_s",
    "data.verify",
    "sampling.workers",
    "sampling.memory_gib",
)  # on what a run computes

C = TypeVar("C")


class TrainingError(FlowlessError):
    """A run that cannot start or go on: what, where, what was expected, what to do."""


def read_json(path: Path, what: str) -> Any:
    """The content of a JSON file; TrainingError, saying that `what` was expected, for anything else."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: {error}. Expected {what}") from None
    return parse_json(text, str(path), what)


def parse_json(text: str, where: str, what: str = "settings") -> Any:
    """TrainingError, naming `where`, for text that is no JSON, or in which a key stands twice."""
    try:
        return json.loads(text, object_pairs_hook=each_once)
    except (ValueError, RecursionError) as error:  # a key twice, a number of 5,000 digits, 10,000 brackets
        raise TrainingError(f"{where}: {error}. Expected {what}") from None


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys differ; the second of two would hide the first."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice")
    return made


def from_dict(kind: type[C], values: Any, where: str) -> C:
    """The dataclass `kind` from parsed JSON; a key it does not have is an error that lists those it has."""
    if not isinstance(values, Mapping):
        raise TrainingError(f"{where}: {values!r:.60}: expected an object of settings")
    known = {f.name: f for f in fields(kind) if f.init}  # type: ignore[arg-type]
    unknown = sorted(map(str, set(values) - set(known)))
    if unknown:
        raise TrainingError(f"{where}: unknown {', '.join(unknown)}. It may hold: {', '.join(known)}")
    hints = get_type_hints(kind)
    made = {name: fitted(hints[name], value, f"{where}: {name}", known[name]) for name, value in values.items()}
    try:
        return kind(**made)
    except (ValueError, TrainingError) as error:
        raise TrainingError(f"{where}: {error}") from None


def check_types(kind: type, values: Mapping[str, Any], where: str) -> None:
    """TrainingError for a value of another type than its field; fields that `kind` does not have are not judged."""
    hints, known = get_type_hints(kind), {f.name: f for f in fields(kind)}
    for name in known.keys() & values.keys():
        fitted(hints[name], values[name], f"{where}.{name}", known[name])


def fitted(hint: Any, value: Any, where: str, field: dataclasses.Field[Any]) -> Any:
    """`value` as the type of a field has it, else a TrainingError with the field's default for an example."""
    if dataclasses.is_dataclass(hint):
        return from_dict(hint, value, where)  # type: ignore[arg-type]
    if (found := as_type(hint, value)) is not UNFIT:
        return found
    example = "" if field.default in (None, "", dataclasses.MISSING) else f" such as {field.default!r}"
    raise TrainingError(f"{where} = {value!r:.60}: expected {called(hint)}{example}")


UNFIT = object()  # what `as_type` gives for a value of another type


def as_type(hint: Any, value: Any) -> Any:
    """`value` in the type of a hint, `UNFIT` where it cannot be."""
    if get_origin(hint) in (Union, types.UnionType):
        return next((x for one in get_args(hint) if (x := as_type(one, value)) is not UNFIT), UNFIT)
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= float(LARGEST) ** 2
        return float(value) if number and math.isfinite(value) else UNFIT
    if hint is int:
        return value if type(value) is int and abs(value) <= LARGEST else UNFIT
    if get_origin(hint) is tuple:
        return as_tuple(get_args(hint), value)
    if get_origin(hint) is not None and issubclass(get_origin(hint), Mapping):
        return {k: as_tuples(v) for k, v in value.items()} if isinstance(value, Mapping) else UNFIT
    if hint is Any:
        return as_tuples(value)
    return value if type(value) is hint or (hint is types.NoneType and value is None) else UNFIT


def as_tuple(hints: tuple[Any, ...], value: Any) -> Any:
    """`UNFIT` for another number of values than the hint has, or one of another type."""
    if not isinstance(value, list | tuple):
        return UNFIT
    if len(hints) == 2 and hints[1] is Ellipsis:
        hints = (hints[0],) * len(value)
    items = [as_type(hint, item) for hint, item in zip(hints, value, strict=False)]
    return UNFIT if len(hints) != len(value) or UNFIT in items else tuple(items)


def as_tuples(value: Any) -> Any:
    """Lists, also inner ones, as tuples: what JSON cannot tell apart."""
    return tuple(map(as_tuples, value)) if isinstance(value, list | tuple) else value


def called(hint: Any) -> str:
    """A type in the words of a message."""
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(map(called, get_args(hint)))
    if get_origin(hint) is tuple:
        return f"a list of {getattr(get_args(hint)[0], '__name__', 'value')}s"
    if get_origin(hint) is not None:
        return "an object of settings"
    return {int: "an int", types.NoneType: "null"}.get(hint) or f"a {getattr(hint, '__name__', hint)}"


def set_values(config: C, assignments: Sequence[str]) -> C:
    """`config` with each "path=value" of `--set` put in; values are read as JSON where they are, else as text."""
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        path, _ = MOVED.get(path, (path, None))
        section, dot, name = path.partition(".")
        if not equals:
            raise TrainingError(f"--set {assignment}: expected path=value, such as head.width=256")
        try:
            value = json.loads(text, object_pairs_hook=each_once)
        except (ValueError, RecursionError):
            value = text
        if dot and section in ("head", "method"):  # their own dataclasses judge these
            options = {**getattr(config, f"{section}_options"), name: as_tuples(value)}
            config = replace(config, **{f"{section}_options": options})  # type: ignore[type-var]
        else:
            config = set_field(config, section, name if dot else "", value)
    return config


def set_field(config: C, section: str, name: str, value: Any) -> C:
    """One value of `config` or, where `name` is given, of its section."""
    if not name:
        return from_dict(type(config), {**shallow(config), section: value}, "--set")
    part = getattr(config, section, None)
    if part is None or not dataclasses.is_dataclass(part):
        known = [f.name for f in fields(config) if dataclasses.is_dataclass(getattr(config, f.name))]  # type: ignore[arg-type]
        raise TrainingError(f"--set {section}.{name}: no such section. There are: head, method, {', '.join(known)}")
    changed = from_dict(type(part), {**shallow(part), name: value}, f"--set {section}")
    return replace(config, **{section: changed})  # type: ignore[type-var]


def shallow(config: Any) -> dict[str, Any]:
    """The fields of a dataclass, sections as plain dictionaries."""
    values = {f.name: getattr(config, f.name) for f in fields(config)}
    return {
        name: dataclasses.asdict(v) if dataclasses.is_dataclass(v) and not isinstance(v, type) else v
        for name, v in values.items()
    }


def moved(values: Any) -> Any:
    """Parsed JSON of an earlier configuration with its settings where they are now."""
    for old, (new, default) in MOVED.items():
        (section, name), (target, field) = old.split("."), new.split(".")
        if isinstance(values, dict) and isinstance(values.get(section), dict) and name in values[section]:
            value = values[section][name]
            target = "head_options" if target == "head" else target
            values = {**values, section: {key: x for key, x in values[section].items() if key != name}}
            if value != default and isinstance(there := values.get(target, {}), dict):
                values[target] = {field: value, **there}
    return values


def difference(before: Any, after: Any) -> list[str]:
    """The settings in which two configurations differ, as sentences; what only changes speed is left out."""
    old, new = (flat(json.loads(json.dumps(dataclasses.asdict(config)))) for config in (before, after))
    paths = [path for path in dict.fromkeys([*old, *new]) if old.get(path) != new.get(path)]
    told = (path for path in paths if path not in WITHOUT_EFFECT and not path.startswith("reasons."))
    return [f"{path} was {old.get(path)!r}, is {new.get(path)!r}" for path in told]


def reasons_left(before: Any, after: Any) -> dict[str, str]:
    """Of the reasons of a configuration those of settings that another one has left as they were."""
    old, new = (flat(dataclasses.asdict(config)) for config in (before, after))

    def same(path: str) -> bool:
        section, _, name = path.partition(".")
        place = f"{section}_options.{name}" if section in ("head", "method") else path
        return old.get(place) == new.get(place) and (section != "head" or old["model.head"] == new["model.head"])

    return {path: why for path, why in before.reasons.items() if same(path)}


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, keys joined to paths."""
    made: dict[str, Any] = {}
    for name, value in values.items():
        made |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return made
