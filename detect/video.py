"""Detect actions in video files, from RGB alone.

The name of flowless/deployment/video.py for those who detect: `python -m detect.video`, `detect.video.detect_actions`.
"""

import sys

from flowless.deployment.video import detect_actions, main

__all__ = ["detect_actions", "main"]

if __name__ == "__main__":
    sys.exit(main())
