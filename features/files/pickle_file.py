"""Arrays out of a pickle, without running anything that it holds.

A pickle is a program. This reader knows lists, dictionaries, strings and numbers, and of numpy only how an array and
its type are put down, for which there are stand-ins here: no name in the file is ever looked up, and numpy itself is
given plain bytes and a type of plain numbers. Whatever else a file asks for is refused by its name.
"""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from features.files.layout import StoreError

NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")


class PickleError(pickle.UnpicklingError):
    """Something that is no array."""


class DType:
    """Stands for numpy.dtype, as it is put down: its name, then its byte order."""

    def __init__(self, name: str = "", *rest: Any) -> None:
        if isinstance(name, bytes):
            name = name.decode("latin1")
        if not isinstance(name, str) or name.lstrip("<>=|") not in NUMBERS:
            raise PickleError(f"an array of {name!r:.40}, not of plain numbers")
        self.name, self.order = name.lstrip("<>=|"), "="

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        self.order = order.decode("latin1") if isinstance(order, bytes) else str(order)

    @property
    def plain(self) -> np.dtype:
        return np.dtype(("" if self.order == "|" else self.order) + self.name)


class Array:
    """Stands for numpy.ndarray: shape, type and bytes."""

    def __init__(self, *rest: Any) -> None:
        self.array: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        self.array = as_array(data, dtype, shape, "F" if fortran else "C")


def as_array(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if isinstance(data, str):  # of Python 2
        data = data.encode("latin1")
    if not isinstance(dtype, DType) or not isinstance(data, bytes | bytearray) or not isinstance(shape, tuple):
        raise PickleError("an array of Python objects")
    lengths = [length for length in shape if type(length) is int and length >= 0]
    if len(lengths) != len(shape) or order not in ("C", "F") or len(data) != math.prod(shape) * dtype.plain.itemsize:
        raise PickleError(f"an array of {shape!r:.40}, of which {len(data):,} bytes are there")
    return np.frombuffer(data, dtype.plain).reshape(shape, order=order)


def from_buffer(data: Any, dtype: Any, shape: Any, order: Any = "C", *rest: Any) -> Array:
    made = Array()
    made.array = as_array(data, dtype, shape, order)
    return made


def encoded(text: str, encoding: str = "latin1") -> bytes:
    """How older pickles put bytes down."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise PickleError(f"text in {encoding!r:.40}")
    return text.encode("latin1")


def scalar(dtype: Any, data: Any = b"") -> float:
    """One number of numpy's."""
    return float(as_array(data, dtype, (1,), "C")[0])


KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): DType,
    ("_codecs", "encode"): encoded,
    ("collections", "OrderedDict"): OrderedDict,
}
for core in ("numpy.core", "numpy._core"):
    KNOWN[f"{core}.multiarray", "_reconstruct"] = Array
    KNOWN[f"{core}.multiarray", "scalar"] = scalar
    KNOWN[f"{core}.numeric", "_frombuffer"] = from_buffer


class ArrayUnpickler(pickle.Unpickler):
    """Looks no name up; knows the stand-ins above."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in KNOWN:
            raise PickleError(f"{module}.{name}, which is no array")
        return KNOWN[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise PickleError("parts that lie in other files")


def read_pickle(file: Path) -> Any:
    """Arrays, or dictionaries and lists of them; StoreError names what else the file holds."""
    try:
        with file.open("rb") as stream:
            found = ArrayUnpickler(stream, encoding="latin1").load()
    except OSError as error:
        raise StoreError(f"{file}: cannot be read: {error.strerror or error}") from error
    except PickleError as error:
        raise StoreError(
            f"{file}: holds {error}. Arrays, dictionaries and lists of them are read; anything else would have to be "
            "run. If you trust whoever made the file, load it yourself and save each (T, D) array with "
            "np.save('VIDEO.npy', array)"
        ) from error
    except Exception as error:  # a damaged pickle raises whatever it likes
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StoreError(
            f"{file}: not a readable pickle: {told}. A download that was cut off, or a file of torch.save? The latter: "
            f"python -c \"import torch, numpy; numpy.save('{file.stem}.npy', torch.load('{file.name}', "
            'weights_only=True).numpy())"'
        ) from error
    return plain(found)


def plain(found: Any) -> Any:
    """Stand-ins as the arrays that they stand for."""
    if isinstance(found, Array):
        return found.array
    if isinstance(found, dict):
        return {key: plain(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [plain(value) for value in found]
    return found
