"""Pickles as data: lists, dicts, text, numbers and numpy arrays of numbers or text, rebuilt without running anything.

    table = read_plain(path.read_bytes())               # arrays as lists
    features = read_plain(path.read_bytes(), array_of)  # as arrays

A pickle is a program: `pickle.load` calls whatever functions it names, and even "numpy only" lets a file build
arrays of pointers that crash the interpreter. Here nothing is looked up or called. The opcodes are listed by
`pickletools.genops` and carried out on plain values; the few names that lists of detections are written with stand
for small rules below, and an array is its bytes, accepted when type, shape and length agree. Anything else is a
PickleError. Memory stays in proportion to the size of the file.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from command.errors import shown
from command.plain_arrays import ArrayType, PickleError, type_named, values_of

Arrays = Callable[[Any, Any, Any, bool], Any]  # bytes, type, shape, whether they stand column by column -> the array
MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")  # numpy 1 and 2
NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
REMEDIES = {
    "pandas": "write the table as .csv: table.to_csv('detections.csv', index=False)",
    "torch": "turn tensors into arrays before they are written: tensor.cpu().numpy()",
}


@dataclass(frozen=True)
class _Name:
    """A function or class that the pickle names."""

    module: str
    name: str


@dataclass
class _Array:
    """An array; `values` comes with the opcode that fills it. Its address is its identity, as for a list."""

    values: Any = None


@dataclass
class _Machine:
    """What a pickle works on: a stack, marks in it, values to come back to.

    `left`: how many more bytes may become values of arrays. No file written by pickle needs more than it has; one
    that uses the same bytes over and over to fill the memory does.
    """

    left: int
    arrays: Arrays
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise PickleError("it makes more values than it has bytes")

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise PickleError("damaged: it takes a value where there is none")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        if not self.marks:
            raise PickleError("damaged: a list without a beginning")
        at = self.marks.pop()
        values = self.stack[at:]
        del self.stack[at:]
        return values

    def top(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise PickleError("damaged: it changes a value where there is none")
        return self.stack[-1]

    def remembered(self, place: int) -> Any:
        if place not in self.memo:
            raise PickleError("damaged: it goes back to a value that it never had")
        return self.memo[place]


def read_plain(content: bytes, arrays: Arrays = values_of) -> Any:
    """The value in a pickle: dict, list, tuple, text, bytes, number, bool or None; arrays come as lists, or as `arrays`
    makes them.

    Raises PickleError. A value that stands in several places of the pickle is the same object in all of them.
    """
    machine = _Machine(len(content), arrays)
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name == "STOP":
                return _finished(machine.pop())
            if opcode.name in CONSTANTS:
                machine.stack.append(CONSTANTS[opcode.name])
            elif opcode.name in VALUES:
                machine.stack.append(argument)
            elif opcode.name in WORK:
                WORK[opcode.name](machine, argument)
            else:
                raise PickleError(f"it holds more than plain data (opcode {opcode.name})")
    except PickleError:
        raise
    except (ValueError, OverflowError, RecursionError) as error:
        raise PickleError(f"damaged, or no pickle at all ({shown(str(error))})") from None
    raise PickleError("damaged: it has no end")


CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
VALUES = (
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
)  # fmt: skip


def _finished(value: Any) -> Any:
    """What a consumer sees: the whole value, with arrays as lists. Shared parts are visited once."""
    value = _values(value) if isinstance(value, _Array) else value
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, _Name | ArrayType):
            raise PickleError(f"it holds {_called(each)}, not only arrays, lists and numbers")
        if id(each) in seen or not isinstance(each, list | dict | tuple):
            continue
        seen.add(id(each))
        if isinstance(each, tuple):
            if any(isinstance(part, _Array) for part in each):
                raise PickleError("it holds arrays in a tuple; expected them in a list or dict")
            waiting += each
            continue
        for key, part in each.items() if isinstance(each, dict) else enumerate(each):
            if isinstance(part, _Array):
                each[key] = _values(part)
                waiting.append(each[key])
            elif isinstance(part, list | dict | tuple | _Name | ArrayType):
                waiting.append(part)
    return value


def _values(array: _Array) -> Any:
    if array.values is None:
        raise PickleError("damaged: an array without values")
    return array.values


def _called(value: Any) -> str:
    if isinstance(value, _Name):
        remedy = REMEDIES.get(value.module.split(".")[0])
        return f"{value.module}.{value.name}" + (f" ({remedy})" if remedy else "")
    return {ArrayType: "a numpy type", _Array: "an array"}.get(type(value), type(value).__name__)


def _put(machine: _Machine, place: int) -> None:
    machine.memo[place] = machine.top()


def _push(machine: _Machine, value: Any) -> None:
    machine.stack.append(value)


def _drop_to_mark(machine: _Machine) -> None:
    machine.pop_to_mark()


def _tuple_of(machine: _Machine, count: int) -> None:
    values = [machine.pop() for _ in range(count)]
    machine.stack.append(tuple(reversed(values)))


def _append(machine: _Machine, values: list[Any]) -> None:
    target = machine.top()
    if not isinstance(target, list):
        raise PickleError(f"it appends to {_called(target)}")
    target.extend(values)


def _set_items(machine: _Machine, values: list[Any]) -> None:
    target = machine.top()
    if not isinstance(target, dict) or len(values) % 2:
        raise PickleError(f"damaged: it sets items of {_called(target)}")
    for key, value in zip(values[::2], values[1::2], strict=True):
        if not isinstance(key, str | int | float):
            raise PickleError(f"a dict with {_called(key)} as a key; expected text or numbers")
        if key in target:
            raise PickleError(f"it names {shown(key)} twice in one dict: keep one of the two")
        target[key] = value


def _dict_of(machine: _Machine) -> None:
    values = machine.pop_to_mark()
    machine.stack.append({})
    _set_items(machine, values)


def _global(machine: _Machine, named: str | None) -> None:
    if named is None:
        name, module = machine.pop(), machine.pop()
    else:
        module, _, name = named.partition(" ")
    if not isinstance(module, str) or not isinstance(name, str):
        raise PickleError("damaged: a name that is not text")
    machine.stack.append(_Name(module, name))


def _reduce(machine: _Machine) -> None:
    arguments, called = machine.pop(), machine.pop()
    if not isinstance(called, _Name) or not isinstance(arguments, tuple):
        raise PickleError(f"damaged: it calls {_called(called)}")
    machine.stack.append(_made(machine, called, arguments))


def _made(machine: _Machine, called: _Name, arguments: tuple[Any, ...]) -> Any:
    """The plain value that a call in a pickle stands for; nothing is called."""
    module, name = called.module, called.name
    if module in MULTIARRAY and name == "_reconstruct":
        return _Array()  # its type and values come with the BUILD opcode
    if module in MULTIARRAY and name == "scalar" and len(arguments) == 2:
        of, raw = arguments
        machine.spend(_size(raw))
        return values_of(raw, of, (), False)[0]
    if module in NUMERIC and name == "_frombuffer" and len(arguments) == 4:
        raw, of, shape, order = arguments
        return _Array(_filled(machine, raw, of, shape, order == "F"))
    if module == "numpy" and name == "dtype" and arguments:
        return type_named(arguments[0])
    if module == "_codecs" and name == "encode" and len(arguments) == 2:  # how protocol 2 writes bytes
        text, encoding = arguments
        if isinstance(text, str) and encoding in ("latin1", "latin-1"):
            machine.spend(len(text))
            return text.encode("latin-1")
    if module in ("builtins", "__builtin__") and name in ("bytes", "list", "dict") and not arguments:
        return {"bytes": bytes, "list": list, "dict": dict}[name]()
    if module == "collections" and name in ("OrderedDict", "defaultdict"):
        return {}  # the items follow
    raise PickleError(f"it holds {_called(called)}, not only arrays, lists and numbers")


def _filled(machine: _Machine, raw: Any, of: Any, shape: Any, by_column: bool) -> Any:
    machine.spend(_size(raw))
    return machine.arrays(raw, of, shape, by_column)


def _size(raw: Any) -> int:
    return len(raw) if isinstance(raw, bytes | bytearray | str | list) else 0


def _build(machine: _Machine) -> None:
    state, target = machine.pop(), machine.top()
    if isinstance(target, ArrayType) and isinstance(state, tuple) and len(state) >= 2:
        order = state[1].decode("latin-1") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "=", "|"):
            raise PickleError(f"damaged: {shown(order)} as the order of bytes")
        target.order = order
    elif isinstance(target, _Array) and isinstance(state, tuple) and len(state) == 5:
        _, shape, of, by_column, raw = state
        target.values = _filled(machine, raw, of, shape, bool(by_column))
    else:
        raise PickleError(f"damaged: it changes {_called(target)}")


WORK: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "POP": lambda machine, _: machine.pop() and None,
    "POP_MARK": lambda machine, _: _drop_to_mark(machine),
    "EMPTY_LIST": lambda machine, _: _push(machine, []),
    "EMPTY_DICT": lambda machine, _: _push(machine, {}),
    "LIST": lambda machine, _: _push(machine, machine.pop_to_mark()),
    "TUPLE": lambda machine, _: _push(machine, tuple(machine.pop_to_mark())),
    "DICT": lambda machine, _: _dict_of(machine),
    "TUPLE1": lambda machine, _: _tuple_of(machine, 1),
    "TUPLE2": lambda machine, _: _tuple_of(machine, 2),
    "TUPLE3": lambda machine, _: _tuple_of(machine, 3),
    "APPEND": lambda machine, _: _append(machine, [machine.pop()]),
    "APPENDS": lambda machine, _: _append(machine, machine.pop_to_mark()),
    "SETITEM": lambda machine, _: _set_items(machine, [machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: _set_items(machine, machine.pop_to_mark()),
    "MEMOIZE": lambda machine, _: _put(machine, len(machine.memo)),
    "PUT": _put,
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "GET": lambda machine, place: _push(machine, machine.remembered(place)),
    "BINGET": lambda machine, place: _push(machine, machine.remembered(place)),
    "LONG_BINGET": lambda machine, place: _push(machine, machine.remembered(place)),
    "GLOBAL": _global,
    "STACK_GLOBAL": lambda machine, _: _global(machine, None),
    "REDUCE": lambda machine, _: _reduce(machine),
    "BUILD": lambda machine, _: _build(machine),
}
