"""Arrays out of a pickle or of a file of torch.save, without running anything that it holds.

Pickles are read by `command.plain_pickle`, files of torch.save by torch itself, tensors only (`weights_only`).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
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
            "with np.save('VIDEO.npy', array). A file of torch.save is read under the ending .pt"
        ) from error


def read_tensors(file: Path) -> Any:
    """The same of a file of torch.save; tensors become arrays, those of bfloat16, which numpy lacks, float32."""
    import torch  # here alone: other files are read without it, and a second sooner

    def arrays(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return (value.float() if value.dtype == torch.bfloat16 else value).detach().numpy()
        if isinstance(value, Mapping):
            return {key: arrays(inner) for key, inner in value.items()}
        return [arrays(inner) for inner in value] if isinstance(value, list | tuple) else value

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, about what a damaged file looks like to it
            return arrays(torch.load(file, map_location="cpu", weights_only=True))
    except OSError as error:
        raise StoreError(f"{file}: cannot be read: {error}") from error
    except Exception as error:  # torch raises a different type for every way in which a file can be wrong
        why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(": ")
        raise StoreError(
            f"{file}: holds no plain tensors ({why}). Tensors, dictionaries and lists of them are read; all else would "
            "have to be run. A download that was cut off? Fetch it again. If you trust whoever made the file, load it "
            "and save each (T, D) array with np.save('VIDEO.npy', array)"
        ) from error
