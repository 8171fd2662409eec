"""Numpy arrays in pickles, as lists or as arrays: made of their bytes, when type, shape and number of bytes agree."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from command.errors import shown

KINDS = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8)}  # of numbers, with their bytes


class PickleError(ValueError):
    """A pickle that is damaged, or that holds more than plain data."""


@dataclass
class ArrayType:
    """The type of an array's values: numpy's letter for the kind, bytes of one value, order of its bytes."""

    kind: str
    size: int
    order: str = "="


def type_named(code: Any) -> ArrayType:
    """ "f8", "<i4", "U12" and the like."""
    if isinstance(code, bytes):
        code = code.decode("latin-1")
    if not isinstance(code, str):
        raise PickleError(f"an array of {shown(code)}, not of numbers or text")
    order = code[0] if code[:1] in tuple("<>=|") else "="
    kind, size = code.lstrip("<>=|")[:1], code.lstrip("<>=|")[1:]
    known = kind in KINDS and size in map(str, KINDS[kind])
    if not known and not (
        kind in ("U", "S", "O") and size.isascii() and size.isdecimal() and 0 < int(size[:9]) < 10**8
    ):
        raise PickleError(f"an array of type {shown(code)}, not of numbers or text")
    return ArrayType(kind, int(size) * (4 if kind == "U" else 1), order)


def values_of(raw: Any, of: Any, shape: Any, by_column: bool) -> list[Any]:
    """The values of an array as a list, of lists where it has two axes; of one value for the shape ()."""
    if not isinstance(of, ArrayType) or not isinstance(shape, tuple) or len(shape) > 2:
        raise PickleError("damaged: an array without a type, or of more than two axes")
    count = _count(shape)
    if not count:
        return []
    if of.kind == "O":
        if not isinstance(raw, list) or len(raw) != count or len(shape) > 1:
            raise PickleError("an array of objects that is not one list of them")
        return list(raw)
    raw = _bytes(raw, of, count)
    flat = _texts(raw, of, count) if of.kind in "US" else _numbers(raw, of).tolist()
    if len(shape) < 2:
        return flat
    rows, columns = shape
    if by_column:
        return [flat[row::rows] for row in range(rows)]
    return [flat[row * columns : (row + 1) * columns] for row in range(rows)]


def array_of(raw: Any, of: Any, shape: Any, by_column: bool) -> NDArray[Any]:
    """The same as an array of numbers, of any number of axes, in the memory of `raw`."""
    if not isinstance(of, ArrayType) or not isinstance(shape, tuple):
        raise PickleError("damaged: an array without a type or a shape")
    if of.kind not in KINDS:
        raise PickleError("an array of text or objects, not of numbers")
    flat = _numbers(_bytes(raw, of, _count(shape)), of)
    return flat.reshape(shape, order="F" if by_column else "C")


def _count(shape: tuple[Any, ...]) -> int:
    """Of the values of an array."""
    if not all(isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in shape):
        raise PickleError("damaged: an array whose shape is not of whole numbers")
    return int(np.prod([int(size) for size in shape], dtype=object)) if shape else 1


def _bytes(raw: Any, of: ArrayType, count: int) -> bytes | bytearray:
    """Of so many values, and of no more."""
    if isinstance(raw, str):  # Python 2 has no bytes
        raw = raw.encode("latin-1")
    if not isinstance(raw, bytes | bytearray):
        raise PickleError(f"damaged: an array whose bytes are {shown(raw)}")
    if of.size * count != len(raw):
        raise PickleError(f"damaged: an array of {count} values of {of.size} bytes in {len(raw)} bytes")
    return raw


def _numbers(raw: bytes | bytearray, of: ArrayType) -> NDArray[Any]:
    return np.frombuffer(raw, f"{of.order if of.size > 1 else '|'}{of.kind}{of.size}")


def _texts(raw: bytes | bytearray, of: ArrayType, count: int) -> list[str]:
    big = of.order == ">" or (of.order in "=|" and np.dtype(">U1").isnative)
    encoding = "utf-8" if of.kind == "S" else "utf-32-be" if big else "utf-32-le"
    pieces = (bytes(raw[i * of.size : (i + 1) * of.size]) for i in range(count))
    return [piece.decode(encoding).rstrip("\0") for piece in pieces]  # what cannot be decoded is a ValueError
