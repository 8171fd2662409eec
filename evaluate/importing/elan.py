"""ELAN's .eaf: annotations of tiers, in milliseconds; those that refer to others take the times of these."""

from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

from evaluate.importing.intervals import Imported, ImportingError, Interval, LineFlaw
from evaluate.importing.xml_files import read_xml

Span = tuple[float, float]


def read_elan(path: Path, tier: str | None) -> Imported:
    """tier: the one whose annotations are the labels; None: all that hold annotations of their own time.

    Without time between two slots the program itself shows equal shares; so is it read here.
    """
    root = read_xml(path)
    if root.tag != "ANNOTATION_DOCUMENT":
        raise ImportingError(f"{path}: not a file of ELAN: its root is {root.tag!r}")
    out = Imported("ELAN")
    video = _video(path, root)
    out.videos[video] = None
    times = _slots(root)
    tiers = {one.get("TIER_ID", ""): one for one in root.iter("TIER")}
    if tier is not None and tier not in tiers:
        raise ImportingError(f"{path}: no tier {tier!r}; there are {', '.join(map(repr, tiers)) or 'none'}")
    spans = {
        one.get("ANNOTATION_ID", ""): (
            times.get(one.get("TIME_SLOT_REF1", "")), times.get(one.get("TIME_SLOT_REF2", "")),
        )
        for one in root.iter("ALIGNABLE_ANNOTATION")
    }  # fmt: skip
    parents = {one.get("ANNOTATION_ID", ""): one.get("ANNOTATION_REF", "") for one in root.iter("REF_ANNOTATION")}
    used = []
    for name, element in tiers.items():
        kinds = ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION") if tier is not None else ("ALIGNABLE_ANNOTATION",)
        found = [one for kind in kinds for one in element.iter(kind)]
        if (tier is not None and name != tier) or not found:
            continue
        used.append(name)
        for one in found:
            _add(path, name, one, spans, parents, video, out)
    if tier is None and len(used) > 1:
        out.remarks.append(
            f"{path}: labels of {len(used)} tiers are taken together: {', '.join(used)}; one alone: --label TIER"
        )
    return out


def _add(
    path: Path, tier: str, one: ElementTree.Element, spans: dict[str, tuple[float | None, float | None]],
    parents: dict[str, str], video: str, out: Imported,
) -> None:  # fmt: skip
    name = one.get("ANNOTATION_ID", "")
    place = f"tier {tier!r}, annotation {name!r}"
    label = (one.findtext("ANNOTATION_VALUE") or "").strip()
    at, seen = name, set()
    while at in parents and at not in seen:
        seen.add(at)
        at = parents[at]
    start, end = spans.get(at, (None, None))
    if start is None or end is None:
        out.flaws.append(LineFlaw(path, place, "its times are not known", "Open it in ELAN, set its times, save"))
    elif not label:
        out.flaws.append(LineFlaw(path, place, f"no label at {start:g} s", "Name it in ELAN, or delete it"))
    else:
        out.intervals.append(Interval(video, start, end, label, place, extra={"tier": tier}, file=path))


def _video(path: Path, root: ElementTree.Element) -> str:
    """The first medium that is no sound, else the file's own name."""
    media = [one.get("MEDIA_URL", "") or one.get("RELATIVE_MEDIA_URL", "") for one in root.iter("MEDIA_DESCRIPTOR")]
    seen = [unquote(url) for url in media if url and not url.lower().endswith((".wav", ".mp3", ".flac"))]
    return seen[0].removeprefix("file://") if seen else path.stem


def _slots(root: ElementTree.Element) -> dict[str, float | None]:
    """Slot -> seconds; slots without a time share the stretch between their neighbours."""
    order = list(root.iter("TIME_SLOT"))
    names = [one.get("TIME_SLOT_ID", "") for one in order]
    values: list[float | None] = []
    for one in order:
        try:
            values.append(float(one.get("TIME_VALUE", "")) / 1000)
        except ValueError:
            values.append(None)
    for place, value in enumerate(values):
        if value is None and place and values[place - 1] is not None:
            after = next((i for i in range(place, len(values)) if values[i] is not None), None)
            before = values[place - 1]
            if after is not None and before is not None:
                values[place] = before + ((values[after] or 0.0) - before) / (after - place + 1)
    return dict(zip(names, values, strict=True))
