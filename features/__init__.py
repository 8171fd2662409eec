"""Storage between pixels and tensors, and its jobs: clip grids, the feature store, many videos by many workers."""

import command.loading  # noqa: F401  isort: skip  (before all that takes seconds)

from features.storage.grid import ClipGrid
from features.storage.store import Store, StoreError, open

__all__ = ["ClipGrid", "Store", "StoreError", "open"]
