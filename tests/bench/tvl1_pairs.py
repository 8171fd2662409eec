"""Frame pairs for the TV-L1 benchmarks: real ones from the reference videos, and warped ones whose flow is known."""

from pathlib import Path

import cv2
import numpy as np

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def videos() -> list[Path]:
    found = [*sorted((DATA / "videos").glob("*.mp4")), *sorted((DATA / "videos").glob("*.avi"))]
    if not found:
        raise SystemExit(f"no reference videos in {DATA / 'videos'}")
    return found


def frame_pair(video: Path, place: float) -> tuple[np.ndarray, np.ndarray]:
    """Two neighbouring gray frames at a fraction of the video."""
    capture = cv2.VideoCapture(str(video))
    capture.set(cv2.CAP_PROP_POS_FRAMES, int(capture.get(cv2.CAP_PROP_FRAME_COUNT) * place))
    frames = [cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2GRAY) for _ in range(2)]
    capture.release()
    return frames[0], frames[1]


def real_pairs(count: int, height: int, width: int, shift: float = 0.0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Spread evenly over the reference videos, all of them a fraction `shift` of the video later."""
    sources = videos()
    each = -(-count // len(sources))
    pairs = []
    for k in range(each):
        for video in sources:
            pair = frame_pair(video, 0.1 + shift + 0.75 * (k + 0.5) / each)
            pairs.append(tuple(cv2.resize(frame, (width, height)) for frame in pair))
    return pairs[:count]  # type: ignore[return-value]


def known_pairs(motion: float, count: int, size: int = 224, seed: int = 0) -> list[tuple[np.ndarray, ...]]:
    """(frame0, frame1, flow, valid) with a mean motion in px: a real frame shifted, turned, zoomed and waved.

    frame0(x) = frame1(x + flow(x)), both sampled from a larger picture, with noise of 1.5 gray levels and a gain within
    1 %. In every second pair an ellipse of another picture moves by itself; valid leaves out what it hides.
    """
    rng = np.random.default_rng([seed, round(10 * motion)])
    pictures = [_larger(frame_pair(video, 0.3)[0], size + 76) for video in videos()]
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    pairs = []
    for k in range(count):
        flow = _smooth_flow(rng, motion, size)
        picture = pictures[rng.integers(len(pictures))]
        frame1, frame0 = _cut(picture, x, y), _cut(picture, x + flow[..., 0], y + flow[..., 1])
        valid = np.ones((size, size), bool)
        if k % 2:
            frame0, frame1, flow, valid = _with_ellipse(rng, motion, pictures, x, y, frame0, frame1, flow)
        there = np.stack([x, y], axis=-1) + flow
        valid &= ((there >= 0) & (there <= size - 1)).all(axis=-1)
        frame1 = frame1 * rng.uniform(0.99, 1.01) + rng.normal(0, 1.5, frame1.shape)
        frame0 = frame0 + rng.normal(0, 1.5, frame0.shape)
        as_bytes = [np.clip(np.rint(frame), 0, 255).astype(np.uint8) for frame in (frame0, frame1)]
        pairs.append((*as_bytes, flow, valid))
    return pairs


def _larger(picture: np.ndarray, size: int) -> np.ndarray:
    scale = size / min(picture.shape)
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def _cut(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The middle of a picture, sampled where x and y say."""
    top, left = (picture.shape[0] - x.shape[0]) / 2, (picture.shape[1] - x.shape[1]) / 2
    places = (x + left).astype(np.float32), (y + top).astype(np.float32)
    return cv2.remap(picture.astype(np.float32), *places, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def _smooth_flow(rng: np.random.Generator, motion: float, size: int) -> np.ndarray:
    y, x = (np.mgrid[0:size, 0:size] - size / 2) / (size / 2)
    shift, turn, zoom = rng.normal(size=2), rng.normal() * 0.5, rng.normal() * 0.4
    frequency, phase, height = rng.uniform(1, 3, 2), rng.uniform(0, 2 * np.pi, 2), 0.3 * rng.normal(size=2)
    u = shift[0] - turn * y + zoom * x + height[0] * np.sin(frequency[0] * np.pi * y + phase[0])
    v = shift[1] + turn * x + zoom * y + height[1] * np.sin(frequency[1] * np.pi * x + phase[1])
    flow = np.stack([u, v], axis=-1)
    return (flow * motion / np.linalg.norm(flow, axis=-1).mean()).astype(np.float32)


def _with_ellipse(rng, motion, pictures, x, y, frame0, frame1, flow):  # type: ignore[no-untyped-def]
    size = x.shape[0]
    centre, axes = rng.uniform(0.35, 0.65, 2) * size, rng.uniform(0.12, 0.28, 2) * size
    step = rng.normal(size=2)
    step = (step / np.linalg.norm(step) * motion).astype(np.float32)

    def inside(at_x: np.ndarray, at_y: np.ndarray) -> np.ndarray:
        return ((at_x - centre[0]) / axes[0]) ** 2 + ((at_y - centre[1]) / axes[1]) ** 2 < 1

    picture = pictures[rng.integers(len(pictures))]
    here, there = inside(x, y), inside(x - step[0], y - step[1])
    soft0, soft1 = (cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.6) for mask in (here, there))
    frame0 = frame0 * (1 - soft0) + _cut(picture, x, y) * soft0
    frame1 = frame1 * (1 - soft1) + _cut(picture, x - step[0], y - step[1]) * soft1
    hidden = inside(x + flow[..., 0] - step[0], y + flow[..., 1] - step[1]) & ~here
    return frame0, frame1, np.where(here[..., None], step, flow), ~hidden
