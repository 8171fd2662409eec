"""A video: what it says about itself, and its frames, exact or a clear error.

Frames come in the order and orientation in which a viewer sees them, as RGB, with the time of each in seconds since the
first. A file that ends before it should, that cannot be opened, or that hides frames in the middle is a VideoError that
says where and what to do; nobody downstream ever sees a video that is silently too short.

With `fps` a file is read at that rate (flow/decode/rate.py), and a folder of numbered pictures is a video of that rate.
"""

import hashlib
import importlib.util
import math
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from flow.decode import pictures as decode_pictures
from flow.decode.decoder import DecodingStopped, Header, VideoError
from flow.decode.listing import SUFFIXES, list_videos
from flow.decode.pictures import PICTURES, how_to_join, pictures_of
from flow.decode.rate import Frame, at_rate, first_needed, num_frames_at

__all__ = [
    "DECODERS",
    "MIN_DECODED",
    "SUFFIXES",
    "Frame",
    "VideoError",
    "VideoInfo",
    "choose_decoder",
    "files_of",
    "list_videos",
    "num_bytes",
    "probe",
    "read_frames",
    "read_header",
    "sha256",
    "share_of",
]

DECODERS = {"av": "flow.decode.pyav", "opencv": "flow.decode.opencv", "decord": "flow.decode.decord"}  # best first
LIBRARIES = {"av": "av", "opencv": "cv2", "decord": "decord"}
MIN_DECODED = 0.98  # of the frames that a file promises; headers over-count by a frame or two in good files
MOST_REPEATS = 1000  # of a frame on average, at another rate; a slide a minute at 15 fps is shown 900 times
SAME_IN_ALL = {"yuv420p", "yuvj420p"}  # pixel formats that every decoder turns into the same RGB, to the bit


@dataclass(frozen=True)
class VideoInfo:
    """What is known about a video before its frames are decoded."""

    path: Path
    size: int  # bytes; of a folder of pictures the sum
    mtime_ns: int
    sha256: str  # of the file; of a folder of pictures of all names and contents in order
    width: int  # pixels, as a viewer sees it (after rotation)
    height: int
    rotation: int  # degrees counterclockwise, already applied by read_frames
    sample_aspect: float  # pixel width / height; recorded, not applied
    codec: str
    fps: float  # of the frames that are read: average, or as asked for
    fps_file: float  # average of the file itself
    num_frames: int  # to expect when decoding
    num_frames_header: int | None  # as written in the file
    duration_s: float
    start_s: float  # time stamp of the first frame in the file; times elsewhere are relative to it
    is_vfr: bool  # variable frame rate
    decoder: str
    decoded_by: str  # the decoder again where another one would give other pixels, else empty


def choose_decoder(decoder: str = "auto") -> str:
    """The decoder asked for, or the best one installed."""
    if decoder != "auto" and decoder not in DECODERS:
        raise VideoError(f"decoder {decoder!r} is unknown: expected auto, {', '.join(DECODERS)}")
    for name in DECODERS if decoder == "auto" else (decoder,):
        if importlib.util.find_spec(LIBRARIES[name]) is not None:
            return name
    raise VideoError(f"decoder {decoder!r} is not installed: pip install av")


def probe(path: Path | str, *, decoder: str = "auto", fps: float | None = None) -> VideoInfo:
    """Reads the header and the packets of a video and hashes the file; decodes no more than a frame."""
    path = _existing(Path(path))
    name = choose_decoder(decoder)
    header = _header(path, name, fps)
    width, height = header.size
    resampled = fps is not None
    return VideoInfo(
        path=path,
        size=num_bytes(path),
        mtime_ns=max(file.stat().st_mtime_ns for file in files_of(path)),
        sha256=sha256(path),
        width=width,
        height=height,
        rotation=header.rotation,
        sample_aspect=header.sample_aspect,
        codec=header.codec,
        fps=header.fps if fps is None else fps,
        fps_file=header.fps,
        num_frames=_num_frames(path, header, fps),
        num_frames_header=header.num_frames_header,
        duration_s=header.duration_s,
        start_s=header.start_s,
        is_vfr=header.is_vfr and not resampled,
        decoder="pictures" if path.is_dir() else name,
        decoded_by="" if path.is_dir() or header.pixels in SAME_IN_ALL else name,
    )


def read_header(path: Path | str, *, decoder: str = "auto", fps: float | None = None) -> tuple[Header, int]:
    """The header of a video and how many frames its packets are for (fewer than promised: it was cut short).

    As `probe` reads it, without hashing the file. fps: of a folder of pictures.
    """
    path = _existing(Path(path))
    name = choose_decoder(decoder)
    header = _header(path, name, fps)
    count = getattr(_decoder(name), "num_packets", None) if path.is_file() else None
    return header, header.num_frames if count is None else count(path)


def read_frames(
    path: Path | str,
    *,
    start: int = 0,
    stop: int | None = None,
    decoder: str = "auto",
    min_decoded: float = MIN_DECODED,
    fps: float | None = None,
) -> Iterator[Frame]:
    """Frames [start, stop) in order; stop=None reads to the end, and so does a stop beyond it.

    fps: of the frames given, and counted by start and stop; None: as they come. A folder of pictures needs it.
    Whether the read begins at 0 or in the middle, frame i has the same pixels and the same time. VideoError where the
    file breaks, unless at least `min_decoded` of the frames that it promises came before: then the video ends there.
    """
    path = _existing(Path(path))
    if fps is None or path.is_dir():
        yield from _as_filed(path, start, stop, decoder, min_decoded, fps)
        return
    header = _header(path, choose_decoder(decoder), fps)
    last = _num_frames(path, header, fps) if stop is None else min(stop, _num_frames(path, header, fps))
    times = getattr(_decoder(choose_decoder(decoder)), "times", None)
    times_s = times(path) if times is not None and start else None
    first = 0 if times_s is None else first_needed(times_s, start, fps)
    if start < last:
        yield from at_rate(_as_filed(path, first, None, decoder, min_decoded, None), fps, start, last)


def _num_frames(path: Path, header: Header, fps: float | None) -> int:
    """Of the frames that are read."""
    if fps is None or fps == header.fps:
        return header.num_frames
    count = num_frames_at(fps, header.duration_s)
    if count > MOST_REPEATS * header.num_frames:
        raise VideoError(
            f"{path}: {header.num_frames} frames in {header.duration_s:,.0f} s by its time stamps, which are probably "
            f"damaged; at --fps {fps:g} they would become {count:,}. Leave --fps out, or re-encode the video"
        )
    return count


def _as_filed(
    path: Path, start: int, stop: int | None, decoder: str, min_decoded: float, fps: float | None
) -> Iterator[Frame]:
    """The frames that a file itself holds; fps: of a folder of pictures."""
    header = _header(path, choose_decoder(decoder), fps)
    index, time_s = start, 0.0
    shape: tuple[int, ...] | None = None
    reason = "the file ends"
    try:
        pictures = decode_pictures.frames(path, start, header.fps) if path.is_dir() else None
        for raw in pictures or _decoder(choose_decoder(decoder)).frames(path, start):
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
        "The file is probably cut short or damaged: fetch it again, or go on with what comes before: "
        f"--min-decoded {share_of(index, header):g}, or ffmpeg -i {path.name} fixed.mp4"
    )


def share_of(num_frames: int, header: Header) -> float:
    """What --min-decoded must be for a video to end after so many frames; in hundredths, rounded down."""
    return max(0.01, math.floor(100 * num_frames / header.num_frames) / 100)


def num_bytes(path: Path) -> int:
    """The size of a video; of a folder of pictures the sum."""
    return sum(file.stat().st_size for file in files_of(path))


def files_of(path: Path) -> list[Path]:
    """What is read of a video: the file itself, or the pictures of a folder in order."""
    return pictures_of(path) if path.is_dir() else [path]


def sha256(path: Path, beat: Callable[[int], None] = lambda frames: None) -> str:
    """The hash of a file, read in pieces; of a folder of pictures, of their names and contents in order.

    Sends a heartbeat with each piece, for the watchdog.
    """
    digest = hashlib.sha256()
    for picture in files_of(path):
        if picture != path:
            digest.update(f"{picture.name}\0{picture.stat().st_size}\0".encode("utf-8", "surrogateescape"))
        with picture.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
                beat(0)
    return digest.hexdigest()


def _existing(path: Path) -> Path:
    """The path, if something can be read there: a pipe or a device is never opened, for it might wait for ever."""
    try:
        os.fsencode(path).decode()
    except UnicodeError:
        raise VideoError(
            f"{path}: this name is not UTF-8 text, as ids in a store are. Rename it: convmv -f latin1 -t utf8 --notest"
        ) from None
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        if path.is_symlink():
            raise VideoError(f"{path}: a broken link, to {path.readlink()}. Repair it, or leave it out") from None
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise VideoError(f"{path}: cannot be read: {error.strerror}") from None
        raise VideoError(f"{path}: no such file. Check the path, or the list it came from") from None
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        kind = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
        raise VideoError(f"{path}: {kind}, not a file. Write the video to a file first, or leave it out")
    if stat.S_ISREG(mode) and path.stat().st_size == 0:
        raise VideoError(f"{path}: the file is empty (0 bytes). Fetch it again, or leave it out")
    if stat.S_ISREG(mode) and path.suffix.lower() in PICTURES:
        raise VideoError(f"{path} is a picture, not a video. {how_to_join(path.parent)}")
    return path


def _decoder(name: str) -> ModuleType:
    try:
        return import_module(DECODERS[name])
    except ImportError as error:
        raise VideoError(f"decoder {name!r} is installed but does not start: {error}") from error


def _header(path: Path, decoder: str, fps: float | None = None) -> Header:
    """The decoder's header of a file; VideoError if the file is no video at all."""
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise VideoError(f"--fps {fps}: expected frames per second, more than 0")
    if path.is_dir():
        return decode_pictures.header(path, fps)
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
