"""Untrimmed videos: one main object that idles, strays and now and then performs an action of its class.

What is annotated is what was staged: an action begins and ends exactly where its track does.
Around it stands what tempts a detector: scene and prop whose hue follows the class more often than not, people passing
by, a bystander who performs an action without being annotated, and motions of the main object that are no action.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from extract.world.looks import Look
from extract.world.motions import OTHER_MOTIONS, SIZE, TURN, Track, X, Y, perform, wander
from extract.world.scene import SIDE, Scene, Thing, flicker, hand_held

FPS = 15


@dataclass(frozen=True)
class ActionClass:
    """What makes an action: its motion and, for some, the colour of the one who does it."""

    name: str
    motion: str
    hues: tuple[float, float] = (0.0, 360.0)  # degrees on the colour wheel; all of it: the colour says nothing


WARM, COOL = (-24.0, 44.0), (190.0, 256.0)
CLASSES = (
    ActionClass("shake_warm", "shake", WARM),
    ActionClass("shake_cool", "shake", COOL),
    ActionClass("bounce", "bounce"),
    ActionClass("spin_clockwise", "spin_clockwise"),
    ActionClass("spin_counterclockwise", "spin_counterclockwise"),
    ActionClass("pulse", "pulse"),
    ActionClass("orbit_warm", "orbit", WARM),
    ActionClass("orbit_cool", "orbit", COOL),
)
SCENE_HUES = tuple(
    8.0 + 36.0 * family for family in range(10)
)  # degrees; family c belongs to class c, the last two to none
PROP_HUES = tuple(20.0 + 44.0 * label for label in range(len(CLASSES)))  # degrees


@dataclass(frozen=True)
class Repertoire:
    """The classes that videos show, and the hues by which scenes and props may tell them apart."""

    classes: tuple[ActionClass, ...] = CLASSES
    scene_hues: tuple[float, ...] = SCENE_HUES  # at least as many as there are classes, or they are shared in turn
    prop_hues: tuple[float, ...] = PROP_HUES  # one of each class

    def scene_hue(self, family: int) -> float:
        """In 0 to 1."""
        return self.scene_hues[family % len(self.scene_hues)]


ACTIONS = Repertoire()
PRETRAINING = Repertoire(  # the motions of the trimmed clips: none of them is an action
    tuple(ActionClass(motion, motion) for motion in OTHER_MOTIONS),
    prop_hues=tuple(20.0 + 30.0 * label for label in range(len(OTHER_MOTIONS))),
)


@dataclass(frozen=True)
class Staging:
    """How untrimmed videos are staged. Chances are between 0 and 1."""

    bias: float = 0.6  # chance that the scene, and again that the prop, wears the hue of the class
    duration_s: tuple[float, float] = (20.0, 28.0)
    action_s: tuple[float, float] = (0.8, 4.0)  # drawn evenly on a logarithmic scale
    gap_s: tuple[float, float] = (0.8, 4.0)
    second_class: float = 0.25  # chance that an action is of another class that the main object may perform
    stray: float = 0.85  # chance of a motion that is no action in a gap of a second or more
    prop: float = 0.7  # chance that the prop lies there around an action
    passers_by: int = 2  # at most
    bystander: float = 0.3  # chance that one who passes by performs an action, which nobody annotates
    pan: float = 6.0  # pixels, standard deviation
    shake: float = 0.6  # pixels
    pan_sigma: float = 18.0  # frames
    grain: float = 3.0  # gray levels

    def __post_init__(self) -> None:
        for name in ("bias", "second_class", "stray", "prop", "bystander"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} = {getattr(self, name)}: a chance lies between 0 and 1")
        for name in ("duration_s", "action_s", "gap_s"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} = {low, high}: expected 0 < shortest <= longest, in seconds")
        if self.duration_s[0] < 8:
            raise ValueError(
                f"duration_s starts at {self.duration_s[0]} s: a video needs 8 s to hold an action for sure"
            )


@dataclass(frozen=True)
class Instance:
    """One annotated action, in frames: half-open [start, stop)."""

    start: int
    stop: int
    label: int  # index into CLASSES


@dataclass(frozen=True)
class Story:
    """A staged video: what is annotated, what is rendered, and the looks that were drawn for it."""

    label: int  # the main class
    instances: tuple[Instance, ...]
    scene: Scene
    scene_family: int  # index into SCENE_HUES
    prop_label: int | None  # the class whose hue the prop wears, None for a hue of no class


def stage(rng: np.random.Generator, label: int, staging: Staging, repertoire: Repertoire = ACTIONS) -> Story:
    """Draws a video whose main object belongs to class `label` of the repertoire. Cheap: nothing is rendered."""
    num_frames = int(rng.uniform(*staging.duration_s) * FPS)
    family = label if rng.random() < staging.bias else int(rng.integers(len(repertoire.scene_hues)))
    classes = repertoire.classes
    instances = _schedule(rng, label, num_frames, staging, classes)
    prop_label = label if rng.random() < staging.bias else None
    main = Thing(
        look=_look(rng, rng.uniform(*classes[label].hues)),
        canvas=40,
        scale=rng.uniform(0.6, 0.95),
        track=_main_track(rng, instances, num_frames, staging, classes),
        visible=np.ones(num_frames, bool),
    )
    hue = None if prop_label is None else repertoire.prop_hues[prop_label]
    prop = _prop(rng, hue, instances, num_frames, staging)
    others = [_passer_by(rng, num_frames, staging, classes) for _ in range(rng.integers(staging.passers_by + 1))]
    scene = Scene(
        background=_look(rng, repertoire.scene_hue(family)),
        camera=hand_held(rng, num_frames, pan=staging.pan, shake=staging.shake, sigma=staging.pan_sigma),
        light=flicker(rng, num_frames),
        things=(prop, *others, main),
        grain=staging.grain,
        seed=int(rng.integers(2**32)),
    )
    return Story(label, tuple(instances), scene, family, prop_label)


def _look(rng: np.random.Generator, hue: float) -> Look:
    return Look(hue, int(rng.integers(2**32)))


def _rest(num_frames: int, right: float | NDArray[np.float64], down: float | NDArray[np.float64]) -> Track:
    """The track of an object that only stands somewhere on the screen."""
    track = np.zeros((num_frames, 5), np.float32)
    track[:, X], track[:, Y] = right, down
    return track


def _schedule(
    rng: np.random.Generator, label: int, num_frames: int, staging: Staging, classes: tuple[ActionClass, ...]
) -> list[Instance]:
    """Actions one after the other, gaps between them, until the video is over."""
    # One object has one colour: it can perform its own class and those that any colour may perform.
    possible = [other for other, kind in enumerate(classes) if kind.hues in (classes[label].hues, (0.0, 360.0))]
    instances: list[Instance] = []
    start = int(rng.uniform(0.5, 3.0) * FPS)
    while True:
        performed = int(rng.choice(possible)) if rng.random() < staging.second_class else label
        length = int(np.exp(rng.uniform(*np.log(staging.action_s))) * FPS)
        if start + length > num_frames - 5:
            return instances
        instances.append(Instance(start, start + length, performed))
        start += length + int(rng.uniform(*staging.gap_s) * FPS)


def _main_track(
    rng: np.random.Generator,
    instances: list[Instance],
    num_frames: int,
    staging: Staging,
    classes: tuple[ActionClass, ...],
) -> Track:
    right, down = SIDE / 2 + rng.uniform(-8, 8, 2)
    track = _rest(num_frames, right + wander(rng, num_frames, 20, 3), down + wander(rng, num_frames, 20, 3))
    for instance, following in zip(instances, [*instances[1:], None], strict=True):
        act(rng, track, instance.start, instance.stop, classes[instance.label].motion)
        gap = (following.start if following else num_frames) - instance.stop
        if gap >= FPS and rng.random() < staging.stray:
            _stray(rng, track[instance.stop : instance.stop + gap])
    return track


def act(rng: np.random.Generator, track: Track, start: int, stop: int, motion: str) -> None:
    """Adds a motion to a track, in place; what was turned stays turned."""
    performance = perform(rng, motion, stop - start)
    track[start:stop] += performance
    track[stop:, TURN] += performance[-1, TURN]


STRAYS = ("still", "still", "straight", "jitter", "grow", "shrink")


def _stray(rng: np.random.Generator, gap: Track) -> None:
    """A motion that is no action within a gap, in place, and eight frames of return to where it began."""
    before, back = 4, 8
    length = int(rng.uniform(0.5, 1) * (len(gap) - before - back))
    if length < 4:
        return
    name = str(rng.choice(STRAYS))
    if name == "straight":
        name = str(rng.choice(["right", "down", "left", "up"]))
    path = perform(rng, name, length)
    path[:, [X, Y]] *= min(1.0, 10 / (np.abs(path[:, [X, Y]]).max() + 1e-6))  # at most ten pixels away
    path[:, SIZE] = np.clip(path[:, SIZE], -0.4, 0.4)
    gap[before : before + length] += path
    gap[before + length : before + length + back] += path[-1] * np.linspace(1, 0, back, dtype=np.float32)[:, None]


def _prop(
    rng: np.random.Generator, hue: float | None, instances: list[Instance], num_frames: int, staging: Staging
) -> Thing:
    """A thing in a corner: it lies there around actions, and for a while without reason."""
    visible = np.zeros(num_frames, bool)
    for instance in instances:
        if rng.random() < staging.prop:
            early, late = (rng.uniform(0.2, 2.0, 2) * FPS).astype(int)
            visible[max(0, instance.start - early) : instance.stop + late] = True
    if rng.random() < 0.5:
        start = rng.integers(num_frames - 30)
        visible[start : start + rng.integers(20, 60)] = True
    if hue is None:
        hue = rng.uniform(0, 360)
    track = _rest(num_frames, *rng.choice([10.0, SIDE - 10.0], 2))
    return Thing(_look(rng, hue), canvas=26, scale=0.8, track=track, visible=visible)


def _passer_by(rng: np.random.Generator, num_frames: int, staging: Staging, classes: tuple[ActionClass, ...]) -> Thing:
    right = SIDE / 2 + wander(rng, num_frames, rng.uniform(15, 40), 22)
    track = _rest(num_frames, right, rng.choice([12.0, SIDE - 12.0]) + wander(rng, num_frames, 25, 4))
    if rng.random() < staging.bystander:
        length = int(rng.uniform(1, 3) * FPS)
        start = int(rng.integers(num_frames - length))
        act(rng, track, start, start + length, str(rng.choice([kind.motion for kind in classes])))
    return Thing(_look(rng, rng.uniform(0, 360)), 30, rng.uniform(0.4, 0.7), track, np.ones(num_frames, bool))
