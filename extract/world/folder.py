"""A world on the disk: a folder of mp4 files beside their annotations.

Every video carries the fingerprint of its world in its metadata, so that a folder can be completed after an
interruption and is never filled with videos of two worlds. The annotations are written last: where they lie, all videos
lie.
"""

import hashlib
import json
from pathlib import Path

import av
import cv2
from joblib import Parallel, delayed
from tqdm import tqdm

from command.writing import write_json
from extract.world.film import write
from extract.world.photographs import WorldError, photographs
from extract.world.scene import render
from extract.world.untrimmed import FPS
from extract.world.worlds import World


def make(world: World, out: Path, workers: int = 1) -> tuple[int, int]:
    """Renders what is missing of a world; returns the numbers of videos rendered and kept."""
    folder = out / "videos"
    _refuse_another_world(world, out)
    names = list(world.videos())
    missing = [name for name in names if not (folder / f"{name}.mp4").exists()]
    photographs()  # complain about missing photographs before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    jobs = (delayed(render_video)(world, name, folder) for name in missing)
    done = Parallel(n_jobs=workers, return_as="generator_unordered")(jobs)
    for _ in tqdm(done, total=len(missing), desc="render", unit="video", disable=not missing):
        pass
    write_json(out / "annotations.json", annotations(world))
    return len(missing), len(names) - len(missing)


def render_video(world: World, name: str, folder: Path) -> None:
    """Writes folder/name.mp4, the same bytes for the same world."""
    cv2.setNumThreads(1)
    write(render(world.story(name).scene), folder / f"{name}.mp4", FPS, comment=tag(world, name))


def tag(world: World, name: str) -> str:
    """What the metadata of a video says: which world it is from, and which of its videos it is."""
    settings = json.dumps(world.entry(), sort_keys=True)
    return f"flowless world {hashlib.sha256(settings.encode()).hexdigest()[:16]} {name}"


def annotations(world: World) -> dict[str, object]:
    """The truth, as ActivityNet and ActionFormer write it: seconds, and a label_id that indexes the classes."""
    database = {}
    for name, subset in world.videos().items():
        story = world.story(name)
        database[name] = {
            "subset": subset.name,
            "duration": _seconds(story.scene.num_frames),
            "fps": FPS,
            "annotations": [
                {
                    "label": world.repertoire.classes[instance.label].name,
                    "label_id": instance.label,
                    "segment": [_seconds(instance.start), _seconds(instance.stop)],
                }
                for instance in story.instances
            ],
        }
    return {"world": world.entry(), "database": database}


def _seconds(frames: int) -> float:
    return round(frames / FPS, 6)


def _refuse_another_world(world: World, out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise WorldError(f"{out} is a file: --out expects a folder, or a name for a new one")
    truth = out / "annotations.json"
    if truth.exists():
        found = _read_world(truth)
        expected = world.entry()
        differing = [name for name in expected if found.get(name) != expected[name]]
        if differing:
            told = ", ".join(f"{name} {found.get(name)} instead of {expected[name]}" for name in differing)
            raise WorldError(f"{truth} tells of another world: {told}. Give another --out, or remove {out} first")
    names = {f"{name}.mp4": name for name in world.videos()}
    strangers = [path for path in sorted((out / "videos").glob("*.mp4")) if not _is_ours(path, world, names)]
    if strangers:
        raise WorldError(
            f"{strangers[0]} is no whole video of this world ({len(strangers)} such files there). "
            f"Give another --out, or remove them first"
        )


def _read_world(truth: Path) -> dict[str, object]:
    try:
        return dict(json.loads(truth.read_text())["world"])
    except (json.JSONDecodeError, KeyError, TypeError, ValueError):
        raise WorldError(f"{truth} was not written by this command. Give another --out; nothing was changed") from None


def _is_ours(path: Path, world: World, names: dict[str, str]) -> bool:
    name = names.get(path.name)
    if name is None:
        return False
    try:
        with av.open(str(path)) as container:
            frames = container.streams.video[0].frames
            return (
                container.metadata.get("comment") == tag(world, name) and frames == world.story(name).scene.num_frames
            )
    except (av.FFmpegError, IndexError):
        return False
