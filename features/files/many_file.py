"""One file that holds the features of many videos: HDF5 (G-TAD, TadTR's P-GCN, ActivityNet's C3D), .npz, .pkl or .pt.

rgb_val.h5       video -> (T, D); the cue by the file's name
features.hdf5    video -> (T, D), or video -> rgb, flow, or video -> one array of any name
features.pkl     {video: array}, or {video: {"rgb": array, "flow": array}}; .pt is the same with tensors
features.npz     video -> (T, D)
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from features.files.layout import StoreError
from features.files.pickle_file import read_pickle, read_tensors

HDF5 = (".h5", ".hdf5", ".hdf")
TENSORS = (".pt", ".pth")  # of torch.save
PICKLES = (".pkl", ".pickle", *TENSORS)
MANY = (*HDF5, *PICKLES, ".npz")
CUES = ("rgb", "flow")


class Member(NamedTuple):
    """One array in such a file."""

    name: str  # in the file, with / between its parts
    video: str
    stream: str | None  # None: its columns say


def members(file: Path) -> list[Member]:
    """The arrays of a file, in order; StoreError if it holds none."""
    if not file.is_file():
        raise StoreError(f"{file}: {'is a folder; name the files in it' if file.is_dir() else 'no such file'}")
    names = _names(file)
    if not names:
        raise StoreError(f"{file}: holds no array. Expected a (T, D) array under the name of each video")
    cue = _cue(file.stem)
    parts = [name.split("/") for name in names]
    if all(len(part) > 1 and part[-1].lower() in CUES for part in parts):  # video/rgb, video/flow
        return [Member("/".join(p), "/".join(p[:-1]), p[-1].lower()) for p in parts]
    if all(len(part) > 1 and part[0].lower() in CUES for part in parts):  # rgb/video, flow/video
        return [Member("/".join(p), "/".join(p[1:]), p[0].lower()) for p in parts]
    if len({part[-1] for part in parts}) == 1 and all(len(part) > 1 for part in parts):  # video/c3d_features
        return [Member("/".join(p), "/".join(p[:-1]), cue) for p in parts]
    return [Member(name, name, cue) for name in names]


def _cue(stem: str) -> str | None:
    """The cue that a file is called after, if it is one alone."""
    words = set(re.split(r"[^a-z0-9]+", stem.lower()))
    named = [cue for cue in CUES if cue in words]
    return named[0] if len(named) == 1 else None


def _names(file: Path) -> list[str]:
    if file.suffix in HDF5:
        found: list[str] = []
        with _hdf5(file) as root:
            if root.attrs.get("schema") is not None and "flowless" in str(root.attrs["schema"]):
                raise StoreError(f"{file}: is a feature store already: give it to train.run as --features {file}")
            root.visititems(lambda name, one: found.append(name) if _is_array(one) else None)
        return found
    if file.suffix in PICKLES:
        return sorted(_flat(file))
    if file.suffix == ".npz":
        try:
            with zipfile.ZipFile(file) as archive:
                return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        except (zipfile.BadZipFile, OSError) as error:
            raise StoreError(f"{file}: not a readable .npz archive: {error}. Fetch or make it again") from error
    raise StoreError(f"{file}: expected a file of many arrays, one of {', '.join(MANY)}")


def _is_array(one: Any) -> bool:
    return isinstance(one, h5py.Dataset) and one.ndim >= 2


def _hdf5(file: Path) -> h5py.File:
    try:
        return h5py.File(file, "r")
    except OSError as error:
        raise StoreError(f"{file}: not a readable HDF5 file: {error}. Fetch or make it again") from error


def shape_in(file: Path, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of one array of an HDF5 file or a pickle."""
    if file.suffix in PICKLES:
        array = _in_pickle(file, name)
        return array.shape, array.dtype
    try:
        with _hdf5(file) as root:
            return tuple(root[name].shape), root[name].dtype
    except (KeyError, AttributeError) as error:
        raise StoreError(f"{file}: no array {name!r}: {error}") from error


def array_in(file: Path, name: str) -> np.ndarray:
    if file.suffix in PICKLES:
        return _in_pickle(file, name)
    try:
        with _hdf5(file) as root:
            return np.asarray(root[name][()])
    except (OSError, KeyError, RuntimeError) as error:
        raise StoreError(f"{file}: {name!r} cannot be read: {error}. Fetch or make it again") from error


def _in_pickle(file: Path, name: str) -> np.ndarray:
    try:
        return _flat(file)[name]
    except KeyError:
        raise StoreError(f"{file}: no array {name!r}; there are {', '.join(list(_flat(file))[:5])}") from None


def _flat(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a pickle by their path in it; "" if it is one array alone. Read once while it stays as it is."""
    try:
        told = file.stat()
    except OSError as error:
        raise StoreError(f"{file}: cannot be read: {error.strerror}") from error
    return _flat_once(file, told.st_mtime_ns, told.st_size)


@lru_cache(maxsize=1)
def _flat_once(file: Path, changed: int, size: int) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}

    def walk(value: Any, path: tuple[str, ...]) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk(inner, (*path, key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)))
        elif isinstance(value, np.ndarray) and value.ndim >= 2:
            found["/".join(path)] = value

    walk(read_tensors(file) if file.suffix in TENSORS else read_pickle(file), ())
    return found
