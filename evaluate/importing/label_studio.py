"""Label Studio's JSON: timelines of a video (frames), segments of its sound (seconds), tracked rectangles."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from evaluate.importing.intervals import FRAMES, SECONDS, Imported, Interval, LineFlaw

UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # put before the name of an uploaded file
Spans = list[tuple[float, float, str]]


def is_export(root: object) -> bool:
    """A list of tasks with `data` and `annotations`, or JSON-MIN's, whose rows hold ranges."""
    if not isinstance(root, list) or not root or not all(isinstance(task, dict) for task in root):
        return False
    return all("data" in task and ("annotations" in task or "completions" in task) for task in root) or any(
        True for _ in _ranges_of_min(root[0])
    )


def read_label_studio(path: Path, root: list[dict[str, Any]]) -> Imported:
    """Frames of a timeline count from 1 and include the last."""
    out = Imported("Label Studio")
    for place, task in enumerate(root):
        where = f"task {task.get('id', place)}"
        video = _video(task)
        if not video:
            out.flaws.append(LineFlaw(path, where, "names no video", "Export with the task's data"))
            continue
        out.videos[video] = None
        answers = [one for one in task.get("annotations", task.get("completions", [])) if not one.get("was_cancelled")]
        answers = [one for one in answers if one.get("ground_truth")] or answers
        if len(answers) > 1:
            out.remarks.append(f"{path}: {where}: {len(answers)} people annotated it; the first is taken")
        results = answers[0].get("result", []) if answers else []
        found = [_spans(one) for one in results] if "data" in task else [(FRAMES, list(_ranges_of_min(task)))]
        for unit, spans in found:
            for start, end, label in spans:
                out.intervals.append(Interval(video, start, end, label, where, unit, file=path))
    return out


def _spans(result: dict[str, Any]) -> tuple[str, Spans]:
    """(unit, intervals) of one result; other kinds, as ratings are, hold none."""
    value = result.get("value", {})
    labels: list[str] = next((value[key] for key in ("timelinelabels", "labels", "videolabels") if value.get(key)), [])
    if "ranges" in value:
        ranges = [(one.get("start"), one.get("end")) for one in value["ranges"]]
        return FRAMES, [(a - 1, b, label) for a, b in ranges if _numbers(a, b) for label in labels]
    if "sequence" in value:
        return FRAMES, [(a, b, label) for a, b in _visible(value["sequence"]) for label in labels]
    if _numbers(value.get("start"), value.get("end")):
        return SECONDS, [(float(value["start"]), float(value["end"]), label) for label in labels]
    return SECONDS, []


def _visible(sequence: list[dict[str, Any]]) -> Iterator[tuple[float, float]]:
    """Stretches of a tracked rectangle: from a key frame to the one that switches it off."""
    begun: float | None = None
    for key in sequence:
        frame: Any = key.get("frame")
        if not _numbers(frame):
            continue
        if begun is None:
            begun = frame - 1
        if not key.get("enabled", True):
            yield begun, frame
            begun = None
    if begun is not None and sequence and sequence[-1].get("frame", 0) > begun:
        yield begun, sequence[-1]["frame"]


def _ranges_of_min(task: dict[str, Any]) -> Iterator[tuple[float, float, str]]:
    for value in task.values():
        for one in value if isinstance(value, list) else []:
            if isinstance(one, dict) and isinstance(one.get("ranges"), list):
                for span in one["ranges"]:
                    if _numbers(span.get("start"), span.get("end")):
                        yield from ((span["start"] - 1, span["end"], str(x)) for x in one.get("timelinelabels", []))


def _video(task: dict[str, Any]) -> str:
    """The name of the file, without the address and the letters that an upload puts before it."""
    data = task.get("data", task)
    text = data.get("video") or data.get("url") or next(
        (value for value in data.values() if isinstance(value, str) and re.search(r"\.\w{2,4}$", value)), ""
    )  # fmt: skip
    text = unquote(str(text))
    name = (text.partition("?d=")[2] or text).split("?")[0]
    folder, slash, name = name.rpartition("/")
    uploaded = UPLOADED.match(name) and "upload" in folder
    return UPLOADED.sub("", name) if uploaded else (folder + slash + name if "?d=" in text else name)


def _numbers(*values: object) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
