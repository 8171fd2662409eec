"""Conventions: the clips of features that were published, for detectors that are read beside ours or trained on theirs.

    python -m extract.rgb --convention actionformer --videos videos/ --features features/thumos.h5 --weights rgb_imagenet.pt

| convention | network | frames see | window / stride | clips of N frames | last clip of motion |
|---|---|---|---|---|---|
| actionformer (also TriDet, OpenTAD) | I3D | 256 x 340 whatever the aspect, 224 of it | 16 / 4 | floor((N - 16) / 4) + 1 | its last step twice |
| tadtr (of PGCN; also RTD) | I3D | I3D's own: not published | 64 / 8 | floor((N - 64) / 8) + 1 | its last step twice |
| video_features (of RGB) | I3D, eps 1e-5 | short side 256 (Pillow), 224 of it | 64 / 64 | floor((N - 65) / 64) + 1 | |

Times are ours, the centre of each clip, whatever a detector makes of an index. Conventions that cannot be met are here
as well, with the reason.
"""  # noqa: E501

import argparse
from dataclasses import dataclass
from typing import Any

from extract.backbones.i3d import I3D, I3DOfVideoFeatures
from extract.cues.cue import FLOW, RGB
from extract.pipeline.settings import ClipSettings, SettingsError
from features.storage.grid import FRAMES, PAIRS
from flow.decode.geometry import Geometry


@dataclass(frozen=True)
class Convention:
    """How published features were made, or why they cannot be made here."""

    window: int = 0  # frames
    stride: int = 0  # frames
    tail: str = PAIRS
    geometry: Geometry | None = None  # None: the backbone's own
    backbone: str = I3D.name
    cues: tuple[str, ...] = (RGB.name, FLOW.name)
    others: str = "was published of rgb and flow"  # why not of other cues
    refused: str = ""

    @property
    def looks(self) -> dict[str, str]:
        """What of it is a setting of its own."""
        return {"tail": self.tail, "geometry": "" if self.geometry is None else self.geometry.name}


CONVENTIONS = {
    "actionformer": Convention(16, 4, FRAMES, Geometry(256, 224, 340)),
    "tadtr": Convention(64, 8, FRAMES),
    "video_features": Convention(
        64, 64, backbone=I3DOfVideoFeatures.name, cues=(RGB.name,),
        others="computes flow by RAFT, which is not here: of rgb alone it can be met",
    ),
    "gtad": Convention(
        refused="its features are those of TSN (one frame, or five fields of flow, of each fifth frame), whose network "
        "is not here. Read the published ones with features.importer",
    ),
    "afsd": Convention(
        refused="it is trained from frames of 96 x 96 at 10 a second to the end, and has no features. Its feature "
        "version, --head afsd of train.run, reads those of --convention actionformer",
    ),
}  # fmt: skip


def clips_of(args: argparse.Namespace, cue: str) -> dict[str, Any]:
    """Backbone, window, stride, tail and geometry of a command line; SettingsError where two of its words disagree."""
    asked = {"backbone": args.backbone, "window": args.window, "stride": args.stride}
    if args.convention is None:
        return {**asked, "tail": args.tail or PAIRS, "geometry": ""}
    name, known = f"--convention {args.convention}", CONVENTIONS[args.convention]
    if known.refused:
        raise SettingsError(f"{name}: {known.refused}")
    if cue not in known.cues:
        raise SettingsError(f"{name}: {known.others}")
    said = {"backbone": known.backbone, "window": known.window, "stride": known.stride, "tail": known.tail}
    left_out = {"backbone": ClipSettings.backbone, "window": 0, "stride": 0, "tail": None}
    for option, value in {**asked, "tail": args.tail}.items():
        if value not in (left_out[option], said[option]):
            raise SettingsError(f"{name}: has --{option} {said[option]}, and not {value}. Leave one of the two out")
    return {**said, **known.looks, "convention": args.convention}
