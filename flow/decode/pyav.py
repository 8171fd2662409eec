"""PyAV as a decoder: frames checked against what the packets of their file promise.

Where the first decoded frames agree with the packets, frame i *is* the packet with the i-th smallest time: times are
exact, a chunk may start at a keyframe, and a frame lost on the way is noticed. Where they do not agree (AVI files
without real time stamps, streams with hidden frames), frames are read from the start, in the order in which the decoder
shows them.
"""

import heapq
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path

import av
import numpy as np

from flow.decode.decoder import DecodingStopped, Header, RawFrame
from flow.decode.packets import Scan, decode, opened, scan, stream_of, turn_of

AGREEMENT = 64  # frames at the start that must agree with the packets before we rely on them
LOOKAHEAD = 16  # frames; no codec in use reorders deeper


def header(path: Path) -> Header:
    """Size, rate, number of frames: counted by packets, not taken from the header alone."""
    return scan(path).header


def num_packets(path: Path) -> int:
    """Frames that the file holds packets of; fewer than its header's where it was cut short."""
    return scan(path).num_packets


@lru_cache(maxsize=8)
def _agrees(path: Path, size: int, mtime_ns: int) -> bool:
    """Whether the first decoded frames carry the times of the first packets, one by one."""
    times = scan(path).times
    if len(times) == 0:
        return False
    first: list[int | None] = []
    with suppress(DecodingStopped):
        first.extend(frame.pts for frame in islice(decode(path), AGREEMENT))
    return first == times[: len(first)].tolist()


def times(path: Path) -> np.ndarray | None:
    """Seconds of every frame since the first, where the packets tell them truly."""
    status = path.stat()
    if not _agrees(path, status.st_size, status.st_mtime_ns):
        return None
    packets = scan(path)
    return (packets.times - packets.times[0]) * float(packets.tick)


def frames(path: Path, start: int) -> Iterator[RawFrame]:
    """Frames from number `start` on; DecodingStopped where the stream breaks."""
    status = path.stat()
    if not _agrees(path, status.st_size, status.st_mtime_ns):
        yield from islice(_as_shown(path), start, None)
        return
    packets = scan(path)
    decoded = _decode_from(path, start, packets) if start else decode(path)
    times = [*packets.times.tolist(), int(packets.times[-1]) + packets.step]
    tick_s = float(packets.tick)
    for index, frame in enumerate(decoded, start):
        if frame.pts != times[index]:
            raise DecodingStopped(index, "this frame cannot be decoded, though later ones can")
        yield RawFrame((times[index] - times[0]) * tick_s, (times[index + 1] - times[index]) * tick_s, _rgb(frame))


def _as_shown(path: Path) -> Iterator[RawFrame]:
    """All frames in the decoder's order; the i-th frame takes the i-th smallest time."""
    packets = scan(path)
    if len(packets.times) == 0:  # no usable times: count
        step_s = 1 / packets.header.fps
        for index, frame in enumerate(decode(path)):
            yield RawFrame(index * step_s, step_s, _rgb(frame))
        return
    tick_s = float(packets.tick)
    waiting: deque[av.VideoFrame] = deque()
    times: list[int] = []  # of the waiting frames, as a heap
    origin: int | None = None

    def show() -> RawFrame:
        nonlocal origin
        frame, time = waiting.popleft(), heapq.heappop(times)
        origin = time if origin is None else origin
        following = times[0] if times else time + packets.step
        return RawFrame((time - origin) * tick_s, (following - time) * tick_s, _rgb(frame))

    time = 0
    try:
        for frame in decode(path):
            time = frame.pts if frame.pts is not None else time + packets.step
            waiting.append(frame)
            heapq.heappush(times, time)
            if len(waiting) > LOOKAHEAD:
                yield show()
    except DecodingStopped:
        while waiting:
            yield show()
        raise
    while waiting:
        yield show()


def _decode_from(path: Path, start: int, packets: Scan) -> Iterator[av.VideoFrame]:
    """Frames from number `start` on: from the keyframe before it where seeking lands well, else from the beginning."""
    if start >= len(packets.times):
        return
    wanted = int(packets.times[start])
    before = packets.keys[packets.keys <= wanted]
    if len(before) > 1:  # the first keyframe is the beginning
        count = start
        with opened(path) as container:
            stream = stream_of(container)
            try:
                container.seek(int(before[-1]), stream=stream)
                for frame in container.decode(stream):
                    if count == start and frame.pts != wanted:
                        if frame.pts is None or frame.pts > wanted:
                            break  # landed too late
                        continue
                    yield frame
                    count += 1
            except av.FFmpegError as error:
                if count > start:
                    raise DecodingStopped(count, f"the decoder says: {error.strerror}") from error
        if count > start:
            return
    yield from islice(decode(path), start, None)


def _rgb(frame: av.VideoFrame) -> np.ndarray:
    """uint8 (H, W, 3) as a viewer sees it: PyAV itself ignores the rotation a phone writes into the file."""
    rgb = frame.to_ndarray(format="rgb24")
    turn = turn_of(frame)
    return np.ascontiguousarray(np.rot90(rgb, turn // 90)) if turn else rgb
