"""Weights that libraries publish: the file in the library's own cache, fetched where there is a network."""

import hashlib
import re
from pathlib import Path
from urllib.parse import urlparse

import torch

from extract.backbones.checkpoints import WeightsError

HASH = r"-([a-f0-9]{8,})\."  # in the name of a published file: how its sha256 begins


def fetch(url: str, backbone: str) -> Path:
    """The file behind a url whose name ends with the beginning of its sha256, as torch.hub keeps it.

    WeightsError, with what to fetch and where to put it, where there is no network.
    """
    name = Path(urlparse(url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    begins = re.search(HASH, name)
    wanted = begins[1] if begins else ""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), wanted or None)
        except (OSError, RuntimeError) as error:  # RuntimeError: of another hash
            raise WeightsError(unreachable(url, backbone, error, f"put it at {path}, or ")) from None
    if not hashlib.sha256(path.read_bytes()).hexdigest().startswith(wanted):
        raise WeightsError(f"{path}: is not what {url} gives, half of it perhaps: delete it and repeat the command")
    return path


def unreachable(url: str, backbone: str, error: Exception, place: str = "") -> str:
    """What to do without a network."""
    cause = getattr(error, "reason", error)  # of a URLError
    reason = (str(cause).strip().splitlines() or [type(error).__name__])[0]
    return (
        f"--weights DEFAULT: the weights of {backbone} cannot be fetched from here ({reason}). Fetch {url} where there "
        f"is a network, and {place}give its path with --weights"
    )
