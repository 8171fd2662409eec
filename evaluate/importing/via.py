"""VIA 3's projects (.json) and exports (.csv) of segments of videos."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluate.importing.intervals import Imported, ImportingError, Interval, LineFlaw

HEADER = "# CSV_HEADER ="


def is_project(root: object) -> bool:
    return isinstance(root, dict) and {"metadata", "file", "attribute"} <= root.keys()


def read_project(path: Path, root: dict[str, Any], attribute: str | None) -> Imported:
    """attribute: the one whose values are the labels, where segments have several."""
    out = Imported("VIA 3")
    files, views, attributes = root["file"], root.get("view", {}), root["attribute"]
    if not all(isinstance(part, dict) for part in (files, views, attributes, root["metadata"])):
        raise ImportingError(
            f"{path}: 'file', 'view', 'attribute' and 'metadata' must be objects. Save it in VIA again"
        )
    for file in files.values():
        out.videos[str(file.get("fname", ""))] = None
    for name, row in root["metadata"].items():
        view = views.get(str(row.get("vid")), {})
        fid = str(next(iter(view.get("fid_list", [])), row.get("vid")))
        video = str(files.get(fid, {}).get("fname", ""))
        _segment(path, f"metadata {name!r}", video, row.get("z"), row.get("av"), attributes, attribute, out)
    return out


def is_export(text: str) -> bool:
    return HEADER in text[:20_000] and "temporal_coordinates" in text[:20_000]


def read_export(path: Path, text: str, attribute: str | None) -> Imported:
    """The .csv that VIA 3 exports; its first lines tell the attributes and their options."""
    out = Imported("VIA 3's csv")
    attributes: dict[str, Any] = {}
    names: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#"):
            if line.startswith("# ATTRIBUTE ="):
                attributes = _json(path, number, line.partition("=")[2])
            if line.startswith(HEADER):
                names = [name.strip() for name in line.partition("=")[2].split(",")]
        elif line.strip():
            row = dict(zip(names, next(csv.reader([line])), strict=False))
            files = _json(path, number, row.get("file_list", "[]"))
            span = _json(path, number, row.get("temporal_coordinates", "[]"))
            values = _json(path, number, row.get("metadata", "{}"))
            video = str(files[0]) if isinstance(files, list) and files else ""
            _segment(path, f"line {number}", video, span, values, attributes, attribute, out)
    return out


def _json(path: Path, number: int, text: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        raise ImportingError(f"{path}: line {number}: {text[:40]!r} is not JSON. Export it from VIA again") from None


def _segment(
    path: Path, place: str, video: str, span: Any, values: Any, attributes: Mapping[str, Any],
    attribute: str | None, out: Imported,
) -> None:  # fmt: skip
    if not isinstance(span, list) or len(span) < 2:
        return  # a region of one frame, or of the whole video: no segment
    known = {str(one.get("aname", key)): key for key, one in attributes.items()}
    if attribute is not None and attribute not in known:
        raise ImportingError(f"{path}: no attribute {attribute!r}; there are {', '.join(known) or 'none'}")
    keys = [known[attribute]] if attribute is not None else list(values or {})
    chosen = [(key, str((values or {}).get(key, "")).strip()) for key in keys]
    chosen = [(key, value) for key, value in chosen if value]
    if not video or not chosen:
        what = "no video" if not video else "no label"
        out.flaws.append(LineFlaw(path, place, what, "Choose one in VIA and save, or delete the segment"))
        return
    if len(chosen) > 1:
        out.flaws.append(LineFlaw(
            path, place, f"labels by {len(chosen)} attributes",
            f"Say which holds the labels: --label NAME, of {', '.join(known)}",
        ))  # fmt: skip
        return
    key, value = chosen[0]
    options = attributes.get(key, {}).get("options", {})
    if not all(isinstance(time, int | float) and not isinstance(time, bool) for time in span[:2]):
        out.flaws.append(LineFlaw(path, place, f"times {span!r:.60}", "Set them in VIA and save"))
        return
    out.videos[video] = None
    for one in value.split(",") if options and value not in options else [value]:
        label = str(options.get(one, one)) if isinstance(options, dict) else one
        out.intervals.append(Interval(video, float(span[0]), float(span[1]), label, place, file=path))
