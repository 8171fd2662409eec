"""HDF5 files as a store writes them: bytes that depend on contents alone, and structure that is under checksums.

The format of HDF5 1.10 has a checksum in every piece of its structure, which the library compares when it reads. What
would escape it is avoided: text of variable length lies in a heap without one, where a wrong byte can crash the
library, so text is stored at its own fixed length.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def in_memory() -> h5py.File:
    """A new HDF5 file that never touches the disk: what is written of it is written whole, by us."""
    access = _access()
    access.set_fapl_core(1 << 16, False)
    return _new(secrets.token_hex(8).encode(), access)


def on_disk(path: Path) -> h5py.File:
    """A new HDF5 file at path."""
    return _new(os.fsencode(path), _access())


def file_image(file: h5py.File) -> bytes:
    """The bytes of a file in memory."""
    file.flush()
    return file.id.get_file_image()


def new_group(parent: h5py.Group, path: str) -> h5py.Group:
    """The group at path below parent, made if need be; no group says when it was made."""
    for name in path.split("/"):
        if name not in parent:
            how = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
            how.set_obj_track_times(False)
            h5py.h5g.create(parent.id, name.encode(), gcpl=how)
        parent = parent[name]
    return parent


def write_attribute(of: h5py.Group | h5py.Dataset, name: str, value: Any) -> None:
    """value: text, a number, a truth value, or a list of one of these."""
    texts = [value] if isinstance(value, str) else value
    if not (isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts)):
        of.attrs[name] = value
        return
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    kind = h5py.string_dtype("utf-8", max(1, *(len(text) for text in encoded)))
    of.attrs.create(name, encoded[0] if isinstance(value, str) else np.array(encoded, kind), dtype=kind)


def read_attribute(of: h5py.Group | h5py.Dataset, name: str) -> Any:
    """The attribute as a plain Python value; KeyError if there is none."""
    return _plain(of.attrs[name])


def read_attributes(of: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    """All attributes as plain Python values."""
    return {name: _plain(value) for name, value in of.attrs.items()}


def read_labelled(path: Path, dataset: str, of_file: str, of_dataset: str) -> tuple[str, np.ndarray | None, str]:
    """A dataset of a file, with a text attribute of the file and one of the dataset; empty where there is none.

    In a quarter of the time that it takes through h5py's objects, most of which goes into the type of a table: there
    are ten thousand parts to an index.
    """
    how = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    how.set_file_locking(False, True)
    file = h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDONLY, how)
    try:
        label = _text(file, of_file)
        if dataset.encode() not in h5py.h5g.open(file, b"/"):
            return label, None, ""
        of = h5py.h5d.open(file, dataset.encode())
        kind = of.get_type()
        encoded = kind.encode()
        if encoded not in _types:
            _types[encoded] = kind.dtype
        values = np.empty(of.shape, _types[encoded])
        of.read(h5py.h5s.ALL, h5py.h5s.ALL, values, kind)
        return label, values, _text(of, of_dataset)
    except BaseException:
        h5py.File(file).close()  # and what is open of it, which the traceback keeps
        raise


_types: dict[bytes, np.dtype] = {}  # as HDF5 writes them: the tables of a store's parts have few


def _text(of: Any, name: str) -> str:
    if not h5py.h5a.exists(of, name.encode()):
        return ""
    attribute = h5py.h5a.open(of, name.encode())
    kind = attribute.get_type()
    if not isinstance(kind, h5py.h5t.TypeStringID) or kind.is_variable_str():
        holder = h5py.File(of) if isinstance(of, h5py.h5f.FileID) else h5py.Dataset(of)
        return str(read_attribute(holder, name))
    value = np.empty((), f"S{kind.get_size()}")
    attribute.read(value, kind)
    return bytes(value[()]).decode("utf-8", "surrogateescape")


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, np.ndarray) and value.dtype.kind == "S":
        return np.char.decode(value, "utf-8", "surrogateescape").tolist()
    return value.tolist() if hasattr(value, "tolist") else value


def _access() -> Any:
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    return access


def _new(name: bytes, access: Any) -> h5py.File:
    how = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    how.set_obj_track_times(False)
    return h5py.File(h5py.h5f.create(name, h5py.h5f.ACC_TRUNC, how, access))
