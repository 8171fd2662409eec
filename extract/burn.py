"""Labels burnt into a video: what is detected is written into the frames in which it happens."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from command.writing import whole_file
from flow.decode.video import MIN_DECODED, read_frames

TICK = Fraction(1, 90_000)  # s; fine enough for every frame rate, variable ones too
COLOURS = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (213, 94, 0), (86, 180, 233))  # Okabe-Ito
MOST_LINES = 4  # labels shown at a time, best first


def burn_labels(
    source: Path,
    target: Path,
    labels: Sequence[tuple[float, float, str, float]],
    classes: Sequence[str],
    duration_s: float,
    fps: float | None = None,
    min_decoded: float = MIN_DECODED,
) -> None:
    """Copies a video, without sound, with labels (start_s, end_s, label, score) written while they last.

    A bar along the lower edge shows the whole video: where labels lie, and where we are. The target appears whole or
    not at all. fps: of a folder of pictures.
    """
    with whole_file(target) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream: av.VideoStream | None = None
        for frame in read_frames(source, min_decoded=min_decoded, fps=fps if source.is_dir() else None):
            if stream is None:
                height, width = (size - size % 2 for size in frame.rgb.shape[:2])  # yuv420p wants even sizes
                stream = container.add_stream("libx264", rate=30, options={"crf": "20", "preset": "veryfast"})
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.codec_context.time_base = TICK
            picture = np.ascontiguousarray(frame.rgb[:height, :width])
            _draw(picture, frame.time_s, labels, classes, duration_s)
            encoded = av.VideoFrame.from_ndarray(picture, format="rgb24")
            encoded.pts, encoded.time_base = round(frame.time_s / TICK), TICK
            container.mux(stream.encode(encoded))
        if stream is not None:
            container.mux(stream.encode(None))


def _draw(
    picture: np.ndarray,
    time_s: float,
    labels: Sequence[tuple[float, float, str, float]],
    classes: Sequence[str],
    duration_s: float,
) -> None:
    """Writes the labels of this moment into the upper left, and where they lie in time along the lower edge."""
    height, width = picture.shape[:2]
    scale = max(height, 120) / 480
    line = round(26 * scale)
    now = sorted((one for one in labels if one[0] <= time_s < one[1]), key=lambda one: -one[3])[:MOST_LINES]
    for row, (_, _, label, score) in enumerate(now):
        text = f"{label}  {score:.2f}"
        (text_width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.7 * scale, max(1, round(1.5 * scale)))
        cv2.rectangle(picture, (0, row * line), (text_width + line // 2, (row + 1) * line), _colour(label, classes), -1)
        place = (line // 4, round((row + 0.75) * line))
        thickness = max(1, round(1.5 * scale))
        cv2.putText(
            picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.7 * scale, (255, 255, 255), thickness, cv2.LINE_AA
        )
    bar = max(3, round(8 * scale))
    for start, end, label, _ in labels:
        left, right = (round(width * moment / max(duration_s, 1e-6)) for moment in (start, end))
        cv2.rectangle(picture, (left, height - bar), (right, height), _colour(label, classes), -1)
    here = round(width * time_s / max(duration_s, 1e-6))
    cv2.line(picture, (here, height - 2 * bar), (here, height), (255, 255, 255), max(1, round(2 * scale)))


def _colour(label: str, classes: Sequence[str]) -> tuple[int, int, int]:
    return COLOURS[list(classes).index(label) % len(COLOURS)]
