"""The rows of the study: the methods that are compared, their controls, and a second motion cue."""

from flowless.comparing.methods import BOTH_IN_ONE, CEILING, SECOND, Method, methods

OF_FLOW, OF_TWIN, OF_GRADIENT = methods("flow"), methods("flow", BOTH_IN_ONE), methods("gradient", first=False)
MOTION, JOINT = ("--teacher", "motion-only"), ("--joint-teacher", CEILING)
SUPERVISED, DECOMPOSED, DIRECT = "--method supervised --cues", "--method decomposed --cues", "--method direct --cues"


def _unlabelled(method: Method, name: str, options: str = "") -> Method:
    return Method(name, method.options + options, method.reads, (MOTION, JOINT), unlabelled=True)


_ALONE, _WITH_STUDENT = OF_FLOW["rgb-only"].reads, SECOND.reads
ROWS = (
    OF_FLOW["motion-only"],
    OF_FLOW["two-stream"],
    OF_FLOW["rgb-only"],
    OF_FLOW["decomposed"],
    OF_TWIN["decomposed"].called("decomposed (twin)"),
    OF_FLOW["direct"],
    OF_FLOW["decomposed-frozen"].called("decomposed (frozen features)"),
    OF_FLOW["student-no-teacher"].called("rgb + student, no teacher"),
    OF_FLOW["student-alone"].called("student alone"),
    Method("direct, student alone", f"{DIRECT} rgb_motion", _WITH_STUDENT, (MOTION,)),
    OF_FLOW["rgb-twice"].called("rgb twice, no teacher"),
    Method("the second RGB network alone", f"{SUPERVISED} rgb_second", _ALONE),
    Method("two RGB networks, no teacher", f"{SUPERVISED} rgb,rgb_second", _WITH_STUDENT),
    Method("decomposed (student of a random network)", f"{DECOMPOSED} rgb,rgb_random", _WITH_STUDENT, (MOTION,)),
    Method("decomposed (student taught further)", f"{DECOMPOSED} rgb,rgb_further", _WITH_STUDENT, (MOTION,)),
    Method("decomposed (student of 1 epoch)", f"{DECOMPOSED} rgb,rgb_brief", _WITH_STUDENT, (MOTION,)),
    _unlabelled(OF_FLOW["decomposed"], "decomposed + 10 unlabelled", " --unlabelled-videos 10"),
    _unlabelled(OF_FLOW["decomposed"], "decomposed + 30 unlabelled", " --unlabelled-videos 30"),
    _unlabelled(OF_FLOW["decomposed"], "decomposed + unlabelled"),
    _unlabelled(OF_FLOW["decomposed-frozen"], "frozen + unlabelled"),
    _unlabelled(OF_FLOW["direct"], "direct + unlabelled"),
    Method("rgb-only (14 epochs)", f"{SUPERVISED} rgb_long", _ALONE),
    Method("two-stream (14 epochs)", f"{SUPERVISED} rgb_long,flow", OF_FLOW[CEILING].reads),
    Method("decomposed (14 epochs)", f"{DECOMPOSED} rgb_long,rgb_motion", _WITH_STUDENT, (MOTION,)),
    OF_GRADIENT["motion-only-gradient"].called("motion-only (gradient)"),
    OF_GRADIENT["two-stream-gradient"].called("two-stream (gradient)"),
    Method(
        "decomposed (gradient teacher)",
        OF_FLOW["decomposed"].options,
        _WITH_STUDENT,
        (("--teacher", "motion-only (gradient)"),),
    ),
)
BY_NAME = {row.name: row for row in ROWS}
