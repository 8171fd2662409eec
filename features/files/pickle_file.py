"""Arrays out of a pickle, without running anything that it holds (`command.plain_pickle`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from command.plain_arrays import array_of
from command.plain_pickle import PickleError, read_plain
from features.files.layout import StoreError


def read_pickle(file: Path) -> Any:
    """Arrays, or dictionaries and lists of them; StoreError names what else the file holds."""
    try:
        return read_plain(file.read_bytes(), array_of)
    except OSError as error:
        raise StoreError(f"{file}: cannot be read: {error.strerror or error}") from error
    except PickleError as error:
        raise StoreError(
            f"{file}: holds no plain arrays: {error}. Arrays, dictionaries and lists of them are read; all "
            "else would have to be run. If you trust whoever made the file, load it and save each (T, D) array "
            f"with np.save('VIDEO.npy', array). A file of torch.save: python -c \"import torch, numpy; "
            f"numpy.save('{file.stem}.npy', torch.load('{file.name}', weights_only=True).numpy())\""
        ) from error
