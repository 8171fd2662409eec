"""How features that many people use were made, by name: clips, rate and order, so that nobody has to look them up.

    python -m features.importer --file rgb_val.h5 flow_val.h5 --convention gtad --features features/thumos.h5 ...

What is given as an option beside it counts more.
"""

from __future__ import annotations

from typing import NamedTuple


class Convention(NamedTuple):
    """What the options of the same names would say."""

    what: str
    window: int | None = None
    stride: int | None = None
    every: int = 1
    resampled: float | None = None  # frames a second that all videos were brought to first
    stretch: bool = False


CONVENTIONS = {
    "actionformer": Convention("I3D of THUMOS'14 and MultiTHUMOS, 16 frames each 4, RGB then flow", 16, 4),
    "pgcn": Convention("I3D of P-GCN, which TadTR reads: 64 frames each 8, RGB then flow", 64, 8),
    "gtad": Convention("TSN of G-TAD: one row a frame, each fifth taken, rgb_*.h5 and flow_*.h5", 1, 1, every=5),
    "cola": Convention(
        "I3D of CoLA and other weakly supervised work: rgb/ and flow/, 16 frames at 25 a second", 16, 16, resampled=25.0
    ),
    "tsp": Convention("TSP of ActivityNet: 16 frames at 15 a second", 16, 16, resampled=15.0),
    "anet-i3d": Convention("I3D of ActivityNet: 16 frames at 25 a second", 16, 16, resampled=25.0),
    "mmaction2": Convention("TSN of ActivityNet as mmaction2 and BSN have it: .csv of 100 steps", stretch=True),
}
