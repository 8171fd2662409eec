"""OpenCV as a decoder: the second choice.

It ends silently where a file breaks, therefore `flow.decode.video` compares what came with what the header promises.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from flow.decode.decoder import DecodingStopped, Header, RawFrame

# Read when OpenCV opens its first video: one thread, and no complaints of FFmpeg between our own lines.
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "threads;1")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

I420 = int.from_bytes(b"I420", "little")  # 4:2:0 in 8 bits, whichever the range


def _open(path: Path) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise DecodingStopped(0, "OpenCV cannot open it")
    return capture


def header(path: Path) -> Header:
    """Size, rate, number of frames as the file's header states them: OpenCV cannot count without decoding."""
    capture = _open(path)
    fps = capture.get(cv2.CAP_PROP_FPS) or 25.0
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    fourcc = int(capture.get(cv2.CAP_PROP_FOURCC))
    pixels = "yuv420p" if int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)) == I420 else ""
    rotation = -round(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 360
    width, height = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    if rotation in (90, 270):  # OpenCV reports the size after turning
        width, height = height, width
    capture.release()
    if count <= 0:
        raise DecodingStopped(0, "its header has no frame count, without which OpenCV cannot tell a damaged file")
    return Header(
        width=width,
        height=height,
        codec="".join(chr(fourcc >> shift & 0xFF) for shift in (0, 8, 16, 24)).strip("\0 "),
        fps=fps,
        num_frames=count,
        num_frames_header=count,
        duration_s=count / fps,
        start_s=0.0,
        is_vfr=False,  # unknown
        rotation=rotation,
        sample_aspect=1.0,
        pixels=pixels,
    )


def frames(path: Path, start: int) -> Iterator[RawFrame]:
    """Frames from number `start` on, always decoded from the beginning: OpenCV's seeking is not exact."""
    step_s = 1 / header(path).fps
    capture = _open(path)
    first_s = last_s = 0.0
    held: RawFrame | None = None  # until the time of the next frame is known
    index = 0
    try:
        while capture.grab():
            stamp_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if index == 0:
                first_s = last_s = stamp_s
            else:
                last_s = stamp_s if stamp_s > last_s else last_s + step_s  # AVI files carry no time stamps
            if held is not None:
                yield held._replace(duration_s=last_s - first_s - held.time_s)
                held = None
            if index >= start:
                decoded, bgr = capture.retrieve()
                if not decoded:
                    raise DecodingStopped(index, "OpenCV cannot decode it")
                held = RawFrame(last_s - first_s, step_s, np.ascontiguousarray(bgr[..., ::-1]))
            index += 1
        if held is not None:
            yield held
    finally:
        capture.release()
