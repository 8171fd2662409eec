"""CVAT for video's XML: a track is an action for as long as it is in the picture, or as an attribute of it holds."""

from pathlib import Path
from xml.etree import ElementTree

from evaluate.importing.intervals import FRAMES, Imported, ImportingError, Interval, LineFlaw
from evaluate.importing.xml_files import read_xml

ACTIONS = ("action", "activity", "behavior", "behaviour", "event")  # attributes that are the label where there is one
NOTHING = ("", "none", "__undefined__", "-", "no", "background")  # values that mean: no action here


def read_cvat(path: Path, attribute: str | None) -> Imported:
    """attribute: the one whose values are the labels; None: one called action, activity, ..., else the track's label.

    Times are frames of the video, counted through the task's start frame and frame step.
    """
    root = read_xml(path)
    if root.tag != "annotations":
        raise ImportingError(f"{path}: not a file of CVAT: its root is {root.tag!r}")
    tracks = list(root.iter("track"))
    if not tracks and root.find("image") is not None:
        raise ImportingError(f"{path}: 'CVAT for images'. Export the task as 'CVAT for video 1.1', which has tracks")
    out = Imported("CVAT")
    tasks = {task.findtext("id", ""): task for task in [*root.iter("task"), *root.iter("job")]}
    only = next(iter(tasks.values()), None)
    out.videos |= {_video(path, one): None for one in tasks.values()}
    names = {one.get("name", "") for track in tracks for one in track.iter("attribute")}
    if attribute is not None and attribute not in names:
        raise ImportingError(f"{path}: no attribute {attribute!r}; there are {', '.join(sorted(names)) or 'none'}")
    chosen = attribute or next((name for name in sorted(names) if name.casefold() in ACTIONS), None)
    if chosen:
        out.remarks.append(f"{path}: the labels are the values of the attribute {chosen!r}")
    for track in tracks:
        task = tasks.get(track.get("task_id", ""), only)
        first, step = _frames(task)
        place = f"track {track.get('id', '?')} ({track.get('label', '')!r})"
        try:
            spans = _spans(track, chosen)
        except ValueError as error:
            out.flaws.append(LineFlaw(path, place, f"a frame is no number ({error})", "Export the task again"))
            continue
        video = _video(path, task)
        out.videos[video] = None
        for start, end, label in spans:
            begin, stop = first + start * step, first + end * step
            out.intervals.append(Interval(video, begin, stop, label, place, FRAMES, file=path))
    return out


def _spans(track: ElementTree.Element, attribute: str | None) -> list[tuple[int, int, str]]:
    """(first frame, frame after the last, label) of each stretch in which the track shows one label."""
    spans: list[tuple[int, int, str]] = []
    begun: tuple[int, str] | None = None
    last = -1
    shapes = [shape for shape in track if shape.get("frame") is not None]
    always = {one.get("name"): (one.text or "").strip() for one in track.findall("attribute")}
    for shape in sorted(shapes, key=lambda one: int(one.get("frame", ""))):
        frame = int(shape.get("frame", ""))
        values = always | {one.get("name"): (one.text or "").strip() for one in shape.findall("attribute")}
        label = track.get("label", "") if attribute is None else values.get(attribute, "")
        shown = shape.get("outside", "0") != "1" and not (attribute and label.casefold() in NOTHING)
        if begun is not None and (not shown or label != begun[1]):
            spans.append((begun[0], frame, begun[1]))
            begun = None
        if begun is None and shown:
            begun = (frame, label)
        last = frame
    if begun is not None:
        spans.append((begun[0], last + 1, begun[1]))
    return spans


def _video(path: Path, task: ElementTree.Element | None) -> str:
    if task is None:
        return path.stem
    return task.findtext("source") or task.findtext("original_name") or task.findtext("name") or path.stem


def _frames(task: ElementTree.Element | None) -> tuple[int, int]:
    """The first frame of the video that the task shows, and each how many-th."""
    if task is None:
        return 0, 1
    start, rule = task.findtext("start_frame") or "0", task.findtext("frame_filter") or ""
    step = rule.rpartition("step=")[2]
    return int(start) if start.isdecimal() else 0, int(step) if step.isdecimal() and int(step) else 1
