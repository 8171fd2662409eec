"""What detection costs, from the records that every command leaves: seconds of compute per minute of video.

A report (schema flowless/report/1) holds, for each video, its duration and the seconds of each stage. Cost is a sum of
stages, over the videos for which all of them were measured, so that every method is judged on the same minutes:

    RGB-only               decode + rgb_network + detector
    distilled (RGB)        decode + rgb_network + rgb_motion_network + detector
    distilled (twin)       decode + twin_network + detector
    two-stream (flow)      decode + flow + rgb_network + flow_network + detector
    two-stream (gradient)  decode + gradient + rgb_network + gradient_network + detector

A video is decoded once, whatever reads it: decode is counted once for every method, as measured with the RGB network.
Reading cached features or flow is left out, for it stands in for stages that are counted; so is all work that
happens once for a data set: training, indexing, start-up.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from command.errors import FlowlessError, shown
from evaluate.files.reading import bytes_of, is_number, json_of

SCHEMA = "flowless/report/1"
RGB_ONLY = "RGB-only"
DISTILLED = "distilled (RGB)"  # a motion student (extract.distill) sees the same frames
TWIN = "distilled (twin)"  # the same in one network with its last layers twice (extract.distill --twin)
METHODS = {
    RGB_ONLY: ("decode", "rgb_network", "detector"),
    DISTILLED: ("decode", "rgb_network", "rgb_motion_network", "detector"),
    TWIN: ("decode", "twin_network", "detector"),
    "two-stream (flow)": ("decode", "flow", "rgb_network", "flow_network", "detector"),
    "two-stream (gradient)": ("decode", "gradient", "rgb_network", "gradient_network", "detector"),
}
MADE_BY = {  # stage -> commands that measure it; where several reports have it, the first of these wins
    "decode": ("extract.rgb", "detect.video"),
    "flow": ("flow.tvl1", "extract.motion"),
    "gradient": ("flow.gradient", "extract.motion"),
    "rgb_network": ("extract.rgb", "detect.video"),
    "rgb_motion_network": ("extract.rgb.rgb_motion", "detect.video"),
    "twin_network": ("extract.rgb", "detect.video"),
    "flow_network": ("extract.motion",),
    "gradient_network": ("extract.motion",),
    "detector": ("detect.run", "detect.video"),
}
PREFIXES = {
    "rgb-only": (RGB_ONLY,),
    "distilled": (DISTILLED, TWIN),
    "decomposed": (DISTILLED, TWIN),
    "two-stream": tuple(name for name in METHODS if name.startswith("two-stream")),
}


class CostError(FlowlessError):
    """Reports from which the cost cannot be told."""


@dataclass(frozen=True)
class CostReport:
    """One report file, checked."""

    path: Path
    command: str
    machine: str  # "AMD EPYC, 2 cores; cpu"
    threads: int
    videos: Mapping[str, Mapping[str, Any]]
    methods: tuple[str, ...]  # which methods its stages serve


@dataclass(frozen=True)
class MethodCost:
    """One method over the videos of the comparison."""

    stages: dict[str, float]  # stage -> seconds of compute per minute of video
    seconds_per_minute: float
    times_rgb_only: float
    peak_memory_bytes: int | None  # the largest of any of its stages; None where no report tells


@dataclass(frozen=True)
class Cost:
    """The comparison. `notes` are sentences a reader must know beside the numbers."""

    methods: dict[str, MethodCost]
    videos: tuple[str, ...]
    minutes: float
    machines: tuple[str, ...]
    threads: tuple[int, ...]  # each number that some stage ran with
    notes: tuple[str, ...]

    @property
    def where(self) -> str:
        """Machines and threads in words. Seconds on the CPU are those of all threads together."""
        least, most = self.threads[0], self.threads[-1]
        few = f"{least} to {most}" if most > least else str(least)
        return f"{' | '.join(self.machines)}, {few} thread{'' if most == 1 else 's'}"


def read_reports(texts: Sequence[str]) -> list[CostReport]:
    """Read report files, and all reports of folders, whose other JSON files are passed over.

    "rgb-only=PATH", "distilled=PATH" and "two-stream=PATH" count a report for one method; so do detector reports in
    folders of these names.
    """
    reports = []
    for text in texts:
        prefix, _, name = text.rpartition("=")
        if prefix and prefix not in PREFIXES:
            raise CostError(f"{text}: expected REPORT.json, or {', '.join(f'{one}=REPORT.json' for one in PREFIXES)}")
        path = Path(name)
        files = [file for file in sorted(path.glob("*.json")) if _is_report(file)] if path.is_dir() else [path]
        if not files:
            raise CostError(f"{path}: no report in this folder. Reports lie in *.reports/ and beside detections")
        reports += [read_report(file, prefix) for file in files]
    return reports


def read_report(path: Path, side: str = "") -> CostReport:
    """Read one report file. side: a key of PREFIXES or, for all methods, nothing."""
    content = json_of(path, CostError)
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise CostError(
            f"{path}: expected a report with schema {SCHEMA!r}, found {shown(schema)}. Reports lie in *.reports/ "
            f"beside a store, and as *.report.json beside detections"
        )
    videos = content.get("videos")
    if not isinstance(videos, dict) or not all(isinstance(each, dict) for each in videos.values()):
        raise CostError(f"{path}: expected 'videos' -> name -> record, found {shown(videos)}")
    for video, record in videos.items():
        if not _is_record(record):
            raise CostError(
                f"{path}: video {shown(video)}: expected 'duration_s' above 0 and 'seconds' by stage, all of them "
                f"numbers. Repeat the command that wrote the report"
            )
    machine = content.get("machine")
    machine = machine if isinstance(machine, dict) else {}
    command, threads = _word(content, "command", ""), machine.get("threads", 1)
    if isinstance(threads, bool) or not isinstance(threads, int):
        raise CostError(f"{path}: expected a whole number of threads, found {shown(threads)}")
    if not side and command.startswith(MADE_BY["detector"]):
        side = path.resolve().parent.name
    return CostReport(path, command, _in_words(machine), threads, videos, PREFIXES.get(side, tuple(METHODS)))


def _is_record(record: Mapping[str, Any]) -> bool:
    """Whether a video's record holds a duration, seconds by stage and, where it has any, bytes of memory."""
    duration_s, seconds = record.get("duration_s"), record.get("seconds")
    if not isinstance(seconds, dict) or not _is_finite(duration_s) or duration_s <= 0:
        return False
    peak = record.get("peak_memory_bytes")
    return all(_is_finite(each) and each >= 0 for each in seconds.values()) and (peak is None or _is_finite(peak))


def _is_finite(value: Any) -> TypeGuard[float]:
    return is_number(value) and math.isfinite(value)


def compare_cost(reports: Sequence[CostReport]) -> Cost:
    """Tabulate every method whose stages were all measured; RGB-only and one two-stream method at least."""
    measured = {name: _measured(reports, name) for name in METHODS}
    missing = {name: [stage for stage in stages if not measured[name].get(stage)] for name, stages in METHODS.items()}
    whole = [name for name in METHODS if not missing[name]]
    if RGB_ONLY not in whole or len(whole) < 2:
        raise CostError(_what_is_missing(reports, missing))
    notes = [
        f"{name} is left out: no report measured {', '.join(gaps)}"
        for name, gaps in missing.items()
        if gaps and len(gaps) < len([s for s in METHODS[name] if s not in METHODS[RGB_ONLY]])
    ]
    videos = _common_videos(measured, whole)
    durations = {video: float(record["duration_s"]) for r in reversed(reports) for video, record in r.videos.items()}
    minutes = sum(durations[video] for video in videos) / 60
    costs: dict[str, MethodCost] = {}
    used: dict[Path, CostReport] = {}
    for name in whole:
        stages, peak = {}, []
        for stage in METHODS[name]:
            sources = measured[name][stage]
            if len(sources) > 1:
                commands = " and ".join(str(report.path) for report in sources)
                notes.append(f"{name}: {stage} is the mean of {commands}")
            seconds = [sum(report.videos[v]["seconds"][stage] for v in videos) for report in sources]
            stages[stage] = sum(seconds) / len(seconds) / minutes
            peak += [report.videos[v].get("peak_memory_bytes") or 0 for report in sources for v in videos]
            used |= {report.path: report for report in sources}
        total = sum(stages.values())
        base = costs[RGB_ONLY].seconds_per_minute if costs else total
        costs[name] = MethodCost(stages, total, total / base if base else float("nan"), max(peak) or None)
    machines = tuple(dict.fromkeys(report.machine for report in used.values()))
    if len(machines) > 1:
        where = "; ".join(f"{report.command}: {report.machine}" for report in used.values())
        notes.append(f"stages were measured on different machines, whose seconds are not alike ({where})")
    threads = tuple(sorted({report.threads for report in used.values()}))
    return Cost(costs, tuple(videos), minutes, machines, threads, tuple(dict.fromkeys(notes)))


def _is_report(path: Path) -> bool:
    """Whether a JSON file says that it is a report, of whatever version."""
    try:
        content = json_of(path, CostError)
    except CostError:  # one that is damaged is told when it is read
        return SCHEMA.rpartition("/")[0].encode() in bytes_of(path, CostError)
    return isinstance(content, dict) and shown(content.get("schema")).strip("'").startswith(SCHEMA.rpartition("/")[0])


def _measured(reports: Sequence[CostReport], method: str) -> dict[str, list[CostReport]]:
    """Stage -> the reports to take it from."""
    found: dict[str, list[CostReport]] = {}
    for stage in METHODS[method]:
        having = [
            report
            for report in reports
            if method in report.methods and any(stage in record["seconds"] for record in report.videos.values())
        ]
        for maker in MADE_BY[stage]:
            exactly = [report for report in having if report.command == maker]
            if preferred := exactly or [report for report in having if report.command.startswith(f"{maker}.")]:
                having = preferred
                break
        found[stage] = having
    return found


def _common_videos(measured: Mapping[str, Mapping[str, list[CostReport]]], methods: Sequence[str]) -> list[str]:
    """Videos for which every stage of every method was measured, in the order of the first report."""
    having = {
        (stage, report.path): [v for v, record in report.videos.items() if stage in record["seconds"]]
        for name in methods
        for stage, sources in measured[name].items()
        for report in sources
    }
    common = set.intersection(*(set(videos) for videos in having.values()))
    if not common:
        spread = "; ".join(
            f"{stage} of {len(videos)} videos ({videos[0]}, ...) in {path}" for (stage, path), videos in having.items()
        )
        raise CostError(f"no video was measured in all stages: {spread}. Name reports of the same videos")
    return [video for video in next(iter(having.values())) if video in common]


def _what_is_missing(reports: Sequence[CostReport], missing: Mapping[str, list[str]]) -> str:
    """The sentence for the method that lacks least, RGB-only before all."""
    name = min(
        (name for name in METHODS if missing[name]),
        key=lambda n: (n != RGB_ONLY, n in (DISTILLED, TWIN), len(missing[n])),
    )
    remedies = ", ".join(f"{stage} (measured by {' or '.join(MADE_BY[stage])})" for stage in missing[name])
    found = sorted({stage for r in reports for record in r.videos.values() for stage in record["seconds"]})
    return (
        f"{name} cannot be told, no report measured {remedies}. The {len(reports)} given measured "
        f"{', '.join(found) or 'nothing'}. Name the reports of those commands as well"
    )


def _in_words(machine: Mapping[str, Any]) -> str:
    """The machine: processor, cores, device."""
    cores = shown(machine["cores"]) if "cores" in machine else "?"
    many = "core" if cores == "1" else "cores"
    return f"{_word(machine, 'processor', 'unknown processor')}, {cores} {many}; {_word(machine, 'device', 'cpu')}"


def _word(record: Mapping[str, Any], key: str, otherwise: str) -> str:
    value = record.get(key, otherwise)
    return value if isinstance(value, str) else shown(value)
