"""A task whose module takes a while to import, as a network library does on a busy machine."""

import os
import time
from collections.abc import Callable
from typing import Any

time.sleep(float(os.environ["IMPORT_S"]))


def nothing(payload: dict[str, Any], beat: Callable[[int], None]) -> dict[str, Any]:
    return {}
