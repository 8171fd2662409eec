"""Names of streams: what a store keeps features as. Each begins with the cue that its clips show.

"rgb" and "rgb_motion" are streams of the cue rgb, "flow" is one of the cue flow.
"""

import re


def shows(stream: str, cue: str) -> bool:
    """Whether a stream has a name of this cue."""
    return re.fullmatch(rf"{re.escape(cue)}(_[a-z0-9_]+)?", stream) is not None
