"""Extract RGB clip features of videos into a feature store.

    python -m extract.rgb --videos videos/ --features features/thumos.h5 --weights rgb_imagenet.pt --workers 8

Videos already in the store are skipped, so an interrupted run is resumed by repeating the command; changed settings,
weights or videos are done anew. A video that fails costs itself and the exit code (3), not the run; the report beside
the store (features/thumos.reports/extract.rgb.json) names it. --weights takes I3D checkpoints as published by piergiaj
(rgb_imagenet.pt), hassony2 (model_rgb.pth) or video_features (i3d_rgb.pt).
"""

import argparse
import sys

from extract.checkpoints import WeightsError
from extract.plan import add_arguments, explain, run, settings_from
from extract.settings import SettingsError
from features.dashes import parse_args
from features.store import StoreError
from flow.video import VideoError


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m extract.rgb", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    args = parse_args(parser, argv)
    try:
        report = run(args, settings_from(args, "rgb"), "extract.rgb")
    except (SettingsError, StoreError, VideoError, WeightsError) as error:
        return explain(error)
    print(report)
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
