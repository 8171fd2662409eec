"""Which cue a stream's name is of."""

import pytest

from features.files.streams import shows


@pytest.mark.parametrize(
    ("stream", "cue", "said"),
    [
        ("rgb", "rgb", True),
        ("rgb_motion", "rgb", True),
        ("rgb_twin_motion", "rgb", True),
        ("flow_small", "flow", True),
        ("rgbd", "rgb", False),
        ("rgb-motion", "rgb", False),
        ("rgb_", "rgb", False),
        ("flow", "rgb", False),
        ("my_rgb", "rgb", False),
    ],
)
def test_a_stream_is_of_the_cue_that_its_name_begins_with(stream: str, cue: str, said: bool) -> None:
    assert shows(stream, cue) is said
