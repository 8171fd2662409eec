"""One file of a feature sequence, as others write them: .npy, .npz, .pkl, .pt or .csv in, a (T, D) array of floats out.

Nothing that a file holds is ever run. What is no such array is refused in a line that says what it is, and how to
repair it.
"""

from __future__ import annotations

import math
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import IO, Literal, NamedTuple

import numpy as np

from features.files.layout import StoreError
from features.files.many_file import HDF5, PICKLES, array_in, members, shape_in
from features.files.strict_json import read_text

SUFFIXES = (".npy", ".npz", ".pkl", ".pt", ".pth", ".csv")
USUAL_NAMES = ("feats", "features", "arr_0")  # of the array in an .npz file: ActionFormer's, others', numpy's own
# What numpy's reader of headers raises on bytes that are none.
_BAD_HEADER = (ValueError, TypeError, SyntaxError, TokenError, EOFError, OverflowError, RecursionError, MemoryError)
_BAD_ZIP = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, KeyError, OSError, ValueError)


class Header(NamedTuple):
    """What an array file says of its array before the first number."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    offset: int  # bytes before the numbers


def shape_of(file: Path, name: str | None = None, *, sequence: bool = True) -> tuple[int, ...]:
    """The shape of the array in a file, by its header where it has one; (T, D) if it must be a sequence.

    name: of the array in an .npz file. StoreError if the file cannot be a feature sequence.
    """
    if file.suffix == ".csv":
        rows, columns, _ = _csv_rows(file)
        return len(rows), len(columns)
    if file.suffix in HDF5 + PICKLES:
        shape, dtype = shape_in(file, _member(file, name))
        header = Header(shape, False, dtype, 0)
        return _two_dimensions(file, header) if sequence else shape
    with _opened(file, name) as (stream, size):
        header = _header(file, stream, size)
    return _two_dimensions(file, header) if sequence else header.shape


def read_array(file: Path, name: str | None = None, *, sequence: bool = True) -> np.ndarray:
    """The array of a file: (T, D) floats in native byte order if it must be a sequence, else any numbers.

    An .npy file is mapped, so that rows are read when they are asked for.
    """
    if file.suffix == ".csv":
        return _csv(file)
    if file.suffix in HDF5 + PICKLES:
        array = array_in(file, _member(file, name))
        return array.reshape(_two_dimensions(file, Header(array.shape, False, array.dtype, 0))) if sequence else array
    with _opened(file, name) as (stream, size):
        header = _header(file, stream, size)
        shape = _two_dimensions(file, header) if sequence else header.shape
        if header.dtype.kind not in "iuf" or 0 in shape:
            raise StoreError(f"{file}: expected numbers, got {shape} {header.dtype}")
        order: Literal["F", "C"] = "F" if header.fortran else "C"
        if file.suffix == ".npy":
            array = np.asarray(np.memmap(file, header.dtype, "r", header.offset, header.shape, order))
        else:
            try:
                array = np.frombuffer(stream.read(), header.dtype, math.prod(header.shape))
            except (*_BAD_ZIP, MemoryError) as error:
                raise _cut_short(file, f"its data cannot be unpacked: {error}") from error
            array = array.reshape(header.shape, order=order)
    return array.reshape(shape)


def native(array: np.ndarray) -> np.ndarray:
    """A copy as tensors can take it: in the byte order of this machine, in rows, of at most 8 bytes a number."""
    kind = array.dtype.newbyteorder("=") if array.dtype.itemsize <= 8 else np.dtype(np.float64)
    return np.array(array, dtype=kind, order="C")


@contextmanager
def _opened(file: Path, name: str | None) -> Iterator[tuple[IO[bytes], int]]:
    """The bytes of an array with its header, and how many there are: the file itself, or a member of an .npz file."""
    try:
        with file.open("rb") as stream:
            size = file.stat().st_size
            if size == 0:
                raise _cut_short(file, "it has 0 bytes")
            if file.suffix != ".npz":
                yield stream, size
                return
            try:
                archive = zipfile.ZipFile(stream)
                entry = archive.getinfo(_chosen(file, archive.namelist(), name))
                member = archive.open(entry)
            except _BAD_ZIP as error:
                raise _cut_short(file, f"not a readable .npz archive: {error}") from error
            with member:
                yield member, entry.file_size
    except OSError as error:
        raise StoreError(f"{file}: cannot be read: {error.strerror or error}") from error


def _member(file: Path, name: str | None) -> str:
    """The array of an HDF5 file or a pickle that holds the features; "" is all of a pickle of one array."""
    return _of_names(file, [one.name for one in members(file)], None) if name is None else name


def _chosen(file: Path, entries: list[str], name: str | None) -> str:
    """The member of an .npz file that holds the features."""
    return _of_names(file, [one.removesuffix(".npy") for one in entries if one.endswith(".npy")], name) + ".npy"


def _of_names(file: Path, names: list[str], name: str | None) -> str:
    usual = [one for one in USUAL_NAMES if one in names]
    chosen = name or (usual[0] if usual else names[0] if len(names) == 1 else None)
    if chosen not in names:
        asked = f"no array {name!r}: " if name else ""
        there = ", ".join(map(repr, names[:8])) or "none"
        raise StoreError(
            f"{file}: {asked}its arrays are {there}. Say which holds the features with --array NAME, "
            f"or, if each is a video, read the file with --file {file}"
        )
    return chosen


def _header(file: Path, stream: IO[bytes], size: int) -> Header:
    """The header, checked: plain numbers, and as many bytes as they need."""
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # headers as Python 2 wrote them are read all the same
            shape, fortran, dtype = read(stream)
        offset = stream.tell()
    except (*_BAD_HEADER, *_BAD_ZIP) as error:
        raise _cut_short(file, f"not a readable array: {error}") from error
    if dtype.hasobject:
        raise StoreError(
            f"{file}: holds Python objects, not an array: save the (T, D) array alone. They are not loaded here, for "
            f"loading runs whatever they hold; if you trust whoever made them, and they are a dictionary of arrays: "
            f"mkdir -p arrays && python -c \"import numpy as np; np.savez('arrays/{file.stem}.npz', "
            f"**np.load('{file}', allow_pickle=True).item())\"  and import the folder arrays (--array NAME says which)"
        )
    needed = math.prod(shape) * dtype.itemsize
    if any(length < 0 for length in shape) or needed > size - offset:
        raise _cut_short(file, f"{needed:,} bytes of {shape} {dtype} announced, {max(0, size - offset):,} are there")
    return Header(shape, fortran, dtype, offset)


def _two_dimensions(file: Path, header: Header) -> tuple[int, int]:
    """(T, D) of an array of floats; axes of length 1 beyond two are taken away, anything else is refused."""
    shape, dtype = header.shape, header.dtype
    if dtype.kind in "iub":
        raise StoreError(
            f"{file}: holds {dtype} {shape}, not floats: labels or pictures? If these are features: "
            f"np.save(new_file, np.load('{file.name}').astype('float32'))"
        )
    if dtype.kind != "f" or 0 in shape:
        raise StoreError(f"{file}: expected a (T, D) array of floats, got {shape} {dtype}")
    if len(shape) == 2:
        return shape[0], shape[1]
    long = [length for length in shape if length > 1]
    if len(shape) > 2 and len(long) == 2:
        return long[0], long[1]
    if len(shape) > 2 and len(long) < 2:
        return shape[0], math.prod(shape[1:])
    remedy = (
        f"For a video of one step: np.save(new_file, np.load('{file.name}')[None])"
        if len(shape) == 1
        else "Take the mean over the axes that are not time and channels, and save that"
    )
    raise StoreError(f"{file}: expected a (T, D) array of floats, got {shape} {dtype}. {remedy}")


def _csv(file: Path) -> np.ndarray:
    rows, columns, delimiter = _csv_rows(file)
    try:
        array = np.loadtxt(rows, delimiter=delimiter, comments=None, ndmin=2, usecols=columns, quotechar='"')
    except (ValueError, OverflowError) as error:
        raise StoreError(f"{file}: expected a row of numbers for every step: {error}") from error
    if array.shape != (len(rows), len(columns)):
        raise StoreError(f"{file}: expected a row of numbers for every step, got {array.shape}")
    return array


def _csv_rows(file: Path) -> tuple[list[str], range, str | None]:
    """Rows of numbers, one a step, which of their columns count, and what stands between them (None: blanks).

    A first line of names or of column numbers is a header; a first column without a name counts the rows (pandas).
    """
    lines = [line for line in read_text(file).splitlines() if line.strip()]
    if not lines:
        raise _cut_short(file, "it has no line")
    delimiter = next((one for one in (",", ";", "\t") if one in lines[0]), None)
    first = [cell.strip(" \"'") for cell in lines[0].split(delimiter)]
    numbered = len(first) > 1 and first[0] == ""
    names = first[int(numbered) :]
    headed = numbered or names == [str(place) for place in range(len(names))] or not all(map(_is_number, names))
    if not lines[int(headed) :]:
        raise _cut_short(file, "it has a header and no step")
    return lines[int(headed) :], range(int(numbered), len(first)), delimiter


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _cut_short(file: Path, what: str) -> StoreError:
    return StoreError(f"{file}: {what}. A download or an extraction that was cut off? Fetch or make it again")
