"""Import of a folder of feature files into a store; a file that cannot be read costs itself alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tqdm import tqdm

from command.writing import DISK_ERRORS
from features.files.array_file import native, read_array
from features.files.grid_file import STRIDE, WINDOW, GridFile, agreed, read_grid_file
from features.files.layout import IMPORTED, StoreError
from features.importing import fit
from features.importing.annotated import Known
from features.importing.placing import Placement, TimedClips, Timing, read_times, settle_clips, timed_clips
from features.importing.provenance import Stored, refuse_mixture, refuse_other_origin
from features.importing.survey import ImportOutcome, Item, Request, find_features, look
from features.storage.index import refuse_losing
from features.storage.parts import Part, array_digest, fingerprint, is_done, write_part


def import_all(request: Request) -> ImportOutcome:
    """Writes a part per video and stream. A file that cannot be read is said on stderr and counted; StoreError if
    nothing can be imported as it was asked for."""
    refuse_losing(request.store)
    outcome = ImportOutcome()
    found = find_features(request, outcome)
    items = look(request, found, outcome)
    timing = _timing(request, items, outcome)
    stored = Stored(request.store)
    refuse_mixture(
        stored,
        {item.video for item in items},
        {stream: fingerprint(_settings(request, item, timing, stream)) for item in items for stream in item.columns},
    )
    spans: dict[str, fit.Span] = {}
    for item in tqdm(items, desc="import", unit=" videos"):
        try:
            placement = timing.place(item.found, item.video, item.shape[0])
            _import_one(request, item, timing, placement, stored)
        except (StoreError, ValueError, MemoryError, OSError) as error:
            if isinstance(error, OSError) and error.errno in DISK_ERRORS:
                raise
            outcome.fail(item.found.file, error)
            continue
        outcome.videos.append(item.video)
        known = timing.known.get(item.video, Known())
        if known.duration_s and not request.stretch:
            num_steps, width = item.shape
            clips = placement.window, placement.stride, placement.fps
            spans[item.video] = fit.Span(item.video, num_steps, width, *clips, known.duration_s)
    if not outcome.videos:
        raise StoreError(f"{request.folder}: none of {len(found)} files could be imported; the reasons stand above")
    outcome.videos = list(dict.fromkeys(outcome.videos))
    outcome.notes += [remark for remark in [fit.remark(list(spans.values()), "--stride or --fps")] if remark]
    return outcome


def _timing(request: Request, items: Sequence[Item], outcome: ImportOutcome) -> Timing:
    grid = read_grid_file(request.folder)
    if request.stretch and (grid != GridFile() or any(item.found.times for item in items)):
        raise StoreError(
            f"{request.folder}: --stretch shares the duration evenly, but files beside the features tell their times "
            "(grid.json or *_timestamps_ms.npy). Leave --stretch away, or move these files away"
        )
    timing = Timing(request.fps, WINDOW, STRIDE, request.stretch, request.known, grid, request.folder)
    timed = _timed(items, timing)
    if timed is not None:
        outcome.notes.append(timed.remark)
        agreed("window", request.window, timed.window, "--window", "the files of times")
        agreed("stride", request.stride, timed.stride, "--stride", "the files of times")
        return replace(
            timing, window=timed.window, stride=timed.stride or request.stride or STRIDE, centred=timed.centred
        )
    window, stride, guessed = settle_clips(grid, request.folder, request.window, request.stride)
    if guessed and not request.stretch:
        outcome.notes.append(
            f"window {window} and stride {stride} frames are taken for granted where --window and --stride do not say"
        )
    if differ := [
        item.video
        for item in items
        if request.fps and (fps := request.known.get(item.video, Known()).fps) and abs(fps - request.fps) > 0.05
    ]:
        outcome.notes.append(
            f"--fps {request.fps:g} is not used for {len(differ)} videos whose rate the annotations know otherwise, "
            f"e.g. {differ[0]}"
        )
    return replace(timing, window=window, stride=stride * request.every)


def _timed(items: Sequence[Item], timing: Timing) -> TimedClips | None:
    """What the files of times say of the clips; None where there are none that can be read."""
    timed = []
    for item in items:
        if item.found.times is not None:
            try:
                times_s = read_times(item.found.times, item.shape[0])
                duration_s = timing.known.get(item.video, Known()).duration_s
                timed.append((times_s, timing.rate(item.found, item.video), duration_s))
            except StoreError:
                continue  # said when this file has its turn
    return timed_clips(timed) if timed else None


def _settings(request: Request, item: Item, timing: Timing, stream: str) -> dict[str, Any]:
    """What made a stream, the same for all its videos."""
    suffix, chosen = item.found.file.suffix[1:], item.columns[stream]
    return {
        "imported": "npy" if suffix == "npz" else suffix,
        "backbone": request.backbone,
        "columns": [chosen.start, chosen.stop],
        "clips": "stretched" if request.stretch else [timing.window, timing.stride],
        **({"every": request.every} if request.every > 1 else {}),
    }


def _import_one(request: Request, item: Item, timing: Timing, placement: Placement, stored: Stored) -> None:
    file = item.found.file
    array = read_array(file, request.array if item.found.member is None else item.found.member)
    if request.transposed:
        array = array.T
    array = array[:: request.every]
    source = f"{request.folder.resolve().name}/{file.relative_to(request.folder).as_posix()}"
    if item.found.member:
        source += f"/{item.found.member}"
    for stream, chosen in item.columns.items():
        features = native(array[:, chosen])
        if features.shape[1] != chosen.stop - chosen.start:
            raise StoreError(f"{array.shape[1]} columns, but {stream} should be {chosen.start}:{chosen.stop}")
        settings = _settings(request, item, timing, stream)
        data: dict[str, Any] = {**settings, **placement.attributes, "data": array_digest(features)}
        if item.found.times is not None:
            data["times"] = array_digest(placement.t_center)
        made = fingerprint(data)
        if is_done(request.store, item.video, stream, made):
            continue
        before = stored.attributes(item.video, stream)
        if before.get("trimmed_from") == made:
            continue
        if not request.replace:
            refuse_other_origin(before, source, stream)
        identity = {"fingerprint": made, "feature_id": fingerprint(settings), "backbone": request.backbone}
        origin: dict[str, Any] = {"origin": IMPORTED, "imported_from": source}
        if request.resampled:
            origin["resampled"] = True
        arrays = {"features": features, "t_center": placement.t_center}
        write_part(request.store, Part(item.video, stream, arrays, {**placement.attributes, **identity, **origin}))
