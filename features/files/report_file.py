"""The report beside a store as a file: what earlier runs said, video by video."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SCHEMA = "flowless/report/1"


def read_report(path: Path | str) -> dict[str, Any]:
    """The report of earlier runs; empty if there is none, and (said on stderr) if it is not readable."""
    try:
        report = json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        print(f"{path}: not a report ({error}); starting a new one", file=sys.stderr)
        return {}
    return report if isinstance(report, dict) and report.get("schema") == SCHEMA else {}
