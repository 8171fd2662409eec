"""Whether a part still holds what was written: its row's digest covers every attribute and array.

The digest is over the attributes and over what is said of each array: name, type, shape and the sha256 of its data. So
attributes are checked without reading data, and each array by itself when it is read.
"""

from __future__ import annotations

import h5py
import numpy as np

from features.storage.container import read_attribute, read_attributes
from features.storage.parts import array_digest, stored_arrays
from features.storage.table import TableRow, digest_of, digest_of_data


def matches(group: h5py.Group, row: TableRow) -> bool:
    """Whether attributes, and what is said of arrays, are those of the row.

    Parts of before attributes were under the digest are taken by the digests of their data alone.
    """
    arrays = stored_arrays(group)
    attributes = read_attributes(group)
    if attributes.get("fingerprint") != row.fingerprint:
        return False
    return row.digest in (digest_of(attributes, arrays), digest_of_data(arrays))


def is_whole(dataset: h5py.Dataset, data: np.ndarray) -> bool:
    """Whether data, read from the dataset, give the sha256 stored with it."""
    return bool(array_digest(data) == read_attribute(dataset, "sha256"))


def altered(group: h5py.Group, row: TableRow) -> str:
    """What of a group does not match its row, in words; empty if all does. Reads all data."""
    if not matches(group, row):
        return "its attributes do not match their sha256"
    damaged = [name for name, dataset in sorted(group.items()) if not is_whole(dataset, dataset[()])]
    return f"the data of {', '.join(damaged)} do not match their sha256" if damaged else ""
