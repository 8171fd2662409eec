"""A folder of numbered pictures as a video: img_00001.jpg, img_00002.jpg, ..., as denseflow and mmaction2 keep frames.

Nothing in such a folder says how fast the pictures were taken, so their rate is always given. They are known by their
numbers, whose first may be any; a number that is missing is an error, because every later frame would sit at a wrong
time.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np

from flow.decode.decoder import Header, RawFrame, VideoError

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff"}
_NUMBERED = re.compile(r"(.*?)(\d+)", re.DOTALL)
_OF_FLOW = re.compile(r"(flow[_-]?)?[xyuv][_-]?|flow[_-]?", re.IGNORECASE)  # flow_x_00001.jpg beside img_00001.jpg


def sequences(names: Iterable[str]) -> dict[str, list[tuple[int, str]]]:
    """Numbered pictures among the names of files: (number, name) in order, by what stands before the number."""
    found: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        stem, dot, suffix = name.rpartition(".")
        if f"{dot}{suffix}".lower() in PICTURES and (match := _NUMBERED.fullmatch(stem)):
            found.setdefault(match[1], []).append((int(match[2]), name))
    return {prefix: sorted(numbered) for prefix, numbered in sorted(found.items())}


def pictures_of(folder: Path) -> list[Path]:
    """The pictures of a folder in order; VideoError unless they are one sequence without gaps."""
    found = sequences(path.name for path in folder.iterdir())
    shown = {prefix: numbered for prefix, numbered in found.items() if not _OF_FLOW.fullmatch(prefix)} or found
    if len(shown) != 1:
        raise VideoError(
            f"{folder}: this is a folder, expected a video file, or a folder of pictures numbered like img_00001.jpg"
            if not shown
            else f"{folder}: pictures of {len(shown)} sequences: {', '.join(f'{one}...' for one in islice(shown, 5))}. "
            "Keep the frames of one video in a folder"
        )
    ((_, numbered),) = shown.items()
    for (before, one), (after, other) in pairwise(numbered):
        if before == after:
            raise VideoError(f"{folder}: {one} and {other} have the same number. Remove one of them")
    _refuse_gaps(folder, numbered)
    paths = [folder / name for _, name in numbered]
    if strange := next((path for path in paths if not path.is_file()), None):
        raise VideoError(f"{strange}: not a file that can be read (a broken link, a folder or a pipe). Extract it anew")
    return paths


def _refuse_gaps(folder: Path, numbered: list[tuple[int, str]]) -> None:
    count = numbered[-1][0] - numbered[0][0] + 1 - len(numbered)
    if not count:
        return
    missing = (number for (before, _), (after, _) in pairwise(numbered) for number in range(before + 1, after))
    raise VideoError(
        f"{folder}: of the pictures {numbered[0][1]} to {numbered[-1][1]}, {count} are missing: number "
        f"{', '.join(map(str, islice(missing, 5)))}{' ...' if count > 5 else ''}. Extract the frames anew, or, if none "
        "was lost, number them without gaps"
    )


def how_to_join(folder: Path) -> str:
    """What to do about pictures that were met where a video was expected."""
    found = sequences(path.name for path in folder.iterdir())
    shown = [numbered for prefix, numbered in found.items() if not _OF_FLOW.fullmatch(prefix)] or list(found.values())
    if not shown:
        return "Give a video; frames of one are numbered pictures in a folder (img_00001.jpg, ...), given with --fps"
    numbered = max(shown, key=len)
    (first, name), (_, last) = numbered[0], numbered[-1]
    digits = len(re.findall(r"\d+", Path(name).stem)[-1])
    pattern = Path(name).stem[:-digits].replace("%", "%%") + f"%0{digits}d" + Path(name).suffix
    start = "" if first in range(5) else f"-start_number {first} "
    return (
        f"It holds {len(numbered)} numbered pictures, {name} to {last}: give the folder {folder} with --fps and the "
        "rate at which they were taken, such as --fps 25, and it is read as a video; or make one: "
        f"ffmpeg -framerate 25 {start}-i {folder}/{pattern} -crf 10 {folder.resolve().name or 'video'}.mp4"
    )


def header(folder: Path, fps: float | None) -> Header:
    """Size of the first picture, number of all."""
    paths = pictures_of(folder)
    if fps is None:
        raise VideoError(f"{folder}: a folder, not a video. {how_to_join(folder)}")
    height, width = _read(paths[0]).shape[:2]
    return Header(
        width=width,
        height=height,
        codec=paths[0].suffix[1:].lower(),
        fps=fps,
        num_frames=len(paths),
        num_frames_header=len(paths),
        duration_s=len(paths) / fps,
        start_s=0.0,
        is_vfr=False,
        rotation=0,
        sample_aspect=1.0,
        pixels="",
    )


def frames(folder: Path, start: int, fps: float) -> Iterator[RawFrame]:
    """Frames from number `start` on, which is the first picture's when 0."""
    paths = pictures_of(folder)
    size = _read(paths[0]).shape
    for index, path in enumerate(paths[start:], start):
        rgb = _read(path)
        if rgb.shape != size:
            raise VideoError(
                f"{path} is {rgb.shape[1]}x{rgb.shape[0]} pixels, {paths[0].name} is {size[1]}x{size[0]}. The pictures "
                "of a video are of one size: extract the frames anew"
            )
        yield RawFrame(index / fps, 1 / fps, rgb)


def _read(path: Path) -> np.ndarray:
    """uint8 (H, W, 3) RGB, turned as the camera says."""
    data = np.frombuffer(path.read_bytes(), np.uint8)
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if bgr is None:
        raise VideoError(f"{path}: this picture cannot be read ({len(data)} bytes). Extract it anew")
    return np.ascontiguousarray(bgr[..., ::-1])
