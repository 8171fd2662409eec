"""Heads load and run with torch versions that cannot say whether a network is exported."""

import subprocess
import sys

PROGRAM = """
import torch
del torch.compiler.is_exporting
from detect.heads import HEADS
from features.computing.exporting import exporting
assert not exporting() and len(HEADS) == 5
"""


def test_heads_load_where_torch_has_no_is_exporting() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
