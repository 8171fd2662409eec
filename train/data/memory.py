"""Arrays kept in memory while there is room, so that small training sets are read once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]


class Memory:
    """Remembers what was loaded until `room` bytes are taken; what comes later is loaded each time it is wanted."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.kept: dict[Hashable, Arrays] = {}

    def keep(self, key: Hashable, load: Callable[[], Arrays]) -> Arrays:
        """The arrays of `key`, loaded where they are not kept. They are shared: do not change them."""
        if key in self.kept:
            return self.kept[key]
        arrays = load()
        size = sum(array.nbytes for array in arrays.values())
        if size <= self.room:
            self.room -= size
            self.kept[key] = arrays
        return arrays
