"""Files of tensors that can tell whether they are as they were written.

A file holds one dictionary of tensors, text and numbers, and with it the sha256 over all of these. What is read has
been compared with it: a byte that changed on the way either changes nothing that is used, or the file is refused.
Reading runs no code of the file's.
"""

import hashlib
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from command.writing import write_whole

DIGEST = "sha256"  # the key it stands under


class DamagedError(Exception):
    """A file that is none of ours, or no longer what was written; the text says why, without the file's name."""


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """The file appears whole or not at all; OSError where the disk does not take it."""
    image = io.BytesIO()
    torch.save({**content, DIGEST: digest_of(content)}, image)
    write_whole(path, image.getvalue())


def read_unsealed(path: Path) -> dict[str, Any]:
    """What a file holds, its digest not yet looked at; FileNotFoundError where there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, about what a damaged file looks like to it
            saved = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # torch raises a different type for every way in which a file can be wrong
        raise DamagedError(f"{type(error).__name__}: {first_line(error)}") from None
    if not isinstance(saved, dict):
        raise DamagedError(f"it holds a {type(saved).__name__}")
    return saved


def check_seal(saved: Mapping[str, Any]) -> None:
    """Raises DamagedError unless the content is what the digest was taken of."""
    if DIGEST not in saved:
        raise DamagedError("it carries no digest of its content")
    if digest_of({name: value for name, value in saved.items() if name != DIGEST}) != saved[DIGEST]:
        raise DamagedError("its content is not what was written (sha256 differs)")


def digest_of(content: Any) -> str:
    """sha256 over nested dictionaries and lists of tensors, text and numbers, over types and shapes as well."""
    digest = hashlib.sha256()
    _feed(digest, content)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        value = value.detach().cpu().contiguous()
        digest.update(f"tensor {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    elif isinstance(value, Mapping):
        digest.update(f"object {len(value)} ".encode())
        for name, inner in value.items():
            _feed(digest, name)
            _feed(digest, inner)
    elif isinstance(value, list | tuple):
        digest.update(f"{type(value).__name__} {len(value)} ".encode())
        for inner in value:
            _feed(digest, inner)
    else:
        text = repr(value).encode("utf-8", "surrogatepass")
        digest.update(f"{type(value).__name__} {len(text)} ".encode() + text)


def first_line(error: BaseException) -> str:
    """The first line of an error's text; some have none."""
    return (str(error).splitlines() or [""])[0]
