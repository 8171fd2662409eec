"""Videos: which there are, what they say about themselves, and their frames, exact or a clear error.

Frames come in the order and orientation in which a viewer sees them, as RGB, with the time of each in seconds since the
first. A file that ends before it should, that cannot be opened, or that hides frames in the middle is a VideoError that
says where and what to do; nobody downstream ever sees a video that is silently too short.
"""

import hashlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from flow.decoding import DecodingStopped, Header

SUFFIXES = {
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".flv", ".mpg", ".mpeg", ".ts", ".m2ts", ".wmv", ".3gp"),
    *(".ogv", ".gif"),
}
DECODERS = {"av": "flow.decode_av", "opencv": "flow.decode_opencv", "decord": "flow.decode_decord"}  # best first
LIBRARIES = {"av": "av", "opencv": "cv2", "decord": "decord"}
MIN_DECODED = 0.98  # of the frames that a file promises; headers over-count by a frame or two in good files


class VideoError(Exception):
    """A video that cannot be read as promised."""


@dataclass(frozen=True)
class VideoInfo:
    """What is known about a video before its frames are decoded."""

    path: Path
    size: int  # bytes
    mtime_ns: int
    sha256: str
    width: int  # pixels, as a viewer sees it (after rotation)
    height: int
    rotation: int  # degrees counterclockwise, already applied by read_frames
    sample_aspect: float  # pixel width / height; recorded, not applied
    codec: str
    fps: float  # average
    num_frames: int  # to expect when decoding
    num_frames_header: int | None  # as written in the file
    duration_s: float
    start_s: float  # time stamp of the first frame in the file; times elsewhere are relative to it
    is_vfr: bool  # variable frame rate
    decoder: str


class Frame(NamedTuple):
    """One frame of a video."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody asks a frame for
    time_s: float  # since the first frame
    duration_s: float  # until the next frame
    rgb: np.ndarray  # uint8 (H, W, 3)


def list_videos(paths: Sequence[Path | str]) -> dict[str, Path]:
    """The videos that files, folders, globs and lists (.txt, one path a line) stand for, by id, in order of id.

    An id is the path without its suffix, relative to the folder, to the fixed part of the glob, or as written in the
    list; a file given alone is known by its name. A path that does not exist is refused here when it was given itself;
    one written in a list costs that video only, when its turn comes.
    """
    found: dict[str, Path] = {}
    for given in paths:
        for name, path in _expand(Path(given)):
            if name in found and found[name].absolute() != path.absolute():
                raise VideoError(
                    f"{found[name]} and {path} would both be called {name!r}. "
                    "Rename one, or give the folder above both so that their ids differ"
                )
            found[name] = path
    if not found:
        raise VideoError(
            f"no video found in {', '.join(str(path) for path in paths) or 'nothing'}. "
            f"Expected files ending in {', '.join(sorted(SUFFIXES))}, a folder, a glob, or a .txt list"
        )
    return dict(sorted(found.items()))


def _expand(given: Path) -> Iterator[tuple[str, Path]]:
    """(id, path) of everything that one argument stands for."""
    if given.is_dir():
        for path in sorted(given.rglob("*")):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                yield _id(path.relative_to(given)), path
    elif given.suffix.lower() == ".txt" and given.is_file():
        for line in given.read_text(encoding="utf-8-sig").splitlines():
            if line.strip() and not line.startswith("#"):
                written = Path(line.strip())
                yield _id(Path(written.name) if written.is_absolute() else written), given.parent / written
    elif given.exists():
        yield _id(Path(given.name)), given
    elif any(sign in str(given) for sign in "*?["):
        parts = given.parts
        fixed = next(place for place, part in enumerate(parts) if any(sign in part for sign in "*?["))
        base = Path(*parts[:fixed])
        for path in sorted(base.glob(str(Path(*parts[fixed:])))):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                yield _id(path.relative_to(base)), path
    else:
        raise VideoError(f"{given}: no such file, folder or glob. Check the path")


def _id(relative: Path) -> str:
    return relative.with_suffix("").as_posix()


def choose_decoder(decoder: str = "auto") -> str:
    """The decoder asked for, or the best one installed."""
    if decoder != "auto" and decoder not in DECODERS:
        raise VideoError(f"decoder {decoder!r} is unknown: expected auto, {', '.join(DECODERS)}")
    for name in DECODERS if decoder == "auto" else (decoder,):
        if importlib.util.find_spec(LIBRARIES[name]) is not None:
            return name
    raise VideoError(f"decoder {decoder!r} is not installed: pip install av")


def probe(path: Path | str, *, decoder: str = "auto") -> VideoInfo:
    """Reads the header and the packets of a video and hashes the file; decodes no more than a frame."""
    path = _existing(Path(path))
    name = choose_decoder(decoder)
    header = _header(path, name)
    status = path.stat()
    turned = header.rotation in (90, 270)
    return VideoInfo(
        path=path,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        sha256=sha256(path),
        width=header.height if turned else header.width,
        height=header.width if turned else header.height,
        rotation=header.rotation,
        sample_aspect=header.sample_aspect,
        codec=header.codec,
        fps=header.fps,
        num_frames=header.num_frames,
        num_frames_header=header.num_frames_header,
        duration_s=header.duration_s,
        start_s=header.start_s,
        is_vfr=header.is_vfr,
        decoder=name,
    )


def read_frames(
    path: Path | str,
    *,
    start: int = 0,
    stop: int | None = None,
    decoder: str = "auto",
    min_decoded: float = MIN_DECODED,
) -> Iterator[Frame]:
    """Frames [start, stop) in order; stop=None reads to the end, and so does a stop beyond it.

    Whether the read begins at 0 or in the middle, frame i has the same pixels and the same time. VideoError where the
    file breaks, unless at least `min_decoded` of the frames that it promises came before: then the video ends there.
    """
    path = _existing(Path(path))
    module = _decoder(choose_decoder(decoder))
    header = _header(path, choose_decoder(decoder))
    index, time_s = start, 0.0
    shape: tuple[int, ...] | None = None
    reason = "the file ends"
    try:
        for raw in module.frames(path, start):
            if stop is not None and index >= stop:
                return
            shape = shape or raw.rgb.shape
            if raw.rgb.shape != shape:
                raise VideoError(
                    f"{path}: frame {index} is {raw.rgb.shape[1]}x{raw.rgb.shape[0]}, the frames before it are "
                    f"{shape[1]}x{shape[0]}. Re-encode it to one size: ffmpeg -i {path.name} fixed.mp4"
                )
            time_s = raw.time_s + raw.duration_s
            yield Frame(index, raw.time_s, raw.duration_s, raw.rgb)
            index += 1
    except DecodingStopped as stopped:
        index, reason = max(index, stopped.index), stopped.reason
    if stop is not None and index >= stop:
        return
    if index < max(1, min_decoded * header.num_frames) and (start < header.num_frames or reason != "the file ends"):
        raise VideoError(_broken(path, index, header, time_s or index / header.fps, reason))


def _broken(path: Path, index: int, header: Header, time_s: float, reason: str) -> str:
    if index == 0:
        return (
            f"{path}: not one frame could be decoded of {header.num_frames}: {reason}. "
            "The file is probably damaged: fetch it again, or leave it out"
        )
    return (
        f"{path}: decoding stopped at frame {index} of {header.num_frames}, {time_s:.1f} s in: {reason}. "
        "The file is probably cut short or damaged: fetch it again, or re-encode what is there: "
        f"ffmpeg -i {path.name} fixed.mp4"
    )


def sha256(path: Path, beat: Callable[[int], None] = lambda frames: None) -> str:
    """The hash of a file, read in pieces; beats with each, for a watchdog."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
            beat(0)
    return digest.hexdigest()


def _existing(path: Path) -> Path:
    if not path.exists():
        raise VideoError(f"{path}: no such file. Check the path, or the list it came from")
    if path.is_dir():
        raise VideoError(f"{path}: this is a folder, expected a video file")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: the file is empty (0 bytes). Fetch it again, or leave it out")
    return path


def _decoder(name: str) -> ModuleType:
    try:
        return import_module(DECODERS[name])
    except ImportError as error:
        raise VideoError(f"decoder {name!r} is installed but does not start: {error}") from error


def _header(path: Path, decoder: str) -> Header:
    """The decoder's header of a file; VideoError if the file is no video at all."""
    try:
        header: Header = _decoder(decoder).header(path)
    except (DecodingStopped, OSError) as error:
        reason = error.reason if isinstance(error, DecodingStopped) else (error.strerror or error)
        raise VideoError(
            f"{path}: this is not a video that can be opened: {reason}. Expected a file that ffprobe can read: "
            "it may be cut short, of another type, or half downloaded; fetch it again, or leave it out"
        ) from error
    if header.num_frames == 0 or header.width == 0:
        raise VideoError(f"{path}: the video stream holds no frame. Fetch it again, or leave it out")
    return header
