"""The shelf between pixels and tensors: clip grids, the feature store, jobs over many videos."""

import command.loading  # noqa: F401  isort: skip  (before all that takes seconds)

from features.grid import ClipGrid
from features.store import Store, StoreError, open

__all__ = ["ClipGrid", "Store", "StoreError", "open"]
