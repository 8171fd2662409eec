"""The methods that are compared: their names, the options of train.run that make them, and whom they learn from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from evaluate.reporting.cost_records import DISTILLED, RGB_ONLY, TWIN

BASELINE, CEILING = "rgb-only", "two-stream"
FIRST = "actionformer"  # the head whose runs lie at the top, and whose tables come first


@dataclass(frozen=True)
class Method:
    """A row of the tables. `teachers` are the methods whose detectors it learns from, by option of train.run."""

    name: str
    options: str
    reads: str  # at inference: a method of evaluate.cost, or "motion"
    teachers: tuple[tuple[str, str], ...] = ()
    unlabelled: bool = False  # the videos without labels join

    @property
    def folder(self) -> str:
        return self.name.replace(" + ", "+").replace(", ", "-").replace(" ", "_").replace("(", "").replace(")", "")

    @property
    def streams(self) -> tuple[str, ...]:
        """Of the feature store, that it reads itself."""
        words = self.options.split()
        return tuple(dict.fromkeys(words[words.index("--cues") + 1].split(",")))

    def called(self, name: str) -> "Method":
        return replace(self, name=name)


@dataclass(frozen=True)
class Student:
    """What the motion branch of a student reads: streams of RGB networks that learned motion."""

    streams: tuple[str, str]  # of appearance and of motion
    reads: str

    @property
    def cues(self) -> str:
        return ",".join(self.streams)


NONE = Student(("rgb", "rgb"), RGB_ONLY)
SECOND = Student(("rgb", "rgb_motion"), DISTILLED)  # a network beside the RGB network
BOTH_IN_ONE = Student(("rgb_twin", "rgb_twin_motion"), TWIN)

USUAL = ("motion-only", "rgb-only", "two-stream", "decomposed", "direct")  # as they are shown, teachers first
OF_ANOTHER_CUE = ("motion-only", "two-stream")


def methods(cue: str = "flow", student: Student = SECOND, first: bool = True) -> dict[str, Method]:
    """All methods of one motion cue by name; of a cue that is not the first, "two-stream-gradient" and so on."""

    def named(name: str) -> str:
        return name if first or name in WITHOUT_MOTION else f"{name}-{cue}"

    motion = (("--teacher", named("motion-only")),)
    cues = "rgb" if student is NONE else student.cues
    made = (
        Method("motion-only", f"--method supervised --cues {cue}", "motion"),
        Method("rgb-only", "--method supervised --cues rgb", RGB_ONLY),
        Method("two-stream", f"--method supervised --cues rgb,{cue}", f"two-stream ({cue})"),
        Method("decomposed", f"--method decomposed --cues {cues}", student.reads, motion),
        Method("direct", "--method direct --cues rgb", RGB_ONLY, motion),
        Method("augmented-rgb", "--method augmented_rgb --cues rgb", RGB_ONLY, motion),
        Method("decomposed-frozen", "--method decomposed --cues rgb", RGB_ONLY, motion),
        Method("student-alone", f"--method supervised --cues {student.streams[1]}", student.reads),
        Method("student-no-teacher", f"--method supervised --cues {student.cues}", student.reads),
        Method("rgb-twice", "--method supervised --cues rgb,rgb", RGB_ONLY),
    )
    return {named(one.name): one.called(named(one.name)) for one in made}


WITHOUT_MOTION = ("rgb-only", "rgb-twice")
CONTROLS = ("student-alone", "student-no-teacher", "rgb-twice")  # what tells why, and nobody would deploy
NAMES = tuple(methods())


def chosen(names: Sequence[str] | None, cues: Sequence[str], student: Student) -> list[Method]:
    """The methods asked for and, before them, their teachers. names: None for the usual ones.

    KeyError with the name that there is none of.
    """
    there: dict[str, Method] = {}
    for cue in reversed(cues):
        there |= methods(cue, student, first=cue == cues[0])
    if names is None:
        of_others = [f"{name}-{cue}" for cue in cues[1:] for name in OF_ANOTHER_CUE]
        names = [*USUAL, *of_others]
    wanted = [there[name] for name in names]
    teachers = [there[teacher] for one in wanted for _, teacher in one.teachers]
    return list({one.name: one for one in sorted([*teachers, *wanted], key=lambda one: bool(one.teachers))}.values())
