"""What videos say of themselves before their frames are decoded: length, rate, size, damage; many side by side."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from flow.decode.video import VideoError, choose_decoder, num_bytes, read_frames, read_header, share_of

AT_ONCE = 4  # files; reading packets waits for the disk more than for the processor


@dataclass(frozen=True)
class Seen:
    """A video as its header and its packets tell it. `problem` is why it cannot be used, or what is damaged."""

    video: str
    path: str
    frames: int = 0
    fps: float = 0.0
    duration_s: float = 0.0
    width: int = 0  # pixels, as a viewer sees it
    height: int = 0
    rotation: int = 0  # degrees counterclockwise
    codec: str = ""
    is_vfr: bool = False  # variable frame rate
    start_s: float = 0.0  # time stamp of the first frame in the file
    size: int = 0  # bytes; of a folder of pictures the sum
    probe_s: float = 0.0  # seconds that looking took
    problem: str = ""

    @property
    def readable(self) -> bool:
        """Whether it can be used at all; it may have a problem all the same."""
        return self.frames > 0 and self.duration_s > 0


def look_at(
    videos: Mapping[str, Path], *, decoder: str = "auto", fps: float | None = None, decode: bool = False
) -> dict[str, Seen]:
    """Looks at each video, in the order given. fps: of folders of pictures. decode: also count the frames that come."""
    choose_decoder(decoder)

    def look(item: tuple[str, Path]) -> Seen:
        return look_at_one(*item, decoder=decoder, fps=fps, decode=decode)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(look, videos.items())
        return {seen.video: seen for seen in tqdm(found, "videos", len(videos), disable=None, leave=False)}


def look_at_one(
    video: str, path: Path, *, decoder: str = "auto", fps: float | None = None, decode: bool = False
) -> Seen:
    """One video; whatever is wrong with it stands in `problem`."""
    began = time.perf_counter()
    try:
        header, packets = read_header(path, decoder=decoder, fps=fps if path.is_dir() else None)
        size = num_bytes(path)
    except (VideoError, OSError) as error:
        return Seen(video, str(path), probe_s=time.perf_counter() - began, problem=str(error))
    problem = ""
    if packets < header.num_frames:
        problem = (
            f"{path}: cut short: the file promises {header.num_frames} frames and holds {packets}. Fetch it again, or "
            f"go on with what is there: --min-decoded {share_of(packets, header):g}"
        )
    elif decode:
        try:
            for _ in read_frames(path, decoder=decoder, fps=fps if path.is_dir() else None):
                pass
        except VideoError as error:
            problem = str(error)
    width, height = header.size
    return Seen(
        video,
        str(path),
        frames=header.num_frames,
        fps=header.fps,
        duration_s=header.duration_s,
        width=width,
        height=height,
        rotation=header.rotation,
        codec=header.codec,
        is_vfr=header.is_vfr,
        start_s=header.start_s,
        size=size,
        probe_s=time.perf_counter() - began,
        problem=problem,
    )
