"""Write a detector as a file of ONNX, which onnxruntime runs without PyTorch's networks, and its backbone as another.

The name of flowless/deployment/export.py for those who detect: `python -m detect.export`.
"""

import sys

from flowless.deployment.export import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
