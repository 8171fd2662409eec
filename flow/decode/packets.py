"""What the packets of a video file promise, read with PyAV: the time of every frame, keyframes, the header.

Reading all packets without decoding them is cheap and tells the presentation time of every frame, which header fields
do not (edit lists hide frames, headers over-count). Not every packet becomes a frame: an edit list hides some, and of a
clip that was cut out of a longer video the first few may refer to what is no longer there.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from flow.decode.decoder import DecodingStopped, Header, is_variable

WHOLE = 0.98  # of the frames that the header promises: a file with fewer packets was cut short; AVI headers over-count
MOST_BEFORE_KEY = 600  # packets before the first keyframe; a stream with more of them has no keyframes worth the name


@dataclass(frozen=True)
class Scan:
    """What the packets of the video stream say. Times are in ticks of `tick`, the stream's time base."""

    times: np.ndarray  # (n,) int64, ascending: one per frame to be shown; empty when packets carry no usable times
    keys: np.ndarray  # (k,) int64, ascending: times of the packets at which decoding may start
    num_packets: int  # of frames to be shown
    tick: Fraction  # seconds
    header: Header

    @property
    def step(self) -> int:
        """Ticks of one frame at the average rate."""
        return max(1, round(1 / (self.header.fps * float(self.tick))))


def scan(path: Path) -> Scan:
    """The scan of a file, kept while the file stays as it is."""
    status = path.stat()
    return _scan(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=8)
def _scan(path: Path, size: int, mtime_ns: int) -> Scan:
    with opened(path) as container:
        stream = stream_of(container)
        tick = Fraction(stream.time_base or Fraction(1, 1000))
        packets: list[Packet] = []
        hidden = 0
        end_s = 0.0  # of any stream: an audio track may be longer than the video
        try:
            for packet in container.demux():
                if packet.size == 0:
                    continue
                stamp = packet.pts if packet.pts is not None else packet.dts
                if stamp is not None and packet.time_base is not None:
                    end_s = max(end_s, float((stamp + (packet.duration or 0)) * packet.time_base))
                if packet.stream_index != stream.index:
                    continue
                hidden += packet.is_discard  # before or after the part that an edit list shows
                packets.append(Packet(packet.pts, packet.is_keyframe, packet.is_discard))
        except av.FFmpegError:
            pass  # a damaged tail: the comparison with the header tells how much is missing
        lost = _never_shown(path, packets)
        shown = [packet.time for place, packet in enumerate(packets) if not packet.hidden and place not in lost]
        keys = [packet.time for packet in packets if packet.is_key and packet.time is not None]
        known = sorted(time for time in shown if time is not None)
        usable = len(set(known)) == len(shown)
        ordered = np.array(known if usable else [], dtype=np.int64)
        header = _header(container, stream, ordered * float(tick), len(shown), hidden + len(lost), end_s)
    return Scan(ordered, np.array(sorted(keys), dtype=np.int64), len(shown), tick, header)


class Packet(NamedTuple):
    """What is kept of a packet of the video stream."""

    time: int | None
    is_key: bool
    hidden: bool  # by an edit list


def _never_shown(path: Path, packets: Sequence[Packet]) -> set[int]:
    """Places of packets around the first keyframe that no decoder can show: what they refer to lies before the file.

    A clip that was cut from a longer video without encoding it anew begins with a keyframe, and often with pictures
    that come after it in the file and before it in time (an open group of pictures). The decoder itself is asked which
    of them it shows: some need nothing but that keyframe.
    """
    first = next((place for place, packet in enumerate(packets) if packet.is_key), None)
    start = None if first is None else packets[first].time
    if first is None or first > MOST_BEFORE_KEY or start is None:
        return set()
    leading = list(range(first))
    for place in range(first + 1, len(packets)):
        time = packets[place].time
        if packets[place].is_key or (time is not None and time > start):
            break
        leading.append(place)
    leading = [place for place in leading if not packets[place].hidden]
    if not leading:
        return set()
    shown: set[int | None] = set()
    with suppress(DecodingStopped):
        for frame in decode(path):
            if frame.pts == start:
                return {place for place in leading if packets[place].time not in shown - {None}}
            if frame.pts is not None and frame.pts > start:
                break
            shown.add(frame.pts)
    return set()


@contextmanager
def opened(path: Path) -> Iterator[av.container.InputContainer]:
    """The container, closed at the end; DecodingStopped if FFmpeg finds none in the file."""
    try:
        container = av.open(str(path.absolute()))  # absolute: "12:30.mp4" names no protocol
    except (av.FFmpegError, ValueError) as error:
        raise DecodingStopped(0, getattr(error, "strerror", None) or str(error)) from error
    with container:
        yield container


def stream_of(container: av.container.InputContainer) -> av.VideoStream:
    """The stream that ffplay would show; attached pictures come last."""
    stream = container.streams.best("video")
    if not isinstance(stream, av.VideoStream):
        raise DecodingStopped(0, "it holds no video stream")
    if stream.codec_context is None:
        raise DecodingStopped(0, "its video is of a codec that is not known here")
    stream.codec_context.thread_count = 1  # many videos run side by side; and one thread is bit-reproducible
    return stream


def _header(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    times_s: np.ndarray,
    num_packets: int,
    hidden: int,
    end_s: float,
) -> Header:
    """Joins what the container's header says with what its packets show."""
    fps = float(stream.average_rate or stream.guessed_rate or 25)  # 25: a single frame without a rate
    if len(times_s) > 1:
        measured = (len(times_s) - 1) / float(times_s[-1] - times_s[0])
        stated = [float(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate]
        fps = next(
            (rate for rate in stated if abs(rate / measured - 1) < 1e-4), measured
        )  # without rounding, if it fits
    promised = stream.frames - hidden
    declared_s = container.duration / av.time_base if container.duration else 0.0
    if 0 < end_s < declared_s:  # every stream ends before the file should
        promised = max(promised, round(num_packets * declared_s / end_s))
    aspect = stream.sample_aspect_ratio
    return Header(
        width=stream.width,
        height=stream.height,
        codec=stream.codec_context.name,
        fps=fps,
        num_frames=promised if num_packets < WHOLE * promised else num_packets,
        num_frames_header=stream.frames or None,
        duration_s=float(times_s[-1] - times_s[0] + 1 / fps) if len(times_s) else num_packets / fps,
        start_s=float(times_s[0]) if len(times_s) else 0.0,
        is_vfr=is_variable(times_s, float(stream.time_base or 0)),
        rotation=_rotation(container, stream),
        sample_aspect=float(aspect) if aspect else 1.0,
        pixels=stream.codec_context.pix_fmt or "",
    )


def _rotation(container: av.container.InputContainer, stream: av.VideoStream) -> int:
    """Degrees counterclockwise that the first frame asks to be turned by; 0 if it cannot be decoded."""
    try:
        container.seek(0)
        frame = next(container.decode(stream), None)
    except (av.FFmpegError, ValueError):
        return 0
    return turn_of(frame) if frame is not None else 0


def turn_of(frame: av.VideoFrame) -> int:
    """Degrees, 0, 90, 180 or 270, that the frame is to be turned by to stand upright."""
    return round(getattr(frame, "rotation", 0) / 90) * 90 % 360


def decode(path: Path) -> Iterator[av.VideoFrame]:
    """Frames from the start, as the decoder gives them."""
    count = 0
    with opened(path) as container:
        stream = stream_of(container)
        try:
            for frame in container.decode(stream):
                yield frame
                count += 1
        except av.FFmpegError as error:
            raise DecodingStopped(count, f"the decoder says: {error.strerror}") from error
